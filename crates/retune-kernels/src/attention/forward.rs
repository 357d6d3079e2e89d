//! The forward pass: block of queries by block of queries.

use super::softmax::softmax;
use super::{Call, Rows, Shared, Task, panels_len};
use crate::element::Element;
use crate::gemm::{Job, MOST, Stored, Tile, View, pack_panels, panel_len, with_left};
use crate::isa::vectorized;
use crate::parallel::Spread;
use crate::rounding;
use crate::scratch;

/// `softmax(q kᵀ / sqrt(size)) v` per sequence and head: qkv `[rows, shape.width()]`, out `[rows,
/// shape.out_width()]`; `lse` `[heads, rows]` is kept for [`super::backward`].
///
/// # Panics
/// When shapes do not fit.
pub fn forward<E: Element>(call: &Call<'_>, qkv: &[E], out: &mut [E], lse: &mut [f32]) {
    let (rows, shape) = (call.rows(), call.shape);
    let qkv = View::new(qkv, rows, shape.width());
    assert!(out.len() == rows * shape.out_width() && lse.len() == rows * shape.heads);
    let job = Forward {
        call,
        qkv,
        out: Shared::new(out),
        lse: Shared::new(lse),
    };
    E::dispatch(call.isa, job);
}

struct Forward<'a, E> {
    call: &'a Call<'a>,
    qkv: View<'a, E>,
    out: Shared<'a, E>,
    lse: Shared<'a, f32>,
}

impl<E: Element> Job<E> for Forward<'_, E> {
    type Out = ();

    fn run<T: Tile<Elem = E>>(self) {
        let tasks = 0..self.call.tasks();
        tasks.spread(|index| self.task::<T>(self.call.task(index)));
    }
}

impl<E: Element> Forward<'_, E> {
    /// All queries of the heads that share one key head of one sequence.
    fn task<T: Tile<Elem = E>>(&self, task: Task) {
        let shape = self.call.shape;
        let (len, padded, size) = (task.len, task.padded, shape.size);
        if len == 0 {
            return;
        }
        let keys = task.part(self.qkv, shape.key(task.kv_head), size);
        let values = task.part(self.qkv, shape.value(task.kv_head), size);
        let group = shape.heads / shape.kv_heads;
        let heads = task.kv_head * group..(task.kv_head + 1) * group;
        scratch::with::<E, _>(panels_len::<T>(size, padded), |key_panels| {
            pack_panels::<T, E>(keys, Stored::Transposed, padded, key_panels);
            scratch::with::<E, _>(panels_len::<T>(len, size), |value_panels| {
                pack_panels::<T, E>(values, Stored::Plain, size, value_panels);
                for head in heads {
                    for first in (0..len).step_by(task.block::<T>()) {
                        let n = task.block::<T>().min(len - first);
                        self.block::<T>(task, (head, first, n), key_panels, value_panels);
                    }
                }
            });
        });
    }

    /// Queries `first..first + n` of one head.
    fn block<T: Tile<Elem = E>>(
        &self,
        task: Task,
        (head, first, n): (usize, usize, usize),
        key_panels: &[E],
        value_panels: &[E],
    ) {
        let shape = self.call.shape;
        let seen = task.keys(shape.causal, first, n);
        let width = seen.next_multiple_of(super::KEYS);
        let queries = task
            .part(self.qkv, shape.query(head), shape.size)
            .part((first, n), (0, shape.size));
        scratch::with::<f32, _>(n * width, |scores| {
            let keys = |queries| task.keys(shape.causal, first, queries);
            scores_of::<T>(queries, key_panels, (width, keys), scores);
            scratch::with::<E, _>(n * width, |weights| {
                self.soften(task, (head, first, n), scores);
                rounding::all(self.call.isa, scores, weights);
                let weights =
                    View::new(weights, n, width).part((0, n), (0, seen.next_multiple_of(T::DEPTH)));
                self.mix::<T>(task, (head, first), weights, value_panels);
            });
        });
    }

    /// Scores to weights.
    fn soften(&self, task: Task, (head, first, n): (usize, usize, usize), scores: &mut [f32]) {
        let (call, rows) = (self.call, self.qkv.rows());
        // SAFETY: these rows of this head belong to this task alone.
        let lse = unsafe { self.lse.at(head * rows + task.start + first, n) };
        let rows = Rows {
            call,
            task,
            head,
            first,
            width: scores.len() / n,
        };
        soften(call.isa, rows, scores, lse);
    }

    /// Weights times values, into the output.
    fn mix<T: Tile<Elem = E>>(
        &self,
        task: Task,
        (head, first): (usize, usize),
        weights: View<'_, E>,
        value_panels: &[E],
    ) {
        let shape = self.call.shape;
        let panels = (value_panels, task.len, shape.size);
        let keys = |queries| task.keys(shape.causal, first, queries);
        let places = (task.start + first, shape.query(head), shape.out_width());
        each_tile::<T>((weights, keys), panels, |(row, rows), (col, cols), tile| {
            let (first, start, stride) = places;
            let at = ((first + row, rows), (start + col, cols));
            // SAFETY: these columns of these rows belong to this task alone.
            unsafe { self.out.round(self.call.isa, (tile, T::COLS), at, stride) }
        });
    }
}

/// Gives every tile of `a b` to `f`, with its first row and rows, first column and columns: b has depth `k` and
/// `n` columns, in panels. Beyond the first `depth(i)` columns the first `i` rows of a hold zeros.
pub(super) fn each_tile<T: Tile>(
    (a, depth): (View<'_, T::Elem>, impl Fn(usize) -> usize),
    (panels, k, n): (&[T::Elem], usize, usize),
    mut f: impl FnMut((usize, usize), (usize, usize), &[f32]),
) {
    let panel = panel_len::<T>(k, T::COLS);
    let mut tile = [0f32; MOST];
    with_left::<T, _>(a, |left| {
        for col in (0..n).step_by(T::COLS) {
            let right = &panels[col / T::COLS * panel..][..panel];
            for row in (0..a.rows()).step_by(T::ROWS) {
                let rows = T::ROWS.min(a.rows() - row);
                let depth = depth(row + rows);
                left.tile_to((row, depth), right, &mut tile, T::COLS, false);
                f((row, rows), (col, T::COLS.min(n - col)), &tile);
            }
        }
    });
}

vectorized! {
    fn soften(rows: Rows<'_>, scores: &mut [f32], lse: &mut [f32]) {
        let (call, scale) = (rows.call, rows.call.scale());
        for (i, (scores, lse)) in scores.chunks_mut(rows.width).zip(lse).enumerate() {
            let query = rows.first + i;
            let seen = rows.task.keys(call.shape.causal, query, 1);
            let dropout = call.dropout_of(rows.task, rows.head, query);
            *lse = softmax(scores, seen, scale, dropout);
        }
    }
}

/// `a b` for all `width` columns packed in `panels`, rows `width` apart. Of the first `i` rows no column from
/// `seen(i)` on is needed: what stands there is left where a whole tile of it does.
pub(super) fn scores_of<T: Tile>(
    a: View<'_, T::Elem>,
    panels: &[T::Elem],
    (width, seen): (usize, impl Fn(usize) -> usize),
    out: &mut [f32],
) {
    let panel = panel_len::<T>(a.cols(), T::COLS);
    with_left::<T, _>(a, |left| {
        for col in (0..width).step_by(T::COLS) {
            let right = &panels[col / T::COLS * panel..][..panel];
            for row in (0..a.rows()).step_by(T::ROWS) {
                if col < seen(row + T::ROWS.min(a.rows() - row)) {
                    left.tile(row, right, &mut out[row * width + col..], width, false);
                }
            }
        }
    });
}
