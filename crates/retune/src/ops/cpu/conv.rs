//! Convolutions on the CPU: dense and depthwise.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::activation::Activation;
use retune_kernels::conv::{self as kernel, Conv, Depthwise, Extent, Finish, Pool, Window};
use retune_kernels::isa::Isa;

use super::{Buffer, Inputs, Number, Plain, before_activation, consume, converted, node, values};
use crate::ops::clock::Span;
use crate::ops::{Compute, Convolution, Maps, Precision};

/// See [`crate::ops::convolution`]; `None` when a tensor is not on the CPU back-end.
pub fn convolution(
    x: &Maps,
    layer: &Convolution,
    activation: Activation,
    compute: &Compute,
) -> Option<Tensor<2>> {
    let inputs = Inputs::of([node(&x.places), node(&layer.weight), node(&layer.bias)])?;
    let [outputs, ..] = layer.weight.dims();
    let input = extent(x);
    let kind = if layer.groups == input.channels && outputs == input.channels {
        Kind::Depthwise(Depthwise {
            window: layer.window,
            input,
        })
    } else {
        Kind::Dense(Conv {
            window: layer.window,
            input,
            outputs,
            groups: layer.groups,
        })
    };
    let step = Step {
        kind,
        shape: layer.weight.dims(),
        activation,
    };
    Some(match compute.precision {
        Precision::F32 => step.forward::<f32>(inputs),
        Precision::Bf16 => step.forward::<bf16>(inputs),
    })
}

fn extent(x: &Maps) -> Extent {
    Extent {
        images: x.pictures,
        height: x.height,
        width: x.width,
        channels: x.places.dims()[1],
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Dense(Conv),
    Depthwise(Depthwise),
}

impl Kind {
    fn output(&self) -> Extent {
        match self {
            Self::Dense(conv) => conv.output(),
            Self::Depthwise(conv) => conv.output(),
        }
    }
}

#[derive(Debug, Clone)]
struct Step {
    kind: Kind,
    /// Of the weight as PyTorch stores it.
    shape: [usize; 4],
    activation: Activation,
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct State {
    step: Step,
    /// Input in the format of the products.
    x: Plain,
    /// Format of the input as it came.
    came: DType,
    /// Weight in the order of the kernels.
    weight: Plain,
    /// Slope of the activation at each output.
    slope: Option<Plain>,
}

impl Step {
    /// The weight's shape as the kernels' order of it asks for.
    fn order(&self) -> [usize; 4] {
        let [outputs, inputs, height, width] = self.shape;
        match self.kind {
            Kind::Dense(_) => [outputs, inputs, height, width],
            Kind::Depthwise(_) => [1, outputs, height, width],
        }
    }

    fn forward<E: Number>(self, inputs: Inputs<3>) -> Tensor<2> {
        let _time = Span::of("convolution forward");
        let isa = Isa::current();
        let given = inputs.nodes[0].primitive();
        let (came, x) = (given.dtype(), converted::<E>(given));
        let (torch, bias) = (inputs.plain(1), inputs.plain(2));
        let mut weight = Buffer::<f32>::new(self.shape.iter().product());
        kernel::from_torch(self.order(), values(&torch), &mut weight);
        let output = self.kind.output();
        let mut y = Buffer::<E>::new(output.values());
        let with_slope = inputs.any_tracked() && self.activation != Activation::None;
        let mut slope = Buffer::<E>::new(if with_slope { y.len() } else { 0 });
        match &self.kind {
            Kind::Dense(conv) => {
                let layer = kernel::Layer {
                    weight: &weight[..],
                    bias: values(&bias),
                    activation: self.activation,
                };
                conv.forward(isa, values::<E>(&x), &layer, &mut y, &mut slope);
            }
            Kind::Depthwise(conv) => {
                let finish = Finish {
                    scale: None,
                    shift: Some(values(&bias)),
                    activation: self.activation,
                };
                conv.forward(isa, (values::<E>(&x), &weight), &finish, &mut y, &mut slope);
            }
        }
        let out = [output.pixels(), output.channels];
        let size = self.shape.iter().product::<usize>();
        let state = State {
            step: self,
            x,
            came,
            weight: weight.tensor(&[size]),
            slope: with_slope.then(|| slope.tensor(&out)),
        };
        inputs.finish(state.step.clone(), state, y.tensor(&out))
    }
}

impl Backward<Flex, 3> for Step {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("convolution backward");
        let dy = consume(&ops, grads);
        match ops.state.x.dtype() {
            DType::BF16 => gradients::<bf16>(&ops, &dy, grads),
            _ => gradients::<f32>(&ops, &dy, grads),
        }
    }
}

fn gradients<E: Number>(ops: &Ops<State, 3>, dy: &Plain, grads: &mut Gradients) {
    let isa = Isa::current();
    let state = &ops.state;
    let dz = before_activation::<E>(dy, state.slope.as_ref());
    let [x, weight, bias] = ops.parents.each_ref().map(Option::as_ref);
    let size = |wanted: bool, size: usize| if wanted { size } else { 0 };
    let (x_values, weight_values) = (values::<E>(&state.x), values::<f32>(&state.weight));
    let (trains, biased) = (weight.is_some(), bias.is_some());
    let channels = state.step.kind.output().channels;
    let mut dx = Buffer::<E>::new(size(x.is_some(), x_values.len()));
    let mut dw = Buffer::<f32>::new(size(trains || biased, weight_values.len()));
    let mut db = Buffer::<f32>::new(size(trains || biased, channels));
    let out = kernel::Gradients {
        dx: &mut dx,
        dw: &mut dw,
        db: &mut db,
    };
    let given = (x_values, weight_values);
    match &state.step.kind {
        Kind::Dense(conv) => conv.backward(isa, given, values(&dz), out),
        Kind::Depthwise(conv) => conv.backward(isa, given, values(&dz), out),
    }
    if let Some(x) = x {
        let shape: Vec<usize> = state.x.layout().shape().iter().copied().collect();
        let dx = dx.tensor(&shape);
        let dx = match state.came {
            DType::F32 => converted::<f32>(&dx),
            _ => dx,
        };
        grads.register::<Flex>(x.id, dx);
    }
    if let Some(weight) = weight {
        let mut torch = Buffer::<f32>::new(dw.len());
        kernel::to_torch(state.step.order(), &dw, &mut torch);
        grads.register::<Flex>(weight.id, torch.tensor(&state.step.shape));
    }
    if let Some(bias) = bias {
        grads.register::<Flex>(bias.id, db.tensor(&[channels]));
    }
}

/// See [`crate::ops::max_pool`]; `None` when the tensor is not on the CPU back-end.
pub fn max_pool(x: &Maps, window: Window) -> Option<Tensor<2>> {
    let _time = Span::of("max pool forward");
    let inputs = Inputs::of([node(&x.places)])?;
    let pool = Pool {
        window,
        input: extent(x),
    };
    Some(match inputs.nodes[0].primitive().dtype() {
        DType::BF16 => pooled::<bf16>(pool, inputs),
        _ => pooled::<f32>(pool, inputs),
    })
}

fn pooled<E: Number>(pool: Pool, inputs: Inputs<1>) -> Tensor<2> {
    let x = inputs.plain(0);
    let output = pool.output();
    let mut y = Buffer::<E>::new(output.values());
    // Pixel numbers lie in the memory of results, as bits.
    let kept = if inputs.any_tracked() { y.len() } else { 0 };
    let mut pixels = Buffer::<f32>::new(kept);
    let numbers = bytemuck::cast_slice_mut(&mut pixels);
    pool.max(Isa::current(), values::<E>(&x), &mut y, numbers);
    let state = PoolState {
        pool,
        pixels: pixels.tensor(&[kept]),
        came: E::dtype(),
    };
    let shape = [output.pixels(), output.channels];
    inputs.finish(MaxPool, state, y.tensor(&shape))
}

#[derive(Debug)]
struct MaxPool;

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct PoolState {
    pool: Pool,
    /// The pixel that each result comes from, u32 in the bits of f32.
    pixels: Plain,
    /// Format of the input, which is that of the result.
    came: DType,
}

impl Backward<Flex, 1> for MaxPool {
    type State = PoolState;

    fn backward(self, ops: Ops<PoolState, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("max pool backward");
        let dy = consume(&ops, grads);
        let Some(parent) = &ops.parents[0] else {
            return;
        };
        let dx = match ops.state.came {
            DType::BF16 => pooled_back::<bf16>(&ops.state, &dy),
            _ => pooled_back::<f32>(&ops.state, &dy),
        };
        grads.register::<Flex>(parent.id, dx);
    }
}

fn pooled_back<E: Number>(state: &PoolState, dy: &Plain) -> Plain {
    let input = state.pool.input;
    let mut dx = Buffer::<E>::new(input.values());
    let pixels = bytemuck::cast_slice(values::<f32>(&state.pixels));
    let dy = converted::<E>(dy);
    let (isa, dy) = (Isa::current(), values::<E>(&dy));
    state.pool.max_backward(isa, pixels, dy, &mut dx);
    dx.tensor(&[input.pixels(), input.channels])
}
