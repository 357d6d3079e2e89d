//! CPU kernels over plain slices, and the few other places where unsafe code is needed.
//!
//! Knows no tensors and no models. Every function is safe to call with any slices: lengths are
//! checked, and results do not depend on the number of threads.

pub mod dropout;
pub mod mapped;
pub mod optimizer;
pub mod process;
pub mod sum;
