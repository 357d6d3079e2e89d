//! Figures of a queue of alerts: what of the frauds stands at its top, what it costs, and from which score on an event is
//! an alert.

use std::collections::BTreeMap;

use retune_eval::fraud::{
    AlertGoal, AlertThreshold, FraudCurves, FraudEvaluated, Named, ReviewCost, Scored, Settings,
    choose, judge,
};
use retune_eval::{Evaluated, Matrix, Predictions};
use serde::Serialize;

use super::plan::{Plan, Rows};
use crate::error::{Error, Result};
use crate::recipe::VerdictLevel;

/// The figure that decides.
const PRIMARY: &str = "average_precision";
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
    let bad = |error: retune_eval::fraud::BadEvents| Error::User(error.to_string());
    let goal = goal(plan);
    let before = scored(plan, &plan.valid, valid);
    // A queue that nothing can be learned about gets every event from one half on.
    let chosen = choose(&before, goal, seed).ok();
    let threshold = chosen.as_ref().map_or(0.5, |chosen| chosen.threshold.value);
    let settings = Settings {
        threshold: Some(threshold),
        cost: match goal {
            AlertGoal::Cost(cost) => Some(cost),
            _ => plan.cast.amount.as_ref().map(|_| usual_cost()),
        },
        ..Settings::default()
    };
    let model = scored(plan, &plan.test, &own.scores);
    let rivals: Vec<(&str, Scored)> = floors
        .iter()
        .map(|(name, floor)| (*name, scored(plan, &plan.test, &floor.scores)))
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
    let alerts = Alerts {
        evaluated,
        threshold,
        chosen,
    };
    Ok((told(&alerts, goal), alerts))
}

/// What the threshold is chosen for.
fn goal(plan: &Plan) -> AlertGoal {
    match (plan.recipe.tables.alert, &plan.cast.amount, &plan.cast.time) {
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

/// Scores with what is known of the events.
fn scored(plan: &Plan, rows: &Rows, scores: &Matrix) -> Scored {
    let positive = plan.positive;
    let column = |name: Option<&str>| name.and_then(|name| plan.table.column(name).ok());
    let at = || rows.at.iter().copied();
    let mut keys: BTreeMap<String, u64> = BTreeMap::new();
    let card = column(plan.cast.entities.first().map(String::as_str)).map(|column| {
        at().map(|row| {
            let name = column.text(row).unwrap_or_default().into_owned();
            let next = keys.len() as u64;
            *keys.entry(name).or_insert(next)
        })
        .collect()
    });
    let pattern = plan
        .table
        .columns
        .iter()
        .find(|c| PATTERNS.contains(&c.name.to_lowercase().as_str()));
    Scored {
        score: (0..scores.rows)
            .map(|row| scores.row(row)[positive])
            .collect(),
        fraud: rows
            .targets
            .iter()
            .map(|target| *target == retune_data::Target::Class(positive as u32))
            .collect(),
        time: plan
            .cast
            .time
            .as_ref()
            .map(|_| at().map(|row| plan.times[row]).collect()),
        card,
        amount: column(plan.cast.amount.as_deref()).map(|column| {
            at().map(|row| column.number(row).unwrap_or(0.0).max(0.0))
                .collect()
        }),
        pattern: pattern.map(|column| {
            named(at().map(|row| column.text(row).map(std::borrow::Cow::into_owned)))
        }),
        segment: None,
        weight: None,
    }
}

fn named(values: impl Iterator<Item = Option<String>>) -> Named {
    let mut names: Vec<String> = Vec::new();
    let of = values.map(|value| {
        let value = value?;
        let at = names
            .iter()
            .position(|name| *name == value)
            .unwrap_or_else(|| {
                names.push(value);
                names.len() - 1
            });
        Some(at as u32)
    });
    let of = of.collect();
    Named { names, of }
}

/// The figures as every task has them.
fn told(alerts: &Alerts, goal: AlertGoal) -> Evaluated {
    let of = &alerts.evaluated;
    let gains = of
        .gains
        .iter()
        .filter_map(|(name, gains)| Some((name.clone(), *gains.get(PRIMARY)?)));
    let mut notes = Vec::new();
    match &alerts.chosen {
        Some(chosen) => notes.push(format!(
            "an event is an alert from a score of {:.4} on, chosen on the validation events for {}{}",
            chosen.threshold.value,
            String::from(goal),
            if chosen.met { "" } else { ", which no threshold reaches there" }
        )),
        None => notes.push("too little is known of the validation events to choose a threshold: it is 0.5".to_string()),
    }
    notes.extend(parts("of the frauds of pattern", &of.model.patterns));
    let baselines = of.baselines.iter();
    Evaluated {
        metrics: of.model.metrics.clone(),
        baselines: baselines
            .map(|(name, found)| (name.clone(), found.metrics.clone()))
            .collect(),
        gains: gains.collect(),
        verdict: of.verdict.clone(),
        notes,
        ..Evaluated::empty(&of.split, of.model.n, PRIMARY)
    }
}

fn parts(what: &str, parts: &[retune_eval::fraud::FraudPart]) -> Vec<String> {
    let one = |part: &retune_eval::fraud::FraudPart| {
        format!(
            "{what} {} ({} events) {:.0} % are found among the most suspicious 1 % of the events",
            part.name,
            part.n,
            part.figure.value * 100.0
        )
    };
    parts.iter().map(one).collect()
}
