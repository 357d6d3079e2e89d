//! Rows of embedding tables: gathered and summed forward, their gradients kept by row backward.

use std::cmp::Ordering;

use crate::blocks;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;

/// `out[token] = Σ table[ids[token]]` over the tables, in their order: words, positions, types.
///
/// Each table is `[its rows, width]` and comes with one row number per token; `out` is `[tokens, width]`.
///
/// # Panics
/// When a length is wrong or a table has no row of a given number.
pub fn gather_sum(tables: &[(&[f32], &[u32])], width: usize, out: &mut [f32]) {
    gather_sum_on(Isa::current(), tables, width, out);
}

/// [`gather_sum`] with these instructions.
pub(crate) fn gather_sum_on(isa: Isa, tables: &[(&[f32], &[u32])], width: usize, out: &mut [f32]) {
    for (which, (table, ids)) in tables.iter().enumerate() {
        let (rows, rest) = (table.len() / width.max(1), table.len() % width.max(1));
        assert!(
            rest == 0 && out.len() == ids.len() * width,
            "gather: table {which} has {} values and {} ids, expected rows of {width} and {} outputs",
            table.len(),
            ids.len(),
            out.len()
        );
        check(ids, rows, which);
    }
    if out.is_empty() {
        return;
    }
    let many = blocks::rows(width);
    out.chunks_mut(many * width)
        .enumerate()
        .spread(|(block, out)| gather_rows(isa, tables, width, block * many, out));
}

fn check(ids: &[u32], rows: usize, which: usize) {
    for (token, id) in ids.iter().enumerate() {
        assert!(
            (*id as usize) < rows,
            "gather: token {token} asks table {which} for row {id}, expected one of {rows} rows from 0"
        );
    }
}

vectorized! {
    /// The tokens from `first` on.
    fn gather_rows(tables: &[(&[f32], &[u32])], width: usize, first: usize, out: &mut [f32]) {
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let row = |(_, ids): &(&[f32], &[u32])| {
                let start = ids[first + i] as usize * width;
                start..start + width
            };
            let Some((head, others)) = tables.split_first() else {
                out.fill(0.0);
                continue;
            };
            out.copy_from_slice(&head.0[row(head)]);
            for table in others {
                for (out, value) in out.iter_mut().zip(&table.0[row(table)]) {
                    *out += value;
                }
            }
        }
    }

    /// One sum per row of `out`: row `i` has the tokens of `order[starts[i]..starts[i + 1]]`.
    fn sum_tokens(order: &[u64], starts: &[usize], dy: &[f32], width: usize, out: &mut [f32]) {
        for (span, out) in starts.windows(2).zip(out.chunks_exact_mut(width)) {
            for (nth, entry) in order[span[0]..span[1]].iter().enumerate() {
                let start = token(*entry) * width;
                let dy = &dy[start..start + width];
                if nth == 0 {
                    out.copy_from_slice(dy);
                } else {
                    for (out, dy) in out.iter_mut().zip(dy) {
                        *out += dy;
                    }
                }
            }
        }
    }
}

/// Id in the high half, token in the low half: sorting gives the tokens of each id in their order.
fn entry(token: usize, id: u32) -> u64 {
    u64::from(id) << 32 | token as u64
}

fn id(entry: u64) -> u32 {
    (entry >> 32) as u32
}

fn token(entry: u64) -> usize {
    entry as u32 as usize
}

/// The gradient of a table whose other rows have none.
#[derive(Debug, Clone, PartialEq)]
pub struct RowGradient {
    /// The rows that have a gradient, ascending, each once.
    pub rows: Vec<u32>,
    /// Their gradients, `[rows.len(), width]`.
    pub values: Vec<f32>,
    /// Values per row.
    pub width: usize,
}

/// The gradient of a table from that of the rows gathered from it: `dy`, `[ids.len(), width]`.
///
/// The tokens of a row are added in their order.
///
/// # Panics
/// When a length is wrong.
pub fn scatter(ids: &[u32], dy: &[f32], width: usize) -> RowGradient {
    scatter_on(Isa::current(), ids, dy, width)
}

/// [`scatter`] with these instructions.
pub(crate) fn scatter_on(isa: Isa, ids: &[u32], dy: &[f32], width: usize) -> RowGradient {
    assert!(
        dy.len() == ids.len() * width && u32::try_from(ids.len()).is_ok(),
        "scatter: {} values for {} tokens of {width}",
        dy.len(),
        ids.len()
    );
    let mut order: Vec<u64> = (0..).zip(ids).map(|(t, id)| entry(t, *id)).collect();
    order.sort_unstable();
    let mut starts: Vec<usize> = (0..order.len())
        .filter(|i| *i == 0 || id(order[*i]) != id(order[i - 1]))
        .collect();
    let rows: Vec<u32> = starts.iter().map(|start| id(order[*start])).collect();
    starts.push(order.len());
    let mut values = vec![0f32; rows.len() * width];
    if !values.is_empty() {
        let many = blocks::rows(width);
        values
            .chunks_mut(many * width)
            .enumerate()
            .spread(|(block, out)| {
                let first = block * many;
                let starts = &starts[first..=first + out.len() / width];
                sum_tokens(isa, &order, starts, dy, width, out);
            });
    }
    RowGradient {
        rows,
        values,
        width,
    }
}

impl RowGradient {
    /// The sum of both.
    ///
    /// # Panics
    /// When the widths differ.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        assert!(
            self.width == other.width,
            "gradients of rows of {} and of {} values",
            self.width,
            other.width
        );
        let width = self.width;
        let mut sum = Self {
            rows: Vec::with_capacity(self.rows.len() + other.rows.len()),
            values: Vec::with_capacity(self.values.len() + other.values.len()),
            width,
        };
        let (mut i, mut j) = (0, 0);
        loop {
            let order = match (self.rows.get(i), other.rows.get(j)) {
                (Some(ours), Some(theirs)) => ours.cmp(theirs),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            if order.is_eq() {
                let (a, b) = (self.row(i), other.row(j));
                sum.values.extend(a.iter().zip(b).map(|(a, b)| a + b));
            } else if order.is_lt() {
                sum.values.extend_from_slice(self.row(i));
            } else {
                sum.values.extend_from_slice(other.row(j));
            }
            sum.rows.push(if order.is_le() {
                self.rows[i]
            } else {
                other.rows[j]
            });
            i += usize::from(order.is_le());
            j += usize::from(order.is_ge());
        }
        sum
    }

    /// The gradient of row `rows[i]`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.width..(i + 1) * self.width]
    }

    /// As a whole table of `total` rows: `[total, width]`.
    ///
    /// # Panics
    /// When a row is outside.
    pub fn dense(&self, total: usize) -> Vec<f32> {
        self.check(total);
        let mut out = vec![0f32; total * self.width];
        for (i, row) in self.rows.iter().enumerate() {
            let start = *row as usize * self.width;
            out[start..start + self.width].copy_from_slice(self.row(i));
        }
        out
    }

    /// Asserts that it is a gradient of a table of `total` rows.
    pub(crate) fn check(&self, total: usize) {
        assert!(
            self.values.len() == self.rows.len() * self.width,
            "a row gradient of {} values for {} rows of {}",
            self.values.len(),
            self.rows.len(),
            self.width
        );
        assert!(
            self.rows.is_sorted_by(|a, b| a < b),
            "a row gradient whose rows do not ascend"
        );
        let last = self.rows.last().map_or(0, |row| *row as usize + 1);
        assert!(
            last <= total,
            "a row gradient up to row {} of a table of {total} rows",
            last.saturating_sub(1)
        );
    }
}

#[cfg(test)]
mod tests;
