//! One training: a model, rows and knobs. A run is one; its floors and searches are more of the same plan.

use std::collections::BTreeMap;
use std::time::Duration;

use retune_data::Example;
use retune_data::batch::{HostBatch, Views, prefetch};
use retune_data::picture::Knobs;
use retune_data::picture::augment::Changes;
use retune_eval::{Event, Matrix};

use crate::doctor;
use crate::embedding;
use crate::error::{Error, Result};
use crate::features::SequenceVectors;
use crate::losses::Objective;
use crate::methods::{self, MethodRecipe};
use crate::model::{Inputs, Model, Pass};
use crate::outcome::{predictions, selection};
use crate::plan::{Plan, TrainRows, micro_batches, steps};
use crate::recipe::Recipe;
use crate::scoring;
use crate::train::state::Snapshot;
use crate::train::{self, EpochBatches, Fitted, Flow, Parts, SaveWhen, TrainOptions, Validation};
use crate::weights::{HostTensor, LoadReport, Norms, Place, host_values, merged, with_values};

/// Time between saved states when the recipe names no number of steps.
pub(crate) const BETWEEN_STATES: Duration = Duration::from_mins(1);

/// What a model begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The plan's checkpoint.
    Pretrained,
    /// Fresh random numbers.
    Scratch,
}

/// One training.
pub(crate) struct Job<'a> {
    pub plan: &'a Plan,
    /// The plan's recipe, or one with other knobs.
    pub recipe: Recipe,
    /// The plan's training rows, or others.
    pub rows: &'a [Example],
    /// Rows that are trained on again.
    pub replay: &'a [Example],
    /// The plan's validation rows, or fewer.
    pub valid: &'a [Example],
    pub start: Start,
    /// Optimiser steps of the whole training and of one epoch.
    pub steps: (u64, u64),
    /// Whether the last weights are kept: where no row is left to select by.
    pub keeps_last: bool,
}

/// Keeps the states of a training.
pub(crate) type Save<'a> = &'a mut dyn FnMut(&Snapshot) -> Result<()>;

impl<'a> Job<'a> {
    /// The training that the plan is for.
    pub fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            recipe: plan.recipe.clone(),
            rows: &plan.train,
            replay: &plan.replay,
            valid: &plan.valid,
            start: Start::Pretrained,
            steps: (plan.summary.steps, plan.summary.steps_per_epoch),
            keeps_last: false,
        }
    }

    /// The same on fewer rows for training and validation and none again, with at least so many steps.
    #[must_use]
    pub fn on(mut self, (rows, valid): (&'a [Example], &'a [Example]), least: u64) -> Self {
        (self.rows, self.valid, self.replay) = (rows, valid, &[]);
        let (whole, epoch) = steps(&self.recipe, self.train_rows());
        self.steps = (whole.max(least), epoch);
        self
    }

    /// The same on every row there is, for as many passes as gave the best weights.
    #[must_use]
    pub fn on_all(mut self, rows: &'a [Example], best_step: u64) -> Self {
        let before = self.rows.len().max(1) as f64;
        self.rows = rows;
        self.keeps_last = true;
        let factor = rows.len() as f64 / before;
        self.steps.0 = ((best_step as f64 * factor).round() as u64).max(1);
        self.steps.1 = steps(&self.recipe, self.train_rows()).1;
        self
    }

    /// The same architecture from random numbers, all of it training.
    #[must_use]
    pub fn scratch(mut self, lr: f64) -> Self {
        self.start = Start::Scratch;
        self.recipe.method = MethodRecipe::default();
        self.recipe.train.lr = Some(lr);
        self.recipe.train.layer_decay = 1.0;
        self.recipe.train.l2sp = 0.0;
        self.recipe.train.wise_ft = None;
        self
    }

    /// The rows of an epoch.
    pub fn train_rows(&self) -> TrainRows<'a> {
        TrainRows {
            train: self.rows,
            replay: self.replay,
        }
    }

    fn layers(&self) -> usize {
        self.plan.base.facts.layers
    }

    /// The model at the start, in the gradient graph, its head in the units of the task.
    pub fn model(&self) -> Result<(Model, LoadReport)> {
        let (plan, recipe) = (self.plan, &self.recipe);
        let labels = plan.processor.labels();
        let method = recipe.method.method();
        let place = Place {
            adapters: method.adapters(plan.base.family.adapted),
            norms: match self.start {
                Start::Scratch => Norms::Fresh,
                Start::Pretrained => recipe.pictures.norms,
            },
            ..Place::cpu(true, recipe.products())
        };
        let dropout = recipe.train.dropout;
        let (mut model, loaded) = match self.start {
            Start::Pretrained => plan.base.build(labels, &place, recipe.seed, dropout)?,
            Start::Scratch => plan
                .base
                .build_fresh(labels, &place, recipe.seed, dropout)?,
        };
        let units = plan.task.units(labels);
        model.head = model.head.in_units(units, loaded.head_is_new());
        model.head = model.head.in_form(plan.task.form());
        if method.frozen_backbone() {
            // A backbone that stays as it is says most in the vectors that it was trained to give.
            model.head.pooling = plan.base.pooling;
        }
        Ok((model, loaded))
    }

    /// Trains `model` and returns the best weights.
    pub fn fit(
        &self,
        model: Model,
        features: Option<&SequenceVectors>,
        (mut save, from): (Option<Save<'_>>, Option<Snapshot>),
        on: &mut dyn FnMut(&Event) -> Flow,
    ) -> Result<Fitted<Model>> {
        let plan = self.plan;
        let method = self.recipe.method.method();
        let model = methods::prepare(method, model, self.layers());
        let options = self.options(&model);
        let labels = plan.processor.labels();
        let objective = Objective::new(&self.recipe.loss, labels, self.rows);
        let objective = objective.map_err(|problem| Error::Problems(vec![problem]))?;
        let quiet = &mut |_| ();
        let mut validations = 0.0;
        let saves = save.is_some();
        let mut keep = |snapshot: &Snapshot| save.as_mut().map_or(Ok(()), |save| save(snapshot));
        let parts = Parts {
            batches: &mut |epoch| self.batches(epoch, features.is_some()),
            loss: &|model: &Model, batch: &HostBatch, pass: &Pass| {
                let inputs = Inputs::new(batch);
                let output = match features {
                    Some(known) => model.output_from(known.batch(batch, true), &inputs, pass),
                    None => model.output(&inputs, pass),
                };
                plan.task.batch_loss(output, labels, batch, &objective)
            },
            validate: &mut |model| {
                if self.keeps_last {
                    validations += 1.0;
                    return Ok(Validation {
                        loss: 0.0,
                        metrics: BTreeMap::new(),
                        score: validations,
                    });
                }
                let plain = scoring::plain(model);
                let (scores, loss) = self.scores(&plain, self.valid, features, quiet)?;
                let found = selection(plan, &predictions(plan, self.valid, scores, false));
                Ok(Validation { loss, ..found })
            },
            on,
            first: Some(&doctor::without_gradient),
            save: if saves { Some(&mut keep) } else { None },
        };
        train::fit(model, parts, &options, from)
    }

    /// Scores of `rows`, `[rows, outputs]`, and their mean loss.
    ///
    /// # Errors
    /// A picture that cannot be read any more.
    pub fn scores(
        &self,
        model: &Model,
        rows: &[Example],
        features: Option<&SequenceVectors>,
        on: &mut dyn FnMut(usize),
    ) -> Result<(Matrix, f64)> {
        let (task, processor) = (self.plan.task, &self.plan.processor);
        let Some(known) = features else {
            return scoring::scores(model, task, processor, rows, on);
        };
        let outputs = |host: &HostBatch| known.outputs(model, host);
        scoring::scores_of(&outputs, task, processor, (rows, Views::Known), on)
    }

    /// Scores of the test rows as the run answers them, over the views of pictures that the recipe asks for; where vectors
    /// are rated, with those of the gallery behind them.
    ///
    /// # Errors
    /// As [`Job::scores`].
    pub fn answers(
        &self,
        model: &Model,
        features: Option<&SequenceVectors>,
        on: &mut dyn FnMut(usize),
    ) -> Result<Matrix> {
        let (plan, rows) = (self.plan, &*embedding::rated_rows(self.plan));
        let (first, _) = self.scores(model, rows, features, on)?;
        let tta = self.recipe.pictures.tta;
        scoring::over_views(first, (model, plan.task), &plan.processor, (rows, tta))
    }

    fn options(&self, model: &Model) -> TrainOptions {
        let train = &self.recipe.train;
        let (steps, steps_per_epoch) = self.steps;
        let every = steps_per_epoch / train.evals_per_epoch.max(1) as u64;
        let method = self.recipe.method.method();
        let pace = (steps, train.layer_decay, train.l2sp > 0.0);
        TrainOptions {
            steps,
            steps_per_epoch,
            accumulate: train.accumulate,
            lr: self.recipe.lr(),
            warmup_share: train.warmup_share,
            schedule: train.schedule,
            weight_decay: train.weight_decay,
            clip_norm: train.clip_norm,
            eval_every: if train.evals_per_epoch > 1 {
                every.max(1)
            } else {
                0
            },
            patience: train.patience,
            seed: self.recipe.seed,
            groups: methods::groups(method, model, self.layers(), pace),
            anchor: train.l2sp,
            average: train.ema,
            save: match train.checkpoint_every {
                Some(steps) => SaveWhen::Steps(steps),
                None => SaveWhen::Time(BETWEEN_STATES),
            },
        }
    }

    /// Micro-batches of an epoch, collated ahead on a background thread; without pictures where what the backbone makes
    /// of them is `known`.
    fn batches(&self, epoch: u64, known: bool) -> EpochBatches<'static, HostBatch> {
        let from = self.train_rows();
        let batches = micro_batches(&self.recipe, from, epoch);
        let processor = self.plan.processor.clone();
        let changes = self.changes(epoch);
        let rows: Vec<Vec<Example>> = batches
            .into_iter()
            .map(|batch| batch.into_iter().map(|i| from.get(i).clone()).collect())
            .collect();
        let collated = rows.into_iter().map(move |rows| {
            let refs: Vec<&Example> = rows.iter().collect();
            let views = match &changes {
                _ if known => Views::Known,
                Some(changes) => Views::Changed(changes),
                None => Views::Plain,
            };
            let batch = processor.collate(&refs, views)?;
            let tokens = batch.ids.len() as u64;
            Ok((batch, tokens))
        });
        Box::new(prefetch(collated, 4))
    }

    /// How the pictures of an epoch are changed; `None` where they are read as they are.
    fn changes(&self, epoch: u64) -> Option<Changes> {
        let knobs = self.recipe.pictures.knobs();
        (knobs != Knobs::default()).then_some(Changes {
            knobs,
            seed: self.recipe.seed,
            epoch,
        })
    }

    /// The tuned model as it is used: outside the gradient graph, its head in the user's units, low-rank updates
    /// added to their weights, and the pre-trained weights mixed in where the recipe says so. Beside it the factors of
    /// the updates that were added, by path; none for other methods.
    pub fn finished(&self, fitted: Model) -> Result<(Model, Vec<HostTensor>)> {
        let mut tuned = scoring::plain(&fitted);
        drop(fitted);
        tuned.head = tuned.head.folded();
        let method = self.recipe.method.method();
        let adapters = method.adapters(self.plan.base.family.adapted);
        let share = self.recipe.train.wise_ft;
        if adapters.is_none() && share.is_none() {
            return Ok((tuned, Vec::new()));
        }
        let mut values = host_values(&tuned);
        // The head's dropout and units travel with it; the backbone need not stay in memory beside what is built of it.
        let Model { head, backbone } = tuned;
        drop(backbone);
        let updates = factors(&values, share.unwrap_or(1.0));
        if let Some(adapters) = adapters {
            values = merged(values, adapters.scale);
        }
        let place = Place::cpu(false, self.recipe.products());
        let labels = self.plan.processor.labels();
        let (base, _) = self
            .plan
            .base
            .build(labels, &place, self.recipe.seed, None)?;
        if let Some(share) = share {
            values = mixed(&host_values(&base), values, share);
        }
        let mut whole = with_values(base, &|path| {
            let found = values.iter().find(|(name, ..)| name == path);
            found.map(|(_, _, values)| values.clone())
        });
        whole.head = head;
        Ok((whole, updates))
    }
}

/// The factors of low-rank updates, of which `share` is added: the second one is scaled.
fn factors(tensors: &[HostTensor], share: f64) -> Vec<HostTensor> {
    let updates = tensors
        .iter()
        .filter(|(path, ..)| path.contains(".adapter."));
    let scaled = |(path, shape, values): &HostTensor| {
        let by = if path.rsplit('.').next() == Some("up") {
            share as f32
        } else {
            1.0
        };
        let values = values.iter().map(|value| by * value).collect();
        (path.clone(), shape.clone(), values)
    };
    updates.map(scaled).collect()
}

/// `share` of the tuned backbone and the rest of the pre-trained one (Wortsman et al., "WiSE-FT",
/// arXiv:2109.01903); the head, which is new, stays as tuned.
fn mixed(base: &[HostTensor], tuned: Vec<HostTensor>, share: f64) -> Vec<HostTensor> {
    let mix = |(path, shape, values): HostTensor| {
        let before = base.iter().find(|(name, ..)| *name == path);
        let values = match before {
            Some((_, _, before)) if !path.starts_with("head.") => {
                let pairs = before.iter().zip(values);
                let mix = |(b, t): (&f32, f32)| {
                    (f64::from(*b) + share * (f64::from(t) - f64::from(*b))) as f32
                };
                pairs.map(mix).collect()
            }
            _ => values,
        };
        (path, shape, values)
    };
    tuned.into_iter().map(mix).collect()
}
