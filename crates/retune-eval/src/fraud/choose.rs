//! From which score on an alert is raised: a threshold for a stated goal, with what it is worth.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cost::{ReviewCost, cheapest, need_amounts};
use super::fixed::{Tallies, Tally};
use super::order::{Curve, Order, Point};
use super::scored::{BadEvents, Groups, Scored};
use crate::bootstrap::{Draws, interval, table};
use crate::records::Interval;

/// What a threshold is chosen for; written `cost=5`, `cost=5:0.3` (of a review, and the share of a missed amount that
/// is recovered), `alerts=100` (a day), `precision=0.5` or `recall=0.8`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AlertGoal {
    /// The smallest cost.
    Cost(ReviewCost),
    /// The lowest threshold with at most this many alerts a day in the mean.
    AlertsPerDay(f64),
    /// Precision of at least this share, then the largest recall.
    Precision(f64),
    /// Recall of at least this share, by the highest threshold that has it.
    Recall(f64),
}

impl FromStr for AlertGoal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a goal for alerts; write cost=5 (of a review), cost=5:0.3 (where 30 % of a missed \
                 amount is recovered), alerts=100 (a day), precision=0.5 or recall=0.8"
            )
        };
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
        let share = |text: &str| match number(text)? {
            share if share > 0.0 && share <= 1.0 => Ok(share),
            other => Err(format!("{other} is out of range 0 to 1; try 0.5")),
        };
        let (name, value) = text.trim().split_once('=').ok_or_else(wrong)?;
        match name {
            "precision" => Ok(Self::Precision(share(value)?)),
            "recall" => Ok(Self::Recall(share(value)?)),
            "alerts" => match number(value)? {
                alerts if alerts > 0.0 && alerts.is_finite() => Ok(Self::AlertsPerDay(alerts)),
                other => Err(format!("{other} alerts a day cannot be; try alerts=100")),
            },
            "cost" => {
                let (review, recovery) = value.split_once(':').unwrap_or((value, "0"));
                let (review, recovery) = (number(review)?, number(recovery)?);
                if !(review >= 0.0 && review.is_finite() && (0.0..=1.0).contains(&recovery)) {
                    return Err(format!(
                        "a review for {review} with a share of {recovery} recovered cannot be: the cost is 0 or more, \
                         the share 0 to 1; try cost=5:0.3"
                    ));
                }
                Ok(Self::Cost(ReviewCost { review, recovery }))
            }
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for AlertGoal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AlertGoal> for String {
    fn from(goal: AlertGoal) -> Self {
        match goal {
            AlertGoal::Cost(c) if c.recovery == 0.0 => format!("cost={}", c.review),
            AlertGoal::Cost(c) => format!("cost={}:{}", c.review, c.recovery),
            AlertGoal::AlertsPerDay(n) => format!("alerts={n}"),
            AlertGoal::Precision(p) => format!("precision={p}"),
            AlertGoal::Recall(r) => format!("recall={r}"),
        }
    }
}

impl fmt::Display for AlertGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cost(c) => write!(
                f,
                "smallest cost at {} per review and {} of a missed amount",
                c.review,
                1.0 - c.recovery
            ),
            Self::AlertsPerDay(n) => write!(f, "at most {n} alerts a day"),
            Self::Precision(p) => write!(f, "precision of at least {p}"),
            Self::Recall(r) => write!(f, "recall of at least {r}"),
        }
    }
}

/// A threshold with what it gives on the events it was chosen on. Those figures flatter it a little: it was chosen for
/// them. Others are rated with it by [`super::Settings::threshold`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertThreshold {
    /// What it was chosen for.
    pub goal: AlertGoal,
    /// Events with at least this score are alerts. The interval is that of the thresholds that resamples of the cards
    /// choose: how much the choice rests on the cards at hand.
    pub threshold: Interval,
    /// Whether the goal is reached on these events.
    pub met: bool,
    /// Share of the resamples in which some threshold reaches the goal.
    pub met_share: f64,
    /// Of the alerts, the share that is fraud; `None` where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Interval>,
    /// Of the fraud, the share that is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<Interval>,
    /// Alerts a day, where times are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts_per_day: Option<Interval>,
    /// Mean cost of an event, where the goal is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Interval>,
}

/// The threshold that serves `goal` best on these events, which took no part in training, with intervals over cards.
/// Every distinct score of a fraud is tried, for alerts a day every distinct score. Where nothing reaches the goal the
/// nearest threshold is given and `met` is false: that of the largest precision, or no alerts at all for a number of
/// alerts that the first tie is above.
///
/// # Errors
/// As [`Scored::check`]; a missing column of amounts for a cost, or of times for alerts a day, has length 0.
pub fn choose(events: &Scored, goal: AlertGoal, seed: u64) -> Result<AlertThreshold, BadEvents> {
    events.check()?;
    let days = events.days().map(|d| d.1);
    match (goal, days) {
        (AlertGoal::Cost(_), _) => need_amounts(events)?,
        (AlertGoal::AlertsPerDay(_), None) => {
            return Err(BadEvents::Length {
                column: "time",
                values: 0,
                events: events.score.len(),
            });
        }
        _ => {}
    }
    let groups = Groups::new(events);
    let ranked = events.ranked();
    let chooser = Chooser {
        events,
        groups: &groups,
        order: Order::new(events, &groups, &ranked),
        ranked: &ranked,
        days,
        goal,
    };
    Ok(chooser.choose(seed))
}

/// Mean cost of an event where the goal is a cost.
fn cost(tally: &Tally, goal: AlertGoal) -> f64 {
    match goal {
        AlertGoal::Cost(cost) => tally.cost(cost) / tally.events,
        _ => f64::NAN,
    }
}

struct Chooser<'a> {
    events: &'a Scored,
    groups: &'a Groups,
    order: Order,
    ranked: &'a [u32],
    days: Option<usize>,
    goal: AlertGoal,
}

impl Chooser<'_> {
    fn choose(&self, seed: u64) -> AlertThreshold {
        let whole = self.groups.whole();
        let found = self.pick(&whole);
        let value = found.unwrap_or_else(|| self.nearest(&whole));
        let tallies = Tallies::new(self.events, self.groups, value);
        let figures = |drawn: &[u32], threshold: Option<f64>| {
            let tally = tallies.of(drawn);
            [
                threshold.unwrap_or(f64::NAN),
                tally.precision(),
                tally.recall(),
                self.days
                    .map_or(f64::NAN, |days| tally.alerts / days as f64),
                cost(&tally, self.goal),
            ]
        };
        let values = figures(&whole, Some(value));
        let draws = Draws::usual(seed);
        let fill = |(): &mut (), drawn: &[u32], out: &mut [f64]| {
            out.copy_from_slice(&figures(drawn, self.pick(drawn)));
        };
        let resampled = table((self.groups.count, values.len()), draws, || (), fill);
        let met = resampled[0].iter().filter(|t| t.is_finite()).count();
        let of = |i: usize| interval(values[i], &resampled[i]);
        AlertThreshold {
            goal: self.goal,
            threshold: of(0).unwrap_or(Interval {
                value,
                low: value,
                high: value,
            }),
            met: found.is_some(),
            met_share: met as f64 / draws.count as f64,
            precision: of(1),
            recall: of(2),
            alerts_per_day: of(3),
            cost: of(4),
        }
    }

    /// The threshold that a resample chooses; `None` where none reaches the goal.
    fn pick(&self, drawn: &[u32]) -> Option<f64> {
        if let AlertGoal::AlertsPerDay(alerts) = self.goal {
            return self.lowest(alerts * self.days? as f64, drawn);
        }
        let curve = self.order.curve(drawn);
        let score = |point: &Point| f64::from(point.score);
        // A point at which a resample finds no fraud is one at a score that it does not hold.
        let mut points = curve.points.iter().filter(|p| p.fraud > 0.0);
        match self.goal {
            AlertGoal::Cost(cost) => {
                Some(cheapest(&curve, cost).map_or_else(|| self.none(), |p| p.threshold))
            }
            AlertGoal::Precision(wanted) => {
                let recall = |p: &&Point| p.precision() >= wanted;
                let largest = points.clone().rev().find(recall)?.fraud;
                points.find(|p| p.fraud == largest && recall(p)).map(score)
            }
            AlertGoal::Recall(wanted) => {
                points.find(|p| p.fraud / curve.fraud >= wanted).map(score)
            }
            AlertGoal::AlertsPerDay(_) => None,
        }
    }

    /// The lowest score from which on at most `alerts` events are alerts.
    fn lowest(&self, alerts: f64, drawn: &[u32]) -> Option<f64> {
        let score = |event: &u32| self.events.score[*event as usize];
        let (mut sum, mut found) = (0.0, None);
        for tied in self.ranked.chunk_by(|a, b| score(a) == score(b)) {
            let weight = |e: &u32| {
                let times = drawn[self.groups.of[*e as usize] as usize];
                f64::from(times) * self.events.weight(*e as usize)
            };
            let all: f64 = tied.iter().map(weight).sum();
            sum += all;
            if sum > alerts {
                break;
            }
            if all > 0.0 {
                found = Some(f64::from(score(&tied[0])));
            }
        }
        found
    }

    /// What stands in for a goal that is out of reach: the largest precision, and else no alerts.
    fn nearest(&self, whole: &[u32]) -> f64 {
        let curve: Curve = self.order.curve(whole);
        let sharpest = |best: Option<Point>, p: &Point| match best {
            Some(b) if b.precision() >= p.precision() => Some(b),
            _ => Some(*p),
        };
        let best = curve.points.iter().fold(None, sharpest);
        match (self.goal, best) {
            (AlertGoal::Precision(_), Some(point)) => f64::from(point.score),
            _ => self.none(),
        }
    }

    /// A threshold above every score.
    fn none(&self) -> f64 {
        let first = self.ranked.first();
        first.map_or(1.0, |e| f64::from(self.events.score[*e as usize].next_up()))
    }
}
