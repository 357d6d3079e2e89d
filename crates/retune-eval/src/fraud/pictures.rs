//! What the charts of a report show: curves short enough to be stored with the figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cost::{CostCurve, cost_curve};
use super::curve::{RecallPoint, precision_recall};
use super::scored::{BadEvents, DAY, Scored};
use super::settings::Settings;

/// Points of a curve at most.
const POINTS: usize = 200;

/// The alerts of a day, in events at hand: weights do not count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DayAlerts {
    /// Days since 1970-01-01, or whatever second 0 is.
    pub day: i64,
    /// Alerts.
    pub alerts: u64,
    /// Those that are fraud.
    pub found: u64,
    /// All fraud of the day.
    pub fraud: u64,
}

/// How scores of a day lie: 5, 50 and 95 % points of the events at hand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DayScores {
    /// As in [`DayAlerts`].
    pub day: i64,
    /// Of legitimate events; `None` on a day without one.
    pub legit: Option<[f64; 3]>,
    /// Of fraud.
    pub fraud: Option<[f64; 3]>,
}

/// The content of the charts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FraudCurves {
    /// Precision over recall of the model.
    pub model: Vec<RecallPoint>,
    /// The same of each floor.
    pub floors: BTreeMap<String, Vec<RecallPoint>>,
    /// Share of the events that is fraud: the precision of chance.
    pub share: f64,
    /// Cost over thresholds, where costs are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostCurve>,
    /// The threshold of the alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Alerts by day, where times and a threshold are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<DayAlerts>,
    /// Scores by day, where times are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<DayScores>,
}

impl FraudCurves {
    /// The curves of a model and its floors on the same events.
    ///
    /// # Errors
    /// As [`Scored::check`].
    pub fn new(
        model: &Scored,
        floors: &[(&str, &Scored)],
        settings: &Settings,
    ) -> Result<Self, BadEvents> {
        let curve = |events: &Scored| precision_recall(events, POINTS);
        let mut of_floors = BTreeMap::new();
        for (name, floor) in floors {
            of_floors.insert((*name).to_owned(), curve(floor)?);
        }
        let cost = settings.cost.filter(|_| model.amount.is_some());
        let weights = |fraud: bool| -> f64 {
            let events = (0..model.score.len()).filter(|e| !fraud || model.fraud[*e]);
            events.map(|e| model.weight(e)).sum()
        };
        let days = by_day(model);
        let threshold = settings.threshold;
        Ok(Self {
            model: curve(model)?,
            floors: of_floors,
            share: if model.score.is_empty() {
                0.0
            } else {
                weights(true) / weights(false)
            },
            cost: cost
                .map(|cost| cost_curve(model, cost, POINTS))
                .transpose()?,
            threshold,
            alerts: threshold.map_or_else(Vec::new, |at| {
                let of = |(day, events): (&i64, &Vec<usize>)| alerts(model, *day, events, at);
                days.iter().map(of).collect()
            }),
            scores: days
                .iter()
                .map(|(day, events)| DayScores {
                    day: *day,
                    legit: quantiles(model, events, false),
                    fraud: quantiles(model, events, true),
                })
                .collect(),
        })
    }
}

/// Events of each day; empty without times.
fn by_day(events: &Scored) -> BTreeMap<i64, Vec<usize>> {
    let mut days: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (event, time) in events.time.iter().flatten().enumerate() {
        days.entry(time.div_euclid(DAY)).or_default().push(event);
    }
    days
}

fn alerts(model: &Scored, day: i64, events: &[usize], threshold: f64) -> DayAlerts {
    let alert = |e: &&usize| model.score[**e] >= threshold as f32;
    let fraud = |e: &&usize| model.fraud[**e];
    let all = events.iter();
    DayAlerts {
        day,
        alerts: all.clone().filter(alert).count() as u64,
        found: all.clone().filter(alert).filter(fraud).count() as u64,
        fraud: all.filter(fraud).count() as u64,
    }
}

/// The nearest scores at 5, 50 and 95 %.
fn quantiles(model: &Scored, events: &[usize], fraud: bool) -> Option<[f64; 3]> {
    let own = events.iter().filter(|e| model.fraud[**e] == fraud);
    let mut scores: Vec<f32> = own.map(|e| model.score[*e]).collect();
    let last = scores.len().checked_sub(1)? as f64;
    scores.sort_by(f32::total_cmp);
    Some([0.05, 0.5, 0.95].map(|share| f64::from(scores[(share * last).round() as usize])))
}
