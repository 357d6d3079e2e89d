//! Gradients of tables: only the rows that were looked up.

use std::sync::{Arc, Mutex, PoisonError};

use burn::module::ParamId;
use burn::tensor::{Device, Tensor};
use retune_kernels::embedding::RowGradient;

use super::lengths::upload;
use super::sum_of_squares;

/// Where the backward passes of lookups leave their gradients; one per forward pass.
#[derive(Debug, Clone, Default)]
pub struct RowSink(Arc<Mutex<Vec<(ParamId, RowGradient)>>>);

impl RowSink {
    /// Adds a gradient of a table.
    pub(super) fn add(&self, id: ParamId, gradient: RowGradient) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((id, gradient));
    }

    /// The gradient of a table, summed over its lookups; leaves none behind.
    pub fn take(&self, id: ParamId) -> Option<RowGradient> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum: Option<RowGradient> = None;
        while let Some(index) = all.iter().position(|(of, _)| *of == id) {
            let (_, gradient) = all.remove(index);
            sum = Some(match sum {
                Some(sum) => sum.add(&gradient),
                None => gradient,
            });
        }
        sum
    }
}

/// Gradient of one parameter.
#[derive(Debug, Clone)]
pub enum Gradient {
    /// Every value, flat.
    Dense(Tensor<1>),
    /// Some rows of a table; the others are zero.
    Rows {
        /// The rows.
        rows: RowGradient,
        /// Rows and columns of the table.
        of: [usize; 2],
    },
}

impl Gradient {
    /// Every value, flat.
    pub fn dense(self, device: &Device) -> Tensor<1> {
        match self {
            Gradient::Dense(values) => values,
            Gradient::Rows { rows, of } => upload(rows.dense(of[0]), [of[0] * of[1]], device),
        }
    }

    /// Sum of squares, the same for any number of threads.
    pub fn sum_of_squares(&self) -> f64 {
        match self {
            Gradient::Dense(values) => sum_of_squares(values.clone()),
            Gradient::Rows { rows, .. } => retune_kernels::sum::sum_of_squares(&rows.values),
        }
    }

    /// The sum of two gradients of the same parameter.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Gradient::Rows { rows, of }, Gradient::Rows { rows: more, .. }) => Gradient::Rows {
                rows: rows.add(&more),
                of,
            },
            (Gradient::Dense(a), Gradient::Dense(b)) => Gradient::Dense(a + b),
            (Gradient::Dense(a), rows) | (rows, Gradient::Dense(a)) => {
                let device = a.device();
                Gradient::Dense(a + rows.dense(&device))
            }
        }
    }
}
