//! The hot operations: against plain loops in f64, against their plain-Burn twins with every gradient, and
//! against finite differences.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests read tensors")]

mod attention;
mod batch_norm;
mod case;
mod cross_entropy;
mod differences;
mod embedding;
mod linear;
mod maps;
mod members;
mod norm;
mod optimizer;
mod pairs;
mod panels;
mod plain;
mod ranking;
