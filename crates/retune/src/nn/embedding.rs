//! Table lookup: one row per id.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::ops::Lookup;
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

    /// The rows `ids` `[tokens]`, for [`crate::ops::embedding`].
    pub fn at<'a>(&'a self, ids: &'a Arc<Vec<u32>>) -> Lookup<'a> {
        Lookup {
            table: &self.weight,
            ids,
        }
    }
}
