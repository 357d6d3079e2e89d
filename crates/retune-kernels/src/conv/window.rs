//! Where the window of a convolution or a pool lies on an image.

use std::ops::Range;

/// The shape of images, channels last: `[images, height, width, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Images.
    pub images: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

impl Extent {
    /// Values of all images.
    pub fn values(self) -> usize {
        self.images * self.image()
    }

    /// Pixels of all images.
    pub fn pixels(self) -> usize {
        self.images * self.height * self.width
    }

    /// Values of one image.
    pub(super) fn image(self) -> usize {
        self.height * self.line()
    }

    /// Values of one row of pixels.
    pub(super) fn line(self) -> usize {
        self.width * self.channels
    }

    /// The values of row `row` of image `image`.
    pub(super) fn at<E>(self, x: &[E], image: usize, row: usize) -> &[E] {
        &x[(image * self.height + row) * self.line()..][..self.line()]
    }
}

/// A window that moves over an image; places outside the image count as zero.
///
/// Pairs are of rows and of columns, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Pixels it covers.
    pub kernel: [usize; 2],
    /// Pixels from one place to the next.
    pub stride: [usize; 2],
    /// Pixels that it may reach beyond the image: above and below, left and right.
    pub padding: [[usize; 2]; 2],
}

impl Window {
    /// With the same padding on opposite sides, as PyTorch has it.
    pub fn new(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Self {
        Self {
            kernel,
            stride,
            padding: padding.map(|p| [p, p]),
        }
    }

    /// Padded by TensorFlow's rule `SAME`: the result has `size.div_ceil(stride)` pixels, and of an odd padding
    /// the larger half lies below and to the right.
    ///
    /// # Panics
    /// When a stride is 0.
    pub fn same(kernel: [usize; 2], stride: [usize; 2], height: usize, width: usize) -> Self {
        let size = [height, width];
        let padding = [0, 1].map(|axis| {
            let places = size[axis].div_ceil(stride[axis]);
            let reach = places.saturating_sub(1) * stride[axis] + kernel[axis];
            let all = reach.saturating_sub(size[axis]);
            [all / 2, all - all / 2]
        });
        Self {
            kernel,
            stride,
            padding,
        }
    }

    /// Rows and columns of the result on an image of this size; 0 where the window is larger than the image and its
    /// padding.
    ///
    /// # Panics
    /// When a stride is 0.
    pub fn output(self, height: usize, width: usize) -> [usize; 2] {
        let size = [height, width];
        [0, 1].map(|axis| {
            let [before, after] = self.padding[axis];
            assert!(self.stride[axis] > 0, "a window with a stride of 0");
            let room = (size[axis] + before + after).checked_sub(self.kernel[axis]);
            room.map_or(0, |room| room / self.stride[axis] + 1)
        })
    }

    /// Pixels under the window.
    pub(super) fn area(self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The result on images of this shape, with as many channels.
    pub(super) fn result(self, input: Extent, channels: usize) -> Extent {
        let [height, width] = self.output(input.height, input.width);
        Extent {
            images: input.images,
            height,
            width,
            channels,
        }
    }

    /// Which rows (`axis` 0) or columns (1) of the window lie on an image of `size` at place `output`, and where
    /// the first of them lies.
    pub(super) fn inside(self, axis: usize, output: usize, size: usize) -> (Range<usize>, usize) {
        let (start, before) = (output * self.stride[axis], self.padding[axis][0]);
        let first = before.saturating_sub(start);
        let end = (size + before).saturating_sub(start).min(self.kernel[axis]);
        if end <= first {
            return (0..0, 0);
        }
        (first..end, start + first - before)
    }

    /// The places whose window covers row or column `input`, each with the row or column of the window that does.
    pub(super) fn over(
        self,
        axis: usize,
        input: usize,
        places: Range<usize>,
    ) -> impl Iterator<Item = (usize, usize)> {
        let (stride, at) = (self.stride[axis], input + self.padding[axis][0]);
        (0..self.kernel[axis]).filter_map(move |tap| {
            let start = at.checked_sub(tap)?;
            let place = start / stride;
            (start.is_multiple_of(stride) && places.contains(&place)).then_some((tap, place))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_is_the_rule_of_tensorflow() {
        // `tf.nn.conv2d(.., padding="SAME")`: 224 by 3 with stride 2 pads 0 above and 1 below.
        let window = Window::same([3, 5], [2, 2], 224, 112);
        assert_eq!(window.padding, [[0, 1], [1, 2]]);
        assert_eq!(window.output(224, 112), [112, 56]);
        let window = Window::same([3, 3], [1, 1], 7, 1);
        assert_eq!(window.padding, [[1, 1], [1, 1]]);
        // An odd size has its padding on both sides.
        assert_eq!(Window::same([3, 3], [2, 2], 7, 5).padding, [[1, 1], [1, 1]]);
        assert_eq!(Window::same([1, 1], [2, 2], 8, 8).padding, [[0, 0], [0, 0]]);
        for size in 1..20 {
            for (kernel, stride) in [(1, 1), (1, 3), (2, 1), (3, 2), (5, 2), (7, 4)] {
                let window = Window::same([kernel, 1], [stride, 1], size, 3);
                assert_eq!(window.output(size, 3), [size.div_ceil(stride), 3]);
            }
        }
    }

    #[test]
    fn windows_larger_than_the_image_have_no_place() {
        assert_eq!(Window::new([5, 3], [1, 1], [1, 0]).output(2, 3), [0, 1]);
        assert_eq!(Window::new([5, 3], [1, 1], [2, 1]).output(1, 1), [1, 1]);
    }

    #[test]
    fn places_and_what_they_cover_agree() {
        for (kernel, stride, before, after) in [
            (3, 1, 1, 1),
            (3, 2, 0, 1),
            (5, 2, 2, 3),
            (2, 3, 0, 0),
            (1, 1, 2, 2),
        ] {
            for size in 1..9 {
                let window = Window {
                    kernel: [1, kernel],
                    stride: [1, stride],
                    padding: [[0, 0], [before, after]],
                };
                let places = window.output(1, size)[1];
                let mut forward = Vec::new();
                for place in 0..places {
                    let (taps, first) = window.inside(1, place, size);
                    forward.extend(taps.enumerate().map(|(i, tap)| (first + i, tap, place)));
                }
                let mut back = Vec::new();
                for input in 0..size {
                    let over = window.over(1, input, 0..places);
                    back.extend(over.map(|(tap, place)| (input, tap, place)));
                }
                let exact = (0..places).flat_map(|place| {
                    (0..kernel).map(move |tap| (place * stride + tap, tap, place))
                });
                let mut exact: Vec<_> = exact
                    .filter(|(at, ..)| (before..before + size).contains(at))
                    .map(|(at, tap, place)| (at - before, tap, place))
                    .collect();
                for list in [&mut forward, &mut back, &mut exact] {
                    list.sort_unstable();
                }
                assert_eq!(forward, exact);
                assert_eq!(back, exact);
            }
        }
    }

    #[test]
    #[should_panic(expected = "a window with a stride of 0")]
    fn a_stride_of_zero_is_refused() {
        Window::new([1, 1], [1, 0], [0, 0]).output(3, 3);
    }
}
