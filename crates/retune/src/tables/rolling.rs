//! Rolling evaluation: test periods that follow each other, each with a training of its own before it, as a model would have
//! been trained anew each time ("prequential"; Gama et al. 2013). What one period shows may be that period's luck.
//!
//! ```text
//! period 1   train | delay | test
//! period 2         train | delay | test           with --train-span; without it training begins with the first event
//! period 3               train | delay | test     the run itself, whose model is saved
//! ```

use std::collections::BTreeMap;

use retune_eval::{Evaluated, Event, Metrics};
use serde::Serialize;

use super::plan::Plan;
use super::run::{Recorder, alone};
use crate::bundle::pretty;
use crate::error::{Error, Result};
use crate::recipe::{Recipe, Span, VerdictLevel};
use crate::run::stage;
use crate::run_folder::RunFolder;

/// File of the figures of every period.
const FILE: &str = "rolling.json";
/// Days of a span.
const DAY: f64 = 86_400.0;

/// One test period and what was measured on it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Period {
    /// When it begins.
    from: String,
    /// How long it is; nothing where it ends with the events.
    days: Option<f64>,
    /// Rows for training, validation and test.
    rows: [usize; 3],
    metrics: Metrics,
}

/// The periods before the last one, and what is to be said of them.
#[derive(Default)]
pub(super) struct Earlier {
    periods: Vec<Period>,
    notes: Vec<String>,
}

/// All periods, in time.
#[derive(Serialize)]
struct Rolling<'a> {
    periods: &'a [Period],
    /// Mean of each figure that all of them have.
    mean: BTreeMap<&'a str, f64>,
}

/// Trains and measures once for each of these periods (beginning and length), which come before that of the plan. Everything
/// is decided anew for each: columns, words and labels are those of its own training events. Periods of which nothing can be
/// learned are told.
///
/// # Errors
/// Diverged training.
pub(super) fn earlier<'p>(
    plan: &Plan,
    periods: impl Iterator<Item = &'p [i64; 2]>,
    (folder, record): (&mut RunFolder, Recorder),
) -> Result<Earlier> {
    let mut on = |event: &Event| record(event, folder);
    let mut found = Earlier::default();
    for [from, span] in periods {
        stage(&mut on, "rolling", None);
        let from = day(*from)?;
        match Plan::resolve(&recipe(plan, &from, *span), Some(&plan.out)) {
            Ok(then) => match alone(&then, &mut on)? {
                Some(evaluated) => {
                    let period = Period::of(&then, (from, Some(*span)), &evaluated);
                    found.periods.push(period);
                }
                None => break,
            },
            Err(problems) => found.notes.push(format!(
                "the test period from {from} on is left out: {}",
                problems.first().map_or("", |problem| problem.text.as_str())
            )),
        }
    }
    Ok(found)
}

/// Writes the figures of all periods, that of the plan being the last, and adds what they say in a sentence.
///
/// # Errors
/// A full disk.
pub(super) fn write(
    run: &RunFolder,
    (plan, earlier): (&Plan, Earlier),
    evaluated: &mut Evaluated,
) -> Result<()> {
    let Some([from, span]) = plan.earlier.last() else {
        return Ok(());
    };
    let Earlier { mut periods, notes } = earlier;
    let given = plan.recipe.tables.test_span.map(|_| *span);
    periods.push(Period::of(plan, (day(from + span)?, given), evaluated));
    let rolling = Rolling {
        mean: mean(&periods),
        periods: &periods,
    };
    run.write(FILE, &pretty(&rolling)?)?;
    evaluated.notes.extend(notes);
    let primary = evaluated.primary.as_str();
    let each = periods.iter().filter_map(|period| {
        let figure = period.metrics.get(primary)?;
        Some(format!("{:.3} from {} on", figure.value, period.from))
    });
    let each: Vec<String> = each.collect();
    let mean = rolling.mean.get(primary);
    let mean = mean.map_or(String::new(), |mean| format!("; mean {mean:.3}"));
    let said = format!(
        "{primary} of {} test periods, each with its own training before it: {}{mean}",
        periods.len(),
        each.join(", ")
    );
    evaluated.notes.push(said);
    Ok(())
}

impl Period {
    fn of(plan: &Plan, (from, span): (String, Option<i64>), evaluated: &Evaluated) -> Self {
        Self {
            from,
            days: span.map(|span| span as f64 / DAY),
            rows: [&plan.train, &plan.valid, &plan.test].map(|rows| rows.at.len()),
            metrics: evaluated.metrics.clone(),
        }
    }
}

/// The recipe of a plan for a test period of so many seconds.
fn recipe(plan: &Plan, from: &str, span: i64) -> Recipe {
    let mut recipe = Recipe {
        verdict: VerdictLevel::Off,
        require: None,
        ..plan.recipe.clone()
    };
    recipe.tables.rolling = 1;
    recipe.tables.test_from = Some(from.to_string());
    recipe.tables.test_span = Some(Span(span));
    recipe
}

/// A moment as recipes write it.
fn day(seconds: i64) -> Result<String> {
    let moment = jiff::Timestamp::from_second(seconds);
    let moment = moment.map_err(|error| Error::User(error.to_string()))?;
    Ok(moment.to_string())
}

/// Of the figures that every period has the mean.
fn mean(periods: &[Period]) -> BTreeMap<&str, f64> {
    let first = periods
        .iter()
        .take(1)
        .flat_map(|period| period.metrics.keys());
    let of = |name: &String| {
        let values = periods
            .iter()
            .map(|period| Some(period.metrics.get(name)?.value));
        let values: Option<Vec<f64>> = values.collect();
        Some(values?.iter().sum::<f64>() / periods.len() as f64)
    };
    first
        .filter_map(|name| Some((name.as_str(), of(name)?)))
        .collect()
}
