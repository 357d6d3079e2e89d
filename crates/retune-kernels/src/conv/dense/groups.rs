//! Convolutions in groups, one after the other on copies of their channels.

use super::{Conv, Gradients, Layer};
use crate::conv::{Extent, check};
use crate::element::Element;
use crate::isa::Isa;
use crate::scratch;

/// The channels of one group.
#[derive(Clone, Copy)]
struct Part {
    group: usize,
    groups: usize,
}

impl Part {
    /// Copies the channels of the group out of `all`, pixels of `channels` values.
    fn take<E: Copy>(self, channels: usize, all: &[E], part: &mut [E]) {
        let width = channels / self.groups;
        let pixels = all.chunks_exact(channels.max(1));
        for (pixel, part) in pixels.zip(part.chunks_exact_mut(width.max(1))) {
            part.copy_from_slice(&pixel[self.group * width..][..width]);
        }
    }

    /// The inverse of [`Part::take`].
    fn give<E: Copy>(self, channels: usize, part: &[E], all: &mut [E]) {
        let width = channels / self.groups;
        let pixels = all.chunks_exact_mut(channels.max(1));
        for (pixel, part) in pixels.zip(part.chunks_exact(width.max(1))) {
            pixel[self.group * width..][..width].copy_from_slice(part);
        }
    }

    /// The part of a list that belongs to the group.
    fn of<T>(self, all: &[T]) -> &[T] {
        let n = all.len() / self.groups;
        &all[self.group * n..][..n]
    }

    /// As [`Part::of`].
    fn of_mut<T>(self, all: &mut [T]) -> &mut [T] {
        let n = all.len() / self.groups;
        &mut all[self.group * n..][..n]
    }
}

impl Conv {
    /// One of the groups as a convolution of its own.
    fn part(&self) -> Conv {
        Conv {
            window: self.window,
            input: Extent {
                channels: self.input.channels / self.groups,
                ..self.input
            },
            outputs: self.outputs / self.groups,
            groups: 1,
        }
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        let groups = self.groups;
        (0..groups).map(move |group| Part { group, groups })
    }

    /// [`Conv::forward`] in groups.
    pub(super) fn forward_groups<E: Element>(
        &self,
        isa: Isa,
        x: &[E],
        layer: &Layer<'_, [f32]>,
        y: &mut [E],
        slope: &mut [E],
    ) {
        let (conv, outputs) = (self.part(), self.outputs);
        check("x", x.len(), self.input.values());
        check("the bias", layer.bias.len(), outputs);
        check("y", y.len(), self.output().values());
        check(
            "slope",
            slope.len(),
            if slope.is_empty() { 0 } else { y.len() },
        );
        for part in self.parts() {
            let layer = Layer {
                weight: part.of(layer.weight),
                bias: part.of(layer.bias),
                activation: layer.activation,
            };
            scratch::with::<E, _>(conv.input.values(), |own_x| {
                part.take(self.input.channels, x, own_x);
                scratch::with::<E, _>((y.len() + slope.len()) / self.groups, |own| {
                    let (own_y, own_slope) = own.split_at_mut(y.len() / self.groups);
                    conv.forward(isa, own_x, &layer, own_y, own_slope);
                    part.give(outputs, own_y, y);
                    part.give(outputs, own_slope, slope);
                });
            });
        }
    }

    /// [`Conv::backward`] in groups.
    pub(super) fn backward_groups<E: Element>(
        &self,
        isa: Isa,
        (x, weight): (&[E], &[f32]),
        dz: &[E],
        out: Gradients<'_, E>,
    ) {
        let (conv, channels) = (self.part(), self.input.channels);
        check("x", x.len(), self.input.values());
        check("dz", dz.len(), self.output().values());
        let dx_len = if out.dx.is_empty() { 0 } else { x.len() };
        check("dx", out.dx.len(), dx_len);
        for part in self.parts() {
            let sizes = [x.len(), dx_len, dz.len()].map(|n| n / self.groups);
            scratch::with::<E, _>(sizes.iter().sum(), |own| {
                let (own_x, own) = own.split_at_mut(sizes[0]);
                let (dx, own_dz) = own.split_at_mut(sizes[1]);
                part.take(channels, x, own_x);
                part.take(self.outputs, dz, own_dz);
                let gradients = Gradients {
                    dx: &mut *dx,
                    dw: part.of_mut(out.dw),
                    db: part.of_mut(out.db),
                };
                conv.backward(isa, (own_x, part.of(weight)), own_dz, gradients);
                part.give(channels, dx, out.dx);
            });
        }
    }
}
