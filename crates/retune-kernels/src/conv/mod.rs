//! What convolutional networks need: convolutions, pooling and batch norm over images with channels last.
//!
//! Images are `[images, height, width, channels]`, so that a pixel is a row of channels: a convolution of one
//! pixel is a plain product of matrices, and everything else is a loop over channels that becomes vector code.
//! Values are f32 or bf16, sums f32. Work is cut by shape alone: results do not depend on the number of threads.

mod batch_norm;
mod columns;
mod dense;
mod depthwise;
mod finish;
mod fold;
mod patches;
mod pool;
mod sweep;
#[cfg(test)]
mod twin;
mod weights;
mod window;

pub use batch_norm::{BatchNorm, NormGradients, Running, Saved, statistics};
pub use dense::{Conv, Gradients, Layer};
pub use depthwise::Depthwise;
pub use finish::{Finish, ScaleGradients};
pub use fold::{Channel, Frozen};
pub use patches::{add_patches, patches};
pub use pool::{Count, Pool, global_average, global_average_backward};
pub use weights::{from_torch, to_torch};
pub use window::{Extent, Window};

/// Pixels, `[rows, channels]`, and others of the same shape that are added before an activation.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a, E> {
    /// The pixels.
    pub x: &'a [E],
    /// What is added, where there is something.
    pub residual: Option<&'a [E]>,
}

/// Asserts that a slice has the length that its shape says.
#[track_caller]
fn check(what: &str, found: usize, expected: usize) {
    assert!(
        found == expected,
        "{what} has {found} values, expected {expected}"
    );
}
