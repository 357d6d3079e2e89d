//! Perceptual hashes, and pairs of them that differ in a few bits.

use super::augment::grey;
use super::{Filter, Pixels, resize};

/// Which neighbours are brighter: 64 bits, row by row, the first one highest. Fast; changes with crops.
///
/// Grey, 9 by 8 pixels (Lanczos), a bit where a pixel is brighter than its left neighbour. Source: `dhash` of the
/// Python package imagehash.
pub fn dhash(from: &Pixels) -> u64 {
    let small = resize(&greyed(from), 9, 8, Filter::Lanczos);
    bits(|x, y| small.at(x + 1, y)[0] > small.at(x, y)[0])
}

/// Which slow waves are strong: 64 bits, row by row, the first one highest. Withstands noise and compression.
///
/// Grey, 32 by 32 pixels (Lanczos), the lowest 8 by 8 coefficients of the cosine transform (DCT-II), a bit where one
/// is above their median. Source: `phash` of the Python package imagehash.
pub fn phash(from: &Pixels) -> u64 {
    waves(&resize(&greyed(from), N, N, Filter::Lanczos))
}

/// Pixels a side of what the cosine transform looks at.
const N: usize = 32;

/// [`phash`] of a grey picture of 32 by 32 pixels.
pub(super) fn waves(small: &Pixels) -> u64 {
    let wave = |k: usize, n: usize| {
        let angle = std::f64::consts::PI * (k * (2 * n + 1)) as f64 / (2 * N) as f64;
        angle.cos()
    };
    let waves: [[f64; N]; 8] = std::array::from_fn(|k| std::array::from_fn(|n| wave(k, n)));
    // [rows, 8]: along each row, then down the columns.
    let along: [[f64; 8]; N] = std::array::from_fn(|y| {
        std::array::from_fn(|k| {
            (0..N)
                .map(|x| f64::from(small.at(x, y)[0]) * waves[k][x])
                .sum()
        })
    });
    let low: [[f64; 8]; 8] = std::array::from_fn(|j| {
        std::array::from_fn(|k| {
            let sum: f64 = (0..N).map(|y| along[y][k] * waves[j][y]).sum();
            // What a flat picture leaves is rounding, not a wave.
            if sum.abs() < 1e-6 { 0.0 } else { sum }
        })
    });
    let mut sorted: Vec<f64> = low.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let median = f64::midpoint(sorted[31], sorted[32]);
    bits(|x, y| low[y][x] > median)
}

/// The picture in grey, all channels the same.
pub(super) fn greyed(from: &Pixels) -> Pixels {
    Pixels::from_fn((from.width, from.height), |x, y| [grey(from.at(x, y)); 3])
}

/// 64 bits of an 8 by 8 field.
fn bits(of: impl Fn(usize, usize) -> bool) -> u64 {
    let mut hash = 0;
    for y in 0..8 {
        for x in 0..8 {
            hash = hash << 1 | u64::from(of(x, y));
        }
    }
    hash
}

/// Calls `each` with the pairs of `of`, which are places in `hashes`, that differ in at most `distance` bits; with some
/// more than once. `of` is left in another order.
///
/// Two hashes that differ in at most d bits agree in one of d + 1 bands of bits, so only hashes that share a band are
/// compared; with a `distance` up to about 6 that is a small part of all pairs.
pub(super) fn pairs(
    hashes: &[u64],
    of: &mut [usize],
    distance: u32,
    mut each: impl FnMut(usize, usize),
) {
    let bands = (u64::from(distance) + 1).min(64);
    for band in 0..bands {
        let (low, high) = (64 * band / bands, 64 * (band + 1) / bands);
        // From 64 differing bits on, everything is near everything.
        let mask = if distance >= 64 {
            0
        } else {
            u64::MAX >> (64 - (high - low))
        };
        let key = |i: usize| hashes[i] >> low & mask;
        of.sort_by_key(|&i| (key(i), i));
        for run in of.chunk_by(|&a, &b| key(a) == key(b)) {
            for (n, &a) in run.iter().enumerate() {
                for &b in &run[n + 1..] {
                    if (hashes[a] ^ hashes[b]).count_ones() <= distance {
                        each(a, b);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::mix;

    #[test]
    fn bands_find_what_all_pairs_find() {
        for distance in [0, 1, 2, 5, 8, 20, 63, 64, 99] {
            // Families of a few hashes that differ in up to six bits.
            let hashes: Vec<u64> = (0..300)
                .map(|i| {
                    let flips = (0..mix(7, i) % 7).map(|n| 1u64 << (mix(i, n) % 64));
                    mix(3, i % 90) ^ flips.fold(0, |all, one| all | one)
                })
                .collect();
            let mut found = BTreeSet::new();
            let mut of: Vec<usize> = (0..hashes.len()).collect();
            pairs(&hashes, &mut of, distance, |a, b| {
                found.insert((a, b));
            });
            let differ = |a: usize, b: usize| (hashes[a] ^ hashes[b]).count_ones();
            let all = (0..hashes.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
            let slow: BTreeSet<_> = all.filter(|&(a, b)| differ(a, b) <= distance).collect();
            assert_eq!(found, slow, "{distance}");
            assert!(!found.is_empty(), "{distance}");
        }
    }

    #[test]
    fn flat_pictures_of_any_colour_are_equal_and_others_are_not() {
        let flat = |v| Pixels::from_fn((20, 10), |_, _| [v; 3]);
        let slope = Pixels::from_fn((20, 10), |x, _| [x as u8 * 10; 3]);
        let fall = Pixels::from_fn((20, 10), |x, _| [250 - x as u8 * 10; 3]);
        assert_eq!((dhash(&flat(3)), phash(&flat(3))), (0, 1 << 63));
        for hash in [dhash, phash] {
            assert_eq!(hash(&flat(3)), hash(&flat(200)));
            assert_ne!(hash(&slope), hash(&flat(3)));
            assert!((hash(&slope) ^ hash(&fall)).count_ones() > 3);
        }
    }
}
