//! The inverse of a symmetric positive definite matrix, in its place and by blocks.
//!
//! The sweep operator (Goodnight, "A Tutorial on the SWEEP Operator", 1979) in its symmetric form, on a block of pivots
//! `D` at a time: `D` becomes `-D⁻¹`, the panel `C` of its columns `W = C D⁻¹`, and everything else loses `W Cᵀ`. When
//! every block has been a pivot, the matrix is the negated inverse. Only the lower triangle is kept, as in a Cholesky
//! factorisation, whose pivots these are: `n³ / 2` multiplications, nearly all of them in one product of matrices per
//! block.

use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::bootstrap::threads;

/// Pivots at a time, rows that a thread takes at a time, and columns that are worked on while they are cached.
const BLOCK: usize = 64;
/// Terms that are added in one pass over a row.
const TERMS: usize = 4;

/// A pivot is not positive: the matrix is not positive definite, or holds values that are no numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotPositive;

/// Replaces the lower triangle of a matrix `[n, n]` by that of its inverse, negated. What is above the diagonal is
/// neither read nor kept.
///
/// # Errors
/// [`NotPositive`], with the matrix half swept.
pub(super) fn invert(matrix: &mut [f64], n: usize) -> Result<(), NotPositive> {
    let mut panel = Panel {
        columns: vec![0.0; BLOCK * n],
        rows: vec![0.0; BLOCK * n],
    };
    for first in (0..n).step_by(BLOCK) {
        let width = BLOCK.min(n - first);
        let mut pivots = vec![[0.0; BLOCK]; width];
        for (row, pivots) in pivots.iter_mut().enumerate() {
            for (column, pivot) in pivots.iter_mut().enumerate().take(width) {
                let (left, below) = (row.min(column), row.max(column));
                *pivot = matrix[(first + below) * n + first + left];
            }
        }
        sweep(&mut pivots)?;
        panel.gather(matrix, n, (first, width));
        panel.multiply(&pivots, n);
        subtract(matrix, n, &panel);
        panel.put_back(matrix, n, (first, width));
        for (row, pivots) in pivots.iter().enumerate() {
            let from = (first + row) * n + first;
            matrix[from..=from + row].copy_from_slice(&pivots[..=row]);
        }
    }
    Ok(())
}

/// Sweeps all pivots of a block: it becomes `-D⁻¹`. The columns beyond its `[width, width]` stay 0.
fn sweep(block: &mut [[f64; BLOCK]]) -> Result<(), NotPositive> {
    let width = block.len();
    for pivot in 0..width {
        let chosen = block[pivot];
        let value = chosen[pivot];
        if !value.is_finite() || value <= 0.0 {
            return Err(NotPositive);
        }
        for (row, values) in block.iter_mut().enumerate() {
            let factor = values[pivot] / value;
            if row == pivot {
                for entry in &mut values[..width] {
                    *entry /= value;
                }
                values[pivot] = -1.0 / value;
                continue;
            }
            for (entry, chosen) in values[..width].iter_mut().zip(&chosen) {
                *entry -= factor * chosen;
            }
            values[pivot] = factor;
        }
    }
    Ok(())
}

/// The columns of a block of pivots, for all rows of the matrix but those of the block, which are 0.
struct Panel {
    /// `Cᵀ [BLOCK, n]`.
    columns: Vec<f64>,
    /// `W = C D⁻¹`, `[n, BLOCK]`.
    rows: Vec<f64>,
}

impl Panel {
    /// Reads the columns `first..first + width`, left of the diagonal by symmetry from the rows.
    fn gather(&mut self, matrix: &[f64], n: usize, (first, width): (usize, usize)) {
        self.columns.fill(0.0);
        let after = first + width;
        for (at, column) in self.columns.chunks_mut(n).take(width).enumerate() {
            let row = (first + at) * n;
            column[..first].copy_from_slice(&matrix[row..row + first]);
        }
        for row in after..n {
            for at in 0..width {
                self.columns[at * n + row] = matrix[row * n + first + at];
            }
        }
    }

    /// `W = C D⁻¹` for a block that holds `-D⁻¹`.
    fn multiply(&mut self, swept: &[[f64; BLOCK]], n: usize) {
        for (row, values) in self.rows.chunks_mut(BLOCK).enumerate() {
            values.fill(0.0);
            for (at, swept) in swept.iter().enumerate() {
                let factor = self.columns[at * n + row];
                for (value, swept) in values.iter_mut().zip(swept) {
                    *value -= factor * swept;
                }
            }
        }
    }

    /// Writes `W` in the place of the columns.
    fn put_back(&self, matrix: &mut [f64], n: usize, (first, width): (usize, usize)) {
        for at in 0..width {
            let row = (first + at) * n;
            for column in 0..first {
                matrix[row + column] = self.rows[column * BLOCK + at];
            }
        }
        for row in first + width..n {
            let from = row * n + first;
            let values = &self.rows[row * BLOCK..][..width];
            matrix[from..from + width].copy_from_slice(values);
        }
    }
}

/// Takes `W Cᵀ` from the lower triangle. Threads take bands of rows, the longest first.
fn subtract(matrix: &mut [f64], n: usize, panel: &Panel) {
    let bands = matrix.chunks_mut(BLOCK * n).enumerate().collect::<Vec<_>>();
    let left = &Mutex::new(bands);
    let take = || left.lock().unwrap_or_else(PoisonError::into_inner).pop();
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while let Some((band, rows)) = take() {
                    subtract_band(rows, band * BLOCK, n, panel);
                }
            });
        }
    });
}

/// The same for the rows from `first` on, up to the diagonal.
fn subtract_band(band: &mut [f64], first: usize, n: usize, panel: &Panel) {
    let end = first + band.len() / n;
    for from in (0..end).step_by(BLOCK) {
        for (at, row) in band.chunks_mut(n).enumerate() {
            let to = (from + BLOCK).min(first + at + 1);
            if from >= to {
                continue;
            }
            let factors = panel.rows[(first + at) * BLOCK..][..BLOCK].chunks_exact(TERMS);
            for (term, factors) in factors.enumerate() {
                let columns = |i: usize| &panel.columns[(term * TERMS + i) * n..][from..to];
                subtract_terms(&mut row[from..to], factors, [0, 1, 2, 3].map(columns));
            }
        }
    }
}

/// `row -= Σ factor column`, in one pass over the row.
fn subtract_terms(row: &mut [f64], factors: &[f64], [a, b, c, d]: [&[f64]; TERMS]) {
    let &[fa, fb, fc, fd] = factors else { return };
    let columns = a.iter().zip(b).zip(c.iter().zip(d));
    for (value, ((a, b), (c, d))) in row.iter_mut().zip(columns) {
        *value -= (fa * a + fb * b) + (fc * c + fd * d);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::bootstrap::Random;

    /// `AᵀA + I` for a random `A`: symmetric and positive definite.
    fn definite(n: usize) -> Vec<f64> {
        let mut random = Random::new(5, n as u64);
        let a: Vec<f64> = (0..n * n)
            .map(|_| random.below(2001) as f64 / 1000.0 - 1.0)
            .collect();
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                let dot: f64 = (0..n).map(|k| a[k * n + i] * a[k * n + j]).sum();
                matrix[i * n + j] = dot + f64::from(u8::from(i == j));
            }
        }
        matrix
    }

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        for n in [1, 2, 63, 64, 65, 150] {
            let matrix = definite(n);
            let mut swept = matrix.clone();
            for i in 0..n {
                // Nothing above the diagonal may be read.
                swept[i * n + i + 1..(i + 1) * n].fill(f64::NAN);
            }
            invert(&mut swept, n).unwrap();
            let inverse = |i: usize, j: usize| -swept[i.max(j) * n + i.min(j)];
            for i in 0..n {
                for j in 0..n {
                    let product: f64 = (0..n).map(|k| matrix[i * n + k] * inverse(k, j)).sum();
                    let one = f64::from(u8::from(i == j));
                    assert!((product - one).abs() < 1e-8, "{n}: [{i}, {j}] is {product}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let mut indefinite = [1.0, 0.0, 2.0, 1.0];
        assert_eq!(invert(&mut indefinite, 2), Err(NotPositive));
        assert_eq!(invert(&mut [f64::NAN], 1), Err(NotPositive));
        assert_eq!(invert(&mut [], 0), Ok(()));
    }
}
