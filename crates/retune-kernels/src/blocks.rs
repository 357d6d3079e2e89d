//! How kernels over rows are cut into tasks: by shape alone, so that sums over rows are always taken in
//! the same order.

/// Values per task: enough to outweigh handing it out.
const VALUES: usize = 1 << 14;
/// Rows per task at least: sums over rows keep one partial result per task.
const LEAST_ROWS: usize = 16;

/// Rows per task of rows of `width` values (at least one value).
pub(crate) fn rows(width: usize) -> usize {
    (VALUES / width).max(LEAST_ROWS)
}
