//! One training of a recommender: what it learns from, what it is selected by, and how it trains.

use std::sync::Arc;

use burn::module::Module as _;
use retune_data::batch::{BatchOptions, Order, plan_batches};
use retune_eval::Event;
use retune_eval::ranking::{Answer, Seen};
use retune_kernels::dropout::{Stream, mix};

use super::rank::{self, Asked};
use super::recommender::{Form, Known, Recommender};
use super::sequences::{History, SequenceBatch};
use crate::error::Result;
use crate::job::BETWEEN_STATES;
use crate::losses::Loss;
use crate::model::Pass;
use crate::ops::lengths::indices;
use crate::ops::{self, Drawn, Dropout, Precision, RankedRows};
use crate::scoring;
use crate::train::state::Snapshot;
use crate::train::{self, EpochBatches, Fitted, Flow, Parts, SaveWhen, TrainOptions, Validation};

/// Optimiser steps between validations, at least.
const LEAST_STEPS: u64 = 24;
/// Validations at most where the recipe names no number of passes.
const USUAL_VALIDATIONS: u64 = 100;

/// Users asked in a validation below which p of their next items selects, not where these stand.
const FEW_ASKED: usize = 1000;

/// Dropout of texts, and its site, which lies above those of the transformer.
const TEXT_DROPOUT: f64 = 0.3;
const TEXT_SITE: u64 = 1 << 34;

/// How a recommender trains.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// Passes over the histories at most; `None` for a hundred between whose validations there are enough steps.
    pub epochs: Option<f64>,
    /// Validations without improvement before stopping.
    pub patience: usize,
    /// Learning rate of Adam.
    pub lr: f64,
    /// Histories per optimiser step.
    pub batch: usize,
    /// Items drawn against which each next item is told apart; `None` for all items.
    pub negatives: Option<usize>,
    /// Decay of the average of the weights that is kept.
    pub average: Option<f64>,
    /// Optimiser steps at most.
    pub max_steps: Option<u64>,
    /// Optimiser steps between saved states; `None` for one a minute.
    pub checkpoint_every: Option<u64>,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Largest global gradient norm; 0 for none.
    pub clip_norm: f64,
    /// Format of the operands of products.
    pub precision: Precision,
    /// Seed of order, drawing and dropout.
    pub seed: u64,
}

/// One training.
pub struct Job<'a> {
    /// What the model is made of.
    pub form: &'a Form,
    /// How it trains.
    pub pace: Pace,
    /// What the model reads of the items, in the gradient graph's device.
    pub known: Known,
    /// What each user took before what is asked, with the user's key.
    pub learn: Vec<(u64, History<'a>)>,
    /// What the best weights are selected by.
    pub select: &'a Asked<'a>,
    /// Number of items.
    pub items: usize,
    /// Whether items of a history are ranked.
    pub seen: Seen,
}

/// A training batch: histories whose events name places among the items in play.
#[derive(Debug, Clone)]
pub struct Lesson {
    sequences: SequenceBatch,
    /// Rows of the items in play.
    rows: Arc<Vec<u32>>,
    /// Places of the drawn items among them; `None` where all compete.
    drawn: Option<Arc<Vec<u32>>>,
}

impl Lesson {
    /// Of histories that name rows of items, which all are `in_play` (sorted): against all of these, or against so many
    /// of them, drawn at random.
    fn new(
        mut sequences: SequenceBatch,
        in_play: &Arc<Vec<u32>>,
        negatives: Option<usize>,
        seed: u64,
    ) -> Self {
        let (rows, drawn) = match negatives {
            None => (Arc::clone(in_play), None),
            Some(k) => {
                let (rows, drawn) = drawn(&sequences, in_play, k, seed);
                (Arc::new(rows), Some(Arc::new(drawn)))
            }
        };
        let place = |row: &u32| rows.partition_point(|other| other < row) as u32;
        let ids = sequences.inputs.ids.iter().map(place);
        sequences.inputs.ids = Arc::new(ids.collect());
        sequences.next = Arc::new(sequences.next.iter().map(place).collect());
        Self {
            sequences,
            rows,
            drawn,
        }
    }
}

/// The rows that a batch is about, sorted: those it names and `k` drawn from `in_play`, with the places of the drawn
/// ones among them.
fn drawn(batch: &SequenceBatch, in_play: &[u32], k: usize, seed: u64) -> (Vec<u32>, Vec<u32>) {
    let draw = |i: u64| {
        let at = (u128::from(mix(seed ^ mix(i))) * in_play.len() as u128) >> 64;
        in_play[at as usize]
    };
    let mut drawn: Vec<u32> = (0..k as u64).map(draw).collect();
    drawn.sort_unstable();
    drawn.dedup();
    let named = batch.inputs.ids.iter().chain(batch.next.iter());
    let mut rows: Vec<u32> = named.chain(&drawn).copied().collect();
    rows.sort_unstable();
    rows.dedup();
    let place = |row: &u32| rows.partition_point(|other| other < row) as u32;
    let places = drawn.iter().map(place).collect();
    (rows, places)
}

/// Keeps the states of a training.
pub type Save<'a> = &'a mut dyn FnMut(&Snapshot) -> Result<()>;

impl Job<'_> {
    /// Trains `model` and returns the best weights.
    ///
    /// # Errors
    /// A loss or gradient that is not finite; a state that cannot be saved.
    pub fn fit(
        &self,
        model: Recommender,
        (mut save, from): (Option<Save<'_>>, Option<Snapshot>),
        on: &mut dyn FnMut(&Event) -> Flow,
    ) -> Result<Fitted<Recommender>> {
        let options = self.options();
        let saves = save.is_some();
        let mut keep = |snapshot: &Snapshot| save.as_mut().map_or(Ok(()), |save| save(snapshot));
        let in_play = self.in_play();
        let parts = Parts {
            batches: &mut |epoch| self.lessons(epoch, &in_play),
            loss: &|model: &Recommender, lesson: &Lesson, pass: &Pass| {
                self.loss(model, lesson, pass)
            },
            validate: &mut |model| {
                let plain = model.valid();
                let items = rank::item_vectors(&plain, &self.known.plain(), self.items);
                let of = (&self.form.body, &items);
                let answers = rank::answers(&plain, of, self.select, self.seen, &mut |_| ());
                Ok(validation(answers))
            },
            on,
            first: None,
            save: if saves { Some(&mut keep) } else { None },
        };
        train::fit(model, parts, &options, from)
    }

    /// Optimiser steps of one pass over the histories.
    fn pass(&self) -> u64 {
        self.learn.len().div_ceil(self.pace.batch.max(1)).max(1) as u64
    }

    /// Passes between validations: so few steps that nothing can be learned between two would end a training at once.
    fn passes(&self) -> u64 {
        LEAST_STEPS.div_ceil(self.pass())
    }

    /// Optimiser steps of the whole training and between validations.
    pub fn steps(&self) -> (u64, u64) {
        let each = self.passes() * self.pass();
        let whole = match self.pace.epochs {
            Some(epochs) => (epochs * self.pass() as f64).round() as u64,
            None => USUAL_VALIDATIONS * each,
        };
        let most = self.pace.max_steps.unwrap_or(u64::MAX);
        (whole.clamp(1, most), each)
    }

    fn options(&self) -> TrainOptions {
        let (steps, steps_per_epoch) = self.steps();
        TrainOptions {
            steps,
            steps_per_epoch,
            lr: self.pace.lr,
            patience: Some(self.pace.patience),
            weight_decay: self.pace.weight_decay,
            clip_norm: self.pace.clip_norm,
            seed: self.pace.seed,
            average: self.pace.average,
            save: match self.pace.checkpoint_every {
                Some(steps) => SaveWhen::Steps(steps),
                None => SaveWhen::Time(BETWEEN_STATES),
            },
            ..TrainOptions::default()
        }
    }

    /// Rows of the items that somebody has taken: an item that nobody has taken yet is not told apart from others as one
    /// that nobody wants.
    pub fn in_play(&self) -> Arc<Vec<u32>> {
        let mut taken = vec![false; self.items];
        for (_, history) in &self.learn {
            for item in history.items {
                taken[*item as usize] = true;
            }
        }
        let rows = (0..).zip(&taken).filter(|(_, taken)| **taken);
        Arc::new(rows.map(|(row, _)| row).collect())
    }

    /// The batches between two validations, which is an epoch to the loop.
    pub fn lessons<'b>(&'b self, epoch: u64, in_play: &Arc<Vec<u32>>) -> EpochBatches<'b, Lesson> {
        let seed = self.pace.seed;
        let options = BatchOptions {
            rows: self.pace.batch,
            max_tokens: usize::MAX,
            order: Order::Shuffled,
            seed,
        };
        let most = self.form.body.max_length + 1;
        let lengths: Vec<usize> = self
            .learn
            .iter()
            .map(|(_, h)| h.items.len().min(most))
            .collect();
        let in_play = Arc::clone(in_play);
        let passes = epoch * self.passes()..(epoch + 1) * self.passes();
        let batches = passes.flat_map(move |pass| plan_batches(&lengths, &options, pass));
        let batches = batches.zip(0..);
        Box::new(batches.map(move |(users, number)| {
            let one = |user: usize| (self.learn[user].0, self.learn[user].1.last(most));
            let histories: Vec<(u64, History)> = users.into_iter().map(one).collect();
            let sequences = SequenceBatch::learning(&histories, self.form.body.gaps);
            let events = sequences.inputs.ids.len() as u64;
            let draws = mix(seed ^ mix(epoch ^ mix(number)));
            Ok((
                Lesson::new(sequences, &in_play, self.pace.negatives, draws),
                events,
            ))
        }))
    }

    /// Sum over events of `-log p(next item)`.
    pub fn loss(&self, model: &Recommender, lesson: &Lesson, pass: &Pass) -> Loss {
        let rows = indices(&lesson.rows, &scoring::cpu(true));
        let mut known = self.known.select(&rows);
        if self.form.ids == 0 {
            let forget = |texts| ops::dropout_rows(texts, &forgetting(&lesson.rows, pass));
            known.texts = known.texts.map(forget);
        }
        let items = model.items(&known, &rows); // [items in play, vector width]
        let states = model.states(&items, &lesson.sequences, pass); // [events, vector width]
        let next = &lesson.sequences.next;
        let rows = RankedRows {
            targets: Arc::clone(next),
            weights: Arc::new(vec![1.0; next.len()]),
            precision: self.pace.precision,
        };
        let scale = model.scale(&items.device());
        let sum = match &lesson.drawn {
            None => ops::ranking_loss(states, items, scale, &rows),
            Some(ids) => {
                let own = indices(next, &items.device());
                let others = indices(ids, &items.device());
                let drawn = Drawn {
                    positives: items.clone().select(0, own),
                    negatives: items.select(0, others),
                    ids: Arc::clone(ids),
                };
                ops::sampled_ranking_loss(states, drawn, scale, &rows)
            }
        };
        Loss {
            sum,
            weight: next.len() as f64,
        }
    }
}

/// What a validation found. Few users' standings say little: whether an item stands 10th or 11th is then chance, and
/// what p the next items have tells the better model.
fn validation(answers: Vec<(Answer, f64)>) -> Validation {
    let losses: f64 = answers.iter().map(|(_, loss)| loss).sum();
    let loss = losses / answers.len().max(1) as f64;
    let few = answers.len() < FEW_ASKED;
    let answers: Vec<Answer> = answers.into_iter().map(|(answer, _)| answer).collect();
    let metrics = rank::means(&answers);
    Validation {
        loss,
        score: if few { -loss } else { metrics[super::PRIMARY] },
        metrics,
    }
}

/// Dropout of the texts of items that have nothing else: a model that knows each of them by heart knows nothing of another
/// catalogue.
fn forgetting(rows: &[u32], pass: &Pass) -> Dropout {
    Dropout {
        p: if pass.train { TEXT_DROPOUT } else { 0.0 },
        stream: Stream {
            seed: pass.seed,
            step: pass.step,
            site: TEXT_SITE,
        },
        keys: Arc::new(rows.iter().map(|row| u64::from(*row)).collect()),
    }
}
