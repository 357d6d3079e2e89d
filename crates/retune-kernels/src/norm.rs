//! LayerNorm and RMSNorm of a sum, with the dropout before it: one pass forward, one backward.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use crate::blocks;
use crate::dropout::{Dropout, Rate, Row};
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;
use crate::scratch;
use crate::sum;

/// Which normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `(s - mean(s)) / sqrt(var(s) + eps)` (Ba, Kiros & Hinton, arXiv:1607.06450); the variance divides
    /// by the width.
    Layer,
    /// `s / sqrt(mean(s²) + eps)` (Zhang & Sennrich, arXiv:1910.07467).
    Rms,
}

/// A normalisation of rows as wide as `gamma`.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Which one.
    pub kind: Kind,
    /// Added under the root.
    pub eps: f32,
    /// Factor of each column, `[width]`.
    pub gamma: &'a [f32],
    /// Added to each column, `[width]`.
    pub beta: Option<&'a [f32]>,
}

/// What [`forward`] writes.
#[derive(Debug)]
pub struct Forward<'a, S> {
    /// The result, `[rows, width]`.
    pub y: &'a mut [f32],
    /// The rows before `gamma` and `beta`, for [`backward`]: `[rows, width]`.
    pub normed: &'a mut [S],
    /// What each row was multiplied by, for [`backward`]: `[rows]`.
    pub inv_std: &'a mut [f32],
}

/// What [`backward`] writes; nothing is added to what was there.
#[derive(Debug)]
pub struct Backward<'a, E> {
    /// Gradient of the sum, and so of the residual: `[rows, width]`.
    pub dsum: &'a mut [f32],
    /// Gradient of `x`: that of the sum times the factors of dropout, `[rows, width]`.
    pub dx: &'a mut [E],
    /// Gradient of `gamma`, `[width]`.
    pub dgamma: &'a mut [f32],
    /// Gradient of `beta`, `[width]`.
    pub dbeta: Option<&'a mut [f32]>,
}

/// `y = norm(dropout(x) + residual) * gamma + beta` for each of `inv_std.len()` rows.
///
/// `x` and `residual` are `[rows, width]`. A row that holds NaN or infinity becomes NaN.
///
/// # Panics
/// When a length is wrong.
pub fn forward<E: Element, S: Element>(
    x: &[E],
    residual: Option<&[f32]>,
    dropout: Option<&Dropout<'_>>,
    norm: &Norm<'_>,
    out: Forward<'_, S>,
) {
    forward_on(Isa::current(), x, residual, dropout, norm, out);
}

/// [`forward`] with these instructions.
pub(crate) fn forward_on<E: Element, S: Element>(
    isa: Isa,
    x: &[E],
    residual: Option<&[f32]>,
    dropout: Option<&Dropout<'_>>,
    norm: &Norm<'_>,
    out: Forward<'_, S>,
) {
    let (rows, width) = (out.inv_std.len(), norm.gamma.len());
    let size = rows * width;
    check("x", x.len(), size);
    check("residual", residual.map_or(size, <[f32]>::len), size);
    check("beta", norm.beta.map_or(width, <[f32]>::len), width);
    check("y", out.y.len(), size);
    check("normed", out.normed.len(), size);
    check("places", dropout.map_or(rows, |d| d.places.len()), rows);
    if size == 0 {
        out.inv_std.fill(0.0);
        return;
    }
    let input = Input {
        x,
        residual,
        dropout,
        norm,
    };
    let many = blocks::rows(width);
    out.y
        .chunks_mut(many * width)
        .zip(out.normed.chunks_mut(many * width))
        .zip(out.inv_std.chunks_mut(many))
        .enumerate()
        .spread(|(block, ((y, normed), inv_std))| {
            let out = Forward { y, normed, inv_std };
            forward_rows(isa, input, block * many, out);
        });
}

fn check(name: &str, found: usize, expected: usize) {
    assert!(
        found == expected,
        "norm: {name} has {found} values, expected {expected}"
    );
}

#[derive(Clone, Copy)]
struct Input<'a, E> {
    x: &'a [E],
    residual: Option<&'a [f32]>,
    dropout: Option<&'a Dropout<'a>>,
    norm: &'a Norm<'a>,
}

vectorized! {
    /// The rows from `first` on, as many as `out` has room for.
    fn forward_rows[E: Element, S: Element](
        input: Input<'_, E>,
        first: usize,
        out: Forward<'_, S>,
    ) {
        let width = input.norm.gamma.len();
        let outs = out.y.chunks_exact_mut(width);
        let outs = outs.zip(out.normed.chunks_exact_mut(width));
        for (i, ((y, normed), inv_std)) in outs.zip(out.inv_std).enumerate() {
            let row = first + i;
            let span = row * width..(row + 1) * width;
            let factors = input.dropout.map(|d| (d.rate, d.row(row)));
            let residual = input.residual.map(|r| &r[span.clone()]);
            add(&input.x[span], residual, factors, y);
            *inv_std = normalise(input.norm, y, normed);
        }
    }
}

/// `y = dropout(x) + residual` of one row.
#[inline(always)]
fn add<E: Element, T: Element>(
    x: &[E],
    residual: Option<&[f32]>,
    factors: Option<(Rate, Row)>,
    y: &mut [T],
) {
    match (factors, residual) {
        (None, None) => {
            for (y, x) in y.iter_mut().zip(x) {
                *y = T::narrow(x.wide());
            }
        }
        (None, Some(residual)) => {
            for ((y, x), r) in y.iter_mut().zip(x).zip(residual) {
                *y = T::narrow(x.wide() + r);
            }
        }
        (Some((rate, row)), None) => {
            for (column, (y, x)) in y.iter_mut().zip(x).enumerate() {
                *y = T::narrow(x.wide() * rate.factor(row, column as u32));
            }
        }
        (Some((rate, row)), Some(residual)) => {
            for (column, ((y, x), r)) in y.iter_mut().zip(x).zip(residual).enumerate() {
                *y = T::narrow(x.wide() * rate.factor(row, column as u32) + r);
            }
        }
    }
}

/// Normalises the row in place; gives what it was multiplied by.
#[inline(always)]
fn normalise<S: Element>(norm: &Norm<'_>, y: &mut [f32], normed: &mut [S]) -> f32 {
    let width = y.len() as f32;
    let mean = match norm.kind {
        Kind::Layer => sum::of(y, |v| v) / width,
        Kind::Rms => 0.0,
    };
    // In a second pass, since the difference of two sums of squares cancels.
    let square = sum::of(y, |v| (v - mean) * (v - mean)) / width;
    let inv_std = 1.0 / (square + norm.eps).sqrt();
    let columns = y.iter_mut().zip(normed).zip(norm.gamma);
    match norm.beta {
        Some(beta) => {
            for (((y, h), gamma), beta) in columns.zip(beta) {
                let x = (*y - mean) * inv_std;
                *h = S::narrow(x);
                *y = x * gamma + beta;
            }
        }
        None => {
            for ((y, h), gamma) in columns {
                let x = (*y - mean) * inv_std;
                *h = S::narrow(x);
                *y = x * gamma;
            }
        }
    }
    inv_std
}

/// The gradients of [`forward`], from that of its result (`dy`, `[rows, width]`), what it saved, and the
/// same `norm` and `dropout`.
///
/// With `w = dy * gamma` and `h = normed`, the gradient of the sum is
/// `inv_std * (w - mean(w) - h mean(w h))`, without `mean(w)` for [`Kind::Rms`]; those of `gamma` and
/// `beta` are the sums of `dy * h` and `dy` over rows.
///
/// # Panics
/// When a length is wrong.
pub fn backward<E: Element, S: Element>(
    dy: &[f32],
    normed: &[S],
    inv_std: &[f32],
    norm: &Norm<'_>,
    dropout: Option<&Dropout<'_>>,
    out: Backward<'_, E>,
) {
    let saved = Saved {
        dy,
        normed,
        inv_std,
        dropout,
    };
    backward_on(Isa::current(), saved, norm, out);
}

/// What [`backward`] starts from.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a, S> {
    dy: &'a [f32],
    normed: &'a [S],
    inv_std: &'a [f32],
    dropout: Option<&'a Dropout<'a>>,
}

/// [`backward`] with these instructions.
pub(crate) fn backward_on<E: Element, S: Element>(
    isa: Isa,
    saved: Saved<'_, S>,
    norm: &Norm<'_>,
    out: Backward<'_, E>,
) {
    let (rows, width) = (saved.inv_std.len(), norm.gamma.len());
    let size = rows * width;
    check("dy", saved.dy.len(), size);
    check("normed", saved.normed.len(), size);
    check("dsum", out.dsum.len(), size);
    check("dx", out.dx.len(), size);
    check("dgamma", out.dgamma.len(), width);
    let dbeta = out.dbeta.as_ref().map_or(width, |d| d.len());
    check("dbeta", dbeta, width);
    let places = saved.dropout.map_or(rows, |d| d.places.len());
    check("places", places, rows);
    out.dgamma.fill(0.0);
    if size == 0 {
        out.dbeta.into_iter().for_each(|d| d.fill(0.0));
        return;
    }
    let many = blocks::rows(width);
    scratch::with(rows.div_ceil(many) * 2 * width, |partials: &mut [f32]| {
        out.dsum
            .chunks_mut(many * width)
            .zip(out.dx.chunks_mut(many * width))
            .zip(partials.chunks_mut(2 * width))
            .enumerate()
            .spread(|(block, ((dsum, dx), partial))| {
                let (dgamma, dbeta) = partial.split_at_mut(width);
                let out = Backward {
                    dsum,
                    dx,
                    dgamma,
                    dbeta: Some(dbeta),
                };
                backward_rows(isa, saved, norm, block * many, out);
            });
        reduce(isa, partials, out.dgamma, out.dbeta);
    });
}

vectorized! {
    /// The rows from `first` on; gradients of parameters are those of these rows.
    fn backward_rows[E: Element, S: Element](
        saved: Saved<'_, S>,
        norm: &Norm<'_>,
        first: usize,
        out: Backward<'_, E>,
    ) {
        let width = norm.gamma.len();
        let dbeta = out.dbeta.unwrap_or_default();
        out.dgamma.fill(0.0);
        dbeta.fill(0.0);
        let outs = out.dsum.chunks_exact_mut(width);
        for (i, (dsum, dx)) in outs.zip(out.dx.chunks_exact_mut(width)).enumerate() {
            let row = first + i;
            let span = row * width..(row + 1) * width;
            let (dy, normed) = (&saved.dy[span.clone()], &saved.normed[span]);
            tally(dy, normed, out.dgamma, dbeta);
            let (mean, slope) = weigh(dy, normed, norm, dsum);
            let inv_std = saved.inv_std[row];
            for (d, h) in dsum.iter_mut().zip(normed) {
                *d = (*d - mean - h.wide() * slope) * inv_std;
            }
            add(dsum, None, saved.dropout.map(|d| (d.rate, d.row(row))), dx);
        }
    }
}

/// Adds one row to the gradients of the parameters.
#[inline(always)]
fn tally<S: Element>(dy: &[f32], normed: &[S], dgamma: &mut [f32], dbeta: &mut [f32]) {
    for (((dy, h), dgamma), dbeta) in dy.iter().zip(normed).zip(dgamma).zip(dbeta) {
        *dgamma += dy * h.wide();
        *dbeta += dy;
    }
}

/// `w = dy * gamma` of one row, and the means of `w` (0 for [`Kind::Rms`]) and of `w h`.
#[inline(always)]
fn weigh<S: Element>(dy: &[f32], normed: &[S], norm: &Norm<'_>, w: &mut [f32]) -> (f32, f32) {
    for ((w, dy), gamma) in w.iter_mut().zip(dy).zip(norm.gamma) {
        *w = dy * gamma;
    }
    let width = w.len() as f32;
    let mean = match norm.kind {
        Kind::Layer => sum::of(w, |v| v) / width,
        Kind::Rms => 0.0,
    };
    (mean, sum::of_products(w, normed) / width)
}

vectorized! {
    /// Adds the partial gradients of the blocks, in their order.
    fn reduce(partials: &[f32], dgamma: &mut [f32], dbeta: Option<&mut [f32]>) {
        let width = dgamma.len();
        for partial in partials.chunks_exact(2 * width) {
            accumulate(dgamma, &partial[..width]);
        }
        if let Some(dbeta) = dbeta {
            dbeta.fill(0.0);
            for partial in partials.chunks_exact(2 * width) {
                accumulate(dbeta, &partial[width..]);
            }
        }
    }
}

#[inline(always)]
fn accumulate(total: &mut [f32], part: &[f32]) {
    for (total, part) in total.iter_mut().zip(part) {
        *total += part;
    }
}

#[cfg(test)]
mod tests;
