//! Layers that families are built from; each holds parameters and calls [`crate::ops`].

pub mod conv;
mod embedding;
mod linear;
mod norm;

pub use embedding::Embedding;
pub use linear::{Adapter, Linear};
pub use norm::LayerNorm;
