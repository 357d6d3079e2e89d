//! Norms against PyTorch, slopes and themselves on every instruction set.

use half::bf16;

use super::*;
use crate::dropout::{self, Stream};
use crate::trial;

const X: [f32; 10] = [0.5, -1.25, 2.0, 0.75, -0.3, 3.0, 1.0, -2.5, 0.1, 0.6];
const RESIDUAL: [f32; 10] = [0.1, 0.2, -0.3, 0.4, 0.5, -1.0, 0.5, 0.25, 2.0, -0.75];
const GAMMA: [f32; 5] = [1.0, 0.5, -2.0, 1.5, 0.25];
const BETA: [f32; 5] = [0.1, -0.1, 0.2, 0.0, 0.3];
const DY: [f32; 10] = [1.0, -0.5, 0.25, 2.0, -1.5, 0.3, 0.7, -1.1, 0.9, 0.4];

/// Everything that a pass forward and one backward write.
struct Passes<E, S> {
    y: Vec<f32>,
    normed: Vec<S>,
    inv_std: Vec<f32>,
    dsum: Vec<f32>,
    dx: Vec<E>,
    dgamma: Vec<f32>,
    dbeta: Vec<f32>,
}

impl<E: Element, S: Element> Passes<E, S> {
    fn bits(&self) -> [Vec<u32>; 7] {
        [
            trial::bits(&self.y),
            trial::bits(&self.normed),
            trial::bits(&self.inv_std),
            trial::bits(&self.dsum),
            trial::bits(&self.dx),
            trial::bits(&self.dgamma),
            trial::bits(&self.dbeta),
        ]
    }
}

/// What goes in, besides the norm.
#[derive(Clone, Copy)]
struct Case<'a, E> {
    x: &'a [E],
    residual: Option<&'a [f32]>,
    dropout: Option<&'a Dropout<'a>>,
    dy: &'a [f32],
}

fn passes<E: Element, S: Element>(isa: Isa, case: Case<'_, E>, norm: &Norm<'_>) -> Passes<E, S> {
    let (size, width) = (case.x.len(), norm.gamma.len());
    let rows = size.checked_div(width).unwrap_or(3);
    // Not zeros: what was there must not show.
    let seven = || vec![7f32; size];
    let mut out = Passes {
        y: seven(),
        normed: vec![S::narrow(7.0); size],
        inv_std: vec![7.0; rows],
        dsum: seven(),
        dx: vec![E::narrow(7.0); size],
        dgamma: vec![7.0; width],
        dbeta: vec![7.0; width],
    };
    let to = Forward {
        y: &mut out.y,
        normed: &mut out.normed,
        inv_std: &mut out.inv_std,
    };
    forward_on(isa, case.x, case.residual, case.dropout, norm, to);
    let saved = Saved {
        dy: case.dy,
        normed: &out.normed,
        inv_std: &out.inv_std,
        dropout: case.dropout,
    };
    let to = Backward {
        dsum: &mut out.dsum,
        dx: &mut out.dx,
        dgamma: &mut out.dgamma,
        dbeta: Some(&mut out.dbeta),
    };
    backward_on(isa, saved, norm, to);
    out
}

fn small<'a>(dy: &'a [f32], dropout: Option<&'a Dropout<'a>>) -> Case<'a, f32> {
    Case {
        x: &X,
        residual: Some(&RESIDUAL),
        dropout,
        dy,
    }
}

#[track_caller]
fn near(found: &[f32], want: &[f64]) {
    trial::near(&trial::wide(found), want, 2e-6);
}

#[test]
fn layer_norm_is_that_of_torch() {
    let norm = Norm {
        kind: Kind::Layer,
        eps: 1e-5,
        gamma: &GAMMA,
        beta: Some(&BETA),
    };
    let out: Passes<f32, f32> = passes(Isa::current(), small(&DY, None), &norm);
    // `F.layer_norm(x + r, (5,), gamma, beta, 1e-5)` and its gradients, PyTorch 2.15.
    #[rustfmt::skip]
    near(&out.y, &[
        0.185_640_633, -0.940_348_744, -2.326_399_09, 1.011_630_06, 0.214_359_358,
        0.921_694_636, 0.159_800_5, 3.692_201_85, 1.323_169_95, 0.180_673_048,
    ]);
    #[rustfmt::skip]
    near(&out.dsum, &[
        0.417_818_755, -0.154_156_163, -1.698_716_64, 2.303_447_96, -0.868_393_958,
        -0.112_959_981, -0.165_612_698, 0.330_668_151, 0.538_008_988, -0.590_104_282,
    ]);
    let dgamma = [
        0.332_148_999,
        1.204_069_5,
        2.236_510_99,
        2.142_741_68,
        0.322_920_799,
    ];
    near(&out.dgamma, &dgamma);
    near(&out.dbeta, &[1.3, 0.2, -0.85, 2.9, -1.1]);
    assert_eq!(out.dx, out.dsum);
}

#[test]
fn rms_norm_is_that_of_torch() {
    let norm = Norm {
        kind: Kind::Rms,
        eps: 1e-6,
        gamma: &GAMMA,
        beta: None,
    };
    let out: Passes<f32, f32> = passes(Isa::current(), small(&DY, None), &norm);
    // `F.rms_norm(x + r, (5,), gamma, 1e-6)` and its gradients, PyTorch 2.15.
    #[rustfmt::skip]
    near(&out.y, &[
        0.561_213_374, -0.491_061_628, -3.180_208_92, 1.613_488_2, 0.046_767_775,
        1.127_051_12, 0.422_644_168, 2.535_865_07, 1.775_105_48, -0.021_132_204_7,
    ]);
    #[rustfmt::skip]
    near(&out.dsum, &[
        0.602_703_094, 0.348_302_811, -1.410_192_97, 2.168_482_78, -0.461_642_444,
        0.240_997_121, 0.251_188_546, 1.158_824_32, 0.836_295_903, 0.050_957_098_6,
    ]);
    let dgamma = [
        0.899_328_709,
        1.082_763_43,
        1.792_251_94,
        3.216_380_83,
        -0.314_418_197,
    ];
    near(&out.dgamma, &dgamma);
}

/// `norm(x * factors + residual)` in f64.
fn plain(kind: Kind, x: &[f64], residual: &[f64], factors: &[f64], eps: f64) -> Vec<f64> {
    let width = GAMMA.len();
    let mut y = Vec::new();
    for start in (0..x.len()).step_by(width) {
        let s: Vec<f64> = (start..start + width)
            .map(|i| x[i] * factors[i] + residual[i])
            .collect();
        let mean = match kind {
            Kind::Layer => s.iter().sum::<f64>() / width as f64,
            Kind::Rms => 0.0,
        };
        let square = s.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
        y.extend((0..width).map(|i| {
            let h = (s[i] - mean) / (square + eps).sqrt();
            h * f64::from(GAMMA[i]) + f64::from(BETA[i])
        }));
    }
    y
}

#[test]
fn gradients_are_slopes_with_dropout_too() {
    let (keys, places) = ([3, 4], [(0, 5), (1, 0)]);
    let dropout = Dropout {
        rate: Rate::new(0.4),
        stream: Stream {
            seed: 1,
            step: 2,
            site: 3,
        },
        keys: &keys,
        places: &places,
    };
    let factors: Vec<f64> = (0..10)
        .map(|i| f64::from(dropout.rate.factor(dropout.row(i / 5), i as u32 % 5)))
        .collect();
    assert!(factors.contains(&0.0) && factors.iter().any(|f| *f > 1.0));
    for kind in [Kind::Layer, Kind::Rms] {
        let norm = Norm {
            kind,
            eps: 1e-3,
            gamma: &GAMMA,
            beta: Some(&BETA),
        };
        let out: Passes<f32, f32> = passes(Isa::current(), small(&DY, Some(&dropout)), &norm);
        let (x, residual) = (trial::wide(&X), trial::wide(&RESIDUAL));
        let y = |x: &[f64], residual: &[f64]| plain(kind, x, residual, &factors, 1e-3);
        near(&out.y, &y(&x, &residual));
        let loss = |y: Vec<f64>| y.iter().zip(DY).map(|(y, d)| y * f64::from(d)).sum::<f64>();
        trial::is_gradient(&x, &trial::wide(&out.dx), |x| loss(y(x, &residual)));
        trial::is_gradient(&residual, &trial::wide(&out.dsum), |r| loss(y(&x, r)));
    }
}

/// Passes over `rows` rows that look random: the same bits everywhere.
fn same_everywhere<E: Element, S: Element>(kind: Kind, rows: usize, width: usize) {
    let (keys, size) = ([11, 12, 13], rows * width);
    let places: Vec<(u32, u32)> = (0..rows as u32).map(|i| (i % 3, i / 3)).collect();
    let dropout = Dropout {
        rate: Rate::new(0.1),
        stream: Stream {
            seed: 1,
            step: 1,
            site: 1,
        },
        keys: &keys,
        places: &places,
    };
    let x: Vec<E> = trial::elements(size, 1);
    let (residual, dy) = (trial::numbers(size, 2), trial::numbers(size, 3));
    let (gamma, beta) = (trial::numbers(width, 4), trial::numbers(width, 5));
    let norm = Norm {
        kind,
        eps: 1e-5,
        gamma: &gamma,
        beta: Some(&beta),
    };
    for (residual, dropout) in [(None, None), (Some(&residual[..]), Some(&dropout))] {
        let case = Case {
            x: &x,
            residual,
            dropout,
            dy: &dy,
        };
        trial::same_everywhere(|isa| passes::<E, S>(isa, case, &norm).bits());
    }
}

#[test]
fn results_are_the_same_everywhere() {
    let shapes = [
        (0, 5),
        (1, 1),
        (3, 16),
        (5, 17),
        (7, 33),
        (131, 384),
        (23, 1031),
        (40, 1),
    ];
    for (rows, width) in shapes {
        same_everywhere::<f32, f32>(Kind::Layer, rows, width);
        same_everywhere::<bf16, bf16>(Kind::Layer, rows, width);
        same_everywhere::<bf16, f32>(Kind::Rms, rows, width);
    }
}

#[test]
fn all_blocks_are_normalised_and_summed() {
    let (rows, width) = (3 * blocks::rows(5) + 1, 5);
    let x = trial::numbers(rows * width, 6);
    let dy = trial::numbers(rows * width, 7);
    let norm = Norm {
        kind: Kind::Layer,
        eps: 1e-5,
        gamma: &GAMMA,
        beta: Some(&BETA),
    };
    let case = Case {
        x: &x,
        residual: None,
        dropout: None,
        dy: &dy,
    };
    let out: Passes<f32, f32> = passes(Isa::current(), case, &norm);
    let (none, all) = (vec![0.0; x.len()], vec![1.0; x.len()]);
    let want = plain(Kind::Layer, &trial::wide(&x), &none, &all, 1e-5);
    trial::near(&trial::wide(&out.y), &want, 1e-5);
    let (mut dgamma, mut dbeta) = (vec![0f64; width], vec![0f64; width]);
    for (i, dy) in trial::wide(&dy).into_iter().enumerate() {
        dgamma[i % width] += dy * f64::from(out.normed[i]);
        dbeta[i % width] += dy;
    }
    trial::near(&trial::wide(&out.dgamma), &dgamma, 1e-4);
    trial::near(&trial::wide(&out.dbeta), &dbeta, 1e-4);
}

#[test]
fn dropout_is_the_mask_of_each_row() {
    let (rows, width) = (2 * blocks::rows(385) + 3, 385);
    let (p, key) = (0.3, 21);
    let stream = Stream {
        seed: 5,
        step: 6,
        site: 7,
    };
    let places: Vec<(u32, u32)> = (0..rows as u32).map(|i| (0, i)).collect();
    let dropout = Dropout {
        rate: Rate::new(p),
        stream,
        keys: &[key],
        places: &places,
    };
    let mask = dropout::mask(rows, width, p, stream, |i| (key, i as u64));
    let x = trial::numbers(rows * width, 8);
    let masked: Vec<f32> = x.iter().zip(&mask).map(|(x, f)| x * f).collect();
    let (dy, gamma) = (trial::numbers(x.len(), 9), trial::numbers(width, 10));
    let norm = Norm {
        kind: Kind::Layer,
        eps: 1e-5,
        gamma: &gamma,
        beta: None,
    };
    let case = |x, dropout| Case {
        x,
        residual: None,
        dropout,
        dy: &dy,
    };
    let found: Passes<f32, f32> = passes(Isa::current(), case(&x, Some(&dropout)), &norm);
    let want: Passes<f32, f32> = passes(Isa::current(), case(&masked, None), &norm);
    assert_eq!((&found.y, &found.dsum), (&want.y, &want.dsum));
    let dx: Vec<f32> = want.dsum.iter().zip(&mask).map(|(d, f)| d * f).collect();
    assert_eq!(found.dx, dx);
}

#[test]
fn nothing_in_gives_zeros_for_the_parameters() {
    let norm = Norm {
        kind: Kind::Layer,
        eps: 1e-5,
        gamma: &GAMMA,
        beta: Some(&BETA),
    };
    let case = Case::<f32> {
        x: &[],
        residual: None,
        dropout: None,
        dy: &[],
    };
    let out: Passes<f32, bf16> = passes(Isa::current(), case, &norm);
    assert_eq!((out.dgamma, out.dbeta), (vec![0.0; 5], vec![0.0; 5]));
    let none = Norm {
        gamma: &[],
        beta: Some(&[]),
        ..norm
    };
    let out: Passes<f32, bf16> = passes(Isa::current(), case, &none);
    assert_eq!(out.inv_std, [0.0; 3]);
}

#[test]
fn a_row_that_is_not_finite_shows_and_leaves_others_alone() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for kind in [Kind::Layer, Kind::Rms] {
            let norm = Norm {
                kind,
                eps: 1e-5,
                gamma: &GAMMA,
                beta: None,
            };
            let mut x = X;
            x[7] = bad;
            let case = Case {
                x: &x,
                ..small(&DY, None)
            };
            let out: Passes<f32, bf16> = passes(Isa::current(), case, &norm);
            assert!(
                out.y[..5]
                    .iter()
                    .chain(&out.dsum[..5])
                    .all(|v| v.is_finite())
            );
            assert!(out.y[7].is_nan() && out.dsum[5..].iter().all(|v| v.is_nan()));
        }
    }
}

#[test]
fn numbers_far_from_zero_keep_their_variance() {
    // The sum of squares would cancel here; the second pass does not.
    let x: Vec<f32> = (0..64u8).map(|i| 10_000.0 + f32::from(i % 2)).collect();
    let gamma = [1.0; 64];
    let norm = Norm {
        kind: Kind::Layer,
        eps: 0.0,
        gamma: &gamma,
        beta: None,
    };
    let case = Case {
        x: &x,
        residual: None,
        dropout: None,
        dy: &x,
    };
    let out: Passes<f32, f32> = passes(Isa::current(), case, &norm);
    let want: Vec<f64> = (0..64).map(|i| f64::from(i % 2 * 2 - 1)).collect();
    near(&out.y, &want);
}

#[test]
#[should_panic(expected = "norm: residual has 9 values, expected 10")]
fn lengths_are_checked() {
    let norm = Norm {
        kind: Kind::Rms,
        eps: 1e-5,
        gamma: &GAMMA,
        beta: None,
    };
    let case = Case {
        residual: Some(&RESIDUAL[1..]),
        ..small(&DY, None)
    };
    passes::<f32, f32>(Isa::current(), case, &norm);
}
