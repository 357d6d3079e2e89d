//! Patches of images as rows of a matrix (im2col), and their gradients back onto the images (col2im).
//!
//! The patch of a place is `[kh, kw, channels]`, zero outside the image. With channels last, the part of a patch
//! in one row of the window is one stretch of the image, copied or added at once.

use std::ops::Range;

use super::{Extent, Window, check};
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;
use crate::rounding;
use crate::scratch;

/// Values per task.
const BLOCK: usize = 1 << 14;

/// Copies the patches of some rows of places to `out`, `[rows * width of the result, kh * kw * channels]`.
///
/// Rows of places are counted through all images: row `r` of image `i` is `i * height of the result + r`.
///
/// # Panics
/// When a length is wrong.
pub fn patches<E: Element>(
    window: Window,
    input: Extent,
    x: &[E],
    rows: Range<usize>,
    out: &mut [E],
) {
    let [height, width] = window.output(input.height, input.width);
    let line = width * window.area() * input.channels;
    check("x", x.len(), input.values());
    check("patches", out.len(), rows.len() * line);
    assert!(
        rows.end <= input.images * height,
        "row {} of {} places",
        rows.end,
        input.images * height
    );
    if out.is_empty() {
        return;
    }
    let many = BLOCK.div_ceil(line);
    out.chunks_mut(many * line).enumerate().spread(|(i, out)| {
        let first = rows.start + i * many;
        for (row, out) in (first..).zip(out.chunks_exact_mut(line)) {
            let (image, place) = (row / height, row % height);
            patches_of_row(window, input, (image, place), x, out);
        }
    });
}

/// One row of places.
fn patches_of_row<E: Element>(
    window: Window,
    input: Extent,
    (image, place): (usize, usize),
    x: &[E],
    out: &mut [E],
) {
    let channels = input.channels;
    let across = window.kernel[1] * channels;
    let (taps, first) = window.inside(0, place, input.height);
    for (column, patch) in out.chunks_exact_mut(window.kernel[0] * across).enumerate() {
        let (inner, left) = window.inside(1, column, input.width);
        patch[..taps.start * across].fill(E::default());
        patch[taps.end * across..].fill(E::default());
        for (tap, row) in taps.clone().zip(first..) {
            let part = &mut patch[tap * across..][..across];
            let stretch = &input.at(x, image, row)[left * channels..][..inner.len() * channels];
            part[..inner.start * channels].fill(E::default());
            part[inner.end * channels..].fill(E::default());
            part[inner.start * channels..inner.end * channels].copy_from_slice(stretch);
        }
    }
}

/// The gradient of [`patches`] of all rows: each value of `dx` becomes the sum of `dpatches`
/// (`[places of all images, kh * kw * channels]`) wherever it was copied to, summed in f32.
///
/// # Panics
/// When a length is wrong.
pub fn add_patches<E: Element>(
    isa: Isa,
    window: Window,
    input: Extent,
    dpatches: &[E],
    dx: &mut [E],
) {
    let [height, width] = window.output(input.height, input.width);
    let places = input.images * height * width;
    check(
        "dpatches",
        dpatches.len(),
        places * window.area() * input.channels,
    );
    check("dx", dx.len(), input.values());
    let strip = Strip {
        window,
        input,
        rows: 0..input.height,
        places: 0..height,
    };
    strip.add(isa, dpatches, dx);
}

/// Rows of pixels of some images, and the rows of places whose windows reach them.
#[derive(Debug, Clone)]
pub(super) struct Strip {
    pub(super) window: Window,
    pub(super) input: Extent,
    pub(super) rows: Range<usize>,
    pub(super) places: Range<usize>,
}

impl Strip {
    /// These rows of pixels, with all rows of places that reach them; with all rows of pixels, all places, so that
    /// those of several images follow each other.
    pub(super) fn new(window: Window, input: Extent, rows: Range<usize>) -> Self {
        let all = window.output(input.height, input.width)[0];
        let (stride, before) = (window.stride[0], window.padding[0][0]);
        let least = (rows.start + before + 1).saturating_sub(window.kernel[0]);
        let end = ((rows.end + before).div_ceil(stride)).min(all);
        let (first, end) = if rows.len() == input.height {
            (0, all)
        } else {
            (least.div_ceil(stride).min(end), end)
        };
        Self {
            window,
            input,
            rows,
            places: first..end,
        }
    }

    /// As [`add_patches`], for the rows of this strip of every image: `dx` is `[images * rows, width, channels]`,
    /// `dpatches` has the places of the strip.
    pub(super) fn add<E: Element>(&self, isa: Isa, dpatches: &[E], dx: &mut [E]) {
        let line = self.input.line();
        if line == 0 {
            return;
        }
        dx.chunks_mut(line).enumerate().spread(|(i, dx)| {
            let (image, row) = (i / self.rows.len(), i % self.rows.len());
            scratch::with::<f32, _>(line, |sums| {
                sums.fill(0.0);
                add_to_row(isa, self, (image, self.rows.start + row), dpatches, sums);
                rounding::all(isa, sums, dx);
            });
        });
    }
}

vectorized! {
    /// Adds all that reaches one row of pixels to `sums`, `[width, channels]`.
    fn add_to_row[E: Element](
        strip: &Strip,
        at: (usize, usize),
        dpatches: &[E],
        sums: &mut [f32],
    ) {
        let (image, row) = at;
        let (window, input) = (strip.window, strip.input);
        let (channels, count) = (input.channels, strip.places.len());
        let width = window.output(input.height, input.width)[1];
        let across = window.kernel[1] * channels;
        let depth = window.kernel[0] * across;
        for (tap, place) in window.over(0, row, strip.places.clone()) {
            let first = (image * count + place - strip.places.start) * width * depth;
            let patches = dpatches[first..][..width * depth].chunks_exact(depth);
            for (column, patch) in patches.enumerate() {
                let (inner, left) = window.inside(1, column, input.width);
                let n = inner.len() * channels;
                let part = &patch[tap * across + inner.start * channels..][..n];
                for (sum, value) in sums[left * channels..][..n].iter_mut().zip(part) {
                    *sum += value.wide();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
