//! The processor: what turns rows into examples, in training and in use alike, saved with the model.

mod labels;
mod text;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

pub use labels::{Labels, labelled_rows, rows_with_label};
pub use text::{Long, TextProcessor, load_tokenizer};

use crate::error::Result;
use crate::example::{Example, Features, Meta, Target};
use crate::table::Table;

/// How rows become examples. Fitted on training rows only; everything it needs but the tokenizer is serialized.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Processor {
    /// One text or a pair of texts.
    Text(TextProcessor),
}

impl Processor {
    /// The features of a row.
    ///
    /// # Errors
    /// A text column that is missing; no tokenizer attached; a text that the tokenizer refuses.
    pub fn encode(&self, t: &Table, row: usize) -> Result<Features> {
        let Processor::Text(p) = self;
        p.encode(t, row)
    }

    /// Examples of `rows`, in that order, encoded on all cores; the result does not depend on their number.
    ///
    /// # Errors
    /// As [`Processor::encode`]; with `with_target`, also a label that is missing or was not in the training rows.
    /// The error is that of the first bad row.
    pub fn examples(&self, t: &Table, rows: &[usize], with_target: bool) -> Result<Vec<Example>> {
        let Processor::Text(p) = self;
        let one = |&row: &usize| -> Result<Example> {
            let target = match &p.label {
                Some(label) if with_target => p.labels.target(t, row, label)?,
                _ => Target::None,
            };
            Ok(Example {
                features: p.encode(t, row)?,
                target,
                meta: Meta {
                    row: row as u64,
                    weight: 1.0,
                },
            })
        };
        let all: Vec<Result<Example>> = rows.par_iter().map(one).collect();
        all.into_iter().collect()
    }

    /// Features of texts that are in no table: one or two texts per item, as the model was trained.
    ///
    /// # Errors
    /// An item with another number of texts than the processor has columns.
    pub fn encode_texts(&self, texts: &[Vec<String>]) -> Result<Vec<Features>> {
        let Processor::Text(p) = self;
        let all: Vec<Result<Features>> = texts
            .par_iter()
            .map(|item| {
                let item: Vec<&str> = item.iter().map(String::as_str).collect();
                p.encode_parts(&item)
            })
            .collect();
        all.into_iter().collect()
    }

    /// Share of examples, 0 to 1, that fill the whole length: all but those that fit to the token were cut.
    /// None where long texts are read in chunks.
    pub fn truncated(&self, examples: &[Example]) -> f64 {
        let Processor::Text(p) = self;
        if p.long == Long::ChunkMean {
            return 0.0;
        }
        let full = examples
            .iter()
            .filter(|e| e.tokens() >= p.max_length)
            .count();
        full as f64 / examples.len().max(1) as f64
    }

    /// The first example with a token beyond the `vectors` that a model has: its row, and the token as messages show
    /// it, with its number.
    pub fn beyond(&self, examples: &[Example], vectors: usize) -> Option<(u64, String)> {
        let Processor::Text(p) = self;
        examples.iter().find_map(|example| {
            let Features::Tokens(sequences) = &example.features;
            let mut ids = sequences.iter().flat_map(|sequence| &sequence.ids);
            let id = ids.find(|id| **id as usize >= vectors)?;
            Some((example.meta.row, p.token(*id)))
        })
    }

    /// How many tokens the tokenizer knows beyond the `vectors` that a model has.
    pub fn tokens_beyond(&self, vectors: usize) -> usize {
        let Processor::Text(p) = self;
        p.tokens_beyond(vectors)
    }

    /// Gives a processor that was read from a file its tokenizer.
    pub fn attach(&mut self, tokenizer: Tokenizer) {
        let Processor::Text(p) = self;
        p.attach(tokenizer);
    }

    /// What the outputs of the model stand for.
    pub fn labels(&self) -> &Labels {
        let Processor::Text(p) = self;
        &p.labels
    }
}
