//! Convolutions against plain loops in f64, and themselves everywhere.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::conv::twin::{self, Twin, places};
use crate::trial;

/// A convolution with everything that goes in.
struct Case<E> {
    conv: Conv,
    x: Vec<E>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    dz: Vec<E>,
}

impl<E: Element> Case<E> {
    fn new(conv: Conv, salt: u64) -> Self {
        // Weights that bf16 holds: they are rounded when they are packed.
        let weight = trial::elements::<bf16>(conv.outputs * conv.depth(), salt + 1);
        Self {
            conv,
            x: trial::elements(conv.input.values(), salt),
            weight: weight.iter().map(|w| w.to_f32()).collect(),
            bias: trial::numbers(conv.outputs, salt + 2),
            dz: trial::elements(conv.output().values(), salt + 3),
        }
    }

    fn forward(&self, isa: Isa, activation: Activation) -> (Vec<E>, Vec<E>) {
        let n = self.dz.len();
        let (mut y, mut slope) = (vec![E::narrow(7e7); n], vec![E::narrow(7e7); n]);
        let layer = Layer {
            weight: &self.weight[..],
            bias: &self.bias,
            activation,
        };
        self.conv.forward(isa, &self.x, &layer, &mut y, &mut slope);
        (y, slope)
    }

    fn backward(&self, isa: Isa) -> (Vec<E>, Vec<f32>, Vec<f32>) {
        let mut dx = vec![E::narrow(7e7); self.x.len()];
        let mut dw = vec![7e7; self.weight.len()];
        let mut db = vec![7e7; self.bias.len()];
        let out = Gradients {
            dx: &mut dx,
            dw: &mut dw,
            db: &mut db,
        };
        self.conv
            .backward(isa, (&self.x, &self.weight), &self.dz, out);
        (dx, dw, db)
    }

    fn twin(&self) -> Twin {
        let Conv {
            window,
            input,
            outputs,
            groups,
        } = self.conv;
        Twin {
            window,
            input,
            outputs,
            groups,
        }
    }

    /// Compares with the twin.
    fn check(&self) {
        let outputs = self.conv.outputs;
        let given = [
            &trial::wide(&self.x),
            &trial::wide(&self.weight),
            &trial::wide(&self.dz),
        ];
        let all = |[x, weight, dz]: [&[f64]; 3], bias: &[f64]| {
            let mut y = self.twin().forward(x, weight);
            let mut db = vec![0.0; outputs];
            for (i, (y, dz)) in y.iter_mut().zip(dz).enumerate() {
                *y += bias[i % outputs];
                db[i % outputs] += dz;
            }
            let (dx, dw) = self.twin().backward(x, weight, dz);
            [y, dx, dw, db]
        };
        let bias = trial::wide(&self.bias);
        let want = all(given.map(|v| &v[..]), &bias);
        let size = given.map(|v| twin::sizes(v));
        let size = all([&size[0], &size[1], &size[2]], &twin::sizes(&bias));
        for isa in Isa::available() {
            let (y, slope) = self.forward(isa, Activation::None);
            twin::near_sums(&y, &want[0], &size[0]);
            assert!(slope.iter().all(|s| s.wide() == 1.0));
            let (dx, dw, db) = self.backward(isa);
            // In bf16 every gradient of a patch is rounded, too.
            let patches = if E::BYTES == 2 { 1.0 / 256.0 } else { 0.0 };
            twin::near(&dx, &want[1], &size[1], patches);
            twin::near_sums(&dw, &want[2], &size[2]);
            twin::near_sums(&db, &want[3], &size[3]);
        }
    }
}

fn conv(
    window: Window,
    [height, width]: [usize; 2],
    (images, channels): (usize, usize),
    (outputs, groups): (usize, usize),
) -> Conv {
    let input = Extent {
        images,
        height,
        width,
        channels,
    };
    Conv {
        window,
        input,
        outputs,
        groups,
    }
}

#[test]
fn every_window_gives_what_plain_loops_give() {
    for (salt, (window, size)) in places().into_iter().enumerate() {
        for (images, channels, outputs) in [(2, 3, 5), (1, 1, 1), (0, 3, 2), (3, 17, 33)] {
            let conv = conv(window, size, (images, channels), (outputs, 1));
            Case::<f32>::new(conv, salt as u64 * 10).check();
            Case::<bf16>::new(conv, salt as u64 * 10).check();
        }
    }
}

#[test]
fn groups_see_their_own_channels() {
    for (salt, (window, size)) in places().into_iter().enumerate() {
        for (channels, outputs, groups) in [(6, 4, 2), (4, 8, 4), (9, 3, 3)] {
            let conv = conv(window, size, (2, channels), (outputs, groups));
            Case::<f32>::new(conv, salt as u64 * 10).check();
            Case::<bf16>::new(conv, salt as u64 * 10).check();
        }
    }
}

/// Large enough for several blocks, of images and of rows of one image.
fn many_blocks() -> [Conv; 3] {
    let window = Window::new([3, 3], [1, 1], [1, 1]);
    [
        conv(window, [70, 70], (2, 16), (3, 1)),
        conv(
            Window::same([3, 3], [2, 2], 141, 90),
            [141, 90],
            (1, 40),
            (2, 1),
        ),
        conv(window, [7, 7], (30, 64), (2, 1)),
    ]
}

#[test]
fn many_blocks_give_what_plain_loops_give() {
    for conv in many_blocks() {
        let rows = conv.output().images * conv.output().height;
        assert!(rows > conv.rows_at_once(), "one block only: {conv:?}");
        Case::<f32>::new(conv, 5).check();
        Case::<bf16>::new(conv, 5).check();
    }
    let strips = many_blocks().map(|conv| conv.strip());
    assert!(strips[0].0 == 1 && strips[2].0 > 1, "{strips:?}");
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for conv in many_blocks() {
        let case = Case::<bf16>::new(conv, 6);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let run = || {
                let (y, slope) = case.forward(Isa::best(), Activation::Silu);
                let (dx, dw, db) = case.backward(Isa::best());
                let narrow = [y, slope, dx].map(|v| trial::bits(&v));
                (narrow, trial::bits(&dw), trial::bits(&db))
            };
            pool.map(|pool| pool.install(run)).ok()
        };
        assert!(on(1) == on(2) && on(1) == on(3), "{conv:?}");
    }
}

#[test]
fn patches_and_their_gradients_are_the_same_everywhere() {
    for (window, size) in places() {
        let conv = conv(window, size, (2, 5), (1, 1));
        let rows = conv.output().images * conv.output().height;
        let x: Vec<bf16> = trial::elements(conv.input.values(), 1);
        let dpatches: Vec<bf16> = trial::elements(conv.output().pixels() * conv.depth(), 2);
        trial::same_everywhere(|isa| {
            let mut found = vec![bf16::NAN; dpatches.len()];
            patches(window, conv.input, &x, 0..rows, &mut found);
            let mut dx = vec![bf16::NAN; x.len()];
            crate::conv::add_patches(isa, window, conv.input, &dpatches, &mut dx);
            (trial::bits(&found), trial::bits(&dx))
        });
    }
}

#[test]
fn the_activation_and_its_slope_come_with_the_result() {
    let conv = conv(Window::new([3, 3], [1, 1], [1, 1]), [5, 6], (2, 4), (7, 1));
    let case = Case::<f32>::new(conv, 9);
    let (plain, _) = case.forward(Isa::current(), Activation::None);
    let (y, slope) = case.forward(Isa::current(), Activation::Silu);
    for (i, plain) in plain.iter().enumerate() {
        let (value, rise) = Activation::Silu.value_and_slope(*plain);
        assert!((y[i] - value).abs() < 1e-6 && (slope[i] - rise).abs() < 1e-6);
    }
}

#[test]
fn what_is_not_wanted_is_left_out() {
    for groups in [1, 2] {
        let conv = conv(
            Window::new([3, 3], [1, 1], [1, 1]),
            [5, 6],
            (2, 4),
            (6, groups),
        );
        let case = Case::<f32>::new(conv, 9);
        let isa = Isa::current();
        let all = case.backward(isa);
        let run = |dx: &mut [f32], dw: &mut [f32], db: &mut [f32]| {
            let out = Gradients { dx, dw, db };
            conv.backward(isa, (&case.x, &case.weight), &case.dz, out);
        };
        let mut dx = vec![0.0; all.0.len()];
        run(&mut dx, &mut [], &mut []);
        assert_eq!(dx, all.0);
        let mut dw = vec![0.0; all.1.len()];
        run(&mut [], &mut dw, &mut []);
        assert_eq!(dw, all.1);
        let mut db = vec![0.0; all.2.len()];
        run(&mut [], &mut [], &mut db);
        trial::near(&trial::wide(&db), &trial::wide(&all.2), 1e-5);
    }
}

#[test]
fn a_value_that_is_not_finite_reaches_the_places_that_see_it() {
    let conv = conv(Window::new([3, 3], [1, 1], [1, 1]), [5, 6], (2, 4), (3, 1));
    for bad in [f32::NAN, f32::INFINITY] {
        let mut case = Case::<bf16>::new(conv, 9);
        case.x[(30 + 2 * 6 + 3) * 4 + 1] = bf16::from_f32(bad);
        for isa in Isa::available() {
            let (y, _) = case.forward(isa, Activation::None);
            for (i, y) in y.iter().enumerate() {
                let (image, row, column) = (i / 90, i / 18 % 5, i / 3 % 6);
                let sees = image == 1 && row.abs_diff(2) < 2 && column.abs_diff(3) < 2;
                assert_eq!(
                    y.is_finite(),
                    !sees,
                    "{} at {image} {row} {column}",
                    isa.name()
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "x has 11 values, expected 12")]
fn lengths_are_checked() {
    let conv = conv(Window::new([1, 1], [1, 1], [0, 0]), [2, 2], (1, 3), (1, 1));
    let layer = Layer {
        weight: &[0.0; 3][..],
        bias: &[0.0],
        activation: Activation::None,
    };
    conv.forward(Isa::current(), &[0f32; 11], &layer, &mut [0.0; 4], &mut []);
}

#[test]
#[should_panic(expected = "3 and 4 channels in 2 groups")]
fn groups_divide_the_channels() {
    conv(Window::new([1, 1], [1, 1], [0, 0]), [2, 2], (1, 3), (4, 2)).depth();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn any_shape_gives_what_plain_loops_give(
        kernel in [1usize..5, 1usize..5],
        stride in [1usize..4, 1usize..4],
        padding in [[0usize..3, 0usize..3], [0usize..3, 0usize..3]],
        size in [1usize..9, 1usize..9],
        counts in (0usize..3, 1usize..8, 1usize..8, 1usize..3),
        salt in 0u64..1000,
    ) {
        let window = Window { kernel, stride, padding };
        let (images, channels, outputs, groups) = counts;
        let conv = conv(window, size, (images, channels * groups), (outputs * groups, groups));
        Case::<f32>::new(conv, salt).check();
        Case::<bf16>::new(conv, salt).check();
    }
}
