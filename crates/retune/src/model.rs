//! The model: a pre-trained backbone and a head, and what goes in and comes out.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use retune_data::batch::{HostBatch, Pictures};
use retune_kernels::dropout::Stream;
use serde::{Deserialize, Serialize};

use crate::families::Backbone;
use crate::head::Head;
use crate::ops::{self, Dropout, Folds, Lengths, Lens, RowSink, StatisticsSink};

/// A backbone with a head on top.
#[derive(Module, Debug)]
pub struct Model {
    /// The pre-trained part.
    pub backbone: Backbone,
    /// The part that answers the task.
    pub head: Head,
}

/// What a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// One text or a pair of texts.
    Text,
    /// One picture.
    Pictures,
    /// One row of numbers and words.
    Fields,
}

/// A batch as models read it. Sequences are packed: token after token, no padding, lengths beside them.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Token ids, `[tokens]`.
    pub ids: Arc<Vec<u32>>,
    /// Segment ids, `[tokens]`.
    pub types: Arc<Vec<u32>>,
    /// Pictures, one for each sequence; none in a batch of texts.
    pub pictures: Arc<Pictures>,
    /// Length of each sequence.
    pub lengths: Lengths,
    /// Sequences per row.
    pub chunks: Lengths,
    /// Key of each sequence's random numbers, `[sequences]`.
    pub keys: Arc<Vec<u64>>,
}

impl Inputs {
    /// Of a batch.
    pub fn new(batch: &HostBatch) -> Self {
        Self {
            ids: Arc::new(batch.ids.clone()),
            types: Arc::new(batch.types.iter().map(|t| u32::from(*t)).collect()),
            pictures: Arc::clone(&batch.pictures),
            lengths: Lengths::new(batch.lengths.clone()),
            chunks: Lengths::new(batch.chunks.clone()),
            keys: Arc::new(batch.keys.clone()),
        }
    }

    /// Place of each token in its sequence, counted from `first`, `[tokens]`.
    pub fn positions(&self, first: u32) -> Arc<Vec<u32>> {
        let places = self.lengths.places().iter();
        Arc::new(places.map(|(_, place)| place + first).collect())
    }
}

/// How token vectors become one vector per sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// The first one (`[CLS]`).
    First,
    /// The first one and the mean, side by side: twice as wide.
    #[serde(rename = "first_and_mean")]
    FirstAndMean,
}

impl Pooling {
    /// One vector per sequence, `[sequences, width]`.
    pub fn of(self, hidden: &Hidden) -> Tensor<2> {
        let mean = || {
            let tokens = hidden.tokens.clone();
            ops::segment_mean_from(tokens, &hidden.lengths, hidden.front)
        };
        let first = || ops::segment_first(hidden.tokens.clone(), &hidden.lengths);
        match self {
            Self::Mean => mean(),
            Self::First => first(),
            Self::FirstAndMean => Tensor::cat(vec![first(), mean()], 1), // [sequences, 2 * width]
        }
    }
}

/// What a backbone makes of a batch: one vector per packed token, or per place of a picture.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// Last layer, `[tokens, width]`.
    pub tokens: Tensor<2>,
    /// How many belong to each sequence.
    pub lengths: Lengths,
    /// How many at the start of each sequence stand for none of its places, and do not count for the mean.
    pub front: usize,
}

/// What a forward pass knows besides its inputs; the only source of randomness in it.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// Whether dropout is on.
    pub train: bool,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the pass in the run.
    pub step: u64,
    /// Gathers the gradients of tables.
    pub rows: RowSink,
    /// Gathers what norms that follow the batch saw.
    pub statistics: StatisticsSink,
    /// What layers keep from batch to batch.
    pub folds: Folds,
    /// Looks at the map of the backbone.
    pub lens: Lens,
}

impl Pass {
    /// Of a model that stays as it is over many batches.
    pub fn over_many() -> Self {
        Self {
            folds: Folds::kept(),
            ..Self::default()
        }
    }

    /// Dropout of probability `p` at the `site`-th dropout layer for the sequences of `x`.
    pub fn dropout(&self, p: f64, site: u64, x: &Inputs) -> Dropout {
        Dropout {
            p: if self.train { p } else { 0.0 },
            stream: Stream {
                seed: self.seed,
                step: self.step,
                site,
            },
            keys: x.keys.clone(),
        }
    }
}

/// Sites of a head's dropout layers lie above every backbone's.
pub const HEAD_SITE: u64 = 1 << 32;
/// Sites of the dropout before low-rank updates.
pub const ADAPTER_SITE: u64 = 1 << 33;

impl Model {
    /// Backbone only.
    pub fn hidden(&self, x: &Inputs, pass: &Pass) -> Hidden {
        self.backbone.forward(x, pass)
    }

    /// One row of logits (or a value) per row of the batch, `[rows, outputs]`. The chunks of a long text
    /// are averaged.
    pub fn output(&self, x: &Inputs, pass: &Pass) -> Tensor<2> {
        let hidden = self.hidden(x, pass);
        per_row(self.head.forward(&hidden, x, pass), x)
    }

    /// The same from the vectors that the head reads, `[sequences, width]`, without the backbone.
    pub fn output_from(&self, pooled: Tensor<2>, x: &Inputs, pass: &Pass) -> Tensor<2> {
        per_row(self.head.answer(pooled, x, pass), x)
    }

    /// One vector per row, pooled from the token vectors of each sequence and averaged over chunks,
    /// `[rows, width]`: the features of the frozen floor and of sentence embeddings.
    pub fn pooled(&self, x: &Inputs, pooling: Pooling, pass: &Pass) -> Tensor<2> {
        let hidden = self.hidden(x, pass);
        ops::segment_mean(pooling.of(&hidden), &x.chunks)
    }
}

/// `[sequences, outputs]` to `[rows, outputs]`.
fn per_row(sequences: Tensor<2>, x: &Inputs) -> Tensor<2> {
    if x.chunks.host().iter().all(|chunks| *chunks == 1) {
        return sequences;
    }
    ops::segment_mean(sequences, &x.chunks)
}
