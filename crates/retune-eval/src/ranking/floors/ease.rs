//! EASE: a linear model of which items go together, in closed form.
//!
//! Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019): with `X [users, items]` of zeros and ones,
//! `P = (XᵀX + λI)⁻¹` and `B = I - P / diag(P)`, so that `B` has a diagonal of zeros; the scores are `x B`. It knows no
//! order of events.

use std::fmt;

use super::super::{Past, Scorer};
use super::inverse::invert;

/// Items up to which the model is fitted: the matrices then take 0.8 GB.
pub const MOST_ITEMS: usize = 8_000;
/// The strength of the penalty, λ.
const PENALTY: f64 = 500.0;

/// Why there is no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Too many items.
    Items(usize),
    /// The matrix has no inverse in double precision.
    Singular,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Items(items) => {
                let gigabytes = (*items as f64).powi(2) * 12.0 / 1e9;
                write!(
                    f,
                    "EASE is fitted to catalogues of up to {MOST_ITEMS} items, and this one has {items}: its matrices \
                     would take {gigabytes:.1} GB"
                )
            }
            Self::Singular => write!(f, "the matrix of EASE has no inverse in double precision"),
        }
    }
}

/// The fitted model.
#[derive(Debug, Clone)]
pub struct Ease {
    items: usize,
    /// `B [items, items]`, a row per item of the history.
    weights: Vec<f32>,
}

impl Ease {
    /// Fits the model: `items³ / 2` multiplications on all threads, 12 bytes of memory per pair of items. Results do
    /// not depend on the number of threads.
    ///
    /// # Errors
    /// [`Absent`] above [`MOST_ITEMS`] items.
    pub fn fit(past: &Past) -> Result<Self, Absent> {
        let items = past.items();
        if items > MOST_ITEMS {
            return Err(Absent::Items(items));
        }
        let mut matrix = together(past);
        for item in 0..items {
            matrix[item * items + item] += PENALTY;
        }
        // The lower triangle of -P from here on.
        invert(&mut matrix, items).map_err(|_| Absent::Singular)?;
        let mut weights = vec![0.0; items * items];
        for row in 0..items {
            for column in 0..row {
                let both = -matrix[row * items + column];
                weights[row * items + column] = (both / matrix[column * items + column]) as f32;
                weights[column * items + row] = (both / matrix[row * items + row]) as f32;
            }
        }
        Ok(Self { items, weights })
    }
}

/// The lower triangle of `XᵀX [items, items]`: users who took both items.
fn together(past: &Past) -> Vec<f64> {
    let items = past.items();
    let mut matrix = vec![0.0; items * items];
    for user in past.users() {
        let taken = set(user.items);
        for (at, &row) in taken.iter().enumerate() {
            for &column in &taken[..=at] {
                matrix[row as usize * items + column as usize] += 1.0;
            }
        }
    }
    matrix
}

/// The items of a history, each once, ascending.
fn set(history: &[u32]) -> Vec<u32> {
    let mut items = history.to_vec();
    items.sort_unstable();
    items.dedup();
    items
}

impl Scorer for Ease {
    fn score(&self, history: &[u32], _time: i64, scores: &mut [f32]) {
        scores.fill(0.0);
        for item in set(history) {
            let row = &self.weights[item as usize * self.items..][..self.items];
            for (score, weight) in scores.iter_mut().zip(row) {
                *score += weight;
            }
        }
    }
}
