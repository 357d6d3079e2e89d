//! Gradients of weights: `dyᵀ x`.

use super::{
    Job, Stored, Tile, View, block_rows, pack_left_cols, pack_panel, panel_len, tile_packed,
};
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;
use crate::scratch;

/// Tokens per pass: what is packed of `x` then fits the caches.
const DEPTH: usize = 2048;

/// `dw = dyᵀ x` `[out, in]` and, unless empty, `db = ` sums of the columns of dy `[out]`, for dy `[tokens, out]`
/// and x `[tokens, in]`.
///
/// # Panics
/// When shapes do not fit.
pub fn outer<E: Element>(
    isa: Isa,
    dy: View<'_, E>,
    x: View<'_, E>,
    dw: &mut [f32],
    db: &mut [f32],
) {
    assert!(dy.rows == x.rows, "{} and {} tokens", dy.rows, x.rows);
    assert!(
        dw.len() == dy.cols * x.cols && (db.is_empty() || db.len() == dy.cols),
        "a gradient of {} x {} into {} values",
        dy.cols,
        x.cols,
        dw.len()
    );
    db.fill(0.0);
    if dy.rows == 0 {
        dw.fill(0.0);
    } else if !dw.is_empty() {
        E::dispatch(isa, Outer { isa, dy, x, dw, db });
    }
}

struct Outer<'a, E> {
    isa: Isa,
    dy: View<'a, E>,
    x: View<'a, E>,
    dw: &'a mut [f32],
    db: &'a mut [f32],
}

impl<E: Element> Job<E> for Outer<'_, E> {
    type Out = ();

    fn run<T: Tile<Elem = E>>(self) {
        let Self { isa, dy, x, dw, db } = self;
        for first in (0..dy.rows).step_by(DEPTH) {
            let tokens = (first, DEPTH.min(dy.rows - first));
            let dy = dy.part(tokens, (0, dy.cols));
            let x = x.part(tokens, (0, x.cols));
            let len = panel_len::<T>(tokens.1, T::COLS);
            scratch::with::<E, _>(x.cols.div_ceil(T::COLS) * len, |panels| {
                let chunks = panels.chunks_mut(len).enumerate();
                chunks.spread(|(j, panel)| {
                    pack_panel::<T, E>(x, Stored::Plain, j * T::COLS, panel);
                });
                let part = Part {
                    isa,
                    dy,
                    panels,
                    inputs: x.cols,
                    add: first > 0,
                };
                part.run::<T>(dw, db);
            });
        }
    }
}

/// The product over one range of tokens.
struct Part<'a, E> {
    isa: Isa,
    dy: View<'a, E>,
    panels: &'a [E],
    inputs: usize,
    add: bool,
}

impl<E: Element> Part<'_, E> {
    fn run<T: Tile<Elem = E>>(&self, dw: &mut [f32], db: &mut [f32]) {
        let rows = block_rows(self.dy.cols, T::ROWS);
        let mut sums = db.chunks_mut(rows);
        let tasks: Vec<_> = dw
            .chunks_mut(rows * self.inputs)
            .enumerate()
            .map(|(i, dw)| (i * rows, dw, sums.next().unwrap_or_default()))
            .collect();
        tasks
            .into_iter()
            .spread(|(first, dw, db)| self.block::<T>(first, dw, db));
    }

    /// Rows of dw from `first` on.
    fn block<T: Tile<Elem = E>>(&self, first: usize, dw: &mut [f32], db: &mut [f32]) {
        let (k, inputs) = (self.dy.rows, self.inputs);
        let rows = dw.len() / inputs;
        let left = panel_len::<T>(k, T::ROWS);
        let right = panel_len::<T>(k, T::COLS);
        let tile_len = T::ROWS * T::COLS;
        scratch::with::<E, _>(rows.div_ceil(T::ROWS) * left, |packed| {
            let starts = (0..rows).step_by(T::ROWS);
            for (row, panel) in starts.clone().zip(packed.chunks_mut(left)) {
                let n = T::ROWS.min(rows - row);
                let part = self.dy.part((0, k), (first + row, n));
                pack_left_cols::<T, E>(part, panel);
                if !db.is_empty() {
                    let sums = &mut db[row..row + n];
                    add_columns(self.isa, panel, T::ROWS, T::DEPTH, sums);
                }
            }
            scratch::with::<f32, _>(tile_len, |tile| {
                for col in (0..inputs).step_by(T::COLS) {
                    let panel = &self.panels[col / T::COLS * right..][..right];
                    let cols = T::COLS.min(inputs - col);
                    for (row, left) in starts.clone().zip(packed.chunks(left)) {
                        let n = T::ROWS.min(rows - row);
                        let at = row * inputs + col;
                        if cols == T::COLS {
                            let form = (inputs, n, self.add);
                            tile_packed::<T>(left, panel, &mut dw[at..], form);
                            continue;
                        }
                        tile_packed::<T>(left, panel, tile, (T::COLS, n, false));
                        for (i, values) in tile.chunks(T::COLS).take(n).enumerate() {
                            let place = &mut dw[at + i * inputs..][..cols];
                            for (to, from) in place.iter_mut().zip(values) {
                                *to = if self.add { *to + from } else { *from };
                            }
                        }
                    }
                }
            });
        });
    }
}

vectorized! {
    /// Adds the sums over k of a left panel of so many rows and neighbours to `sums`, at most one per row.
    fn add_columns[E: Element](panel: &[E], rows: usize, depth: usize, sums: &mut [f32]) {
        // 24 lanes hold a step of the widest tile: 12 rows, 2 neighbours.
        let mut lanes = [0f32; 24];
        if rows * depth == 24 {
            for step in panel.chunks_exact(24) {
                for (lane, value) in lanes.iter_mut().zip(step) {
                    *lane += value.wide();
                }
            }
        } else {
            for step in panel.chunks_exact(rows * depth) {
                for (lane, value) in lanes.iter_mut().zip(step) {
                    *lane += value.wide();
                }
            }
        }
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += lanes[i * depth..][..depth].iter().sum::<f32>();
        }
    }
}
