//! Matrix products: operands f32 or bf16, sums f32, work split the same for any number of threads.
//!
//! The right operand is packed once ([`Packed`]) and multiplied by blocks of rows, each handed to the
//! caller tile by tile while it is hot, so that bias, activation and conversion cost no pass of their own.
//! The scheme is that of Goto & van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008)
//! without the loop over k: layers of networks are short along it.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

#[cfg(target_arch = "x86_64")]
mod amx;
mod finish;
mod kind;
mod left;
mod outer;
mod pack;
#[cfg(test)]
mod tests;
mod tile;
mod view;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

use crate::element::Element;
use crate::parallel;
use crate::scratch;

pub use crate::scratch::Aligned;
pub use kind::{Job, Kind};
pub(crate) use left::{tile_packed, with_left};
pub use outer::{Outer, add_outer, outer, outers};
use pack::pack_panel;
pub use pack::{Packed, Side, Stored};
pub(crate) use pack::{pack_left_cols, pack_left_rows, pack_panels, panel_len};
pub(crate) use tile::MOST;
pub use tile::Tile;
pub use view::View;

/// Rows that one task works on: enough to reuse a panel, few enough to stay in the second cache.
const BLOCK_ROWS: usize = 96;
/// Tasks to aim at, so that a few threads are evenly busy: for all rows, and for those that are left.
const TASKS: (usize, usize) = (16, 8);

/// One finished tile of a product.
#[derive(Debug, Clone, Copy)]
pub struct Spot<'a> {
    /// First row of the tile in the whole product.
    pub row: usize,
    /// Its first row in the block of rows of the outputs.
    pub block_row: usize,
    /// Rows.
    pub rows: usize,
    /// First column.
    pub col: usize,
    /// Columns.
    pub cols: usize,
    values: &'a [f32],
    stride: usize,
}

impl<'a> Spot<'a> {
    /// Row `i` of the tile, `cols` sums.
    #[inline(always)]
    pub fn values(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.stride..][..self.cols]
    }
}

/// `a b` for a `[m, k]` and a packed b `[k, n]`. Each tile of the product is given to `finish` with the
/// block of rows of `out` (`[m, n]`) and `side` (`[m, n]`, or empty) it belongs to.
///
/// `finish` runs on many threads, on tiles in any order.
///
/// # Panics
/// When shapes do not fit.
pub fn multiply<E, O, P, F>(
    a: View<'_, E>,
    b: &Packed<'_, E>,
    out: &mut [O],
    side: &mut [P],
    finish: F,
) where
    E: Element,
    O: Send,
    P: Send,
    F: Fn(Spot<'_>, &mut [O], &mut [P]) + Sync,
{
    multiply_sum((a, b), None, out, side, finish);
}

/// `a b`, or `a b + c d`: as [`multiply`], with the second product summed in the same tiles.
///
/// # Panics
/// When shapes do not fit.
pub fn multiply_sum<E, O, P, F>(
    main: Term<'_, E>,
    more: Option<Term<'_, E>>,
    out: &mut [O],
    side: &mut [P],
    finish: F,
) where
    E: Element,
    O: Send,
    P: Send,
    F: Fn(Spot<'_>, &mut [O], &mut [P]) + Sync,
{
    let (rows, n) = (main.0.rows, main.1.n);
    for (a, b) in [Some(main), more].into_iter().flatten() {
        assert!(a.cols == b.k, "a product of depth {} and {}", a.cols, b.k);
        assert!(
            (a.rows, b.n) == (rows, n),
            "a sum of {rows} x {n} and {} x {}",
            a.rows,
            b.n
        );
    }
    assert!(
        out.len() == rows * n && (side.is_empty() || side.len() == out.len()),
        "a product of {rows} x {n} into {} values",
        out.len()
    );
    if out.is_empty() {
        return;
    }
    let job = Multiply {
        main,
        more,
        out,
        side,
        finish,
    };
    E::dispatch(main.1.isa, job);
}

/// A left and a right operand.
pub type Term<'a, E> = (View<'a, E>, &'a Packed<'a, E>);

/// Some rows of the left operand, with all of the right one.
fn of_rows<E>((a, b): Term<'_, E>, rows: (usize, usize)) -> Term<'_, E>
where
    E: Element,
{
    (a.part(rows, (0, a.cols)), b)
}

struct Multiply<'a, E, O, P, F> {
    main: Term<'a, E>,
    more: Option<Term<'a, E>>,
    out: &'a mut [O],
    side: &'a mut [P],
    finish: F,
}

impl<E, O, P, F> Job<E> for Multiply<'_, E, O, P, F>
where
    E: Element,
    O: Send,
    P: Send,
    F: Fn(Spot<'_>, &mut [O], &mut [P]) + Sync,
{
    type Out = ();

    fn run<T: Tile<Elem = E>>(self) {
        let (a, b) = self.main;
        let shares = shares(a.rows, T::ROWS);
        let outs = parts(self.out, b.n, &shares);
        let sides = parts(self.side, b.n, &shares);
        let tasks = firsts(&shares).zip(outs.into_iter().zip(sides));
        let tasks = tasks.map(|((first, rows), (out, side))| (first, rows, out, side));
        parallel::each(tasks.collect(), |(first, rows, out, side)| {
            let main = of_rows(self.main, (first, rows));
            let more = self.more.map(|term| of_rows(term, (first, rows)));
            multiply_block::<T, _, _, _>(main, more, first, &self.finish, (out, side));
        });
    }
}

/// Rows of each task, multiples of the tile's height but for the last: many at first, fewer towards the end, so
/// that no thread waits long for the last task of another ("guided self-scheduling", Polychronopoulos & Kuck,
/// 1987).
fn shares(m: usize, tile: usize) -> Vec<usize> {
    let most = (m.div_ceil(tile) / TASKS.0).clamp(1, BLOCK_ROWS.div_ceil(tile)) * tile;
    let mut shares = Vec::new();
    let mut left = m;
    while left > 0 {
        let share = (left.div_ceil(TASKS.1 * tile) * tile).clamp(most.min(2 * tile), most);
        shares.push(share.min(left));
        left = left.saturating_sub(share);
    }
    shares
}

/// First row and rows of each task.
fn firsts(shares: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    let firsts = shares.iter().scan(0, |next, rows| {
        *next += rows;
        Some(*next - rows)
    });
    firsts.zip(shares.iter().copied())
}

/// The parts of `values` that the tasks work on: rows of `width` values.
fn parts<'a, O>(mut values: &'a mut [O], width: usize, shares: &[usize]) -> Vec<&'a mut [O]> {
    let part = |share: &usize| {
        let all = std::mem::take(&mut values);
        let (part, rest) = all.split_at_mut((share * width).min(all.len()));
        values = rest;
        part
    };
    shares.iter().map(part).collect()
}

/// All columns of a few rows: panel by panel, tile by tile.
fn multiply_block<T, O, P, F>(
    (a, b): Term<'_, T::Elem>,
    more: Option<Term<'_, T::Elem>>,
    first: usize,
    finish: &F,
    (out, side): (&mut [O], &mut [P]),
) where
    T: Tile,
    F: Fn(Spot<'_>, &mut [O], &mut [P]) + Sync,
{
    let panel_of = |b: &Packed<'_, T::Elem>, col: usize| {
        let len = panel_len::<T>(b.k, T::COLS);
        (col / T::COLS * len, len)
    };
    let (c, d) = more.unwrap_or((a.part((0, a.rows), (0, 0)), b));
    with_left::<T, _>(a, |left| {
        with_left::<T, _>(c, |added| {
            scratch::with::<f32, _>(T::ROWS * T::COLS, |tile| {
                for col in (0..b.n).step_by(T::COLS) {
                    let (at, len) = panel_of(b, col);
                    let right = &b.panels[at..][..len];
                    for row in (0..a.rows).step_by(T::ROWS) {
                        left.tile(row, right, tile, T::COLS, false);
                        if more.is_some() {
                            let (at, len) = panel_of(d, col);
                            added.tile(row, &d.panels[at..][..len], tile, T::COLS, true);
                        }
                        let spot = Spot {
                            row: first + row,
                            block_row: row,
                            rows: T::ROWS.min(a.rows - row),
                            col,
                            cols: T::COLS.min(b.n - col),
                            values: tile,
                            stride: T::COLS,
                        };
                        finish(spot, out, side);
                    }
                }
            });
        });
    });
}
