//! Sums over the rows of a matrix, one per channel: by blocks of rows fixed by the shape, added in order.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use crate::blocks;
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;
use crate::scratch;

/// Blocks at most: each keeps its sums.
const MOST: usize = 256;

/// Rows per block of `rows` rows of `width` values (at least one value).
pub(super) fn block(rows: usize, width: usize) -> usize {
    blocks::rows(width).max(rows.div_ceil(MOST))
}

/// Gives `f` the number of each block of rows and `sums` zeros for its sums, on many threads; then gives `total` the
/// sums of all blocks in their order.
pub(super) fn by_block(
    blocks: usize,
    sums: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
    total: impl FnOnce(&[f32]),
) {
    if sums == 0 {
        return;
    }
    scratch::with::<f32, _>(blocks * sums, |partials| {
        partials.fill(0.0);
        partials
            .chunks_mut(sums)
            .enumerate()
            .spread(|(i, partial)| f(i, partial));
        total(partials);
    });
}

/// `out = ` sums of the columns of x, `[rows, out.len()]`.
pub(super) fn sums<E: Element>(isa: Isa, x: &[E], out: &mut [f32]) {
    let width = out.len();
    if width == 0 {
        return;
    }
    let many = block(x.len() / width, width) * width;
    out.fill(0.0);
    let part = |i: usize| i * many..((i + 1) * many).min(x.len());
    by_block(
        x.len().div_ceil(many),
        width,
        |i, sums| sum_rows(isa, &x[part(i)], sums),
        |partials| add_all(isa, partials, out),
    );
}

/// `out = ` sums of the columns of `a (b - mean)`, a and b `[rows, out.len()]`.
pub(super) fn products<E: Element>(isa: Isa, (a, b): (&[E], &[E]), mean: &[f32], out: &mut [f32]) {
    let width = out.len();
    if width == 0 {
        return;
    }
    let many = block(a.len() / width, width) * width;
    out.fill(0.0);
    let part = |i: usize| i * many..((i + 1) * many).min(a.len());
    by_block(
        a.len().div_ceil(many),
        width,
        |i, sums| multiply_rows(isa, &a[part(i)], &b[part(i)], mean, sums),
        |partials| add_all(isa, partials, out),
    );
}

vectorized! {
    fn multiply_rows[E: Element](a: &[E], b: &[E], mean: &[f32], sums: &mut [f32]) {
        let width = sums.len();
        for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
            for (((sum, a), b), mean) in sums.iter_mut().zip(a).zip(b).zip(mean) {
                *sum += a.wide() * (b.wide() - mean);
            }
        }
    }

    fn sum_rows[E: Element](x: &[E], sums: &mut [f32]) {
        for row in x.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value.wide();
            }
        }
    }

    /// Adds rows of partial sums to `out`, in order.
    pub(super) fn add_all(partials: &[f32], out: &mut [f32]) {
        for partial in partials.chunks_exact(out.len()) {
            add(out, partial);
        }
    }
}

#[inline(always)]
fn add(total: &mut [f32], part: &[f32]) {
    for (total, part) in total.iter_mut().zip(part) {
        *total += part;
    }
}
