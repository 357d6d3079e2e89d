//! One encoded row: what a model eats and what it should answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::picture::{Picture, Pixels};

/// What a model reads of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// One or more token sequences (several only when a long text was cut into chunks).
    Tokens(Vec<TokenSequence>),
    /// A picture.
    Picture(Framed),
}

/// A picture that a model reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Framed {
    /// Where it comes from.
    pub from: Picture,
    /// Cut to the size of the model; `None` where so many pictures would not fit into memory: it is decoded when needed.
    pub cut: Option<Arc<Pixels>>,
    /// SHA-256 of the cut pixels.
    pub digest: [u8; 32],
}

/// Token ids with their segment ids, special tokens included; never padded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenSequence {
    /// Vocabulary ids.
    pub ids: Vec<u32>,
    /// 0 for the first text, 1 for the second of a pair. Same length as `ids`.
    pub types: Vec<u8>,
}

/// What the model should answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// Index into the class list.
    Class(u32),
    /// One flag per label; `None` is not known and carries no loss.
    Labels(Vec<Option<bool>>),
    /// A number, in the user's units.
    Value(f32),
    /// Nothing to compare with: rows to predict.
    None,
}

/// What is known of a row besides its features.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meta {
    /// Row index in its table; also the key of the row's random numbers.
    pub row: u64,
    /// Weight of the row in the loss.
    pub weight: f32,
}

/// One encoded row.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// What the model reads.
    pub features: Features,
    /// What it should answer.
    pub target: Target,
    /// Everything else.
    pub meta: Meta,
}

impl Example {
    /// Tokens in all sequences of the example; 1 for a picture.
    pub fn tokens(&self) -> usize {
        match &self.features {
            Features::Tokens(sequences) => sequences.iter().map(|s| s.ids.len()).sum(),
            Features::Picture(_) => 1,
        }
    }

    /// Its sequences of tokens; none of a picture.
    pub fn sequences(&self) -> &[TokenSequence] {
        match &self.features {
            Features::Tokens(sequences) => sequences,
            Features::Picture(_) => &[],
        }
    }

    /// Its picture.
    pub fn picture(&self) -> Option<&Framed> {
        match &self.features {
            Features::Tokens(_) => None,
            Features::Picture(framed) => Some(framed),
        }
    }
}
