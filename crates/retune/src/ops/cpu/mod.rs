//! The hot operations on Burn's CPU back-end: kernels over the tensors' own memory, each with a backward pass
//! of its own, so that Burn's graph holds a handful of large steps.

mod attention;
mod batch_norm;
mod buffer;
mod conv;
mod cross_entropy;
mod embedding;
mod fork;
mod linear;
mod low_rank;
mod members;
mod norm;
mod optimizer;
mod pairs;
mod ranking;

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::element::Element;
use retune_kernels::isa::Isa;
use retune_kernels::pointwise;

pub use attention::attention;
pub use batch_norm::batch_norm;
pub use buffer::release;
pub use conv::{convolution, max_pool};
pub use cross_entropy::cross_entropy;
pub use embedding::embedding;
pub use fork::fork;
pub use linear::{Panels, linear};
pub use members::{member_outputs, scaled_for_members};
pub use norm::{add_norm, dropout};
pub use optimizer::{adamw, lerp, sum_of_squares};
pub use pairs::{product, sum, sum_relu};
pub use ranking::{ranking_loss, sampled_ranking_loss};

use buffer::Buffer;

/// A tensor of the CPU back-end.
type Plain = FloatTensor<Flex>;
/// The same with its place in the gradient graph.
type Node = FloatTensor<Autodiff<Flex>>;

/// A number format of kernels and of Burn.
trait Number: Element + burn::tensor::Element {}
impl Number for f32 {}
impl Number for bf16 {}

/// The inputs of an operation as nodes, and whether any came from the gradient graph; `None` when any is not
/// on the CPU back-end.
struct Inputs<const N: usize> {
    nodes: [Node; N],
    graph: bool,
}

/// As a node, and whether it came from the gradient graph; `None` when it is not for the kernels.
fn node<const D: usize>(x: &Tensor<D>) -> Option<(Node, bool)> {
    if crate::ops::TWINS_ONLY.get() {
        return None;
    }
    if let Ok(node) = x.clone().try_into_primitive::<Autodiff<Flex>>() {
        return Some((node, true));
    }
    let plain = x.clone().try_into_primitive::<Flex>().ok()?;
    Some((Node::new(plain), false))
}

impl<const N: usize> Inputs<N> {
    fn of(found: [Option<(Node, bool)>; N]) -> Option<Self> {
        if found.iter().any(Option::is_none) {
            return None;
        }
        let mut graph = false;
        let nodes = found.map(|found| {
            let Some((node, inside)) = found else {
                unreachable!("every input was just seen");
            };
            graph |= inside;
            node
        });
        Some(Self { nodes, graph })
    }

    /// The values of input `i`, contiguous.
    fn plain(&self, i: usize) -> Plain {
        contiguous(self.nodes[i].primitive())
    }

    fn tracked(&self, i: usize) -> bool {
        self.nodes[i].is_tracked()
    }

    fn any_tracked(&self) -> bool {
        self.nodes.iter().any(Node::is_tracked)
    }

    /// The result as a tensor, with `backward` as its step in the graph.
    fn finish<B: Backward<Flex, N>, const D: usize>(
        self,
        backward: B,
        state: B::State,
        result: Plain,
    ) -> Tensor<D> {
        if !self.graph {
            // A step outside the graph would be remembered until the next backward pass, which may never come.
            return Tensor::from_primitive::<Flex>(result);
        }
        let guards = self.nodes.each_ref().map(Node::node);
        let step = backward.prepare::<NoCheckpointing>(guards).compute_bound();
        let node = match step.stateful() {
            OpsKind::Tracked(step) => step.finish(state, result),
            OpsKind::UnTracked(step) => step.finish(result),
        };
        Tensor::from_primitive::<Autodiff<Flex>>(node)
    }
}

/// The values of a flat f32 tensor, copied once; `None` when it is not for the kernels.
pub fn to_vec(x: &Tensor<1>) -> Option<Vec<f32>> {
    if crate::ops::TWINS_ONLY.get() {
        return None;
    }
    let x = x.clone().try_into_primitive::<Flex>().ok()?;
    let f32 = x.dtype() == DType::F32;
    f32.then(|| values(&contiguous(&x)).to_vec())
}

fn contiguous(x: &Plain) -> Plain {
    if x.is_contiguous() {
        x.clone()
    } else {
        x.to_contiguous()
    }
}

/// The values of a contiguous tensor of format `E`.
fn values<E: Number>(x: &Plain) -> &[E] {
    // Burn may place an empty part of a tensor beyond the end of its memory.
    if x.layout().num_elements() == 0 {
        return &[];
    }
    let Some(values) = x.as_slice::<E>() else {
        unreachable!(
            "a contiguous tensor of {:?}, not {:?}",
            E::dtype(),
            x.dtype()
        );
    };
    values
}

/// The values of `x` in format `E`, rounded or widened when they are in another.
fn converted<E: Number>(x: &Plain) -> Plain {
    let x = contiguous(x);
    if x.dtype() == E::dtype() {
        return x;
    }
    let shape: Vec<usize> = x.layout().shape().iter().copied().collect();
    let mut out = Buffer::<E>::new(shape.iter().product());
    match x.dtype() {
        DType::F32 => pointwise::convert(Isa::current(), values::<f32>(&x), &mut out),
        DType::BF16 => pointwise::convert(Isa::current(), values::<bf16>(&x), &mut out),
        other => unreachable!("activations are f32 or bf16, not {other:?}"),
    }
    out.tensor(&shape)
}

/// The gradient of what an activation was given, from that of its result and its slope, where it has one.
fn before_activation<E: Number>(dy: &Plain, slope: Option<&Plain>) -> Plain {
    let dy = converted::<E>(dy);
    let Some(slope) = slope else {
        return dy;
    };
    pairs::made::<E>(pointwise::product, &dy, slope)
}

/// Takes the gradient of a step's result, contiguous.
fn consume<S, const N: usize>(ops: &Ops<S, N>, grads: &mut Gradients) -> Plain {
    contiguous(&grads.consume::<Flex>(&ops.node))
}
