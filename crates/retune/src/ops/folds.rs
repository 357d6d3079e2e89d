//! Weights with the norms behind them folded in, kept while a model that stays as it is passes over many batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::ParamId;
use burn::tensor::Tensor;

/// A convolution with the norm behind it in its weight.
#[derive(Debug, Clone)]
pub struct Folded {
    /// `[out, in / groups, height, width]`.
    pub weight: Tensor<4>,
    /// `[out]`.
    pub bias: Tensor<1>,
    /// What each row of the weight was multiplied by, `[out]`.
    pub scale: Tensor<1>,
}

/// What layers have folded, by the parameter that is their weight. The default one keeps nothing: weights that train are
/// other ones in each pass.
#[derive(Debug, Clone, Default)]
pub struct Folds(Option<Arc<Mutex<HashMap<ParamId, Folded>>>>);

impl Folds {
    /// One that keeps what is folded. It is for one model, outside the gradient graph, between two changes of it.
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// What is kept for the weight `of`, or what `fold` makes of it.
    pub fn get(&self, of: ParamId, fold: impl FnOnce() -> Folded) -> Folded {
        let Some(kept) = &self.0 else {
            return fold();
        };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entry(of).or_insert_with(fold).clone()
    }
}
