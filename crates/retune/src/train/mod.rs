//! The one training loop.
//!
//! `fit` knows modules, batches and losses; it names no task, family or method. Micro-batches are
//! accumulated as sums and divided by their total weight once per optimiser step, so 8 batches of 1 give
//! the gradients of 1 batch of 8.

pub mod optimizer;
pub mod schedule;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use burn::module::Module;
use retune_eval::Event;

use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::model::Pass;
use crate::ops::RowSink;
use optimizer::{Gradients, Optimizer};
use schedule::Schedule;

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

/// One micro-batch and the number of tokens in it.
pub type Micro<B> = (B, u64);
/// The micro-batches of an epoch, in order.
pub type EpochBatches<'a, B> = Box<dyn Iterator<Item = Micro<B>> + 'a>;

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
}

/// Trains `model` for `options.steps` optimiser steps and returns the best weights.
///
/// # Errors
/// [`Error::User`] when the loss or the gradient is not finite; errors of `validate` as they are.
pub fn fit<'a, M, B>(
    model: M,
    parts: Parts<'a, M, B>,
    options: &'a TrainOptions,
) -> Result<Fitted<M>>
where
    M: Module + Clone,
{
    let run = Loop {
        parts,
        options,
        optimizer: Optimizer::new(options.weight_decay),
        best: None,
        stale: 0,
        step: 0,
        passes: 0,
        waited: Rc::default(),
        stop: None,
    };
    run.train(model)
}

/// The batches, with the time that each took to come added to `waited`.
fn timed<B>(
    mut batches: EpochBatches<'_, B>,
    waited: Rc<Cell<Duration>>,
) -> impl Iterator<Item = Micro<B>> {
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

struct Loop<'a, M, B> {
    parts: Parts<'a, M, B>,
    options: &'a TrainOptions,
    optimizer: Optimizer,
    best: Option<Best<M>>,
    stale: usize,
    step: u64,
    passes: u64,
    /// Time spent waiting for batches since the last step.
    waited: Rc<Cell<Duration>>,
    stop: Option<&'static str>,
}

impl<M: Module + Clone, B> Loop<'_, M, B> {
    fn train(mut self, mut model: M) -> Result<Fitted<M>> {
        let mut epoch = 0;
        while self.stop.is_none() {
            let waited = Rc::clone(&self.waited);
            let mut micro = timed((self.parts.batches)(epoch), waited).peekable();
            if micro.peek().is_none() {
                return Err(Error::User(
                    "there is nothing to train on: no batches".to_string(),
                ));
            }
            while micro.peek().is_some() && self.stop.is_none() {
                let group = micro
                    .by_ref()
                    .take(self.options.accumulate.max(1))
                    .collect();
                model = self.step(model, group)?;
                if self.step == self.options.steps {
                    self.stop.get_or_insert("finished");
                }
                let every = self.options.eval_every;
                let due = every > 0 && self.step.is_multiple_of(every);
                if due || micro.peek().is_none() || self.stop.is_some() {
                    self.validate(&model)?;
                }
            }
            epoch += 1;
        }
        Ok(self.finish(model))
    }

    /// One optimiser step over the micro-batches of `group`.
    fn step(&mut self, model: M, group: Vec<Micro<B>>) -> Result<M> {
        let started = Instant::now();
        let (mut sum, mut weight, mut tokens) = (0.0, 0.0, 0);
        let mut gradients = Gradients::default();
        for (batch, batch_tokens) in group {
            let pass = Pass {
                train: true,
                seed: self.options.seed,
                step: self.passes,
                rows: RowSink::default(),
            };
            let loss = (self.parts.loss)(&model, &batch, &pass);
            sum += optimizer::scalar(loss.sum.clone());
            weight += loss.weight;
            tokens += batch_tokens;
            gradients.add(&model, loss.sum.backward(), &pass.rows);
            self.passes += 1;
        }
        self.step += 1;
        let weight = weight.max(f64::MIN_POSITIVE);
        let norm = gradients.norm() / weight;
        if !norm.is_finite() || !sum.is_finite() {
            return Err(self.diverged());
        }
        let clip = match self.options.clip_norm {
            limit if limit > 0.0 => (limit / (norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        let lr = schedule::rate(self.options, self.step);
        let model = self.optimizer.step(model, gradients, lr, clip / weight);
        self.emit(&Event::Step {
            step: self.step,
            steps: self.options.steps,
            epoch: self.step as f64 / self.options.steps_per_epoch.max(1) as f64,
            loss: sum / weight,
            lr,
            grad_norm: norm,
            tokens,
            ms: started.elapsed().as_secs_f64() * 1e3,
            wait_ms: self.waited.take().as_secs_f64() * 1e3,
        });
        Ok(model)
    }

    fn diverged(&self) -> Error {
        Error::User(format!(
            "training diverged at step {}: the loss or its gradient is no longer finite; \
             try a lower learning rate (--lr {:e})",
            self.step,
            self.options.lr / 10.0
        ))
    }

    fn validate(&mut self, model: &M) -> Result<()> {
        let found = (self.parts.validate)(model)?;
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
                model: model.clone(),
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
