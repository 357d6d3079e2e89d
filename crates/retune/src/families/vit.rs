//! Vision transformers: ViT (Dosovitskiy et al., arXiv:2010.11929), DeiT (Touvron et al., arXiv:2012.12877), DINOv2
//! (Oquab et al., arXiv:2304.07193) and DINOv2 with registers (Darcet et al., arXiv:2309.16588), as `transformers` and
//! timm compute them.
//!
//! A picture is a sequence: a class token, in some models others, and its patches, each with the vector of its place.
//! The layers are those of [`pre_norm`], with a norm at the end. Pictures of another size than the checkpoint's get
//! resampled positions when the model is built. Stochastic depth is left out.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde_json::{Value, json};

use super::{Backbone, BuildError, ConfigError, Facts, Family, ModelConfig, PictureCost};
use crate::head::HeadStyle;
use crate::model::{Hidden, Inputs, Pass, Pooling, Reads};
use crate::nn::positions::Resampling;
use crate::nn::pre_norm::{self, PreNorm};
use crate::nn::{LayerNorm, Patches};
use crate::ops::{self, Activation, Lengths};
use crate::weights::{Init, Source, WeightsError};

/// The family's entry.
pub const FAMILY: Family = Family {
    name: "vit",
    about: "vision transformers: ViT, DeiT, DINOv2, with and without registers",
    reads: Reads::Pictures,
    pace: 1.0,
    model_types: &[
        "vit", "deit", "dinov2", "dinov2_with_registers",
        "vit_tiny_patch16_224", "vit_tiny_patch16_384",
        "vit_small_patch16_224", "vit_small_patch16_384", "vit_small_patch32_224", "vit_small_patch32_384",
        "vit_base_patch8_224", "vit_base_patch16_224", "vit_base_patch16_384",
        "vit_base_patch32_224", "vit_base_patch32_384",
        "vit_large_patch16_224", "vit_large_patch16_384", "vit_large_patch32_384",
        "deit_tiny_patch16_224", "deit_small_patch16_224", "deit_base_patch16_224", "deit_base_patch16_384",
        "vit_small_patch14_dinov2", "vit_base_patch14_dinov2", "vit_large_patch14_dinov2",
        "vit_small_patch14_reg4_dinov2", "vit_base_patch14_reg4_dinov2", "vit_large_patch14_reg4_dinov2",
    ],
    resized: Some(resized),
    facts: |config| Ok(Form::read(config)?.facts()),
    build: |config, source| Ok(Backbone::Vit(Vit::load(config, source)?)),
    keys,
    adapted: &["query", "value"],
    ignored: |key| {
        key.ends_with("mask_token")
            || ["pooler.", "vit.pooler.", "deit.pooler.", "distillation_classifier."]
                .iter()
                .any(|prefix| key.starts_with(prefix))
    },
    architecture: |model_type| match model_type {
        "deit" => "DeiTForImageClassification",
        "dinov2" => "Dinov2ForImageClassification",
        "dinov2_with_registers" => "Dinov2WithRegistersForImageClassification",
        _ => "ViTForImageClassification",
    },
};

/// What is read from `config.json`.
#[derive(Debug, PartialEq)]
struct Form {
    layers: usize,
    layer: pre_norm::Form,
    /// Pixels along each side of a patch.
    patch: usize,
    /// Rows and columns of pixels.
    picture: [usize; 2],
    /// Whether a token that learned from a teacher follows the class token.
    distilled: bool,
    registers: usize,
    /// Whether the tokens before registers and patches have positions too.
    placed: bool,
    resampling: Resampling,
    /// Dropout of what goes into the first layer.
    dropout: f64,
    head_dropout: f64,
    pooling: Pooling,
    initializer_range: f64,
}

/// What keys of `config.json` must hold where they are there: other forms are not computed.
const TRANSFORMERS: &[(&str, &str)] = &[("qkv_bias", "true"), ("num_channels", "3")];

/// The same of timm's `model_args`.
const TIMM: &[(&str, &str)] = &[
    ("global_pool", "\"token\""),
    ("in_chans", "3"),
    ("qkv_bias", "true"),
    ("class_token", "true"),
    ("pre_norm", "false"),
    ("final_norm", "true"),
    ("fc_norm", "false"),
    ("qk_norm", "false"),
    ("act_layer", "\"gelu\""),
    ("mlp_layer", "\"mlp\""),
    ("norm_layer", "\"layernorm\""),
];

fn check(config: &ModelConfig, wanted: &[(&str, &str)]) -> Result<(), ConfigError> {
    for (key, wanted) in wanted {
        let value = config.0.get(key).unwrap_or(&Value::Null);
        let found = value.to_string();
        if !value.is_null() && found != *wanted {
            return Err(ConfigError {
                key: (*key).to_string(),
                what: format!("is {found}; retune reads vision transformers that have {wanted} here"),
            });
        }
    }
    Ok(())
}

/// Whether a checkpoint has the names of transformers.
fn is_transformers(config: &ModelConfig) -> bool {
    config.0.get("model_type").is_some()
}

impl Form {
    fn read(config: &ModelConfig) -> Result<Self, ConfigError> {
        let form = if is_transformers(config) {
            Self::transformers(config)?
        } else {
            let inside = |e: ConfigError| ConfigError {
                key: format!("model_args.{}", e.key),
                ..e
            };
            Self::timm(config).map_err(inside)?
        };
        let pre_norm::Form { width, heads, .. } = form.layer;
        if width % heads != 0 {
            return Err(ConfigError {
                key: "num_attention_heads".to_string(),
                what: format!("is {heads}, which does not divide the width {width}"),
            });
        }
        if form.picture.iter().any(|side| *side < form.patch) {
            return Err(ConfigError {
                key: "image_size".to_string(),
                what: format!("is {:?}, smaller than a patch of {} pixels", form.picture, form.patch),
            });
        }
        Ok(form)
    }

    fn transformers(config: &ModelConfig) -> Result<Self, ConfigError> {
        check(config, TRANSFORMERS)?;
        let model_type = config.model_type();
        let (dino, registers) = (
            model_type.starts_with("dinov2"),
            model_type == "dinov2_with_registers",
        );
        let width = config.size("hidden_size")?;
        let gated = dino && config.0["use_swiglu_ffn"] == true;
        let inner = match (dino, gated) {
            (false, _) => config.size("intermediate_size")?,
            (_, false) => wider(config, width)?,
            (_, true) => (wider(config, width)? * 2 / 3).next_multiple_of(8),
        };
        let dropout = config.number("hidden_dropout_prob", 0.0)?;
        Ok(Self {
            layers: config.size("num_hidden_layers")?,
            layer: pre_norm::Form {
                width,
                heads: config.size("num_attention_heads")?,
                inner,
                scaled: dino,
                gated,
                valves: false,
                causal: false,
                eps: config.number("layer_norm_eps", if dino { 1e-6 } else { 1e-12 })?,
                activation: config.activation("hidden_act")?,
                dropout: if dino { 0.0 } else { dropout },
                attention_dropout: config.number("attention_probs_dropout_prob", 0.0)?,
            },
            patch: config.size("patch_size")?,
            picture: config.sides("image_size", [224; 2])?,
            distilled: model_type == "deit",
            registers: if registers { config.size_or("num_register_tokens", 4)? } else { 0 },
            placed: true,
            resampling: if registers { Resampling::Smooth } else { Resampling::Bicubic },
            dropout,
            head_dropout: 0.0,
            pooling: if dino { Pooling::FirstAndMean } else { Pooling::First },
            initializer_range: config.number("initializer_range", 0.02)?,
        })
    }

    /// timm says sizes by the name, `vit_small_patch14_reg4_dinov2`, and others under `model_args`.
    fn timm(config: &ModelConfig) -> Result<Self, ConfigError> {
        let arguments = ModelConfig(config.0["model_args"].clone());
        check(config, &TIMM[..1])?;
        check(&arguments, TIMM)?;
        let name = config.model_type();
        let parts: Vec<&str> = name.split('_').collect();
        let (width, layers, heads) = match parts.get(1) {
            Some(&"tiny") => (192, 12, 3),
            Some(&"small") => (384, 12, 6),
            Some(&"base") => (768, 12, 12),
            _ => (1024, 24, 16),
        };
        let patch = parts.iter().find_map(|part| part.strip_prefix("patch")?.parse().ok());
        // DINOv2's names do not end in pixels.
        let pixels = parts.last().and_then(|last| last.parse().ok()).unwrap_or(518);
        let trained = match config.0["pretrained_cfg"]["input_size"].as_array().map(Vec::as_slice) {
            Some([_, height, width]) => ModelConfig(json!({"img_size": [height, width]})),
            _ => ModelConfig(json!({"img_size": pixels})),
        };
        let dino = name.ends_with("dinov2");
        let registers = if name.contains("_reg4_") { 4 } else { 0 };
        let width = arguments.size_or("embed_dim", width)?;
        Ok(Self {
            layers: arguments.size_or("depth", layers)?,
            layer: pre_norm::Form {
                width,
                heads: arguments.size_or("num_heads", heads)?,
                inner: wider(&arguments, width)?,
                scaled: dino,
                gated: false,
                valves: false,
                causal: false,
                eps: 1e-6,
                activation: Activation::Gelu,
                dropout: 0.0,
                attention_dropout: 0.0,
            },
            patch: arguments.size_or("patch_size", patch.unwrap_or(16))?,
            picture: arguments.sides("img_size", trained.sides("img_size", [pixels; 2])?)?,
            distilled: false,
            registers,
            placed: registers == 0,
            resampling: Resampling::Smooth,
            dropout: 0.0,
            head_dropout: config.number("drop_rate", 0.0)?,
            pooling: Pooling::First,
            initializer_range: 0.02,
        })
    }

    fn facts(&self) -> Facts {
        Facts {
            width: self.layer.width,
            layers: self.layers,
            heads: self.layer.heads,
            vocabulary: 0,
            max_length: 1,
            initializer_range: self.initializer_range,
            head: HeadStyle {
                dense: None,
                dropout_first: false,
                dropout: self.head_dropout,
                width: match self.pooling {
                    Pooling::FirstAndMean => 2 * self.layer.width,
                    _ => self.layer.width,
                },
                pooling: self.pooling,
            },
            picture: Some(self.cost()),
        }
    }

    /// Rows and columns of patches.
    fn grid(&self) -> [usize; 2] {
        self.picture.map(|side| side / self.patch)
    }

    /// Tokens before the patches.
    fn front(&self) -> usize {
        1 + usize::from(self.distilled) + self.registers
    }

    /// What a pixel costs. Of a token a layer keeps, in the format of products, the inputs of its matrices, queries,
    /// keys, values and what attention makes of them, `6 width`, and the inner part's result and slope; and in f32, which
    /// count twice here, two normalised sums.
    fn cost(&self) -> PictureCost {
        let [rows, columns] = self.grid();
        let tokens = (self.front() + rows * columns) as f64;
        let pixels = (self.picture[0] * self.picture[1]) as f64;
        let (width, layers) = (self.layer.width as f64, self.layers as f64);
        let (matrices, inner) = if self.layer.gated { (3.0, 2.0) } else { (2.0, 1.0) };
        let inner = inner * self.layer.inner as f64;
        let kept = layers * (10.0 * width + 2.0 * inner) + 6.0 * width;
        let working = 3.0 * width + inner.max(3.0 * width);
        let layer = 4.0 * width * width + matrices * width * self.layer.inner as f64 + 2.0 * tokens * width;
        let embedding = (3 * self.patch * self.patch) as f64 * width;
        PictureCost {
            kept: 3.0 + kept * tokens / pixels,
            working: working * tokens / pixels,
            products: (layers * layer + embedding) * tokens / pixels,
            rate: 1.0,
        }
    }
}

/// Width inside the feed-forward part where it is given as a factor.
fn wider(config: &ModelConfig, width: usize) -> Result<usize, ConfigError> {
    let ratio = config.number("mlp_ratio", 4.0)?;
    if !(0.01..=100.0).contains(&ratio) {
        return Err(ConfigError {
            key: "mlp_ratio".to_string(),
            what: format!("is {ratio}; a factor from 0.01 to 100 was expected"),
        });
    }
    Ok(((width as f64 * ratio) as usize).max(1))
}

/// The configuration with pictures of another size: what transformers and timm read it from.
fn resized(config: &ModelConfig, size: [usize; 2]) -> ModelConfig {
    if Form::read(config).is_ok_and(|form| form.picture == size) {
        return config.clone();
    }
    let mut config = config.0.clone();
    let [height, width] = size;
    if config.get("model_type").is_some() {
        config["image_size"] = if height == width { json!(height) } else { json!(size) };
    } else {
        if !config["model_args"].is_object() {
            config["model_args"] = json!({});
        }
        config["model_args"]["img_size"] = json!(size);
    }
    ModelConfig(config)
}

/// The backbone.
#[derive(Module, Debug)]
pub struct Vit {
    patches: Patches,
    /// `[1, 1, width]`.
    class_token: Param<Tensor<3>>,
    /// `[1, 1, width]`.
    distillation_token: Option<Param<Tensor<3>>>,
    /// `[1, registers, width]`; they have no place.
    registers: Option<Param<Tensor<3>>>,
    /// `[1, tokens, width]`: of class and distillation token, where they have one, and of every patch.
    positions: Param<Tensor<3>>,
    layers: Vec<PreNorm>,
    norm: LayerNorm,
    dropout: f64,
}

impl Vit {
    fn load(config: &ModelConfig, source: &mut Source) -> Result<Self, BuildError> {
        let form = Form::read(config)?;
        let width = form.layer.width;
        let mut tokens = |name: &str, count: usize| {
            source.param(&format!("backbone.{name}"), [1, count, width], Init::Normal)
        };
        let class_token = tokens("class_token", 1)?;
        let distillation_token = form
            .distilled
            .then(|| tokens("distillation_token", 1))
            .transpose()?;
        let registers = (form.registers > 0)
            .then(|| tokens("registers", form.registers))
            .transpose()?;
        let patches = Patches::load(source, "backbone.patches", form.patch, width)?;
        Ok(Self {
            patches,
            class_token,
            distillation_token,
            registers,
            positions: positions(&form, source)?,
            layers: (0..form.layers)
                .map(|i| PreNorm::load(source, &format!("backbone.layers.{i}"), &form.layer))
                .collect::<Result<_, _>>()?,
            norm: LayerNorm::load(source, "backbone.norm", width, form.layer.eps)?,
            dropout: form.dropout,
        })
    }

    /// Pictures to one vector for the class token, each other token of the model and each patch, packed:
    /// `[pictures * tokens, width]`.
    pub fn forward(&self, x: &Inputs, pass: &Pass) -> Hidden {
        let patches = self.patches.forward(&x.pictures); // [pictures * patches, width]
        let [rows, width] = patches.dims();
        let pictures = x.lengths.host().len();
        let each = rows / pictures.max(1);
        let positions = self.positions.val();
        let placed = positions.dims()[1] - each;
        let patches = patches.reshape([pictures, each, width]) + positions.clone().narrow(1, placed, each);
        let mut front = vec![self.class_token.val()];
        front.extend(self.distillation_token.as_ref().map(Param::val));
        let mut front = Tensor::cat(front, 1);
        if placed > 0 {
            front = front + positions.narrow(1, 0, placed);
        }
        if let Some(registers) = &self.registers {
            front = Tensor::cat(vec![front, registers.val()], 1);
        }
        let before = front.dims()[1];
        let front = front.expand([pictures, before, width]);
        let tokens = Tensor::cat(vec![front, patches], 1); // [pictures, tokens, width]
        let packed = tokens.reshape([pictures * (before + each), width]);
        let x = &Inputs {
            lengths: Lengths::new(vec![(before + each) as u32; pictures]),
            ..x.clone()
        };
        let mut hidden = ops::dropout(packed, &x.lengths, &pass.dropout(self.dropout, 0, x));
        let grid = self.patches.grid(&x.pictures);
        for (i, layer) in self.layers.iter().enumerate() {
            if i + 1 == self.layers.len() {
                hidden = pass.lens.at(hidden, before, grid);
            }
            hidden = layer.forward(hidden, x, pass, 1 + 3 * i as u64);
        }
        Hidden {
            tokens: self.norm.forward(hidden, None, None),
            lengths: x.lengths.clone(),
            front: before,
        }
    }
}

/// The positions `[1, tokens, width]`, resampled where the checkpoint has those of another square grid of patches.
fn positions(form: &Form, source: &mut Source) -> Result<Param<Tensor<3>>, WeightsError> {
    let width = form.layer.width;
    let placed = if form.placed { form.front() - form.registers } else { 0 };
    let grid = form.grid();
    let shape = [1, placed + grid[0] * grid[1], width];
    let fit = |have: &[usize], values: &[f32]| {
        let &[1, tokens, same] = have else {
            return None;
        };
        let patches = tokens.checked_sub(placed)?;
        let side = patches.isqrt();
        if side * side != patches || side == 0 || same != width {
            return None;
        }
        let (front, patches) = values.split_at(placed * width);
        let patches = form.resampling.apply(patches, width, [[side; 2], grid]);
        Some([front, &patches].concat())
    };
    source.fitted("backbone.positions", shape, Init::Normal, &fit)
}

/// Names of what is in no layer: ours, timm's, and transformers'. The star stands for `weight` or `bias`.
const OUTER: &[[&str; 3]] = &[
    ["patches", "patch_embed.proj.*", "embeddings.patch_embeddings.projection.*"],
    ["class_token", "cls_token", "embeddings.cls_token"],
    ["distillation_token", "dist_token", "embeddings.distillation_token"],
    ["registers", "reg_token", "embeddings.register_tokens"],
    ["positions", "pos_embed", "embeddings.position_embeddings"],
    ["norm", "norm.*", "layernorm.*"],
];

/// Names of what is in a layer: ours, timm's, those of ViT and of DINOv2 in checkpoints of transformers, and those that
/// its version 5 has for both in memory, where they differ.
const INNER: &[[&str; 5]] = &[
    ["query", "attn.qkv.*[0/3]", "attention.attention.query.*", "attention.attention.query.*", "attention.q_proj.*"],
    ["key", "attn.qkv.*[1/3]", "attention.attention.key.*", "attention.attention.key.*", "attention.k_proj.*"],
    ["value", "attn.qkv.*[2/3]", "attention.attention.value.*", "attention.attention.value.*", "attention.v_proj.*"],
    ["output", "attn.proj.*", "attention.output.dense.*", "attention.output.dense.*", "attention.o_proj.*"],
    ["attention_norm", "norm1.*", "layernorm_before.*", "norm1.*", ""],
    ["attention_scale", "ls1.gamma", "", "layer_scale1.lambda1", ""],
    ["norm", "norm2.*", "layernorm_after.*", "norm2.*", ""],
    ["up", "mlp.fc1.*", "intermediate.dense.*", "mlp.fc1.*", "mlp.fc1.*"],
    ["down", "mlp.fc2.*", "output.dense.*", "mlp.fc2.*", "mlp.fc2.*"],
    ["scale", "ls2.gamma", "", "layer_scale2.lambda1", ""],
];

/// The same of an inner part with a gate, which only DINOv2 has.
const GATED: &[[&str; 5]] = &[
    ["gate", "", "", "mlp.weights_in.*[0/2]", "mlp.gate_proj.*"],
    ["up", "", "", "mlp.weights_in.*[1/2]", "mlp.up_proj.*"],
    ["down", "", "", "mlp.weights_out.*", "mlp.down_proj.*"],
];

fn keys(config: &ModelConfig, path: &str) -> Vec<String> {
    let transformers = is_transformers(config);
    if let Some(leaf) = path.strip_prefix("head.out.") {
        let names: &[&str] = if transformers { &["classifier", "cls_classifier"] } else { &["head"] };
        return names.iter().map(|name| format!("{name}.{leaf}")).collect();
    }
    let path = path.strip_prefix("backbone.").unwrap_or(path);
    let inside = path.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
    let names = if let Some((index, part)) = inside {
        layer_keys(config, index, part)
    } else {
        let (part, leaf) = path.split_once('.').unwrap_or((path, ""));
        let row = OUTER.iter().find(|row| row[0] == part);
        let name = row.map_or(part, |row| row[1 + usize::from(transformers)]);
        vec![name.replace('*', leaf)]
    };
    if !transformers {
        return names;
    }
    let prefix = config.model_type();
    let both = |name: String| [format!("{prefix}.{name}"), name];
    names.into_iter().flat_map(both).collect()
}

/// Names of a parameter of a layer.
fn layer_keys(config: &ModelConfig, index: &str, part: &str) -> Vec<String> {
    let (part, leaf) = part.split_once('.').unwrap_or((part, ""));
    let gated = if config.0["use_swiglu_ffn"] == true { GATED } else { &[] };
    let row = gated.iter().chain(INNER).find(|row| row[0] == part);
    let [_, timm, vit, dino, new] = row.copied().unwrap_or([part; 5]);
    let filled = |stack: &str, name: &str| format!("{stack}.{index}.{}", name.replace('*', leaf));
    if !is_transformers(config) {
        return vec![filled("blocks", timm)];
    }
    let (stack, old) = if config.model_type().starts_with("dinov2") {
        ("encoder.layer", dino)
    } else {
        ("layers", vit)
    };
    let new = if new.is_empty() { old } else { new };
    vec![filled("encoder.layer", old), filled(stack, new)]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn config(value: Value) -> ModelConfig {
        ModelConfig(value)
    }

    #[test]
    fn timm_says_sizes_by_name_and_by_arguments() {
        let read = |value: Value| Form::read(&config(value)).unwrap();
        let base = read(json!({"architecture": "vit_base_patch32_384"}));
        assert_eq!((base.layer.width, base.layers, base.layer.heads, base.layer.inner), (768, 12, 12, 3072));
        assert_eq!((base.grid(), base.front(), base.layer.scaled), ([12, 12], 1, false));
        let dino = read(json!({"architecture": "vit_large_patch14_reg4_dinov2"}));
        assert_eq!((dino.layer.width, dino.layers, dino.layer.heads), (1024, 24, 16));
        assert_eq!((dino.grid(), dino.front(), dino.placed), ([37, 37], 5, false));
        // The size that it was trained with, and over it what its arguments say.
        let trained = json!({"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {"input_size": [3, 384, 256]}});
        assert_eq!(read(trained.clone()).picture, [384, 256]);
        let other = resized(&config(trained), [96, 64]);
        assert_eq!(Form::read(&other).unwrap().picture, [96, 64]);
        assert_eq!(other.0["model_args"]["img_size"], json!([96, 64]));
    }

    #[test]
    fn a_picture_costs_what_deit_s_paper_says() {
        for (name, wanted) in [("tiny", 1.3e9), ("small", 4.6e9), ("base", 17.6e9)] {
            let form = Form::read(&config(json!({"architecture": format!("deit_{name}_patch16_224")})));
            let products = form.unwrap().cost().products * (224.0 * 224.0);
            assert!((products / wanted - 1.0).abs() < 0.04, "{name}: {products}");
        }
    }

    #[test]
    fn a_form_that_is_not_computed_is_refused_by_key() {
        let tiny = |key: &str, value: Value| {
            let mut config = json!({"architecture": "vit_tiny_patch16_224", "model_args": {}});
            config["model_args"][key] = value;
            Form::read(&ModelConfig(config)).unwrap_err().to_string()
        };
        for (key, value) in [
            ("qkv_bias", json!(false)),
            ("global_pool", json!("avg")),
            ("embed_dim", json!(0)),
            ("img_size", json!([8, 9, 10])),
            ("img_size", json!(1e9)),
            ("mlp_ratio", json!(-4)),
        ] {
            let error = tiny(key, value);
            assert!(error.contains(&format!("`model_args.{key}` is")), "{error}");
        }
        assert!(tiny("img_size", json!(8)).contains("smaller than a patch"));
        assert!(tiny("num_heads", json!(5)).contains("does not divide the width"));
        let vit = json!({"model_type": "vit", "hidden_size": 64, "intermediate_size": 64, "qkv_bias": false});
        let error = Form::read(&config(vit)).unwrap_err().to_string();
        assert!(error.contains("`qkv_bias` is false"), "{error}");
    }

    #[test]
    fn keys_are_those_of_the_checkpoint() {
        let dino = config(json!({"model_type": "dinov2", "use_swiglu_ffn": true}));
        assert_eq!(
            keys(&dino, "backbone.layers.3.up.bias"),
            [
                "dinov2.encoder.layer.3.mlp.weights_in.bias[1/2]",
                "encoder.layer.3.mlp.weights_in.bias[1/2]",
                "dinov2.encoder.layer.3.mlp.up_proj.bias",
                "encoder.layer.3.mlp.up_proj.bias",
            ]
        );
        let vit = config(json!({"model_type": "vit"}));
        assert_eq!(
            keys(&vit, "backbone.layers.0.query.weight")[2],
            "vit.layers.0.attention.q_proj.weight"
        );
        assert_eq!(keys(&vit, "backbone.class_token")[1], "embeddings.cls_token");
    }
}
