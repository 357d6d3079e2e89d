//! Cross-entropy over classes: one pass over the logits forward, one backward, nothing kept but one
//! number per row.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::math::exp_low;
use crate::parallel::Spread;
use crate::sum::{LANES, fold};

/// Classes looked at together: they stay in the first cache between their maximum and their sum.
const BLOCK: usize = 1024;
/// Values per task.
const TASK: usize = 1 << 13;

/// The weighted sum over rows of `logsumexp(row) - row[target]`, and the logsumexp of each row.
///
/// `logits` is `[rows, classes]`, with one target (a class) and one weight per row: weights that sum to 1
/// give the mean. A row of weight 0 counts for nothing, whatever it holds. The logsumexp is taken online
/// over blocks of classes (Milakov & Gimelshein, arXiv:1805.02867).
///
/// # Panics
/// When a length is wrong or a target is no class.
pub fn forward<E: Element>(logits: &[E], targets: &[u32], weights: &[f32]) -> (f64, Vec<f32>) {
    forward_on(Isa::current(), logits, targets, weights)
}

/// [`forward`] with these instructions.
pub(crate) fn forward_on<E: Element>(
    isa: Isa,
    logits: &[E],
    targets: &[u32],
    weights: &[f32],
) -> (f64, Vec<f32>) {
    let classes = classes(logits.len(), targets, weights);
    let mut lse = vec![0f32; targets.len()];
    if targets.is_empty() {
        return (0.0, lse);
    }
    let mut losses = vec![0f64; targets.len()];
    let many = rows(classes);
    let slices = Slices {
        logits,
        targets,
        weights,
        classes,
    };
    lse.chunks_mut(many)
        .zip(losses.chunks_mut(many))
        .enumerate()
        .spread(|(block, (lse, losses))| {
            forward_rows(isa, slices, block * many, lse, losses);
        });
    (losses.iter().sum(), lse)
}

/// The gradient of `scale` times the loss of [`forward`], which gave `lse`:
/// `scale * weight * (softmax(row) - onehot(target))`, in `dlogits`, `[rows, classes]`.
///
/// # Panics
/// When a length is wrong or a target is no class.
pub fn backward<E: Element>(
    logits: &[E],
    targets: &[u32],
    weights: &[f32],
    lse: &[f32],
    scale: f32,
    dlogits: &mut [E],
) {
    let given = Given {
        logits,
        targets,
        weights,
        lse,
        scale,
    };
    backward_on(Isa::current(), given, dlogits);
}

/// What [`backward`] starts from.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a, E> {
    logits: &'a [E],
    targets: &'a [u32],
    weights: &'a [f32],
    lse: &'a [f32],
    scale: f32,
}

/// [`backward`] with these instructions.
pub(crate) fn backward_on<E: Element>(isa: Isa, given: Given<'_, E>, dlogits: &mut [E]) {
    let Given {
        logits,
        targets,
        weights,
        ..
    } = given;
    let classes = classes(logits.len(), targets, weights);
    assert!(
        given.lse.len() == targets.len() && dlogits.len() == logits.len(),
        "cross-entropy: {} logsumexps for {} rows, {} gradients for {} logits",
        given.lse.len(),
        targets.len(),
        dlogits.len(),
        logits.len()
    );
    if targets.is_empty() {
        return;
    }
    let slices = Slices {
        logits,
        targets,
        weights,
        classes,
    };
    let many = rows(classes);
    dlogits
        .chunks_mut(many * classes)
        .enumerate()
        .spread(|(block, out)| {
            backward_rows(isa, slices, given.lse, given.scale, block * many, out);
        });
}

/// Checks the lengths and targets; gives the number of classes.
fn classes(logits: usize, targets: &[u32], weights: &[f32]) -> usize {
    let rows = targets.len();
    assert!(
        logits.is_multiple_of(rows.max(1)) && (rows > 0 || logits == 0) && weights.len() == rows,
        "cross-entropy: {logits} logits and {} weights for {rows} rows",
        weights.len()
    );
    let classes = logits / rows.max(1);
    for (row, target) in targets.iter().enumerate() {
        assert!(
            (*target as usize) < classes,
            "cross-entropy: row {row} has target {target}, expected one of {classes} classes from 0"
        );
    }
    classes
}

fn rows(classes: usize) -> usize {
    (TASK / classes).max(1)
}

#[derive(Clone, Copy)]
struct Slices<'a, E> {
    logits: &'a [E],
    targets: &'a [u32],
    weights: &'a [f32],
    classes: usize,
}

vectorized! {
    /// The rows from `first` on.
    fn forward_rows[E: Element](
        slices: Slices<'_, E>,
        first: usize,
        lse: &mut [f32],
        losses: &mut [f64],
    ) {
        let logits = slices.logits[first * slices.classes..].chunks_exact(slices.classes);
        let rows = logits.zip(&slices.targets[first..]).zip(&slices.weights[first..]);
        for (((logits, target), weight), (lse, loss)) in rows.zip(lse.iter_mut().zip(losses)) {
            let (greatest, sum) = logsumexp(logits);
            let exact = f64::from(greatest) + f64::from(sum).ln();
            *lse = exact as f32;
            let miss = exact - f64::from(logits[*target as usize].wide());
            *loss = if *weight == 0.0 { 0.0 } else { f64::from(*weight) * miss };
        }
    }

    /// The rows from `first` on.
    fn backward_rows[E: Element](
        slices: Slices<'_, E>,
        lse: &[f32],
        scale: f32,
        first: usize,
        out: &mut [E],
    ) {
        let classes = slices.classes;
        for (i, out) in out.chunks_exact_mut(classes).enumerate() {
            let row = first + i;
            if slices.weights[row] == 0.0 {
                out.fill(E::default());
                continue;
            }
            let factor = scale * slices.weights[row];
            let logits = &slices.logits[row * classes..(row + 1) * classes];
            for (out, logit) in out.iter_mut().zip(logits) {
                *out = E::narrow(factor * exp_low(logit.wide() - lse[row]));
            }
            let target = slices.targets[row] as usize;
            let p = exp_low(logits[target].wide() - lse[row]);
            out[target] = E::narrow(factor * (p - 1.0));
        }
    }
}

/// The greatest value (at least `f32::MIN`) and the sum of `e^(x - greatest)`. NaN in the sum when a
/// value is NaN or infinity.
#[inline(always)]
pub(crate) fn logsumexp<E: Element>(logits: &[E]) -> (f32, f32) {
    // Not -infinity: `-inf - -inf` would be NaN in a block that is masked throughout.
    let (mut greatest, mut total) = (f32::MIN, 0f32);
    for block in logits.chunks(BLOCK) {
        let (chunks, rest) = block.as_chunks::<LANES>();
        // The last chunk, filled up with what adds nothing.
        let mut last = [f32::NEG_INFINITY; LANES];
        for (last, x) in last.iter_mut().zip(rest) {
            *last = x.wide();
        }
        let mut high = last;
        for chunk in chunks {
            for (high, x) in high.iter_mut().zip(chunk) {
                *high = greater(x.wide(), *high);
            }
        }
        let high = fold(high, greater).max(greatest);
        let mut sums = [0f32; LANES];
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += exp_low(x.wide() - high);
            }
        }
        for (sum, x) in sums.iter_mut().zip(last) {
            *sum += exp_low(x - high);
        }
        total = total * exp_low(greatest - high) + fold(sums, |a, b| a + b);
        greatest = high;
    }
    (greatest, total)
}

/// The greater; `b` when `a` is NaN, which the sum shows.
#[inline(always)]
pub(crate) fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests;
