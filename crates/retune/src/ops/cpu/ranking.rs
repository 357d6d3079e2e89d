//! Ranking losses on the CPU.
//!
//! The forward pass computes the gradients as well, up to the factor that comes from above, and keeps them (as Hsu et
//! al. do in "Liger Kernel", arXiv:2410.10989): they take the memory of rows and items, which the backward pass would
//! ask for anyway, and scores, which do not fit into memory, are not computed once more.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::gemm::View;
use retune_kernels::isa::Isa;
use retune_kernels::pointwise;
use retune_kernels::ranking::{self as kernel, Rows, Sampled};

use super::linear::{dims, view};
use super::{Buffer, Inputs, Number, Plain, consume, converted, node, values};
use crate::ops::clock::Span;
use crate::ops::{Drawn, Precision, RankedRows};

/// See [`crate::ops::ranking_loss`]; `None` when a tensor is not on the CPU back-end.
pub fn ranking_loss(
    hidden: &Tensor<2>,
    items: &Tensor<2>,
    scale: &Tensor<1>,
    rows: &RankedRows,
) -> Option<Tensor<1>> {
    let inputs = Inputs::of([node(hidden), node(items), node(scale)])?;
    Some(match rows.precision {
        Precision::F32 => forward::<f32, 3>(inputs, rows, None),
        Precision::Bf16 => forward::<bf16, 3>(inputs, rows, None),
    })
}

/// See [`crate::ops::sampled_ranking_loss`]; `None` when a tensor is not on the CPU back-end.
pub fn sampled_ranking_loss(
    hidden: &Tensor<2>,
    drawn: &Drawn,
    scale: &Tensor<1>,
    rows: &RankedRows,
) -> Option<Tensor<1>> {
    let (negatives, positives) = (node(&drawn.negatives), node(&drawn.positives));
    let inputs = Inputs::of([node(hidden), negatives, node(scale), positives])?;
    Some(match rows.precision {
        Precision::F32 => forward::<f32, 4>(inputs, rows, Some(&drawn.ids)),
        Precision::Bf16 => forward::<bf16, 4>(inputs, rows, Some(&drawn.ids)),
    })
}

/// Gradients for a loss that counts once: of rows, items and right items (the latter only where items are drawn) not yet
/// times `scale`.
#[derive(Debug, Clone)]
struct State {
    hidden: Plain,
    items: Plain,
    positives: Plain,
    /// The scale and its gradient.
    scale: (f32, f32),
    /// Format that each input came in.
    came: Vec<DType>,
}

/// The loss of rows, items, scale and, with `ids`, right items.
fn forward<E: Number, const N: usize>(
    inputs: Inputs<N>,
    rows: &RankedRows,
    ids: Option<&[u32]>,
) -> Tensor<1> {
    let _time = Span::of("ranking loss");
    let isa = Isa::current();
    let of = |i: usize| converted::<E>(inputs.nodes[i].primitive());
    let (hidden, items, positives) = (of(0), of(1), ids.map(|_| of(3)));
    let scale = values::<f32>(&converted::<f32>(inputs.nodes[2].primitive()))[0];
    let given = Rows {
        hidden: view::<E>(&hidden),
        targets: &rows.targets,
        weights: &rows.weights,
        scale,
    };
    let tracked = inputs.any_tracked();
    let gradient = |of: Option<&Plain>, wanted: bool| {
        let (rows, width) = of.filter(|_| wanted).map_or((0, 0), dims);
        (Buffer::<f32>::new(rows * width), [rows, width])
    };
    let (mut dhidden, shape) = gradient(Some(&hidden), tracked);
    let (mut ditems, items_shape) = gradient(Some(&items), inputs.tracked(1));
    let (mut dpositives, positives_shape) = gradient(positives.as_ref(), tracked);
    let into = tracked.then_some(kernel::Gradients {
        hidden: &mut dhidden,
        items: &mut ditems,
        positives: &mut dpositives,
    });
    let items: View<'_, E> = view(&items);
    let found = match (ids, &positives) {
        (Some(ids), Some(positives)) => {
            let drawn = Sampled {
                positives: view(positives),
                negatives: items,
                ids,
            };
            kernel::sampled(isa, given, drawn, into)
        }
        _ => kernel::full(isa, given, items, into),
    };
    let mut loss = Buffer::<f32>::new(1);
    loss[0] = found.loss as f32;
    let came = inputs.nodes.iter().map(|node| node.primitive().dtype());
    let state = State {
        hidden: dhidden.tensor(&shape),
        items: ditems.tensor(&items_shape),
        positives: dpositives.tensor(&positives_shape),
        scale: (scale, found.dscale as f32),
        came: came.collect(),
    };
    inputs.finish(Step, state, loss.tensor(&[1]))
}

#[derive(Debug)]
struct Step;

impl<const N: usize> Backward<Flex, N> for Step {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("ranking loss");
        let above = values::<f32>(&converted::<f32>(&consume(&ops, grads)))[0];
        let state = &ops.state;
        for (i, parent) in ops.parents.iter().enumerate() {
            let Some(parent) = parent else {
                continue;
            };
            let of = match i {
                0 => &state.hidden,
                1 => &state.items,
                2 => {
                    let mut gradient = Buffer::<f32>::new(1);
                    gradient[0] = above * state.scale.1;
                    grads.register::<Flex>(parent.id, gradient.tensor(&[1]));
                    continue;
                }
                _ => &state.positives,
            };
            let factor = above * state.scale.0;
            let gradient = match state.came[i] {
                DType::BF16 => times::<bf16>(of, factor),
                _ => times::<f32>(of, factor),
            };
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}

/// `factor x`, `[rows, width]`.
fn times<E: Number>(x: &Plain, factor: f32) -> Plain {
    let (rows, width) = dims(x);
    let mut out = Buffer::<E>::new(rows * width);
    pointwise::times(Isa::current(), values(x), factor, &mut out);
    out.tensor(&[rows, width])
}
