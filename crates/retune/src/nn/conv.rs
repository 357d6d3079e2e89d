//! Convolution followed by batch normalisation (Ioffe & Szegedy, arXiv:1502.03167) with the statistics of the
//! checkpoint.
//!
//! The statistics stay as they are: those of the small batches that fine-tuning has room for are worse than those of
//! pre-training. Scale and shift train. As the statistics do not depend on the batch, both fold into the weight:
//! `conv(x, w) * s + t = conv(x, w * s) + t`, which costs a pass over the weight instead of two over the maps.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use retune_kernels::conv::Window;

use super::Adapter;
use crate::model::{Inputs, Pass};
use crate::ops::{self, Activation, Compute, Convolution, LowRank, Maps};
use crate::weights::{Init, Source, WeightsError};

/// Batch normalisation of the channels of maps.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Mean of each channel in pre-training, `[channels]`; never trains.
    pub running_mean: Param<Tensor<1>>,
    /// Variance of each channel in pre-training, `[channels]`; never trains.
    pub running_var: Param<Tensor<1>>,
    /// Added to the variance.
    pub eps: f64,
}

impl BatchNorm {
    /// Reads `weight`, `bias`, `running_mean` and `running_var` at `path`.
    pub fn load(
        source: &mut Source,
        path: &str,
        channels: usize,
        eps: f64,
    ) -> Result<Self, WeightsError> {
        let mut param =
            |name: &str, init| source.param(&format!("{path}.{name}"), [channels], init);
        Ok(Self {
            weight: param("weight", Init::Ones)?,
            bias: param("bias", Init::Zeros)?,
            running_mean: param("running_mean", Init::Zeros)?,
            running_var: param("running_var", Init::Ones)?,
            eps,
        })
    }

    /// What each channel is multiplied by, and what is added then, `[channels]`.
    fn factors(&self) -> (Tensor<1>, Tensor<1>) {
        let mean = self.running_mean.val().detach();
        let variance = self.running_var.val().detach();
        let scale = self.weight.val() / (variance + self.eps).sqrt();
        let shift = self.bias.val() - mean * scale.clone();
        (scale, shift)
    }
}

/// The size of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Channels it reads.
    pub input: usize,
    /// Channels it makes.
    pub output: usize,
    /// Places that its window covers, along each side.
    pub kernel: usize,
    /// Places from one window to the next.
    pub stride: usize,
    /// Parts of the channels that know nothing of each other.
    pub groups: usize,
}

impl Size {
    /// Every place by itself.
    pub fn pointwise(input: usize, output: usize) -> Self {
        Self {
            input,
            output,
            kernel: 1,
            stride: 1,
            groups: 1,
        }
    }

    /// Whether every place is mapped by itself.
    fn is_pointwise(self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.groups == 1
    }

    /// Every channel by itself.
    pub fn depthwise(channels: usize, kernel: usize, stride: usize) -> Self {
        Self {
            input: channels,
            output: channels,
            kernel,
            stride,
            groups: channels,
        }
    }
}

/// A convolution without bias, and the norm after it.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// `[output, input / groups, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// The norm.
    pub norm: BatchNorm,
    /// A low-rank update of the weight, where each place is mapped by itself.
    pub adapter: Option<Adapter>,
    #[module(skip)]
    size: Size,
    #[module(skip)]
    compute: Compute,
}

impl ConvNorm {
    /// Reads `path.weight` and the norm at `path.norm`.
    pub fn load(
        source: &mut Source,
        path: &str,
        size: Size,
        eps: f64,
    ) -> Result<Self, WeightsError> {
        let kernel = size.kernel;
        let shape = [size.output, size.input / size.groups, kernel, kernel];
        // He et al., arXiv:1502.01852.
        let fan_out = (size.output / size.groups * kernel * kernel) as f64;
        let std = (2.0 / fan_out).sqrt();
        Ok(Self {
            weight: source.param(&format!("{path}.weight"), shape, Init::Spread { std })?,
            norm: BatchNorm::load(source, &format!("{path}.norm"), size.output, eps)?,
            adapter: if size.is_pointwise() {
                source.adapter(path, size.input, size.output)
            } else {
                None
            },
            size,
            compute: Compute::new(source.precision()),
        })
    }

    /// `activation(norm(x * weight))`, padded by TensorFlow's rule `SAME`.
    pub fn forward(
        &self,
        x: &Maps,
        activation: Activation,
        (inputs, pass): (&Inputs, &Pass),
    ) -> Maps {
        let Size { kernel, stride, .. } = self.size;
        let window = Window::same([kernel; 2], [stride; 2], x.height, x.width);
        let (scale, bias) = self.norm.factors();
        let weight = self.weight.val() * scale.clone().reshape([self.size.output, 1, 1, 1]);
        let low_rank = self.adapter.as_ref().map(|adapter| LowRank {
            down: adapter.down.val(),
            up: adapter.up.val() * scale.reshape([self.size.output, 1]),
            scale: adapter.scale,
        });
        let dropped = self.adapter.as_ref().and_then(|adapter| {
            let dropout = adapter.dropout_of(inputs, pass);
            (!dropout.off()).then(|| ops::dropout(x.places.clone(), &x.lengths(), &dropout))
        });
        let layer = Convolution {
            weight,
            bias,
            window,
            groups: self.size.groups,
            low_rank,
        };
        ops::convolution(x, dropped, layer, activation, &self.compute)
    }
}
