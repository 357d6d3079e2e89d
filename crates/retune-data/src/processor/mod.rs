//! The processor: what turns rows into examples, in training and in use alike, saved with the model.

mod image;
mod labels;
mod text;

use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

pub use image::ImageProcessor;
pub use labels::{Labels, labelled_rows, rows_with_label};
pub(crate) use labels::{SEPARATORS, parts};
pub use text::{Long, TextProcessor, load_tokenizer};

use crate::error::Result;
use crate::example::{Example, Features, Meta, Target};
use crate::survey::Decoded;
use crate::table::Table;

/// Rows that are encoded before any of their pixels are let go.
const AT_ONCE: usize = 1024;

/// How rows become examples. Fitted on training rows only; everything it needs but the tokenizer is serialized.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Processor {
    /// One text or a pair of texts.
    Text(TextProcessor),
    /// One picture.
    Image(ImageProcessor),
}

impl Processor {
    /// The features of a row.
    ///
    /// # Errors
    /// An input column that is missing; no tokenizer attached; a text that the tokenizer refuses; a file that is no
    /// picture.
    pub fn encode(&self, t: &Table, row: usize) -> Result<Features> {
        match self {
            Self::Text(p) => p.encode(t, row),
            Self::Image(p) => p.encode(t, row, None),
        }
    }

    /// The columns it reads.
    pub fn inputs(&self) -> &[String] {
        match self {
            Self::Text(p) => &p.text,
            Self::Image(p) => &p.picture,
        }
    }

    /// The column of labels.
    pub fn label(&self) -> Option<&String> {
        match self {
            Self::Text(p) => p.label.as_ref(),
            Self::Image(p) => p.label.as_ref(),
        }
    }

    /// Examples of `rows`, in that order, encoded on all cores; the result does not depend on their number.
    ///
    /// # Errors
    /// As [`Processor::encode`]; with `with_target`, also a label that is missing or was not in the training rows.
    /// The error is that of the first bad row.
    pub fn examples(&self, t: &Table, rows: &[usize], with_target: bool) -> Result<Vec<Example>> {
        self.examples_of((t, &Decoded::default()), rows, with_target)
    }

    /// The same of a table whose pictures are `decoded` in part: each of those is taken from there.
    ///
    /// # Errors
    /// As [`Processor::examples`].
    pub fn examples_of(
        &self,
        (t, decoded): (&Table, &Decoded),
        rows: &[usize],
        with_target: bool,
    ) -> Result<Vec<Example>> {
        let features = |row: usize| match self {
            Self::Text(p) => p.encode(t, row),
            Self::Image(p) => p.encode(t, row, decoded.take(row)),
        };
        let one = |&row: &usize| -> Result<Example> {
            let target = match self.label() {
                Some(label) if with_target => self.labels().target(t, row, label)?,
                _ => Target::None,
            };
            Ok(Example {
                features: features(row)?,
                target,
                meta: Meta {
                    row: row as u64,
                    weight: 1.0,
                },
            })
        };
        let mut all = Vec::with_capacity(rows.len());
        let mut taken = 0;
        for some in rows.chunks(AT_ONCE) {
            let encoded: Vec<Result<Example>> = some.par_iter().map(one).collect();
            let mut encoded: Vec<Example> = encoded.into_iter().collect::<Result<_>>()?;
            image::let_go(&mut encoded, &mut taken);
            all.extend(encoded);
        }
        Ok(all)
    }

    /// Features of texts, or of paths of pictures, that are in no table: as many per item as the model was trained on.
    ///
    /// # Errors
    /// An item with another number of parts than the processor has columns; a file that is no picture.
    pub fn encode_items(&self, items: &[Vec<String>]) -> Result<Vec<Features>> {
        let one = |item: &Vec<String>| match self {
            Self::Text(p) => {
                let item: Vec<&str> = item.iter().map(String::as_str).collect();
                p.encode_parts(&item)
            }
            Self::Image(p) => p.encode_file(Path::new(&item.concat())),
        };
        let all: Vec<Result<Features>> = items.par_iter().map(one).collect();
        all.into_iter().collect()
    }

    /// Share of examples, 0 to 1, that fill the whole length: all but those that fit to the token were cut.
    /// None where long texts are read in chunks, and none of pictures.
    pub fn truncated(&self, examples: &[Example]) -> f64 {
        let Processor::Text(p) = self else {
            return 0.0;
        };
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
        let Processor::Text(p) = self else {
            return None;
        };
        examples.iter().find_map(|example| {
            let mut ids = example
                .sequences()
                .iter()
                .flat_map(|sequence| &sequence.ids);
            let id = ids.find(|id| **id as usize >= vectors)?;
            Some((example.meta.row, p.token(*id)))
        })
    }

    /// How many tokens the tokenizer knows beyond the `vectors` that a model has.
    pub fn tokens_beyond(&self, vectors: usize) -> usize {
        match self {
            Self::Text(p) => p.tokens_beyond(vectors),
            Self::Image(_) => 0,
        }
    }

    /// What is wrong with the numbers of a processor that was read from a file; `None` where it can encode.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Text(_) => None,
            Self::Image(p) => p.preprocess.problem(),
        }
    }

    /// Gives a processor that was read from a file its tokenizer.
    pub fn attach(&mut self, tokenizer: Tokenizer) {
        if let Self::Text(p) = self {
            p.attach(tokenizer);
        }
    }

    /// What the outputs of the model stand for.
    pub fn labels(&self) -> &Labels {
        match self {
            Self::Text(p) => &p.labels,
            Self::Image(p) => &p.labels,
        }
    }
}
