//! Table lookup: one row per id.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

use crate::ops;
use crate::weights::{Init, Source, WeightsError};

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[rows, width]`.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// Reads `path.weight`.
    pub fn load(
        source: &mut Source,
        path: &str,
        rows: usize,
        width: usize,
    ) -> Result<Self, WeightsError> {
        let weight = source.param(&format!("{path}.weight"), [rows, width], Init::Normal)?;
        Ok(Self { weight })
    }

    /// ids `[tokens]`; result `[tokens, width]`.
    pub fn forward(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        ops::embedding(self.weight.val(), ids)
    }
}
