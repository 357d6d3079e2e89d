//! Packed weights that are kept while they do not train: never out of date.

use burn::tensor::Tensor;
use retune::ops::{
    self, Activation, AdamW, Affine, Compute, Gradient, LowRank, Moments, Precision,
};

use super::case::{Input, draw, evaluate, host, matrix, near, vector};

const ROWS: usize = 29;
const INPUT: usize = 48;
const OUT: usize = 64;

fn affine(weight: &Tensor<2>) -> Affine {
    let bias = matrix(&draw(OUT, 8), [1, OUT], true);
    Affine {
        weight: weight.clone(),
        bias: vector(&bias),
        low_rank: None,
    }
}

/// Result and gradient of x of frozen `parts`.
fn pass(parts: &[Affine], compute: &Compute) -> (Vec<f32>, Vec<f32>) {
    let x = Input::new("x", [ROWS, INPUT], 1);
    let outcome = evaluate(&[x], &|t| {
        ops::linear(t[0].clone(), parts, None, Activation::Gelu, compute)
    });
    (outcome.out, outcome.gradients[0].1.clone())
}

/// Asserts that kept panels give what a layer without any gives, to the bit, twice.
fn fresh(parts: &[Affine], kept: &Compute) {
    let want = pass(parts, &Compute::new(kept.precision));
    assert_eq!(pass(parts, kept), want);
    assert_eq!(pass(parts, kept), want);
}

fn weight(salt: u64) -> Tensor<2> {
    matrix(&draw(OUT * INPUT, salt), [OUT, INPUT], true)
}

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

#[test]
fn a_new_weight_is_seen() {
    for precision in PRECISIONS {
        let compute = Compute::new(precision);
        // Each weight is dropped before the next is made: its memory is likely to be used again.
        for salt in 0..12 {
            fresh(&[affine(&weight(salt))], &compute);
        }
        let [a, b] = [weight(50), weight(51)];
        for parts in [[&a, &b], [&b, &a], [&a, &a]] {
            fresh(&parts.map(affine), &compute);
        }
        fresh(&[affine(&a)], &compute);
    }
}

#[test]
fn the_other_format_is_packed_anew() {
    let a = weight(3);
    let single = Compute::new(Precision::F32);
    let half = Compute {
        precision: Precision::Bf16,
        panels: single.panels.clone(),
    };
    for _ in 0..2 {
        fresh(&[affine(&a)], &single);
        fresh(&[affine(&a)], &half);
    }
}

/// A step of the optimiser writes in place where it can.
fn stepped(weight: Tensor<2>, step: u64) -> Tensor<2> {
    let value = vector(&weight.inner());
    let gradient = Gradient::Dense(vector(&matrix(
        &draw(OUT * INPUT, step),
        [OUT, INPUT],
        false,
    )));
    let moments = Moments::zero(&value, &gradient);
    let c = AdamW {
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.01,
        step: 1,
        grad_scale: 1.0,
    };
    let (value, _) = ops::adamw(value, gradient, moments, &c);
    Tensor::from_inner(value.reshape([OUT, INPUT]))
}

#[test]
fn a_step_on_a_weight_whose_panels_were_kept_is_seen() {
    for precision in PRECISIONS {
        let compute = Compute::new(precision);
        let mut moving = weight(4);
        for step in 1..5 {
            let before = pass(&[affine(&moving)], &compute);
            moving = stepped(moving, step);
            fresh(&[affine(&moving)], &compute);
            assert_ne!(pass(&[affine(&moving)], &compute), before);
        }
    }
}

/// As training goes: passes that train, a step in place, validation that keeps panels, and again.
#[test]
fn training_and_validation_by_turns() {
    for precision in PRECISIONS {
        let compute = Compute::new(precision);
        let mut moving = weight(5);
        for step in 1..5 {
            moving = moving.require_grad();
            let trained = pass(&[affine(&moving)], &compute);
            assert_eq!(trained, pass(&[affine(&moving)], &Compute::new(precision)));
            moving = stepped(moving, step);
            fresh(&[affine(&moving)], &compute);
            moving = stepped(moving, step + 10);
        }
    }
}

/// Updated weights live in memory of their own: changing only a factor has to show.
#[test]
fn new_factors_of_a_frozen_layer_are_seen() {
    for precision in PRECISIONS {
        let compute = Compute::new(precision);
        let base = weight(6);
        for salt in 0..6 {
            let mut part = affine(&base);
            part.low_rank = Some(LowRank {
                down: matrix(&draw(4 * INPUT, salt), [4, INPUT], true),
                up: matrix(&draw(OUT * 4, salt + 1), [OUT, 4], true),
                scale: 0.5,
            });
            fresh(&[part], &compute);
            fresh(&[affine(&base)], &compute);
        }
    }
}

/// Outside the gradient graph, as predictions are made.
#[test]
fn frozen_layers_outside_the_graph() {
    let x = matrix(&draw(ROWS * INPUT, 1), [ROWS, INPUT], false);
    let bias = || vector(&matrix(&draw(OUT, 8), [1, OUT], false));
    let compute = Compute::new(Precision::F32);
    for salt in 0..6 {
        let part = Affine {
            weight: weight(salt).inner(),
            bias: bias(),
            low_rank: None,
        };
        let run = || {
            let part = std::slice::from_ref(&part);
            host(ops::linear(
                x.clone(),
                part,
                None,
                Activation::Tanh,
                &compute,
            ))
        };
        let want = ops::with_twins(run);
        near("first", &run(), &want, 1e-5);
        near("second", &run(), &want, 1e-5);
    }
}
