//! The model: a pre-trained backbone and a head, and what goes in and comes out.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use retune_data::batch::HostBatch;
use retune_kernels::dropout::Stream;

use crate::families::Backbone;
use crate::head::Head;
use crate::ops::{self, Dropout, Lengths};

/// A backbone with a head on top.
#[derive(Module, Debug)]
pub struct Model {
    /// The pre-trained part.
    pub backbone: Backbone,
    /// The part that answers the task.
    pub head: Head,
}

/// A batch on a device. Sequences are packed: token after token, no padding, lengths beside them.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Token ids, `[tokens]`.
    pub ids: Tensor<1, Int>,
    /// Segment ids, `[tokens]`.
    pub types: Tensor<1, Int>,
    /// Place of each token in its sequence, from 0, `[tokens]`.
    pub positions: Tensor<1, Int>,
    /// Length of each sequence.
    pub lengths: Lengths,
    /// Sequences per row.
    pub chunks: Lengths,
    /// Key of each sequence's random numbers, `[sequences]`.
    pub keys: Arc<Vec<u64>>,
}

impl Inputs {
    /// Uploads a batch.
    pub fn new(batch: &HostBatch, device: &Device) -> Self {
        let lengths = Lengths::new(batch.lengths.clone());
        let int = |values: Vec<i64>| {
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [n]), device)
        };
        Self {
            ids: int(batch.ids.iter().map(|id| i64::from(*id)).collect()),
            types: int(batch.types.iter().map(|t| i64::from(*t)).collect()),
            positions: int(lengths.places().iter().map(|p| i64::from(p.1)).collect()),
            lengths,
            chunks: Lengths::new(batch.chunks.clone()),
            keys: Arc::new(batch.keys.clone()),
        }
    }
}

/// How token vectors become one vector per sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// The first one (`[CLS]`).
    First,
}

/// What a backbone makes of a batch: one vector per packed token, `[tokens, width]`.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// Last layer, `[tokens, width]`.
    pub tokens: Tensor<2>,
}

/// The only source of randomness in a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pass {
    /// Whether dropout is on.
    pub train: bool,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the pass in the run.
    pub step: u64,
}

impl Pass {
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

impl Model {
    /// Backbone only.
    pub fn hidden(&self, x: &Inputs, pass: &Pass) -> Hidden {
        self.backbone.forward(x, pass)
    }

    /// One row of logits (or a value) per row of the batch, `[rows, outputs]`. The chunks of a long text
    /// are averaged.
    pub fn output(&self, x: &Inputs, pass: &Pass) -> Tensor<2> {
        let hidden = self.hidden(x, pass);
        let sequences = self.head.forward(&hidden, x, pass); // [sequences, outputs]
        if x.chunks.host().iter().all(|chunks| *chunks == 1) {
            return sequences;
        }
        ops::segment_mean(sequences, &x.chunks) // [rows, outputs]
    }

    /// One vector per row, pooled from the token vectors of each sequence and averaged over chunks,
    /// `[rows, width]`: the features of the frozen floor and of sentence embeddings.
    pub fn pooled(&self, x: &Inputs, pooling: Pooling) -> Tensor<2> {
        let hidden = self.hidden(x, &Pass::default());
        let sequences = match pooling {
            Pooling::Mean => ops::segment_mean(hidden.tokens, &x.lengths),
            Pooling::First => ops::segment_first(hidden.tokens, &x.lengths),
        }; // [sequences, width]
        ops::segment_mean(sequences, &x.chunks)
    }
}
