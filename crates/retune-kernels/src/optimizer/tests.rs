//! AdamW against PyTorch and its formula; rows against whole tables, bit by bit.

use super::*;
use crate::embedding::scatter;
use crate::trial;

const BASE: AdamW = AdamW {
    lr: 1e-2,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.01,
    step: 0,
    grad_scale: 0.5,
};

/// The formula in f64, as `torch.optim.AdamW` documents it.
fn plain(p: f64, grads: &[f64], c: &AdamW) -> f64 {
    let (mut p, mut m, mut v) = (p, 0.0, 0.0);
    for (i, g) in grads.iter().enumerate() {
        let step = (i + 1) as f64;
        p -= c.lr * c.weight_decay * p;
        m = c.beta1 * m + (1.0 - c.beta1) * g;
        v = c.beta2 * v + (1.0 - c.beta2) * g * g;
        let mh = m / (1.0 - c.beta1.powf(step));
        let vh = v / (1.0 - c.beta2.powf(step));
        p -= c.lr * mh / (vh.sqrt() + c.eps);
    }
    p
}

/// A parameter with its moments.
#[derive(Debug, Clone, PartialEq)]
struct State {
    p: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    seen: Vec<bool>,
}

impl State {
    fn new(rows: usize, width: usize) -> Self {
        let n = rows * width;
        Self {
            p: trial::numbers(n, 1),
            m: vec![0.0; n],
            v: vec![0.0; n],
            seen: vec![false; rows],
        }
    }

    fn step(&mut self, isa: Isa, grad: &[f32], c: &AdamW) {
        adamw_on(isa, &mut self.p, grad, &mut self.m, &mut self.v, c);
    }

    fn step_rows(&mut self, isa: Isa, grad: &RowGradient, c: &AdamW) {
        let table = Rows {
            param: &mut self.p,
            m: &mut self.m,
            v: &mut self.v,
            seen: &mut self.seen,
        };
        adamw_rows_on(isa, table, grad, c);
    }

    fn bits(&self) -> [Vec<u32>; 3] {
        [&self.p, &self.m, &self.v].map(|x| trial::bits(x))
    }
}

#[test]
fn follows_the_formula_over_several_steps() {
    for n in [0, 1, 17, BLOCK + 3] {
        let grad = |i: usize, step: usize| ((i + 3 * step) as f32 * 0.31).cos();
        let start = State::new(1, n);
        trial::same_everywhere(|isa| {
            let mut state = start.clone();
            for step in 1..=4 {
                let g: Vec<f32> = (0..n).map(|i| grad(i, step)).collect();
                let step = step as u64;
                state.step(isa, &g, &AdamW { step, ..BASE });
            }
            let want: Vec<f64> = (0..n)
                .map(|i| {
                    let grads: Vec<f64> = (1..=4).map(|s| 0.5 * f64::from(grad(i, s))).collect();
                    plain(f64::from(start.p[i]), &grads, &BASE)
                })
                .collect();
            trial::near(&trial::wide(&state.p), &want, 2e-6);
            state.bits()
        });
    }
}

#[test]
fn three_steps_are_those_of_torch() {
    let mut p = [0.5, -1.0, 2.0];
    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    for step in 1..=3u8 {
        let s = f32::from(step - 1);
        let grad = [0.3, -0.2, 0.0].map(|g: f32| g * (s + 1.0) - 0.1 * s);
        let c = AdamW {
            lr: 0.1,
            beta2: 0.99,
            weight_decay: 0.1,
            step: step.into(),
            grad_scale: 1.0,
            ..BASE
        };
        adamw(&mut p, &grad, &mut m, &mut v, &c);
    }
    // `torch.optim.AdamW`, PyTorch 2.15.
    let want = [0.192_457_885, -0.686_131_716, 2.096_660_38];
    trial::near(&trial::wide(&p), &want, 3e-7);
}

/// Gradients of some rows, different ones each step, and of none in between.
fn gradient(rows: usize, width: usize, step: u64) -> RowGradient {
    let tokens = [rows / 2, 0, 3.min(rows)][step as usize % 3];
    let half = (rows / 2).max(1) as u64;
    let ids: Vec<u32> = (0..tokens as u64)
        .map(|i| ((i * 37 + step * 11) % half) as u32)
        .collect();
    scatter(&ids, &trial::numbers(tokens * width, 2 + step), width)
}

#[test]
fn rows_get_the_bits_of_the_whole_table() {
    let odd = [
        BASE,
        AdamW {
            weight_decay: 0.0,
            ..BASE
        },
        AdamW {
            weight_decay: 0.0,
            grad_scale: 0.0,
            ..BASE
        },
        AdamW { eps: 0.0, ..BASE },
        AdamW {
            grad_scale: f64::INFINITY,
            ..BASE
        },
        AdamW { lr: 0.0, ..BASE },
    ];
    for (rows, width) in [(0, 3), (1, 1), (7, 5), (300, 129), (9, 1031)] {
        for c in odd {
            let mut dense = State::new(rows, width);
            let mut states = vec![dense.clone(); Isa::available().len()];
            for step in 1..=7 {
                let (grad, c) = (gradient(rows, width, step), AdamW { step, ..c });
                dense.step(Isa::current(), &grad.dense(rows), &c);
                for (isa, state) in Isa::available().into_iter().zip(&mut states) {
                    state.step_rows(isa, &grad, &c);
                    assert!(
                        state.bits() == dense.bits(),
                        "{rows} x {width}, step {step}, {c:?}"
                    );
                }
            }
            // Some rows were seen and some were not.
            assert!(rows < 7 || (states[0].seen[0] && !states[0].seen[rows - 1]));
        }
    }
}

#[test]
fn tables_are_the_same_for_any_number_of_threads() {
    let (rows, width) = (700, 65);
    trial::same_everywhere(|isa| {
        let mut state = State::new(rows, width);
        for step in 1..=4 {
            let c = AdamW { step, ..BASE };
            state.step_rows(isa, &gradient(rows, width, step), &c);
        }
        (state.bits(), state.seen)
    });
}

#[test]
fn rows_with_moments_are_those_seen() {
    let mut state = State::new(40, 3);
    for step in 1..=3 {
        state.step_rows(
            Isa::current(),
            &gradient(40, 3, step),
            &AdamW { step, ..BASE },
        );
    }
    assert_eq!(seen_rows(&state.m, &state.v, 3), state.seen);
    assert!(state.seen.contains(&true) && state.seen.contains(&false));
}

#[test]
fn moments_end_at_zero_instead_of_as_denormals() {
    let (mut p, mut m, mut v) = ([1.0], [2e-38], [1.2e-38]);
    for step in 1..=30 {
        adamw(&mut p, &[0.0], &mut m, &mut v, &AdamW { step, ..BASE });
    }
    assert_eq!((m, v), ([0.0], [0.0]));
}

#[test]
fn what_is_not_finite_shows() {
    let mut state = State::new(1, 2);
    state.step(Isa::current(), &[f32::NAN, 1.0], &AdamW { step: 1, ..BASE });
    assert!(state.p[0].is_nan() && state.m[0].is_nan() && state.v[0].is_nan());
    assert!(state.p[1].is_finite());
}

#[test]
#[should_panic(expected = "adamw: a table of 6 values for 4 rows of 2")]
fn lengths_are_checked() {
    let mut state = State::new(3, 2);
    state.seen.push(false);
    state.step_rows(Isa::current(), &scatter(&[], &[], 2), &BASE);
}
