//! Register tiles of x86-64.

#![expect(unsafe_code, reason = "vector instructions")]

use std::arch::x86_64::{
    __m256bh, __m256i, __m512bh, __m512i, _mm_sfence, _mm256_add_ps, _mm256_broadcast_ss,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_maskz_loadu_epi16, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_storeu_ps, _mm512_add_ps, _mm512_cvtepu16_epi32,
    _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mask_storeu_epi16, _mm512_mask_storeu_epi32,
    _mm512_maskz_loadu_epi16, _mm512_maskz_loadu_ps, _mm512_or_si512, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4,
    _mm512_slli_epi32, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_stream_ps,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use half::bf16;

use super::View;
use super::tile::{Product, Target, Tile};
use crate::element::Element;

/// f32 with AVX2 and FMA, 6 x 16.
pub struct Avx2;
/// f32 with AVX-512, 12 x 32.
pub struct Avx512;
/// bf16 with AVX-512 dot products of pairs (`vdpbf16ps`), 12 x 32.
pub struct Avx512Bf16;

impl Tile for Avx2 {
    type Elem = f32;
    const ROWS: usize = 6;
    const COLS: usize = 16;
    const DEPTH: usize = 1;

    // SAFETY: the contract of each function is the trait's.
    unsafe fn packed(product: Product<f32>, c: Target) {
        // SAFETY: the caller keeps it.
        unsafe { avx2::<true>(product, 0, c) }
    }

    unsafe fn in_place(product: Product<f32>, lda: usize, c: Target) {
        // SAFETY: the caller's contract is the same.
        unsafe { avx2::<false>(product, lda, c) }
    }
}

/// # Safety
/// As [`Tile::packed`] (`PACKED`) or [`Tile::in_place`].
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const PACKED: bool>(product: Product<f32>, lda: usize, c: Target) {
    const ROWS: usize = 6;
    let Product {
        steps,
        mut a,
        mut b,
    } = product;
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    // SAFETY: the caller vouches for `steps` steps of both operands and for the rows of c.
    unsafe {
        for _ in 0..steps {
            let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = _mm256_broadcast_ss(&*a.add(if PACKED { i } else { i * lda }));
                sum[0] = _mm256_fmadd_ps(x, b0, sum[0]);
                sum[1] = _mm256_fmadd_ps(x, b1, sum[1]);
            }
            a = a.add(if PACKED { ROWS } else { 1 });
            b = b.add(16);
        }
        for (i, sum) in sums.iter().enumerate() {
            // A bound known at compile time keeps the sums in registers.
            if i < c.rows {
                for (j, sum) in sum.iter().enumerate() {
                    let place = c.c.add(i * c.stride + 8 * j);
                    let before = if c.add {
                        _mm256_loadu_ps(place)
                    } else {
                        _mm256_setzero_ps()
                    };
                    _mm256_storeu_ps(place, _mm256_add_ps(before, *sum));
                }
            }
        }
    }
}

/// Writes the sums of a 12 x 32 tile. A macro, since a function would get the sums through memory.
macro_rules! store {
    ($sums:ident, $c:ident) => {
        for (i, sum) in $sums.iter().enumerate() {
            // A bound known at compile time keeps the sums in registers.
            if i < $c.rows {
                for (j, sum) in sum.iter().enumerate() {
                    let place = $c.c.add(i * $c.stride + 16 * j);
                    let value = if $c.add {
                        _mm512_add_ps(_mm512_loadu_ps(place), *sum)
                    } else {
                        *sum
                    };
                    _mm512_storeu_ps(place, value);
                }
            }
        }
    };
}

impl Tile for Avx512 {
    type Elem = f32;
    const ROWS: usize = 12;
    const COLS: usize = 32;
    const DEPTH: usize = 1;

    // SAFETY: the contract of each function is the trait's.
    unsafe fn packed(product: Product<f32>, c: Target) {
        // SAFETY: the caller keeps it.
        unsafe { avx512::<true>(product, 0, c) }
    }

    unsafe fn in_place(product: Product<f32>, lda: usize, c: Target) {
        // SAFETY: the caller's contract is the same.
        unsafe { avx512::<false>(product, lda, c) }
    }
}

/// # Safety
/// As [`Tile::packed`] (`PACKED`) or [`Tile::in_place`].
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const PACKED: bool>(product: Product<f32>, lda: usize, c: Target) {
    let Product {
        steps,
        mut a,
        mut b,
    } = product;
    let mut sums = [[_mm512_setzero_ps(); 2]; 12];
    // SAFETY: the caller vouches for `steps` steps of both operands and for the rows of c.
    unsafe {
        for _ in 0..steps {
            let (b0, b1) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*a.add(if PACKED { i } else { i * lda }));
                sum[0] = _mm512_fmadd_ps(x, b0, sum[0]);
                sum[1] = _mm512_fmadd_ps(x, b1, sum[1]);
            }
            a = a.add(if PACKED { 12 } else { 1 });
            b = b.add(32);
        }
        store!(sums, c);
    }
}

impl Tile for Avx512Bf16 {
    type Elem = bf16;
    const ROWS: usize = 12;
    const COLS: usize = 32;
    const DEPTH: usize = 2;

    // SAFETY: the contract of each function is the trait's.
    unsafe fn packed(product: Product<bf16>, c: Target) {
        // SAFETY: the caller keeps it.
        unsafe { avx512_bf16::<true>(product, 0, c) }
    }

    unsafe fn in_place(product: Product<bf16>, lda: usize, c: Target) {
        // SAFETY: the caller's contract is the same.
        unsafe { avx512_bf16::<false>(product, lda, c) }
    }

    fn pack_rows<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [bf16]) {
        assert!(src.rows <= W && panel.len() >= src.cols.div_ceil(2) * W * 2);
        // SAFETY: the view holds what it says, the panel was just measured, and a tile of this kind is only
        // chosen where the machine has these instructions.
        unsafe { pack_rows_bf16::<W, S>(src, panel.as_mut_ptr().cast()) }
    }

    fn pack_cols<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [bf16]) {
        assert!(src.cols <= W && panel.len() >= src.rows.div_ceil(2) * W * 2);
        // SAFETY: as above.
        unsafe { pack_cols_bf16::<W, S>(src, panel.as_mut_ptr().cast()) }
    }
}

/// # Safety
/// As [`Tile::packed`] (`PACKED`) or [`Tile::in_place`].
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn avx512_bf16<const PACKED: bool>(product: Product<bf16>, lda: usize, c: Target) {
    let Product { steps, a, b } = product;
    // Pairs along k are read as one 32-bit value, wherever they lie.
    let (mut a, mut b) = (a.cast::<[bf16; 2]>(), b.cast::<[bf16; 2]>());
    let mut sums = [[_mm512_setzero_ps(); 2]; 12];
    // SAFETY: the caller vouches for `steps` pairs of both operands and for the rows of c.
    unsafe {
        let pairs = |x: __m512i| std::mem::transmute::<__m512i, __m512bh>(x);
        for _ in 0..steps {
            let b0 = pairs(_mm512_loadu_si512(b.cast()));
            let b1 = pairs(_mm512_loadu_si512(b.add(16).cast()));
            for (i, sum) in sums.iter_mut().enumerate() {
                let at = if PACKED {
                    a.add(i)
                } else {
                    a.cast::<bf16>().add(i * lda).cast()
                };
                let pair = std::mem::transmute::<[bf16; 2], i32>(at.read());
                let x = pairs(_mm512_set1_epi32(pair));
                sum[0] = _mm512_dpbf16_ps(sum[0], x, b0);
                sum[1] = _mm512_dpbf16_ps(sum[1], x, b1);
            }
            a = a.add(if PACKED { 12 } else { 1 });
            b = b.add(32);
        }
        store!(sums, c);
    }
}

/// Rounds `rows x cols` values (rows `from.1` apart) into rows `to.1` apart.
///
/// # Safety
/// `rows` rows of `cols` values are readable at `from` and writable at `to`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(crate) unsafe fn round(
    (from, stride): (*const f32, usize),
    (rows, cols): (usize, usize),
    (to, n): (*mut bf16, usize),
) {
    let mut col = 0;
    while col < cols {
        let left = cols - col;
        let mask = if left >= 32 {
            u32::MAX
        } else {
            (1 << left) - 1
        };
        let (low, high) = (mask as u16, (mask >> 16) as u16);
        for i in 0..rows {
            // SAFETY: masked loads and stores reach no further than `cols`.
            unsafe {
                let from = from.add(i * stride + col);
                let a = _mm512_maskz_loadu_ps(low, from);
                let b = _mm512_maskz_loadu_ps(high, from.wrapping_add(16));
                let rounded = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a));
                _mm512_mask_storeu_epi16(to.add(i * n + col).cast(), mask, rounded);
            }
        }
        col += 32;
    }
}

/// Copies `rows x cols` values (rows `from.1` apart) into rows `to.1` apart, past the caches.
///
/// # Safety
/// `rows` rows of `cols` values are readable at `from` and writable at `to`; those written begin at cache lines and
/// fill them.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn stream(
    (from, stride): (*const f32, usize),
    (rows, cols): (usize, usize),
    (to, n): (*mut f32, usize),
) {
    for i in 0..rows {
        for col in (0..cols).step_by(16) {
            // SAFETY: a whole line of row i, by the caller's promise.
            unsafe {
                let values = _mm512_loadu_ps(from.add(i * stride + col));
                _mm512_stream_ps(to.add(i * n + col), values);
            }
        }
    }
    // Other threads read what is written here, and such stores wait for nothing else.
    _mm_sfence();
}

/// Up to 16 pairs of bf16 from `2 * 16` values at `src`, of which `left` remain.
///
/// # Safety
/// `src` is readable for `left` values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load_pairs<S: Element>(src: *const S, left: usize) -> __m512i {
    let mask = |n: usize| if n >= 16 { 0xffff } else { (1u16 << n) - 1 };
    // SAFETY: masked loads read no further than `left`.
    unsafe {
        if S::BYTES == 2 {
            let mask = if left >= 32 {
                u32::MAX
            } else {
                (1 << left) - 1
            };
            return _mm512_maskz_loadu_epi16(mask, src.cast());
        }
        let src = src.cast::<f32>();
        let low = _mm512_maskz_loadu_ps(mask(left), src);
        let high = _mm512_maskz_loadu_ps(mask(left.saturating_sub(16)), src.wrapping_add(16));
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Up to 16 bf16 from values at `src`, of which `left` remain.
///
/// # Safety
/// `src` is readable for `left` values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load_half<S: Element>(src: *const S, left: usize) -> __m256i {
    let mask = if left >= 16 {
        0xffff
    } else {
        (1u16 << left) - 1
    };
    // SAFETY: masked loads read no further than `left`.
    unsafe {
        if S::BYTES == 2 {
            return _mm256_maskz_loadu_epi16(mask, src.cast());
        }
        let values = _mm512_maskz_loadu_ps(mask, src.cast());
        std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values))
    }
}

/// Transposes 16 x 16 pairs at a time.
///
/// # Safety
/// `panel` is writable for `k.div_ceil(2) * W` pairs; the machine has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_rows_bf16<const W: usize, S: Element>(src: View<'_, S>, panel: *mut i32) {
    let (k, steps) = (src.cols, src.cols.div_ceil(2));
    for p in (0..steps).step_by(16) {
        for first in (0..W).step_by(16) {
            let mut block = [_mm512_setzero_si512(); 16];
            for (i, pairs) in block.iter_mut().enumerate() {
                if first + i < src.rows {
                    // SAFETY: 2 p < k, and k - 2 p values of this row remain.
                    *pairs =
                        unsafe { load_pairs(src.row(first + i).as_ptr().add(2 * p), k - 2 * p) };
                }
            }
            transpose(&mut block);
            let mask = if W - first >= 16 {
                0xffff
            } else {
                (1u16 << (W - first)) - 1
            };
            for (i, pairs) in block.iter().enumerate().take(steps - p) {
                // SAFETY: step p + i < steps, columns first.. of it.
                unsafe { _mm512_mask_storeu_epi32(panel.add((p + i) * W + first), mask, *pairs) }
            }
        }
    }
}

/// Interleaves neighbouring rows.
///
/// # Safety
/// `panel` is writable for `k.div_ceil(2) * W` pairs; the machine has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_cols_bf16<const W: usize, S: Element>(src: View<'_, S>, panel: *mut i32) {
    for p in 0..src.rows.div_ceil(2) {
        for first in (0..W).step_by(16) {
            // SAFETY: the view holds what it says.
            let pairs = unsafe { neighbours(src, 2 * p, first) };
            let mask = if W - first >= 16 {
                0xffff
            } else {
                (1u16 << (W - first)) - 1
            };
            // SAFETY: step p of the panel, columns first.. of it.
            unsafe { _mm512_mask_storeu_epi32(panel.add(p * W + first), mask, pairs) }
        }
    }
}

/// Copies rows, 32 values at a time, into a panel of `[steps, W, 32]`.
///
/// # Safety
/// `panel` is writable for `k.div_ceil(32) * W * 32` values; the machine has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn copy_rows_bf16<const W: usize, S: Element>(
    src: View<'_, S>,
    panel: *mut bf16,
) {
    let k = src.cols;
    for (p, first) in (0..k).step_by(32).enumerate() {
        for i in 0..W {
            let values = if i < src.rows {
                // SAFETY: k - first values of this row remain.
                unsafe { load_pairs(src.row(i).as_ptr().add(first), k - first) }
            } else {
                _mm512_setzero_si512()
            };
            // SAFETY: row i of step p.
            unsafe { _mm512_storeu_si512(panel.add((p * W + i) * 32).cast(), values) }
        }
    }
}

/// Turns columns into rows, 32 values at a time, in a panel of `[steps, W, 32]`.
///
/// # Safety
/// `panel` is writable for `k.div_ceil(32) * W * 32` values, W is a multiple of 16; the machine has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn turn_cols_bf16<const W: usize, S: Element>(
    src: View<'_, S>,
    panel: *mut bf16,
) {
    for p in 0..src.rows.div_ceil(32) {
        for first in (0..W).step_by(16) {
            let mut block = [_mm512_setzero_si512(); 16];
            for (pair, pairs) in block.iter_mut().enumerate() {
                // SAFETY: the view holds what it says.
                *pairs = unsafe { neighbours(src, 32 * p + 2 * pair, first) };
            }
            transpose(&mut block);
            for (c, values) in block.iter().enumerate() {
                // SAFETY: row first + c < W of step p.
                unsafe {
                    _mm512_storeu_si512(panel.add((p * W + first + c) * 32).cast(), *values);
                }
            }
        }
    }
}

/// Rows `row` and `row + 1` of 16 columns from `first` on, interleaved; zeros beyond the view.
///
/// # Safety
/// The machine has the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn neighbours<S: Element>(src: View<'_, S>, row: usize, first: usize) -> __m512i {
    let left = src.cols.saturating_sub(first);
    let load = |row: usize| {
        if row < src.rows && left > 0 {
            // SAFETY: `left` values of this row remain from `first`.
            unsafe { load_half(src.row(row).as_ptr().add(first), left) }
        } else {
            _mm256_setzero_si256()
        }
    };
    _mm512_or_si512(
        _mm512_cvtepu16_epi32(load(row)),
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(load(row + 1))),
    )
}

/// Transposes 16 x 16 values of 32 bits held in registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(r: &mut [__m512i; 16]) {
    let mut t = *r;
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for i in 0..4 {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for i in 0..4 {
        for h in 0..2 {
            t[8 * h + i] = _mm512_shuffle_i32x4::<0x88>(r[8 * h + i], r[8 * h + 4 + i]);
            t[8 * h + 4 + i] = _mm512_shuffle_i32x4::<0xdd>(r[8 * h + i], r[8 * h + 4 + i]);
        }
    }
    for i in 0..8 {
        r[i] = _mm512_shuffle_i32x4::<0x88>(t[i], t[8 + i]);
        r[8 + i] = _mm512_shuffle_i32x4::<0xdd>(t[i], t[8 + i]);
    }
}
