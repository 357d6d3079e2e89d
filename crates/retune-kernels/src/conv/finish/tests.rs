//! Factors and addends per channel against plain loops in f64.

use half::bf16;

use super::*;
use crate::conv::twin;
use crate::trial;

const SHAPES: [(usize, usize); 7] = [
    (0, 3),
    (1, 1),
    (5, 3),
    (3, 17),
    (1, 32),
    (700, 33),
    (40, 600),
];

/// What goes in.
struct Case<E> {
    x: Vec<E>,
    residual: Option<Vec<E>>,
    dz: Vec<E>,
    scale: Option<Vec<f32>>,
    shift: Vec<f32>,
}

impl<E: Element> Case<E> {
    fn new(rows: usize, channels: usize, (scaled, with_residual): (bool, bool)) -> Self {
        let n = rows * channels;
        Self {
            x: trial::elements(n, 1),
            residual: with_residual.then(|| trial::elements(n, 2)),
            dz: trial::elements(n, 3),
            scale: scaled.then(|| trial::numbers(channels, 4)),
            shift: trial::numbers(channels, 5),
        }
    }

    /// `[y, dx]` and `[dscale, dshift]`.
    fn run(&self, isa: Isa) -> ([Vec<E>; 2], [Vec<f32>; 2]) {
        let (n, channels) = (self.x.len(), self.shift.len());
        let finish = Finish {
            scale: self.scale.as_deref(),
            shift: Some(&self.shift),
            activation: Activation::None,
        };
        let source = Source {
            x: &self.x,
            residual: self.residual.as_deref(),
        };
        let (mut y, mut dx) = (vec![E::narrow(7e7); n], vec![E::narrow(7e7); n]);
        let mut slope = y.clone();
        finish.forward(isa, channels, source, &mut y, &mut slope);
        assert!(slope.iter().all(|s| s.wide() == 1.0));
        let (mut dscale, mut dshift) = (vec![7e7; channels], vec![7e7; channels]);
        let out = ScaleGradients {
            dx: &mut dx,
            dscale: &mut dscale,
            dshift: &mut dshift,
        };
        finish.backward(isa, channels, (&self.x, &self.dz), out);
        ([y, dx], [dscale, dshift])
    }

    /// `[y, dx]`, `[dscale, dshift]`, and the sums of the absolute values of what is added in y.
    fn exact(&self) -> ([Vec<f64>; 2], [Vec<f64>; 2], Vec<f64>) {
        let (n, channels) = (self.x.len(), self.shift.len());
        let (x, dz) = (trial::wide(&self.x), trial::wide(&self.dz));
        let residual = self.residual.as_ref().map(|r| trial::wide(r));
        let factor = |i: usize| {
            self.scale
                .as_ref()
                .map_or(1.0, |s| f64::from(s[i % channels]))
        };
        let parts = |i: usize| {
            let residual = residual.as_ref().map_or(0.0, |r| r[i]);
            [
                x[i] * factor(i),
                f64::from(self.shift[i % channels]),
                residual,
            ]
        };
        let y = (0..n).map(|i| parts(i).iter().sum()).collect();
        let size = (0..n).map(|i| twin::sizes(&parts(i)).iter().sum());
        let dx = (0..n).map(|i| dz[i] * factor(i)).collect();
        let (mut dscale, mut dshift) = (vec![0.0; channels], vec![0.0; channels]);
        for i in 0..n {
            dscale[i % channels] += x[i] * dz[i];
            dshift[i % channels] += dz[i];
        }
        ([y, dx], [dscale, dshift], size.collect())
    }

    fn check(&self) {
        let ([y, dx], [dscale, dshift], size) = self.exact();
        let most = vec![4.0 * (self.x.len() / self.shift.len()) as f64; self.shift.len()];
        trial::same_everywhere(|isa| {
            let (narrow, sums) = self.run(isa);
            twin::near_sums(&narrow[0], &y, &size);
            twin::near_sums(&narrow[1], &dx, &twin::sizes(&dx));
            twin::near_sums(&sums[0], &dscale, &most);
            twin::near_sums(&sums[1], &dshift, &most);
            (
                narrow.map(|v| trial::bits(&v)),
                sums.map(|v| trial::bits(&v)),
            )
        });
    }
}

#[test]
fn every_shape_gives_what_plain_loops_give() {
    for (rows, channels) in SHAPES {
        for (scaled, residual) in [(true, false), (true, true), (false, true)] {
            Case::<f32>::new(rows, channels, (scaled, residual)).check();
            Case::<bf16>::new(rows, channels, (scaled, residual)).check();
        }
    }
}

#[test]
fn the_activation_comes_last() {
    let (x, residual) = ([1.0, -2.0, 3.0, 0.5], [0.5, 0.5, -9.0, 6.5]);
    let finish = Finish {
        scale: Some(&[2.0, 1.0]),
        shift: Some(&[0.0, 1.0]),
        activation: Activation::Relu6,
    };
    let source = Source {
        x: &x,
        residual: Some(&residual),
    };
    let (mut y, mut slope) = ([0f32; 4], [0f32; 4]);
    finish.forward(Isa::current(), 2, source, &mut y, &mut slope);
    assert_eq!((y, slope), ([2.5, 0.0, 0.0, 6.0], [1.0, 0.0, 0.0, 0.0]));
}

#[test]
fn values_that_are_not_finite_stay_where_they_are() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut x = vec![bf16::ONE; 40 * 17];
        x[5 * 17 + 3] = bf16::from_f32(bad);
        let finish = Finish {
            scale: None,
            shift: Some(&[1.0; 17]),
            activation: Activation::Relu,
        };
        for isa in Isa::available() {
            let mut y = vec![bf16::ZERO; x.len()];
            let source = Source {
                x: &x,
                residual: None,
            };
            finish.forward(isa, 17, source, &mut y, &mut []);
            for (i, y) in y.iter().enumerate() {
                assert_eq!(y.is_finite(), i != 5 * 17 + 3);
            }
        }
    }
}

#[test]
#[should_panic(expected = "x has 7 values, expected 6")]
fn rows_are_whole() {
    let finish = Finish {
        scale: None,
        shift: None,
        activation: Activation::None,
    };
    let source = Source {
        x: &[0f32; 7],
        residual: None,
    };
    finish.forward(Isa::current(), 3, source, &mut [0.0; 7], &mut []);
}
