//! What the tests of several kernels need: numbers, every instruction set, pools of several sizes.

#![expect(clippy::unwrap_used, reason = "tests")]

use crate::dropout::mix;
use crate::element::Element;
use crate::isa::Isa;

/// `n` numbers in `[-2, 2)` that look random, of stream `salt`.
pub(crate) fn numbers(n: usize, salt: u64) -> Vec<f32> {
    (0..n as u64)
        .map(|i| (mix(salt << 32 ^ i) >> 40) as f32 / (1 << 22) as f32 - 2.0)
        .collect()
}

/// [`numbers`] narrowed.
pub(crate) fn elements<E: Element>(n: usize, salt: u64) -> Vec<E> {
    numbers(n, salt).into_iter().map(E::narrow).collect()
}

/// Widened, in f64.
pub(crate) fn wide<E: Element>(x: &[E]) -> Vec<f64> {
    x.iter().map(|v| f64::from(v.wide())).collect()
}

/// The bits of each.
pub(crate) fn bits<E: Element>(x: &[E]) -> Vec<u32> {
    x.iter().map(|v| v.wide().to_bits()).collect()
}

/// Asserts that `f` gives the same on every instruction set and in pools of 1, 2 and 3 threads, and returns it.
#[track_caller]
pub(crate) fn same_everywhere<R: PartialEq + Send>(f: impl Fn(Isa) -> R + Sync) -> R {
    let first = f(Isa::Portable);
    for isa in Isa::available() {
        assert!(f(isa) == first, "{} differs", isa.name());
    }
    let found = same_on_any_threads(|| f(Isa::current()));
    assert!(found == first, "pools of threads differ");
    found
}

/// Asserts that `f` gives the same in pools of 1, 2 and 3 threads, and returns it.
#[track_caller]
pub(crate) fn same_on_any_threads<R: PartialEq + Send>(f: impl Fn() -> R + Sync) -> R {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(&f)
    };
    let first = on(1);
    for threads in 2..=3 {
        assert!(on(threads) == first, "{threads} threads differ");
    }
    first
}

/// Asserts that the numbers differ by no more than `tolerance` of `max(1, |want|)`.
#[track_caller]
pub(crate) fn near(found: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(found.len(), want.len());
    for (i, (f, w)) in found.iter().zip(want).enumerate() {
        assert!(
            (f - w).abs() <= tolerance * w.abs().max(1.0),
            "value {i}: {f} instead of {w}"
        );
    }
}

/// Asserts that `gradient` is the derivative of `loss` at `x`, by central differences in f64.
#[track_caller]
pub(crate) fn is_gradient(x: &[f64], gradient: &[f64], loss: impl Fn(&[f64]) -> f64) {
    const STEP: f64 = 1e-5;
    let at = |i: usize, by: f64| {
        let mut x = x.to_vec();
        x[i] += by;
        loss(&x)
    };
    let slopes: Vec<f64> = (0..x.len())
        .map(|i| (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP))
        .collect();
    near(gradient, &slopes, 2e-5);
}

/// Φ(x) to f64 precision: the series of erf near 0, the continued fraction of erfc elsewhere
/// (Abramowitz & Stegun 7.1.5, 7.1.14).
pub(crate) fn normal_cdf(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let tail = if z < 2.0 {
        let (mut term, mut sum) = (z, z);
        for n in 1..60 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        0.5 - sum / std::f64::consts::PI.sqrt()
    } else {
        let fraction = (1..80)
            .rev()
            .fold(z, |below, n| z + f64::from(n) / 2.0 / below);
        0.5 * (-z * z).exp() / std::f64::consts::PI.sqrt() / fraction
    };
    if x > 0.0 { 1.0 - tail } else { tail }
}

#[test]
fn the_normal_distribution_has_its_table_values() {
    // Φ(1), Φ(-2), Φ(3.5) and Φ(-6) to 15 digits (`scipy.stats.norm.cdf`).
    let table = [
        (1.0, 0.841_344_746_068_542_9),
        (-2.0, 0.022_750_131_948_179_21),
        (3.5, 0.999_767_370_920_964_5),
        (-6.0, 9.865_876_450_376_98e-10),
    ];
    for (x, want) in table {
        assert!((normal_cdf(x) / want - 1.0).abs() < 1e-13, "{x}");
    }
}
