//! Batch norm against plain loops in f64 and their slopes.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::conv::twin;
use crate::trial;

const EPS: f32 = 1e-3;

/// Means and biased variances of columns.
fn exact_statistics(x: &[f64], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = (x.len() / channels) as f64;
    let column = |i: usize| x.iter().skip(i).step_by(channels);
    let mean: Vec<f64> = (0..channels)
        .map(|i| column(i).sum::<f64>() / rows)
        .collect();
    let off = |i: usize| column(i).map(|v| (v - mean[i]).powi(2)).sum::<f64>() / rows;
    let var = (0..channels).map(off).collect();
    (mean, var)
}

/// The norm by the statistics of x.
fn exact(x: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
    let channels = gamma.len();
    let (mean, var) = exact_statistics(x, channels);
    let at = |(i, x): (usize, &f64)| {
        let c = i % channels;
        (x - mean[c]) / (var[c] + f64::from(EPS)).sqrt() * gamma[c] + beta[c]
    };
    x.iter().enumerate().map(at).collect()
}

/// Everything that a pass forward and one backward write.
struct Passes<E> {
    y: Vec<E>,
    slope: Vec<E>,
    mean: Vec<f32>,
    inv_std: Vec<f32>,
    running: (Vec<f32>, Vec<f32>),
    dx: Vec<E>,
    dgamma: Vec<f32>,
    dbeta: Vec<f32>,
}

struct Case<E> {
    x: Vec<E>,
    dz: Vec<E>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl<E: Element> Case<E> {
    fn new(rows: usize, channels: usize, salt: u64) -> Self {
        Self {
            x: trial::elements(rows * channels, salt),
            dz: trial::elements(rows * channels, salt + 1),
            gamma: trial::numbers(channels, salt + 2),
            beta: trial::numbers(channels, salt + 3),
        }
    }

    fn run(&self, isa: Isa, activation: Activation, frozen: bool) -> Passes<E> {
        let (n, channels) = (self.x.len(), self.gamma.len());
        let wide = || vec![7e7; channels];
        let narrow = || vec![E::narrow(7e7); n];
        let mut out = Passes {
            y: narrow(),
            slope: narrow(),
            mean: wide(),
            inv_std: wide(),
            running: (vec![0.5; channels], vec![2.0; channels]),
            dx: narrow(),
            dgamma: wide(),
            dbeta: wide(),
        };
        let norm = BatchNorm {
            gamma: &self.gamma,
            beta: &self.beta,
            eps: EPS,
            activation,
        };
        let running = Running {
            mean: &mut out.running.0,
            var: &mut out.running.1,
            momentum: 0.1,
        };
        let saved = Saved {
            mean: &mut out.mean,
            inv_std: &mut out.inv_std,
        };
        let source = Source {
            x: &self.x,
            residual: None,
        };
        let results = (&mut out.y[..], &mut out.slope[..]);
        norm.forward(isa, source, Some(running), saved, results);
        let gradients = NormGradients {
            dx: &mut out.dx,
            dgamma: &mut out.dgamma,
            dbeta: &mut out.dbeta,
        };
        let saved = (&out.mean[..], &out.inv_std[..]);
        norm.backward(isa, (&self.x, &self.dz), saved, frozen, gradients);
        out
    }

    fn check(&self, tolerance: f64) {
        let channels = self.gamma.len();
        let rows = self.x.len() / channels;
        let (x, gamma, beta) = (
            trial::wide(&self.x),
            trial::wide(&self.gamma),
            trial::wide(&self.beta),
        );
        let want = exact(&x, &gamma, &beta);
        let (mean, var) = exact_statistics(&x, channels);
        let inv_std: Vec<f64> = var
            .iter()
            .map(|v| 1.0 / (v + f64::from(EPS)).sqrt())
            .collect();
        for isa in Isa::available() {
            let found = self.run(isa, Activation::None, false);
            trial::near(&trial::wide(&found.y), &want, tolerance);
            trial::near(&trial::wide(&found.mean), &mean, 1e-6);
            trial::near(&trial::wide(&found.inv_std), &inv_std, 1e-5);
            let moved: Vec<f64> = mean.iter().map(|m| 0.45 + 0.1 * m).collect();
            trial::near(&trial::wide(&found.running.0), &moved, 1e-6);
            let unbiased = rows as f64 / (rows as f64 - 1.0);
            let moved: Vec<f64> = var.iter().map(|v| 1.8 + 0.1 * v * unbiased).collect();
            trial::near(&trial::wide(&found.running.1), &moved, 1e-5);
        }
    }
}

#[test]
fn every_shape_gives_what_plain_loops_give() {
    for (rows, channels) in [(2, 1), (5, 3), (33, 17), (700, 33), (5000, 2), (40, 1025)] {
        Case::<f32>::new(rows, channels, 1).check(1e-5);
        Case::<bf16>::new(rows, channels, 1).check(5e-3);
    }
}

#[test]
fn gradients_are_slopes() {
    for (rows, channels) in [(4, 3), (9, 2), (2, 1)] {
        let case = Case::<f32>::new(rows, channels, 7);
        let found = case.run(Isa::current(), Activation::None, false);
        let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| -> f64 {
            let y = exact(x, gamma, beta);
            y.iter().zip(&case.dz).map(|(y, d)| y * f64::from(*d)).sum()
        };
        let (x, gamma, beta) = (
            trial::wide(&case.x),
            trial::wide(&case.gamma),
            trial::wide(&case.beta),
        );
        trial::is_gradient(&x, &trial::wide(&found.dx), |x| loss(x, &gamma, &beta));
        trial::is_gradient(&gamma, &trial::wide(&found.dgamma), |gamma| {
            loss(&x, gamma, &beta)
        });
        trial::is_gradient(&beta, &trial::wide(&found.dbeta), |beta| {
            loss(&x, &gamma, beta)
        });
        let frozen = case.run(Isa::current(), Activation::None, true);
        let factor = |i: usize| case.gamma[i % channels] * frozen.inv_std[i % channels];
        for (i, dx) in frozen.dx.iter().enumerate() {
            assert!((dx - case.dz[i] * factor(i)).abs() < 1e-6 * dx.abs().max(1.0));
        }
        assert_eq!((frozen.dgamma, frozen.dbeta), (found.dgamma, found.dbeta));
    }
}

#[test]
fn gradients_of_large_batches_are_those_of_the_formula() {
    let (rows, channels) = (3000, 19);
    let case = Case::<bf16>::new(rows, channels, 3);
    let (x, dz) = (trial::wide(&case.x), trial::wide(&case.dz));
    let (mean, var) = exact_statistics(&x, channels);
    let inv_std = |c: usize| 1.0 / (var[c] + f64::from(EPS)).sqrt();
    let normed = |i: usize| (x[i] - mean[i % channels]) * inv_std(i % channels);
    let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
    for i in 0..x.len() {
        dgamma[i % channels] += dz[i] * normed(i);
        dbeta[i % channels] += dz[i];
    }
    let dx = |i: usize| {
        let c = i % channels;
        let rest = (dbeta[c] + normed(i) * dgamma[c]) / rows as f64;
        f64::from(case.gamma[c]) * inv_std(c) * (dz[i] - rest)
    };
    let dx: Vec<f64> = (0..x.len()).map(dx).collect();
    for isa in Isa::available() {
        let found = case.run(isa, Activation::None, false);
        trial::near(&trial::wide(&found.dx), &dx, 5e-3);
        trial::near(&trial::wide(&found.dgamma), &dgamma, 1e-3);
        trial::near(&trial::wide(&found.dbeta), &dbeta, 1e-3);
    }
}

#[test]
fn results_are_the_same_everywhere() {
    for (rows, channels) in [(0, 3), (1, 17), (3000, 19), (100, 700)] {
        let case = Case::<bf16>::new(rows, channels, 3);
        trial::same_everywhere(|isa| {
            let found = case.run(isa, Activation::Silu, false);
            let narrow = [found.y, found.slope, found.dx].map(|v| trial::bits(&v));
            let wide = [found.mean, found.inv_std, found.dgamma, found.dbeta];
            let (mean, var) = found.running;
            (
                narrow,
                wide.map(|v| trial::bits(&v)),
                trial::bits(&mean),
                trial::bits(&var),
            )
        });
    }
}

#[test]
fn a_mean_far_from_zero_costs_no_digits_of_the_variance() {
    let (rows, channels) = (5000, 3);
    let x: Vec<f32> = trial::numbers(rows * channels, 5)
        .iter()
        .map(|v| v + 3000.0)
        .collect();
    let (mean, var) = exact_statistics(&trial::wide(&x), channels);
    for isa in Isa::available() {
        let (mut found_mean, mut found_var) = (vec![0.0; channels], vec![0.0; channels]);
        statistics(isa, &x, &mut found_mean, &mut found_var);
        trial::near(&trial::wide(&found_mean), &mean, 1e-7);
        trial::near(&trial::wide(&found_var), &var, 1e-5);
    }
}

#[test]
fn few_rows_move_what_they_have() {
    let case = Case::<f32>::new(1, 2, 1);
    let one = case.run(Isa::current(), Activation::None, false);
    assert_eq!(one.y, case.beta);
    assert_eq!(one.running.1, [2.0, 2.0]);
    assert!((one.running.0[0] - (0.45 + 0.1 * case.x[0])).abs() < 1e-6);
    let none = Case::<f32>::new(0, 2, 1).run(Isa::current(), Activation::None, false);
    assert_eq!(none.running, (vec![0.5; 2], vec![2.0; 2]));
    assert_eq!((none.dgamma, none.dbeta), (vec![0.0; 2], vec![0.0; 2]));
}

#[test]
fn a_value_that_is_not_finite_spoils_its_channel_and_no_other() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut case = Case::<bf16>::new(100, 18, 3);
        case.x[50 * 18 + 17] = bf16::from_f32(bad);
        for isa in Isa::available() {
            let found = case.run(isa, Activation::Relu, false);
            for (i, y) in found.y.iter().enumerate() {
                assert_eq!(y.is_nan(), i % 18 == 17);
            }
        }
    }
}

#[test]
fn the_residual_is_added_before_the_activation() {
    let norm = BatchNorm {
        gamma: &[1.0],
        beta: &[0.0],
        eps: 0.0,
        activation: Activation::Relu,
    };
    let (mut mean, mut inv_std) = ([0.0], [0.0]);
    let saved = Saved {
        mean: &mut mean,
        inv_std: &mut inv_std,
    };
    let source = Source {
        x: &[1.0f32, 3.0],
        residual: Some(&[0.5, -2.0]),
    };
    let (mut y, mut slope) = ([7.0; 2], [7.0; 2]);
    let out = (&mut y[..], &mut slope[..]);
    norm.forward(Isa::current(), source, None, saved, out);
    assert_eq!((y, slope), ([0.0, 0.0], [0.0, 0.0]));
    assert_eq!((mean, inv_std), ([2.0], [1.0]));
}

#[test]
#[should_panic(expected = "dgamma has 1 values, expected 2")]
fn lengths_are_checked() {
    let norm = BatchNorm {
        gamma: &[1.0; 2],
        beta: &[0.0; 2],
        eps: 0.0,
        activation: Activation::None,
    };
    let out = NormGradients {
        dx: &mut [],
        dgamma: &mut [0.0],
        dbeta: &mut [0.0; 2],
    };
    norm.backward(
        Isa::current(),
        (&[0f32; 4], &[0.0; 4]),
        (&[0.0; 2], &[0.0; 2]),
        false,
        out,
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_shape_gives_what_plain_loops_give(
        rows in 2usize..2000,
        channels in 1usize..40,
        salt in 0u64..1000,
    ) {
        let case = Case::<f32>::new(rows, channels, salt);
        case.check(1e-4);
        let sizes = vec![4.0 * rows as f64; channels];
        let found = case.run(Isa::current(), Activation::None, false);
        let mut dbeta = vec![0.0; channels];
        for (i, dz) in case.dz.iter().enumerate() {
            dbeta[i % channels] += f64::from(*dz);
        }
        twin::near_sums(&found.dbeta, &dbeta, &sizes);
    }
}
