//! Files to tables, splits, examples and batches.
//!
//! `files ─read→ Table ─split→ Split{train,valid,test} ─Processor::encode→ Example ─collate→ HostBatch`
//!
//! This crate knows no tensors: everything it yields is plain vectors that the `retune` crate uploads.

pub mod batch;
mod duplicates;
pub mod error;
pub mod example;
pub mod fields;
pub mod inspect;
pub mod interactions;
pub mod leaks;
pub mod picture;
pub mod processor;
mod profile;
mod random;
pub mod read;
pub mod roles;
pub mod simulate;
pub mod split;
pub mod survey;
pub mod table;
pub mod timelines;
pub mod windows;
pub mod write;

pub use duplicates::fold;
pub use error::{DataError, Result};
pub use example::{Example, Features, Meta, Target};
pub use processor::Processor;
pub use table::{Column, RowOrigin, Table, Values};
