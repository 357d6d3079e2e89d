//! What happens to a tile of a product while it is hot: bias, activation, conversion.

use half::bf16;

use super::Spot;
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::activation::{self, Activation};
use crate::element::Element;
use crate::isa::{Isa, vectorized};

/// Values of the largest tile.
const TILE: usize = 12 * 32;

impl Spot<'_> {
    /// Rounds the tile into the block of rows `out`, `[rows, n]`.
    pub fn store<O: Element>(self, isa: Isa, n: usize, out: &mut [O]) {
        if let Some(out) = native(isa, out) {
            return self.store_native(n, out);
        }
        store(isa, self, n, out);
    }

    /// `y = activation(tile + bias)` and, unless `slope` is empty, its derivative; all `[rows, n]`, bias `[n]`.
    pub fn activate<E: Element>(
        self,
        isa: Isa,
        (activation, bias): (Activation, &[f32]),
        y: &mut [E],
        slope: &mut [E],
    ) {
        if native(isa, &mut *y).is_none() {
            return activate(isa, self, activation, bias, y, slope);
        }
        // Computed in f32, then rounded by the CPU's own instruction.
        let n = bias.len();
        let (mut values, mut slopes) = ([0f32; TILE], [0f32; TILE]);
        let with_slope = !slope.is_empty();
        let kept = if with_slope { &mut slopes[..] } else { &mut [] };
        activate_tile(isa, self, activation, bias, &mut values, kept);
        for (tile, out) in [(&values, y), (&slopes, slope)] {
            let spot = Spot {
                values: tile,
                stride: self.cols,
                ..self
            };
            if let Some(out) = native(isa, out).filter(|out| !out.is_empty()) {
                spot.store_native(n, out);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn store_native(self, n: usize, out: &mut [bf16]) {
        let rows = self.rows;
        let out = &mut out[self.block_row * n + self.col..];
        x86::store_bf16((self.values, self.stride), (rows, self.cols), (out, n));
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn store_native(self, _: usize, _: &mut [bf16]) {
        unreachable!("no instruction set of this CPU rounds to bf16");
    }
}

/// `out` as bf16, when it is and the CPU rounds to bf16 by itself.
fn native<O: Element>(isa: Isa, out: &mut [O]) -> Option<&mut [bf16]> {
    let native = isa == Isa::Avx512Bf16 && O::BYTES == size_of::<bf16>();
    native.then(|| bytemuck::cast_slice_mut(out))
}

vectorized! {
    fn store[O: Element](spot: Spot<'_>, n: usize, out: &mut [O]) {
        for i in 0..spot.rows {
            let out = &mut out[(spot.block_row + i) * n + spot.col..][..spot.cols];
            for (out, value) in out.iter_mut().zip(spot.values(i)) {
                *out = O::narrow(*value);
            }
        }
    }

    fn activate[E: Element](
        spot: Spot<'_>,
        activation: Activation,
        bias: &[f32],
        y: &mut [E],
        slope: &mut [E],
    ) {
        let n = bias.len();
        let bias = &bias[spot.col..][..spot.cols];
        for i in 0..spot.rows {
            let at = (spot.block_row + i) * n + spot.col;
            let slope = if slope.is_empty() { None } else { Some(&mut slope[at..][..spot.cols]) };
            activation::row(activation, spot.values(i), bias, &mut y[at..][..spot.cols], slope);
        }
    }

    /// As `activate`, with `y` and `slope` of the size of the tile. The whole tile goes through the activation
    /// at once: rows of a tile are too short to be worth a loop each.
    fn activate_tile(
        spot: Spot<'_>,
        activation: Activation,
        bias: &[f32],
        y: &mut [f32],
        slope: &mut [f32],
    ) {
        let (cols, len) = (spot.cols, spot.rows * spot.cols);
        let bias = &bias[spot.col..][..cols];
        let (mut sums, none) = ([0f32; TILE], [0f32; TILE]);
        for (i, sums) in sums[..len].chunks_exact_mut(cols).enumerate() {
            for ((sum, value), bias) in sums.iter_mut().zip(spot.values(i)).zip(bias) {
                *sum = value + bias;
            }
        }
        let slope = if slope.is_empty() { None } else { Some(&mut slope[..len]) };
        activation::row(activation, &sums[..len], &none[..len], &mut y[..len], slope);
    }
}
