//! The one training loop.
//!
//! `fit` knows modules, batches and losses; it names no task, family or method. Micro-batches are
//! accumulated as sums and divided by their total weight once per optimiser step, so 8 batches of 1 give
//! the gradients of 1 batch of 8.

mod average;
pub mod groups;
pub mod optimizer;
pub mod schedule;
pub mod state;

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use burn::module::{Module, ParamId};
use retune_eval::Event;

use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::model::Pass;
use average::Average;
use groups::Groups;
use optimizer::{Gradients, Optimizer};
use schedule::Schedule;
use state::Snapshot;

/// What an observer asks of a running loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop after the step in flight and keep the best weights so far.
    Stop,
}

/// Knobs of the loop.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Optimiser steps in the whole run.
    pub steps: u64,
    /// Optimiser steps of one pass over the rows.
    pub steps_per_epoch: u64,
    /// Micro-batches per optimiser step.
    pub accumulate: usize,
    /// Peak learning rate.
    pub lr: f64,
    /// Share of the steps over which the rate rises from 0.
    pub warmup_share: f64,
    /// Shape of the rate after that.
    pub schedule: Schedule,
    /// Decoupled weight decay of matrices; biases and norms have none.
    pub weight_decay: f64,
    /// Largest global gradient norm; 0 turns clipping off.
    pub clip_norm: f64,
    /// Steps between validations, besides the one at the end of each epoch; 0 for none between.
    pub eval_every: u64,
    /// Validations without improvement before stopping; `None` never stops early.
    pub patience: Option<usize>,
    /// Seed of dropout.
    pub seed: u64,
    /// How each parameter trains.
    pub groups: Groups,
    /// Strength with which anchored parameters are pulled to where they began.
    pub anchor: f64,
    /// Decay of the average of the weights that is validated and kept; `None` for the weights themselves.
    pub average: Option<f64>,
    /// When the state is saved.
    pub save: SaveWhen,
}

/// When the state of a run is saved, besides its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SaveWhen {
    /// After every so many steps.
    Steps(u64),
    /// After the first step that ends so long after the last time.
    Time(Duration),
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            steps: 1,
            steps_per_epoch: 1,
            accumulate: 1,
            lr: 5e-5,
            warmup_share: 0.0,
            schedule: Schedule::Constant,
            weight_decay: 0.0,
            clip_norm: 0.0,
            eval_every: 0,
            patience: None,
            seed: 0,
            groups: Groups::default(),
            anchor: 0.0,
            average: None,
            save: SaveWhen::Time(Duration::MAX),
        }
    }
}

/// What a validation pass found.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// Mean loss.
    pub loss: f64,
    /// Metrics by name.
    pub metrics: BTreeMap<String, f64>,
    /// What selects the best model; larger is better.
    pub score: f64,
}

/// A trained model and how training ended.
#[derive(Debug)]
pub struct Fitted<M> {
    /// Weights of the best validation, or the last ones without validation.
    pub model: M,
    /// Step of these weights.
    pub best_step: u64,
    /// Optimiser steps done.
    pub steps: u64,
    /// Whether an observer stopped the run.
    pub interrupted: bool,
}

/// Where training stopped making sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Diverged {
    /// The step.
    pub step: u64,
    /// Path of the first parameter whose gradient is not finite; `None` when only the loss is not.
    pub tensor: Option<String>,
    /// Peak learning rate of the run.
    pub lr: f64,
    /// Epoch of the step, from 0.
    pub epoch: u64,
    /// Micro-batches of that epoch in the step.
    pub batches: Range<u64>,
}

/// One micro-batch and the number of tokens in it.
pub type Micro<B> = (B, u64);
/// The micro-batches of an epoch, in order; what cannot be read any more is an error.
pub type EpochBatches<'a, B> = Box<dyn Iterator<Item = Result<Micro<B>>> + 'a>;

/// Keeps a state of the run.
pub type Save<'a> = dyn FnMut(&Snapshot) -> Result<()> + 'a;
/// Sentences about a model and the gradients of its first step.
pub type First<M> = dyn Fn(&M, &Gradients) -> Vec<String>;

/// The functions a run is made of.
pub struct Parts<'a, M, B> {
    /// Micro-batches of an epoch (from 0).
    pub batches: &'a mut dyn FnMut(u64) -> EpochBatches<'a, B>,
    /// Loss of a micro-batch.
    pub loss: &'a dyn Fn(&M, &B, &Pass) -> Loss,
    /// Validation; called with a model outside the gradient graph.
    pub validate: &'a mut dyn FnMut(&M) -> Result<Validation>,
    /// Observer.
    pub on: &'a mut dyn FnMut(&Event) -> Flow,
    /// What there is to say about the gradients of the run's first step.
    pub first: Option<&'a First<M>>,
    /// Keeps the state of the run; `None` when nobody will go on with it.
    pub save: Option<&'a mut Save<'a>>,
}

/// Trains `model` for `options.steps` optimiser steps and returns the best weights. With `from` it goes on where
/// that state was taken: the result is the same, bit for bit, as without the break.
///
/// # Errors
/// [`Error::Diverged`] when the loss or the gradient is not finite; errors of `batches`, `validate` and `save` as they
/// are.
pub fn fit<'a, M, B>(
    model: M,
    parts: Parts<'a, M, B>,
    options: &'a TrainOptions,
    from: Option<Snapshot>,
) -> Result<Fitted<M>>
where
    M: Module + Clone,
{
    let mut optimizer = Optimizer::new(options.weight_decay);
    if options.anchor > 0.0 {
        optimizer = optimizer.anchored(&model, &options.groups, options.anchor);
    }
    let run = Loop {
        parts,
        options,
        optimizer,
        average: options.average.map(Average::new),
        statistics: HashSet::new(),
        best: None,
        stale: 0,
        step: 0,
        passes: 0,
        waited: Rc::default(),
        saved: Instant::now(),
        stop: None,
    };
    match from {
        None => run.train(model, (0, 0)),
        Some(snapshot) => {
            let at = (snapshot.state.epoch, snapshot.state.taken);
            let (run, model) = run.restored(model, snapshot);
            let model = options.groups.unfrozen(model, run.step);
            run.train(model, at)
        }
    }
}

/// The batches, with the time that each took to come added to `waited`.
fn timed<B>(
    mut batches: EpochBatches<'_, B>,
    waited: Rc<Cell<Duration>>,
) -> impl Iterator<Item = Result<Micro<B>>> {
    std::iter::from_fn(move || {
        let started = Instant::now();
        let next = batches.next();
        waited.set(waited.get() + started.elapsed());
        next
    })
}

struct Best<M> {
    score: f64,
    loss: f64,
    step: u64,
    model: M,
}

/// Sums over the micro-batches of a step.
#[derive(Default)]
struct Passed {
    sum: f64,
    weight: f64,
    tokens: u64,
    gradients: Gradients,
}

struct Loop<'a, M, B> {
    parts: Parts<'a, M, B>,
    options: &'a TrainOptions,
    optimizer: Optimizer,
    average: Option<Average>,
    /// Running statistics that batches have moved.
    statistics: HashSet<ParamId>,
    best: Option<Best<M>>,
    stale: usize,
    step: u64,
    passes: u64,
    /// Time spent waiting for batches since the last step.
    waited: Rc<Cell<Duration>>,
    saved: Instant,
    stop: Option<&'static str>,
}

impl<M: Module + Clone, B> Loop<'_, M, B> {
    /// From the `taken`-th micro-batch of `epoch` on.
    fn train(mut self, mut model: M, (mut epoch, mut taken): (u64, u64)) -> Result<Fitted<M>> {
        while self.stop.is_none() {
            let waited = Rc::clone(&self.waited);
            let batches = (self.parts.batches)(epoch).skip(taken as usize);
            let mut micro = timed(Box::new(batches), waited).peekable();
            if micro.peek().is_none() {
                return Err(Error::User(
                    "there is nothing to train on: no batches".to_string(),
                ));
            }
            while micro.peek().is_some() && self.stop.is_none() {
                let group: Vec<_> = micro
                    .by_ref()
                    .take(self.options.accumulate.max(1))
                    .collect::<Result<_>>()?;
                let these = (epoch, taken..taken + group.len() as u64);
                taken = these.1.end;
                model = self.step(model, group, these)?;
                if self.step == self.options.steps {
                    self.stop.get_or_insert("finished");
                }
                let every = self.options.eval_every;
                let due = every > 0 && self.step.is_multiple_of(every);
                let last = micro.peek().is_none();
                if due || last || self.stop.is_some() {
                    self.validate(&model)?;
                }
                if last {
                    (epoch, taken) = (epoch + 1, 0);
                }
                self.save(&model, (epoch, taken))?;
            }
        }
        Ok(self.finish(model))
    }

    /// Saves the state when it is time.
    fn save(&mut self, model: &M, at: (u64, u64)) -> Result<()> {
        let due = self.stop.is_some()
            || match self.options.save {
                SaveWhen::Steps(every) => self.step.is_multiple_of(every.max(1)),
                SaveWhen::Time(between) => self.saved.elapsed() >= between,
            };
        if !due || self.parts.save.is_none() {
            return Ok(());
        }
        let snapshot = self.snapshot(model, at);
        if let Some(save) = &mut self.parts.save {
            save(&snapshot)?;
        }
        self.saved = Instant::now();
        self.emit(&Event::Saved { step: self.step });
        Ok(())
    }

    /// One optimiser step over the micro-batches of `group`.
    fn step(&mut self, model: M, group: Vec<Micro<B>>, these: (u64, Range<u64>)) -> Result<M> {
        let started = Instant::now();
        let model = if self.options.groups.change_after(self.step) {
            self.options.groups.unfrozen(model, self.step)
        } else {
            model
        };
        let (model, passed) = self.passes(model, group);
        let (sum, gradients) = (passed.sum, passed.gradients);
        self.step += 1;
        let weight = passed.weight.max(f64::MIN_POSITIVE);
        let norm = gradients.norm() / weight;
        if !norm.is_finite() || !sum.is_finite() {
            return Err(self.diverged(&model, &gradients, these));
        }
        if let Some(first) = self.parts.first.filter(|_| self.step == 1) {
            for text in first(&model, &gradients) {
                self.emit(&Event::Note { text });
            }
        }
        let clip = match self.options.clip_norm {
            limit if limit > 0.0 => (limit / (norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        let lr = schedule::rate(self.options, self.step);
        let groups = &self.options.groups;
        let model = self
            .optimizer
            .step(model, gradients, groups, (lr, clip / weight));
        if let Some(average) = &mut self.average {
            average.add(&model, self.step);
        }
        self.emit(&Event::Step {
            step: self.step,
            steps: self.options.steps,
            epoch: self.step as f64 / self.options.steps_per_epoch.max(1) as f64,
            loss: sum / weight,
            lr,
            grad_norm: norm,
            tokens: passed.tokens,
            ms: started.elapsed().as_secs_f64() * 1e3,
            wait_ms: self.waited.take().as_secs_f64() * 1e3,
        });
        Ok(model)
    }

    /// Forward and backward passes over the micro-batches of a step, whose statistics the model takes in.
    fn passes(&mut self, mut model: M, group: Vec<Micro<B>>) -> (M, Passed) {
        let mut all = Passed::default();
        for (batch, tokens) in group {
            let pass = Pass {
                train: true,
                seed: self.options.seed,
                step: self.passes,
                ..Pass::default()
            };
            let loss = (self.parts.loss)(&model, &batch, &pass);
            all.sum += optimizer::scalar(loss.sum.clone());
            all.weight += loss.weight;
            all.tokens += tokens;
            all.gradients.add(&model, loss.sum.backward(), &pass.rows);
            let moved;
            (model, moved) = pass.statistics.apply(model);
            self.statistics.extend(moved);
            self.passes += 1;
        }
        (model, all)
    }

    fn diverged(&self, model: &M, found: &Gradients, these: (u64, Range<u64>)) -> Error {
        let broken = found.broken();
        let mut named = crate::weights::params(model).into_iter();
        let tensor = named.find(|named| Some(named.id) == broken);
        Error::Diverged(Box::new(Diverged {
            step: self.step,
            tensor: tensor.map(|named| named.path),
            lr: self.options.lr,
            epoch: these.0,
            batches: these.1,
        }))
    }

    fn validate(&mut self, model: &M) -> Result<()> {
        let model = match &self.average {
            Some(average) => average.of(model.clone()),
            None => model.clone(),
        };
        let found = (self.parts.validate)(&model)?;
        // Few validation rows tie often; the loss then tells the better model.
        let better = self.best.as_ref().is_none_or(|best| {
            found.score > best.score || (found.score == best.score && found.loss < best.loss)
        });
        self.emit(&Event::Validated {
            step: self.step,
            loss: found.loss,
            metrics: found.metrics,
            best: better,
        });
        if better {
            self.stale = 0;
            self.best = Some(Best {
                score: found.score,
                loss: found.loss,
                step: self.step,
                model,
            });
            return Ok(());
        }
        self.stale += 1;
        if self
            .options
            .patience
            .is_some_and(|limit| self.stale >= limit)
        {
            self.stop.get_or_insert("early_stopping");
        }
        Ok(())
    }

    fn emit(&mut self, event: &Event) {
        if (self.parts.on)(event) == Flow::Stop {
            self.stop = Some("interrupted");
        }
    }

    fn finish(mut self, last: M) -> Fitted<M> {
        let reason = self.stop.unwrap_or("finished");
        let (model, best_step) = match self.best.take() {
            Some(best) => (best.model, best.step),
            None => (last, self.step),
        };
        self.emit(&Event::Stopped {
            step: self.step,
            reason: reason.to_string(),
            best_step,
        });
        Fitted {
            model,
            best_step,
            steps: self.step,
            interrupted: reason == "interrupted",
        }
    }
}
