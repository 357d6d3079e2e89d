//! Depthwise convolutions against plain loops in f64, and themselves everywhere.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::activation::Activation;
use crate::conv::twin::{self, Twin, places};
use crate::trial;

/// A convolution with everything that goes in.
struct Case<E> {
    conv: Depthwise,
    x: Vec<E>,
    weight: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    dz: Vec<E>,
}

impl<E: Element> Case<E> {
    fn new(
        window: Window,
        [height, width]: [usize; 2],
        (images, channels): (usize, usize),
        salt: u64,
    ) -> Self {
        let input = Extent {
            images,
            height,
            width,
            channels,
        };
        let conv = Depthwise { window, input };
        Self {
            conv,
            x: trial::elements(input.values(), salt),
            weight: trial::numbers(window.area() * channels, salt + 1),
            scale: trial::numbers(channels, salt + 2),
            shift: trial::numbers(channels, salt + 3),
            dz: trial::elements(conv.output().values(), salt + 4),
        }
    }

    fn forward(
        &self,
        isa: Isa,
        (scaled, shifted): (bool, bool),
        activation: Activation,
    ) -> (Vec<E>, Vec<E>) {
        let finish = Finish {
            scale: scaled.then_some(&self.scale),
            shift: shifted.then_some(&self.shift),
            activation,
        };
        let n = self.dz.len();
        let (mut y, mut slope) = (vec![E::narrow(7e7); n], vec![E::narrow(7e7); n]);
        self.conv
            .forward(isa, (&self.x, &self.weight), &finish, &mut y, &mut slope);
        let mut without = vec![E::narrow(7e7); n];
        self.conv
            .forward(isa, (&self.x, &self.weight), &finish, &mut without, &mut []);
        assert!(trial::bits(&without) == trial::bits(&y));
        (y, slope)
    }

    fn backward(&self, isa: Isa) -> (Vec<E>, Vec<f32>, Vec<f32>) {
        let mut dx = vec![E::narrow(7e7); self.x.len()];
        let mut dw = vec![7e7; self.weight.len()];
        let mut db = vec![7e7; self.scale.len()];
        let out = Gradients {
            dx: &mut dx,
            dw: &mut dw,
            db: &mut db,
        };
        self.conv
            .backward(isa, (&self.x, &self.weight), &self.dz, out);
        (dx, dw, db)
    }

    /// `[y, dx, dw, db]` as the twin has them.
    fn exact(&self, [x, weight, dz, scale, shift]: [&[f64]; 5]) -> [Vec<f64>; 4] {
        let channels = self.conv.input.channels;
        let area = self.conv.window.area();
        let twin = Twin {
            window: self.conv.window,
            input: self.conv.input,
            outputs: channels,
            groups: channels,
        };
        // The twin has the channel first.
        let at = |i: usize| (i % area) * channels + i / area;
        let turned: Vec<f64> = (0..weight.len()).map(|i| weight[at(i)]).collect();
        let mut y = twin.forward(x, &turned);
        let (dx, turned) = twin.backward(x, &turned, dz);
        let (mut dw, mut db) = (vec![0.0; weight.len()], vec![0.0; channels]);
        for (i, d) in turned.iter().enumerate() {
            dw[at(i)] = *d;
        }
        for (i, (y, dz)) in y.iter_mut().zip(dz).enumerate() {
            *y = *y * scale[i % channels] + shift[i % channels];
            db[i % channels] += dz;
        }
        [y, dx, dw, db]
    }

    /// Compares with the twin, on every instruction set.
    fn check(&self) {
        let given = [
            trial::wide(&self.x),
            trial::wide(&self.weight),
            trial::wide(&self.dz),
            trial::wide(&self.scale),
            trial::wide(&self.shift),
        ];
        let want = self.exact([0, 1, 2, 3, 4].map(|i| &given[i][..]));
        let size = given.map(|v| twin::sizes(&v));
        let size = self.exact([0, 1, 2, 3, 4].map(|i| &size[i][..]));
        for isa in Isa::available() {
            let (y, slope) = self.forward(isa, (true, true), Activation::None);
            twin::near_sums(&y, &want[0], &size[0]);
            assert!(slope.iter().all(|s| s.wide() == 1.0));
            let (dx, dw, db) = self.backward(isa);
            twin::near_sums(&dx, &want[1], &size[1]);
            twin::near_sums(&dw, &want[2], &size[2]);
            twin::near_sums(&db, &want[3], &size[3]);
        }
    }

    fn same_everywhere(&self) {
        trial::same_everywhere(|isa| {
            let (y, slope) = self.forward(isa, (false, true), Activation::Silu);
            let (dx, dw, db) = self.backward(isa);
            let narrow = [y, slope, dx].map(|v| trial::bits(&v));
            (narrow, trial::bits(&dw), trial::bits(&db))
        });
    }
}

#[test]
fn every_window_gives_what_plain_loops_give() {
    for (salt, (window, size)) in places().into_iter().enumerate() {
        for counts in [(2, 3), (1, 1), (0, 3), (3, 17), (1, 32), (2, 33)] {
            Case::<f32>::new(window, size, counts, salt as u64 * 10).check();
            Case::<bf16>::new(window, size, counts, salt as u64 * 10).check();
        }
    }
}

#[test]
fn results_are_the_same_everywhere() {
    for (window, size) in places() {
        Case::<f32>::new(window, size, (2, 19), 1).same_everywhere();
        Case::<bf16>::new(window, size, (2, 19), 1).same_everywhere();
    }
    // Several tasks.
    for (window, size) in [
        (Window::new([3, 3], [1, 1], [1, 1]), [40, 41]),
        (Window::same([5, 5], [2, 2], 61, 60), [61, 60]),
    ] {
        Case::<f32>::new(window, size, (3, 32), 2).same_everywhere();
        Case::<bf16>::new(window, size, (3, 32), 2).check();
    }
}

#[test]
fn the_finish_is_applied_to_the_sums() {
    let window = Window::new([3, 3], [1, 1], [1, 1]);
    let case = Case::<f32>::new(window, [5, 6], (2, 18), 3);
    let isa = Isa::current();
    let (plain, _) = case.forward(isa, (false, false), Activation::None);
    for activation in [Activation::Relu6, Activation::Silu, Activation::Relu] {
        for (scaled, shifted) in [(false, false), (true, false), (false, true), (true, true)] {
            let (y, slope) = case.forward(isa, (scaled, shifted), activation);
            for (i, z) in plain.iter().enumerate() {
                let z = if scaled { z * case.scale[i % 18] } else { *z };
                let z = if shifted { z + case.shift[i % 18] } else { z };
                assert_eq!((y[i], slope[i]), activation.value_and_slope(z));
            }
        }
    }
}

#[test]
fn a_value_that_is_not_finite_reaches_the_places_that_see_it() {
    let window = Window::new([3, 3], [1, 1], [1, 1]);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut case = Case::<bf16>::new(window, [5, 9], (2, 18), 9);
        case.x[(45 + 2 * 9 + 3) * 18 + 1] = bf16::from_f32(bad);
        for isa in Isa::available() {
            let (y, _) = case.forward(isa, (false, false), Activation::None);
            for (i, y) in y.iter().enumerate() {
                let (pixel, channel) = (i / 18, i % 18);
                let (image, row, column) = (pixel / 45, pixel / 9 % 5, pixel % 9);
                let sees = image == 1 && row.abs_diff(2) < 2 && column.abs_diff(3) < 2;
                assert_eq!(y.is_finite(), !(sees && channel == 1), "{row} {column}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "shift has 2 values, expected 3")]
fn lengths_are_checked() {
    let case = Case::<f32>::new(Window::new([1, 1], [1, 1], [0, 0]), [2, 2], (1, 3), 1);
    let finish = Finish {
        scale: None,
        shift: Some(&[0.0; 2]),
        activation: Activation::None,
    };
    case.conv.forward(
        Isa::current(),
        (&case.x, &case.weight),
        &finish,
        &mut [0.0; 12],
        &mut [],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn any_shape_gives_what_plain_loops_give(
        kernel in [1usize..7, 1usize..7],
        stride in [1usize..4, 1usize..4],
        padding in [[0usize..4, 0usize..4], [0usize..4, 0usize..4]],
        size in [1usize..9, 1usize..20],
        counts in (0usize..3, 1usize..40),
        salt in 0u64..1000,
    ) {
        let window = Window { kernel, stride, padding };
        Case::<f32>::new(window, size, counts, salt).check();
        Case::<bf16>::new(window, size, counts, salt).check();
    }
}
