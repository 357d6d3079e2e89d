//! Model families: one file each, one line in [`families!`].
//!
//! A family knows how to build its backbone from a checkpoint's `config.json` and how its checkpoints
//! name their tensors. It knows no task and no method.

use burn::module::Module;

use crate::checkpoint::Checkpoint;
use crate::head::{Head, HeadStyle};
use crate::model::{Hidden, Inputs, Model, Pass, Reads};
use crate::ops::Activation;
use crate::weights::{LoadReport, Place, Source, WeightsError};

/// A model family: plain data, no trait.
pub struct Family {
    /// Name in `retune list families`.
    pub name: &'static str,
    /// One line about it, with its source.
    pub about: &'static str,
    /// Values of `model_type` in `config.json` that it reads.
    pub model_types: &'static [&'static str],
    /// What it reads.
    pub reads: Reads,
    /// Factor of the learning rates of methods that train the backbone; they are those of text encoders.
    pub pace: f64,
    /// The configuration for pictures of so many rows and columns of pixels, where shapes of parameters depend on them.
    pub resized: Option<fn(&ModelConfig, [usize; 2]) -> ModelConfig>,
    /// Reads the facts that plans and heads need; errors name the key of `config.json`.
    pub facts: fn(&ModelConfig) -> Result<Facts, ConfigError>,
    /// Builds the backbone.
    pub build: fn(&ModelConfig, &mut Source) -> Result<Backbone, BuildError>,
    /// Parameter path to checkpoint keys, the usual one first.
    pub keys: fn(&ModelConfig, &str) -> Vec<String>,
    /// Layers that low-rank updates improve most for their size: last names of their paths.
    pub adapted: &'static [&'static str],
    /// Checkpoint keys that no model needs: buffers, pre-training heads.
    pub ignored: fn(&str) -> bool,
    /// Architecture names for `config.json` of an export, by `model_type`.
    pub architecture: fn(&str) -> &'static str,
}

/// What plans and heads need to know of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Width of the token vectors.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Rows of the word embedding.
    pub vocabulary: usize,
    /// Longest sequence, special tokens included.
    pub max_length: usize,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The head that transformers puts on this family.
    pub head: HeadStyle,
    /// What a picture costs; `None` for texts.
    pub picture: Option<PictureCost>,
}

/// What a picture costs, for each of its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureCost {
    /// Values that are kept for the backward pass.
    pub kept: f64,
    /// Values that are in use at a time outside training.
    pub working: f64,
    /// Multiplications of a forward pass.
    pub products: f64,
    /// Share of the rate of matrix products in a layer of texts that they reach.
    pub rate: f64,
}

/// What convolutions reach as [`PictureCost::rate`].
pub const CONVOLUTIONS: f64 = 0.25;

/// Most pixels along a side of a picture.
const MOST_PIXELS: u64 = 4096;

/// `config.json` as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig(pub serde_json::Value);

/// `config.json` is not what the family expects.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("config.json: `{key}` {what}")]
pub struct ConfigError {
    /// Offending key.
    pub key: String,
    /// What is wrong with it and what was expected.
    pub what: String,
}

/// Why a model cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `config.json`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl ModelConfig {
    /// `model_type` of transformers, or else `architecture` of timm.
    pub fn model_type(&self) -> &str {
        self.text("model_type", self.text("architecture", ""))
    }

    /// The same configuration with every dropout rate replaced.
    #[must_use]
    pub fn with_dropout(&self, p: f64) -> Self {
        let mut config = self.0.clone();
        for (key, value) in config.as_object_mut().into_iter().flatten() {
            if key.contains("dropout") || key == "drop_rate" {
                *value = p.into();
            }
        }
        Self(config)
    }

    /// A positive whole number.
    pub fn size(&self, key: &str) -> Result<usize, ConfigError> {
        let value = self.0.get(key);
        // A bound keeps a hostile file from asking for absurd allocations.
        match value.and_then(serde_json::Value::as_u64) {
            Some(n) if (1..=1 << 24).contains(&n) => Ok(n as usize),
            _ => Err(ConfigError {
                key: key.to_string(),
                what: match value {
                    None => "is missing; a positive whole number was expected".to_string(),
                    Some(v) => format!("is {v}; a positive whole number was expected"),
                },
            }),
        }
    }

    /// A list of one positive whole number for each stage, 1 to 8 of them, or `default` when the key is absent or null.
    pub fn stages(&self, key: &str, default: [usize; 4]) -> Result<Vec<usize>, ConfigError> {
        let value = match self.0.get(key) {
            None | Some(serde_json::Value::Null) => return Ok(default.to_vec()),
            Some(value) => value,
        };
        // Bounds keep a hostile file from asking for absurd allocations.
        let one = |n: &serde_json::Value| {
            let n = n.as_u64().filter(|n| (1..=1 << 16).contains(n));
            n.map(|n| n as usize)
        };
        let list = value.as_array();
        let list: Option<Vec<usize>> = list.and_then(|list| list.iter().map(one).collect());
        list.filter(|list| (1..=8).contains(&list.len()))
            .ok_or_else(|| ConfigError {
                key: key.to_string(),
                what: format!("is {value}; a list of 1 to 8 positive whole numbers was expected"),
            })
    }

    /// Refuses a text under `key` other than `expected`, which is also what is meant where the key is absent.
    pub fn must_be(&self, key: &str, expected: &str) -> Result<(), ConfigError> {
        let found = self.text(key, expected);
        (found == expected)
            .then_some(())
            .ok_or_else(|| ConfigError {
                key: key.to_string(),
                what: format!("is `{found}`; retune reads such models with `{expected}`"),
            })
    }

    /// Refuses pictures of other than three channels, and models that timm changes by `model_args`. What it says there of
    /// every model, and what acts in training only, is no change.
    pub fn must_be_plain(&self) -> Result<(), ConfigError> {
        let wrong = |key: String, value: &serde_json::Value, expected: &str| ConfigError {
            key,
            what: format!("is {value}; retune reads models with {expected}"),
        };
        if let Some(channels) = self.0.get("num_channels").filter(|n| n.as_u64() != Some(3)) {
            return Err(wrong("num_channels".to_string(), channels, "3 channels"));
        }
        let arguments = self.0["model_args"].as_object();
        for (name, value) in arguments.into_iter().flatten() {
            let expected = match name.as_str() {
                "num_classes" | "img_size" => continue,
                "in_chans" if value.as_u64() == Some(3) => continue,
                "in_chans" => "3 channels",
                "global_pool" if value.as_str() == Some("avg") => continue,
                "global_pool" => "`avg`",
                name if name.ends_with("drop_rate") || name == "drop_path_rate" => continue,
                _ => "this left out, as timm defines the architecture",
            };
            return Err(wrong(format!("model_args.{name}"), value, expected));
        }
        Ok(())
    }

    /// A positive whole number, or `default` when the key is absent or null.
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize, ConfigError> {
        match self.0.get(key) {
            None | Some(serde_json::Value::Null) => Ok(default),
            Some(_) => self.size(key),
        }
    }

    /// Rows and columns of pixels, given as one number or as both, or `default` when the key is absent or null.
    pub fn sides(&self, key: &str, default: [usize; 2]) -> Result<[usize; 2], ConfigError> {
        let value = self.0.get(key).unwrap_or(&serde_json::Value::Null);
        let pair = match value.as_array().map(Vec::as_slice) {
            _ if value.is_null() => return Ok(default),
            Some([height, width]) => [height.as_u64(), width.as_u64()],
            Some(_) => [None; 2],
            None => [value.as_u64(); 2],
        };
        match pair.map(|side| side.filter(|side| (1..=MOST_PIXELS).contains(side))) {
            [Some(height), Some(width)] => Ok([height as usize, width as usize]),
            _ => Err(ConfigError {
                key: key.to_string(),
                what: format!(
                    "is {value}; one or two numbers of pixels from 1 to {MOST_PIXELS} were expected"
                ),
            }),
        }
    }

    /// A number, or `default` when the key is absent or null.
    pub fn number(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        match self.0.get(key) {
            None | Some(serde_json::Value::Null) => Ok(default),
            Some(v) => v.as_f64().filter(|x| x.is_finite()).ok_or(ConfigError {
                key: key.to_string(),
                what: format!("is {v}; a number was expected"),
            }),
        }
    }

    /// An activation by its name in transformers; `gelu` when the key is absent or null.
    pub fn activation(&self, key: &str) -> Result<Activation, ConfigError> {
        match self.text(key, "gelu") {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            other => Err(ConfigError {
                key: key.to_string(),
                what: format!(
                    "is `{other}`; retune knows gelu, gelu_new, gelu_pytorch_tanh and relu"
                ),
            }),
        }
    }

    /// A text, or `default` when the key is absent or null.
    pub fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.0
            .get(key)
            .and_then(serde_json::Value::as_str)
            .unwrap_or(default)
    }
}

/// One line per family: module, variant.
macro_rules! families {
    ($($module:ident: $variant:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The pre-trained part of a model, of one of the registered families.
        #[derive(Module, Debug)]
        #[expect(missing_docs, reason = "each variant is documented in its file")]
        #[expect(clippy::large_enum_variant, reason = "a model has one of it")]
        pub enum Backbone {
            $($variant($module::$variant),)+
        }

        impl Backbone {
            /// Token vectors of a batch.
            pub fn forward(&self, x: &Inputs, pass: &Pass) -> Hidden {
                match self {
                    $(Self::$variant(backbone) => backbone.forward(x, pass),)+
                }
            }
        }

        /// Every registered family.
        pub const FAMILIES: &[&Family] = &[$(&$module::FAMILY),+];
    };
}

families! {
    bert: Bert,
    efficientnet: EfficientNet,
    vit: Vit,
    resnet: ResNet,
    convnext: ConvNext,
}

/// Stage of a block, and its place in the stage, where stages have so many blocks.
fn stage_of(blocks: impl IntoIterator<Item = usize>, mut block: usize) -> (usize, usize) {
    let mut stage = 0;
    for blocks in blocks {
        if block < blocks {
            break;
        }
        (stage, block) = (stage + 1, block - blocks);
    }
    (stage, block)
}

/// The family that reads checkpoints of this `model_type`.
pub fn family_of(config: &ModelConfig) -> Result<&'static Family, ConfigError> {
    let model_type = config.model_type();
    FAMILIES
        .iter()
        .find(|family| family.model_types.contains(&model_type))
        .copied()
        .ok_or_else(|| {
            let known: Vec<&str> = FAMILIES
                .iter()
                .flat_map(|f| f.model_types)
                .copied()
                .collect();
            ConfigError {
                key: "model_type".to_string(),
                what: format!("is `{model_type}`; retune reads {}", known.join(", ")),
            }
        })
}

/// Builds a whole model: backbone from the checkpoint (or fresh when there is none), head from the
/// checkpoint as far as it has one of the right size.
pub fn build_model(
    config: &ModelConfig,
    checkpoint: Option<&Checkpoint>,
    outputs: usize,
    place: &Place,
    seed: u64,
) -> Result<(Model, LoadReport), BuildError> {
    let family = family_of(config)?;
    let facts = (family.facts)(config)?;
    let keys = |path: &str| (family.keys)(config, path);
    let mut source = Source::new(checkpoint, &keys, place, seed, facts.initializer_range);
    let backbone = (family.build)(config, &mut source)?;
    let head = Head::load(&mut source, facts.head, outputs)?;
    let report = source.finish(&|key| (family.ignored)(key));
    Ok((Model { backbone, head }, report))
}
