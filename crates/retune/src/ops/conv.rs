//! Convolutions over pictures, channels last: a picture is a run of rows, one for each of its places.

use burn::tensor::{Device, Tensor, TensorData};
use retune_data::batch::Pictures;
use retune_kernels::conv::Window;

use super::{
    Activation, Affine, BatchStatistics, Compute, Lengths, LowRank, Norm, cpu, linear, reference,
};

/// What a convolution reads and makes: maps of one size, one per picture.
#[derive(Debug, Clone)]
pub struct Maps {
    /// Row `(picture * height + y) * width + x` holds the channels of one place: `[places, channels]`.
    pub places: Tensor<2>,
    /// Pictures.
    pub pictures: usize,
    /// Places from top to bottom.
    pub height: usize,
    /// Places from left to right.
    pub width: usize,
}

impl Maps {
    /// The pixels of pictures, with three channels.
    pub fn of_pictures(pictures: &Pictures, device: &Device) -> Self {
        let places = pictures.values.len() / 3;
        let data = TensorData::new(pictures.values.clone(), [places, 3]);
        Self {
            places: Tensor::from_data(data, device),
            pictures: places / (pictures.height * pictures.width).max(1),
            height: pictures.height,
            width: pictures.width,
        }
    }

    /// The same maps with other channels.
    #[must_use]
    pub fn with(&self, places: Tensor<2>) -> Self {
        Self { places, ..*self }
    }

    /// Places of each picture.
    pub fn lengths(&self) -> Lengths {
        let places = (self.height * self.width) as u32;
        Lengths::new(vec![places; self.pictures])
    }
}

/// What moves over the maps.
#[derive(Debug, Clone)]
pub struct Convolution {
    /// `[out, in / groups, height, width]`, as PyTorch stores it.
    pub weight: Tensor<4>,
    /// `[out]`.
    pub bias: Tensor<1>,
    /// Where it lies on the maps.
    pub window: Window,
    /// Parts of the channels that know nothing of each other.
    pub groups: usize,
    /// A low-rank update beside the weight, where each place is mapped by itself.
    pub low_rank: Option<LowRank>,
}

impl Convolution {
    /// Whether each place is mapped by itself.
    fn pointwise(&self) -> bool {
        let Window {
            kernel,
            stride,
            padding,
        } = self.window;
        kernel == [1, 1] && stride == [1, 1] && padding == [[0, 0]; 2] && self.groups == 1
    }
}

/// `activation(x * weight + bias)`, places outside the maps counting as 0. A low-rank update reads `dropped` where it is
/// given: x after a dropout of its own.
pub fn convolution(
    x: &Maps,
    dropped: Option<Tensor<2>>,
    layer: Convolution,
    activation: Activation,
    compute: &Compute,
) -> Maps {
    if layer.pointwise() {
        let [out, input, ..] = layer.weight.dims();
        let part = Affine {
            weight: layer.weight.reshape([out, input]),
            bias: layer.bias,
            low_rank: layer.low_rank,
        };
        let places = linear(x.places.clone(), &[part], dropped, activation, compute);
        return x.with(places); // [places, out]
    }
    let [height, width] = layer.window.output(x.height, x.width);
    let places = cpu::convolution(x, &layer, activation, compute)
        .unwrap_or_else(|| reference::convolution(x, layer, activation));
    Maps {
        places, // [pictures * height * width, out]
        pictures: x.pictures,
        height,
        width,
    }
}

/// The greatest value of each channel under the window, in the format of x; the places beside the maps never are.
pub fn max_pool(x: &Maps, window: Window) -> Maps {
    let [height, width] = window.output(x.height, x.width);
    let places = cpu::max_pool(x, window).unwrap_or_else(|| reference::max_pool(x, window));
    Maps {
        places, // [pictures * height * width, channels]
        pictures: x.pictures,
        height,
        width,
    }
}

/// `activation((x - mean) / sqrt(variance + eps) * gamma + beta)` with mean and variance of each column of x,
/// `[rows, channels]`, which come back beside the result (Ioffe & Szegedy, arXiv:1502.03167).
pub fn batch_norm(
    x: Tensor<2>,
    norm: Norm,
    activation: Activation,
) -> (Tensor<2>, BatchStatistics) {
    cpu::batch_norm(&x, &norm, activation)
        .unwrap_or_else(|| reference::batch_norm(x, norm, activation))
}
