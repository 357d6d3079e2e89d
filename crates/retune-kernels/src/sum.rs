//! Sums whose result does not depend on the number of threads.
//!
//! A slice is cut into fixed blocks of [`BLOCK`] values, each block is summed in f64 by one thread,
//! and the block sums are added in order.

use rayon::prelude::*;

/// Values per block.
pub const BLOCK: usize = 1 << 16;

/// Sum of squares of `values`, in f64. Not finite when any value is not finite.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let blocks: Vec<f64> = values
        .par_chunks(BLOCK)
        .map(|block| {
            // Eight lanes let the compiler vectorise; their order is fixed.
            let mut lanes = [0f64; 8];
            let chunks = block.chunks_exact(8);
            let rest = chunks.remainder();
            for chunk in chunks {
                for (lane, value) in lanes.iter_mut().zip(chunk) {
                    *lane += f64::from(*value) * f64::from(*value);
                }
            }
            lanes.iter().sum::<f64>()
                + rest
                    .iter()
                    .map(|v| f64::from(*v) * f64::from(*v))
                    .sum::<f64>()
        })
        .collect();
    blocks.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_plain_sum_on_any_length() {
        for n in [0, 1, 7, 8, 9, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let values: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let plain: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!((sum_of_squares(&values) - plain).abs() <= 1e-9 * plain.max(1.0));
        }
    }

    #[test]
    fn does_not_depend_on_the_thread_count() {
        let values: Vec<f32> = (0..5 * BLOCK + 3).map(|i| (i as f32).cos()).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.map(|pool| pool.install(|| sum_of_squares(&values).to_bits()))
                .ok()
        };
        assert_eq!(on(1), on(2));
        assert_eq!(on(1), on(5));
    }

    #[test]
    fn reports_values_that_are_not_finite() {
        assert!(!sum_of_squares(&[1.0, f32::NAN]).is_finite());
        assert!(!sum_of_squares(&[f32::INFINITY]).is_finite());
    }
}
