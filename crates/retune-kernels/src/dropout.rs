//! Dropout masks from a counter-based generator.
//!
//! The mask of an element depends only on (seed, step, site, key of its sequence, its place in the
//! sequence): not on threads, on the batch it travels in, or on what was drawn before.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use crate::blocks;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;

/// Which random numbers: one stream per (seed, step, site).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Seed of the run.
    pub seed: u64,
    /// Optimiser step (and micro-step) of the pass.
    pub step: u64,
    /// Which dropout layer of the model.
    pub site: u64,
}

/// SplitMix64 (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[inline(always)]
pub fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    /// The random numbers of one row: the key of its sequence and its place there.
    #[inline(always)]
    pub fn row(self, key: u64, place: u64) -> Row {
        let sequence = mix(mix(mix(self.seed ^ mix(self.step)) ^ self.site) ^ key);
        let bits = mix(sequence ^ place);
        Row {
            low: bits as u32,
            high: (bits >> 32) as u32,
        }
    }
}

/// The random numbers of one row of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    low: u32,
    high: u32,
}

/// A dropout probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    threshold: u32,
    keep: f32,
}

impl Rate {
    /// Of probability `p`.
    ///
    /// # Panics
    /// When `p` is not in `[0, 1)`.
    pub fn new(p: f64) -> Self {
        assert!(
            (0.0..1.0).contains(&p),
            "a dropout probability of {p}: give one from 0 to below 1"
        );
        Self {
            threshold: (p * 4_294_967_296.0) as u32,
            keep: (1.0 / (1.0 - p)) as f32,
        }
    }

    /// The factor of value `column` of a row: 0 with probability `p`, else `1 / (1 - p)`.
    ///
    /// Two rounds of multiply and xor-shift in the manner of C. Wellons' `lowbias32`, each with half of
    /// the row's key, in 32-bit arithmetic so that loops over columns become vector code.
    #[inline(always)]
    pub fn factor(self, row: Row, column: u32) -> f32 {
        let x = column.wrapping_mul(0x9e37_79b1) ^ row.low;
        let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d) ^ row.high;
        let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        let x = x ^ (x >> 16);
        if x < self.threshold { 0.0 } else { self.keep }
    }
}

/// Dropout over the rows of packed sequences.
#[derive(Debug, Clone, Copy)]
pub struct Dropout<'a> {
    /// Probability.
    pub rate: Rate,
    /// The stream of the pass and layer.
    pub stream: Stream,
    /// Key of each sequence.
    pub keys: &'a [u64],
    /// Sequence and place in it of each row.
    pub places: &'a [(u32, u32)],
}

impl Dropout<'_> {
    /// The random numbers of row `i`.
    #[inline(always)]
    pub fn row(&self, i: usize) -> Row {
        let (sequence, place) = self.places[i];
        self.stream
            .row(self.keys[sequence as usize], u64::from(place))
    }
}

/// Masks of `rows` rows of `width` values: 0 with probability `p`, else `1 / (1 - p)`.
///
/// `row(i)` names row `i`: the key of its sequence and its place there. Returns `rows * width` values.
pub fn mask<F>(rows: usize, width: usize, p: f64, stream: Stream, row: F) -> Vec<f32>
where
    F: Fn(usize) -> (u64, u64) + Sync,
{
    let rate = Rate::new(p);
    let mut out = vec![0f32; rows * width];
    if width == 0 {
        return out;
    }
    let (isa, many) = (Isa::current(), blocks::rows(width));
    let keys = |i: usize| {
        let (key, place) = row(i);
        stream.row(key, place)
    };
    out.chunks_mut(many * width)
        .enumerate()
        .spread(|(block, out)| fill(isa, rate, width, block * many, &keys, out));
    out
}

vectorized! {
    /// The factors of the rows from `first` on.
    fn fill[F: Fn(usize) -> Row](rate: Rate, width: usize, first: usize, row: &F, out: &mut [f32]) {
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let row = row(first + i);
            for (column, value) in out.iter_mut().enumerate() {
                *value = rate.factor(row, column as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;

    const STREAM: Stream = Stream {
        seed: 7,
        step: 3,
        site: 1,
    };

    #[test]
    fn drops_the_asked_share_and_keeps_the_mean() {
        let m = mask(1000, 384, 0.1, STREAM, |i| (i as u64, 0));
        let dropped = m.iter().filter(|v| **v == 0.0).count() as f64 / m.len() as f64;
        let mean = m.iter().map(|v| f64::from(*v)).sum::<f64>() / m.len() as f64;
        // Four standard errors of a share of 0.1 over 384,000 draws are 0.002.
        assert!((dropped - 0.1).abs() < 0.002, "{dropped}");
        assert!((mean - 1.0).abs() < 0.003, "{mean}");
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let all = mask(5, 33, 0.3, STREAM, |i| (10 + i as u64, 2));
        let one = mask(1, 33, 0.3, STREAM, |_| (13, 2));
        assert_eq!(one, all[3 * 33..4 * 33]);
    }

    #[test]
    fn streams_differ_by_seed_step_site_and_key() {
        let base = mask(1, 64, 0.5, STREAM, |_| (1, 1));
        for other in [
            Stream { seed: 8, ..STREAM },
            Stream { step: 4, ..STREAM },
            Stream { site: 2, ..STREAM },
        ] {
            assert_ne!(base, mask(1, 64, 0.5, other, |_| (1, 1)));
        }
        assert_ne!(base, mask(1, 64, 0.5, STREAM, |_| (2, 1)));
        assert_ne!(base, mask(1, 64, 0.5, STREAM, |_| (1, 2)));
    }

    #[test]
    fn zero_probability_keeps_everything() {
        assert!(
            mask(3, 5, 0.0, STREAM, |i| (i as u64, 0))
                .iter()
                .all(|v| *v == 1.0)
        );
        assert!(mask(3, 0, 0.5, STREAM, |i| (i as u64, 0)).is_empty());
    }

    #[test]
    fn masks_are_the_same_everywhere_and_those_of_the_factors() {
        let (rows, width) = (70, 385);
        let rate = Rate::new(0.2);
        let want: Vec<f32> = (0..rows * width)
            .map(|i| rate.factor(STREAM.row(9, (i / width) as u64), (i % width) as u32))
            .collect();
        let row = |i: usize| STREAM.row(9, i as u64);
        trial::same_everywhere(|isa| {
            let mut out = vec![7f32; rows * width];
            fill(isa, rate, width, 0, &row, &mut out);
            assert_eq!(out, want);
            assert_eq!(mask(rows, width, 0.2, STREAM, |i| (9, i as u64)), want);
        });
    }

    #[test]
    #[should_panic(expected = "a dropout probability of 1: give one from 0 to below 1")]
    fn a_probability_of_one_is_refused() {
        Rate::new(1.0);
    }
}
