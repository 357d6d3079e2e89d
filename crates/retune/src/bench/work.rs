//! The workloads: model, what of it trains, and sequences.

use std::path::Path;
use std::sync::Arc;

use retune_data::batch::{HostBatch, Pictures};
use retune_kernels::dropout::mix;
use serde_json::json;

use super::{BenchOptions, targets};
use crate::error::{Error, Result};
use crate::families::{BuildError, Facts, ModelConfig, build_model, family_of};
use crate::methods::full::Full;
use crate::methods::head::Head;
use crate::methods::lora::Lora;
use crate::methods::{self, Method as _};
use crate::model::Model;
use crate::ops::Precision;
use crate::weights::Place;

/// Sequences per step.
const ROWS: usize = 16;
/// Pixels along each side of them.
const SIDE: usize = 224;
/// Batches of made-up sequences before they repeat.
const BATCHES: usize = 16;

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// Name on the command line.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    size: Size,
    trains: Trains,
    ragged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Minilm,
    Base,
    EfficientNet,
    VitSmall,
}

impl Size {
    /// Sequences or pictures per step.
    fn rows(self) -> usize {
        match self {
            Self::EfficientNet => 32,
            Self::Minilm | Self::Base | Self::VitSmall => ROWS,
        }
    }

    /// Whether it reads pictures.
    fn reads_pictures(self) -> bool {
        matches!(self, Self::EfficientNet | Self::VitSmall)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trains {
    All,
    LowRank,
    Head,
}

const fn entry(
    name: &'static str,
    about: &'static str,
    size: Size,
    trains: Trains,
    ragged: bool,
) -> Workload {
    Workload {
        name,
        about,
        size,
        trains,
        ragged,
    }
}

/// Every workload that trains.
pub const WORKLOADS: &[Workload] = &[
    entry(
        "bert-minilm",
        "full step of a 6-layer BERT, 384 wide: 16 sequences of 128 tokens",
        Size::Minilm,
        Trains::All,
        false,
    ),
    entry(
        "bert-minilm-ragged",
        "the same on 16 sequences of 38 tokens on average, 128 at most",
        Size::Minilm,
        Trains::All,
        true,
    ),
    entry(
        "bert-base",
        "full step of a 12-layer BERT, 768 wide: 16 sequences of 128 tokens",
        Size::Base,
        Trains::All,
        false,
    ),
    entry(
        "lora",
        "bert-minilm with low-rank updates (rank 8) of queries and values only",
        Size::Minilm,
        Trains::LowRank,
        false,
    ),
    entry(
        "frozen",
        "bert-minilm with only the head training",
        Size::Minilm,
        Trains::Head,
        false,
    ),
    entry(
        "efficientnet-lite0",
        "full step of EfficientNet-Lite0: 32 pictures of 224 x 224 pixels, which count as tokens",
        Size::EfficientNet,
        Trains::All,
        false,
    ),
    entry(
        "vit-small",
        "full step of ViT-S/16: 16 pictures of 224 x 224 pixels, which count as tokens",
        Size::VitSmall,
        Trains::All,
        false,
    ),
];

/// The workload of this name.
pub fn workload(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

impl Workload {
    fn config(&self) -> ModelConfig {
        let (width, layers, inner) = match self.size {
            Size::Minilm => (384, 6, 1536),
            Size::Base => (768, 12, 3072),
            Size::EfficientNet => {
                return ModelConfig(json!({"architecture": "tf_efficientnet_lite0"}));
            }
            Size::VitSmall => {
                return ModelConfig(json!({"architecture": "vit_small_patch16_224"}));
            }
        };
        ModelConfig(json!({
            "model_type": "bert",
            "vocab_size": 30522,
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": 12,
            "intermediate_size": inner,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
        }))
    }

    /// Sequences or pictures per step.
    pub(super) fn rows(&self) -> usize {
        self.size.rows()
    }

    /// Sizes of the model.
    pub(super) fn facts(&self) -> Result<Facts> {
        let config = self.config();
        let facts = family_of(&config).and_then(|family| (family.facts)(&config));
        facts.map_err(|e| Error::Build {
            folder: Path::new(self.name).to_path_buf(),
            source: BuildError::Config(e),
        })
    }

    /// The model with fresh weights, in the gradient graph.
    pub(super) fn model(&self, precision: Precision) -> Result<Model> {
        let mut place = Place::cpu(true, precision);
        if self.trains == Trains::LowRank {
            place.adapters = Lora::default().adapters(&["query", "value"]);
        }
        let built = build_model(&self.config(), None, 2, &place, 1);
        let (model, _) = built.map_err(|source| Error::Build {
            folder: Path::new(self.name).to_path_buf(),
            source,
        })?;
        let layers = self.facts()?.layers;
        Ok(match self.trains {
            Trains::All => methods::prepare(&Full::default(), model, layers),
            Trains::LowRank => methods::prepare(&Lora::default(), model, layers),
            Trains::Head => methods::prepare(&Head::default(), model, layers),
        })
    }

    /// Batches of sixteen sequences: those given, in order, or made-up ones; or one of made-up pictures.
    pub(super) fn batches(&self, given: Option<&[Vec<u32>]>) -> Result<Vec<HostBatch>> {
        if self.size.reads_pictures() {
            return Ok(vec![pictures(self.rows())]);
        }
        let facts = self.facts()?;
        let made;
        let sequences = if let Some(given) = given {
            check(given, &facts)?;
            given
        } else {
            made = self.made_up(facts.vocabulary as u32);
            &made
        };
        // The last batch wraps around, so that every batch has as many sequences.
        let batches = sequences.len().div_ceil(ROWS);
        let row = |i: usize| &sequences[i % sequences.len()];
        Ok((0..batches)
            .map(|b| batch((b * ROWS..(b + 1) * ROWS).map(row)))
            .collect())
    }

    fn made_up(&self, vocabulary: u32) -> Vec<Vec<u32>> {
        let length = |i: u64| if self.ragged { ragged(i) } else { 128 };
        let id = |i: u64, t: u64| 1000 + mix(i << 32 | t) as u32 % (vocabulary - 1000);
        (0..(BATCHES * ROWS) as u64)
            .map(|i| (0..length(i)).map(|t| id(i, t)).collect())
            .collect()
    }
}

/// Log-normal lengths as of real sentences: mean 38, from 4 to 128.
fn ragged(i: u64) -> u64 {
    let uniform = |salt: u64| (mix(salt << 32 | i) >> 11) as f64 / (1u64 << 53) as f64;
    let (u, v) = (uniform(1).max(1e-12), uniform(2));
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    (3.44 + 0.62 * normal).exp().clamp(4.0, 128.0) as u64
}

fn check(sequences: &[Vec<u32>], facts: &Facts) -> Result<()> {
    if sequences.is_empty() {
        return Err(Error::User("there are no sequences".to_string()));
    }
    for (i, sequence) in sequences.iter().enumerate() {
        let wrong = if sequence.is_empty() || sequence.len() > facts.max_length {
            format!(
                "{} tokens; from 1 to {} fit",
                sequence.len(),
                facts.max_length
            )
        } else if let Some(id) = sequence.iter().find(|id| **id as usize >= facts.vocabulary) {
            format!("id {id}; the largest is {}", facts.vocabulary - 1)
        } else {
            continue;
        };
        return Err(Error::User(format!("sequence {} has {wrong}", i + 1)));
    }
    Ok(())
}

fn batch<'a>(sequences: impl Iterator<Item = &'a Vec<u32>>) -> HostBatch {
    let sequences: Vec<&Vec<u32>> = sequences.collect();
    let rows = sequences.len();
    let ids: Vec<u32> = sequences.iter().copied().flatten().copied().collect();
    HostBatch {
        types: vec![0; ids.len()],
        ids,
        lengths: sequences.iter().map(|s| s.len() as u32).collect(),
        chunks: vec![1; rows],
        keys: (0..rows as u64).collect(),
        targets: targets(rows),
        weights: vec![1.0; rows],
        rows: (0..rows as u64).collect(),
        ..HostBatch::default()
    }
}

/// A batch of so many pictures of noise.
fn pictures(rows: usize) -> HostBatch {
    let values = 0..(rows * SIDE * SIDE * 3) as u64;
    HostBatch {
        pictures: Arc::new(Pictures {
            height: SIDE,
            width: SIDE,
            values: values
                .map(|i| (mix(i) >> 40) as f32 / (1 << 23) as f32 - 1.0)
                .collect(),
        }),
        lengths: vec![1; rows],
        chunks: vec![1; rows],
        keys: (0..rows as u64).collect(),
        targets: targets(rows),
        weights: vec![1.0; rows],
        rows: (0..rows as u64).collect(),
        ..HostBatch::default()
    }
}

/// Operations of the matrix products, attention and convolutions of the measured steps.
pub(super) fn flops(
    facts: &Facts,
    workload: &Workload,
    batches: &[HostBatch],
    options: &BenchOptions,
) -> f64 {
    // Forward; gradients of inputs; gradients of weights.
    let (linear, attention) = match workload.trains {
        Trains::All => (3.0, 3.5),
        Trains::LowRank => (2.0, 3.5),
        Trains::Head => (1.0, 1.0),
    };
    if let Some(cost) = facts.picture {
        let pixels = (workload.rows() * SIDE * SIDE) as f64;
        return 2.0 * cost.products * pixels * linear * options.steps as f64;
    }
    let (width, layers) = (facts.width as f64, facts.layers as f64);
    let per_token = 2.0 * 12.0 * width * width * layers * linear;
    let step = |i: u64| {
        let batch = &batches[i as usize % batches.len()];
        let square = |n: &u32| f64::from(*n).powi(2);
        let pairs: f64 = batch.lengths.iter().map(square).sum();
        batch.ids.len() as f64 * per_token + 4.0 * pairs * width * layers * attention
    };
    (options.warmup..options.warmup + options.steps)
        .map(step)
        .sum()
}
