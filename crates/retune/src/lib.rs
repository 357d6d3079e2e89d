//! Fine-tunes a pre-trained model on your own data and shows whether it helped.
//!
//! The data path, one noun per arrow:
//!
//! ```text
//! files ─read→ Table ─split→ Split ─Processor::encode→ Example ─collate→ Batch ─Model(Backbone+Head)→ Output
//!   ─Task::loss→ Loss ─fit→ Model' ─Task::scores→ Predictions ─evaluate→ Evaluated ─save→ Bundle ─open→ Predictor
//! ```
//!
//! A whole run takes a recipe, a plan and a closure that sees every event:
//!
//! ```no_run
#![doc = include_str!("../examples/finetune.rs")]
//! ```

pub mod bench;
pub mod bundle;
pub mod checkpoint;
pub mod closer_look;
pub mod compare;
pub mod curve;
pub mod decide;
pub mod doctor;
mod embedding;
pub mod error;
pub mod events;
pub mod export;
pub mod families;
mod features;
pub mod floors;
mod forgetting;
pub mod grad_cam;
pub mod head;
pub mod hub;
mod job;
pub mod losses;
pub mod lr_find;
mod measured;
pub mod methods;
pub mod model;
pub mod nn;
pub mod ops;
mod outcome;
pub mod peft;
mod pictures;
pub mod plan;
mod points;
pub mod predictor;
pub mod pretrained;
mod proof;
pub mod recipe;
pub mod recommend;
mod record;
pub mod run;
pub mod run_folder;
pub mod runs;
pub mod scoring;
pub mod seq;
mod staging;
pub mod tables;
pub mod tasks;
pub mod train;
pub mod tune;
pub mod weights;

pub use retune_data as data;
pub use retune_eval as eval;

pub use bundle::Bundle;
pub use error::{Error, Problem, Result};
pub use hub::HubOptions;
pub use plan::Plan;
pub use predictor::{Prediction, Predictor};
pub use recipe::Recipe;
pub use run::{Finished, Flow, resume, train};
