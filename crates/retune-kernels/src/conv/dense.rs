//! Convolutions as products of patches and weights, a few MiB of patches at a time.
//!
//! With `P` the patches, `[places, kh * kw * inputs]`, and `W` the weight, `[outputs, kh * kw * inputs]`:
//! `y = f(P Wᵀ + b)`, `dW = dzᵀ P`, `dP = dz W`, and the gradient of the image is that of its patches, added. A window
//! of one pixel has the image itself for patches.

mod groups;

use super::patches::Strip;
use super::{Extent, Window, check, columns, patches};
use crate::activation::Activation;
use crate::element::Element;
use crate::gemm::{self, Packed, Side, Spot, Stored, View};
use crate::isa::Isa;
use crate::scratch;

/// Values of patches at a time.
const VALUES: usize = 1 << 19;
/// Patches at a time, at least: fewer would not pay for reading the weight.
const LEAST_ROWS: usize = 384;

/// The shape of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct Conv {
    /// What moves over the images.
    pub window: Window,
    /// The images.
    pub input: Extent,
    /// Channels of the result.
    pub outputs: usize,
    /// Parts into which the channels of images and result are cut, each result seeing the images' channels of its
    /// own part; 1 for all. Meant for a few: one group per channel is [`super::Depthwise`].
    pub groups: usize,
}

/// The parameters of a convolution; `W` is `[f32]` or, packed before, [`Packed`].
#[derive(Debug)]
pub struct Layer<'a, W: ?Sized> {
    /// `[outputs, kh * kw * inputs of a group]`, see [`super::from_torch`].
    pub weight: &'a W,
    /// `[outputs]`.
    pub bias: &'a [f32],
    /// Applied to the result.
    pub activation: Activation,
}

/// What [`Conv::backward`] writes; nothing is added to what was there, and what is empty is left out.
#[derive(Debug)]
pub struct Gradients<'a, E> {
    /// Of the images, as they are.
    pub dx: &'a mut [E],
    /// Of the weight, as it is.
    pub dw: &'a mut [f32],
    /// Of the bias, `[outputs]`.
    pub db: &'a mut [f32],
}

impl Conv {
    /// The shape of the result.
    pub fn output(&self) -> Extent {
        self.window.result(self.input, self.outputs)
    }

    /// Values of a patch, in one group: the depth of the product.
    ///
    /// # Panics
    /// When the groups do not divide the channels.
    pub fn depth(&self) -> usize {
        let (channels, groups) = (self.input.channels, self.groups);
        assert!(
            groups > 0 && channels.is_multiple_of(groups) && self.outputs.is_multiple_of(groups),
            "{channels} and {} channels in {groups} groups",
            self.outputs
        );
        self.window.area() * (channels / groups)
    }

    /// `y = f(conv(x) + bias)` and, unless `slope` is empty, the derivative of f there: multiplied by it, the
    /// gradient of y becomes what [`Conv::backward`] takes.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn forward<E: Element>(
        &self,
        isa: Isa,
        x: &[E],
        layer: &Layer<'_, [f32]>,
        y: &mut [E],
        slope: &mut [E],
    ) {
        check(
            "the weight",
            layer.weight.len(),
            self.outputs * self.depth(),
        );
        if self.groups > 1 {
            return self.forward_groups(isa, x, layer, y, slope);
        }
        with_packed(isa, layer.weight, self, Stored::Transposed, |weight| {
            let layer = Layer {
                weight,
                bias: layer.bias,
                activation: layer.activation,
            };
            self.forward_packed(isa, x, &layer, y, slope);
        });
    }

    /// [`Conv::forward`] of one group with a weight packed before, as [`Stored::Transposed`]: for weights that do not
    /// change.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn forward_packed<E: Element>(
        &self,
        isa: Isa,
        x: &[E],
        layer: &Layer<'_, Packed<'_, E>>,
        y: &mut [E],
        slope: &mut [E],
    ) {
        let (output, depth) = (self.output(), self.whole());
        check("x", x.len(), self.input.values());
        check("the bias", layer.bias.len(), self.outputs);
        check("y", y.len(), output.values());
        if y.is_empty() {
            return;
        }
        let finish = |spot: Spot<'_>, y: &mut [E], slope: &mut [E]| {
            spot.activate(isa, (layer.activation, layer.bias), y, slope);
        };
        if self.is_product() {
            let x = View::new(x, output.pixels(), depth);
            return gemm::multiply(x, layer.weight, y, slope, finish);
        }
        check(
            "slope",
            slope.len(),
            if slope.is_empty() { 0 } else { y.len() },
        );
        let many = self.rows_at_once();
        let rows = output.images * output.height;
        scratch::with::<E, _>(many.min(rows) * output.width * depth, |kept| {
            let mut slopes = slope.chunks_mut(many * output.line());
            let blocks = y.chunks_mut(many * output.line());
            for (y, first) in blocks.zip((0..rows).step_by(many)) {
                let rows = first..(first + many).min(rows);
                let kept = &mut kept[..rows.len() * output.width * depth];
                patches(self.window, self.input, x, rows.clone(), kept);
                let view = View::new(kept, rows.len() * output.width, depth);
                let slope = slopes.next().unwrap_or_default();
                gemm::multiply(view, layer.weight, y, slope, finish);
            }
        });
    }

    /// The gradients, from that of the result before the activation (`dz`, as [`Conv::output`]).
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn backward<E: Element>(
        &self,
        isa: Isa,
        (x, weight): (&[E], &[f32]),
        dz: &[E],
        out: Gradients<'_, E>,
    ) {
        check("the weight", weight.len(), self.outputs * self.depth());
        if self.groups > 1 {
            return self.backward_groups(isa, (x, weight), dz, out);
        }
        if !out.dx.is_empty() {
            with_packed(isa, weight, self, Stored::Plain, |weight| {
                self.input_gradient(isa, weight, dz, out.dx);
            });
        }
        if !out.dw.is_empty() {
            self.weight_gradient(isa, x, dz, out.dw, out.db);
        } else if !out.db.is_empty() {
            columns::sums(isa, dz, out.db);
        }
    }

    /// The gradient of the images alone, of one group, with a weight packed before, as [`Stored::Plain`].
    ///
    /// In bf16 the gradients of patches are rounded before they are added, in f32.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn input_gradient<E: Element>(
        &self,
        isa: Isa,
        weight: &Packed<'_, E>,
        dz: &[E],
        dx: &mut [E],
    ) {
        let (input, output, depth) = (self.input, self.output(), self.whole());
        check("dz", dz.len(), output.values());
        check("dx", dx.len(), input.values());
        if dz.is_empty() {
            return dx.fill(E::default());
        }
        let back = |dz: &[E], dpatches: &mut [E]| {
            let dz = View::new(dz, dz.len() / self.outputs, self.outputs);
            gemm::multiply(dz, weight, dpatches, &mut [(); 0], |spot, dx, _| {
                spot.store(isa, depth, dx);
            });
        };
        if self.is_product() {
            return back(dz, dx);
        }
        let (images, rows) = self.strip();
        let mut rest = dx;
        for first in (0..input.images).step_by(images) {
            let part = Extent {
                images: images.min(input.images - first),
                ..input
            };
            for row in (0..input.height).step_by(rows) {
                let strip = Strip::new(self.window, part, row..(row + rows).min(input.height));
                let size = part.images * strip.rows.len() * input.line();
                let (dx, after) = rest.split_at_mut(size);
                let places = part.images * strip.places.len();
                let from = first * output.height + strip.places.start;
                let dz = &dz[from * output.line()..][..places * output.line()];
                scratch::with::<E, _>(places * output.width * depth, |dpatches| {
                    back(dz, dpatches);
                    strip.add(isa, dpatches, dx);
                });
                rest = after;
            }
        }
    }

    /// The gradients of weight and bias (which may be empty) alone, of one group.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn weight_gradient<E: Element>(
        &self,
        isa: Isa,
        x: &[E],
        dz: &[E],
        dw: &mut [f32],
        db: &mut [f32],
    ) {
        let (output, depth) = (self.output(), self.whole());
        check("x", x.len(), self.input.values());
        check("dz", dz.len(), output.values());
        let dz = View::new(dz, output.pixels(), self.outputs);
        if self.is_product() || output.pixels() == 0 {
            let x = if output.pixels() == 0 { &[] } else { x };
            return gemm::outer(isa, dz, View::new(x, output.pixels(), depth), dw, db);
        }
        let many = self.rows_at_once();
        let rows = output.images * output.height;
        scratch::with::<E, _>(many.min(rows) * output.width * depth, |kept| {
            for first in (0..rows).step_by(many) {
                let rows = first..(first + many).min(rows);
                let places = rows.len() * output.width;
                let kept = &mut kept[..places * depth];
                patches(self.window, self.input, x, rows, kept);
                let dz = dz.part((first * output.width, places), (0, self.outputs));
                let kept = View::new(kept, places, depth);
                if first == 0 {
                    gemm::outer(isa, dz, kept, dw, db);
                } else {
                    gemm::add_outer(isa, dz, kept, dw, db);
                }
            }
        });
    }

    /// [`Conv::depth`] of a convolution in one group.
    fn whole(&self) -> usize {
        assert!(
            self.groups == 1,
            "a packed weight for {} groups",
            self.groups
        );
        self.depth()
    }

    /// Whether the patches are the image.
    fn is_product(&self) -> bool {
        let Window {
            kernel,
            stride,
            padding,
        } = self.window;
        (kernel, stride, padding) == ([1, 1], [1, 1], [[0, 0], [0, 0]])
    }

    /// Rows of places whose patches are kept at a time.
    fn rows_at_once(&self) -> usize {
        let width = self.output().width.max(1);
        let fits = VALUES / (width * self.depth()).max(1);
        fits.max(LEAST_ROWS.div_ceil(width))
    }

    /// Images and rows of pixels whose gradient is computed at a time: several images, or some rows of one.
    fn strip(&self) -> (usize, usize) {
        let height = self.output().height.max(1);
        let many = self.rows_at_once();
        if many >= height {
            return (many / height, self.input.height.max(1));
        }
        (1, many * self.window.stride[0])
    }
}

/// Runs `f` with the packed weight.
fn with_packed<E: Element>(
    isa: Isa,
    weight: &[f32],
    conv: &Conv,
    stored: Stored,
    f: impl FnOnce(&Packed<'_, E>),
) {
    let (outputs, depth) = (conv.outputs, conv.depth());
    let (k, n) = match stored {
        Stored::Plain => (outputs, depth),
        Stored::Transposed => (depth, outputs),
    };
    let weight = [View::new(weight, outputs, depth)];
    scratch::with::<E, _>(Packed::<E>::len(isa, k, n), |panels| {
        f(&Packed::pack(isa, &weight, stored, Side::N, panels));
    });
}

#[cfg(test)]
mod tests;
