//! Depthwise convolutions: each channel by a kernel of its own, `[kh, kw, channels]`.
//!
//! `z[o, c] = sum over taps of x[o * stride + tap - padding, c] * w[tap, c]`, then `y = f(z * scale + shift)`. The
//! gradient of the image is the same loop over the gradient of the result, with the kernel turned round: once for
//! each column of a stride, with the columns of the kernel that meet it.

use super::sweep::{self, Columns, Course, Row};
use super::{Extent, Finish, Gradients, Window, check, columns, finish};
use crate::element::Element;
use crate::isa::Isa;
use crate::parallel::Spread;
use crate::rounding;
use crate::scratch;

/// Values of results per task.
const BLOCK: usize = 1 << 15;
/// Rows of places per task of the weight's gradient, at least: each task keeps a gradient.
const LEAST_ROWS: usize = 8;
/// Such tasks at most.
const MOST: usize = 64;

/// The shape of a depthwise convolution.
#[derive(Debug, Clone, Copy)]
pub struct Depthwise {
    /// What moves over the images.
    pub window: Window,
    /// The images; the result has as many channels.
    pub input: Extent,
}

impl Depthwise {
    /// The shape of the result.
    pub fn output(&self) -> Extent {
        self.window.result(self.input, self.input.channels)
    }

    /// `y = f(conv(x) * scale + shift)` and, unless `slope` is empty, the derivative of f there: multiplied by it,
    /// the gradient of y is that of `conv(x) * scale + shift`.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn forward<E: Element>(
        &self,
        isa: Isa,
        (x, weight): (&[E], &[f32]),
        last: &Finish<'_>,
        y: &mut [E],
        slope: &mut [E],
    ) {
        let (input, output, channels) = (self.input, self.output(), self.input.channels);
        check("x", x.len(), input.values());
        check("the weight", weight.len(), self.window.area() * channels);
        last.check(channels);
        check("y", y.len(), output.values());
        check(
            "slope",
            slope.len(),
            if slope.is_empty() { 0 } else { y.len() },
        );
        if y.is_empty() {
            return;
        }
        let line = output.line();
        let many = BLOCK.div_ceil(line);
        let mut slopes = slope.chunks_mut(many * line);
        let tasks = y.chunks_mut(many * line).enumerate();
        let tasks = tasks.map(|(i, y)| (i, y, slopes.next().unwrap_or_default()));
        tasks.spread(|(i, y, slope)| {
            let part = finish::at_once(channels).min(line);
            let mut slopes = slope.chunks_mut(line);
            scratch::with::<f32, _>(line + part, |kept| {
                let (z, kept) = kept.split_at_mut(line);
                for (row, y) in (i * many..).zip(y.chunks_mut(line)) {
                    self.sums(isa, x, weight, row, z);
                    let mut slopes = slopes.next().unwrap_or_default().chunks_mut(part);
                    for (z, y) in z.chunks_mut(part).zip(y.chunks_mut(part)) {
                        let slope = slopes.next().unwrap_or_default();
                        let kept = &mut kept[..z.len()];
                        last.write(isa, (z, kept), None, y, slope);
                    }
                }
            });
        });
    }

    /// The sums of one row of places.
    fn sums<E: Element>(&self, isa: Isa, x: &[E], weight: &[f32], row: usize, z: &mut [f32]) {
        let (input, output, window) = (self.input, self.output(), self.window);
        let (image, place) = (row / output.height, row % output.height);
        let across = window.kernel[1] * input.channels;
        let (taps, first) = window.inside(0, place, input.height);
        let rows: Vec<Row<'_, E>> = taps
            .zip(first..)
            .map(|(tap, row)| Row {
                x: input.at(x, image, row),
                weight: &weight[tap * across..][..across],
            })
            .collect();
        sweep::sums(isa, self.course(), &rows, Columns { first: 0, step: 1 }, z);
    }

    /// How the kernel moves along a row of pixels.
    fn course(&self) -> Course {
        Course {
            taps: self.window.kernel[1],
            step: self.window.stride[1],
            start: -(self.window.padding[1][0] as isize),
            columns: self.input.width,
            places: self.output().width,
            channels: self.input.channels,
        }
    }

    /// The gradients, from that of the sums (`dz`, as [`Depthwise::output`]); `db` is the sum of `dz` over all pixels.
    ///
    /// Where a scale follows the sums, fold it into the weight instead ([`super::Frozen::fold`]): then `dz` is the
    /// gradient of `z + shift`, `db` that of the shift, and [`super::Frozen::unfold`] gives the others.
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
        let (input, output) = (self.input, self.output());
        check("dz", dz.len(), output.values());
        check(
            "the weight",
            weight.len(),
            self.window.area() * input.channels,
        );
        if !out.dx.is_empty() {
            check("dx", out.dx.len(), input.values());
            self.input_gradient(isa, weight, dz, out.dx);
        }
        if !out.dw.is_empty() {
            check("x", x.len(), input.values());
            check("dw", out.dw.len(), weight.len());
            self.weight_gradient(isa, x, dz, out.dw);
        }
        if !out.db.is_empty() {
            check("db", out.db.len(), input.channels);
            columns::sums(isa, dz, out.db);
        }
    }

    fn input_gradient<E: Element>(&self, isa: Isa, weight: &[f32], dz: &[E], dx: &mut [E]) {
        let (input, line) = (self.input, self.input.line());
        let phases = self.phases(weight);
        let many = BLOCK.div_ceil(line);
        dx.chunks_mut(many * line).enumerate().spread(|(i, dx)| {
            scratch::with::<f32, _>(line, |sums| {
                for (row, dx) in (i * many..).zip(dx.chunks_mut(line)) {
                    let at = (row / input.height, row % input.height);
                    for phase in &phases {
                        self.phase_sums(isa, phase, dz, at, sums);
                    }
                    rounding::all(isa, sums, dx);
                }
            });
        });
    }

    /// The columns of pixels that are the same column of a stride, and the columns of the kernel that meet them.
    fn phases(&self, weight: &[f32]) -> Vec<Phase> {
        let (channels, window) = (self.input.channels, self.window);
        let (kernel, stride, before) = (window.kernel[1], window.stride[1], window.padding[1][0]);
        let phase = |first: usize| {
            let lowest = (first + before) % stride;
            let taps: Vec<usize> = (lowest..kernel).step_by(stride).rev().collect();
            let start = ((first + before) / stride) as isize - taps.len() as isize + 1;
            let rows = weight.chunks_exact((kernel * channels).max(1));
            let turned = rows.flat_map(|row| {
                let column = |tap: &usize| &row[tap * channels..][..channels];
                taps.iter().flat_map(column).copied()
            });
            Phase {
                first,
                weight: turned.collect(),
                course: Course {
                    taps: taps.len(),
                    step: 1,
                    start,
                    columns: self.output().width,
                    places: (self.input.width - first).div_ceil(stride),
                    channels,
                },
            }
        };
        (0..stride.min(self.input.width)).map(phase).collect()
    }

    /// The gradient of the pixels of a phase in one row.
    fn phase_sums<E: Element>(
        &self,
        isa: Isa,
        phase: &Phase,
        dz: &[E],
        (image, row): (usize, usize),
        sums: &mut [f32],
    ) {
        let (output, window) = (self.output(), self.window);
        let across = phase.course.taps * phase.course.channels;
        let over = window.over(0, row, 0..output.height);
        let rows: Vec<Row<'_, E>> = over
            .map(|(tap, place)| Row {
                x: output.at(dz, image, place),
                weight: &phase.weight[tap * across..][..across],
            })
            .collect();
        let to = Columns {
            first: phase.first,
            step: window.stride[1],
        };
        sweep::sums(isa, phase.course, &rows, to, sums);
    }

    fn weight_gradient<E: Element>(&self, isa: Isa, x: &[E], dz: &[E], dw: &mut [f32]) {
        let (input, output, window) = (self.input, self.output(), self.window);
        let across = window.kernel[1] * input.channels;
        dw.fill(0.0);
        let rows = output.images * output.height;
        if rows * output.line() == 0 {
            return;
        }
        let many = BLOCK
            .div_ceil(output.line())
            .max(LEAST_ROWS)
            .max(rows.div_ceil(MOST));
        let block = |i: usize, dw: &mut [f32]| {
            for at in i * many..((i + 1) * many).min(rows) {
                let (image, place) = (at / output.height, at % output.height);
                let (taps, first) = window.inside(0, place, input.height);
                for (tap, row) in taps.zip(first..) {
                    let dw = &mut dw[tap * across..][..across];
                    let dz = output.at(dz, image, place);
                    sweep::products(isa, self.course(), input.at(x, image, row), dz, dw);
                }
            }
        };
        let sums = dw.len();
        columns::by_block(rows.div_ceil(many), sums, block, |partials| {
            columns::add_all(isa, partials, dw);
        });
    }
}

/// See [`Depthwise::phases`].
struct Phase {
    /// Its first column of pixels.
    first: usize,
    /// Its columns of the kernel, the last first: `[kh, taps, channels]`.
    weight: Vec<f32>,
    /// Along the gradient of the result.
    course: Course,
}

#[cfg(test)]
mod tests;
