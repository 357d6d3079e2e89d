//! Passes over the scores of a few rows.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use crate::cross_entropy::{greater, logsumexp};
use crate::element::Element;
use crate::gemm::View;
use crate::isa::vectorized;
use crate::math::exp_low;
use crate::sum::{LANES, fold, of_products};

/// Columns of each item among the negatives, by item.
#[derive(Debug)]
pub(super) struct Masks(Vec<(u32, u32)>);

impl Masks {
    /// Of the items in the columns.
    pub fn new(ids: &[u32]) -> Self {
        let columns = ids.iter().copied().zip(0..);
        let mut pairs: Vec<(u32, u32)> = columns.collect();
        pairs.sort_unstable();
        Self(pairs)
    }

    /// The columns of an item, rising.
    fn of(&self, item: u32) -> impl Iterator<Item = usize> {
        let first = self.0.partition_point(|(id, _)| *id < item);
        let rest = self.0[first..].iter();
        let same = rest.take_while(move |(id, _)| *id == item);
        same.map(|(_, column)| *column as usize)
    }
}

/// What the scores of a row come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// Greatest score so far.
    greatest: f32,
    /// Sum of `e^(score - greatest)`.
    total: f32,
    /// Score of the target.
    target: f32,
}

impl Default for State {
    fn default() -> Self {
        // Not -infinity: `-inf - -inf` would be NaN.
        Self {
            greatest: f32::MIN,
            total: 0.0,
            target: 0.0,
        }
    }
}

impl State {
    /// The row's part of the loss.
    pub fn loss(&self, weight: f32) -> f64 {
        if weight == 0.0 {
            return 0.0;
        }
        let logsumexp = f64::from(self.greatest) + f64::from(self.total).ln();
        f64::from(weight) * (logsumexp - f64::from(self.target))
    }

    /// `weight * (softmax - 1)` of the target.
    #[inline(always)]
    fn target_slope(&self, weight: f32) -> f32 {
        weight * (exp_low(self.target - self.greatest) / self.total - 1.0)
    }

    #[inline(always)]
    fn add(&mut self, greatest: f32, total: f32) {
        let high = greater(greatest, self.greatest);
        let before = self.total * exp_low(self.greatest - high);
        self.total = before + total * exp_low(greatest - high);
        self.greatest = high;
    }
}

/// Some rows, beginning with that of `targets[0]`, and one block of items.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub targets: &'a [u32],
    pub weights: &'a [f32],
    pub scale: f32,
    /// First column of the block, and its columns.
    pub columns: (usize, usize),
    /// Columns that do not count for a row; `None` when the columns are all items, the target among them.
    pub masks: Option<&'a Masks>,
}

impl Part<'_> {
    /// The column of row `i`'s target inside the block.
    #[inline(always)]
    fn target(&self, i: usize) -> Option<usize> {
        let column = (self.targets[i] as usize).wrapping_sub(self.columns.0);
        (self.masks.is_none() && column < self.columns.1).then_some(column)
    }

    /// Products of row `i` to its scores.
    #[inline(always)]
    fn score(&self, i: usize, products: &mut [f32]) {
        for value in products.iter_mut() {
            *value *= self.scale;
        }
        let Some(masks) = self.masks else {
            return;
        };
        for column in masks.of(self.targets[i]) {
            if let Some(score) = products.get_mut(column.wrapping_sub(self.columns.0)) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

vectorized! {
    /// Begins the states of the rows from `first` on with the scores of their own right items.
    pub(super) fn open[E: Element](
        given: (View<'_, E>, View<'_, E>),
        first: usize,
        scale: f32,
        states: &mut [State],
    ) {
        for (i, state) in states.iter_mut().enumerate() {
            let (row, own) = (given.0.row(first + i), given.1.row(first + i));
            let score = scale * dot(row, own);
            *state = State { greatest: score, total: 1.0, target: score };
        }
    }

    /// Products to scores, which are added to the states.
    pub(super) fn observe(part: &Part<'_>, scores: &mut [f32], states: &mut [State]) {
        let rows = scores.chunks_exact_mut(part.columns.1).zip(states);
        for (i, (scores, state)) in rows.enumerate() {
            part.score(i, scores);
            if let Some(column) = part.target(i) {
                state.target = scores[column];
            }
            let (greatest, total) = logsumexp(scores);
            state.add(greatest, total);
        }
    }

    /// Scores (`scores.1`: products) to `weight * (softmax - onehot)`.
    pub(super) fn weigh[E: Element](
        part: &Part<'_>,
        scores: (&mut [f32], bool),
        states: &[State],
        slopes: &mut [E],
    ) {
        let (scores, again) = scores;
        let width = part.columns.1;
        let rows = scores.chunks_exact_mut(width).zip(slopes.chunks_exact_mut(width));
        for (i, ((scores, slopes), state)) in rows.zip(states).enumerate() {
            let weight = part.weights[i];
            if weight == 0.0 {
                slopes.fill(E::default());
                continue;
            }
            if again {
                part.score(i, scores);
            }
            // Not from the logsumexp, whose rounding grows with the scores.
            let share = weight / state.total;
            for (slope, score) in slopes.iter_mut().zip(&*scores) {
                *slope = E::narrow(share * exp_low(*score - state.greatest));
            }
            if let Some(column) = part.target(i) {
                slopes[column] = E::narrow(state.target_slope(weight));
            }
        }
    }

    /// With the sums of `slope * item` over all columns in `sums`: adds the rows' own right items, whose gradients
    /// become `sums.1`, and gives the inner products of rows and sums.
    pub(super) fn close[E: Element](
        given: (View<'_, E>, Option<View<'_, E>>),
        rows: (&[State], &[f32]),
        sums: (&mut [f32], &mut [f32]),
        slopes: &mut [f64],
    ) {
        let (hidden, own) = given;
        let d = hidden.cols();
        for (i, slope) in slopes.iter_mut().enumerate() {
            let (row, sum) = (hidden.row(i), &mut sums.0[i * d..][..d]);
            if let Some(own) = own {
                let weight = rows.1[i];
                let factor = if weight == 0.0 { 0.0 } else { rows.0[i].target_slope(weight) };
                let positive = &mut sums.1[i * d..][..d];
                for j in 0..d {
                    sum[j] += factor * own.row(i)[j].wide();
                    positive[j] = factor * row[j].wide();
                }
            }
            *slope = f64::from(of_products(sum, row));
        }
    }
}

/// Inner product of two rows, in the order of [`of_products`].
#[inline(always)]
fn dot<E: Element>(a: &[E], b: &[E]) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a.wide() * b.wide();
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += a.wide() * b.wide();
    }
    fold(lanes, |a, b| a + b)
}
