//! Inputs of an operation, what it makes of them with every gradient, and comparing that of two engines.

use std::sync::Arc;

use burn::tensor::{DType, Tensor, TensorData};
use half::bf16;
use retune::ops::{self, Dropout, Lengths, Precision};
use retune::scoring;
use retune_kernels::dropout::{Stream, mix};

/// `n` numbers evenly from -2 to 2.
pub fn draw(n: usize, salt: u64) -> Vec<f32> {
    let value = |i| (mix(salt << 32 | i) >> 40) as f32 / 4_194_304.0 - 2.0;
    (0..n as u64).map(value).collect()
}

/// An input of an operation.
#[derive(Debug, Clone)]
pub struct Input {
    /// What it is, for messages.
    pub name: String,
    /// Rows and columns.
    pub dims: [usize; 2],
    /// Values, `[rows, columns]`.
    pub values: Vec<f32>,
    /// Whether its gradient is asked for.
    pub trains: bool,
}

impl Input {
    /// Random values.
    pub fn new(name: &str, dims: [usize; 2], salt: u64) -> Self {
        Self {
            name: name.to_string(),
            dims,
            values: draw(dims[0] * dims[1], salt),
            trains: true,
        }
    }

    /// The same times `factor`.
    pub fn times(mut self, factor: f32) -> Self {
        self.values.iter_mut().for_each(|v| *v *= factor);
        self
    }

    /// Rounded to what `precision` represents: a reference in f32 then starts from the same numbers.
    pub fn within(mut self, precision: Precision) -> Self {
        if precision == Precision::Bf16 {
            self.values
                .iter_mut()
                .for_each(|v| *v = bf16::from_f32(*v).to_f32());
        }
        self
    }

    fn tensor(&self) -> Tensor<2> {
        let tensor = matrix(&self.values, self.dims, true);
        if self.trains {
            tensor.require_grad()
        } else {
            tensor
        }
    }
}

/// A matrix on the CPU, on the device with gradients when `graph`.
pub fn matrix(values: &[f32], dims: [usize; 2], graph: bool) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), dims), &scoring::cpu(graph))
}

/// A matrix of one row or column as a vector.
pub fn vector(x: &Tensor<2>) -> Tensor<1> {
    let [rows, cols] = x.dims();
    x.clone().reshape([rows * cols])
}

/// Values on the host in f32.
pub fn host<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().convert::<f32>().try_to_vec().unwrap()
}

/// An operation of some inputs.
pub type Op<'a> = &'a dyn Fn(&[Tensor<2>]) -> Tensor<2>;

/// What an operation makes of its inputs.
#[derive(Debug)]
pub struct Outcome {
    /// The result, flat.
    pub out: Vec<f32>,
    /// The format it came in.
    pub format: DType,
    /// Name and gradient of each input that trains, of the result weighted by [`weighting`] and summed.
    pub gradients: Vec<(String, Vec<f32>)>,
}

/// Factors of the values of a result of `n` values.
pub fn weighting(n: usize) -> Vec<f32> {
    draw(n, 999)
}

/// The result and the gradients of `op`.
pub fn evaluate(inputs: &[Input], op: Op<'_>) -> Outcome {
    let tensors: Vec<Tensor<2>> = inputs.iter().map(Input::tensor).collect();
    let result = op(&tensors);
    let format = result.dtype();
    let out = host(result.clone());
    let mut gradients = Vec::new();
    if inputs.iter().any(|input| input.trains) {
        let weights = matrix(&weighting(out.len()), result.dims(), true);
        let tape = (result.cast(DType::F32) * weights).sum().backward();
        for (input, tensor) in inputs.iter().zip(&tensors).filter(|(i, _)| i.trains) {
            let gradient = tensor.grad(&tape);
            let gradient = gradient.unwrap_or_else(|| panic!("{} has no gradient", input.name));
            assert_eq!(gradient.dims(), input.dims, "{}", input.name);
            gradients.push((input.name.clone(), host(gradient)));
        }
    }
    Outcome {
        out,
        format,
        gradients,
    }
}

/// Asserts that two outcomes agree: every number within `tolerance` times the largest of its tensor.
pub fn same(got: &Outcome, want: &Outcome, tolerance: f32) {
    same_beside(got, want, (tolerance, FLOOR));
}

/// [`same`], where a tensor's largest value counts as at least `floor`: sums of many terms may all happen to
/// be small.
pub fn same_beside(got: &Outcome, want: &Outcome, (tolerance, floor): (f32, f32)) {
    near_beside("result", &got.out, &want.out, (tolerance, FLOOR));
    assert_eq!(got.gradients.len(), want.gradients.len());
    for ((name, got), (_, want)) in got.gradients.iter().zip(&want.gradients) {
        near_beside(
            &format!("gradient of {name}"),
            got,
            want,
            (tolerance, floor),
        );
    }
}

/// Asserts that larger tensors are near in L2: rounding to bf16 is off by 2^-9 at most, and errors of many
/// numbers do not add up.
pub fn alike(got: &Outcome, want: &Outcome) {
    let pairs = got.gradients.iter().zip(&want.gradients);
    let pairs = pairs.map(|((name, got), (_, want))| (name.as_str(), got, want));
    for (name, got, want) in pairs.chain([("result", &got.out, &want.out)]) {
        // All values of a factor of rank 1 may hang on one number.
        if name.starts_with("down") || name.starts_with("up") {
            continue;
        }
        let square = |x: f32| f64::from(x).powi(2);
        let size: f64 = want.iter().copied().map(square).sum();
        let off: f64 = got.iter().zip(want).map(|(g, w)| square(g - w)).sum();
        let least = f64::from(FLOOR) * (want.len() as f64).sqrt();
        assert!(
            want.len() < 64 || off.sqrt() <= 2e-2 * size.sqrt().max(least),
            "{name} is off by {} of {}",
            off.sqrt(),
            size.sqrt()
        );
    }
}

/// Asserts what no rows give: no values, and gradients of zero. Burn's sums over no rows panic in the backward
/// pass, so there is no twin to ask.
pub fn nothing(got: &Outcome) {
    assert!(got.out.is_empty());
    for (name, gradient) in &got.gradients {
        assert!(
            gradient.iter().all(|v| *v == 0.0),
            "gradient of {name}: {gradient:?}"
        );
    }
}

/// Asserts that numbers agree: each within `tolerance` times the largest.
pub fn near(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    near_beside(what, got, want, (tolerance, FLOOR));
}

/// What the largest value of a tensor counts as when it is smaller: gradients may all be zero.
const FLOOR: f32 = 0.1;

fn near_beside(what: &str, got: &[f32], want: &[f32], (tolerance, floor): (f32, f32)) {
    assert_eq!(got.len(), want.len(), "{what}: sizes");
    let largest = want.iter().fold(floor, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= tolerance * largest,
            "{what}[{i}]: {g} and {w}, of at most {largest}"
        );
    }
}

/// Dropout of probability `p` for sequences with keys of their own.
pub fn dropout(p: f64, sequences: usize, salt: u64) -> Dropout {
    Dropout {
        p,
        stream: Stream {
            seed: 11 + salt,
            step: 3,
            site: 2,
        },
        keys: Arc::new((0..sequences as u64).map(|key| mix(key + salt)).collect()),
    }
}

/// Lengths of `sequences` sequences of `tokens` tokens in all, as even as they can be.
pub fn split(tokens: usize, sequences: usize) -> Lengths {
    let length = |i: usize| (tokens * (i + 1) / sequences - tokens * i / sequences) as u32;
    Lengths::new((0..sequences).map(length).collect())
}

/// Every precision.
pub const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

fn format(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
    }
}

/// Asserts that an operation gives the same with kernels in `precision` as with twins in f32.
pub fn check(
    inputs: &[Input],
    precision: Precision,
    op: &dyn Fn(&[Tensor<2>], DType) -> Tensor<2>,
) {
    let with = |format: DType| move |t: &[Tensor<2>]| op(t, format);
    let (ours, theirs) = (with(format(precision)), with(DType::F32));
    let got = evaluate(inputs, &ours as Op<'_>);
    let want = ops::with_twins(|| evaluate(inputs, &theirs as Op<'_>));
    let tolerance = if precision == Precision::F32 {
        1e-5
    } else {
        1e-2
    };
    same(&got, &want, tolerance);
}
