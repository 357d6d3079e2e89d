//! AdamW in one pass over a parameter (Loshchilov & Hutter, "Decoupled Weight Decay
//! Regularization", arXiv:1711.05101; same arithmetic as `torch.optim.AdamW`).

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use crate::blocks;
use crate::embedding::RowGradient;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;

/// What AdamW needs besides the slices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of the step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay; 0 for biases and norms.
    pub weight_decay: f64,
    /// 1-based step, for bias correction.
    pub step: u64,
    /// The gradient is multiplied by this first: clipping and averaging.
    pub grad_scale: f64,
}

const BLOCK: usize = 1 << 14;

/// One step: `param`, `m` and `v` are updated in place. All slices have the same length.
///
/// ```text
/// g = grad_scale * grad;  p -= lr * weight_decay * p
/// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g²
/// p -= lr / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + eps)
/// ```
///
/// Moments below the least normal number become 0: beside `eps` they change nothing, and arithmetic on
/// them takes many times as long on some CPUs.
///
/// # Panics
/// When the slices differ in length.
pub fn adamw(param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], c: &AdamW) {
    adamw_on(Isa::current(), param, grad, m, v, c);
}

/// [`adamw`] with these instructions.
pub(crate) fn adamw_on(
    isa: Isa,
    param: &mut [f32],
    grad: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    c: &AdamW,
) {
    assert!(
        param.len() == grad.len() && param.len() == m.len() && param.len() == v.len(),
        "adamw: slices of different length"
    );
    let step = Step::new(c);
    param
        .chunks_mut(BLOCK)
        .zip(grad.chunks(BLOCK))
        .zip(m.chunks_mut(BLOCK))
        .zip(v.chunks_mut(BLOCK))
        .spread(|(((param, grad), m), v)| update(isa, step, param, grad, m, v));
}

/// What a step needs, rounded once.
#[derive(Clone, Copy)]
struct Step {
    scale: f32,
    b1: f32,
    a1: f32,
    b2: f32,
    a2: f32,
    eps: f32,
    keep: f32,
    size: f32,
    inv_correction2: f32,
}

impl Step {
    fn new(c: &AdamW) -> Self {
        let correction1 = 1.0 - c.beta1.powf(c.step as f64);
        let correction2 = (1.0 - c.beta2.powf(c.step as f64)).sqrt();
        Self {
            scale: c.grad_scale as f32,
            b1: c.beta1 as f32,
            a1: (1.0 - c.beta1) as f32,
            b2: c.beta2 as f32,
            a2: (1.0 - c.beta2) as f32,
            eps: c.eps as f32,
            keep: (1.0 - c.lr * c.weight_decay) as f32,
            size: (c.lr / correction1) as f32,
            inv_correction2: (1.0 / correction2) as f32,
        }
    }

    /// Updates one value.
    #[inline(always)]
    fn apply(&self, g: f32, p: &mut f32, m: &mut f32, v: &mut f32) {
        let g = g * self.scale;
        *m = settle(self.b1 * *m + self.a1 * g);
        *v = settle(self.b2 * *v + self.a2 * g * g);
        *p = *p * self.keep - self.size * *m / (v.sqrt() * self.inv_correction2 + self.eps);
    }

    /// Whether a row without moments and gradient is only multiplied by `keep`: `0 * scale`, and `0`
    /// over `eps` times `size`, have to be 0.
    fn spares_unseen(&self) -> bool {
        self.eps > 0.0 && self.size >= 0.0 && self.size.is_finite() && self.scale.is_finite()
    }
}

/// 0 instead of a denormal number.
#[inline(always)]
fn settle(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0 } else { x }
}

vectorized! {
    fn update(step: Step, param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((p, g), m), v) in param.iter_mut().zip(grad).zip(m).zip(v) {
            step.apply(*g, p, m, v);
        }
    }

    /// [`update`] with a gradient of 0.
    fn coast(step: Step, param: &mut [f32], m: &mut [f32], v: &mut [f32]) {
        for ((p, m), v) in param.iter_mut().zip(m).zip(v) {
            step.apply(0.0, p, m, v);
        }
    }

    fn shrink(keep: f32, param: &mut [f32]) {
        for p in param {
            *p *= keep;
        }
    }
}

/// A table of rows and the state of its optimiser.
#[derive(Debug)]
pub struct Rows<'a> {
    /// The table, `[rows, width]`.
    pub param: &'a mut [f32],
    /// First moments, `[rows, width]`.
    pub m: &'a mut [f32],
    /// Second moments, `[rows, width]`.
    pub v: &'a mut [f32],
    /// Whether a row has ever had a gradient, `[rows]`. Where it is false, the moments are 0.
    pub seen: &'a mut [bool],
}

/// [`adamw`] of a table of which only some rows have a gradient, with the same result to the bit.
///
/// Rows that never had a gradient are passed over, but for weight decay; the others move on by their
/// moments.
///
/// # Panics
/// When a length is wrong or the gradient has rows that the table lacks.
pub fn adamw_rows(table: Rows<'_>, grad: &RowGradient, c: &AdamW) {
    adamw_rows_on(Isa::current(), table, grad, c);
}

/// [`adamw_rows`] with these instructions.
pub(crate) fn adamw_rows_on(isa: Isa, table: Rows<'_>, grad: &RowGradient, c: &AdamW) {
    let (rows, width) = (table.seen.len(), grad.width);
    let size = rows * width;
    assert!(
        table.param.len() == size && table.m.len() == size && table.v.len() == size,
        "adamw: a table of {} values for {rows} rows of {width}",
        table.param.len()
    );
    grad.check(rows);
    if size == 0 {
        return;
    }
    let (step, many) = (Step::new(c), blocks::rows(width));
    table
        .param
        .chunks_mut(many * width)
        .zip(table.m.chunks_mut(many * width))
        .zip(table.v.chunks_mut(many * width))
        .zip(table.seen.chunks_mut(many))
        .enumerate()
        .spread(|(block, (((param, m), v), seen))| {
            let part = Rows { param, m, v, seen };
            update_rows(isa, step, part, grad, block * many);
        });
}

/// The rows from `first` on.
fn update_rows(isa: Isa, step: Step, part: Rows<'_>, grad: &RowGradient, first: usize) {
    let width = grad.width;
    let mut next = grad.rows.partition_point(|row| (*row as usize) < first);
    let params = part.param.chunks_exact_mut(width);
    let moments = part
        .m
        .chunks_exact_mut(width)
        .zip(part.v.chunks_exact_mut(width));
    for (i, ((p, (m, v)), seen)) in params.zip(moments).zip(part.seen).enumerate() {
        if grad
            .rows
            .get(next)
            .is_some_and(|row| *row as usize == first + i)
        {
            update(isa, step, p, grad.row(next), m, v);
            *seen = true;
            next += 1;
        } else if *seen || !step.spares_unseen() {
            coast(isa, step, p, m, v);
        } else if step.keep != 1.0 {
            shrink(isa, step.keep, p);
        }
    }
}

/// Which rows of `width` values have moments: what [`Rows::seen`] has to be for moments read from a file.
///
/// # Panics
/// When a length is wrong.
pub fn seen_rows(m: &[f32], v: &[f32], width: usize) -> Vec<bool> {
    assert!(
        m.len() == v.len() && width > 0 && m.len().is_multiple_of(width),
        "moments of {} and {} values in rows of {width}",
        m.len(),
        v.len()
    );
    let any = |row: &[f32]| row.iter().any(|x| *x != 0.0);
    m.chunks_exact(width)
        .zip(v.chunks_exact(width))
        .map(|(m, v)| any(m) || any(v))
        .collect()
}

#[cfg(test)]
mod tests;
