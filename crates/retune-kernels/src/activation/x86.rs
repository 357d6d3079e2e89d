//! GELU of a tile with AVX-512, rounded to bf16 on the way out: with division and the choices of [`crate::math`] left
//! to the CPU's own instructions it takes a quarter of the time.

#![expect(unsafe_code, reason = "vector instructions")]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _CMP_GE_OQ, _CMP_NLT_UQ, _MM_FROUND_NO_EXC,
    _MM_FROUND_TO_NEAREST_INT, _mm512_abs_ps, _mm512_add_ps, _mm512_cmp_ps_mask,
    _mm512_cvtne2ps_pbh, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_mask_storeu_epi16,
    _mm512_mask_sub_ps, _mm512_maskz_loadu_ps, _mm512_maskz_scalef_ps, _mm512_min_ps,
    _mm512_mul_ps, _mm512_rcp14_ps, _mm512_roundscale_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_sub_ps,
};

use half::bf16;

/// Numbers to the nearest integer.
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// `a x + b`, with constants.
#[inline]
#[target_feature(enable = "avx512f")]
fn times_plus(a: __m512, x: __m512, b: f32) -> __m512 {
    _mm512_fmadd_ps(a, x, _mm512_set1_ps(b))
}

/// `e^(-x²/2)` to a relative 3e-7 where it is above 1e-6; 0 from |x| = 12.7 on, beyond which tails would be denormal,
/// which takes a CPU a hundred times as long.
#[inline]
#[target_feature(enable = "avx512f")]
fn bell(x: __m512) -> __m512 {
    const HALF: f32 = -0.5 * std::f32::consts::LOG2_E;
    let power = _mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(HALF));
    // Not `>=`: NaN stays NaN.
    let there = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(power, _mm512_set1_ps(-116.0));
    let whole = _mm512_roundscale_ps::<NEAREST>(power);
    let rest = _mm512_sub_ps(power, whole);
    // 2^rest by its Taylor series; the next term is 1.2e-7 at most.
    let mut p = _mm512_set1_ps(1.540_353e-4);
    p = times_plus(p, rest, 1.333_355_8e-3);
    p = times_plus(p, rest, 9.618_129e-3);
    p = times_plus(p, rest, 5.550_411e-2);
    p = times_plus(p, rest, 0.240_226_5);
    p = times_plus(p, rest, std::f32::consts::LN_2);
    p = times_plus(p, rest, 1.0);
    _mm512_maskz_scalef_ps(there, p, whole)
}

/// Value and slope, by the formulas of [`crate::math::gelu`].
#[inline]
#[target_feature(enable = "avx512f")]
fn gelu(x: __m512) -> (__m512, __m512) {
    let e = bell(x);
    // The tail of infinity would be NaN; that of 40 is 0 already.
    let z = _mm512_min_ps(_mm512_set1_ps(40.0), _mm512_abs_ps(x));
    let below = times_plus(
        z,
        _mm512_set1_ps(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2),
        1.0,
    );
    let t = _mm512_rcp14_ps(below);
    let t = _mm512_mul_ps(t, _mm512_fnmadd_ps(below, t, _mm512_set1_ps(2.0))); // one step of Newton's
    let mut p = _mm512_set1_ps(0.5 * 1.061_405_4);
    p = times_plus(p, t, -0.5 * 1.453_152);
    p = times_plus(p, t, 0.5 * 1.421_413_8);
    p = times_plus(p, t, -0.5 * 0.284_496_74);
    p = times_plus(p, t, 0.5 * 0.254_829_6);
    let tail = _mm512_mul_ps(_mm512_mul_ps(p, t), e); // 1 - Φ(|x|)
    let right = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, _mm512_setzero_ps());
    let phi = _mm512_mask_sub_ps(tail, right, _mm512_set1_ps(1.0), tail);
    let rise = _mm512_mul_ps(x, _mm512_set1_ps(0.398_942_3));
    (_mm512_mul_ps(x, phi), _mm512_fmadd_ps(rise, e, phi))
}

/// `y = gelu(z + bias)` and, unless it is null, its derivative `slope`; rows of z lie `z.1` apart, those of both results
/// `to.2`.
///
/// # Safety
/// `rows` rows of `cols` values are readable at z and writable at both results, `cols` values readable at `bias`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(crate) unsafe fn gelu_rows(
    (z, apart): (*const f32, usize),
    bias: *const f32,
    (rows, cols): (usize, usize),
    (y, slope, n): (*mut bf16, *mut bf16, usize),
) {
    for col in (0..cols).step_by(32) {
        let mask = u32::MAX >> (32 - (cols - col).min(32));
        let (low, high) = (mask as u16, (mask >> 16) as u16);
        // SAFETY: masked loads reach no further than `cols`.
        let (bias0, bias1) = unsafe {
            let bias = bias.add(col);
            (
                _mm512_maskz_loadu_ps(low, bias),
                _mm512_maskz_loadu_ps(high, bias.wrapping_add(16)),
            )
        };
        for i in 0..rows {
            // SAFETY: as above, of stores too.
            unsafe {
                let z = z.add(i * apart + col);
                let x0 = _mm512_add_ps(_mm512_maskz_loadu_ps(low, z), bias0);
                let x1 = _mm512_add_ps(_mm512_maskz_loadu_ps(high, z.wrapping_add(16)), bias1);
                let ((y0, slope0), (y1, slope1)) = (gelu(x0), gelu(x1));
                let at = i * n + col;
                _mm512_mask_storeu_epi16(y.add(at).cast(), mask, rounded(y0, y1));
                if !slope.is_null() {
                    _mm512_mask_storeu_epi16(slope.add(at).cast(), mask, rounded(slope0, slope1));
                }
            }
        }
    }
}

/// 32 numbers as bf16.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn rounded(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both types are the same 64 bytes.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}
