//! Floors: what a user would have without tuning, on the same rows, next to every figure.

pub mod classical;
pub mod frozen;
pub mod mislabelled;
