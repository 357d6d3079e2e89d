//! Vectors of items' texts: a frozen text encoder, then whitening.
//!
//! Vectors of a text encoder all point much the same way: their mean cosine is above 0.8. Whitening takes their mean
//! away and makes every direction count the same, which alone makes items far easier to tell apart ("WhitenRec",
//! arXiv:2402.10602). It is fitted on the catalogue that a model is first trained with and stays with the model.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use retune_data::processor::{Labels, Long, TextProcessor, load_tokenizer};
use retune_data::{Example, Processor, Target, example::Meta};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::features::SequenceVectors;
use crate::model::Model;
use crate::ops::Precision;
use crate::pretrained::BaseModel;
use crate::scoring;
use crate::weights::Place;

/// Share of the mean variance that is added to every direction, so that those which say nothing stay small.
const SHRINK: f64 = 0.01;

/// A frozen text encoder.
pub struct TextEncoder {
    model: Model,
    processor: Processor,
    /// What its vectors depend on.
    base: String,
}

/// One vector per text, `[texts, width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TextVectors {
    /// Width of a vector.
    pub width: usize,
    /// Row by row.
    pub values: Vec<f32>,
}

impl TextEncoder {
    /// The encoder in the files of `base`.
    ///
    /// # Errors
    /// Files that are no text encoder's.
    pub fn open(base: &BaseModel, precision: Precision) -> Result<Self> {
        let labels = Labels::Number {
            mean: 0.0,
            std: 1.0,
        };
        let tokenizer = load_tokenizer(&base.folder)?;
        let (mut model, _) = base.build(&labels, &Place::cpu(false, precision), 0, None)?;
        model.head.pooling = base.pooling;
        let text = vec!["text".to_string()];
        Ok(Self {
            model,
            processor: Processor::Text(TextProcessor::new(
                tokenizer,
                text,
                None,
                labels,
                base.max_length,
                Long::Truncate,
            )),
            base: format!("{:?} {}", base.files, precision.name()),
        })
    }

    /// Vectors of texts, read from `cache` where they are known already. `on` is told how many are done.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn vectors(
        &self,
        texts: &[String],
        cache: &Path,
        on: &mut dyn FnMut(usize),
    ) -> Result<TextVectors> {
        let items: Vec<Vec<String>> = texts.iter().map(|text| vec![text.clone()]).collect();
        let features = self.processor.encode_items(&items)?;
        let rows: Vec<Example> = (0..)
            .zip(features)
            .map(|(row, features)| Example {
                features,
                target: Target::None,
                meta: Meta { row, weight: 1.0 },
            })
            .collect();
        let known =
            SequenceVectors::of(&self.model, &self.processor, &rows, (cache, &self.base), on)?;
        let (width, values) = known.sequences_of(&rows);
        Ok(TextVectors { width, values })
    }
}

/// `matrix (t - mean)`: gives vectors of texts mean 0 and covariance 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Whitening {
    /// `[width]`.
    pub mean: Vec<f32>,
    /// Inverse of the Cholesky factor of the covariance, `[width, width]`, lower triangular.
    pub matrix: Vec<f32>,
}

impl Whitening {
    /// Of at least one vector.
    pub fn fit(texts: &TextVectors) -> Self {
        let width = texts.width;
        let rows = texts.values.len() / width.max(1);
        let mut mean = vec![0f64; width];
        for row in texts.values.chunks_exact(width) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += f64::from(*value) / rows as f64;
            }
        }
        let mean: Vec<f32> = mean.into_iter().map(|m| m as f32).collect();
        let centred = Tensor::<2>::from_data(
            TensorData::new(centred(&texts.values, &mean), [rows, width]),
            &scoring::cpu(false),
        );
        let covariance = scoring::to_host(centred.clone().transpose().matmul(centred)); // [width, width]
        let mut covariance: Vec<f64> = covariance
            .into_iter()
            .map(|c| f64::from(c) / rows as f64)
            .collect();
        let trace: f64 = (0..width).map(|i| covariance[i * width + i]).sum();
        for i in 0..width {
            covariance[i * width + i] +=
                SHRINK * (trace / width as f64).max(f64::from(f32::MIN_POSITIVE));
        }
        let inverse = lower_inverse(&cholesky(covariance, width), width);
        Self {
            mean,
            matrix: inverse.into_iter().map(|m| m as f32).collect(),
        }
    }

    /// Whitened vectors, `[texts, width]`, on the device of models in training or in use.
    pub fn of(&self, texts: &TextVectors, train: bool) -> Tensor<2> {
        let width = texts.width;
        let rows = texts.values.len() / width.max(1);
        let device = scoring::cpu(train);
        let centred = TensorData::new(centred(&texts.values, &self.mean), [rows, width]);
        let matrix = TensorData::new(self.matrix.clone(), [width, width]);
        let matrix = Tensor::<2>::from_data(matrix, &device);
        Tensor::<2>::from_data(centred, &device).matmul(matrix.transpose())
    }
}

/// `values - mean`, row by row.
fn centred(values: &[f32], mean: &[f32]) -> Vec<f32> {
    let rows = values.chunks_exact(mean.len().max(1));
    rows.flat_map(|row| row.iter().zip(mean).map(|(v, m)| v - m))
        .collect()
}

/// Lower triangular `L` with `L Lᵀ = a`, `[n, n]` each.
fn cholesky(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    for j in 0..n {
        for i in j..n {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let value = a[i * n + j] - dot;
            a[i * n + j] = if i == j {
                value.max(f64::MIN_POSITIVE).sqrt()
            } else {
                value / a[j * n + j]
            };
        }
        a[j * n + j + 1..(j + 1) * n].fill(0.0);
    }
    a
}

/// Inverse of a lower triangular matrix, `[n, n]`.
fn lower_inverse(l: &[f64], n: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; n * n];
    for j in 0..n {
        inverse[j * n + j] = 1.0 / l[j * n + j];
        for i in j + 1..n {
            let dot: f64 = (j..i).map(|k| l[i * n + k] * inverse[k * n + j]).sum();
            inverse[i * n + j] = -dot / l[i * n + i];
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitened_vectors_have_mean_0_and_covariance_1() {
        // Two directions of very different size, both shifted and mixed.
        let draw = |i: u64| {
            f64::from((retune_kernels::dropout::mix(i) >> 40) as u32) / f64::from(1 << 24) - 0.5
        };
        let values: Vec<f32> = (0..4000u64)
            .flat_map(|i| {
                let (a, b) = (draw(2 * i), 0.5 * draw(2 * i + 1));
                [(3.0 + a + b) as f32, (1.0 + a - b) as f32]
            })
            .collect();
        let texts = TextVectors { width: 2, values };
        let white = scoring::to_host(Whitening::fit(&texts).of(&texts, false));
        let mean = |f: &dyn Fn(&[f32]) -> f32| {
            white
                .chunks_exact(2)
                .map(|row| f64::from(f(row)))
                .sum::<f64>()
                / 4000.0
        };
        assert!(mean(&|r| r[0]).abs() < 1e-3 && mean(&|r| r[1]).abs() < 1e-3);
        let covariance = [
            mean(&|r| r[0] * r[0]),
            mean(&|r| r[0] * r[1]),
            mean(&|r| r[1] * r[1]),
        ];
        for (got, wanted) in covariance.into_iter().zip([1.0, 0.0, 1.0]) {
            assert!((got - wanted).abs() < 0.03, "{covariance:?}");
        }
    }
}
