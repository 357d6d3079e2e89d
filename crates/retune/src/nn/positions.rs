//! Vectors of the places of a grid, resampled for a grid of another size by cubic convolution (Keys, IEEE Transactions
//! on Acoustics, Speech, and Signal Processing 29, 1981), as PyTorch's `interpolate` computes it.

use std::ops::Range;

/// How values between places are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resampling {
    /// From the four nearest places along each side; beyond the edge the last one counts again (`bicubic`).
    Bicubic,
    /// The same with a window that widens where the grid becomes coarser, and that is cut off at the edge (`bicubic`
    /// with `antialias`).
    Smooth,
}

impl Resampling {
    /// Place and weight of what each of `to` places is made of, out of `from` places.
    fn taps(self, from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
        let scale = from as f64 / to as f64;
        let centres = (0..to).map(|i| scale * (i as f64 + 0.5));
        match self {
            Self::Bicubic => centres.map(|centre| nearest(centre - 0.5, from)).collect(),
            Self::Smooth => centres
                .map(|centre| window(centre, scale.max(1.0), from))
                .collect(),
        }
    }

    /// `values` of `[rows * columns, width]` places for a grid of other rows and columns, in the same order.
    pub fn apply(self, values: &[f32], width: usize, [from, to]: [[usize; 2]; 2]) -> Vec<f32> {
        let [rows, columns] = [0, 1].map(|side| self.taps(from[side], to[side]));
        let mut found = Vec::with_capacity(to[0] * to[1] * width);
        for row in &rows {
            for column in &columns {
                let mut sum = vec![0f64; width];
                for (y, x, weight) in pairs(row, column) {
                    let start = (y * from[1] + x) * width;
                    for (sum, value) in sum.iter_mut().zip(&values[start..start + width]) {
                        *sum += weight * f64::from(*value);
                    }
                }
                found.extend(sum.into_iter().map(|sum| sum as f32));
            }
        }
        found
    }
}

/// Every pair of a row and a column, with the product of their weights.
fn pairs(
    rows: &[(usize, f64)],
    columns: &[(usize, f64)],
) -> impl Iterator<Item = (usize, usize, f64)> {
    rows.iter().flat_map(move |(y, down)| {
        let along = columns.iter();
        along.map(move |(x, across)| (*y, *x, down * across))
    })
}

/// The kernel at a distance, of which `a` is the slope at 1.
fn cubic(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// The four places around `at`, kept within `0..from`.
fn nearest(at: f64, from: usize) -> Vec<(usize, f64)> {
    const SLOPE: f64 = -0.75;
    let first = at.floor() as i64 - 1;
    let tap = |place: i64| {
        let inside = place.clamp(0, from as i64 - 1) as usize;
        (inside, cubic(place as f64 - at, SLOPE))
    };
    (first..first + 4).map(tap).collect()
}

/// The places within two widths of the window around `centre`, their weights made to add up to 1.
fn window(centre: f64, width: f64, from: usize) -> Vec<(usize, f64)> {
    const SLOPE: f64 = -0.5;
    let reach = 2.0 * width;
    let places = Range {
        start: (centre - reach + 0.5).max(0.0) as usize,
        end: ((centre + reach + 0.5) as usize).min(from),
    };
    let weight = |place: usize| cubic((place as f64 - centre + 0.5) / width, SLOPE);
    let sum: f64 = places.clone().map(weight).sum();
    places.map(|place| (place, weight(place) / sum)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Resampling; 2] = [Resampling::Bicubic, Resampling::Smooth];

    /// `torch.nn.functional.interpolate` of 1, 2, 4, 8 along one side, `mode="bicubic"`, without and with `antialias`.
    #[test]
    fn one_side_as_torch_has_it() {
        for (how, to, wanted) in [
            (Resampling::Bicubic, 6, SIX),
            (Resampling::Smooth, 6, SMOOTH_SIX),
            (Resampling::Bicubic, 2, TWO),
            (Resampling::Smooth, 2, SMOOTH_TWO),
        ] {
            let found = how.apply(&[1.0, 2.0, 4.0, 8.0], 1, [[1, 4], [1, to]]);
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                assert!(
                    (found - wanted).abs() < 1e-5,
                    "{how:?} to {to}: {found} for {wanted}"
                );
            }
        }
    }

    #[test]
    fn sides_and_channels_are_resampled_apart() {
        // A value that rises along one side only, and its negative in a second channel.
        let grid: Vec<f32> = (0..12)
            .flat_map(|i| [(i / 4) as f32, -((i / 4) as f32)])
            .collect();
        for how in BOTH {
            let found = how.apply(&grid, 2, [[3, 4], [5, 2]]);
            let line = how.apply(&[0.0, 1.0, 2.0], 1, [[3, 1], [5, 1]]);
            for (i, pair) in found.chunks_exact(2).enumerate() {
                assert!((pair[0] - line[i / 2]).abs() < 1e-6, "{how:?}: {found:?}");
                assert!((pair[0] + pair[1]).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let grid: Vec<f32> = (0..30).map(|i| (i * 7 % 11) as f32).collect();
        for how in BOTH {
            let found = how.apply(&grid, 2, [[3, 5], [3, 5]]);
            assert!(found.iter().zip(&grid).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    const SIX: &[f32] = &[0.913_194, 1.312_5, 2.304_398, 3.383_102, 6.187_5, 8.347_222];
    const SMOOTH_SIX: &[f32] = &[
        0.934_211, 1.352_941, 2.252_315, 3.539_352, 6.235_294, 8.263_158,
    ];
    const TWO: &[f32] = &[1.312_5, 6.187_5];
    const SMOOTH_TWO: &[f32] = &[1.557_851, 5.706_612];
}
