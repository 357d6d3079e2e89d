//! Pooling: the greatest value or the mean of a window, or the mean of the whole image.
//!
//! Gradients are gathered for each pixel from the places whose windows cover it: summed by one thread, in f32, in one
//! order.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use super::{Extent, Window, check};
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;
use crate::rounding;
use crate::scratch;

/// The shape of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// What moves over the images. Its padding is smaller than the window.
    pub window: Window,
    /// The images; the result has as many channels.
    pub input: Extent,
}

/// What a mean is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// All places of the window: `count_include_pad=True` in PyTorch, its default.
    Window,
    /// Those on the image: `count_include_pad=False`.
    Image,
}

impl Pool {
    /// The shape of the result.
    ///
    /// # Panics
    /// When the padding is as large as the window: some places would see no pixel.
    pub fn output(&self) -> Extent {
        let Window {
            kernel, padding, ..
        } = self.window;
        let inside = |axis: usize| padding[axis].iter().all(|p| *p < kernel[axis]);
        assert!(
            inside(0) && inside(1),
            "a pool of {kernel:?} pixels with a padding of {padding:?}"
        );
        self.window.result(self.input, self.input.channels)
    }

    /// `y = ` the greatest value of each window, the first of equal ones, or NaN where there is one; and, unless
    /// `pixels` is empty, the pixel it comes from, `row * width + column` in its image.
    ///
    /// # Panics
    /// When a length is wrong, or an image has more than 2³² pixels.
    pub fn max<E: Element>(&self, isa: Isa, x: &[E], y: &mut [E], pixels: &mut [u32]) {
        let (input, output) = (self.input, self.output());
        check("x", x.len(), input.values());
        check("y", y.len(), output.values());
        let expected = if pixels.is_empty() { 0 } else { y.len() };
        check("pixels", pixels.len(), expected);
        assert!(u32::try_from(input.height * input.width).is_ok());
        let line = output.line();
        if y.is_empty() {
            return;
        }
        let mut pixels = pixels.chunks_mut(line);
        let tasks = y.chunks_mut(line).enumerate();
        let tasks = tasks.map(|(row, y)| (row, y, pixels.next()));
        tasks.spread(|(row, y, pixels)| {
            scratch::with::<f32, _>(line, |best| {
                max_of_row(isa, self, x, row, best, pixels);
                rounding::all(isa, best, y);
            });
        });
    }

    /// The gradient of [`Pool::max`]: what comes back to each pixel that was the greatest.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn max_backward<E: Element>(&self, isa: Isa, pixels: &[u32], dy: &[E], dx: &mut [E]) {
        let output = self.output();
        check("pixels", pixels.len(), output.values());
        self.gather(isa, dy, dx, |row, sums| {
            max_back(isa, self, (pixels, dy), row, sums);
        });
    }

    /// `y = ` the mean of each window; what lies outside the image counts as 0.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn average<E: Element>(&self, isa: Isa, count: Count, x: &[E], y: &mut [E]) {
        let (input, output) = (self.input, self.output());
        check("x", x.len(), input.values());
        check("y", y.len(), output.values());
        let line = output.line();
        if y.is_empty() {
            return;
        }
        y.chunks_mut(line).enumerate().spread(|(row, y)| {
            scratch::with::<f32, _>(line, |sums| {
                mean_of_row(isa, self, count, x, row, sums);
                rounding::all(isa, sums, y);
            });
        });
    }

    /// The gradient of [`Pool::average`].
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn average_backward<E: Element>(&self, isa: Isa, count: Count, dy: &[E], dx: &mut [E]) {
        self.gather(isa, dy, dx, |row, sums| {
            mean_back(isa, self, count, dy, row, sums);
        });
    }

    /// Writes to `dx` what `sum` sums for each row of pixels.
    fn gather<E: Element>(
        &self,
        isa: Isa,
        dy: &[E],
        dx: &mut [E],
        sum: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        check("dy", dy.len(), self.output().values());
        check("dx", dx.len(), self.input.values());
        let line = self.input.line();
        if dx.is_empty() {
            return;
        }
        dx.chunks_mut(line).enumerate().spread(|(row, dx)| {
            scratch::with::<f32, _>(line, |sums| {
                sums.fill(0.0);
                sum(row, sums);
                rounding::all(isa, sums, dx);
            });
        });
    }

    /// One over the number of values of a mean at a place with so many rows and columns on the image.
    #[inline(always)]
    fn share(&self, count: Count, rows: usize, columns: usize) -> f32 {
        1.0 / match count {
            Count::Window => self.window.area() as f32,
            Count::Image => (rows * columns) as f32,
        }
    }
}

/// `y = ` the mean of all pixels of each image, `[images, channels]`. NaN for an image without pixels.
///
/// # Panics
/// When a length is wrong.
pub fn global_average<E: Element>(isa: Isa, input: Extent, x: &[E], y: &mut [E]) {
    check("x", x.len(), input.values());
    check("y", y.len(), input.images * input.channels);
    if y.is_empty() {
        return;
    }
    let image = input.height * input.line();
    y.chunks_mut(input.channels).enumerate().spread(|(i, y)| {
        scratch::with::<f32, _>(input.channels, |sums| {
            mean_of_image(isa, &x[i * image..][..image], sums);
            rounding::all(isa, sums, y);
        });
    });
}

/// The gradient of [`global_average`].
///
/// # Panics
/// When a length is wrong.
pub fn global_average_backward<E: Element>(isa: Isa, input: Extent, dy: &[E], dx: &mut [E]) {
    check("dx", dx.len(), input.values());
    check("dy", dy.len(), input.images * input.channels);
    if dx.is_empty() {
        return;
    }
    let image = input.height * input.line();
    let tasks = dx.chunks_mut(image).zip(dy.chunks(input.channels));
    tasks.spread(|(dx, dy)| spread_over_image(isa, dy, dx));
}

vectorized! {
    /// The greatest values of one row of places.
    fn max_of_row[E: Element](
        pool: &Pool,
        x: &[E],
        row: usize,
        best: &mut [f32],
        pixels: Option<&mut [u32]>,
    ) {
        let mut pixels = pixels;
        let (window, input) = (pool.window, pool.input);
        let (channels, height) = (input.channels, window.output(input.height, input.width)[0]);
        let (image, place) = (row / height, row % height);
        let (rows, top) = window.inside(0, place, input.height);
        for (column, best) in best.chunks_exact_mut(channels).enumerate() {
            let (columns, left) = window.inside(1, column, input.width);
            best.fill(f32::NEG_INFINITY);
            let mut from = pixels.as_mut().map(|p| &mut p[column * channels..][..channels]);
            if let Some(from) = &mut from {
                from.fill((top * input.width + left) as u32);
            }
            for row in top..top + rows.len() {
                let line = input.at(x, image, row);
                for at in left..left + columns.len() {
                    let x = &line[at * channels..][..channels];
                    match &mut from {
                        None => greatest(x, best),
                        Some(from) => greatest_from(x, (row * input.width + at) as u32, best, from),
                    }
                }
            }
        }
    }

    /// Adds what comes back to one row of pixels.
    fn max_back[E: Element](
        pool: &Pool,
        results: (&[u32], &[E]),
        row: usize,
        sums: &mut [f32],
    ) {
        let (window, input) = (pool.window, pool.input);
        let output = window.result(input, input.channels);
        let channels = input.channels;
        let (image, row) = (row / input.height, row % input.height);
        for (_, place) in window.over(0, row, 0..output.height) {
            let line = output.at(results.1, image, place).chunks_exact(channels);
            let pixels = output.at(results.0, image, place).chunks_exact(channels);
            for (column, (dy, from)) in line.zip(pixels).enumerate() {
                let (columns, left) = window.inside(1, column, input.width);
                for at in left..left + columns.len() {
                    let pixel = (row * input.width + at) as u32;
                    let sums = &mut sums[at * channels..][..channels];
                    for ((sum, dy), from) in sums.iter_mut().zip(dy).zip(from) {
                        *sum += if *from == pixel { dy.wide() } else { 0.0 };
                    }
                }
            }
        }
    }

    /// The means of one row of places.
    fn mean_of_row[E: Element](
        pool: &Pool,
        count: Count,
        x: &[E],
        row: usize,
        sums: &mut [f32],
    ) {
        let (window, input) = (pool.window, pool.input);
        let (channels, height) = (input.channels, window.output(input.height, input.width)[0]);
        let (image, place) = (row / height, row % height);
        let (rows, top) = window.inside(0, place, input.height);
        for (column, sums) in sums.chunks_exact_mut(channels).enumerate() {
            let (columns, left) = window.inside(1, column, input.width);
            sums.fill(0.0);
            for row in top..top + rows.len() {
                let line = &input.at(x, image, row)[left * channels..];
                for x in line[..columns.len() * channels].chunks_exact(channels) {
                    add(x, 1.0, sums);
                }
            }
            let share = pool.share(count, rows.len(), columns.len());
            for sum in sums {
                *sum *= share;
            }
        }
    }

    /// Adds what comes back to one row of pixels.
    fn mean_back[E: Element](
        pool: &Pool,
        count: Count,
        dy: &[E],
        row: usize,
        sums: &mut [f32],
    ) {
        let (window, input) = (pool.window, pool.input);
        let output = window.result(input, input.channels);
        let channels = input.channels;
        let (image, row) = (row / input.height, row % input.height);
        for (_, place) in window.over(0, row, 0..output.height) {
            let rows = window.inside(0, place, input.height).0.len();
            let line = output.at(dy, image, place).chunks_exact(channels);
            for (column, dy) in line.enumerate() {
                let (columns, left) = window.inside(1, column, input.width);
                let share = pool.share(count, rows, columns.len());
                for at in left..left + columns.len() {
                    add(dy, share, &mut sums[at * channels..][..channels]);
                }
            }
        }
    }

    fn mean_of_image[E: Element](x: &[E], sums: &mut [f32]) {
        let channels = sums.len();
        sums.fill(0.0);
        for x in x.chunks_exact(channels) {
            add(x, 1.0, sums);
        }
        let share = 1.0 / (x.len() / channels) as f32;
        for sum in sums {
            *sum *= share;
        }
    }

    fn spread_over_image[E: Element](dy: &[E], dx: &mut [E]) {
        let channels = dy.len();
        let share = 1.0 / (dx.len() / channels) as f32;
        for dx in dx.chunks_exact_mut(channels) {
            for (dx, dy) in dx.iter_mut().zip(dy) {
                *dx = E::narrow(dy.wide() * share);
            }
        }
    }
}

/// `sums += x * share`.
#[inline(always)]
fn add<E: Element>(x: &[E], share: f32, sums: &mut [f32]) {
    for (sum, x) in sums.iter_mut().zip(x) {
        *sum += x.wide() * share;
    }
}

/// The greater of each pair, NaN where one is.
#[inline(always)]
fn greatest<E: Element>(x: &[E], best: &mut [f32]) {
    for (best, x) in best.iter_mut().zip(x) {
        let x = x.wide();
        *best = if x > *best || x.is_nan() { x } else { *best };
    }
}

/// As [`greatest`], with where it comes from.
#[inline(always)]
fn greatest_from<E: Element>(x: &[E], pixel: u32, best: &mut [f32], from: &mut [u32]) {
    for ((best, from), x) in best.iter_mut().zip(from).zip(x) {
        let x = x.wide();
        let take = x > *best || x.is_nan();
        *best = if take { x } else { *best };
        *from = if take { pixel } else { *from };
    }
}

#[cfg(test)]
mod tests;
