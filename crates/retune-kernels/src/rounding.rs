//! Sums to stored numbers: by the CPU's own instruction where it has one for bf16.

#![expect(unsafe_code, reason = "rows between which other threads write")]

use half::bf16;

use crate::element::Element;
#[cfg(target_arch = "x86_64")]
use crate::gemm::x86;
use crate::isa::{Isa, vectorized};

/// Values of f32 in a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 16;

/// Rounds `rows` rows of `cols` values, `values.1` apart, into rows `out.1` apart.
///
/// # Panics
/// When either lies outside its slice.
pub(crate) fn rows<E: Element>(
    isa: Isa,
    values: (&[f32], usize),
    (rows, cols): (usize, usize),
    (out, stride): (&mut [E], usize),
) {
    assert!(rows == 0 || out.len() >= (rows - 1) * stride + cols);
    // SAFETY: all of it lies inside `out`.
    unsafe { rows_at(isa, values, (rows, cols), (out.as_mut_ptr(), stride)) }
}

/// Copies as [`rows`], past the caches where the CPU can (whole cache lines, AVX-512): for results so large that they
/// would be gone from the caches before they are read, which would first fetch the lines to be replaced.
///
/// # Panics
/// When either lies outside its slice.
pub(crate) fn rows_past_caches(
    isa: Isa,
    (values, apart): (&[f32], usize),
    (rows, cols): (usize, usize),
    (out, stride): (&mut [f32], usize),
) {
    assert!(rows == 0 || cols > 0 && out.len() >= (rows - 1) * stride + cols);
    assert!(rows == 0 || values.len() >= (rows - 1) * apart + cols);
    #[cfg(target_arch = "x86_64")]
    {
        let whole = cols.is_multiple_of(LINE) && stride.is_multiple_of(LINE);
        let begins = out.as_ptr().addr().is_multiple_of(LINE * size_of::<f32>());
        if whole && begins && isa >= Isa::Avx512 && isa.is_available() {
            let (from, to) = (values.as_ptr(), out.as_mut_ptr());
            // SAFETY: all of it lies inside the slices and fills lines, and the machine has the instructions.
            return unsafe { x86::stream((from, apart), (rows, cols), (to, stride)) };
        }
    }
    self::rows(isa, (values, apart), (rows, cols), (out, stride));
}

/// Rounds all `values` into `out`.
///
/// # Panics
/// When lengths differ.
pub(crate) fn all<E: Element>(isa: Isa, values: &[f32], out: &mut [E]) {
    let n = values.len();
    assert!(n == out.len(), "{n} values into {}", out.len());
    rows(isa, (values, n), (1, n), (out, n));
}

/// [`rows`] into memory of which only these rows belong to the caller.
///
/// # Panics
/// When `values` are too few.
///
/// # Safety
/// `rows` rows of `cols` values are writable at `out`, and nobody else uses them.
pub(crate) unsafe fn rows_at<E: Element>(
    isa: Isa,
    (values, apart): (&[f32], usize),
    (rows, cols): (usize, usize),
    (out, stride): (*mut E, usize),
) {
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(values.len() >= (rows - 1) * apart + cols && isa.is_available());
    #[cfg(target_arch = "x86_64")]
    if is_native::<E>(isa) {
        let (from, to) = (values.as_ptr(), out.cast());
        // SAFETY: the machine has the instructions, and both places hold what is read and written.
        return unsafe { x86::round((from, apart), (rows, cols), (to, stride)) };
    }
    for i in 0..rows {
        // SAFETY: row i of those the caller vouches for.
        let out = unsafe { std::slice::from_raw_parts_mut(out.add(i * stride), cols) };
        plain(isa, &values[i * apart..][..cols], out);
    }
}

/// Whether the CPU rounds to this format by itself.
pub(crate) fn is_native<E: Element>(isa: Isa) -> bool {
    isa >= Isa::Avx512Bf16 && E::BYTES == size_of::<bf16>()
}

vectorized! {
    fn plain[E: Element](values: &[f32], out: &mut [E]) {
        for (to, from) in out.iter_mut().zip(values) {
            *to = E::narrow(*from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Aligned;
    use crate::trial;

    #[test]
    fn rows_are_rounded_alike_everywhere_and_nothing_else_is_written() {
        let values: Vec<f32> = (0..7 * 83).map(|i| (i as f32 - 300.0) * 0.013).collect();
        for (count, cols, from, to) in [
            (7, 70, 83, 71),
            (1, 581, 581, 581),
            (7, 32, 80, 32),
            (3, 1, 5, 9),
        ] {
            trial::same_everywhere(|isa| {
                let mut out = vec![bf16::from_f32(7e7); 7 * 83];
                rows(isa, (&values, from), (count, cols), (&mut out, to));
                for (at, found) in out.iter().enumerate() {
                    let (row, col) = (at / to, at % to);
                    let inside = row < count && col < cols;
                    let want = if inside {
                        values[row * from + col]
                    } else {
                        7e7
                    };
                    assert_eq!(*found, bf16::from_f32(want), "row {row}, column {col}");
                }
            });
        }
    }

    #[test]
    fn rows_past_the_caches_are_the_same() {
        let values: Vec<f32> = (0..6 * 96).map(|i| i as f32).collect();
        // Whole lines, rows that begin inside one, ends inside one.
        for (count, cols, to, first) in [
            (6, 96, 96, 0),
            (5, 32, 64, 16),
            (5, 32, 50, 0),
            (4, 33, 48, 1),
        ] {
            trial::same_everywhere(|isa| {
                let mut kept = Aligned::<f32>::new(6 * 96 + 16);
                kept.fill(-1.0);
                let (given, size) = ((&values[..], 96), (count, cols));
                rows_past_caches(isa, given, size, (&mut kept[first..], to));
                for (at, found) in kept.iter().enumerate() {
                    let place = at.checked_sub(first).map(|at| (at / to, at % to));
                    let inside = place.filter(|(row, col)| *row < count && *col < cols);
                    let want = inside.map_or(-1.0, |(row, col)| values[row * 96 + col]);
                    assert!(*found == want, "value {at}: {found} for {want}");
                }
            });
        }
    }

    #[test]
    fn special_values_stay_what_they_are() {
        let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, f32::MAX];
        trial::same_everywhere(|isa| {
            let mut out = [bf16::ZERO; 5];
            all(isa, &values, &mut out);
            assert!(out[0].is_nan());
            assert_eq!(
                out[1..],
                values[1..]
                    .iter()
                    .map(|v| bf16::from_f32(*v))
                    .collect::<Vec<_>>()
            );
        });
    }

    #[test]
    #[should_panic(expected = "3 values into 2")]
    fn another_length_is_refused() {
        all(Isa::Portable, &[0.0; 3], &mut [0f32; 2]);
    }
}
