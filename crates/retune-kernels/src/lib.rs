//! CPU kernels over plain slices, and the few other places where unsafe code is needed.
//!
//! Knows no tensors and no models. Every function is safe to call with any slices: lengths are
//! checked, and results do not depend on the number of threads.

pub mod activation;
pub mod attention;
mod blocks;
pub mod conv;
pub mod cross_entropy;
pub mod dropout;
pub mod element;
pub mod embedding;
pub mod gemm;
pub mod isa;
pub mod mapped;
pub mod math;
pub mod members;
pub mod norm;
pub mod optimizer;
pub mod parallel;
pub mod pointwise;
pub mod process;
pub mod ranking;
mod rounding;
pub mod scratch;
pub mod sum;
pub mod topk;
#[cfg(test)]
mod trial;
