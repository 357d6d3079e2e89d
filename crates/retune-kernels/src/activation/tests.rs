//! Activations against PyTorch, slopes and themselves on every instruction set.

use half::bf16;

use super::*;
use crate::trial;

/// A function in f64.
type Exact = fn(f64) -> f64;

const ALL: [Activation; 8] = [
    Activation::None,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Relu6,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Silu,
];

vectorized! {
    fn whole_row[E: Element](
        activation: Activation,
        z: &[f32],
        bias: &[f32],
        y: &mut [E],
        slope: Option<&mut [E]>,
    ) {
        row(activation, z, bias, y, slope);
    }

    fn replace(activation: Activation, z: &mut [f32], slope: Option<&mut [f32]>) {
        in_place(activation, z, slope);
    }
}

#[test]
fn values_and_slopes_are_those_of_torch() {
    let z = [-3.0, -0.75, -0.01, 0.0, 0.5, 2.25];
    // `F.gelu`, `F.gelu(approximate="tanh")`, `F.relu`, `torch.tanh`, `torch.sigmoid`, `F.silu` and their gradients,
    // PyTorch 2.15.
    #[rustfmt::skip]
    let table: [(Activation, [f64; 6], [f64; 6]); 7] = [
        (Activation::Gelu,
            [-0.004_050_225_02, -0.169_970_512, -0.004_960_106_22, 0.0, 0.345_731_229, 2.222_495_08],
            [-0.011_945_605_3, 0.000_774_204_731, 0.492_021_322, 0.5, 0.867_495_06, 1.059_189_8]),
        (Activation::GeluTanh,
            [-0.003_637_433_05, -0.170_039_475, -0.004_960_106_22, 0.0, 0.345_714_003, 2.222_798_59],
            [-0.011_584_296_8, 0.001_061_737_54, 0.492_021_412, 0.5, 0.867_369_89, 1.059_914_59]),
        (Activation::Relu, [0.0, 0.0, 0.0, 0.0, 0.5, 2.25], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]),
        (Activation::Relu6, [0.0, 0.0, 0.0, 0.0, 0.5, 2.25], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]),
        (Activation::Tanh,
            [-0.995_054_781, -0.635_148_942, -0.009_999_666_36, 0.0, 0.462_117_165, 0.978_026_092],
            [0.009_865_981_53, 0.596_585_81, 0.999_899_983, 1.0, 0.786_447_704, 0.043_464_962_4]),
        (Activation::Sigmoid,
            [0.047_425_873_2, 0.320_821_301, 0.497_500_021, 0.5, 0.622_459_331, 0.904_650_535],
            [0.045_176_659_7, 0.217_894_994, 0.249_993_75, 0.25, 0.235_003_712, 0.086_257_944_4]),
        (Activation::Silu,
            [-0.142_277_613, -0.240_615_964, -0.004_974_999_93, 0.0, 0.311_229_676, 2.035_463_57],
            [-0.088_104_106_5, 0.157_400_042, 0.495_000_064, 0.5, 0.739_961_207, 1.098_730_92]),
    ];
    for (activation, values, slopes) in table {
        let found = z.map(|z| activation.value_and_slope(z));
        trial::near(&found.map(|f| f64::from(f.0)), &values, 4e-7);
        trial::near(&found.map(|f| f64::from(f.1)), &slopes, 4e-7);
    }
    assert_eq!(Activation::None.value_and_slope(-1.5), (-1.5, 1.0));
    for (z, want) in [
        (5.9, (5.9, 1.0)),
        (6.0, (6.0, 0.0)),
        (f32::INFINITY, (6.0, 0.0)),
    ] {
        assert_eq!(Activation::Relu6.value_and_slope(z), want);
    }
}

fn check_row<E: Element>(n: usize) {
    let (z, bias) = (trial::numbers(n, 1), trial::numbers(n, 2));
    for activation in ALL {
        let both: Vec<(f32, f32)> = z
            .iter()
            .zip(&bias)
            .map(|(z, bias)| activation.value_and_slope(z + bias))
            .collect();
        let value: Vec<E> = both.iter().map(|b| E::narrow(b.0)).collect();
        let rise: Vec<E> = both.iter().map(|b| E::narrow(b.1)).collect();
        trial::same_everywhere(|isa| {
            let (mut y, mut slope) = (vec![E::default(); n], vec![E::default(); n]);
            whole_row(isa, activation, &z, &bias, &mut y, None);
            assert_eq!(trial::bits(&y), trial::bits(&value));
            y.fill(E::default());
            whole_row(isa, activation, &z, &bias, &mut y, Some(&mut slope));
            assert_eq!(trial::bits(&y), trial::bits(&value));
            assert_eq!(trial::bits(&slope), trial::bits(&rise));
            for with_slope in [false, true] {
                let sum = |(z, bias): (&f32, &f32)| z + bias;
                let mut z: Vec<f32> = z.iter().zip(&bias).map(sum).collect();
                let mut slope = vec![0.0; n];
                replace(
                    isa,
                    activation,
                    &mut z,
                    with_slope.then_some(&mut slope[..]),
                );
                assert!(
                    z.iter()
                        .zip(&both)
                        .all(|(z, b)| z.to_bits() == b.0.to_bits())
                );
                assert!(
                    slope
                        .iter()
                        .zip(&both)
                        .all(|(s, b)| !with_slope || *s == b.1)
                );
            }
        });
    }
}

#[test]
fn rows_are_the_function_of_each_value_everywhere() {
    for n in [0, 1, 15, 16, 97, 1536] {
        check_row::<f32>(n);
        check_row::<bf16>(n);
    }
}

#[test]
fn nan_stays_nan() {
    for activation in ALL {
        assert!(
            activation.value_and_slope(f32::NAN).0.is_nan(),
            "{activation:?}"
        );
    }
}

#[test]
fn swiglu_is_that_of_torch() {
    let x = [0.5, -1.0, 2.0, 0.25, 1.5, -0.75f32];
    let (mut out, mut dx) = ([0f32; 3], [0f32; 6]);
    glu_forward(&x, 3, Activation::Silu, &mut out);
    glu_backward(&x, &[1.0, -2.0, 0.5], 3, Activation::Silu, &mut dx);
    // `gate, up = x.chunk(2); F.silu(gate) * up` and its gradient for (1, -2, 0.5), PyTorch 2.15.
    let want = [0.077_807_419, -0.403_412_163, -1.321_195_6];
    trial::near(&trial::wide(&out), &want, 3e-7);
    #[rustfmt::skip]
    let want = [
        0.184_990_302, -0.216_988_459, -0.409_044_117, 0.311_229_676, 0.537_882_864, 0.880_797_029,
    ];
    trial::near(&trial::wide(&dx), &want, 3e-7);
}

#[test]
fn gradients_of_gates_are_slopes() {
    let (rows, width) = (3, 7);
    let x: Vec<f32> = trial::numbers(rows * 2 * width, 3);
    let dy: Vec<f32> = trial::numbers(rows * width, 4);
    let exact: [(Activation, Exact); 3] = [
        (Activation::Gelu, |x| x * trial::normal_cdf(x)),
        (Activation::Tanh, f64::tanh),
        (Activation::None, |x| x),
    ];
    for (activation, f) in exact {
        let mut dx = vec![0f32; x.len()];
        glu_backward(&x, &dy, width, activation, &mut dx);
        trial::is_gradient(&trial::wide(&x), &trial::wide(&dx), |x| {
            let at = |i: usize| {
                let (row, column) = (i / width, i % width);
                let gate = row * 2 * width + column;
                f(x[gate]) * x[gate + width]
            };
            (0..rows * width).map(|i| at(i) * f64::from(dy[i])).sum()
        });
    }
}

fn same_gates<E: Element>(rows: usize, width: usize) {
    let x: Vec<E> = trial::elements(rows * 2 * width, 5);
    let dy: Vec<E> = trial::elements(rows * width, 6);
    for activation in ALL {
        trial::same_everywhere(|isa| {
            let mut out = vec![E::default(); dy.len()];
            let mut dx = vec![E::default(); x.len()];
            glu_forward_on(isa, &x, width, activation, &mut out);
            glu_backward_on(isa, &x, &dy, width, activation, &mut dx);
            (trial::bits(&out), trial::bits(&dx))
        });
    }
}

#[test]
fn gates_are_the_same_everywhere() {
    for (rows, width) in [(0, 3), (1, 1), (2, 17), (53, 384), (5, 4099)] {
        same_gates::<f32>(rows, width);
        same_gates::<bf16>(rows, width);
    }
}

#[test]
#[should_panic(expected = "glu: 12 values for 5 outputs in rows of 3")]
fn lengths_of_gates_are_checked() {
    glu_forward(&[0f32; 12], 3, Activation::Silu, &mut [0.0; 5]);
}

#[test]
#[should_panic(expected = "activation: slices of different length")]
fn lengths_of_rows_are_checked() {
    row(Activation::Gelu, &[0.0; 4], &[0.0; 3], &mut [0f32; 4], None);
}

#[cfg(target_arch = "x86_64")]
#[test]
#[expect(
    unsafe_code,
    reason = "calls a kernel for instructions that were found"
)]
fn gelu_with_wide_vectors_is_the_plain_one_rounded() {
    if !Isa::Avx512Bf16.is_available() {
        return;
    }
    // 83 columns, of which the last mask covers 19; rows of z are 90 apart, those of the results 85.
    let (rows, cols, apart, n) = (600, 83, 90, 85);
    let special = [
        0.0,
        -0.0,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        1e38,
        -1e38,
        1e-40,
    ];
    let mut z: Vec<f32> = (0..rows * apart)
        .map(|i| (i as f32 / 1350.0 - 20.0) * 0.9)
        .collect();
    z[..special.len()].copy_from_slice(&special);
    let bias: Vec<f32> = (0..cols)
        .map(|i| if i < 8 { 0.0 } else { i as f32 * 1e-3 })
        .collect();
    let untouched = bf16::from_f32(77.0);
    let (mut y, mut slope) = (vec![untouched; rows * n], vec![untouched; rows * n]);
    let to = (y.as_mut_ptr(), slope.as_mut_ptr(), n);
    // SAFETY: all slices hold what the shapes say, and the machine has the instructions.
    unsafe { x86::gelu_rows((z.as_ptr(), apart), bias.as_ptr(), (rows, cols), to) };
    let mut other = 0;
    for i in 0..rows {
        for j in 0..cols {
            let x = z[i * apart + j] + bias[j];
            let (value, rise) = math::gelu(x);
            for (got, wanted) in [(y[i * n + j], value), (slope[i * n + j], rise)] {
                let near = (got.to_f32() - wanted).abs() <= wanted.abs() / 256.0 + 5e-7;
                let same = got.to_f32() == wanted || got.is_nan() && wanted.is_nan();
                assert!(near || same, "gelu({x}): {got}, expected {wanted}");
                other += usize::from(got != bf16::from_f32(wanted) && x.abs() < 5.0 && !same);
            }
        }
        assert!(y[i * n + cols..(i + 1) * n].iter().all(|y| *y == untouched));
    }
    // Rounded up where the plain one is rounded down, now and then.
    assert!(
        other < rows * cols / 200,
        "{other} of {} differ",
        2 * rows * cols
    );
}
