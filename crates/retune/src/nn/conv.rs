//! Convolution followed by batch normalisation (Ioffe & Szegedy, arXiv:1502.03167).
//!
//! Norms that are frozen keep the statistics of the checkpoint: those of the small batches that fine-tuning has room for
//! are worse than those of pre-training. Scale and shift train. As the statistics do not depend on the batch, both fold
//! into the weight: `conv(x, w) * s + t = conv(x, w * s) + t`, which costs a pass over the weight instead of two over the
//! maps. Norms that follow the batch normalise by its statistics in training, and by the running ones elsewhere.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use retune_kernels::conv::Window;

use super::Adapter;
use crate::model::{Inputs, Pass};
use crate::ops::{self, Activation, Compute, Convolution, Folded, LowRank, Maps, Norm};
use crate::weights::{Init, Norms, Source, WeightsError};

/// How far a running statistic moves towards that of a batch, as in PyTorch.
const MOMENTUM: f32 = 0.1;

/// Batch normalisation of the channels of maps.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Mean of each channel, `[channels]`; has no gradient.
    pub running_mean: Param<Tensor<1>>,
    /// Variance of each channel, `[channels]`; has no gradient.
    pub running_var: Param<Tensor<1>>,
    /// Added to the variance.
    pub eps: f64,
    #[module(skip)]
    norms: Norms,
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
            norms: source.norms(),
        })
    }

    /// Whether the statistics are those of the batch.
    fn follows(&self, pass: &Pass) -> bool {
        pass.train && self.norms != Norms::Frozen
    }

    /// `activation(norm(x))` by the statistics of x, `[rows, channels]`; the running ones are to move towards them.
    fn by_batch(&self, x: Tensor<2>, activation: Activation, pass: &Pass) -> Tensor<2> {
        let norm = Norm {
            gamma: self.weight.val(),
            beta: self.bias.val(),
            eps: self.eps,
        };
        let (y, seen) = ops::batch_norm(x, norm, activation);
        let share = match self.norms {
            // A plain average at first: there is nothing yet that is worth keeping.
            Norms::Fresh => (1.0 / (pass.step as f32 + 1.0)).max(MOMENTUM),
            _ => MOMENTUM,
        };
        let to = &pass.statistics;
        to.add(self.running_mean.id, seen.mean, share);
        to.add(self.running_var.id, seen.variance, share);
        y
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

/// What lies around maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's rule `SAME`, see [`Window::same`].
    Same,
    /// So many places on each side, as PyTorch has it.
    Symmetric(usize),
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
    /// What lies around the maps.
    pub padding: Padding,
}

impl Size {
    /// A window of an odd number of places around each place, or each `stride`-th one.
    pub fn centred(input: usize, output: usize, kernel: usize, stride: usize) -> Self {
        Self {
            kernel,
            stride,
            padding: Padding::Symmetric(kernel / 2),
            ..Self::pointwise(input, output)
        }
    }

    /// Squares of places beside each other.
    pub fn patches(input: usize, output: usize, side: usize) -> Self {
        Self {
            kernel: side,
            stride: side,
            padding: Padding::Symmetric(0),
            ..Self::pointwise(input, output)
        }
    }

    /// Where it lies on maps of this size. Maps that the window does not fit on are filled up with zeros below and to the
    /// right: without that they would have no place left.
    pub fn window(self, height: usize, width: usize) -> Window {
        let (kernel, stride) = ([self.kernel; 2], [self.stride; 2]);
        match self.padding {
            Padding::Same => Window::same(kernel, stride, height, width),
            Padding::Symmetric(n) => {
                let short = |size: usize| self.kernel.saturating_sub(size + 2 * n);
                Window {
                    kernel,
                    stride,
                    padding: [height, width].map(|size| [n, n + short(size)]),
                }
            }
        }
    }

    /// Every place by itself.
    pub fn pointwise(input: usize, output: usize) -> Self {
        Self {
            input,
            output,
            kernel: 1,
            stride: 1,
            groups: 1,
            padding: Padding::Same,
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
            padding: Padding::Same,
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

    /// `activation(norm(x * weight))`.
    pub fn forward(
        &self,
        x: &Maps,
        activation: Activation,
        (inputs, pass): (&Inputs, &Pass),
    ) -> Maps {
        let window = self.size.window(x.height, x.width);
        let outputs = self.size.output;
        let follows = self.norm.follows(pass);
        let (weight, bias, scale) = if follows {
            let weight = self.weight.val();
            let bias = Tensor::zeros([outputs], &weight.device());
            (weight, bias, None)
        } else {
            let folded = pass.folds.get(self.weight.id, || {
                let (scale, bias) = self.norm.factors();
                let factor = scale.clone().reshape([outputs, 1, 1, 1]);
                let weight = self.weight.val() * factor;
                Folded {
                    weight,
                    bias,
                    scale,
                }
            });
            (folded.weight, folded.bias, Some(folded.scale))
        };
        let low_rank = self.adapter.as_ref().map(|adapter| LowRank {
            down: adapter.down.val(),
            up: match scale {
                Some(scale) => adapter.up.val() * scale.reshape([outputs, 1]),
                None => adapter.up.val(),
            },
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
        if follows {
            let maps = ops::convolution(x, dropped, layer, Activation::None, &self.compute);
            return maps.with(self.norm.by_batch(maps.places.clone(), activation, pass));
        }
        ops::convolution(x, dropped, layer, activation, &self.compute)
    }
}

/// A convolution with bias and without a norm.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[output, input / groups, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// `[output]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    size: Size,
    #[module(skip)]
    compute: Compute,
}

impl Conv {
    /// Reads `path.weight` and `path.bias`.
    pub fn load(source: &mut Source, path: &str, size: Size) -> Result<Self, WeightsError> {
        let kernel = size.kernel;
        let shape = [size.output, size.input / size.groups, kernel, kernel];
        Ok(Self {
            weight: source.param(&format!("{path}.weight"), shape, Init::Normal)?,
            bias: source.param(&format!("{path}.bias"), [size.output], Init::Zeros)?,
            size,
            compute: Compute::new(source.precision()),
        })
    }

    /// `x * weight + bias`.
    pub fn forward(&self, x: &Maps) -> Maps {
        let layer = Convolution {
            weight: self.weight.val(),
            bias: self.bias.val(),
            window: self.size.window(x.height, x.width),
            groups: self.size.groups,
            low_rank: None,
        };
        ops::convolution(x, None, layer, Activation::None, &self.compute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paddings_are_those_of_pytorch_and_small_maps_are_filled_up() {
        let padding = |size: Size, n: usize| {
            let window = size.window(n, 64);
            (window.padding[0], window.output(n, 64)[0])
        };
        assert_eq!(padding(Size::centred(3, 8, 7, 2), 224), ([3, 3], 112));
        assert_eq!(padding(Size::centred(3, 8, 3, 2), 7), ([1, 1], 4));
        assert_eq!(padding(Size::centred(3, 8, 1, 2), 7), ([0, 0], 4));
        // What is left over of whole patches is not read.
        assert_eq!(padding(Size::patches(3, 8, 4), 34), ([0, 0], 8));
        assert_eq!(padding(Size::patches(3, 8, 2), 1), ([0, 1], 1));
        assert_eq!(padding(Size::centred(3, 8, 7, 1), 0), ([3, 4], 1));
        assert_eq!(Size::depthwise(8, 7, 1).window(9, 64).padding, [[3, 3]; 2]);
    }
}
