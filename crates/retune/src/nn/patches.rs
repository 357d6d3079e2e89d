//! Pictures as rows of vectors: each square of pixels mapped by itself (Dosovitskiy et al., arXiv:2010.11929).
//!
//! That is a convolution whose window moves by its own size. Gathered to rows, the squares take one matrix product; the
//! weight stays as checkpoints have it.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData};
use retune_data::batch::Pictures;

use crate::ops::{self, Activation, Affine, Compute};
use crate::weights::{Init, Source, WeightsError};

/// Channels of a pixel.
const CHANNELS: usize = 3;

/// An affine map of squares of pixels.
#[derive(Module, Debug)]
pub struct Patches {
    /// `[width, 3, side, side]`.
    pub weight: Param<Tensor<4>>,
    /// `[width]`.
    pub bias: Param<Tensor<1>>,
    /// Pixels along each side of a square.
    pub side: usize,
    #[module(skip)]
    compute: Compute,
}

impl Patches {
    /// Reads `path.weight` and `path.bias`.
    pub fn load(
        source: &mut Source,
        path: &str,
        side: usize,
        width: usize,
    ) -> Result<Self, WeightsError> {
        let shape = [width, CHANNELS, side, side];
        Ok(Self {
            weight: source.param(&format!("{path}.weight"), shape, Init::Normal)?,
            bias: source.param(&format!("{path}.bias"), [width], Init::Zeros)?,
            side,
            compute: Compute::new(source.precision()),
        })
    }

    /// Whole squares of a picture from top to bottom and from left to right.
    pub fn grid(&self, pictures: &Pictures) -> [usize; 2] {
        [pictures.height / self.side, pictures.width / self.side]
    }

    /// One vector for each whole square, row by row from the top left, `[pictures * squares, width]` in f32.
    pub fn forward(&self, pictures: &Pictures) -> Tensor<2> {
        let weight = self.weight.val();
        let [width, ..] = weight.dims();
        let input = CHANNELS * self.side * self.side;
        let values = gathered(pictures, self.side);
        let rows = values.len() / input;
        let x = Tensor::from_data(TensorData::new(values, [rows, input]), &weight.device());
        let part = Affine {
            weight: weight.reshape([width, input]),
            bias: self.bias.val(),
            low_rank: None,
        };
        let y = ops::linear(x, &[part], None, Activation::None, &self.compute); // [rows, width]
        y.cast(DType::F32)
    }
}

/// The squares of pictures, `[pictures * squares, 3 * side * side]`, the values of one in the order of the weight:
/// channel by channel, each row by row. What is left over at the right and at the bottom is left out.
fn gathered(pictures: &Pictures, side: usize) -> Vec<f32> {
    let Pictures { height, width, .. } = *pictures;
    let row = width * CHANNELS;
    let mut values = Vec::with_capacity(pictures.values.len());
    for picture in pictures.values.chunks_exact((height * row).max(1)) {
        for top in (0..height / side).map(|y| y * side) {
            for left in (0..width / side).map(|x| x * side) {
                for channel in 0..CHANNELS {
                    let line = |y: usize| {
                        let start = (top + y) * row + left * CHANNELS;
                        let pixels = picture[start..start + side * CHANNELS].iter();
                        pixels.skip(channel).step_by(CHANNELS).copied()
                    };
                    values.extend((0..side).flat_map(line));
                }
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_come_row_by_row_and_channel_by_channel() {
        // Two pictures of 2 x 5 pixels: a value tells picture, row, column and channel.
        let value = |i: usize| {
            let (picture, y, x, channel) = (i / 30, i / 15 % 2, i / 3 % 5, i % 3);
            (1000 * picture + 100 * y + 10 * x + channel) as f32
        };
        let pictures = Pictures {
            height: 2,
            width: 5,
            values: (0..60).map(value).collect(),
        };
        let found = gathered(&pictures, 2);
        let square = |picture: usize, left: usize| {
            let at = move |channel: usize, y: usize, x: usize| {
                (1000 * picture + 100 * y + 10 * (left + x) + channel) as f32
            };
            let rows = (0..3).flat_map(|c| [(c, 0), (c, 1)]);
            rows.flat_map(move |(c, y)| [at(c, y, 0), at(c, y, 1)])
        };
        let places = [(0, 0), (0, 2), (1, 0), (1, 2)];
        let wanted: Vec<f32> = places.into_iter().flat_map(|(p, x)| square(p, x)).collect();
        assert_eq!(found, wanted);
    }
}
