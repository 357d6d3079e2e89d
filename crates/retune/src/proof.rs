//! The proof that tuning helped: floors that a user could have instead, measured on the same rows, and a verdict over
//! all of them.

use std::collections::BTreeMap;
use std::time::Instant;

use retune_data::{Column, Example, Target};
use retune_eval::{Cost, Event, Matrix, judge};
use retune_kernels::process;

use crate::error::Result;
use crate::floors::classical::{self, Classical, Effort};
use crate::job::Job;
use crate::model::Model;
use crate::ops;
use crate::outcome::{Outcome, predictions, selection};
use crate::plan::Plan;
use crate::recipe::VerdictLevel;
use crate::train::Flow;

/// Learning rate from random initialisation. Of 5e-5, 1e-4, 2e-4 and 3e-4 it gave the best mix of accuracy and ranking on
/// 1,400 sentences; above it, small encoders with norms behind their layers stay at the majority.
pub(crate) const SCRATCH_LR: f64 = 1e-4;

/// A floor, as measured on the test rows.
pub(crate) struct Floor {
    /// Its key in `baselines` and `verdict.floors`.
    pub name: &'static str,
    /// Scores of the test rows.
    pub scores: Matrix,
    /// What it took.
    pub cost: Cost,
}

/// Measures what something costs.
pub(crate) struct Meter {
    started: Instant,
    cpu: Option<f64>,
    energy: Option<f64>,
}

impl Meter {
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            cpu: process::cpu_seconds(),
            energy: process::energy_joules(),
        }
    }

    /// What has been used since the start.
    pub fn cost(&self) -> Cost {
        let since = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        Cost {
            seconds: self.started.elapsed().as_secs_f64(),
            cpu_seconds: since(process::cpu_seconds(), self.cpu),
            // A counter that has wrapped tells nothing.
            energy_joules: since(process::energy_joules(), self.energy).filter(|j| *j >= 0.0),
            peak_rss_bytes: process::peak_resident_bytes(),
            ..Cost::default()
        }
    }
}

/// Words and a linear model, without any pre-trained network; and what was selected for it. `None` without rows.
pub(crate) fn classical(plan: &Plan, effort: Effort) -> Option<(Floor, String)> {
    let meter = Meter::start();
    let (train, valid, test) = (
        texts(plan, &plan.train),
        texts(plan, &plan.valid),
        texts(plan, &plan.test),
    );
    let targets: Vec<Target> = plan.train.iter().map(|e| e.target.clone()).collect();
    let given = Classical {
        train: &train,
        targets: &targets,
        valid: &valid,
        test: &test,
        labels: plan.processor.labels(),
        effort,
    };
    let answers = classical::scores(&given, &|scores| {
        selection(plan, &predictions(plan, &plan.valid, scores.clone(), false)).score
    })?;
    let note = format!(
        "classical is TF-IDF with a linear model: {}",
        answers.setting
    );
    let floor = Floor {
        name: "classical",
        scores: answers.test,
        cost: meter.cost(),
    };
    Some((floor, note))
}

/// The text columns of rows.
pub(crate) fn texts(plan: &Plan, rows: &[Example]) -> Vec<Vec<String>> {
    let columns = plan.roles.text.iter();
    // The plan has checked that every text column is there.
    let columns: Vec<_> = columns
        .filter_map(|name| plan.table.column(name).ok())
        .collect();
    let of = |row: &Example| {
        let at = row.meta.row as usize;
        let cell = |column: &&Column| column.text(at).unwrap_or_default().into_owned();
        columns.iter().map(cell).collect()
    };
    rows.iter().map(of).collect()
}

/// The same architecture from random initialisation, with as many steps; and its best validation score.
pub(crate) fn scratch(
    plan: &Plan,
    on: &mut dyn FnMut(&Event) -> Flow,
) -> Result<(Floor, Option<f64>)> {
    let meter = Meter::start();
    let job = Job::new(plan).from_scratch(SCRATCH_LR);
    on(&Event::Stage {
        name: "scratch".to_string(),
        total: Some(job.steps.0),
    });
    let metric = plan.selecting_metric();
    let mut best: Option<f64> = None;
    let mut watch = |event: &Event| match event {
        Event::Step { step, .. } => on(&Event::Progress { done: *step }),
        Event::Validated { metrics, .. } => {
            let found = metrics.get(&metric.name).map(|value| metric.sign * value);
            best = best.into_iter().chain(found).reduce(f64::max);
            Flow::Continue
        }
        _ => Flow::Continue,
    };
    let (model, _) = job.model()?;
    let trained = crate::weights::params(&model).into_iter();
    let trained: usize = trained
        .map(|named| named.shape.iter().product::<usize>())
        .sum();
    let fitted = job.fit(model, None, (None, None), &mut watch)?;
    ops::cpu::release();
    let model: Model = job.finished(fitted.model)?;
    let (scores, _) = job.scores(&model, &plan.test, None, &mut |_| ());
    let cost = Cost {
        trained_parameters: Some(trained as u64),
        ..meter.cost()
    };
    let floor = Floor {
        name: "scratch",
        scores,
        cost,
    };
    Ok((floor, best))
}

/// What the floor from scratch is.
pub(crate) fn scratch_note() -> String {
    format!(
        "scratch is the same model from random numbers: as many steps, learning rate {SCRATCH_LR:e}"
    )
}

/// Seconds of training until the validation score was at least `wanted`, from the events of a run.
pub(crate) fn seconds_until(plan: &Plan, events: &[Event], wanted: f64) -> Option<f64> {
    let metric = plan.selecting_metric();
    let mut ms = 0.0;
    for event in events {
        match event {
            Event::Step {
                ms: step, wait_ms, ..
            } => ms += step + wait_ms,
            Event::Validated { metrics, .. } => {
                let found = metrics.get(&metric.name).map(|value| metric.sign * value);
                if found.is_some_and(|found| found >= wanted) {
                    return Some(ms / 1e3);
                }
            }
            _ => {}
        }
    }
    None
}

/// Adds the floors to the figures, and the verdict over them and over the prior; returns what each model cost, the
/// tuned one among them.
pub(crate) fn conclude(
    plan: &Plan,
    outcome: &mut Outcome,
    floors: &[Floor],
    tuned: Cost,
) -> BTreeMap<String, Cost> {
    let evaluation = plan.task.evaluation(plan.processor.labels());
    let seed = plan.recipe.seed;
    let of = |floor: &Floor| predictions(plan, &plan.test, floor.scores.clone(), false);
    let mut all = vec![outcome.prior(plan)];
    all.extend(floors.iter().map(|floor| (floor.name, of(floor))));
    for (name, floor) in &all {
        outcome
            .evaluated
            .compare(name, (&outcome.predictions, floor), &evaluation, seed);
    }
    if plan.recipe.verdict != VerdictLevel::Off {
        let sides: Vec<_> = all
            .iter()
            .map(|(name, floor)| (*name, vec![floor]))
            .collect();
        let verdict = judge(&[&outcome.predictions], &sides, &evaluation, seed);
        outcome.evaluated.verdict = Some(verdict);
    }
    let costs = floors
        .iter()
        .map(|floor| (floor.name.to_string(), floor.cost));
    costs.chain([("tuned".to_string(), tuned)]).collect()
}
