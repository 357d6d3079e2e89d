//! Gradients of weights: `dyᵀ x`.

use super::{
    Job, Stored, Tile, View, firsts, pack_left_cols, pack_panel, panel_len, parts, shares,
    tile_packed,
};
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::{self, Spread};
use crate::{rounding, scratch};

/// Tokens per pass: what is packed of `x` then fits the caches.
const DEPTH: usize = 2048;
/// Bytes of a gradient from which on it is written past the caches, where the CPU can: it is read again when all are
/// there.
const LARGE: usize = 1 << 18;

/// One weight and what becomes its gradient.
#[derive(Debug)]
pub struct Outer<'a, E> {
    /// Gradient of the outputs, `[tokens, out]`.
    pub dy: View<'a, E>,
    /// Becomes `dyᵀ x`, `[out, in]`.
    pub dw: &'a mut [f32],
    /// Becomes the sums of the columns of dy, `[out]`; may be empty.
    pub db: &'a mut [f32],
}

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
    outers(isa, x, &mut [Outer { dy, dw, db }]);
}

/// As [`outer`], added to what `dw` and `db` hold: for the gradient of a weight by parts of its tokens.
///
/// # Panics
/// When shapes do not fit.
pub fn add_outer<E: Element>(
    isa: Isa,
    dy: View<'_, E>,
    x: View<'_, E>,
    dw: &mut [f32],
    db: &mut [f32],
) {
    let weights = &mut [Outer { dy, dw, db }];
    check(x, weights);
    run(isa, x, weights, true);
}

/// [`outer`] of several weights that read the same x.
///
/// # Panics
/// When shapes do not fit.
pub fn outers<E: Element>(isa: Isa, x: View<'_, E>, weights: &mut [Outer<'_, E>]) {
    check(x, weights);
    for Outer { dw, db, .. } in &mut *weights {
        db.fill(0.0);
        if x.rows == 0 {
            dw.fill(0.0);
        }
    }
    run(isa, x, weights, false);
}

/// Asserts that shapes fit.
#[track_caller]
fn check<E>(x: View<'_, E>, weights: &[Outer<'_, E>]) {
    for Outer { dy, dw, db } in weights {
        assert!(dy.rows == x.rows, "{} and {} tokens", dy.rows, x.rows);
        assert!(
            dw.len() == dy.cols * x.cols && (db.is_empty() || db.len() == dy.cols),
            "a gradient of {} x {} into {} values",
            dy.cols,
            x.cols,
            dw.len()
        );
    }
}

fn run<E: Element>(isa: Isa, x: View<'_, E>, weights: &mut [Outer<'_, E>], add: bool) {
    if x.rows > 0 && x.cols > 0 {
        let job = Outers {
            isa,
            x,
            weights,
            add,
        };
        E::dispatch(isa, job);
    }
}

struct Outers<'a, 'b, E> {
    isa: Isa,
    x: View<'a, E>,
    weights: &'a mut [Outer<'b, E>],
    /// Whether to add to what is there.
    add: bool,
}

impl<E: Element> Job<E> for Outers<'_, '_, E> {
    type Out = ();

    fn run<T: Tile<Elem = E>>(self) {
        let Self {
            isa,
            x,
            weights,
            add,
        } = self;
        for first in (0..x.rows).step_by(DEPTH) {
            let tokens = (first, DEPTH.min(x.rows - first));
            let x = x.part(tokens, (0, x.cols));
            let len = panel_len::<T>(tokens.1, T::COLS);
            scratch::with::<E, _>(x.cols.div_ceil(T::COLS) * len, |panels| {
                let chunks = panels.chunks_mut(len).enumerate();
                chunks.spread(|(j, panel)| {
                    pack_panel::<T, E>(x, Stored::Plain, j * T::COLS, panel);
                });
                let add = add || first > 0;
                let parts = weights.iter_mut().map(|weight| {
                    let part = Part {
                        isa,
                        dy: weight.dy.part(tokens, (0, weight.dy.cols)),
                        panels,
                        inputs: x.cols,
                        add,
                        past: !add && isa >= Isa::Avx512 && size_of_val(weight.dw) >= LARGE,
                    };
                    part.tasks::<T>(weight)
                });
                let tasks: Vec<_> = parts.flatten().collect();
                parallel::each(tasks, |task| {
                    task.part.block::<T>(task.first, task.dw, task.db);
                });
            });
        }
    }
}

/// Rows of one gradient from `first` on.
struct Task<'a, 'b, E> {
    part: Part<'a, E>,
    first: usize,
    dw: &'b mut [f32],
    db: &'b mut [f32],
}

/// The product over one range of tokens.
#[derive(Clone, Copy)]
struct Part<'a, E> {
    isa: Isa,
    dy: View<'a, E>,
    panels: &'a [E],
    inputs: usize,
    add: bool,
    /// Whether results go past the caches.
    past: bool,
}

impl<'a, E: Element> Part<'a, E> {
    fn tasks<'b, T: Tile<Elem = E>>(self, weight: &'b mut Outer<'_, E>) -> Vec<Task<'a, 'b, E>> {
        let shares = shares(self.dy.cols, T::ROWS);
        let dws = parts(weight.dw, self.inputs, &shares);
        let dbs = parts(weight.db, 1, &shares);
        let tasks = firsts(&shares).zip(dws.into_iter().zip(dbs));
        let tasks = tasks.map(|((first, _), (dw, db))| Task {
            part: self,
            first,
            dw,
            db,
        });
        tasks.collect()
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
                        if cols == T::COLS && !self.past {
                            let form = (inputs, n, self.add);
                            tile_packed::<T>(left, panel, &mut dw[at..], form);
                            continue;
                        }
                        tile_packed::<T>(left, panel, tile, (T::COLS, n, false));
                        if self.past {
                            let (from, to) = ((&*tile, T::COLS), (&mut dw[at..], inputs));
                            rounding::rows_past_caches(self.isa, from, (n, cols), to);
                            continue;
                        }
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
        if depth == 32 {
            // The values of a row in a step fill vectors by themselves.
            for (i, sum) in sums.iter_mut().enumerate() {
                let mut lanes = [0f32; 32];
                for step in panel.chunks_exact(rows * depth) {
                    for (lane, value) in lanes.iter_mut().zip(&step[i * depth..][..32]) {
                        *lane += value.wide();
                    }
                }
                *sum += lanes.iter().sum::<f32>();
            }
            return;
        }
        // 24 lanes hold a step of the widest other tile: 12 rows, 2 neighbours.
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
