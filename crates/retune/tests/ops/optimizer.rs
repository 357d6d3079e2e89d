//! AdamW steps with gradients that hold rows only, and steps beside handles of the same memory.

use burn::tensor::Tensor;
use proptest::prelude::*;
use retune::ops::{self, AdamW, Gradient, Moments, reference};
use retune::scoring;
use retune_kernels::dropout::mix;
use retune_kernels::embedding::scatter;

use super::case::{draw, host, matrix, near, vector};

fn settings(step: u64) -> AdamW {
    AdamW {
        lr: 1e-2,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.1,
        step,
        grad_scale: 0.5,
    }
}

fn flat(values: &[f32]) -> Tensor<1> {
    vector(&matrix(values, [1, values.len()], false))
}

/// A parameter on its way: value and moments.
struct Trained {
    value: Tensor<1>,
    moments: Option<Moments>,
}

impl Trained {
    fn step(&mut self, gradient: Gradient, c: &AdamW) {
        let moments = self.moments.take();
        let moments = moments.unwrap_or_else(|| Moments::zero(&self.value, &gradient));
        let (value, moments) = ops::adamw(self.value.clone(), gradient, moments, c);
        self.value = value;
        self.moments = Some(moments);
    }

    fn bits(&self) -> Vec<u32> {
        let moments = self.moments.clone().unwrap();
        let all = [self.value.clone(), moments.first, moments.second];
        all.map(host).concat().iter().map(|v| v.to_bits()).collect()
    }
}

/// Gradient of step `step`: a few rows.
fn rows(of: [usize; 2], step: u64, salt: u64) -> Gradient {
    let tokens = (mix(salt + step) % 9) as usize;
    let id = |token: usize| (mix(salt * 31 + step * 7 + token as u64) % of[0] as u64) as u32;
    let ids: Vec<u32> = (0..tokens).map(id).collect();
    let rows = scatter(&ids, &draw(tokens * of[1], salt + step), of[1]);
    Gradient::Rows { rows, of }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// With rows, dense, with twins, and with one dense step in between.
    #[test]
    fn steps_with_rows_equal_dense_ones_to_the_bit(table in 1usize..60, width in 1usize..40, odd in 1u64..7, salt in 0u64..1000) {
        let of = [table, width];
        let start = draw(table * width, salt);
        let begin = || Trained { value: flat(&start), moments: None };
        let (mut sparse, mut whole, mut mixed, mut twin) = (begin(), begin(), begin(), begin());
        for step in 1..=7 {
            let c = settings(step);
            let gradient = || rows(of, step, salt);
            let dense = || Gradient::Dense(gradient().dense(&scoring::cpu(false)));
            sparse.step(gradient(), &c);
            whole.step(dense(), &c);
            mixed.step(if step == odd { dense() } else { gradient() }, &c);
            ops::with_twins(|| twin.step(gradient(), &c));
            prop_assert_eq!(sparse.bits(), whole.bits());
            prop_assert_eq!(mixed.bits(), whole.bits());
        }
        let seen = |trained: &Trained| trained.moments.as_ref().unwrap().seen.is_some();
        prop_assert!(seen(&sparse) && !seen(&twin), "the twin takes gradients dense");
        near("twin", &host(sparse.value), &host(twin.value), 1e-6);
    }

    #[test]
    fn a_step_equals_its_twin(n in 1usize..200, step in 1u64..50, salt in 0u64..99) {
        let c = settings(step);
        let (value, gradient) = (flat(&draw(n, salt)), flat(&draw(n, salt + 1)));
        let moments = || Moments {
            first: flat(&draw(n, salt + 2)) * 0.1,
            second: flat(&draw(n, salt + 3)).abs() * 0.1,
            seen: None,
        };
        let (fast, kept) = ops::adamw(value.clone(), Gradient::Dense(gradient.clone()), moments(), &c);
        let (plain, twin) = reference::adamw(value, gradient, moments(), &c);
        near("value", &host(fast), &host(plain), 1e-6);
        near("first moment", &host(kept.first), &host(twin.first), 1e-6);
        near("second moment", &host(kept.second), &host(twin.second), 1e-6);
    }
}

#[test]
fn sums_of_squares_equal_their_twin_also_over_several_blocks() {
    for n in [1, 1000, (1 << 20) + 7, 3 << 20] {
        let x = flat(&draw(n, 5));
        let (fast, plain) = (ops::sum_of_squares(x.clone()), reference::sum_of_squares(x));
        assert!(
            (fast - plain).abs() <= 1e-5 * plain,
            "{n}: {fast} and {plain}"
        );
    }
}

#[test]
fn a_step_leaves_shared_copies_of_a_parameter_alone() {
    let value = flat(&[1.0, 2.0, 3.0]);
    let kept = value.clone();
    let gradient = Gradient::Dense(flat(&[1.0, 1.0, 1.0]));
    let moments = Moments::zero(&value, &gradient);
    let (moved, _) = ops::adamw(value, gradient, moments, &settings(1));
    assert_eq!(host(kept), [1.0, 2.0, 3.0]);
    assert!(host(moved)[0] < 1.0);
}
