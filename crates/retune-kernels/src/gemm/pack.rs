//! Right operands, packed for the tile, and the panels of left ones.

use super::{Job, Tile, View};
use crate::element::Element;
use crate::isa::Isa;
use crate::parallel::Spread;

/// A right operand `[k, n]`, packed in panels for the tile of one instruction set.
#[derive(Debug)]
pub struct Packed<'a, E> {
    pub(super) isa: Isa,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) panels: &'a [E],
}

/// How a right operand is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// As `[k, n]`.
    Plain,
    /// As its transpose `[n, k]`: the weight of a layer.
    Transposed,
}

impl<'a, E: Element> Packed<'a, E> {
    /// Values that [`Packed::pack`] needs for an operand `[k, n]`.
    pub fn len(isa: Isa, k: usize, n: usize) -> usize {
        struct Len(usize, usize);
        impl<E: Element> Job<E> for Len {
            type Out = usize;
            fn run<T: Tile<Elem = E>>(self) -> usize {
                self.1.div_ceil(T::COLS) * panel_len::<T>(self.0, T::COLS)
            }
        }
        E::dispatch(isa, Len(k, n))
    }

    /// Packs the matrices of `sources` side by side along `side` into `panels`, converted to `E`.
    ///
    /// Side by side along n, the result is `[k, n1 + n2 + …]`; along k, `[k1 + k2 + …, n]`. All but the last
    /// must then have a multiple of the panel's width or depth there; 32 always is one.
    ///
    /// # Panics
    /// When shapes do not fit together or `panels` is shorter than [`Packed::len`].
    pub fn pack<S: Element>(
        isa: Isa,
        sources: &[View<'_, S>],
        stored: Stored,
        side: Side,
        panels: &'a mut [E],
    ) -> Self {
        let (k, n) = shape(sources, stored, side);
        let job = Pack {
            sources,
            stored,
            side,
            k,
            panels: &mut panels[..Self::len(isa, k, n)],
        };
        E::dispatch(isa, job);
        Self { isa, k, n, panels }
    }

    /// An operand whose panels were packed before, by [`Packed::pack`] with the same shape.
    ///
    /// # Panics
    /// When `panels` has another length than that shape needs.
    pub fn again(isa: Isa, k: usize, n: usize, panels: &'a [E]) -> Self {
        assert!(
            panels.len() == Self::len(isa, k, n),
            "panels of another shape"
        );
        Self { isa, k, n, panels }
    }

    /// Depth.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.n
    }
}

/// The direction in which several matrices make one right operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// More columns.
    N,
    /// More depth.
    K,
}

pub(super) fn shape<S>(sources: &[View<'_, S>], stored: Stored, side: Side) -> (usize, usize) {
    let each = |view: &View<'_, S>| match stored {
        Stored::Plain => (view.rows, view.cols),
        Stored::Transposed => (view.cols, view.rows),
    };
    let mut shapes = sources.iter().map(each);
    let (mut k, mut n) = shapes.next().unwrap_or_default();
    for (more_k, more_n) in shapes {
        assert!(
            if side == Side::N {
                more_k == k && n % 32 == 0
            } else {
                more_n == n && k % 32 == 0
            },
            "matrices of {k} x {n} and {more_k} x {more_n} do not fit side by side"
        );
        if side == Side::N {
            n += more_n;
        } else {
            k += more_k;
        }
    }
    (k, n)
}

pub(crate) fn panel_len<T: Tile>(k: usize, width: usize) -> usize {
    k.div_ceil(T::DEPTH) * T::DEPTH * width
}

struct Pack<'a, 'b, E, S> {
    sources: &'a [View<'b, S>],
    stored: Stored,
    side: Side,
    k: usize,
    panels: &'a mut [E],
}

impl<E: Element, S: Element> Job<E> for Pack<'_, '_, E, S> {
    type Out = ();

    fn run<T: Tile<Elem = E>>(self) {
        if self.k == 0 {
            return;
        }
        let len = panel_len::<T>(self.k, T::COLS);
        let panels = self.panels.chunks_mut(len).enumerate();
        panels.spread(|(j, panel)| match self.side {
            Side::N => {
                let mut col = j * T::COLS;
                let size = |view: &View<'_, S>| match self.stored {
                    Stored::Plain => view.cols,
                    Stored::Transposed => view.rows,
                };
                let source = self.sources.iter().find(|view| {
                    let inside = col < size(view);
                    if !inside {
                        col -= size(view);
                    }
                    inside
                });
                if let Some(view) = source {
                    pack_panel::<T, S>(*view, self.stored, col, panel);
                }
            }
            Side::K => {
                let mut rest = panel;
                for view in self.sources {
                    let depth = match self.stored {
                        Stored::Plain => view.rows,
                        Stored::Transposed => view.cols,
                    };
                    let (part, after) = rest.split_at_mut(panel_len::<T>(depth, T::COLS));
                    pack_panel::<T, S>(*view, self.stored, j * T::COLS, part);
                    rest = after;
                }
            }
        });
    }
}

/// Packs the columns of a right operand from `col` on into one panel.
pub(super) fn pack_panel<T: Tile, S: Element>(
    view: View<'_, S>,
    stored: Stored,
    col: usize,
    panel: &mut [T::Elem],
) {
    macro_rules! packed {
        ($($width:literal)+) => {
            match (stored, T::COLS) {
                $(
                    (Stored::Plain, $width) => {
                        let n = $width.min(view.cols - col);
                        T::pack_cols::<$width, S>(view.part((0, view.rows), (col, n)), panel);
                    }
                    (Stored::Transposed, $width) => {
                        let n = $width.min(view.rows - col);
                        T::pack_rows::<$width, S>(view.part((col, n), (0, view.cols)), panel);
                    }
                )+
                _ => unreachable!("tiles are 8, 16 or 32 columns wide"),
            }
        };
    }
    packed!(8 16 32);
}

/// Packs a right operand of `n` columns, or more than it has: what is added holds zeros.
pub(crate) fn pack_panels<T: Tile, S: Element>(
    view: View<'_, S>,
    stored: Stored,
    n: usize,
    panels: &mut [T::Elem],
) {
    let (k, cols) = match stored {
        Stored::Plain => (view.rows, view.cols),
        Stored::Transposed => (view.cols, view.rows),
    };
    let len = panel_len::<T>(k, T::COLS);
    assert!(len > 0 && panels.len() >= n.div_ceil(T::COLS) * len);
    for (panel, col) in panels.chunks_mut(len).zip((0..n).step_by(T::COLS)) {
        if col < cols {
            pack_panel::<T, S>(view, stored, col, panel);
        } else {
            panel.fill(T::Elem::default());
        }
    }
}

/// Packs up to `T::ROWS` rows of a left operand, rows of `view`.
pub(crate) fn pack_left_rows<T: Tile, S: Element>(view: View<'_, S>, panel: &mut [T::Elem]) {
    match T::ROWS {
        4 => T::pack_left_rows::<4, S>(view, panel),
        6 => T::pack_left_rows::<6, S>(view, panel),
        12 => T::pack_left_rows::<12, S>(view, panel),
        32 => T::pack_left_rows::<32, S>(view, panel),
        _ => unreachable!("tiles are 4, 6, 12 or 32 rows high"),
    }
}

/// Packs up to `T::ROWS` rows of a left operand, columns of `view`.
pub(crate) fn pack_left_cols<T: Tile, S: Element>(view: View<'_, S>, panel: &mut [T::Elem]) {
    match T::ROWS {
        4 => T::pack_left_cols::<4, S>(view, panel),
        6 => T::pack_left_cols::<6, S>(view, panel),
        12 => T::pack_left_cols::<12, S>(view, panel),
        32 => T::pack_left_cols::<32, S>(view, panel),
        _ => unreachable!("tiles are 4, 6, 12 or 32 rows high"),
    }
}
