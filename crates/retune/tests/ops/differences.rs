//! Gradients against finite differences of the operations' own results.
//!
//! Five points, `(8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h`, with the weighted sum of the results in f64:
//! its error falls with the fourth power of `h`, and the results' rounding (1e-7 of them) is divided by `h`.

use std::sync::Arc;

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use retune::nn::Embedding;
use retune::ops::{self, Activation, Compute, Heads, Lengths, Norm, Precision, RowSink};
use retune::scoring;

use super::case::{
    Input, Op, draw, dropout, evaluate, host, matrix, near, split, vector, weighting,
};
use super::cross_entropy::{loss, targets};
use super::linear::{ACTIVATIONS, Layer};
use super::ranking::Ranking;

const H: f32 = 1.0 / 16.0;
/// Relative to the largest value of a gradient.
const TOLERANCE: f32 = 3e-4;

/// Slope of `f` at `x`.
fn slope(x: f32, f: &mut dyn FnMut(f32) -> f64) -> f32 {
    let mut between = |h: f32| f(x + h) - f(x - h);
    let (near, far) = (between(H), between(2.0 * H));
    ((8.0 * near - far) / (12.0 * f64::from(H))) as f32
}

fn weighted(out: &[f32]) -> f64 {
    let terms = out.iter().zip(weighting(out.len()));
    terms.map(|(y, w)| f64::from(*y) * f64::from(w)).sum()
}

/// Asserts that every gradient of `op` is its slope.
fn check(what: &str, inputs: &[Input], op: Op<'_>) {
    let gradients = evaluate(inputs, op).gradients;
    assert_eq!(gradients.len(), inputs.len());
    for (which, (name, gradient)) in gradients.iter().enumerate() {
        let mut moved: Vec<Input> = inputs.to_vec();
        for input in &mut moved {
            input.trains = false;
        }
        let slopes: Vec<f32> = (0..gradient.len())
            .map(|i| {
                let x = inputs[which].values[i];
                let slope = slope(x, &mut |x| {
                    moved[which].values[i] = x;
                    weighted(&evaluate(&moved, op).out)
                });
                moved[which].values[i] = x;
                slope
            })
            .collect();
        near(&format!("{what}: {name}"), gradient, &slopes, TOLERANCE);
    }
}

#[test]
fn linear() {
    for activation in ACTIVATIONS {
        for parts in [vec![(5, 0)], vec![(32, 2), (3, 0)], vec![(4, 0), (3, 2)]] {
            let layer = Layer {
                rows: 4,
                input: 3,
                parts,
                activation,
                precision: Precision::F32,
                dropped: false,
            };
            let mut inputs = layer.inputs(2, u32::MAX);
            if activation == Activation::Relu {
                // Far from the kink, where the slope of the difference is another.
                for bias in inputs.iter_mut().filter(|i| i.name.starts_with("bias")) {
                    let far = |v: &mut f32| *v = v.signum() * 12.0;
                    bias.values.iter_mut().for_each(far);
                }
            }
            let compute = Compute::new(Precision::F32);
            check(&format!("{activation:?}"), &inputs, &|t| {
                layer.run(t, &compute)
            });
        }
    }
}

#[test]
fn attention() {
    for (causal, p) in [(false, 0.0), (true, 0.0), (false, 0.3), (true, 0.3)] {
        let heads = Heads {
            heads: 4,
            kv_heads: 2,
            size: 3,
            causal,
        };
        let inputs = [Input::new("qkv", [8, heads.width()], 3)];
        let (lengths, rate) = (Lengths::new(vec![5, 1, 2]), dropout(p, 3, 1));
        check(&format!("causal {causal}, dropout {p}"), &inputs, &|t| {
            ops::attention(t[0].clone(), &lengths, heads, &rate)
        });
    }
}

#[test]
fn add_norm() {
    let dims = [4, 24];
    let all = [
        Input::new("x", dims, 1),
        Input::new("gamma", [1, 24], 2),
        Input::new("beta", [1, 24], 3),
        Input::new("residual", dims, 4),
    ];
    for (count, p) in [(3, None), (4, None), (3, Some(0.3)), (4, Some(0.3))] {
        let (lengths, rate) = (split(4, 2), p.map(|p| dropout(p, 2, 1)));
        check(
            &format!("{count} inputs, dropout {p:?}"),
            &all[..count],
            &|t| {
                let norm = Norm {
                    gamma: vector(&t[1]),
                    beta: vector(&t[2]),
                    eps: 1e-5,
                };
                let rate = rate.as_ref().map(|rate| (&lengths, rate));
                ops::add_norm(t[0].clone(), t.get(3).cloned(), norm, rate)
            },
        );
    }
}

#[test]
fn what_acts_on_rows() {
    let inputs = [Input::new("x", [6, 5], 5)];
    let lengths = Lengths::new(vec![1, 3, 2]);
    let (rate, each) = (dropout(0.4, 3, 1), dropout(0.4, 6, 1));
    check("dropout", &inputs, &|t| {
        ops::dropout(t[0].clone(), &lengths, &rate)
    });
    check("dropout of rows", &inputs, &|t| {
        ops::dropout_rows(t[0].clone(), &each)
    });
    check("mean", &inputs, &|t| {
        ops::segment_mean(t[0].clone(), &lengths)
    });
    let longer = Lengths::new(vec![4, 2]);
    check("mean without the first row", &inputs, &|t| {
        ops::segment_mean_from(t[0].clone(), &longer, 1)
    });
    check("first", &inputs, &|t| {
        ops::segment_first(t[0].clone(), &lengths)
    });
}

#[test]
fn cross_entropy() {
    let inputs = [Input::new("logits", [7, 4], 5)];
    let (targets, weights) = targets(7, 4, 1);
    check("loss", &inputs, &|t| loss(&t[0], &targets, &weights));
}

#[test]
fn ranking() {
    for drawn in [false, true] {
        let ranking = Ranking::new((5, 3, 7), drawn, Precision::F32, 1);
        let inputs = ranking.inputs();
        check(&format!("drawn {drawn}"), &inputs, &|t| ranking.loss(t));
    }
}

#[test]
fn embedding() {
    let (dims, ids) = (
        [5, 3],
        [Arc::new(vec![4, 0, 4, 2]), Arc::new(vec![1, 4, 0, 0])],
    );
    let result = |values: &[f32], sink: &RowSink| -> (Embedding, Tensor<2>) {
        let data = TensorData::new(values.to_vec(), dims);
        let table = Embedding {
            weight: Param::from_data(data, &scoring::cpu(true)),
        };
        let sum = ops::embedding(&[table.at(&ids[0]), table.at(&ids[1])], sink);
        (table, sum)
    };
    let start = draw(15, 6);
    let sink = RowSink::default();
    let (table, sum) = result(&start, &sink);
    let weights = matrix(&weighting(12), [4, 3], true);
    (sum * weights).sum().backward();
    let gradient = sink.take(table.weight.id).unwrap().dense(5);
    let slope_of = |i: usize| {
        slope(start[i], &mut |x| {
            let mut moved = start.clone();
            moved[i] = x;
            weighted(&host(result(&moved, &RowSink::default()).1))
        })
    };
    let slopes: Vec<f32> = (0..15).map(slope_of).collect();
    near("table", &gradient, &slopes, TOLERANCE);
}

#[test]
fn product() {
    let inputs = [Input::new("a", [3, 5], 1), Input::new("b", [3, 5], 2)];
    check("product", &inputs, &|t| {
        ops::product(t[0].clone(), t[1].clone())
    });
}
