//! The register tile: what one instruction set multiplies at a time, and how operands lie for it.

#![expect(unsafe_code, reason = "tiles work on raw operands")]
#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use half::bf16;

use super::View;
use crate::element::Element;

/// Multiplies a few rows by a few columns, `ROWS x COLS`, along the whole depth `k`.
///
/// Operands lie in panels. With `DEPTH` neighbours along k together, value `(p * DEPTH + d, c)` of a
/// panel of width `W` is at `(p * W + c) * DEPTH + d`; a panel has `k.div_ceil(DEPTH)` steps `p`, and
/// places beyond the operand hold zeros. Within a step a tile may want its right operands in another order.
pub trait Tile: Send + Sync + 'static {
    /// Format of the operands; sums are f32.
    type Elem: Element;
    /// Rows of the tile.
    const ROWS: usize;
    /// Columns of the tile.
    const COLS: usize;
    /// Values of k that lie together.
    const DEPTH: usize;

    /// `c = a b` (`add`: `c += a b`) for a packed `a`: panels of `steps` steps; row `i < rows` of the result
    /// is written at `c + i * stride`, `COLS` wide.
    ///
    /// # Safety
    /// The machine has the instructions. `a` is readable for `steps * ROWS * DEPTH` values, `b` for
    /// `steps * COLS * DEPTH`; `c` is writable (and with `add` readable) for the rows named, `rows <= ROWS`.
    unsafe fn packed(product: Product<Self::Elem>, c: Target);

    /// As [`Tile::packed`], with the `ROWS` rows of `a` read in place, `lda` values apart.
    ///
    /// # Safety
    /// As above, with each row of `a` readable for `steps * DEPTH` values.
    unsafe fn in_place(product: Product<Self::Elem>, lda: usize, c: Target);

    /// Packs up to `W` rows of `src` (`[n, k]`, contiguous along k) into one panel of width `W`.
    fn pack_rows<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [Self::Elem]) {
        pack_rows::<W, S, Self>(src, panel);
    }

    /// Packs up to `W` columns of `src` (`[k, n]`, contiguous along n) into one panel of width `W`.
    fn pack_cols<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [Self::Elem]) {
        pack_cols::<W, S, Self>(src, panel);
    }

    /// As [`Tile::pack_rows`], for a left operand.
    fn pack_left_rows<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [Self::Elem]) {
        Self::pack_rows::<W, S>(src, panel);
    }

    /// As [`Tile::pack_cols`], for a left operand.
    fn pack_left_cols<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [Self::Elem]) {
        Self::pack_cols::<W, S>(src, panel);
    }
}

/// Values of the largest tile.
pub(crate) const MOST: usize = 32 * 32;

/// The operands of one tile.
#[derive(Clone, Copy)]
pub struct Product<E> {
    /// Steps along k.
    pub steps: usize,
    /// Left operand.
    pub a: *const E,
    /// Right operand, a panel.
    pub b: *const E,
}

/// Where one tile goes.
#[derive(Clone, Copy)]
pub struct Target {
    /// First value.
    pub c: *mut f32,
    /// Values from one row to the next.
    pub stride: usize,
    /// Rows to write.
    pub rows: usize,
    /// Whether to add to what is there.
    pub add: bool,
}

/// See [`Tile::pack_rows`].
#[inline(always)]
fn pack_rows<const W: usize, S: Element, T: Tile + ?Sized>(
    src: View<'_, S>,
    panel: &mut [T::Elem],
) {
    assert!(src.rows <= W && panel.len() >= src.cols.div_ceil(T::DEPTH) * W * T::DEPTH);
    let (whole, depth) = (src.cols / T::DEPTH, T::DEPTH);
    if src.rows < W || whole * depth < src.cols {
        panel.fill(T::Elem::default());
    }
    for row in 0..src.rows {
        for (k, value) in src.row(row).iter().enumerate() {
            panel[(k / depth * W + row) * depth + k % depth] = T::Elem::narrow(value.wide());
        }
    }
}

/// See [`Tile::pack_cols`].
#[inline(always)]
fn pack_cols<const W: usize, S: Element, T: Tile + ?Sized>(
    src: View<'_, S>,
    panel: &mut [T::Elem],
) {
    assert!(src.cols <= W && panel.len() >= src.rows.div_ceil(T::DEPTH) * W * T::DEPTH);
    let depth = T::DEPTH;
    if src.cols < W || !src.rows.is_multiple_of(depth) {
        panel.fill(T::Elem::default());
    }
    for k in 0..src.rows {
        let step = &mut panel[k / depth * W * depth..][..W * depth];
        let places = step.iter_mut().skip(k % depth).step_by(depth);
        for (place, value) in places.zip(src.row(k)) {
            *place = T::Elem::narrow(value.wide());
        }
    }
}

/// Plain code for any CPU: the compiler makes vectors of it. `DEPTH` is that of the packed format.
pub struct Portable<E, const DEPTH: usize>(std::marker::PhantomData<E>);

const ROWS: usize = 4;
const COLS: usize = 8;

impl<E: Element, const D: usize> Tile for Portable<E, D> {
    type Elem = E;
    const ROWS: usize = ROWS;
    const COLS: usize = COLS;
    const DEPTH: usize = D;

    // SAFETY: the contract of each function is the trait's.
    unsafe fn packed(product: Product<E>, c: Target) {
        // SAFETY: the caller keeps it.
        unsafe { portable(product, D, ROWS * D, D, c) }
    }

    unsafe fn in_place(product: Product<E>, lda: usize, c: Target) {
        // SAFETY: the caller vouches for rows `lda` apart.
        unsafe { portable(product, lda, D, D, c) }
    }
}

/// The tile with row `i`, step `p` of a at `i * row + p * step`.
///
/// # Safety
/// As [`Tile::packed`] with these strides.
#[inline(always)]
unsafe fn portable<E: Element>(
    product: Product<E>,
    row: usize,
    step: usize,
    depth: usize,
    c: Target,
) {
    let Product { steps, a, b } = product;
    let mut sums = [[0f32; COLS]; ROWS];
    for p in 0..steps {
        for d in 0..depth {
            // SAFETY: p < steps, and the strides are those the caller vouched for.
            let b: [f32; COLS] =
                std::array::from_fn(|j| unsafe { *b.add((p * COLS + j) * depth + d) }.wide());
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above, i < ROWS.
                let a = unsafe { *a.add(i * row + p * step + d) }.wide();
                for (sum, b) in sums.iter_mut().zip(&b) {
                    *sum = multiply_add(a, *b, *sum);
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        // A bound known at compile time keeps the sums in registers.
        if i < c.rows {
            for (j, sum) in sums.iter().enumerate() {
                // SAFETY: row i < c.rows of the target, which is COLS wide.
                unsafe {
                    let place = c.c.add(i * c.stride + j);
                    *place = if c.add { *place + sum } else { *sum };
                }
            }
        }
    }
}

/// One instruction where every CPU of the target has it; never the slow library call.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_arch = "aarch64") {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// f32 on any CPU.
pub type PortableF32 = Portable<f32, 1>;
/// bf16 on any CPU.
pub type PortableBf16 = Portable<bf16, 2>;
