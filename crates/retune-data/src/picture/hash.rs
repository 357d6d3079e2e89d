//! Perceptual hashes, and pictures that look the same by them.

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
    const N: usize = 32;
    let small = resize(&greyed(from), N, N, Filter::Lanczos);
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

fn greyed(from: &Pixels) -> Pixels {
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

/// Groups of two or more hashes that are linked by steps of at most `distance` differing bits.
///
/// Returns places in `hashes`, ascending, groups by their first place. Links chain: two members of a group may differ
/// by more. Two hashes that differ in at most d bits agree in one of d + 1 bands of bits, so only hashes that share
/// a band are compared; with a `distance` up to about 6 that is a small part of all pairs.
pub fn near(hashes: &[u64], distance: u32) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by_key(|&i| (hashes[i], i));
    let mut links = Links((0..hashes.len()).collect());
    // One of each hash goes on; its equals are linked to it.
    let mut unique: Vec<usize> = Vec::new();
    for &i in &order {
        match unique.last() {
            Some(&u) if hashes[u] == hashes[i] => links.join(u, i),
            _ => unique.push(i),
        }
    }
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
        unique.sort_by_key(|&i| (key(i), i));
        for run in unique.chunk_by(|&a, &b| key(a) == key(b)) {
            for (n, &a) in run.iter().enumerate() {
                for &b in &run[n + 1..] {
                    if (hashes[a] ^ hashes[b]).count_ones() <= distance {
                        links.join(a, b);
                    }
                }
            }
        }
    }
    links.groups()
}

/// Sets that grow together, each named by its smallest member.
struct Links(Vec<usize>);

impl Links {
    fn root(&mut self, mut i: usize) -> usize {
        while self.0[i] != i {
            self.0[i] = self.0[self.0[i]];
            i = self.0[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }

    fn groups(mut self) -> Vec<Vec<usize>> {
        let mut groups = vec![Vec::new(); self.0.len()];
        for i in 0..self.0.len() {
            let root = self.root(i);
            groups[root].push(i);
        }
        groups.retain(|g| g.len() > 1);
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::mix;

    /// Every pair compared.
    fn slow(hashes: &[u64], distance: u32) -> Vec<Vec<usize>> {
        let mut links = Links((0..hashes.len()).collect());
        for a in 0..hashes.len() {
            for b in a + 1..hashes.len() {
                if (hashes[a] ^ hashes[b]).count_ones() <= distance {
                    links.join(a, b);
                }
            }
        }
        links.groups()
    }

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
            let found = near(&hashes, distance);
            assert_eq!(found, slow(&hashes, distance), "{distance}");
            assert!(!found.is_empty(), "{distance}");
        }
        assert!(near(&[], 3).is_empty());
        assert!(near(&[0, u64::MAX], 63).is_empty());
        assert_eq!(near(&[0, u64::MAX], 64), [[0, 1]]);
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
