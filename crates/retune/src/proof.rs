//! The proof that tuning helped: floors that a user could have instead, measured on the same rows, and a verdict over
//! all of them.

use std::time::Instant;

use retune_data::example::Framed;
use retune_data::{Column, Example, Processor, Target};
use retune_eval::{Cost, Event, Matrix, judge};
use retune_kernels::process;

use crate::embedding;
use crate::error::Result;
use crate::features::SequenceVectors;
use crate::floors::classical::{self, Classical, Effort};
use crate::job::Job;
use crate::ops;
use crate::outcome::{Outcome, predictions, selection};
use crate::plan::Plan;
use crate::recipe::VerdictLevel;
use crate::train::Flow;

/// Learning rate from random initialisation. Of 5e-5, 1e-4, 2e-4 and 3e-4 it gave the best mix of accuracy and ranking on
/// 1,400 sentences; above it, small encoders with norms behind their layers stay at the majority.
const SCRATCH_LR: f64 = 1e-4;

/// A floor, as measured on the test rows.
pub(crate) struct Floor {
    /// Its key in `baselines` and `verdict.floors`.
    pub name: &'static str,
    /// Scores of the test rows, one matrix per seed.
    pub scores: Vec<Matrix>,
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

/// Words, or colours and edges, and a linear model, without any pre-trained network; and what was selected for it.
/// `None` without rows.
///
/// # Errors
/// A picture that cannot be read any more.
pub(crate) fn classical(
    plan: &Plan,
    (train, valid): (&[Example], &[Example]),
    effort: Effort,
) -> Result<Option<(Floor, String)>> {
    let meter = Meter::start();
    if let Some(vectors) = embedding::edges(plan)? {
        let floor = Floor {
            name: "classical",
            scores: vec![vectors],
            cost: meter.cost(),
        };
        return Ok(Some((floor, embedding::EDGES.to_string())));
    }
    let targets: Vec<Target> = train.iter().map(|e| e.target.clone()).collect();
    let score =
        |scores: &Matrix| selection(plan, &predictions(plan, valid, scores.clone(), false)).score;
    let given = Plain {
        train,
        targets: &targets,
        valid,
        test: &plan.test,
    };
    let found = given.scores(plan, effort, &score)?;
    Ok(found.map(|(test, note)| {
        let floor = Floor {
            name: "classical",
            scores: vec![test],
            cost: meter.cost(),
        };
        (floor, note)
    }))
}

/// Rows that a model without a pre-trained network learns from and answers.
pub(crate) struct Plain<'a> {
    /// Training rows.
    pub train: &'a [Example],
    /// Their targets.
    pub targets: &'a [Target],
    /// Rows on which settings are selected.
    pub valid: &'a [Example],
    /// Rows to answer.
    pub test: &'a [Example],
}

impl Plain<'_> {
    /// Answers of words, or of colours and edges, and a linear model, with what was selected; `None` without rows.
    ///
    /// # Errors
    /// A picture that cannot be read any more.
    pub fn scores(
        &self,
        plan: &Plan,
        effort: Effort,
        score: &dyn Fn(&Matrix) -> f64,
    ) -> Result<Option<(Matrix, String)>> {
        let (targets, labels) = (self.targets, plan.processor.labels());
        if let Processor::Image(processor) = &plan.processor {
            let given = classical::Pictures {
                processor,
                train: pictures(self.train),
                targets,
                valid: pictures(self.valid),
                test: pictures(self.test),
                labels,
                effort,
            };
            let found = classical::picture_scores(&given, score)?;
            return Ok(found.map(|(test, c)| {
                let note = format!("classical is colours and edges with a linear model: C = {c}");
                (test, note)
            }));
        }
        let given = Classical {
            train: &texts(plan, self.train),
            targets,
            valid: &texts(plan, self.valid),
            test: &texts(plan, self.test),
            labels,
            effort,
        };
        Ok(classical::scores(&given, score).map(|answers| {
            let note = format!(
                "classical is TF-IDF with a linear model: {}",
                answers.setting
            );
            (answers.test, note)
        }))
    }
}

fn pictures(rows: &[Example]) -> Vec<&Framed> {
    rows.iter().filter_map(Example::picture).collect()
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

/// The learning rate from random initialisation.
pub(crate) fn scratch_lr(plan: &Plan) -> f64 {
    SCRATCH_LR * plan.base.family.pace
}

/// Learning rates that the full proof tries from random initialisation, before the family's pace.
pub(crate) const SCRATCH_LRS: [f64; 4] = [5e-5, 1e-4, 2e-4, 5e-4];
/// How many times the steps of tuning the full proof gives the model from random initialisation.
pub(crate) const SCRATCH_STEPS: u64 = 5;
/// Models on each side of the full proof.
pub(crate) const SEEDS: u64 = 3;

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// The same architecture from random initialisation, its best validation score, and what it is in words. The full
/// proof searches its learning rate on the validation rows and trains it longer, three times. `None` when the observer
/// asked to stop.
pub(crate) fn scratch(plan: &Plan, on: On) -> Result<Option<Scratch>> {
    let meter = Meter::start();
    let new = |lr, seed| {
        let mut job = Job::new(plan).scratch(lr);
        job.recipe.seed = plan.recipe.seed.wrapping_add(seed);
        job
    };
    let usual = scratch_lr(plan);
    let (lr, factor, seeds) = if plan.recipe.verdict == VerdictLevel::Full {
        let mut found = Vec::new();
        for lr in SCRATCH_LRS.map(|lr| lr * plan.base.family.pace) {
            let Some(one) = attempt(&new(lr, 0), None, "scratch", on)? else {
                return Ok(None);
            };
            found.push((one.best.unwrap_or(f64::NEG_INFINITY), lr));
        }
        let best = found.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        (best.map_or(usual, |(_, lr)| lr), SCRATCH_STEPS, SEEDS)
    } else {
        (usual, 1, 1)
    };
    let (mut scores, mut best) = (Vec::new(), None);
    for seed in 0..seeds {
        let mut job = new(lr, seed);
        job.steps.0 *= factor;
        let Some(one) = attempt(&job, None, "scratch", on)? else {
            return Ok(None);
        };
        best = best.into_iter().chain(one.best).reduce(f64::max);
        scores.push(one.scores);
    }
    let cost = Cost {
        trained_parameters: Some(plan.summary.parameters[0] as u64),
        ..meter.cost()
    };
    let floor = Floor {
        name: "scratch",
        scores,
        cost,
    };
    let note = if factor == 1 {
        format!(
            "scratch is the same model from random numbers: as many steps, learning rate {lr:e}"
        )
    } else {
        format!(
            "scratch is the same model from random numbers: {factor} times the steps, learning rate {lr:e} (best of {} \
             on the validation rows), {seeds} seeds",
            SCRATCH_LRS.len()
        )
    };
    Ok(Some(Scratch { floor, best, note }))
}

/// What training from random initialisation gave.
pub(crate) struct Scratch {
    pub floor: Floor,
    /// Best validation score, larger is better.
    pub best: Option<f64>,
    /// What it is, in words.
    pub note: String,
}

/// The tuned model's scores with other seeds, for the full proof.
pub(crate) fn other_seeds(
    plan: &Plan,
    features: Option<&SequenceVectors>,
    on: On,
) -> Result<Vec<Matrix>> {
    if plan.recipe.verdict != VerdictLevel::Full {
        return Ok(Vec::new());
    }
    let again = |seed| {
        let mut job = Job::new(plan);
        job.recipe.seed = plan.recipe.seed.wrapping_add(seed);
        attempt(&job, features, "again", on)
    };
    let found: Result<Vec<_>> = (1..SEEDS).map(again).collect();
    Ok(found?.into_iter().flatten().map(|one| one.scores).collect())
}

/// What one training gave.
struct Attempt {
    scores: Matrix,
    /// Best validation score, larger is better.
    best: Option<f64>,
}

/// Trains once; `None` when the observer asked to stop.
fn attempt(
    job: &Job,
    features: Option<&SequenceVectors>,
    stage: &str,
    on: On,
) -> Result<Option<Attempt>> {
    on(&Event::Stage {
        name: stage.to_string(),
        total: Some(job.steps.0),
    });
    let metric = job.plan.selecting_metric();
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
    let fitted = job.fit(model, features, (None, None), &mut watch)?;
    ops::cpu::release();
    if fitted.interrupted {
        return Ok(None);
    }
    let (model, _) = job.finished(fitted.model)?;
    let scores = job.answers(&model, features, &mut |_| ())?;
    Ok(Some(Attempt { scores, best }))
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

/// Adds the floors to the figures, and the verdict over them and over the prior. `again` are scores of the tuned model
/// with other seeds.
pub(crate) fn conclude(plan: &Plan, outcome: &mut Outcome, floors: &[Floor], again: Vec<Matrix>) {
    let evaluation = plan.task.evaluation(plan.processor.labels());
    let seed = plan.recipe.seed;
    let of = |scores: &Matrix| predictions(plan, &plan.test, scores.clone(), false);
    let (name, prior) = outcome.prior(plan);
    let mut all = vec![(name, vec![prior])];
    for floor in floors {
        all.push((floor.name, floor.scores.iter().map(of).collect()));
    }
    for (name, floor) in &all {
        let first = (&outcome.predictions, &floor[0]);
        outcome.evaluated.compare(name, first, &evaluation, seed);
    }
    if plan.recipe.verdict == VerdictLevel::Off {
        return;
    }
    let again: Vec<_> = again.iter().map(of).collect();
    let tuned: Vec<_> = std::iter::once(&outcome.predictions)
        .chain(&again)
        .collect();
    let sides: Vec<_> = all
        .iter()
        .map(|(name, floor)| (*name, floor.iter().collect()))
        .collect();
    outcome.evaluated.verdict = Some(judge(&tuned, &sides, &evaluation, seed));
}
