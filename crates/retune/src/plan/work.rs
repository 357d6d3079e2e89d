//! What memory and time of a run depend on: the model's parameters, the rows, and a recipe, which may be another than
//! the plan's, to see what a change would do.

use retune_data::Example;
use retune_data::processor::Long;

use super::batches::{TrainRows, batches_by};
use crate::families::Facts;
use crate::methods::{Method, Place};
use crate::recipe::Recipe;
use crate::scoring;

/// A parameter of the model without low-rank updates: its place and its shape.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub place: Place,
    pub shape: Vec<usize>,
}

/// The work of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work<'a> {
    pub recipe: &'a Recipe,
    pub facts: Facts,
    /// Layers that the family recommends for low-rank updates.
    pub adapted: &'a [&'a str],
    pub model: &'a [Part],
    pub rows: TrainRows<'a>,
    /// Validation and test rows.
    pub others: [&'a [Example]; 2],
    /// Most tokens per text, or per chunk of it.
    pub max_length: usize,
    /// Pixels of a picture; 0 for texts.
    pub pixels: usize,
    /// Steps of the run and of its first epoch.
    pub steps: (u64, u64),
    /// Bytes of the rows as read: texts, labels, tokens.
    pub data_bytes: f64,
    /// Bytes of the texts of the training rows.
    pub text_bytes: f64,
    /// Bytes of `tokenizer.json`.
    pub tokenizer_bytes: f64,
}

/// Numbers of parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sizes {
    /// All of them.
    pub all: usize,
    /// Those that train at some time.
    pub trained: usize,
    /// Of these, those in tables that are looked up.
    pub trained_tables: usize,
    /// Those of matrices that are multiplied by.
    pub matrices: usize,
    /// Of these, those that never train.
    pub frozen: usize,
    /// Of these, those that gradients pass through.
    pub passed: usize,
    /// Distance from the answer of the farthest parameter that trains.
    pub depth: usize,
}

/// A batch, as far as memory depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Batch {
    pub rows: usize,
    pub tokens: usize,
}

impl<'a> Work<'a> {
    /// The same work by another recipe.
    pub fn by(self, recipe: &'a Recipe) -> Self {
        let max_length = recipe.processor.max_length.unwrap_or(self.max_length);
        Self {
            recipe,
            max_length,
            ..self
        }
    }

    pub fn method(&self) -> &'a dyn Method {
        self.recipe.method.method()
    }

    /// Bytes per value of the operands of products.
    pub fn element(&self) -> f64 {
        match self.recipe.products() {
            crate::ops::Precision::F32 => 4.0,
            crate::ops::Precision::Bf16 => 2.0,
        }
    }

    /// Tokens of a row when no sequence is longer than allowed.
    pub fn tokens(&self, row: &Example) -> usize {
        let whole = row.tokens();
        match self.recipe.processor.long {
            Some(Long::ChunkMean) => whole,
            _ => whole.min(self.max_length),
        }
    }

    /// Sizes with what this method trains.
    pub fn sizes(&self, method: &dyn Method) -> Sizes {
        let adapters = method.adapters(self.adapted);
        let mut found = Sizes::default();
        // A layer that gets an update passes gradients although its own weight stays.
        let mut updated = 0;
        for Part { place, shape } in self.model {
            let size: usize = shape.iter().product();
            found.all += size;
            let trains = method.start(place).is_some();
            if trains {
                found.trained += size;
                found.depth = found.depth.max(place.depth);
            }
            let layer = place.path.strip_suffix(".weight").unwrap_or_default();
            let reached = |a: &crate::weights::Adapters| !place.in_head() && a.reach(layer);
            if let (Some(adapters), &[output, input]) = (&adapters, &shape[..])
                && !is_table(place)
                && reached(adapters)
            {
                updated += adapters.rank * (output + input);
                found.depth = found.depth.max(place.depth);
            }
        }
        found.all += updated;
        found.trained += updated;
        for Part { place, shape } in self.model.iter().filter(|part| part.shape.len() == 2) {
            let size: usize = shape.iter().product();
            let trains = method.start(place).is_some();
            if is_table(place) {
                found.trained_tables += if trains { size } else { 0 };
                continue;
            }
            found.matrices += size;
            if !trains {
                found.frozen += size;
                found.passed += if place.depth <= found.depth { size } else { 0 };
            }
        }
        found
    }

    /// Width inside the feed-forward part of a layer: the widest output of its matrices.
    pub fn inner(&self) -> usize {
        let layers = self.model.iter().filter(|part| part.place.depth == 1);
        let outputs = layers.filter(|part| part.shape.len() == 2);
        outputs.map(|part| part.shape[0]).max().unwrap_or(0)
    }

    /// The largest micro-batch of the first epoch, as far as the run comes.
    pub fn largest_batch(&self) -> Batch {
        let tokens = |row: &Example| self.tokens(row);
        let batches = batches_by(self.recipe, self.rows, 0, &tokens);
        let of = |batch: &Vec<usize>| Batch {
            rows: batch.len(),
            tokens: batch.iter().map(|i| tokens(self.rows.get(*i))).sum(),
        };
        let taken = (self.steps.0 as usize).saturating_mul(self.recipe.train.accumulate);
        let batches = batches.iter().take(taken.max(1));
        let found = batches.map(of).max_by_key(|batch| batch.tokens);
        found.unwrap_or_default()
    }

    /// Tokens of the largest batch outside training over these rows: they are sorted by length there.
    pub fn largest_pass(&self, rows: &[Example]) -> usize {
        let mut lengths: Vec<usize> = rows.iter().map(|row| self.tokens(row)).collect();
        lengths.sort_unstable_by_key(|tokens| std::cmp::Reverse(*tokens));
        let rows = if self.pixels > 0 {
            scoring::PICTURES
        } else {
            scoring::ROWS
        };
        let whole: usize = lengths.iter().take(rows).sum();
        let longest = lengths.first().copied().unwrap_or(0);
        whole.min(scoring::TOKENS.max(longest))
    }
}

/// A table is looked up; what else has rows and columns is multiplied by.
fn is_table(place: &Place) -> bool {
    place.depth > place.layers
}
