//! Scaled dot-product attention over packed sequences (Vaswani et al., arXiv:1706.03762), computed in blocks
//! of queries so that only one number per query is kept for the backward pass (Dao et al., "FlashAttention",
//! arXiv:2205.14135). Tiles of products in which no query sees a key are not computed.
//!
//! Rows of `qkv` are `[queries (heads * size) | keys (kv_heads * size) | values (kv_heads * size)]`; fewer
//! key heads than query heads is grouped-query attention (Ainslie et al., arXiv:2305.13245).

#![expect(unsafe_code, reason = "tasks write columns of the same rows")]
#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

mod backward;
mod forward;
mod softmax;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

pub use backward::{Saved, backward};
pub use forward::forward;

use crate::dropout::{Rate, Row, Stream};
use crate::element::Element;
use crate::gemm::{Tile, View, panel_len};
use crate::isa::Isa;
use crate::rounding;

/// Keys are handled in multiples of this: the width of the widest tile.
const KEYS: usize = 32;
/// Bytes of scores that one task keeps at a time.
const SCORE_BYTES: usize = 1 << 18;

/// Sizes of an attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub size: usize,
    /// Whether a query sees only itself and what came before.
    pub causal: bool,
}

impl Shape {
    /// Width of a row of queries, keys and values.
    pub fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.size
    }

    /// Width of a row of results.
    pub fn out_width(&self) -> usize {
        self.heads * self.size
    }

    /// First column of the queries of `head`.
    fn query(&self, head: usize) -> usize {
        head * self.size
    }

    /// First column of the keys of `kv_head`.
    fn key(&self, kv_head: usize) -> usize {
        (self.heads + kv_head) * self.size
    }

    /// First column of the values of `kv_head`.
    fn value(&self, kv_head: usize) -> usize {
        (self.heads + self.kv_heads + kv_head) * self.size
    }
}

/// Dropout of attention probabilities.
#[derive(Debug, Clone, Copy)]
pub struct Dropout<'a> {
    /// Probability.
    pub rate: Rate,
    /// The stream of the pass and layer.
    pub stream: Stream,
    /// Key of each sequence.
    pub keys: &'a [u64],
}

impl Dropout<'_> {
    /// The random numbers of a query: one per key position.
    #[inline(always)]
    fn row(&self, sequence: usize, head: usize, query: usize) -> Row {
        let place = ((head as u64) << 32) | query as u64;
        self.stream.row(self.keys[sequence], place)
    }
}

/// What forward and backward share.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Instructions to use.
    pub isa: Isa,
    /// Sizes.
    pub shape: Shape,
    /// Row at which each sequence starts, and the number of rows: `[sequences + 1]`.
    pub starts: &'a [usize],
    /// Dropout of the probabilities.
    pub dropout: Option<Dropout<'a>>,
}

impl Call<'_> {
    /// Sequences, key heads: one task each.
    fn tasks(&self) -> usize {
        self.starts.len().saturating_sub(1) * self.shape.kv_heads
    }

    fn task(&self, index: usize) -> Task {
        let (sequence, kv_head) = (index / self.shape.kv_heads, index % self.shape.kv_heads);
        let (start, end) = (self.starts[sequence], self.starts[sequence + 1]);
        Task {
            sequence,
            kv_head,
            start,
            len: end - start,
            padded: (end - start).next_multiple_of(KEYS),
        }
    }

    /// Checks the form of the call and returns the number of rows.
    fn rows(&self) -> usize {
        let shape = self.shape;
        assert!(
            shape.kv_heads > 0 && shape.heads.is_multiple_of(shape.kv_heads) && shape.size > 0,
            "{} heads share {} key heads of {}",
            shape.heads,
            shape.kv_heads,
            shape.size
        );
        assert!(
            self.starts.is_sorted() && self.starts.first().is_none_or(|first| *first == 0),
            "starts of sequences do not rise from 0"
        );
        let sequences = self.starts.len().saturating_sub(1);
        assert!(
            self.dropout.is_none_or(|d| d.keys.len() == sequences),
            "one key per sequence"
        );
        self.starts.last().copied().unwrap_or(0)
    }

    #[inline(always)]
    fn dropout_of(&self, task: Task, head: usize, query: usize) -> Option<(Rate, Row)> {
        self.dropout
            .map(|dropout| (dropout.rate, dropout.row(task.sequence, head, query)))
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        1.0 / (self.shape.size as f32).sqrt()
    }
}

/// One sequence and one key head.
#[derive(Clone, Copy)]
struct Task {
    sequence: usize,
    kv_head: usize,
    /// First row.
    start: usize,
    /// Rows.
    len: usize,
    /// Rows, rounded up for vectors.
    padded: usize,
}

impl Task {
    /// Queries worked on at a time.
    fn block<T: Tile>(&self) -> usize {
        let rows = SCORE_BYTES / (size_of::<f32>() * self.padded.max(1));
        (rows / T::ROWS).clamp(1, 96 / T::ROWS) * T::ROWS
    }

    /// Keys that queries `first..first + n` see.
    #[inline(always)]
    fn keys(&self, causal: bool, first: usize, n: usize) -> usize {
        if causal { first + n } else { self.len }
    }

    /// The columns `col..col + size` of this sequence's rows.
    fn part<'a, E>(&self, x: View<'a, E>, col: usize, size: usize) -> View<'a, E> {
        x.part((self.start, self.len), (col, size))
    }
}

/// Scores of consecutive queries of one head.
struct Rows<'a> {
    call: &'a Call<'a>,
    task: Task,
    head: usize,
    /// First query.
    first: usize,
    /// Scores per query.
    width: usize,
}

/// Values in panels as the right operand of a product of depth `k` and `n` columns.
fn panels_len<T: Tile>(k: usize, n: usize) -> usize {
    n.div_ceil(T::COLS) * panel_len::<T>(k, T::COLS)
}

/// An output that several tasks write, each its own places.
struct Shared<'a, E> {
    values: *mut E,
    len: usize,
    life: PhantomData<&'a mut [E]>,
}

// SAFETY: it only hands out places by `at`, whose callers keep them apart.
unsafe impl<E: Send> Sync for Shared<'_, E> {}

impl<'a, E> Shared<'a, E> {
    fn new(values: &'a mut [E]) -> Self {
        Self {
            values: values.as_mut_ptr(),
            len: values.len(),
            life: PhantomData,
        }
    }

    /// Rounds rows of `values`, `values.1` apart, to the rows and columns of a matrix `stride` wide: of each the
    /// first and their number.
    ///
    /// # Safety
    /// As [`Shared::at`] for these rows of these columns.
    unsafe fn round(
        &self,
        isa: Isa,
        values: (&[f32], usize),
        ((first, rows), (col, cols)): ((usize, usize), (usize, usize)),
        stride: usize,
    ) where
        E: Element,
    {
        assert!(rows == 0 || (first + rows - 1) * stride + col + cols <= self.len);
        // SAFETY: inside the slice by the assertion, and not shared by the caller's promise.
        unsafe {
            let out = self.values.add(first * stride + col);
            rounding::rows_at(isa, values, (rows, cols), (out, stride));
        }
    }

    /// The `len` values from `start` on.
    ///
    /// # Safety
    /// No other task uses these places, and this one holds no other reference to them.
    #[expect(clippy::mut_from_ref, reason = "places are kept apart by the caller")]
    unsafe fn at(&self, start: usize, len: usize) -> &mut [E] {
        assert!(start + len <= self.len);
        // SAFETY: inside the slice by the assertion, and not shared by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.values.add(start), len) }
    }
}
