//! What happens to a tile of a product while it is hot: bias, activation, conversion.

#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calls what is compiled for instructions that were found"
    )
)]

use super::{MOST, Spot};
#[cfg(target_arch = "x86_64")]
use crate::activation::x86::gelu_rows;
use crate::activation::{self, Activation};
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::rounding;
use crate::scratch;

impl Spot<'_> {
    /// Rounds the tile into the block of rows `out`, `[rows, n]`.
    pub fn store<O: Element>(self, isa: Isa, n: usize, out: &mut [O]) {
        let out = &mut out[self.block_row * n + self.col..];
        let size = (self.rows, self.cols);
        rounding::rows(isa, (self.values, self.stride), size, (out, n));
    }

    /// `y = activation(tile + bias)` and, unless `slope` is empty, its derivative; all `[rows, n]`, bias `[n]`.
    pub fn activate<E: Element>(
        self,
        isa: Isa,
        (activation, bias): (Activation, &[f32]),
        y: &mut [E],
        slope: &mut [E],
    ) {
        if !rounding::is_native::<E>(isa) {
            return activate(isa, self, activation, bias, y, slope);
        }
        #[cfg(target_arch = "x86_64")]
        if activation == Activation::Gelu {
            return self.gelu(isa, bias, y, slope);
        }
        // Computed in f32, then rounded by the CPU's own instruction. In memory kept for reuse: arrays would be filled
        // with zeros first, which takes longer than a short product.
        let (n, size) = (bias.len(), (self.rows, self.cols));
        scratch::with::<f32, _>(2 * MOST, |kept| {
            let (values, slopes) = kept.split_at_mut(MOST);
            let with_slope = !slope.is_empty();
            let kept = if with_slope { Some(&mut *slopes) } else { None };
            activate_tile(isa, self, activation, bias, values, kept);
            let at = self.block_row * n + self.col;
            rounding::rows(isa, (values, self.cols), size, (&mut y[at..], n));
            if with_slope {
                rounding::rows(isa, (slopes, self.cols), size, (&mut slope[at..], n));
            }
        });
    }

    /// [`Spot::activate`] with GELU, where the CPU rounds to `E` by itself.
    #[cfg(target_arch = "x86_64")]
    fn gelu<E: Element>(self, isa: Isa, bias: &[f32], y: &mut [E], slope: &mut [E]) {
        let (at, n) = (self.block_row * bias.len() + self.col, bias.len());
        let end = at + (self.rows - 1) * n + self.cols;
        let bias = &bias[self.col..][..self.cols];
        assert!(isa.is_available() && rounding::is_native::<E>(isa));
        assert!(self.values.len() >= (self.rows - 1) * self.stride + self.cols);
        let y = y[at..end].as_mut_ptr().cast();
        let slope = match slope {
            [] => std::ptr::null_mut(),
            slope => slope[at..end].as_mut_ptr().cast(),
        };
        let z = (self.values.as_ptr(), self.stride);
        // SAFETY: the slices hold what is read and written, and the machine has the instructions.
        unsafe { gelu_rows(z, bias.as_ptr(), (self.rows, self.cols), (y, slope, n)) }
    }
}

vectorized! {
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
        slope: Option<&mut [f32]>,
    ) {
        let (cols, len) = (spot.cols, spot.rows * spot.cols);
        let bias = &bias[spot.col..][..cols];
        for (i, sums) in y[..len].chunks_exact_mut(cols).enumerate() {
            for ((sum, value), bias) in sums.iter_mut().zip(spot.values(i)).zip(bias) {
                *sum = value + bias;
            }
        }
        activation::in_place(activation, &mut y[..len], slope.map(|slope| &mut slope[..len]));
    }
}
