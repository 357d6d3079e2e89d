//! Dropout masks from a counter-based generator.
//!
//! The mask of an element depends only on (seed, step, site, key of its sequence, its place in the
//! sequence): not on threads, on the batch it travels in, or on what was drawn before.

use rayon::prelude::*;

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
#[inline]
pub fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    fn of(self, key: u64) -> u64 {
        mix(mix(mix(self.seed ^ mix(self.step)) ^ self.site) ^ key)
    }
}

/// Masks of `rows` rows of `width` values: 0 with probability `p`, else `1 / (1 - p)`.
///
/// `row(i)` names row `i`: the key of its sequence and its place there. Returns `rows * width` values.
pub fn mask<F>(rows: usize, width: usize, p: f64, stream: Stream, row: F) -> Vec<f32>
where
    F: Fn(usize) -> (u64, u64) + Sync,
{
    let mut out = vec![0f32; rows * width];
    if width == 0 {
        return out;
    }
    let threshold = (p * 4_294_967_296.0) as u64;
    let keep = (1.0 / (1.0 - p)) as f32;
    out.par_chunks_mut(width).enumerate().for_each(|(i, out)| {
        let (key, place) = row(i);
        let start = mix(stream.of(key) ^ place);
        for (j, pair) in out.chunks_mut(2).enumerate() {
            let bits = mix(start.wrapping_add(j as u64));
            for (value, half) in pair.iter_mut().zip([bits & 0xffff_ffff, bits >> 32]) {
                *value = if half < threshold { 0.0 } else { keep };
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
