//! Plain loops in f64 that say what convolutions are, for the tests to compare with.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Extent, Window};
use crate::element::Element;

/// A convolution in `groups`; the weight is `[outputs, kh, kw, inputs of a group]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Twin {
    pub(super) window: Window,
    pub(super) input: Extent,
    pub(super) outputs: usize,
    pub(super) groups: usize,
}

impl Twin {
    /// Calls `f` with the indices (result, image, weight) of every product of the sum.
    fn products(&self, mut f: impl FnMut(usize, usize, usize)) {
        let (window, input, groups) = (self.window, self.input, self.groups);
        let [height, width] = window.output(input.height, input.width);
        let (of_inputs, of_outputs) = (input.channels / groups, self.outputs / groups);
        let inside = |place: usize, tap: usize, axis: usize, size: usize| {
            let at =
                (place * window.stride[axis] + tap) as isize - window.padding[axis][0] as isize;
            usize::try_from(at).ok().filter(|at| *at < size)
        };
        for at in 0..input.images * height * width * self.outputs * window.area() * of_inputs {
            let (rest, channel) = (at / of_inputs, at % of_inputs);
            let (rest, column) = (rest / window.kernel[1], rest % window.kernel[1]);
            let (place, row) = (rest / window.kernel[0], rest % window.kernel[0]);
            let (rest, output) = (place / self.outputs, place % self.outputs);
            let (rest, x) = (rest / width, rest % width);
            let (image, y) = (rest / height, rest % height);
            let pixel = inside(y, row, 0, input.height).zip(inside(x, column, 1, input.width));
            if let Some((y, x)) = pixel {
                let pixel = (image * input.height + y) * input.width + x;
                let from = pixel * input.channels + output / of_outputs * of_inputs + channel;
                let tap = row * window.kernel[1] + column;
                let weight = (output * window.area() + tap) * of_inputs + channel;
                f(place, from, weight);
            }
        }
    }

    /// The result.
    pub(super) fn forward(&self, x: &[f64], weight: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.window.result(self.input, self.outputs).values()];
        self.products(|to, from, at| y[to] += x[from] * weight[at]);
        y
    }

    /// The gradients of image and weight, from that of the result.
    pub(super) fn backward(&self, x: &[f64], weight: &[f64], dy: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
        self.products(|to, from, at| {
            dx[from] += dy[to] * weight[at];
            dw[at] += dy[to] * x[from];
        });
        (dx, dw)
    }
}

/// The absolute values.
pub(super) fn sizes(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| v.abs()).collect()
}

/// Asserts that sums in f32, rounded once to the format of `E`, are as near as that allows; `sizes` are the sums of the
/// absolute values of what is added.
#[track_caller]
pub(super) fn near_sums<E: Element>(found: &[E], want: &[f64], sizes: &[f64]) {
    near(found, want, sizes, 0.0);
}

/// As [`near_sums`], with an error of so much of `sizes` before.
#[track_caller]
pub(super) fn near<E: Element>(found: &[E], want: &[f64], sizes: &[f64], before: f64) {
    let rounding = if E::BYTES == 2 { 1.0 / 256.0 } else { 1e-7 };
    assert_eq!((found.len(), found.len()), (want.len(), sizes.len()));
    for (i, ((found, want), size)) in found.iter().zip(want).zip(sizes).enumerate() {
        let error = (f64::from(found.wide()) - want).abs();
        assert!(
            error <= rounding * want.abs() + (before + 2e-6) * size + 1e-30,
            "value {i}: {found:?} instead of {want}, of a sum of {size}"
        );
    }
}

/// Windows and images that meet every edge: one pixel, windows larger than the image, odd sizes, strides beyond the
/// window, padding on one side, beyond the window, and none.
pub(super) fn places() -> Vec<(Window, [usize; 2])> {
    let window = |kernel, stride, padding| Window {
        kernel,
        stride,
        padding,
    };
    vec![
        (Window::new([1, 1], [1, 1], [0, 0]), [5, 4]),
        (Window::new([1, 1], [2, 2], [0, 0]), [5, 4]),
        (Window::new([3, 3], [1, 1], [1, 1]), [1, 1]),
        (Window::new([3, 3], [1, 1], [1, 1]), [7, 9]),
        (Window::same([3, 3], [2, 2], 8, 11), [8, 11]),
        (Window::same([5, 5], [2, 2], 9, 14), [9, 14]),
        (Window::same([5, 5], [1, 1], 3, 2), [3, 2]),
        (Window::new([5, 5], [1, 1], [2, 2]), [6, 13]),
        (Window::new([7, 7], [1, 1], [3, 3]), [5, 8]),
        (Window::new([7, 7], [2, 2], [3, 3]), [9, 12]),
        (window([3, 5], [2, 1], [[0, 1], [3, 0]]), [6, 9]),
        (window([2, 4], [3, 3], [[1, 0], [0, 2]]), [7, 10]),
        (window([2, 2], [1, 1], [[3, 0], [0, 3]]), [3, 4]),
        (window([9, 1], [1, 4], [[4, 4], [0, 0]]), [4, 9]),
        (window([4, 4], [4, 4], [[0, 0], [0, 0]]), [8, 9]),
        (window([5, 5], [1, 1], [[0, 0], [0, 0]]), [3, 6]),
    ]
}

#[test]
fn gradients_are_slopes() {
    let twin = Twin {
        window: Window::same([3, 2], [2, 1], 4, 3),
        input: Extent {
            images: 2,
            height: 4,
            width: 3,
            channels: 4,
        },
        outputs: 6,
        groups: 2,
    };
    let draw = |n, salt| crate::trial::wide(&crate::trial::numbers(n, salt));
    let (x, weight) = (draw(twin.input.values(), 1), draw(6 * 6 * 2, 2));
    let dy = draw(twin.window.result(twin.input, 6).values(), 3);
    let loss = |x: &[f64], weight: &[f64]| -> f64 {
        let y = twin.forward(x, weight);
        y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
    };
    let (dx, dw) = twin.backward(&x, &weight, &dy);
    crate::trial::is_gradient(&x, &dx, |x| loss(x, &weight));
    crate::trial::is_gradient(&weight, &dw, |weight| loss(&x, weight));
    // One product by hand: the last value of the window at the first place of the first image.
    let first: f64 = (0..4)
        .map(|i| x[i / 2 * 4 + i % 2] * weight[i])
        .sum::<f64>()
        + (0..4)
            .map(|i| x[12 + i / 2 * 4 + i % 2] * weight[4 + i])
            .sum::<f64>()
        + (0..4)
            .map(|i| x[24 + i / 2 * 4 + i % 2] * weight[8 + i])
            .sum::<f64>();
    assert_eq!(twin.window.padding, [[0, 1], [0, 1]]);
    let found = *twin.forward(&x, &weight).first().unwrap();
    assert!((found - first).abs() < 1e-12);
}
