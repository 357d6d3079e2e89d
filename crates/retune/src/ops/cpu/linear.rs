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
use retune_kernels::gemm::{Aligned, Packed, Side, Stored, View, multiply, outer};
use retune_kernels::isa::Isa;
use retune_kernels::pointwise;
use retune_kernels::scratch;

use super::{Buffer, Inputs, Number, Plain, consume, converted, node, values};
use crate::ops::clock::Span;
use crate::ops::{Affine, Compute, Precision};

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

/// Rows and columns of a weight.
fn dims(weight: &Plain) -> (usize, usize) {
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

fn view<E: Number>(x: &Plain) -> View<'_, E> {
    let (rows, cols) = dims(x);
    View::new(values(x), rows, cols)
}

/// See [`crate::ops::linear`]; `None` when a tensor is not on the CPU back-end.
pub fn linear(
    x: &Tensor<2>,
    parts: &[Affine],
    activation: Activation,
    compute: &Compute,
) -> Option<Tensor<2>> {
    let low_rank = parts.iter().any(|part| part.low_rank.is_some());
    match (parts.len(), low_rank) {
        (1, false) => run::<3>(x, parts, activation, compute),
        (1, true) | (2, false) => run::<5>(x, parts, activation, compute),
        (2, true) => run::<9>(x, parts, activation, compute),
        (3, false) => run::<7>(x, parts, activation, compute),
        (3, true) => run::<13>(x, parts, activation, compute),
        (n, _) => unreachable!("one to three weights side by side, not {n}"),
    }
}

/// Inputs lie as x, then per part weight, bias and, when any part has one, the two low-rank factors.
fn run<const N: usize>(
    x: &Tensor<2>,
    parts: &[Affine],
    activation: Activation,
    compute: &Compute,
) -> Option<Tensor<2>> {
    let per_part = (N - 1) / parts.len();
    let nothing = || Tensor::<2>::zeros([1, 1], &x.device());
    let inputs: [_; N] = std::array::from_fn(|i| {
        if i == 0 {
            return node(x);
        }
        let (part, which) = (&parts[(i - 1) / per_part], (i - 1) % per_part);
        let low_rank = part.low_rank.as_ref();
        match which {
            0 => node(&part.weight),
            1 => node(&part.bias),
            2 => low_rank.map_or_else(|| node(&nothing()), |l| node(&l.down)),
            _ => low_rank.map_or_else(|| node(&nothing()), |l| node(&l.up)),
        }
    });
    let inputs = Inputs::of(inputs)?;
    let layer = Layer {
        scales: parts
            .iter()
            .map(|part| part.low_rank.as_ref().map(|l| l.scale as f32))
            .collect(),
        activation,
        compute: compute.clone(),
    };
    Some(match compute.precision {
        Precision::F32 => layer.forward::<f32, N>(inputs),
        Precision::Bf16 => layer.forward::<bf16, N>(inputs),
    })
}

#[derive(Debug, Clone)]
struct Layer {
    /// Factor of each part's low-rank update, where it has one.
    scales: Vec<Option<f32>>,
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
    /// Weights with their low-rank updates added.
    weights: Vec<Plain>,
    /// Factors of low-rank updates, down and up.
    factors: Vec<Option<(Plain, Plain)>>,
    /// Slope of the activation at each output.
    slope: Option<Plain>,
    /// Whether the packed weights may be kept.
    frozen: bool,
}

impl Layer {
    fn forward<E: Number, const N: usize>(self, inputs: Inputs<N>) -> Tensor<2> {
        let _time = Span::of("linear forward");
        let isa = Isa::current();
        let per_part = (N - 1) / self.scales.len();
        let parts = 0..self.scales.len();
        let at = |part: usize, which: usize| 1 + part * per_part + which;
        let factors: Vec<_> = parts
            .clone()
            .map(|i| self.scales[i].map(|_| (inputs.plain(at(i, 2)), inputs.plain(at(i, 3)))))
            .collect();
        let weights: Vec<Plain> = parts
            .clone()
            .map(|i| {
                let weight = inputs.plain(at(i, 0));
                match (&factors[i], self.scales[i]) {
                    (Some((down, up)), Some(scale)) => updated(isa, &weight, down, up, scale),
                    _ => weight,
                }
            })
            .collect();
        let bias: Vec<f32> = parts
            .clone()
            .flat_map(|i| values::<f32>(&inputs.plain(at(i, 1))).to_vec())
            .collect();
        let tracked = inputs.any_tracked();
        let frozen = !parts
            .clone()
            .any(|i| (0..per_part).any(|which| which != 1 && inputs.tracked(at(i, which))));
        let came = inputs.nodes[0].primitive().dtype();
        let x = converted::<E>(inputs.nodes[0].primitive());
        let rows = dims(&x).0;
        let mut y = Buffer::<E>::new(rows * bias.len());
        let with_slope = tracked && self.activation != Activation::None;
        let mut slope = Buffer::<E>::new(if with_slope { y.len() } else { 0 });
        let job = Forward {
            isa,
            bias: &bias,
            activation: self.activation,
        };
        with_packed::<E, _>(&self, frozen, &weights, Stored::Transposed, |packed| {
            job.run(view(&x), packed, &mut y, &mut slope);
        });
        let out = [rows, bias.len()];
        let state = State {
            x: if tracked {
                x
            } else {
                Plain::empty([0].into(), E::dtype())
            },
            layer: self,
            came,
            weights,
            factors,
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

/// `weight + scale up down`: weight `[out, in]`, down `[rank, in]`, up `[out, rank]`.
fn updated(isa: Isa, weight: &Plain, down: &Plain, up: &Plain, scale: f32) -> Plain {
    let ((out, input), rank) = (dims(weight), dims(down).0);
    let before = values::<f32>(weight);
    let mut sum = Buffer::<f32>::new(out * input);
    scratch::with::<f32, _>(Packed::<f32>::len(isa, rank, input), |panels| {
        let down = Packed::pack(isa, &[view::<f32>(down)], Stored::Plain, Side::N, panels);
        multiply(view(up), &down, &mut sum, &mut [(); 0], |spot, sum, _| {
            for i in 0..spot.rows {
                let place = &mut sum[(spot.block_row + i) * input + spot.col..][..spot.cols];
                let before = &before[(spot.row + i) * input + spot.col..][..spot.cols];
                for ((to, before), update) in place.iter_mut().zip(before).zip(spot.values(i)) {
                    *to = before + scale * update;
                }
            }
        });
    });
    sum.tensor(&[out, input])
}

struct Forward<'a> {
    isa: Isa,
    bias: &'a [f32],
    activation: Activation,
}

impl Forward<'_> {
    fn run<E: Number>(&self, x: View<'_, E>, w: &Packed<'_, E>, y: &mut [E], slope: &mut [E]) {
        multiply(x, w, y, slope, |spot, y, slope| {
            spot.activate(self.isa, (self.activation, self.bias), y, slope);
        });
    }
}

impl<const N: usize> Backward<Flex, N> for Layer {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("linear backward");
        let dy = consume(&ops, grads);
        match self.compute.precision {
            Precision::F32 => gradients::<f32, N>(ops, &dy, grads),
            Precision::Bf16 => gradients::<bf16, N>(ops, &dy, grads),
        }
    }
}

fn gradients<E: Number, const N: usize>(ops: Ops<State, N>, dy: &Plain, grads: &mut Gradients) {
    let isa = Isa::current();
    let state = ops.state;
    let dz = converted::<E>(dy);
    let dz = match &state.slope {
        None => dz,
        Some(slope) => {
            let (rows, cols) = dims(&dz);
            let mut product = Buffer::<E>::new(rows * cols);
            pointwise::product(isa, values::<E>(&dz), values::<E>(slope), &mut product);
            product.tensor(&[rows, cols])
        }
    };
    if let Some(x) = &ops.parents[0] {
        let dx = match state.came {
            DType::F32 => input_gradient::<E, f32>(&state, &dz),
            _ => input_gradient::<E, E>(&state, &dz),
        };
        grads.register::<Flex>(x.id, dx);
    }
    let per_part = (N - 1) / state.weights.len();
    let mut first = 0;
    for (i, weight) in state.weights.iter().enumerate() {
        let out = dims(weight).0;
        let dz = view::<E>(&dz).part((0, dims(&dz).0), (first, out));
        let parents = &ops.parents[1 + i * per_part..][..per_part];
        if parents[0].is_some() || parents[1].is_some() {
            let (dw, db) = weight_gradient(isa, dz, view::<E>(&state.x));
            for (parent, gradient) in parents.iter().zip([dw, db]) {
                if let Some(parent) = parent {
                    grads.register::<Flex>(parent.id, gradient);
                }
            }
        }
        if let (Some((down, up)), Some(scale)) = (&state.factors[i], state.layer.scales[i]) {
            let gradients = factor_gradients(isa, (dz, view::<E>(&state.x)), (down, up), scale);
            for (parent, gradient) in parents[2..].iter().zip(gradients) {
                if let Some(parent) = parent {
                    grads.register::<Flex>(parent.id, gradient);
                }
            }
        }
        first += out;
    }
}

/// `dz W` in the format `O` the input came in.
fn input_gradient<E: Number, O: Number>(state: &State, dz: &Plain) -> Plain {
    let isa = Isa::current();
    let (rows, input) = (dims(dz).0, dims(&state.weights[0]).1);
    let mut dx = Buffer::<O>::new(rows * input);
    let (layer, weights) = (&state.layer, &state.weights);
    with_packed::<E, _>(layer, state.frozen, weights, Stored::Plain, |packed| {
        multiply(view(dz), packed, &mut dx, &mut [(); 0], |spot, dx, _| {
            spot.store(isa, input, dx);
        });
    });
    dx.tensor(&[rows, input])
}

fn weight_gradient<E: Number>(isa: Isa, dz: View<'_, E>, x: View<'_, E>) -> (Plain, Plain) {
    let (out, input) = (dz.cols(), x.cols());
    let (mut dw, mut db) = (Buffer::<f32>::new(out * input), Buffer::<f32>::new(out));
    outer(isa, dz, x, &mut dw, &mut db);
    (dw.tensor(&[out, input]), db.tensor(&[out]))
}

/// Gradients of down `[rank, in]` and up `[out, rank]`.
fn factor_gradients<E: Number>(
    isa: Isa,
    (dz, x): (View<'_, E>, View<'_, E>),
    (down, up): (&Plain, &Plain),
    scale: f32,
) -> [Plain; 2] {
    let (rank, input) = dims(down);
    let out = dz.cols();
    let dh = narrow_product(isa, dz, view::<f32>(up), Stored::Plain, rank);
    let h = narrow_product(isa, x, view::<f32>(down), Stored::Transposed, rank);
    let (rows, none) = (x.rows(), &mut [][..]);
    let mut ddown = Buffer::<f32>::new(rank * input);
    outer(isa, View::new(&dh, rows, rank), x, &mut ddown, none);
    let mut dup = Buffer::<f32>::new(out * rank);
    outer(isa, dz, View::new(&h, rows, rank), &mut dup, none);
    for value in ddown.iter_mut().chain(dup.iter_mut()) {
        *value *= scale;
    }
    [ddown.tensor(&[rank, input]), dup.tensor(&[out, rank])]
}

/// `a b` with few columns.
fn narrow_product<E: Number>(
    isa: Isa,
    a: View<'_, E>,
    b: View<'_, f32>,
    stored: Stored,
    n: usize,
) -> Buffer<E> {
    let mut product = Buffer::<E>::new(a.rows() * n);
    scratch::with::<E, _>(Packed::<E>::len(isa, a.cols(), n), |panels| {
        let b = Packed::pack(isa, &[b], stored, Side::N, panels);
        multiply(a, &b, &mut product, &mut [(); 0], |spot, out, _| {
            spot.store(isa, n, out);
        });
    });
    product
}
