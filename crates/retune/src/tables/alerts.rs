//! Figures of a queue of alerts: what of the frauds stands at its top, what it costs, and from which score on an event is
//! an alert.

use std::collections::BTreeMap;

use retune_data::fields::Cast;
use retune_eval::fraud::{
    AlertGoal, AlertThreshold, BadEvents, FraudCurves, FraudEvaluated, FraudPart, ReviewCost,
    Scored, Settings, choose, judge,
};
use retune_eval::records::SliceMetrics;
use retune_eval::{Evaluated, Matrix, Predictions};
use serde::Serialize;

use super::bundle::Config;
use super::plan::Plan;
use super::queue::{Queue, Segments};
use crate::error::{Error, Result};
use crate::recipe::VerdictLevel;

/// The figure that decides.
const PRIMARY: &str = "average_precision";
/// False-positive rate of a segment over that of all events, at the score of an alert.
const RATIO: &str = "fpr_ratio@threshold";
/// Columns that say of which kind a fraud is, the first of which that is there is reported by.
pub(crate) const PATTERNS: [&str; 4] = ["pattern", "scenario", "fraud_type", "tx_fraud_scenario"];
/// Cost of looking at an alert where nothing is said, in the currency of the amounts.
const REVIEW: f64 = 5.0;
/// Alerts a day where nothing is said and there are no amounts.
const ALERTS: f64 = 100.0;

/// What a queue of alerts showed.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Alerts {
    /// Figures on the test events.
    #[serde(flatten)]
    pub evaluated: FraudEvaluated,
    /// From which score on an event is an alert, chosen on the validation events.
    pub threshold: f64,
    /// How it was chosen.
    pub chosen: Option<AlertThreshold>,
}

/// Figures of a model and its floors on the test events, and the threshold that its answers to the validation events give.
pub(super) fn measure(
    plan: &Plan,
    (valid, own): (&Matrix, &Predictions),
    floors: &[(&str, Predictions)],
) -> Result<(Evaluated, Alerts)> {
    let seed = plan.recipe.seed;
    let goal = goal(plan.recipe.tables.alert, &plan.cast);
    let before = Queue::of(plan, &plan.valid).scored(valid);
    // A queue that nothing can be learned about gets every event from one half on.
    let chosen = choose(&before, goal, seed).ok();
    let threshold = chosen.as_ref().map_or(0.5, |chosen| chosen.threshold.value);
    let settings = settings(threshold, goal, &plan.cast);
    let queue = Queue::of(plan, &plan.test);
    let model = queue.scored(&own.scores);
    let rivals: Vec<(&str, Scored)> = floors
        .iter()
        .map(|(name, floor)| (*name, queue.scored(&floor.scores)))
        .collect();
    let mut evaluated = FraudEvaluated::new("test", &model, &settings, seed).map_err(bad)?;
    for (name, rival) in &rivals {
        evaluated
            .compare(name, (&model, rival), &settings, seed)
            .map_err(bad)?;
    }
    if plan.recipe.verdict != VerdictLevel::Off {
        let sides: Vec<(&str, Vec<&Scored>)> =
            rivals.iter().map(|(name, r)| (*name, vec![r])).collect();
        evaluated.verdict = Some(judge(&[&model], &sides, seed).map_err(bad)?);
    }
    let curves: Vec<(&str, &Scored)> = rivals.iter().map(|(name, r)| (*name, r)).collect();
    evaluated.curves = Some(FraudCurves::new(&model, &curves, &settings).map_err(bad)?);
    let segments = queue.segments(&model, &plan.recipe.data.slices, (threshold, seed))?;
    evaluated.model.segments = all_parts(&segments);
    let note = match &chosen {
        Some(chosen) => format!(
            "an event is an alert from a score of {threshold:.4} on, chosen on the validation events for {}{}",
            String::from(goal),
            if chosen.met {
                ""
            } else {
                ", which no threshold reaches there"
            }
        ),
        None => "too little is known of the validation events to choose a threshold: it is 0.5"
            .to_string(),
    };
    let told = told(&evaluated, &segments, note);
    let alerts = Alerts {
        evaluated,
        threshold,
        chosen,
    };
    Ok((told, alerts))
}

/// Figures of a saved model on other events, at the score of an alert that its run chose; `split` is what they are called.
///
/// # Errors
/// A column of slices that is not there; scores that are not finite.
pub(super) fn again(
    config: &Config,
    (queue, scores): (&Queue, &Matrix),
    (split, slices, seed): (&str, &[String], u64),
) -> Result<Evaluated> {
    let threshold = config.threshold.unwrap_or(0.5);
    let settings = settings(threshold, goal(config.alert, &config.cast), &config.cast);
    let model = queue.scored(scores);
    let mut evaluated = FraudEvaluated::new(split, &model, &settings, seed).map_err(bad)?;
    let segments = queue.segments(&model, slices, (threshold, seed))?;
    evaluated.model.segments = all_parts(&segments);
    let note = format!("an event is an alert from a score of {threshold:.4} on, as the run chose");
    Ok(told(&evaluated, &segments, note))
}

fn bad(error: BadEvents) -> Error {
    Error::User(error.to_string())
}

fn settings(threshold: f64, goal: AlertGoal, cast: &Cast) -> Settings {
    Settings {
        threshold: Some(threshold),
        cost: match goal {
            AlertGoal::Cost(cost) => Some(cost),
            _ => cast.amount.as_ref().map(|_| usual_cost()),
        },
        ..Settings::default()
    }
}

/// What the threshold is chosen for.
fn goal(asked: Option<AlertGoal>, cast: &Cast) -> AlertGoal {
    match (asked, &cast.amount, &cast.time) {
        (Some(goal), ..) => goal,
        (None, Some(_), _) => AlertGoal::Cost(usual_cost()),
        (None, None, Some(_)) => AlertGoal::AlertsPerDay(ALERTS),
        (None, None, None) => AlertGoal::Precision(0.5),
    }
}

fn usual_cost() -> ReviewCost {
    ReviewCost {
        review: REVIEW,
        recovery: 0.0,
    }
}

/// The segments of all columns, each named with its column.
fn all_parts(segments: &[Segments]) -> Vec<FraudPart> {
    let of = |segments: &Segments| {
        let named = |part: &FraudPart| FraudPart {
            name: format!("{}: {}", segments.column, part.name),
            ..part.clone()
        };
        segments.parts.iter().map(named).collect::<Vec<_>>()
    };
    segments.iter().flat_map(of).collect()
}

/// The figures as every task has them.
fn told(of: &FraudEvaluated, segments: &[Segments], note: String) -> Evaluated {
    let gains = of
        .gains
        .iter()
        .filter_map(|(name, gains)| Some((name.clone(), *gains.get(PRIMARY)?)));
    let mut notes = vec![note];
    notes.extend(parts("of the frauds of pattern", &of.model.patterns));
    let (known, unknown): (Vec<_>, Vec<_>) = segments.iter().partition(|s| !s.parts.is_empty());
    notes.extend(unknown.iter().map(|s| {
        format!(
            "false alarms by `{}` are left out: no legitimate event is an alert",
            s.column
        )
    }));
    if !known.is_empty() {
        notes.push(format!(
            "{RATIO} of a value: the share of its legitimate events that are alerts, over that of all of them; rows are these \
             events"
        ));
    }
    notes.extend(of.model.notes.iter().cloned());
    let baselines = of.baselines.iter();
    Evaluated {
        metrics: of.model.metrics.clone(),
        baselines: baselines
            .map(|(name, found)| (name.clone(), found.metrics.clone()))
            .collect(),
        gains: gains.collect(),
        slices: known.into_iter().map(slices).collect(),
        verdict: of.verdict.clone(),
        notes,
        ..Evaluated::empty(&of.split, of.model.n, PRIMARY)
    }
}

/// A column with the legitimate events of each value and how often they are alerts.
fn slices(of: &Segments) -> (String, BTreeMap<String, SliceMetrics>) {
    let one = |part: &FraudPart| {
        let figures = SliceMetrics {
            n: part.n,
            metrics: [(RATIO.to_string(), part.figure)].into(),
        };
        (part.name.clone(), figures)
    };
    (of.column.clone(), of.parts.iter().map(one).collect())
}

fn parts(what: &str, parts: &[FraudPart]) -> Vec<String> {
    let one = |part: &FraudPart| {
        format!(
            "{what} {} ({} events) {:.0} % are found among the most suspicious 1 % of the events",
            part.name,
            part.n,
            part.figure.value * 100.0
        )
    };
    parts.iter().map(one).collect()
}
