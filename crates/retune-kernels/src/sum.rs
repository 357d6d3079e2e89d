//! Sums whose result does not depend on the number of threads or on the instructions.
//!
//! A slice is cut into fixed blocks of [`BLOCK`] values, each block is summed in f64 by one thread,
//! and the block sums are added in order.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;

/// Values per block.
pub const BLOCK: usize = 1 << 16;

/// Partial sums kept side by side, as many as the widest vector holds: their order is part of the result.
pub(crate) const LANES: usize = 16;

/// Sum of squares of `values`, in f64. Not finite when any value is not finite, or too large for
/// its square to be an f32 (above 1.8e19).
pub fn sum_of_squares(values: &[f32]) -> f64 {
    sum_of_squares_on(Isa::current(), values)
}

/// [`sum_of_squares`] with these instructions.
pub(crate) fn sum_of_squares_on(isa: Isa, values: &[f32]) -> f64 {
    let mut sums = vec![0f64; values.len().div_ceil(BLOCK)];
    let blocks = sums.iter_mut().zip(values.chunks(BLOCK));
    blocks.spread(|(sum, block)| *sum = squares(isa, block));
    sums.iter().sum()
}

vectorized! {
    fn squares(block: &[f32]) -> f64 {
        // A few squares are added in f32, whose rounding there is far below that of the values, before they
        // become f64: conversions would cost more than everything else.
        let mut lanes = [0f64; LANES];
        let (groups, rest) = block.as_chunks::<{ 4 * LANES }>();
        for group in groups {
            for (i, lane) in lanes.iter_mut().enumerate() {
                let square = |j: usize| group[j * LANES + i] * group[j * LANES + i];
                *lane += f64::from((square(0) + square(1)) + (square(2) + square(3)));
            }
        }
        for (i, value) in rest.iter().enumerate() {
            let value = f64::from(*value);
            lanes[i % LANES] += value * value;
        }
        lanes.iter().sum()
    }
}

/// Sum of `f(value)` in f32: value `i` is added to lane `i % LANES`, then the lanes by [`fold`].
#[inline(always)]
pub(crate) fn of(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += f(*value);
    }
    fold(lanes, |a, b| a + b)
}

/// Sum of `x * y` in f32, in the order of [`of`].
#[inline(always)]
pub(crate) fn of_products<E: Element>(x: &[f32], y: &[E]) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y.wide();
        }
    }
    for ((lane, x), y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane += x * y.wide();
    }
    fold(lanes, |a, b| a + b)
}

/// The lanes joined by `f`, by halves.
#[inline(always)]
pub(crate) fn fold(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;

    #[test]
    fn equals_the_plain_sum_on_any_length() {
        for n in [0, 1, 7, 8, 9, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let values: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let plain: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!((sum_of_squares(&values) - plain).abs() <= 1e-9 * plain.max(1.0));
        }
    }

    vectorized! {
        fn plain_sum(values: &[f32]) -> f32 {
            of(values, |v| v)
        }
    }

    #[test]
    fn is_the_same_everywhere() {
        for n in [0, 3, 1000, BLOCK - 1, 5 * BLOCK + 3] {
            let values = trial::numbers(n, 1);
            trial::same_everywhere(|isa| sum_of_squares_on(isa, &values).to_bits());
            trial::same_everywhere(|isa| plain_sum(isa, &values).to_bits());
        }
    }

    #[test]
    fn sums_in_f32_equal_sums_in_f64() {
        for n in [0, 1, 15, 16, 17, 1009] {
            let values = trial::numbers(n, 2);
            let plain: f64 = values.iter().map(|v| f64::from(*v) * 3.0).sum();
            trial::near(&[f64::from(of(&values, |v| v * 3.0))], &[plain], 1e-5);
        }
        assert!(of(&[1.0, f32::NAN], |v| v).is_nan());
    }

    #[test]
    fn reports_values_that_are_not_finite() {
        assert!(!sum_of_squares(&[1.0, f32::NAN]).is_finite());
        assert!(!sum_of_squares(&[f32::INFINITY]).is_finite());
    }
}
