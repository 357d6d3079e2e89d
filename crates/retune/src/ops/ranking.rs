//! Losses that rank a right item above others, from vectors rather than from logits.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{Precision, cpu, reference};

/// The rows of a ranking loss.
#[derive(Debug, Clone)]
pub struct RankedRows {
    /// The right item of each row, `[rows]`.
    pub targets: Arc<Vec<u32>>,
    /// Weight of each row, `[rows]`; 0 leaves it out.
    pub weights: Arc<Vec<f32>>,
    /// Format of the operands of products.
    pub precision: Precision,
}

/// Items drawn uniformly instead of all.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// Vector of each row's right item, `[rows, width]`.
    pub positives: Tensor<2>,
    /// Vectors of the items drawn, `[drawn, width]`, the same for all rows.
    pub negatives: Tensor<2>,
    /// The items drawn, `[drawn]`.
    pub ids: Arc<Vec<u32>>,
}

/// Weighted sum over rows of `-log softmax(scale * hidden itemsᵀ)[target]`: hidden `[rows, width]`, all items
/// `[items, width]`, scale `[1]` (the inverse temperature); result `[1]`. On the CPU no more than a few rows of scores
/// exist at a time.
///
/// # Panics
/// When a target is no item.
pub fn ranking_loss(
    hidden: Tensor<2>,
    items: Tensor<2>,
    scale: Tensor<1>,
    rows: &RankedRows,
) -> Tensor<1> {
    cpu::ranking_loss(&hidden, &items, &scale, rows)
        .unwrap_or_else(|| reference::ranking_loss(hidden, items, scale, rows))
}

/// The same against each row's right item and the items drawn, of which those that are the row's target do not count
/// (sampled softmax; Klenitskiy & Vasilev, arXiv:2309.07602, compare it with the full one).
pub fn sampled_ranking_loss(
    hidden: Tensor<2>,
    drawn: Drawn,
    scale: Tensor<1>,
    rows: &RankedRows,
) -> Tensor<1> {
    cpu::sampled_ranking_loss(&hidden, &drawn, &scale, rows)
        .unwrap_or_else(|| reference::sampled_ranking_loss(hidden, drawn, scale, rows))
}
