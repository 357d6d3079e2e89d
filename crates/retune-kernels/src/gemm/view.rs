//! Matrices inside slices.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

/// A row-major matrix inside a slice.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, E> {
    pub(super) data: &'a [E],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) stride: usize,
}

impl<'a, E> View<'a, E> {
    /// A whole slice as `[rows, cols]`.
    ///
    /// # Panics
    /// When the slice has another length.
    pub fn new(data: &'a [E], rows: usize, cols: usize) -> Self {
        assert!(
            data.len() == rows * cols,
            "a matrix of {rows} x {cols} in {} values",
            data.len()
        );
        Self {
            data,
            rows,
            cols,
            stride: cols,
        }
    }

    /// The part of `rows` rows and `cols` columns whose first value is at `(row, col)`.
    ///
    /// # Panics
    /// When it does not lie inside.
    #[must_use]
    pub fn part(self, (row, rows): (usize, usize), (col, cols): (usize, usize)) -> Self {
        assert!(row + rows <= self.rows && col + cols <= self.cols);
        let start = if rows == 0 {
            0
        } else {
            row * self.stride + col
        };
        let end = if rows == 0 {
            0
        } else {
            start + (rows - 1) * self.stride + cols
        };
        Self {
            data: &self.data[start..end],
            rows,
            cols,
            stride: self.stride,
        }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// One row.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &'a [E] {
        &self.data[i * self.stride..][..self.cols]
    }
}
