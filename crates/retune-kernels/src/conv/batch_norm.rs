//! Batch norm (Ioffe & Szegedy, arXiv:1502.03167) over `[rows, channels]`: each pixel of each image is a row.
//!
//! `y = f((x - mean) / sqrt(var + eps) * gamma + beta)`, with mean and variance of the rows (biased), as
//! `torch.nn.BatchNorm2d`. With frozen statistics it is [`super::Frozen`].

use super::finish::Finish;
use super::{Source, check, columns};
use crate::activation::Activation;
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;

/// A batch norm and the activation after it.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a> {
    /// Factor of each channel, `[channels]`.
    pub gamma: &'a [f32],
    /// Added to each channel, `[channels]`.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
    /// f.
    pub activation: Activation,
}

/// Statistics gathered over training, for use without a batch.
#[derive(Debug)]
pub struct Running<'a> {
    /// `[channels]`.
    pub mean: &'a mut [f32],
    /// `[channels]`; of the variances divided by `rows - 1`, as PyTorch has them.
    pub var: &'a mut [f32],
    /// Share of the new ones, 0.1 in PyTorch.
    pub momentum: f32,
}

/// What a pass forward leaves for the one back.
#[derive(Debug)]
pub struct Saved<'a> {
    /// Mean of each channel, `[channels]`.
    pub mean: &'a mut [f32],
    /// `1 / sqrt(var + eps)` of each channel, `[channels]`.
    pub inv_std: &'a mut [f32],
}

/// What [`BatchNorm::backward`] writes; nothing is added to what was there, and an empty `dx` is left out.
#[derive(Debug)]
pub struct NormGradients<'a, E> {
    /// Of x, `[rows, channels]`.
    pub dx: &'a mut [E],
    /// Of gamma, `[channels]`.
    pub dgamma: &'a mut [f32],
    /// Of beta, `[channels]`.
    pub dbeta: &'a mut [f32],
}

impl BatchNorm<'_> {
    /// `y = f(norm(x) + residual)` by the statistics of x and, unless `slope` is empty, the derivative of f there: the
    /// gradient of y times the slope is that of the residual and what [`BatchNorm::backward`] takes.
    ///
    /// `running` moves towards the statistics. A single row has no unbiased variance: that of `running` stays; without
    /// rows all of it does.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn forward<E: Element>(
        &self,
        isa: Isa,
        source: Source<'_, E>,
        running: Option<Running<'_>>,
        saved: Saved<'_>,
        (y, slope): (&mut [E], &mut [E]),
    ) {
        let channels = self.channels();
        check("inv_std", saved.inv_std.len(), channels);
        check("mean", saved.mean.len(), channels);
        let var = saved.inv_std;
        statistics(isa, source.x, saved.mean, var);
        if let Some(running) = running {
            running.update(saved.mean, var, source.x.len() / channels.max(1));
        }
        for var in &mut *var {
            *var = 1.0 / (*var + self.eps).sqrt();
        }
        let scale: Vec<f32> = var.iter().zip(self.gamma).map(|(v, g)| v * g).collect();
        let finish = Finish {
            scale: Some(&scale),
            shift: Some(self.beta),
            activation: self.activation,
        };
        finish.of_centred(isa, saved.mean, source, y, slope);
    }

    /// The gradients of [`BatchNorm::forward`], from that of the norm's result before the activation (`dz`), x and what
    /// was saved.
    ///
    /// With `h = (x - mean) * inv_std`: `dbeta = sum of dz`, `dgamma = sum of dz * h` and
    /// `dx = gamma * inv_std * (dz - (dbeta + h * dgamma) / rows)`. With `frozen` statistics, which do not depend on x,
    /// `dx = gamma * inv_std * dz`.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn backward<E: Element>(
        &self,
        isa: Isa,
        (x, dz): (&[E], &[E]),
        (mean, inv_std): (&[f32], &[f32]),
        frozen: bool,
        out: NormGradients<'_, E>,
    ) {
        let channels = self.channels();
        let NormGradients { dx, dgamma, dbeta } = out;
        let rows = x.len().checked_div(channels).unwrap_or(0);
        check("x", x.len(), rows * channels);
        check("dz", dz.len(), x.len());
        for (what, slice) in [
            ("mean", mean),
            ("inv_std", inv_std),
            ("dgamma", dgamma),
            ("dbeta", dbeta),
        ] {
            check(what, slice.len(), channels);
        }
        columns::sums(isa, dz, dbeta);
        columns::products(isa, (dz, x), mean, dgamma);
        for (dgamma, inv_std) in dgamma.iter_mut().zip(inv_std) {
            *dgamma *= inv_std;
        }
        if dx.is_empty() {
            return;
        }
        check("dx", dx.len(), x.len());
        // dx = dz * factor + (x - mean) * slope + level.
        let share = if frozen { 0.0 } else { 1.0 / rows as f32 };
        let mut lines = vec![0.0; 3 * channels];
        for (i, line) in lines.chunks_exact_mut(3).enumerate() {
            let factor = self.gamma[i] * inv_std[i];
            line[0] = factor;
            line[1] = -factor * share * dgamma[i] * inv_std[i];
            line[2] = -factor * share * dbeta[i];
        }
        let at = |which: usize| lines.iter().skip(which).step_by(3).copied().collect();
        let lines: [Vec<f32>; 3] = [at(0), at(1), at(2)];
        let many = columns::block(rows, channels) * channels;
        let blocks = dx.chunks_mut(many).zip(x.chunks(many)).zip(dz.chunks(many));
        blocks.spread(|((dx, x), dz)| back(isa, (x, dz), mean, &lines, dx));
    }

    #[track_caller]
    fn channels(&self) -> usize {
        check("beta", self.beta.len(), self.gamma.len());
        self.gamma.len()
    }
}

impl Running<'_> {
    /// Moves towards the mean and the biased variance of so many rows.
    fn update(self, mean: &[f32], var: &[f32], rows: usize) {
        check("the running mean", self.mean.len(), mean.len());
        check("the running variance", self.var.len(), var.len());
        let toward = |to: &mut [f32], from: &[f32], factor: f32| {
            for (to, from) in to.iter_mut().zip(from) {
                *to += self.momentum * (from * factor - *to);
            }
        };
        if rows > 0 {
            toward(self.mean, mean, 1.0);
        }
        if rows > 1 {
            toward(self.var, var, (rows as f64 / (rows - 1) as f64) as f32);
        }
    }
}

/// Mean and biased variance of each column of x, `[rows, channels]`; 0 where there is no row.
///
/// Means and squared deviations of blocks are joined in f64 (Chan, Golub & LeVeque, "Updating formulae and a pairwise
/// algorithm for computing sample variances", 1979), so that a mean far from 0 does not cost digits of the variance.
///
/// # Panics
/// When a length is wrong.
pub fn statistics<E: Element>(isa: Isa, x: &[E], mean: &mut [f32], var: &mut [f32]) {
    let channels = mean.len();
    check("the variance", var.len(), channels);
    mean.fill(0.0);
    var.fill(0.0);
    let rows = x.len().checked_div(channels).unwrap_or(0);
    check("x", x.len(), rows * channels);
    if x.is_empty() {
        return;
    }
    let many = columns::block(rows, channels);
    columns::by_block(
        rows.div_ceil(many),
        3 * channels,
        |i, sums| {
            let size = many.min(rows - i * many) * channels;
            gather(isa, &x[i * many * channels..][..size], sums);
        },
        |partials| {
            let mut joined = vec![(0f64, 0f64); channels];
            for (i, partial) in partials.chunks_exact(3 * channels).enumerate() {
                let before = (i * many) as f64;
                let count = many.min(rows - i * many) as f64;
                join(&mut joined, (before, count), partial);
            }
            for ((mean, var), joined) in mean.iter_mut().zip(var).zip(joined) {
                *mean = joined.0 as f32;
                *var = (joined.1 / rows as f64) as f32;
            }
        },
    );
}

/// Adds a block of `count` rows to means and squared deviations of the `before` rows before it.
fn join(joined: &mut [(f64, f64)], (before, count): (f64, f64), partial: &[f32]) {
    let channels = joined.len();
    let all = before + count;
    for (i, (mean, squares)) in joined.iter_mut().enumerate() {
        let [level, sum, square] = [0, 1, 2].map(|k| f64::from(partial[k * channels + i]));
        let apart = level + sum / count - *mean;
        *squares += square - sum * sum / count + apart * apart * before * count / all;
        *mean += apart * count / all;
    }
}

vectorized! {
    /// A level near the mean of each column, and the sums of `x - level` and of its square.
    fn gather[E: Element](x: &[E], sums: &mut [f32]) {
        let channels = sums.len() / 3;
        let (level, rest) = sums.split_at_mut(channels);
        let (sum, square) = rest.split_at_mut(channels);
        for row in x.chunks_exact(channels) {
            for (level, x) in level.iter_mut().zip(row) {
                *level += x.wide();
            }
        }
        let share = channels as f32 / x.len() as f32;
        for level in &mut *level {
            *level *= share;
        }
        for row in x.chunks_exact(channels) {
            let sums = sum.iter_mut().zip(&mut *square);
            for (((sum, square), x), level) in sums.zip(row).zip(&*level) {
                let off = x.wide() - level;
                *sum += off;
                *square += off * off;
            }
        }
    }

    /// `dx = dz * lines[0] + (x - mean) * lines[1] + lines[2]`.
    fn back[E: Element](
        given: (&[E], &[E]),
        mean: &[f32],
        lines: &[Vec<f32>; 3],
        dx: &mut [E],
    ) {
        let channels = mean.len();
        let rows = given.0.chunks_exact(channels).zip(given.1.chunks_exact(channels));
        for (dx, (x, dz)) in dx.chunks_exact_mut(channels).zip(rows) {
            let pixels = dx.iter_mut().zip(x.iter().zip(dz)).zip(mean);
            let lines = lines[0].iter().zip(&lines[1]).zip(&lines[2]);
            for (((dx, (x, dz)), mean), ((factor, slope), level)) in pixels.zip(lines) {
                *dx = E::narrow(dz.wide() * factor + (x.wide() - mean) * slope + level);
            }
        }
    }
}

#[cfg(test)]
mod tests;
