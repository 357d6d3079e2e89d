//! Elementary functions in plain branch-free f32 arithmetic, so that loops over them become vector code.
//!
//! No fused multiply-add is used: every instruction set gives the same bits. The errors stated are the
//! largest that the tests of this file see, against f64, over dense grids and random bits.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

/// Below this `e^x` is given as 0: the results would be denormal.
const LOWEST: f32 = -87.3;
/// Above this `e^x` is given as infinity.
const HIGHEST: f32 = 88.7;

/// `e^x = 2^n p`, as `(n, p)`, for `x` in `[LOWEST, HIGHEST]` or NaN (Cephes `expf`, S. Moshier).
#[inline(always)]
fn split(x: f32) -> (i32, f32) {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts: the product of the first and n is exact (Cody & Waite).
    let r = x - n * (355.0 / 512.0);
    let r = r - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_65;
    p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    (shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32, p)
}

/// `2^n` for `n` in `[-126, 127]`.
#[inline(always)]
fn power(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `e^x` to a relative 8.2e-8; 0 below -87.3, infinity above 88.7.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (n, p) = split(x.clamp(LOWEST, HIGHEST));
    // In two factors, since n = 128 does not fit one exponent.
    let half = n >> 1;
    let y = p * power(half) * power(n.wrapping_sub(half));
    let y = if x < LOWEST { 0.0 } else { y };
    let y = if x > HIGHEST { f32::INFINITY } else { y };
    if x.is_nan() { x } else { y }
}

/// [`exp`] for `x <= 88`, for which it has the same value and takes a quarter less time.
///
/// What it gives above 88 means nothing. Softmax needs no more, after its greatest value is subtracted.
#[inline(always)]
pub fn exp_low(x: f32) -> f32 {
    // Not `max`, which loses NaN.
    let (n, p) = split(if x < LOWEST { LOWEST } else { x });
    let y = p * power(n);
    let y = if x < LOWEST { 0.0 } else { y };
    if x.is_nan() { x } else { y }
}

/// `1 / (1 + e^-x)`, to a relative 1.5e-7; 0 below -88.7.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh(x)`, to 9e-8 absolute and a relative 2.8e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp_low(-2.0 * x.abs());
    let t = (1.0 - e) / (1.0 + e);
    // Near 0 the quotient cancels; the series does not.
    let x2 = x * x;
    let series = x * (1.0 - x2 * (1.0 / 3.0 - x2 * (2.0 / 15.0)));
    if x.abs() < 0.1 { series } else { t.copysign(x) }
}

/// GELU `x Φ(x)` to 1.8e-7 of `max(1, |x|)`, and its derivative to 3e-7 (Hendrycks & Gimpel,
/// arXiv:1606.08415); NaN at -infinity. Φ by Abramowitz & Stegun 7.1.26.
#[inline(always)]
pub fn gelu(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let e = exp_low(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 0.5 * 1.061_405_4;
    p = p * t - 0.5 * 1.453_152;
    p = p * t + 0.5 * 1.421_413_8;
    p = p * t - 0.5 * 0.284_496_74;
    p = p * t + 0.5 * 0.254_829_6;
    let tail = p * t * e; // 1 - Φ(|x|)
    let phi = if x >= 0.0 { 1.0 - tail } else { tail };
    (x * phi, phi + x * e * 0.398_942_3)
}

/// The tanh form of GELU, `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`, to 1.3e-7 of `max(1, |x|)`, and
/// its derivative to 2.1e-7; NaN at -infinity.
#[inline(always)]
pub fn gelu_tanh(x: f32) -> (f32, f32) {
    const SCALE: f32 = 0.797_884_6; // √(2/π)
    // Beyond 10 the tanh is 1 to the last bit; cubes of larger numbers could overflow.
    let c = x.clamp(-10.0, 10.0);
    let t = tanh(SCALE * (c + 0.044_715 * c * c * c));
    let slope = SCALE * (1.0 + 3.0 * 0.044_715 * c * c);
    let half = 0.5 * (1.0 + t);
    (x * half, half + 0.5 * c * (1.0 - t * t) * slope)
}

/// SiLU `x σ(x)` to 1.5e-7 of `max(1, |x|)`, and its derivative to 9e-8 (Elfwing et al.,
/// arXiv:1702.03118); NaN at -infinity.
#[inline(always)]
pub fn silu(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s + x * s * (1.0 - s))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::trial;

    /// A dense grid of `[-low, high]` and numbers of every magnitude.
    fn numbers(low: f64, high: f64) -> impl Iterator<Item = f32> {
        let grid = (0..=1_000_000).map(move |i| (low + (high - low) * f64::from(i) * 1e-6) as f32);
        let bits = (0..300_000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b1)));
        grid.chain(bits.filter(move |x| (low..=high).contains(&f64::from(*x))))
    }

    /// Largest `|ours - exact| / size` over the numbers, with the number it is found at.
    fn worst(
        range: (f64, f64),
        ours: impl Fn(f32) -> f32,
        exact: impl Fn(f64) -> f64,
        size: impl Fn(f64, f64) -> f64,
    ) -> (f64, f32) {
        numbers(range.0, range.1)
            .map(|x| {
                let (wide, found) = (f64::from(x), f64::from(ours(x)));
                let want = exact(wide);
                ((found - want).abs() / size(wide, want), x)
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap()
    }

    fn relative(_: f64, y: f64) -> f64 {
        y.abs().max(f64::from(f32::MIN_POSITIVE))
    }

    fn against_x(x: f64, _: f64) -> f64 {
        x.abs().max(1.0)
    }

    #[track_caller]
    fn check(name: &str, (error, at): (f64, f32), limit: f64) {
        assert!(
            error <= limit,
            "{name}: {error:e} at {at:e}, limit {limit:e}"
        );
    }

    #[test]
    fn the_exponential_is_as_near_as_it_says() {
        check("exp", worst((-87.3, 88.7), exp, f64::exp, relative), 8.2e-8);
        check(
            "exp_low",
            worst((-87.3, 88.0), exp_low, f64::exp, relative),
            8.2e-8,
        );
        assert!(numbers(-200.0, 88.0).all(|x| exp(x) == exp_low(x)));
    }

    #[test]
    fn sigmoid_and_tanh_are_as_near_as_they_say() {
        let exact = |x: f64| 1.0 / (1.0 + (-x).exp());
        for range in [(-87.0, 20.0), (-87.0, 1e30)] {
            check("sigmoid", worst(range, sigmoid, exact, relative), 1.5e-7);
        }
        for range in [(-12.0, 12.0), (-1e30, 1e30)] {
            check("tanh", worst(range, tanh, f64::tanh, relative), 2.8e-7);
            check("tanh", worst(range, tanh, f64::tanh, |_, _| 1.0), 9e-8);
        }
    }

    #[test]
    fn activations_and_slopes_are_as_near_as_they_say() {
        let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let value = |x: f64| x * trial::normal_cdf(x);
        let slope = |x: f64| trial::normal_cdf(x) + x * density(x);
        let ranges = [(-12.0, 12.0), (-1e15, 1e15)];
        for range in ranges {
            check(
                "gelu",
                worst(range, |x| gelu(x).0, value, against_x),
                1.8e-7,
            );
            check("gelu'", worst(range, |x| gelu(x).1, slope, against_x), 3e-7);
        }
        let k = (2.0 / std::f64::consts::PI).sqrt();
        let t = |x: f64| (k * (x + 0.044_715 * x * x * x)).tanh();
        let value = |x: f64| 0.5 * x * (1.0 + t(x));
        let slope = |x: f64| {
            let steep = k * (1.0 + 3.0 * 0.044_715 * x * x);
            0.5 * (1.0 + t(x)) + 0.5 * x * (1.0 - t(x) * t(x)) * steep
        };
        for range in ranges {
            check(
                "gelu_tanh",
                worst(range, |x| gelu_tanh(x).0, value, against_x),
                1.3e-7,
            );
            check(
                "gelu_tanh'",
                worst(range, |x| gelu_tanh(x).1, slope, against_x),
                2.1e-7,
            );
        }
        let s = |x: f64| 1.0 / (1.0 + (-x).exp());
        let slope = |x: f64| s(x) + x * s(x) * (1.0 - s(x));
        for range in ranges {
            check(
                "silu",
                worst(range, |x| silu(x).0, |x| x * s(x), against_x),
                1.5e-7,
            );
            check("silu'", worst(range, |x| silu(x).1, slope, against_x), 9e-8);
        }
    }

    #[test]
    fn extremes_have_their_limits() {
        let inf = f32::INFINITY;
        assert_eq!((exp(-inf), exp(inf), exp(0.0)), (0.0, inf, 1.0));
        assert_eq!((exp(-1e30), exp(1e30), exp(1e-40)), (0.0, inf, 1.0));
        assert_eq!(
            (exp_low(-inf), exp_low(0.0), exp_low(-1e-40)),
            (0.0, 1.0, 1.0)
        );
        assert_eq!((sigmoid(-inf), sigmoid(inf), sigmoid(0.0)), (0.0, 1.0, 0.5));
        assert_eq!((tanh(-inf), tanh(inf), tanh(0.0)), (-1.0, 1.0, 0.0));
        assert_eq!(tanh(1e-40), 1e-40);
        assert!(tanh(-0.0).is_sign_negative());
        for f in [gelu, gelu_tanh, silu] {
            assert_eq!(f(1e20), (1e20, 1.0));
            assert_eq!(f(-1e20), (-0.0, 0.0));
            assert_eq!(f(0.0), (0.0, 0.5));
            assert_eq!(f(f32::MAX), (f32::MAX, 1.0));
            assert_eq!(f(inf).0, inf);
            assert!(f(-inf).0.is_nan());
        }
    }

    #[test]
    fn nan_stays_nan() {
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)] {
            for y in [exp(nan), exp_low(nan), sigmoid(nan), tanh(nan)] {
                assert!(y.is_nan());
            }
            for (y, slope) in [gelu(nan), gelu_tanh(nan), silu(nan)] {
                assert!(y.is_nan() && slope.is_nan());
            }
        }
    }
}
