//! Left operands: read in place or from panels, tile by tile.

#![expect(unsafe_code, reason = "calls the tiles")]
#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use super::tile::{Product, Target};
use super::{Tile, View, pack_left_rows, panel_len};
use crate::element::Element;
use crate::scratch;

/// Row strides (in bytes) that are multiples of this fall into few sets of the first cache: such an
/// operand is packed rather than read in place.
const ALIASING: usize = 2048;

/// A block of rows of a left operand, read in place where that is safe and fast, packed elsewhere.
pub(crate) struct Left<'a, T: Tile> {
    view: View<'a, T::Elem>,
    /// Panels of all tiles when `all`, else of the last one only.
    packed: &'a [T::Elem],
    all: bool,
}

/// Packs what has to be packed of `view` and runs `f`.
pub(crate) fn with_left<T: Tile, R>(
    view: View<'_, T::Elem>,
    f: impl FnOnce(Left<'_, T>) -> R,
) -> R {
    let bytes = view.stride * T::Elem::BYTES;
    let all = !view.cols.is_multiple_of(T::DEPTH) || bytes.is_multiple_of(ALIASING);
    let whole = view.rows / T::ROWS * T::ROWS;
    let first = if all { 0 } else { whole };
    let panel = panel_len::<T>(view.cols, T::ROWS);
    let panels = (view.rows - first).div_ceil(T::ROWS);
    scratch::with::<T::Elem, _>(panels * panel, |packed| {
        if panel > 0 {
            let rows = (first..view.rows).step_by(T::ROWS);
            for (row, panel) in rows.zip(packed.chunks_mut(panel)) {
                let n = T::ROWS.min(view.rows - row);
                pack_left_rows::<T, T::Elem>(view.part((row, n), (0, view.cols)), panel);
            }
        }
        f(Left { view, packed, all })
    })
}

impl<T: Tile> Left<'_, T> {
    /// `c = ` (`add`: `+=`) rows from `row` on times `panel`; `c` has rows `stride` apart.
    #[inline(always)]
    pub(crate) fn tile(
        &self,
        row: usize,
        panel: &[T::Elem],
        c: &mut [f32],
        stride: usize,
        add: bool,
    ) {
        self.tile_to((row, self.view.cols), panel, c, stride, add);
    }

    /// As [`Left::tile`], with the first `depth` columns of the rows alone, rounded up to whole steps.
    #[inline(always)]
    pub(crate) fn tile_to(
        &self,
        (row, depth): (usize, usize),
        panel: &[T::Elem],
        c: &mut [f32],
        stride: usize,
        add: bool,
    ) {
        assert!(depth <= self.view.cols);
        let steps = depth.div_ceil(T::DEPTH);
        let rows = T::ROWS.min(self.view.rows - row);
        if self.all || rows < T::ROWS {
            let len = panel_len::<T>(self.view.cols, T::ROWS);
            let index = if self.all { row / T::ROWS } else { 0 };
            let left = &self.packed[index * len..][..panel_len::<T>(depth, T::ROWS)];
            return tile_packed::<T>(left, panel, c, (stride, rows, add));
        }
        let whole = (self.view.rows - 1) * self.view.stride + self.view.cols;
        assert!(row + T::ROWS <= self.view.rows && self.view.data.len() >= whole);
        let product = product::<T>(steps, &self.view.data[row * self.view.stride..], panel);
        let target = target::<T>(c, stride, rows, add);
        // SAFETY: all ROWS rows lie inside the view (asserted), each of `cols >= steps * DEPTH` values, since
        // only views of whole steps are read in place and `depth <= cols`; `product` and `target` checked the
        // rest. The dispatcher chooses T by what the machine has.
        unsafe { T::in_place(product, self.view.stride, target) }
    }
}

/// One tile of two packed operands.
#[inline(always)]
pub(crate) fn tile_packed<T: Tile>(
    a: &[T::Elem],
    b: &[T::Elem],
    c: &mut [f32],
    (stride, rows, add): (usize, usize, bool),
) {
    let steps = a.len() / (T::ROWS * T::DEPTH);
    let product = product::<T>(steps, a, b);
    let target = target::<T>(c, stride, rows, add);
    // SAFETY: `a` holds `steps` steps by its length, `product` and `target` checked the rest. The
    // dispatcher chooses T by what the machine has.
    unsafe { T::packed(product, target) }
}

#[inline(always)]
fn product<T: Tile>(steps: usize, a: &[T::Elem], b: &[T::Elem]) -> Product<T::Elem> {
    assert!(b.len() >= steps * T::COLS * T::DEPTH);
    Product {
        steps,
        a: a.as_ptr(),
        b: b.as_ptr(),
    }
}

#[inline(always)]
fn target<T: Tile>(c: &mut [f32], stride: usize, rows: usize, add: bool) -> Target {
    assert!(rows >= 1 && rows <= T::ROWS && c.len() >= (rows - 1) * stride + T::COLS);
    Target {
        c: c.as_mut_ptr(),
        stride,
        rows,
        add,
    }
}
