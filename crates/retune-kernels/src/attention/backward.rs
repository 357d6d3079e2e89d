//! The backward pass: scores are computed again, block of queries by block of queries.

use super::forward::{each_tile, scores_of};
use super::softmax::{Gradient, dot, gradient};
use super::{Call, KEYS, Rows, Shared, Task, panels_len};
use crate::element::Element;
use crate::gemm::{Job, Stored, Tile, View, pack_left_cols, pack_panels, panel_len, tile_packed};
use crate::isa::vectorized;
use crate::parallel::Spread;
use crate::rounding;
use crate::scratch;

/// What the forward pass leaves: its input `[rows, shape.width()]`, its result `[rows, shape.out_width()]`
/// and log-sums `[heads, rows]`.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a, E> {
    /// Queries, keys and values.
    pub qkv: &'a [E],
    /// Result.
    pub out: &'a [E],
    /// Logs of the sums of exponentials.
    pub lse: &'a [f32],
}

/// Gradient of queries, keys and values (`dqkv`, as `saved.qkv`) from that of the result (`dout`, as
/// `saved.out`).
///
/// # Panics
/// When shapes do not fit.
pub fn backward<E: Element>(call: &Call<'_>, saved: Saved<'_, E>, dout: &[E], dqkv: &mut [E]) {
    let (rows, shape) = (call.rows(), call.shape);
    assert!(dqkv.len() == rows * shape.width() && saved.lse.len() == rows * shape.heads);
    let job = Backward {
        call,
        qkv: View::new(saved.qkv, rows, shape.width()),
        out: View::new(saved.out, rows, shape.out_width()),
        dout: View::new(dout, rows, shape.out_width()),
        lse: saved.lse,
        dqkv: Shared::new(dqkv),
    };
    E::dispatch(call.isa, job);
}

struct Backward<'a, E> {
    call: &'a Call<'a>,
    qkv: View<'a, E>,
    out: View<'a, E>,
    dout: View<'a, E>,
    lse: &'a [f32],
    dqkv: Shared<'a, E>,
}

impl<E: Element> Job<E> for Backward<'_, E> {
    type Out = ();

    fn run<T: Tile<Elem = E>>(self) {
        let tasks = 0..self.call.tasks();
        tasks.spread(|index| self.task::<T>(self.call.task(index)));
    }
}

/// Keys and values of a task, packed for the three products they take part in.
struct Panels<'a, E> {
    /// For `q kᵀ`.
    keys_across: &'a [E],
    /// For `dout vᵀ`.
    values_across: &'a [E],
    /// For `ds k`.
    keys_down: &'a [E],
}

/// Gradients of keys and values of a task, `[padded rows, width]` in f32, summed over its query heads.
struct Sums<'a> {
    keys: &'a mut [f32],
    values: &'a mut [f32],
    width: usize,
}

impl<E: Element> Backward<'_, E> {
    fn task<T: Tile<Elem = E>>(&self, task: Task) {
        let shape = self.call.shape;
        let (len, padded, size) = (task.len, task.padded, shape.size);
        if len == 0 {
            return;
        }
        let keys = task.part(self.qkv, shape.key(task.kv_head), size);
        let values = task.part(self.qkv, shape.value(task.kv_head), size);
        let across = panels_len::<T>(size, padded);
        let down = panels_len::<T>(len, size);
        let width = size.next_multiple_of(T::COLS);
        let sums = padded.next_multiple_of(T::ROWS) * width;
        scratch::with::<E, _>(2 * across + down, |space| {
            let (keys_across, space) = space.split_at_mut(across);
            let (values_across, keys_down) = space.split_at_mut(across);
            pack_panels::<T, E>(keys, Stored::Transposed, padded, keys_across);
            pack_panels::<T, E>(values, Stored::Transposed, padded, values_across);
            pack_panels::<T, E>(keys, Stored::Plain, size, keys_down);
            let panels = Panels {
                keys_across,
                values_across,
                keys_down,
            };
            scratch::with::<f32, _>(2 * sums, |space| {
                space.fill(0.0);
                let (keys, values) = space.split_at_mut(sums);
                let mut sums = Sums {
                    keys,
                    values,
                    width,
                };
                self.heads::<T>(task, &panels, &mut sums);
                self.write(task, shape.key(task.kv_head), sums.keys, width);
                self.write(task, shape.value(task.kv_head), sums.values, width);
            });
        });
    }

    fn heads<T: Tile<Elem = E>>(&self, task: Task, panels: &Panels<'_, E>, sums: &mut Sums<'_>) {
        let group = self.call.shape.heads / self.call.shape.kv_heads;
        for head in task.kv_head * group..(task.kv_head + 1) * group {
            for first in (0..task.len).step_by(task.block::<T>()) {
                let n = task.block::<T>().min(task.len - first);
                self.block::<T>(task, (head, first, n), panels, sums);
            }
        }
    }

    /// Queries `first..first + n` of one head.
    fn block<T: Tile<Elem = E>>(
        &self,
        task: Task,
        (head, first, n): (usize, usize, usize),
        panels: &Panels<'_, E>,
        sums: &mut Sums<'_>,
    ) {
        let shape = self.call.shape;
        let rows = |x| {
            task.part(x, shape.query(head), shape.size)
                .part((first, n), (0, shape.size))
        };
        let (queries, dout) = (rows(self.qkv), rows(self.dout));
        let seen = task.keys(shape.causal, first, n);
        let width = seen.next_multiple_of(KEYS);
        scratch::with::<E, _>(2 * n * width, |space| {
            let (weights, dscores) = space.split_at_mut(n * width);
            scratch::with::<f32, _>(2 * n * width, |space| {
                let (scores, dweights) = space.split_at_mut(n * width);
                let keys = |queries| task.keys(shape.causal, first, queries);
                scores_of::<T>(queries, panels.keys_across, (width, keys), scores);
                scores_of::<T>(dout, panels.values_across, (width, keys), dweights);
                self.soften(task, (head, first, n), (scores, dweights));
                rounding::all(self.call.isa, scores, weights);
                rounding::all(self.call.isa, dweights, dscores);
            });
            let view =
                View::new(&*dscores, n, width).part((0, n), (0, seen.next_multiple_of(T::DEPTH)));
            self.dqueries::<T>(task, (head, first), view, panels.keys_down);
            let weights = View::new(&*weights, n, width);
            let dscores = View::new(&*dscores, n, width);
            let blind = |key: usize| {
                if shape.causal {
                    key.saturating_sub(first)
                } else {
                    0
                }
            };
            let seen = (seen, blind);
            add_transposed::<T>(dscores, queries, seen, sums.keys, sums.width);
            add_transposed::<T>(weights, dout, seen, sums.values, sums.width);
        });
    }

    /// Scores and gradients of weights to weights and gradients of scores, in place.
    fn soften(
        &self,
        task: Task,
        (head, first, n): (usize, usize, usize),
        (scores, dweights): (&mut [f32], &mut [f32]),
    ) {
        let (call, shape) = (self.call, self.call.shape);
        let width = scores.len() / n;
        let result = task.part(self.out, shape.query(head), shape.size);
        let dout = task.part(self.dout, shape.query(head), shape.size);
        let lse = &self.lse[head * self.qkv.rows() + task.start + first..][..n];
        let rows = Rows {
            call,
            task,
            head,
            first,
            width,
        };
        let given = Given { result, dout, lse };
        soften(call.isa, rows, given, (scores, dweights));
    }

    /// Gradient of queries: gradients of scores times keys.
    fn dqueries<T: Tile<Elem = E>>(
        &self,
        task: Task,
        (head, first): (usize, usize),
        dscores: View<'_, E>,
        keys_down: &[E],
    ) {
        let shape = self.call.shape;
        let panels = (keys_down, task.len, shape.size);
        let keys = |queries| task.keys(shape.causal, first, queries);
        each_tile::<T>((dscores, keys), panels, |(row, rows), (col, cols), tile| {
            let at = task.start + first + row;
            self.narrow((at, rows), (shape.query(head) + col, cols), tile, T::COLS);
        });
    }

    /// Gradients of one key head's keys or values.
    fn write(&self, task: Task, col: usize, sums: &[f32], width: usize) {
        let columns = (col, self.call.shape.size);
        self.narrow((task.start, task.len), columns, sums, width);
    }

    /// Rounds rows `stride` apart into columns of `dqkv`.
    fn narrow(&self, rows: (usize, usize), cols: (usize, usize), values: &[f32], stride: usize) {
        let width = self.call.shape.width();
        // SAFETY: these columns of these rows belong to this task alone.
        unsafe {
            self.dqkv
                .round(self.call.isa, (values, stride), (rows, cols), width);
        }
    }
}

vectorized! {
    fn soften[E: Element](
        rows: Rows<'_>,
        given: Given<'_, E>,
        scores: (&mut [f32], &mut [f32]),
    ) {
        let (call, width) = (rows.call, rows.width);
        let each = scores.0.chunks_mut(width).zip(scores.1.chunks_mut(width));
        for (i, (s, dp)) in each.enumerate() {
            let query = rows.first + i;
            let row = Gradient {
                n: rows.task.keys(call.shape.causal, query, 1),
                scale: call.scale(),
                lse: given.lse[i],
                dot: dot(given.result.row(query), given.dout.row(query)),
                dropout: call.dropout_of(rows.task, rows.head, query),
            };
            gradient(&row, s, dp);
        }
    }
}

/// What the forward pass left of the rows of one head.
struct Given<'a, E> {
    result: View<'a, E>,
    dout: View<'a, E>,
    lse: &'a [f32],
}

/// `sums += aᵀ b` for the first `seen` columns of a `[n, keys]`, b `[n, size]`; rows of `sums` are `width`
/// apart. From column `j` on, the first `blind(j)` rows of a hold zeros.
fn add_transposed<T: Tile>(
    a: View<'_, T::Elem>,
    b: View<'_, T::Elem>,
    (seen, blind): (usize, impl Fn(usize) -> usize),
    sums: &mut [f32],
    width: usize,
) {
    let n = a.rows();
    let (left, right) = (panel_len::<T>(n, T::ROWS), panel_len::<T>(n, T::COLS));
    scratch::with::<T::Elem, _>(panels_len::<T>(n, b.cols()) + left, |space| {
        let (panels, left) = space.split_at_mut(panels_len::<T>(n, b.cols()));
        pack_panels::<T, T::Elem>(b, Stored::Plain, b.cols(), panels);
        for row in (0..seen).step_by(T::ROWS) {
            let rows = T::ROWS.min(seen - row);
            let skip = blind(row) / T::DEPTH * T::DEPTH;
            let left = &mut left[..panel_len::<T>(n - skip, T::ROWS)];
            pack_left_cols::<T, T::Elem>(a.part((skip, n - skip), (row, rows)), left);
            for (panel, col) in panels.chunks(right).zip((0..b.cols()).step_by(T::COLS)) {
                let at = row * width + col;
                let panel = &panel[skip * T::COLS..];
                tile_packed::<T>(left, panel, &mut sums[at..], (width, T::ROWS, true));
            }
        }
    });
}
