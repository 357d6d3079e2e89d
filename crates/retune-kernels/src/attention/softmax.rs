//! Softmax of one row of scores, and its gradient. Rows are padded to whole vectors.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use crate::dropout::{Rate, Row};
use crate::element::Element;
use crate::math::exp_low;

/// Lanes of sums and maxima: their order is the same on every machine.
const LANES: usize = 16;

/// Lanes reduced by halves: fewer steps in a row than one after the other, and each of them a vector's.
#[inline(always)]
fn halved(lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let lanes: [f32; 8] = std::array::from_fn(|i| f(lanes[i], lanes[i + 8]));
    let lanes: [f32; 4] = std::array::from_fn(|i| f(lanes[i], lanes[i + 4]));
    f(f(lanes[0], lanes[2]), f(lanes[1], lanes[3]))
}

#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in x.as_chunks::<LANES>().0 {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            // Not `max`: this form is one instruction.
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    halved(lanes, |a, b| if b > a { b } else { a })
}

/// Softmax of `scale * s` over the first `n` scores, 0 after them whatever stood there, times the dropout factors; in
/// place. Gives the log of the sum of exponentials.
#[inline(always)]
pub(super) fn softmax(s: &mut [f32], n: usize, scale: f32, dropout: Option<(Rate, Row)>) -> f32 {
    let (s, unseen) = s.split_at_mut(n.next_multiple_of(LANES));
    unseen.fill(0.0);
    s[n..].fill(f32::NEG_INFINITY);
    let top = largest(s) * scale;
    let mut lanes = [0f32; LANES];
    for chunk in vectors(s) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *value = exp_low(*value * scale - top);
            *lane += *value;
        }
    }
    let sum = halved(lanes, |a, b| a + b);
    let share = 1.0 / sum;
    if let Some((rate, row)) = dropout {
        for (i, chunk) in vectors(s).enumerate() {
            let first = (i * LANES) as u32;
            for (j, value) in chunk.iter_mut().enumerate() {
                *value *= share * rate.factor(row, first + j as u32);
            }
        }
    } else {
        for value in s.iter_mut() {
            *value *= share;
        }
    }
    top + sum.ln()
}

/// One row of the backward pass.
pub(super) struct Gradient {
    /// Keys seen.
    pub n: usize,
    /// `1 / sqrt(size)`.
    pub scale: f32,
    /// Log of the sum of exponentials of the forward pass.
    pub lse: f32,
    /// Inner product of the result and its gradient.
    pub dot: f32,
    /// Dropout of the row.
    pub dropout: Option<(Rate, Row)>,
}

/// With `q = exp(scale * s - lse)` and dropout factor `f`: `s = q f`, `dp = scale * q (f dp - dot)`; both 0 after
/// the first `n`, whatever stood there.
#[inline(always)]
pub(super) fn gradient(row: &Gradient, s: &mut [f32], dp: &mut [f32]) {
    let whole = row.n.next_multiple_of(LANES);
    let ((s, unseen_s), (dp, unseen_dp)) = (s.split_at_mut(whole), dp.split_at_mut(whole));
    unseen_s.fill(0.0);
    unseen_dp.fill(0.0);
    s[row.n..].fill(f32::NEG_INFINITY);
    dp[row.n..].fill(0.0);
    let each = vectors(s).zip(vectors(dp));
    if let Some((rate, random)) = row.dropout {
        for (i, (s, dp)) in each.enumerate() {
            let first = (i * LANES) as u32;
            for j in 0..LANES {
                let factor = rate.factor(random, first + j as u32);
                let q = exp_low(s[j] * row.scale - row.lse);
                s[j] = q * factor;
                dp[j] = row.scale * q * (dp[j] * factor - row.dot);
            }
        }
    } else {
        for (s, dp) in each {
            for (s, dp) in s.iter_mut().zip(dp) {
                *s = exp_low(*s * row.scale - row.lse);
                *dp = row.scale * *s * (*dp - row.dot);
            }
        }
    }
}

/// Whole vectors of a row.
#[inline(always)]
fn vectors(x: &mut [f32]) -> impl Iterator<Item = &mut [f32; LANES]> {
    x.as_chunks_mut::<LANES>().0.iter_mut()
}

/// Inner product of two rows.
#[inline(always)]
pub(super) fn dot<E: Element>(a: &[E], b: &[E]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f32 = rest.map(|(a, b)| a.wide() * b.wide()).sum();
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a.wide() * b.wide();
        }
    }
    halved(lanes, |a, b| a + b) + rest
}
