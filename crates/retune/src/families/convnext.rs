//! ConvNeXt: image classifiers of Liu et al. (arXiv:2201.03545).
//!
//! Reads checkpoints of timm (`convnext_tiny` … `convnext_large`) and of transformers (`convnext`). A block is
//! `x + scale * narrow(gelu(widen(LN(around(x)))))`: 7 x 7 places of each channel by itself, then two affine maps of each
//! place, four times as wide in between. Stages begin with LN and a convolution of 2 x 2 places that do not overlap. The
//! last LN acts on the mean over places, so the backbone makes one vector of each picture.
//!
//! The sum that goes through all blocks is f32 where products are bf16, as under torch's autocast. Whole blocks are never
//! dropped in training (`drop_path_rate`).

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use super::{
    Backbone, BuildError, CONVOLUTIONS, ConfigError, Facts, Family, ModelConfig, PictureCost, stage_of,
};
use crate::head::HeadStyle;
use crate::model::{Hidden, Inputs, Pass, Pooling, Reads};
use crate::nn::conv::{Conv, Size};
use crate::nn::{LayerNorm, Linear};
use crate::ops::{self, Activation, Lengths, Maps};
use crate::weights::{Init, Source, WeightsError};

/// Added to variances.
const EPS: f64 = 1e-6;
/// How many times as many channels the middle of a block has.
const WIDENING: usize = 4;
/// Places along each side that a block looks at.
const KERNEL: usize = 7;

/// The family's entry.
pub const FAMILY: Family = Family {
    name: "convnext",
    about: "image classifiers: ConvNeXt-T, -S, -B and -L",
    model_types: &[
        "convnext",
        "convnext_tiny",
        "convnext_small",
        "convnext_base",
        "convnext_large",
    ],
    reads: Reads::Pictures,
    pace: 1.0,
    resized: None,
    facts: |config| {
        let shape = Shape::read(config)?;
        Ok(Facts {
            width: shape.width(),
            layers: shape.depths.iter().sum(),
            heads: 1,
            vocabulary: 0,
            max_length: 1,
            initializer_range: 0.02,
            head: HeadStyle {
                dense: None,
                dropout_first: false,
                dropout: config.number("drop_rate", 0.0)?,
                width: shape.width(),
                pooling: Pooling::Mean,
            },
            picture: Some(shape.cost()),
        })
    },
    build: |config, source| Ok(Backbone::ConvNext(ConvNext::load(config, source)?)),
    keys,
    adapted: &["widen", "narrow"],
    ignored: |_| false,
    architecture: |_| "ConvNextForImageClassification",
};

/// Sizes read from `config.json`.
#[derive(Debug, Clone)]
struct Shape {
    /// Places along each side of the squares that the first convolution reads.
    patch: usize,
    /// Blocks of each stage.
    depths: Vec<usize>,
    /// Channels of each stage.
    widths: Vec<usize>,
    /// Whether blocks scale what they add.
    scales: bool,
    /// Added to variances by the last norm.
    last_eps: f64,
}

impl Shape {
    fn read(config: &ModelConfig) -> Result<Self, ConfigError> {
        config.must_be_plain()?;
        if config.model_type() != "convnext" {
            return Ok(Self::published(config.model_type()));
        }
        config.must_be("hidden_act", "gelu")?;
        let depths = config.stages("depths", [3, 3, 9, 3])?;
        let widths = config.stages("hidden_sizes", [96, 192, 384, 768])?;
        if widths.len() != depths.len() {
            return Err(ConfigError {
                key: "hidden_sizes".to_string(),
                what: format!(
                    "is {widths:?}; {} numbers were expected, as in `depths`",
                    depths.len()
                ),
            });
        }
        let patch = match config.0.get("patch_size") {
            None => 4,
            Some(_) => config.size("patch_size")?,
        };
        Ok(Self {
            patch,
            depths,
            widths,
            scales: config.number("layer_scale_init_value", 1e-6)? > 0.0,
            last_eps: config.number("layer_norm_eps", 1e-12)?,
        })
    }

    /// The models of the paper, by timm's names.
    fn published(name: &str) -> Self {
        let (third, first) = match name {
            "convnext_tiny" => (9, 96),
            "convnext_small" => (27, 96),
            "convnext_base" => (27, 128),
            _ => (27, 192),
        };
        Self {
            patch: 4,
            depths: vec![3, 3, third, 3],
            widths: [1, 2, 4, 8].map(|factor| factor * first).to_vec(),
            scales: true,
            last_eps: EPS,
        }
    }

    /// Width of the vectors that the backbone makes.
    fn width(&self) -> usize {
        self.widths.last().copied().unwrap_or(0)
    }

    /// What a picture costs. A block keeps the input of each of its three layers, what the norm made, and the slope of
    /// the activation.
    fn cost(&self) -> PictureCost {
        let mut found = PictureCost {
            kept: 3.0,
            working: 0.0,
            products: 0.0,
            rate: CONVOLUTIONS,
        };
        // Places of a map for each pixel, and channels.
        let (mut places, mut input, mut side) = (1.0, 3.0, self.patch as f64);
        let values = WIDENING as f64;
        for (blocks, width) in self.depths.iter().zip(&self.widths) {
            let (blocks, width) = (*blocks as f64, *width as f64);
            // The convolution reads every place once; a norm stands before or after it.
            found.products += input * width * places;
            places /= side * side;
            found.kept += 2.0 * width * places;
            let around = (KERNEL * KERNEL) as f64;
            let block = around + 2.0 * values * width;
            found.products += blocks * block * width * places;
            found.kept += blocks * (3.0 + 2.0 * values) * width * places;
            // The sum through all blocks is f32, which may be twice as large as what is counted here.
            found.working = found.working.max((4.0 + values) * width * places);
            (input, side) = (width, 2.0);
        }
        found
    }
}

/// The backbone.
#[derive(Module, Debug)]
pub struct ConvNext {
    stem: Conv,
    norm: LayerNorm,
    layers: Vec<Block>,
    last: LayerNorm,
}

/// One block.
#[derive(Module, Debug)]
struct Block {
    /// Before the first block of all stages but one.
    reduce: Option<Reduce>,
    around: Conv,
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
    /// Of what is added, `[channels]`.
    scale: Option<Param<Tensor<1>>>,
}

/// What makes maps smaller.
#[derive(Module, Debug)]
struct Reduce {
    norm: LayerNorm,
    conv: Conv,
}

impl ConvNext {
    /// Builds the backbone and fills it from `source`.
    pub fn load(config: &ModelConfig, source: &mut Source) -> Result<Self, BuildError> {
        let shape = Shape::read(config)?;
        let mut before = shape.widths.first().copied().unwrap_or(0);
        let stem = Size::patches(3, before, shape.patch);
        let stem = Conv::load(source, "backbone.stem", stem)?;
        let norm = LayerNorm::load(source, "backbone.norm", before, EPS)?;
        let mut layers = Vec::new();
        for (stage, (blocks, width)) in shape.depths.iter().zip(&shape.widths).enumerate() {
            for block in 0..*blocks {
                let path = format!("backbone.layers.{}", layers.len());
                let from = (block == 0 && stage > 0).then_some(before);
                layers.push(Block::load(source, &path, (from, *width), shape.scales)?);
            }
            before = *width;
        }
        let last = LayerNorm::load(source, "backbone.last", shape.width(), shape.last_eps)?;
        Ok(Self {
            stem,
            norm,
            layers,
            last,
        })
    }

    /// Pictures to one vector for each of them, `[pictures, width]`.
    pub fn forward(&self, x: &Inputs, pass: &Pass) -> Hidden {
        let maps = Maps::of_pictures(&x.pictures, &self.stem.weight.val().device());
        let maps = self.stem.forward(&maps); // [places, channels]
        let mut maps = normed(&self.norm, &maps);
        for block in &self.layers {
            maps = block.forward(maps, (x, pass));
        }
        let lengths = maps.lengths();
        let places = pass.lens.at(maps.places, 0, [maps.height, maps.width]);
        let means = ops::segment_mean(places, &lengths); // [pictures, width]
        Hidden {
            tokens: self.last.forward(means, None, None),
            lengths: Lengths::new(vec![1; maps.pictures]),
            front: 0,
        }
    }
}

impl Block {
    /// `from` are the channels before a stage that makes maps smaller.
    fn load(
        source: &mut Source,
        path: &str,
        (from, width): (Option<usize>, usize),
        scales: bool,
    ) -> Result<Self, WeightsError> {
        let reduce = from.map(|before| Reduce::load(source, &format!("{path}.reduce"), (before, width)));
        let (around, inner) = (Size::depthwise(width, KERNEL, 1), WIDENING * width);
        Ok(Self {
            reduce: reduce.transpose()?,
            around: Conv::load(source, &format!("{path}.around"), around)?,
            norm: LayerNorm::load(source, &format!("{path}.norm"), width, EPS)?,
            widen: Linear::load(source, &format!("{path}.widen"), width, inner)?,
            narrow: Linear::load(source, &format!("{path}.narrow"), inner, width)?,
            // The paper begins with 1e-6; from 1 on every block takes part in a short training from random numbers.
            scale: scales
                .then(|| source.param(&format!("{path}.scale"), [width], Init::Ones))
                .transpose()?,
        })
    }

    fn forward(&self, x: Maps, given: (&Inputs, &Pass)) -> Maps {
        let x = match &self.reduce {
            Some(reduce) => reduce.forward(&x),
            None => x,
        };
        let [one, two] = ops::fork(x.places.clone());
        let y = self.around.forward(&x.with(one)); // [places, channels]
        let y = normed(&self.norm, &y);
        let y = self.widen.forward_places(&y, Activation::Gelu, None, given); // [places, 4 channels]
        let scale = self.scale.as_ref().map(Param::val);
        let y = self.narrow.forward_places(&y, Activation::None, scale, given); // [places, channels]
        y.with(ops::sum(two, y.places.clone()))
    }
}

impl Reduce {
    fn load(
        source: &mut Source,
        path: &str,
        (before, after): (usize, usize),
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            norm: LayerNorm::load(source, &format!("{path}.norm"), before, EPS)?,
            conv: Conv::load(source, &format!("{path}.conv"), Size::patches(before, after, 2))?,
        })
    }

    fn forward(&self, x: &Maps) -> Maps {
        let y = self.conv.forward(&normed(&self.norm, x)); // [places / 4, after]
        y.with(y.places.clone().cast(DType::F32))
    }
}

/// Each place by itself, in f32.
fn normed(norm: &LayerNorm, x: &Maps) -> Maps {
    x.with(norm.forward(x.places.clone(), None, None))
}

/// The names of a parameter: those of the layout that `config.json` has, then those of the other.
fn keys(config: &ModelConfig, path: &str) -> Vec<String> {
    let inside = path.strip_prefix("backbone.").unwrap_or(path);
    let [timm, hugging] = match inside.strip_prefix("layers.") {
        Some(inside) => block_keys(config, inside),
        None => outer_keys(inside),
    };
    match config.model_type() {
        // A backbone without a head has no first name.
        "convnext" => {
            let bare = hugging.strip_prefix("convnext.").unwrap_or(&hugging);
            vec![hugging.clone(), bare.to_string(), timm]
        }
        _ => vec![timm, hugging],
    }
}

fn outer_keys(path: &str) -> [String; 2] {
    let (owner, leaf) = path.rsplit_once('.').unwrap_or((path, ""));
    let (timm, hugging) = match owner {
        "stem" => ("stem.0", "convnext.embeddings.patch_embeddings"),
        "norm" => ("stem.1", "convnext.embeddings.layernorm"),
        "last" => ("head.norm", "convnext.layernorm"),
        _ => ("head.fc", "classifier"),
    };
    [timm, hugging].map(|name| format!("{name}.{leaf}"))
}

/// The names of a parameter of a block, from `INDEX.NAME.LEAF`.
fn block_keys(config: &ModelConfig, inside: &str) -> [String; 2] {
    let (index, part) = inside.split_once('.').unwrap_or((inside, ""));
    let shape = Shape::read(config).unwrap_or_else(|_| Shape::published(config.model_type()));
    let (stage, block) = stage_of(shape.depths, index.parse().unwrap_or(0));
    let (owner, leaf) = part.rsplit_once('.').unwrap_or((part, ""));
    if let Some(half) = owner.strip_prefix("reduce.") {
        let number = usize::from(half == "conv");
        return [
            format!("stages.{stage}.downsample.{number}.{leaf}"),
            format!("convnext.encoder.stages.{stage}.downsampling_layer.{number}.{leaf}"),
        ];
    }
    let (timm, hugging) = match owner {
        "around" => ("conv_dw", "dwconv"),
        "norm" => ("norm", "layernorm"),
        "widen" => ("mlp.fc1", "pwconv1"),
        "narrow" => ("mlp.fc2", "pwconv2"),
        _ => ("gamma", "layer_scale_parameter"),
    };
    let dot = if leaf.is_empty() { "" } else { "." };
    [
        format!("stages.{stage}.blocks.{block}.{timm}{dot}{leaf}"),
        format!("convnext.encoder.stages.{stage}.layers.{block}.{hugging}{dot}{leaf}"),
    ]
}
