//! Which learning rate to train with, by a range test (Smith, arXiv:1506.01186): a short training of a throw-away model
//! through the one loop, at rates that rise by equal factors. [`retune_eval::range_test`] reads its losses.

use retune_eval::range_test::{LEAST_STEPS, Watch};
use retune_eval::{Event, RangeTest, TestEnd};

use crate::error::{Error, Problem, Result};
use crate::job::Job;
use crate::ops;
use crate::plan::Plan;
use crate::run::{known_features, on_threads, stage};
use crate::train::Flow;
use crate::train::schedule::Schedule;

/// Most steps of a test.
const MOST_STEPS: u64 = 10_000;
/// Largest rate that can be asked for.
const HIGHEST: f64 = 100.0;

/// The rates of a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Rate of the first step.
    pub from: f64,
    /// Rate of the last step.
    pub to: f64,
    /// Optimiser steps, one rate each.
    pub steps: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            from: 1e-7,
            to: 1.0,
            steps: 400,
        }
    }
}

impl Rates {
    /// What cannot be tried, by the names of the flags.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let Self { from, to, steps } = *self;
        if !(from > 0.0 && from < HIGHEST) {
            let text = format!("{from:e} is out of range 0 to {HIGHEST}; try 1e-7");
            found.push(Problem::new("--from", text));
        } else if !(to > from && to <= HIGHEST) {
            let text = format!("{to:e} is out of range {from:e} (--from) to {HIGHEST}; try 1");
            found.push(Problem::new("--to", text));
        }
        if !(LEAST_STEPS as u64..=MOST_STEPS).contains(&steps) {
            let text = format!("{steps} is out of range {LEAST_STEPS} to {MOST_STEPS}; try 400");
            found.push(Problem::new("--steps", text));
        }
        found
    }
}

/// Trains at the rates, from the lowest up, until the loss has risen far above its least level, and says what the losses
/// show. Only training rows are used; nothing is validated or saved.
///
/// # Errors
/// [`Error::Problems`] for rates that cannot be tried; an observer that asks to stop.
pub fn lr_find(
    plan: &Plan,
    rates: &Rates,
    on: &mut (dyn FnMut(&Event) -> Flow + Send),
) -> Result<RangeTest> {
    let problems = rates.problems();
    if !problems.is_empty() {
        return Err(Error::Problems(problems));
    }
    on_threads(&plan.recipe, || tested(plan, rates, on))
}

fn tested(plan: &Plan, rates: &Rates, on: &mut dyn FnMut(&Event) -> Flow) -> Result<RangeTest> {
    let mut job = Job::new(plan);
    let train = &mut job.recipe.train;
    train.lr = Some(rates.to);
    train.schedule = Schedule::Exponential(rates.from / rates.to);
    train.warmup_share = 0.0;
    job.steps.0 = rates.steps;
    // The model is thrown away: there is nothing to select.
    job.keeps_last = true;
    let (model, _) = job.model()?;
    let rows = [plan.train.as_slice(), &plan.replay];
    let features = known_features(&job, &model, &rows, on)?;
    stage(on, "rates", Some(rates.steps));
    let mut levels = Watch::new(rates.steps as usize);
    let (mut found, mut rose) = (Vec::new(), false);
    let mut watch = |event: &Event| match event {
        Event::Step { step, lr, loss, .. } => {
            found.push((*lr, *loss));
            rose = levels.risen(*loss);
            let asked = on(&Event::Progress { done: *step });
            if rose { Flow::Stop } else { asked }
        }
        Event::Note { .. } => on(event),
        _ => Flow::Continue,
    };
    let fitted = job.fit(model, features.as_ref(), (None, None), &mut watch);
    ops::cpu::release();
    let end = match fitted {
        Ok(fitted) if fitted.interrupted && !rose => {
            return Err(Error::User(
                "stopped before the rates were tried; type the command again".to_string(),
            ));
        }
        Ok(_) if rose => TestEnd::Rose,
        Ok(_) => TestEnd::Finished,
        Err(Error::Diverged(_)) => TestEnd::Diverged,
        Err(error) => return Err(error),
    };
    Ok(RangeTest::new(&found, rates.steps as usize, end))
}
