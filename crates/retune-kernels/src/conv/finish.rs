//! What follows a sum per channel: a factor, an addend, a residual, an activation, rounding. By itself it is batch norm
//! with frozen statistics.

use super::columns;
use super::{Source, check};
use crate::activation::{self, Activation};
use crate::blocks;
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;
use crate::rounding;
use crate::scratch;

/// Values in f32 that stay in the first cache, with as many of what is computed from them.
const FIRST_CACHE: usize = 2048;

/// `f(z * scale + shift)`, with one factor and one addend per channel.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a> {
    /// Factor of each channel, 1 where there is none.
    pub scale: Option<&'a [f32]>,
    /// Added to each channel, 0 where there is none.
    pub shift: Option<&'a [f32]>,
    /// f.
    pub activation: Activation,
}

/// What [`Finish::backward`] writes; nothing is added to what was there, and what is empty is left out.
#[derive(Debug)]
pub struct ScaleGradients<'a, E> {
    /// Of x, `[rows, channels]`.
    pub dx: &'a mut [E],
    /// Of the factors, `[channels]`.
    pub dscale: &'a mut [f32],
    /// Of the addends, `[channels]`.
    pub dshift: &'a mut [f32],
}

/// Values of whole pixels that are finished at once: few enough to stay in the first cache between the passes.
pub(super) fn at_once(channels: usize) -> usize {
    (FIRST_CACHE / channels).max(1) * channels
}

impl Finish<'_> {
    /// `y = f(x * scale + shift + residual)` and, unless `slope` is empty, the derivative of f there; all
    /// `[rows, channels]`. The gradient of y times the slope is that of the residual, and what
    /// [`Finish::backward`] takes.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn forward<E: Element>(
        &self,
        isa: Isa,
        channels: usize,
        source: Source<'_, E>,
        y: &mut [E],
        slope: &mut [E],
    ) {
        self.of_centred(isa, &vec![0.0; channels], source, y, slope);
    }

    /// [`Finish::forward`] of `x - mean`, `[channels]`.
    pub(super) fn of_centred<E: Element>(
        &self,
        isa: Isa,
        mean: &[f32],
        source: Source<'_, E>,
        y: &mut [E],
        slope: &mut [E],
    ) {
        let Source { x, residual } = source;
        self.check(mean.len());
        check("y", y.len(), x.len());
        check(
            "slope",
            slope.len(),
            if slope.is_empty() { 0 } else { x.len() },
        );
        check(
            "the residual",
            residual.map_or(x.len(), <[E]>::len),
            x.len(),
        );
        let rows = x.len().checked_div(mean.len()).unwrap_or(0);
        check("x", x.len(), rows * mean.len());
        if x.is_empty() {
            return;
        }
        let many = blocks::rows(mean.len()) * mean.len();
        let mut slopes = slope.chunks_mut(many);
        let mut residuals = residual.map(|r| r.chunks(many));
        let tasks = y.chunks_mut(many).zip(x.chunks(many)).map(|(y, x)| {
            let residual = residuals.as_mut().and_then(Iterator::next);
            (y, slopes.next().unwrap_or_default(), Source { x, residual })
        });
        tasks.spread(|(y, slope, source)| self.of_block(isa, mean, source, y, slope));
    }

    /// [`Finish::of_centred`] of some rows, a few at a time.
    fn of_block<E: Element>(
        &self,
        isa: Isa,
        mean: &[f32],
        source: Source<'_, E>,
        y: &mut [E],
        slope: &mut [E],
    ) {
        let many = at_once(mean.len());
        let mut slopes = slope.chunks_mut(many);
        let mut residuals = source.residual.map(|r| r.chunks(many));
        scratch::with::<f32, _>(2 * many.min(y.len()), |kept| {
            for (y, x) in y.chunks_mut(many).zip(source.x.chunks(many)) {
                let residual = residuals.as_mut().and_then(Iterator::next);
                let (z, kept) = kept[..2 * x.len()].split_at_mut(x.len());
                centre(isa, x, mean, z);
                let slope = slopes.next().unwrap_or_default();
                self.write(isa, (z, kept), residual, y, slope);
            }
        });
    }

    /// The gradients, from that of `x * scale + shift` (`dz`); x and dz are `[rows, channels]`.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn backward<E: Element>(
        &self,
        isa: Isa,
        channels: usize,
        (x, dz): (&[E], &[E]),
        out: ScaleGradients<'_, E>,
    ) {
        self.check(channels);
        let rows = dz.len().checked_div(channels).unwrap_or(0);
        check("dz", dz.len(), rows * channels);
        let ScaleGradients { dx, dscale, dshift } = out;
        if !dx.is_empty() {
            check("dx", dx.len(), dz.len());
            let finish = Finish {
                shift: None,
                activation: Activation::None,
                ..*self
            };
            let source = Source {
                x: dz,
                residual: None,
            };
            finish.forward(isa, channels, source, dx, &mut []);
        }
        if !dscale.is_empty() {
            check("x", x.len(), dz.len());
            check("dscale", dscale.len(), channels);
            columns::products(isa, (dz, x), &vec![0.0; channels], dscale);
        }
        if !dshift.is_empty() {
            check("dshift", dshift.len(), channels);
            columns::sums(isa, dz, dshift);
        }
    }

    /// Asserts that there is a value for each channel.
    #[track_caller]
    pub(super) fn check(&self, channels: usize) {
        check("scale", self.scale.map_or(channels, <[f32]>::len), channels);
        check("shift", self.shift.map_or(channels, <[f32]>::len), channels);
    }

    /// Rounds `f(z * scale + shift + residual)` of some pixels to `y` and, unless it is empty, the derivative of f
    /// there to `slope`. `z` and `kept`, as long, are overwritten.
    pub(super) fn write<E: Element>(
        &self,
        isa: Isa,
        (z, kept): (&mut [f32], &mut [f32]),
        residual: Option<&[E]>,
        y: &mut [E],
        slope: &mut [E],
    ) {
        let with_slope = !slope.is_empty();
        let slopes = if with_slope { Some(&mut *kept) } else { None };
        apply(isa, self, residual, z, slopes);
        rounding::all(isa, z, y);
        if with_slope {
            rounding::all(isa, kept, slope);
        }
    }
}

vectorized! {
    /// `z = x - mean`.
    fn centre[E: Element](x: &[E], mean: &[f32], z: &mut [f32]) {
        let rows = z.chunks_exact_mut(mean.len()).zip(x.chunks_exact(mean.len()));
        for (z, x) in rows {
            for ((z, x), mean) in z.iter_mut().zip(x).zip(mean) {
                *z = x.wide() - mean;
            }
        }
    }

    /// Replaces each z by `f(z * scale + shift + residual)`, and writes the derivative of f.
    fn apply[E: Element](
        finish: &Finish<'_>,
        residual: Option<&[E]>,
        z: &mut [f32],
        slope: Option<&mut [f32]>,
    ) {
        if let Some(scale) = finish.scale {
            for z in z.chunks_exact_mut(scale.len()) {
                for (z, scale) in z.iter_mut().zip(scale) {
                    *z *= scale;
                }
            }
        }
        if let Some(shift) = finish.shift {
            for z in z.chunks_exact_mut(shift.len()) {
                for (z, shift) in z.iter_mut().zip(shift) {
                    *z += shift;
                }
            }
        }
        if let Some(residual) = residual {
            for (z, residual) in z.iter_mut().zip(residual) {
                *z += residual.wide();
            }
        }
        activation::in_place(finish.activation, z, slope);
    }
}

#[cfg(test)]
mod tests;
