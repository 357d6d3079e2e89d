//! Affine maps against their twin: formats, activations, low-rank updates, parts side by side.

use burn::tensor::{DType, Tensor};
use half::bf16;
use proptest::prelude::*;
use proptest::sample::select;
use retune::ops::{self, Activation, Affine, Compute, LowRank, Precision};

use super::case::{Input, alike, evaluate, host, matrix, nothing, same_beside, vector};

/// Every activation.
pub const ACTIVATIONS: [Activation; 7] = [
    Activation::None,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Sigmoid,
    Activation::Silu,
    Activation::Tanh,
];

/// One layer, or several of the same input side by side.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Rows of the input.
    pub rows: usize,
    /// Its width.
    pub input: usize,
    /// Outputs of each part, and the rank of its update; 0 for none.
    pub parts: Vec<(usize, usize)>,
    /// Applied to the result.
    pub activation: Activation,
    /// Format of the operands.
    pub precision: Precision,
    /// Whether low-rank updates read an input of their own.
    pub dropped: bool,
}

impl Layer {
    /// x, what updates read when it is another input, and per part weight, bias and factors; input `i` trains when bit `i` of `trains` is set.
    pub fn inputs(&self, salt: u64, trains: u32) -> Vec<Input> {
        let size = 1.0 / (self.input.max(16) as f32).sqrt();
        let mut inputs = vec![Input::new("x", [self.rows, self.input], salt)];
        if self.dropped {
            inputs.push(Input::new("dropped", [self.rows, self.input], salt + 5));
        }
        for (i, (out, rank)) in self.parts.iter().enumerate() {
            let salt = salt + 10 * (i as u64 + 1);
            let mut add = |name: &str, dims: [usize; 2], factor: f32, nth: u64| {
                let input = Input::new(&format!("{name} of part {i}"), dims, salt + nth);
                inputs.push(input.times(factor));
            };
            add("weight", [*out, self.input], size, 0);
            add("bias", [1, *out], 0.5, 1);
            if *rank > 0 {
                add("down", [*rank, self.input], size, 2);
                add("up", [*out, *rank], 0.2, 3);
            }
        }
        let prepared = inputs.into_iter().enumerate().map(|(i, input)| Input {
            trains: trains >> i & 1 == 1,
            ..input.within(self.precision)
        });
        prepared.collect()
    }

    /// The layer's result for tensors in the order of [`Layer::inputs`].
    pub fn run(&self, tensors: &[Tensor<2>], compute: &Compute) -> Tensor<2> {
        let mut rest = tensors[1..].iter().cloned();
        let dropped = self.dropped.then(|| rest.next().unwrap());
        let mut next = || rest.next().unwrap();
        let parts: Vec<Affine> = self
            .parts
            .iter()
            .map(|(_, rank)| Affine {
                weight: next(),
                bias: vector(&next()),
                low_rank: (*rank > 0).then(|| LowRank {
                    down: next(),
                    up: next(),
                    scale: 0.7,
                }),
            })
            .collect();
        ops::linear(
            tensors[0].clone(),
            &parts,
            dropped,
            self.activation,
            compute,
        )
    }

    /// Runs it with kernels and with twins.
    fn check(&self, salt: u64, trains: u32) {
        let inputs = self.inputs(salt, trains);
        let compute = Compute::new(self.precision);
        let got = evaluate(&inputs, &|t| self.run(t, &compute));
        if self.rows == 0 {
            return nothing(&got);
        }
        let want = ops::with_twins(|| evaluate(&inputs, &|t| self.run(t, &compute)));
        // Gradients of factors sum one term per row and output, of size 0.3 or so.
        let widest = self.parts.iter().map(|part| part.0).max().unwrap();
        let sum = 0.3 * ((self.rows * widest) as f32).sqrt();
        match self.precision {
            Precision::F32 => {
                assert_eq!(got.format, DType::F32);
                same_beside(&got, &want, (1e-5, sum.max(1.0)));
            }
            Precision::Bf16 => {
                assert_eq!(got.format, DType::BF16);
                // What an update makes of its input is rounded, which the twin does not do.
                let updated = self.parts.iter().any(|part| part.1 > 0);
                let tolerance = if updated { 2.5e-2 } else { 1.5e-2 };
                same_beside(&got, &want, (tolerance, sum.max(1.0)));
                alike(&got, &want);
            }
        }
    }
}

/// Parts whose panels lie side by side, and parts whose panels do not.
fn parts() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let rank = || select(vec![0usize, 0, 1, 4, 9]);
    let whole = prop::collection::vec((select(vec![32usize, 64, 96]), rank()), 1..=3);
    let ragged = prop::collection::vec((select(vec![1usize, 5, 20, 32, 33, 70]), rank()), 1..=3);
    prop_oneof![whole, ragged]
}

fn layers(precision: Precision) -> impl Strategy<Value = Layer> {
    let rows = select(vec![0usize, 1, 2, 3, 13, 31, 97, 211]);
    let input = select(vec![1usize, 3, 8, 17, 32, 48, 131, 384]);
    let dropped = any::<bool>();
    (rows, input, parts(), select(ACTIVATIONS.to_vec()), dropped).prop_map(
        move |(rows, input, parts, activation, dropped)| Layer {
            rows,
            input,
            dropped: dropped && parts.iter().any(|part| part.1 > 0),
            // An update is rounded to bf16 on its way, which moves sums across the kink of ReLU.
            activation: match activation {
                Activation::Relu
                    if precision == Precision::Bf16 && parts.iter().any(|part| part.1 > 0) =>
                {
                    Activation::Silu
                }
                other => other,
            },
            parts,
            precision,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn f32_equals_its_twin(layer in layers(Precision::F32), salt in 0u64..1000, trains in any::<u32>()) {
        layer.check(salt, trains);
    }

    #[test]
    fn bf16_equals_its_twin(layer in layers(Precision::Bf16), salt in 0u64..1000, trains in any::<u32>()) {
        layer.check(salt, trains);
    }
}

#[test]
fn every_activation_and_every_number_of_parts_with_and_without_updates() {
    for precision in [Precision::F32, Precision::Bf16] {
        for activation in ACTIVATIONS {
            for parts in [
                vec![(64, 0)],
                vec![(40, 0), (33, 0)],
                vec![(32, 0), (64, 0), (7, 0)],
                vec![(32, 4), (64, 0), (32, 9)],
                vec![(20, 0), (12, 3), (5, 0)],
            ] {
                let updated = parts.iter().any(|part| part.1 > 0);
                if updated && precision == Precision::Bf16 && activation == Activation::Relu {
                    continue;
                }
                let layer = Layer {
                    rows: 113,
                    input: 40,
                    parts,
                    activation,
                    precision,
                    dropped: updated,
                };
                layer.check(7, u32::MAX);
            }
        }
    }
}

/// bf16 operands are the nearest numbers, ties to even, whatever format they come in.
#[test]
fn bf16_rounds_its_operands_to_nearest() {
    let layer = Layer {
        rows: 37,
        input: 50,
        parts: vec![(45, 0)],
        activation: Activation::Gelu,
        precision: Precision::F32,
        dropped: false,
    };
    let raw = layer.inputs(3, 0);
    let run = |inputs: &[Input], came: DType| {
        let mut tensors: Vec<Tensor<2>> = inputs
            .iter()
            .map(|input| matrix(&input.values, input.dims, false))
            .collect();
        tensors[0] = tensors[0].clone().cast(came);
        host(layer.run(&tensors, &Compute::new(Precision::Bf16)))
    };
    let mut rounded = raw.clone();
    for i in [0, 1] {
        rounded[i] = rounded[i].clone().within(Precision::Bf16);
    }
    let want = run(&rounded, DType::F32);
    assert_eq!(run(&raw, DType::F32), want);
    assert_eq!(run(&rounded, DType::BF16), want);
    assert!(want.iter().all(|v| bf16::from_f32(*v).to_f32() == *v));
}

/// x reaches the updates through an operation of its own: both gradients meet at x, in the format of x.
#[test]
fn updates_that_read_a_changed_input_send_their_gradient_back() {
    for precision in [Precision::F32, Precision::Bf16] {
        let layer = Layer {
            rows: 37,
            input: 40,
            parts: vec![(32, 4), (64, 0), (32, 9)],
            activation: Activation::Gelu,
            precision,
            dropped: true,
        };
        let inputs: Vec<Input> = layer.inputs(11, u32::MAX);
        let inputs: Vec<Input> = inputs
            .into_iter()
            .filter(|input| input.name != "dropped")
            .collect();
        let compute = Compute::new(precision);
        let run = |t: &[Tensor<2>]| {
            let mut all = vec![t[0].clone(), t[0].clone() * 0.5];
            all.extend_from_slice(&t[1..]);
            layer.run(&all, &compute)
        };
        let got = evaluate(&inputs, &run);
        let want = ops::with_twins(|| evaluate(&inputs, &run));
        let tolerance = if precision == Precision::F32 {
            1e-5
        } else {
            2.5e-2
        };
        same_beside(&got, &want, (tolerance, 18.0));
    }
}
