//! Affine maps on the CPU: one or several weights side by side, low-rank updates, activation folded in.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::activation::Activation;
use retune_kernels::gemm::{
    Aligned, Outer, Packed, Side, Spot, Stored, View, multiply_sum, outers,
};
use retune_kernels::isa::Isa;
use retune_kernels::scratch;

use super::low_rank::{Factors, Update};
use super::{Buffer, Inputs, Number, Plain, before_activation, consume, converted, node, values};
use crate::ops::clock::Span;
use crate::ops::{Affine, Compute, LowRank, Precision};

/// Weights that do not train, packed once. Clones share what is packed.
///
/// An entry holds handles of the weights it was packed from: memory that has another handle is never
/// written in place, so what is packed cannot be out of date.
#[derive(Debug, Clone, Default)]
pub struct Panels(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    weights: Vec<Plain>,
    stored: Stored,
    isa: Isa,
    panels: Arc<dyn Any + Send + Sync>,
}

impl Panels {
    fn get<E: Number>(&self, isa: Isa, weights: &[Plain], stored: Stored) -> Arc<Aligned<E>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |entry: &&Entry| {
            entry.isa == isa
                && entry.stored == stored
                && entry.weights.len() == weights.len()
                && entry.weights.iter().zip(weights).all(|(a, b)| {
                    values::<f32>(a).as_ptr_range() == values::<f32>(b).as_ptr_range()
                })
        };
        let found = entries.iter().find(same);
        let typed = found.and_then(|e| Arc::clone(&e.panels).downcast::<Aligned<E>>().ok());
        if let Some(panels) = typed {
            return panels;
        }
        entries.retain(|entry| entry.stored != stored);
        let (k, n) = shape(weights, stored);
        let mut panels = Aligned::<E>::new(Packed::<E>::len(isa, k, n));
        pack(isa, weights, stored, &mut panels);
        let panels = Arc::new(panels);
        entries.push(Entry {
            weights: weights.to_vec(),
            stored,
            isa,
            panels: Arc::clone(&panels) as _,
        });
        panels
    }

    fn forget(&self) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clear();
    }
}

/// Rows and columns of a matrix.
pub(super) fn dims(weight: &Plain) -> (usize, usize) {
    let shape = weight.layout().shape();
    (shape[0], shape[1])
}

/// Depth and columns of weights as right operand: side by side as a layer uses them (`Transposed`), or one
/// below the other on the way back (`Plain`).
fn shape(weights: &[Plain], stored: Stored) -> (usize, usize) {
    let outputs = weights.iter().map(|w| dims(w).0).sum();
    let input = dims(&weights[0]).1;
    match stored {
        Stored::Transposed => (input, outputs),
        Stored::Plain => (outputs, input),
    }
}

fn pack<'a, E: Number>(
    isa: Isa,
    weights: &[Plain],
    stored: Stored,
    panels: &'a mut [E],
) -> Packed<'a, E> {
    let views: Vec<View<'_, f32>> = weights.iter().map(view::<f32>).collect();
    let side = match stored {
        Stored::Transposed => Side::N,
        Stored::Plain => Side::K,
    };
    Packed::pack(isa, &views, stored, side, panels)
}

pub(super) fn view<E: Number>(x: &Plain) -> View<'_, E> {
    let (rows, cols) = dims(x);
    View::new(values(x), rows, cols)
}

/// See [`crate::ops::linear`]; `None` when a tensor is not on the CPU back-end.
pub fn linear(
    x: &Tensor<2>,
    parts: &[Affine],
    dropped: Option<&Tensor<2>>,
    activation: Activation,
    compute: &Compute,
) -> Option<Tensor<2>> {
    let given = Given {
        x,
        parts,
        dropped,
        activation,
        compute,
    };
    let low_rank = parts.iter().any(|part| part.low_rank.is_some());
    match (parts.len(), low_rank) {
        (1, false) => given.run::<3>(),
        (2, false) => given.run::<5>(),
        (3, false) => given.run::<7>(),
        (1, true) => given.run::<6>(),
        (2, true) => given.run::<10>(),
        (3, true) => given.run::<14>(),
        (n, _) => unreachable!("one to three weights side by side, not {n}"),
    }
}

/// What [`linear`] was given.
struct Given<'a> {
    x: &'a Tensor<2>,
    parts: &'a [Affine],
    dropped: Option<&'a Tensor<2>>,
    activation: Activation,
    compute: &'a Compute,
}

/// Where an operation of `N` inputs finds them: x; with low-rank updates the input of their own; then per part
/// weight, bias and the two factors.
#[derive(Debug, Clone, Copy)]
struct Places {
    low_rank: bool,
    per_part: usize,
}

impl Places {
    fn of<const N: usize>(parts: usize) -> Self {
        let per_part = (N - 1) / parts;
        Self {
            low_rank: per_part > 2,
            per_part: if per_part > 2 { 4 } else { 2 },
        }
    }

    /// Of the weight of a part; bias and factors follow.
    fn weight(self, part: usize) -> usize {
        1 + usize::from(self.low_rank) + part * self.per_part
    }
}

impl Given<'_> {
    fn run<const N: usize>(&self) -> Option<Tensor<2>> {
        let places = Places::of::<N>(self.parts.len());
        let nothing = || Tensor::<2>::zeros([1, 1], &self.x.device());
        let start = places.weight(0);
        let inputs: [_; N] = std::array::from_fn(|i| {
            if i < start {
                return match (i, self.dropped) {
                    (0, _) => node(self.x),
                    (_, Some(dropped)) => node(dropped),
                    (_, None) => node(&nothing()),
                };
            }
            let part = &self.parts[(i - start) / places.per_part];
            let factor = |get: fn(&LowRank) -> &Tensor<2>| {
                let found = part.low_rank.as_ref().map(get);
                found.map_or_else(|| node(&nothing()), node)
            };
            match (i - start) % places.per_part {
                0 => node(&part.weight),
                1 => node(&part.bias),
                2 => factor(|l| &l.down),
                _ => factor(|l| &l.up),
            }
        });
        let layer = Layer {
            scales: self
                .parts
                .iter()
                .map(|part| part.low_rank.as_ref().map(|l| l.scale as f32))
                .collect(),
            own_input: self.dropped.is_some(),
            activation: self.activation,
            compute: self.compute.clone(),
        };
        let inputs = Inputs::of(inputs)?;
        Some(match self.compute.precision {
            Precision::F32 => layer.forward::<f32, N>(inputs),
            Precision::Bf16 => layer.forward::<bf16, N>(inputs),
        })
    }
}

#[derive(Debug, Clone)]
struct Layer {
    /// Factor of each part's low-rank update, where it has one.
    scales: Vec<Option<f32>>,
    /// Whether the updates read an input of their own.
    own_input: bool,
    activation: Activation,
    compute: Compute,
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct State {
    layer: Layer,
    /// Input in the format of the products.
    x: Plain,
    /// Format of the input as it came.
    came: DType,
    weights: Vec<Plain>,
    update: Option<Update>,
    /// Slope of the activation at each output.
    slope: Option<Plain>,
    /// Whether the packed weights may be kept.
    frozen: bool,
}

impl Layer {
    fn forward<E: Number, const N: usize>(self, inputs: Inputs<N>) -> Tensor<2> {
        let _time = Span::of("linear forward");
        let isa = Isa::current();
        let places = Places::of::<N>(self.scales.len());
        let at = |part: usize, which: usize| inputs.plain(places.weight(part) + which);
        let parts = 0..self.scales.len();
        let weights: Vec<Plain> = parts.clone().map(|i| at(i, 0)).collect();
        let biases: Vec<Plain> = parts.clone().map(|i| at(i, 1)).collect();
        let bias: Vec<f32> = biases.iter().flat_map(values::<f32>).copied().collect();
        let tracked = inputs.any_tracked();
        let frozen = !parts.clone().any(|i| inputs.tracked(places.weight(i)));
        let given = inputs.nodes[0].primitive();
        let (came, x) = (given.dtype(), converted::<E>(given));
        let update = places.low_rank.then(|| {
            let factors = parts.clone().map(|i| Factors {
                down: at(i, 2),
                up: at(i, 3),
                out: dims(&weights[i]).0,
                scale: self.scales[i],
            });
            let own = inputs.nodes[1].primitive();
            let input = if self.own_input {
                (converted::<E>(own), own.dtype())
            } else {
                (x.clone(), came)
            };
            Update::new::<E>(isa, factors.collect(), input)
        });
        let rows = dims(&x).0;
        let mut y = Buffer::<E>::new(rows * bias.len());
        let with_slope = tracked && self.activation != Activation::None;
        let mut slope = Buffer::<E>::new(if with_slope { y.len() } else { 0 });
        with_packed::<E, _>(&self, frozen, &weights, Stored::Transposed, |packed| {
            let finish = |spot: Spot<'_>, y: &mut [E], slope: &mut [E]| {
                spot.activate(isa, (self.activation, &bias), y, slope);
            };
            let main = (view(&x), packed);
            match &update {
                None => multiply_sum(main, None, &mut y, &mut slope, finish),
                Some(update) => update.with_up::<E, _>(isa, Stored::Transposed, |hidden, up| {
                    multiply_sum(main, Some((hidden, up)), &mut y, &mut slope, finish);
                }),
            }
        });
        let out = [rows, bias.len()];
        let nothing = || Plain::empty([0].into(), E::dtype());
        let state = State {
            x: if tracked { x } else { nothing() },
            layer: self,
            came,
            weights,
            update: update.filter(|_| tracked),
            slope: with_slope.then(|| slope.tensor(&out)),
            frozen,
        };
        inputs.finish(state.layer.clone(), state, y.tensor(&out))
    }
}

/// Runs `f` with the packed weights, kept when they are `frozen`.
fn with_packed<E: Number, R>(
    layer: &Layer,
    frozen: bool,
    weights: &[Plain],
    stored: Stored,
    f: impl FnOnce(&Packed<'_, E>) -> R,
) -> R {
    let isa = Isa::current();
    let (k, n) = shape(weights, stored);
    if frozen {
        let panels = layer.compute.panels.get::<E>(isa, weights, stored);
        return f(&Packed::again(isa, k, n, &panels));
    }
    layer.compute.panels.forget();
    scratch::with::<E, _>(Packed::<E>::len(isa, k, n), |panels| {
        f(&pack(isa, weights, stored, panels))
    })
}

impl<const N: usize> Backward<Flex, N> for Layer {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("linear backward");
        let dy = consume(&ops, grads);
        match self.compute.precision {
            Precision::F32 => gradients::<f32, N>(&ops, &dy, grads),
            Precision::Bf16 => gradients::<bf16, N>(&ops, &dy, grads),
        }
    }
}

fn gradients<E: Number, const N: usize>(ops: &Ops<State, N>, dy: &Plain, grads: &mut Gradients) {
    let isa = Isa::current();
    let state = &ops.state;
    let dz = before_activation::<E>(dy, state.slope.as_ref());
    let places = Places::of::<N>(state.weights.len());
    let up = state
        .update
        .as_ref()
        .map(|update| update.back::<E>(isa, &dz));
    if let Some(x) = &ops.parents[0] {
        let dx = match state.came {
            DType::F32 => input_gradient::<E, f32>(state, &dz, up.as_ref()),
            _ => input_gradient::<E, E>(state, &dz, up.as_ref()),
        };
        grads.register::<Flex>(x.id, dx);
    }
    weight_gradients::<E, N>(ops, &dz, grads);
    let (Some(update), Some(dh)) = (&state.update, &up) else {
        return;
    };
    if let Some(input) = ops.parents[1].as_ref().filter(|_| state.layer.own_input) {
        let dlow = match update.came {
            DType::F32 => update.input_gradient::<E, f32>(isa, dh),
            _ => update.input_gradient::<E, E>(isa, dh),
        };
        grads.register::<Flex>(input.id, dlow);
    }
    for (i, gradients) in update.gradients::<E>(isa, &dz, dh).into_iter().enumerate() {
        let parents = &ops.parents[places.weight(i) + 2..][..2];
        for (parent, gradient) in parents.iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// `dz W`, and what comes back through the updates where they read x, in the format `O` the input came in.
fn input_gradient<E: Number, O: Number>(state: &State, dz: &Plain, dh: Option<&Plain>) -> Plain {
    let isa = Isa::current();
    let (rows, input) = (dims(dz).0, dims(&state.weights[0]).1);
    let mut dx = Buffer::<O>::new(rows * input);
    let (layer, weights) = (&state.layer, &state.weights);
    let through = state.update.as_ref().filter(|_| !layer.own_input).zip(dh);
    with_packed::<E, _>(layer, state.frozen, weights, Stored::Plain, |packed| {
        let finish = |spot: Spot<'_>, dx: &mut [O], _: &mut [()]| spot.store(isa, input, dx);
        let (main, none) = ((view(dz), packed), &mut [(); 0]);
        match through {
            None => multiply_sum(main, None, &mut dx, none, finish),
            Some((update, dh)) => update.with_down::<E, _>(isa, Stored::Plain, |down| {
                multiply_sum(main, Some((view(dh), down)), &mut dx, none, finish);
            }),
        }
    });
    dx.tensor(&[rows, input])
}

/// `dzᵀ x` and the sums of dz, for the weights and biases that train.
fn weight_gradients<E: Number, const N: usize>(
    ops: &Ops<State, N>,
    dz: &Plain,
    grads: &mut Gradients,
) {
    let state = &ops.state;
    let places = Places::of::<N>(state.weights.len());
    let dz = view::<E>(dz);
    let mut found = Vec::new();
    let mut first = 0;
    for (i, weight) in state.weights.iter().enumerate() {
        let (out, input) = dims(weight);
        let own = &ops.parents[places.weight(i)..][..2];
        if own.iter().any(Option::is_some) {
            let dz = dz.part((0, dz.rows()), (first, out));
            found.push((
                own,
                dz,
                Buffer::<f32>::new(out * input),
                Buffer::<f32>::new(out),
            ));
        }
        first += out;
    }
    let each = found.iter_mut();
    let mut weights: Vec<_> = each
        .map(|(_, dy, dw, db)| Outer { dy: *dy, dw, db })
        .collect();
    outers(Isa::current(), view::<E>(&state.x), &mut weights);
    for (own, _, dw, db) in found {
        let (out, input) = (db.len(), dw.len() / db.len().max(1));
        let gradients = [dw.tensor(&[out, input]), db.tensor(&[out])];
        for (parent, gradient) in own.iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
