//! Sums of table rows on the CPU, with gradients that hold only the rows in use.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use retune_kernels::embedding as kernel;

use super::{Buffer, Inputs, Plain, consume, converted, node, values};
use crate::ops::clock::Span;
use crate::ops::{Lookup, RowSink};

/// See [`crate::ops::embedding`]; `None` when a table is not on the CPU back-end.
pub fn embedding(lookups: &[Lookup], sink: &RowSink) -> Option<Tensor<2>> {
    match lookups {
        [a] => run([a], sink),
        [a, b] => run([a, b], sink),
        [a, b, c] => run([a, b, c], sink),
        _ => unreachable!("one to three tables are summed, not {}", lookups.len()),
    }
}

#[derive(Debug, Clone)]
struct State {
    /// Parameter, rows of its table and ids.
    tables: Vec<(burn::module::ParamId, Arc<Vec<u32>>)>,
    width: usize,
    sink: RowSink,
}

fn run<const N: usize>(lookups: [&Lookup; N], sink: &RowSink) -> Option<Tensor<2>> {
    let _time = Span::of("embedding forward");
    let inputs = Inputs::of(lookups.map(|lookup| node(&lookup.table.val())))?;
    let tables: [Plain; N] = std::array::from_fn(|i| inputs.plain(i));
    let width = tables[0].layout().shape()[1];
    let tokens = lookups[0].ids.len();
    let mut sum = Buffer::<f32>::new(tokens * width);
    let pairs: Vec<(&[f32], &[u32])> = tables
        .iter()
        .zip(&lookups)
        .map(|(table, lookup)| (values(table), lookup.ids.as_slice()))
        .collect();
    kernel::gather_sum(&pairs, width, &mut sum);
    let state = State {
        tables: lookups
            .iter()
            .map(|l| (l.table.id, Arc::clone(l.ids)))
            .collect(),
        width,
        sink: sink.clone(),
    };
    Some(inputs.finish(Step, state, sum.tensor(&[tokens, width])))
}

#[derive(Debug)]
struct Step;

impl<const N: usize> Backward<Flex, N> for Step {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("embedding backward");
        let dy = converted::<f32>(&consume(&ops, grads));
        for ((id, ids), parent) in ops.state.tables.iter().zip(&ops.parents) {
            if parent.is_some() {
                let gradient = kernel::scatter(ids, values(&dy), ops.state.width);
                ops.state.sink.add(*id, gradient);
            }
        }
    }
}
