//! Layers that families are built from; each holds parameters and calls [`crate::ops`].

pub mod conv;
mod embedding;
mod linear;
mod norm;
mod patches;
pub mod positions;
pub mod pre_norm;

pub use embedding::Embedding;
pub use linear::{Adapter, Linear, unit_rows};
pub use norm::LayerNorm;
pub use patches::Patches;
