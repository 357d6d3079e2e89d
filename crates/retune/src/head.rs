//! The head: dense layer, activation, dropout and output layer over the first token of each sequence.
//!
//! One shape serves the `*ForSequenceClassification` heads of transformers: BERT (pooler with tanh,
//! then dropout), DistilBERT (ReLU, then dropout), RoBERTa (dropout, tanh, dropout).

use burn::module::Module;
use burn::tensor::Tensor;

use crate::model::{HEAD_SITE, Hidden, Inputs, Pass};
use crate::nn::Linear;
use crate::ops::{self, Activation};
use crate::weights::{Source, WeightsError};

/// How a family's head differs from its siblings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadStyle {
    /// Follows the dense layer.
    pub activation: Activation,
    /// Whether dropout also precedes the dense layer.
    pub dropout_first: bool,
    /// Dropout probability.
    pub dropout: f64,
    /// Width of the backbone's vectors.
    pub width: usize,
}

/// A classification or regression head.
#[derive(Module, Debug)]
pub struct Head {
    /// `[width, width]`; comes with some checkpoints (BERT's pooler).
    pub dense: Linear,
    /// `[outputs, width]`.
    pub out: Linear,
    #[module(skip)]
    style: HeadStyle,
    /// Outputs are `raw * scale + shift`: a regression head trains in standard units and answers in the
    /// user's.
    pub scale: f64,
    /// See `scale`.
    pub shift: f64,
}

impl Head {
    /// Reads `head.dense` and `head.out`; whatever the checkpoint lacks starts anew.
    pub fn load(
        source: &mut Source,
        style: HeadStyle,
        outputs: usize,
    ) -> Result<Self, WeightsError> {
        source.allow_new();
        Ok(Self {
            dense: Linear::load(source, "head.dense", style.width, style.width)?,
            out: Linear::load(source, "head.out", style.width, outputs)?,
            style,
            scale: 1.0,
            shift: 0.0,
        })
    }

    /// Token vectors to `[sequences, outputs]`.
    pub fn forward(&self, hidden: &Hidden, x: &Inputs, pass: &Pass) -> Tensor<2> {
        let p = self.style.dropout;
        let first = ops::segment_first(hidden.tokens.clone(), &x.lengths); // [sequences, width]
        let first = if self.style.dropout_first {
            ops::dropout_rows(first, &pass.dropout(p, HEAD_SITE, x))
        } else {
            first
        };
        let dense = self.dense.forward(first, self.style.activation);
        let dense = ops::dropout_rows(dense, &pass.dropout(p, HEAD_SITE + 1, x));
        let raw = self.out.forward(dense, Activation::None); // [sequences, outputs]
        if self.scale == 1.0 && self.shift == 0.0 {
            return raw;
        }
        raw * self.scale + self.shift
    }

    /// The same head with `scale` and `shift` moved into the output layer, as it is saved.
    #[must_use]
    pub fn folded(mut self) -> Self {
        let (scale, shift) = (self.scale, self.shift);
        self.out.weight = self.out.weight.map(|w| keep_leaf(w.clone(), w * scale));
        self.out.bias = self
            .out
            .bias
            .map(|b| keep_leaf(b.clone(), b * scale + shift));
        (self.scale, self.shift) = (1.0, 0.0);
        self
    }
}

/// `new` as a leaf of the gradient graph, trainable when `old` was.
fn keep_leaf<const D: usize>(old: Tensor<D>, new: Tensor<D>) -> Tensor<D> {
    let trained = old.is_require_grad();
    let leaf = new.detach();
    if leaf.is_autodiff() {
        leaf.set_require_grad(trained)
    } else {
        leaf
    }
}
