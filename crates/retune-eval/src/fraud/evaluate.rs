//! Scored events to figures with intervals over cards; differences of two models on the same events.

use super::curve::Curves;
use super::daily::Daily;
use super::fixed::Fixed;
use super::order::{Curve, Order};
use super::probability::Probabilities;
use super::record::{FraudFigures, FraudPart};
use super::scored::{BadEvents, Groups, Named, Scored};
use super::settings::Settings;
use super::top::Top;
use crate::bootstrap::{Draws, interval, table};
use crate::records::{Interval, Metrics};

/// Fewer cards than this and a percentile interval over them is known to be too narrow.
const FEW_CARDS: usize = 100;

/// Fewer frauds than this say little, however many events there are.
const FEW_FRAUDS: usize = 50;

/// False-positive rate of the recall that models are compared in.
const COMPARED_RATE: f64 = 0.01;

/// Figures that two models are compared in.
pub const PAIRED: [&str; 2] = ["average_precision", "recall@1%fpr"];

/// What a figure is of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Metric(String),
    /// Index of a pattern.
    Pattern(usize),
    /// Index of a segment.
    Segment(usize),
}

/// Figures that share a pass over a resample.
pub(super) trait Family: Sync {
    /// What [`Self::fill`] gives, in its order.
    fn keys(&self) -> Vec<Key>;

    /// Appends the figures of a resample, in which each group is as often as `drawn` says; not a number where one is
    /// undefined.
    fn fill(&self, drawn: &[u32], out: &mut Vec<f64>);
}

/// The figures of a model with 95 % intervals, by the percentile bootstrap over cards (over events where no card is
/// known) with the resamples of `seed`. A figure that is undefined on these events is left out, and a note says why.
///
/// # Errors
/// As [`Scored::check`]; a share outside 0 to 1 in the settings, as the value of a column of that name.
pub fn rate(events: &Scored, settings: &Settings, seed: u64) -> Result<FraudFigures, BadEvents> {
    events.check()?;
    settings.check()?;
    let groups = Groups::new(events);
    let ranked = events.ranked();
    let order = Order::new(events, &groups, &ranked);
    let curves = Curves {
        order: &order,
        settings,
    };
    let top = Top::new(events, &groups, &ranked, settings);
    let probabilities = events.probabilities();
    let probabilities = probabilities.then(|| Probabilities::new(events, &groups));
    let daily = Daily::new(events, &groups, &settings.cards);
    let fixed = settings.threshold;
    let fixed = fixed.map(|at| Fixed::new(events, &groups, at, settings.cost));
    let mut families: Vec<&dyn Family> = vec![&curves, &top];
    families.extend(probabilities.iter().map(|f| f as &dyn Family));
    families.extend(daily.iter().map(|f| f as &dyn Family));
    families.extend(fixed.iter().map(|f| f as &dyn Family));

    let mut figures = FraudFigures {
        n: events.score.len(),
        fraud: events.fraud.iter().filter(|f| **f).count(),
        cards: events.card.as_ref().map(|_| groups.count),
        days: events.days().map(|d| d.1),
        metrics: Metrics::new(),
        patterns: Vec::new(),
        segments: Vec::new(),
        notes: missing(events, settings),
    };
    figures.measure(events, &groups, &families, seed);
    Ok(figures)
}

impl FraudFigures {
    /// Fills in the figures of all families.
    fn measure(&mut self, events: &Scored, groups: &Groups, families: &[&dyn Family], seed: u64) {
        let keys: Vec<Key> = families.iter().flat_map(|f| f.keys()).collect();
        let fill = |drawn: &[u32], row: &mut Vec<f64>| {
            row.clear();
            for family in families {
                family.fill(drawn, row);
            }
        };
        let mut values = Vec::new();
        fill(&groups.whole(), &mut values);
        let shape = (groups.count, keys.len());
        let resampled = table(shape, Draws::usual(seed), Vec::new, |row, drawn, out| {
            fill(drawn, row);
            out.copy_from_slice(row);
        });
        // Patterns and segments without a figure.
        let mut parts = (0, 0);
        for ((key, value), resampled) in keys.into_iter().zip(values).zip(&resampled) {
            let figure = interval(value, resampled);
            match (key, figure) {
                (Key::Metric(name), Some(figure)) => {
                    self.metrics.insert(name, figure);
                }
                (Key::Metric(name), None) => self.notes.push(format!(
                    "{name} is left out: it is undefined on these events"
                )),
                (Key::Pattern(at), figure) => {
                    let part = part(events, events.pattern.as_ref(), (at, true), figure);
                    parts.0 += usize::from(part.is_none());
                    self.patterns.extend(part);
                }
                (Key::Segment(at), figure) => {
                    let part = part(events, events.segment.as_ref(), (at, false), figure);
                    parts.1 += usize::from(part.is_none());
                    self.segments.extend(part);
                }
            }
        }
        if parts.0 > 0 {
            let note = "patterns are left out: no event is fraud of them";
            self.notes.push(format!("{} {note}", parts.0));
        }
        if parts.1 > 0 {
            let note = "segments are left out: they have no legitimate event, or no alert is false";
            self.notes.push(format!("{} {note}", parts.1));
        }
    }
}

/// The figure of one name, with the number of its events that are fraud, or that are not; `None` where it has none.
fn part(
    events: &Scored,
    names: Option<&Named>,
    (at, fraud): (usize, bool),
    figure: Option<Interval>,
) -> Option<FraudPart> {
    let named = names?;
    let own = named.of.iter().zip(&events.fraud);
    let own = own.filter(|(of, f)| **of == Some(at as u32) && **f == fraud);
    Some(FraudPart {
        name: named.names.get(at)?.clone(),
        n: own.count(),
        figure: figure?,
    })
}

/// What the columns at hand cannot say.
fn missing(events: &Scored, settings: &Settings) -> Vec<String> {
    let mut notes = Vec::new();
    let mut without = |there: bool, figure: &str, column: &str| {
        if !there {
            notes.push(format!(
                "{figure} is left out: it needs the {column} of every event"
            ));
        }
    };
    let (times, cards) = (events.time.is_some(), events.card.is_some());
    without(times && cards, "card precision", "time and the card");
    without(events.amount.is_some(), "amount recall", "amount");
    let priced = settings.cost.is_none() || settings.threshold.is_none();
    without(priced || events.amount.is_some(), "cost", "amount");
    if !events.probabilities() {
        notes.push(
            "calibration is left out: scores are outside 0 to 1, and only probabilities can be right".to_owned(),
        );
    }
    if !cards {
        notes.push(
            "intervals are over events: those of one card are alike, and intervals over cards are wider".to_owned(),
        );
    }
    let count = if cards {
        Groups::new(events).count
    } else {
        events.score.len()
    };
    let unit = if cards { "cards" } else { "events" };
    if count < FEW_CARDS {
        notes.push(format!(
            "{count} {unit}: intervals over fewer than {FEW_CARDS} are too narrow"
        ));
    }
    let fraud = events.fraud.iter().filter(|f| **f).count();
    if fraud < FEW_FRAUDS {
        notes.push(format!(
            "{fraud} frauds: figures of fewer than {FEW_FRAUDS} move with each of them"
        ));
    }
    notes
}

/// How much higher `model` is than `floor` in each of [`PAIRED`], with 95 % intervals: both are rated on the same
/// resamples of cards, so the intervals are those of the differences. A figure that is undefined is left out.
///
/// # Errors
/// As [`Scored::check`]; when the two are not about the same events.
pub fn gains(model: &Scored, floor: &Scored, seed: u64) -> Result<Metrics, BadEvents> {
    model.check()?;
    floor.check()?;
    model.check_same(floor)?;
    let groups = Groups::new(model);
    let orders = [model, floor].map(|m| Order::new(m, &groups, &m.ranked()));
    let differences = |drawn: &[u32]| {
        let [own, other] = [0, 1].map(|i| compared(&orders[i].curve(drawn)));
        [0, 1].map(|i| own[i] - other[i])
    };
    let values = differences(&groups.whole());
    let shape = (groups.count, PAIRED.len());
    let resampled = table(
        shape,
        Draws::usual(seed),
        || (),
        |(), drawn, out| {
            out.copy_from_slice(&differences(drawn));
        },
    );
    let figures = PAIRED.iter().zip(values).zip(&resampled);
    Ok(figures
        .filter_map(|((name, value), r)| Some(((*name).to_owned(), interval(value, r)?)))
        .collect())
}

/// The figures of [`PAIRED`].
pub(super) fn compared(curve: &Curve) -> [f64; 2] {
    [
        curve.average_precision(),
        curve.recall_at_rate(COMPARED_RATE),
    ]
}
