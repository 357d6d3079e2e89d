//! Residual norms and dropout against their twins.

use burn::tensor::{DType, Tensor};
use proptest::prelude::*;
use proptest::sample::select;
use retune::ops::{self, Norm, Precision};

use super::case::{Input, alike, dropout, evaluate, nothing, same, split, vector};

/// One call of `add_norm`.
#[derive(Debug, Clone)]
struct Case {
    rows: usize,
    width: usize,
    residual: bool,
    p: Option<f64>,
    precision: Precision,
    eps: f64,
}

impl Case {
    fn check(&self, salt: u64, trains: u32) {
        let dims = [self.rows, self.width];
        let mut inputs = vec![
            Input::new("x", dims, salt).within(self.precision),
            Input::new("gamma", [1, self.width], salt + 1),
            Input::new("beta", [1, self.width], salt + 2),
        ];
        if self.residual {
            inputs.push(Input::new("residual", dims, salt + 3));
        }
        for (i, input) in inputs.iter_mut().enumerate() {
            input.trains = trains >> i & 1 == 1;
        }
        let lengths = split(self.rows, 3);
        let rate = self.p.map(|p| dropout(p, 3, salt));
        let format = match self.precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        let run = |t: &[Tensor<2>], format: DType| {
            let norm = Norm {
                gamma: vector(&t[1]),
                beta: vector(&t[2]),
                eps: self.eps,
            };
            let rate = rate.as_ref().map(|rate| (&lengths, rate));
            ops::add_norm(t[0].clone().cast(format), t.get(3).cloned(), norm, rate)
        };
        let got = evaluate(&inputs, &|t| run(t, format));
        assert_eq!(got.format, DType::F32);
        if self.rows == 0 {
            return nothing(&got);
        }
        let want = ops::with_twins(|| evaluate(&inputs, &|t| run(t, DType::F32)));
        let tolerance = if self.precision == Precision::F32 {
            2e-5
        } else {
            1e-2
        };
        same(&got, &want, tolerance);
        alike(&got, &want);
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (
        select(vec![0usize, 1, 2, 7, 53, 211]),
        select(vec![31usize, 32, 100, 384, 1030]),
        any::<bool>(),
        select(vec![None, Some(0.0), Some(0.1), Some(0.5)]),
        select(vec![Precision::F32, Precision::Bf16]),
        select(vec![1e-5, 1e-12]),
    )
        .prop_map(|(rows, width, residual, p, precision, eps)| Case {
            rows,
            width,
            residual,
            p,
            precision,
            eps,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn add_norm_equals_its_twin(case in cases(), salt in 0u64..1000, trains in any::<u32>()) {
        case.check(salt, trains);
    }

    #[test]
    fn dropout_equals_its_twin(rows in select(vec![0usize, 1, 3, 64, 211]), width in select(vec![1usize, 2, 33, 384]), p in select(vec![0.0, 0.1, 0.9]), salt in 0u64..1000) {
        let inputs = [Input::new("x", [rows, width], salt)];
        let (lengths, rate) = (split(rows, 4), dropout(p, 4, salt));
        let run = || evaluate(&inputs, &|t| ops::dropout(t[0].clone(), &lengths, &rate));
        let (got, want) = (run(), ops::with_twins(run));
        same(&got, &want, 0.0);

        let inputs = [Input::new("x", [rows, width], salt).within(Precision::Bf16)];
        let run = |format: DType| evaluate(&inputs, &|t| ops::dropout(t[0].clone().cast(format), &lengths, &rate));
        let (got, want) = (run(DType::BF16), ops::with_twins(|| run(DType::F32)));
        same(&got, &want, 8e-3);
    }

    #[test]
    fn dropout_of_rows_equals_its_twin(rows in select(vec![0usize, 1, 3, 64]), width in select(vec![1usize, 33, 384]), salt in 0u64..1000) {
        let inputs = [Input::new("x", [rows, width], salt)];
        let rate = dropout(0.3, rows, salt);
        let run = || evaluate(&inputs, &|t| ops::dropout_rows(t[0].clone(), &rate));
        let (got, want) = (run(), ops::with_twins(run));
        same(&got, &want, 0.0);
    }
}

/// Dropout acts, in the norm too, and its gradient passes where its value passes.
#[test]
fn dropout_drops_and_scales() {
    let inputs = [Input::new("x", [50, 40], 1)];
    let (lengths, rate) = (split(50, 2), dropout(0.25, 2, 1));
    let got = evaluate(&inputs, &|t| ops::dropout(t[0].clone(), &lengths, &rate));
    let zeros = got.out.iter().filter(|v| **v == 0.0).count();
    assert!((400..600).contains(&zeros), "{zeros} of 2000 dropped");
    for ((y, x), dx) in got
        .out
        .iter()
        .zip(&inputs[0].values)
        .zip(&got.gradients[0].1)
    {
        assert!(*y == 0.0 || (y - x / 0.75).abs() < 1e-6, "{y} of {x}");
        assert_eq!(*y == 0.0, *dx == 0.0);
    }
}
