//! The model of events: codes become vectors, those of a card a state after each event, and a state tells the next one.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, activation};
use retune_data::timelines::{DAY, NUMBERS};
use serde::{Deserialize, Serialize};

use super::batch::{EventBatch, Hidden};
use crate::losses::Loss;
use crate::model::Pass;
use crate::nn::{LayerNorm, Linear};
use crate::ops::lengths::{indices, upload};
use crate::ops::{self, Activation, Lookup};
use crate::seq::{Seq, SeqConfig};
use crate::weights::{Init, Source, WeightsError};

/// Tables that are looked up at once.
const AT_ONCE: usize = 3;
/// Standard deviation of fresh vectors of codes.
const SPREAD: f64 = 0.1;
/// Added to variances.
const EPS: f64 = 1e-6;
/// Width of the network of one event, in widths.
const INNER: usize = 2;

/// What a model is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventForm {
    /// The transformer over the events of a card.
    pub body: SeqConfig,
    /// How many codes each part of an event has, the hidden one included.
    pub sizes: Vec<usize>,
}

impl EventForm {
    /// Parts of an event that are told in advance: all but the day, which follows from the event before and the gap.
    pub fn foretold(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.sizes.len()).filter(|at| *at != DAY)
    }

    /// Numbers that [`EventModel::surprises`] says of an event: one for each part that is foretold, and the share of larger
    /// amounts.
    pub fn surprises(&self) -> usize {
        self.sizes.len()
    }
}

/// The model.
#[derive(Module, Debug)]
pub struct EventModel {
    /// Vectors of codes, by their place in an event, `[codes, width]` each.
    tables: Vec<Param<Tensor<2>>>,
    /// `[width, NUMBERS]`.
    numbers: Linear,
    norm: LayerNorm,
    up: Linear,
    down: Linear,
    body: Seq,
    /// What is known of a card without events, `[1, width]`.
    start: Param<Tensor<2>>,
    /// From what is known before an event to the codes of its parts.
    next: Vec<Linear>,
    /// From what is known with an event to the codes of it that are hidden.
    hidden: Vec<Linear>,
    #[module(skip)]
    form: EventForm,
}

/// What is known before and after each event, `[events, width]` each.
pub struct States {
    before: Tensor<2>,
    /// After the event.
    pub after: Tensor<2>,
}

impl EventModel {
    /// Reads its parts at `path`; parts of events beyond the roles that the source does not have begin anew, as zero.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(source: &mut Source, path: &str, form: &EventForm) -> Result<Self, WeightsError> {
        let width = form.body.width;
        let mut linear = |name: &str, input, output| {
            Linear::load(source, &format!("{path}.{name}"), input, output)
        };
        let (numbers, up, down) = (
            linear("numbers", NUMBERS, width)?,
            linear("up", width, INNER * width)?,
            linear("down", INNER * width, width)?,
        );
        let mut tables = Vec::new();
        let (mut next, mut hidden) = (Vec::new(), Vec::new());
        let norm = LayerNorm::load(source, &format!("{path}.norm"), width, EPS)?;
        let body = Seq::load(source, &format!("{path}.body"), &form.body)?;
        let start = source.param(&format!("{path}.start"), [1, width], Init::Zeros)?;
        for (at, size) in form.sizes.iter().enumerate() {
            tables.push(source.param(
                &format!("{path}.tables.{at}"),
                [*size, width],
                Init::Spread { std: SPREAD },
            )?);
            next.push(Linear::load(
                source,
                &format!("{path}.next.{at}"),
                width,
                *size,
            )?);
            hidden.push(Linear::load(
                source,
                &format!("{path}.hidden.{at}"),
                width,
                *size,
            )?);
        }
        Ok(Self {
            tables,
            numbers,
            norm,
            up,
            down,
            body,
            start,
            next,
            hidden,
            form: form.clone(),
        })
    }

    /// What it is made of.
    pub fn form(&self) -> &EventForm {
        &self.form
    }

    /// What is known before and after each event of a batch.
    pub fn states(&self, batch: &EventBatch, pass: &Pass) -> States {
        let events = batch.events();
        let device = self.start.val().device();
        let lookups: Vec<Lookup> = self
            .tables
            .iter()
            .zip(&batch.codes)
            .map(|(table, ids)| Lookup { table, ids })
            .collect();
        let numbers = upload(batch.numbers.clone(), [events, NUMBERS], &device);
        let mut x = self
            .numbers
            .forward(numbers, Activation::None)
            .cast(DType::F32); // [events, width]
        for some in lookups.chunks(AT_ONCE) {
            x = x + ops::embedding(some, &pass.rows);
        }
        let inner = self
            .up
            .forward(self.norm.forward(x.clone(), None, None), Activation::Gelu); // [events, 2 width]
        let x = x + self.down.forward(inner, Activation::None).cast(DType::F32);
        let after = self.body.forward(x, &batch.marks, &batch.inputs, pass); // [events, width]
        let before = Tensor::cat(vec![self.start.val(), after.clone()], 0); // [1 + events, width]
        States {
            before: before.select(0, indices(&batch.before_rows(), &device)),
            after,
        }
    }

    /// Sum over the events of a batch of `-log p` of each part that is foretold, and of each that was hidden.
    pub fn loss(&self, batch: &EventBatch, hidden: &Hidden, pass: &Pass) -> Loss {
        let states = self.states(batch, pass);
        let ones = Arc::new(vec![1f32; batch.events()]);
        let mut sum: Option<Tensor<1>> = None;
        let mut add =
            |part: Tensor<1>| sum = Some(sum.take().map_or(part.clone(), |sum| sum + part));
        for at in self.form.foretold() {
            let (codes, asked) = &hidden[at];
            let logits = self.next[at].forward(states.before.clone(), Activation::None);
            add(ops::cross_entropy(logits.cast(DType::F32), codes, &ones));
            let logits = self.hidden[at].forward(states.after.clone(), Activation::None);
            add(ops::cross_entropy(logits.cast(DType::F32), codes, asked));
        }
        Loss {
            sum: sum.unwrap_or_else(|| unreachable!("every event has parts")),
            weight: batch.events() as f64,
        }
    }

    /// What surprises about the events at `at`: `-log p` of each part that is foretold, given what was known before, and last
    /// the probability of an amount at least as large: `[at.len(), EventForm::surprises]`.
    pub fn surprises(&self, states: &States, batch: &EventBatch, at: &[u32]) -> Tensor<2> {
        let device = states.before.device();
        let before = states.before.clone().select(0, indices(at, &device)); // [at, width]
        let mut found = Vec::new();
        let mut larger = None;
        for part in self.form.foretold() {
            let size = self.form.sizes[part];
            let logits = self.next[part].forward(before.clone(), Activation::None);
            let log = activation::log_softmax(logits.cast(DType::F32), 1); // [at, codes]
            let codes = || {
                at.iter()
                    .map(|row| batch.codes[part][*row as usize] as usize)
            };
            let marked = |from: bool| {
                let row = |code: usize| {
                    (0..size).map(move |c| f32::from(u8::from(c == code || from && c > code)))
                };
                upload(codes().flat_map(row).collect(), [at.len(), size], &device)
            };
            found.push((log.clone() * marked(false)).sum_dim(1).neg());
            if larger.is_none() {
                larger = Some((log.exp() * marked(true)).sum_dim(1));
            }
        }
        found.extend(larger);
        Tensor::cat(found, 1)
    }

    /// What a network reads of the events at `at`: the state after each, and what surprises about it, `[at.len(), width +
    /// EventForm::surprises]`.
    pub fn told(&self, batch: &EventBatch, at: &[u32], pass: &Pass) -> Tensor<2> {
        let states = self.states(batch, pass);
        let surprises = self.surprises(&states, batch, at);
        let state = states.after.select(0, indices(at, &surprises.device()));
        Tensor::cat(vec![state, surprises], 1)
    }
}
