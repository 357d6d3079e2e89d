//! ResNet: image classifiers of He et al. (arXiv:1512.03385), with 18 to 152 layers.
//!
//! Reads checkpoints of timm, which name their tensors as torchvision does (`resnet18` … `resnet152`), and of
//! transformers (`resnet`). A block is `relu(shortcut(x) + f(x))`. In a bottleneck f narrows, looks around with 3 x 3
//! places, and widens again; in a basic block it looks around twice. The first block of a stage makes maps smaller where
//! it looks around, as later versions of the paper's code do ("v1.5"), or, where `config.json` says so, where it narrows.

use burn::module::Module;
use burn::tensor::DType;

use super::{
    Backbone, BuildError, CONVOLUTIONS, ConfigError, Facts, Family, ModelConfig, PictureCost, stage_of,
};
use crate::head::HeadStyle;
use crate::model::{Hidden, Inputs, Pass, Pooling, Reads};
use crate::nn::conv::{ConvNorm, Size};
use crate::ops::{self, Activation, Maps};
use crate::weights::{Source, WeightsError};
use retune_kernels::conv::Window;

/// Added to variances.
const EPS: f64 = 1e-5;
/// How many times as many channels a bottleneck has outside as inside.
const WIDENING: usize = 4;

/// The family's entry.
pub const FAMILY: Family = Family {
    name: "resnet",
    about: "image classifiers: ResNet-18, -34, -50, -101 and -152",
    model_types: &[
        "resnet",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
    ],
    reads: Reads::Pictures,
    pace: 5.0,
    resized: None,
    facts: |config| {
        let shape = Shape::read(config)?;
        Ok(Facts {
            width: shape.width(),
            layers: shape.blocks().count(),
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
    build: |config, source| Ok(Backbone::ResNet(ResNet::load(config, source)?)),
    keys,
    adapted: &["narrow", "widen"],
    ignored: |key| key.ends_with("num_batches_tracked"),
    architecture: |_| "ResNetForImageClassification",
};

/// Sizes read from `config.json`.
#[derive(Debug, Clone)]
struct Shape {
    /// Channels after the first convolution.
    stem: usize,
    /// Blocks of each stage.
    depths: Vec<usize>,
    /// Channels of each stage.
    widths: Vec<usize>,
    bottleneck: bool,
    /// Whether the first stage makes maps smaller too.
    first_smaller: bool,
    /// Whether bottlenecks make maps smaller where they narrow.
    narrow_smaller: bool,
}

/// The sizes of a block.
#[derive(Debug, Clone, Copy)]
struct BlockSize {
    input: usize,
    output: usize,
    /// Channels inside a bottleneck; those of the result in a basic block.
    inner: usize,
    stride: usize,
}

impl Shape {
    fn read(config: &ModelConfig) -> Result<Self, ConfigError> {
        config.must_be_plain()?;
        if config.model_type() != "resnet" {
            return Ok(Self::published(config.model_type()));
        }
        config.must_be("hidden_act", "relu")?;
        let wrong = |key: &str, what: String| ConfigError {
            key: key.to_string(),
            what,
        };
        let bottleneck = match config.text("layer_type", "bottleneck") {
            "bottleneck" => true,
            "basic" => false,
            other => {
                let what = format!("is `{other}`; `basic` or `bottleneck` was expected");
                return Err(wrong("layer_type", what));
            }
        };
        let depths = config.stages("depths", [3, 4, 6, 3])?;
        let widths = config.stages("hidden_sizes", [256, 512, 1024, 2048])?;
        if widths.len() != depths.len() {
            let what = format!(
                "is {widths:?}; {} numbers were expected, as in `depths`",
                depths.len()
            );
            return Err(wrong("hidden_sizes", what));
        }
        if let Some(width) = widths.iter().find(|n| bottleneck && **n < WIDENING) {
            let what = format!("has {width}; {WIDENING} channels or more were expected");
            return Err(wrong("hidden_sizes", what));
        }
        let stem = match config.0.get("embedding_size") {
            None => 64,
            Some(_) => config.size("embedding_size")?,
        };
        let flag = |key: &str| config.0[key].as_bool().unwrap_or(false);
        Ok(Self {
            stem,
            depths,
            widths,
            bottleneck,
            first_smaller: flag("downsample_in_first_stage"),
            narrow_smaller: flag("downsample_in_bottleneck"),
        })
    }

    /// The models of the paper, by timm's names.
    fn published(name: &str) -> Self {
        let (bottleneck, depths) = match name {
            "resnet18" => (false, [2, 2, 2, 2]),
            "resnet34" => (false, [3, 4, 6, 3]),
            "resnet50" => (true, [3, 4, 6, 3]),
            "resnet101" => (true, [3, 4, 23, 3]),
            _ => (true, [3, 8, 36, 3]),
        };
        let factor = if bottleneck { WIDENING } else { 1 };
        Self {
            stem: 64,
            depths: depths.to_vec(),
            widths: [64, 128, 256, 512].map(|width| width * factor).to_vec(),
            bottleneck,
            first_smaller: false,
            narrow_smaller: false,
        }
    }

    /// Width of the vectors that the backbone makes.
    fn width(&self) -> usize {
        self.widths.last().copied().unwrap_or(self.stem)
    }

    /// The blocks of all stages, in order.
    fn blocks(&self) -> impl Iterator<Item = BlockSize> {
        let stages = self.depths.iter().zip(&self.widths).enumerate();
        let strides = stages.flat_map(|(stage, (blocks, output))| {
            let smaller = stage > 0 || self.first_smaller;
            let stride = move |block: usize| if block == 0 && smaller { 2 } else { 1 };
            (0..*blocks).map(move |block| (stride(block), *output))
        });
        strides.scan(self.stem, |input, (stride, output)| {
            let size = BlockSize {
                input: *input,
                output,
                inner: if self.bottleneck { output / WIDENING } else { output },
                stride,
            };
            *input = output;
            Some(size)
        })
    }

    /// What a picture costs: of each convolution the input and the slope of its activation are kept, of each sum the
    /// result, which the next block reads, and of the pool which places were greatest.
    fn cost(&self) -> PictureCost {
        let stem = self.stem as f64;
        let mut found = PictureCost {
            kept: 3.0 + stem / 4.0 + 2.0 * stem / 16.0,
            working: stem / 4.0 + stem / 16.0,
            products: 3.0 * 49.0 * stem / 4.0,
            rate: CONVOLUTIONS,
        };
        // Places of a map for each pixel.
        let mut before = 1.0 / 16.0;
        for size in self.blocks() {
            let [input, inner, output] = [size.input, size.inner, size.output].map(|n| n as f64);
            let after = before / (size.stride * size.stride) as f64;
            let (entered, left) = (input * before, output * after);
            found.kept += entered;
            if self.bottleneck {
                let narrowed = inner * if self.narrow_smaller { after } else { before };
                found.products += input * narrowed + 9.0 * inner * inner * after + inner * left;
                found.kept += 2.0 * narrowed + 2.0 * inner * after;
                found.working = found.working.max(entered + narrowed + inner * after + left);
            } else {
                found.products += 9.0 * (input + output) * left;
                found.kept += 2.0 * left;
                found.working = found.working.max(entered + 2.0 * left);
            }
            if size.shortcut() {
                found.products += input * left;
            }
            before = after;
        }
        found.kept += 3.0 * self.width() as f64 * before;
        found
    }
}

impl BlockSize {
    /// Whether its input has another shape than its result.
    fn shortcut(self) -> bool {
        self.stride > 1 || self.input != self.output
    }
}

/// The backbone.
#[derive(Module, Debug)]
pub struct ResNet {
    stem: ConvNorm,
    layers: Vec<Block>,
}

/// One block.
#[derive(Module, Debug)]
struct Block {
    /// In a bottleneck.
    narrow: Option<ConvNorm>,
    around: ConvNorm,
    /// In a basic block.
    again: Option<ConvNorm>,
    /// In a bottleneck.
    widen: Option<ConvNorm>,
    /// What the input goes through before it is added to the result, where the two have other shapes.
    shortcut: Option<ConvNorm>,
}

impl ResNet {
    /// Builds the backbone and fills it from `source`.
    pub fn load(config: &ModelConfig, source: &mut Source) -> Result<Self, BuildError> {
        let shape = Shape::read(config)?;
        let stem = Size::centred(3, shape.stem, 7, 2);
        let stem = ConvNorm::load(source, "backbone.stem", stem, EPS)?;
        let layers = shape.blocks().enumerate().map(|(i, size)| {
            let path = format!("backbone.layers.{i}");
            Block::load(source, &path, &shape, size)
        });
        Ok(Self {
            stem,
            layers: layers.collect::<Result<_, _>>()?,
        })
    }

    /// Pictures to one vector for each place of the last map, `[pictures * places, width]`.
    pub fn forward(&self, x: &Inputs, pass: &Pass) -> Hidden {
        let given = (x, pass);
        let maps = Maps::of_pictures(&x.pictures, &self.stem.weight.val().device());
        let maps = self.stem.forward(&maps, Activation::Relu, given); // [places / 4, stem]
        let mut maps = ops::max_pool(&maps, Window::new([3; 2], [2; 2], [1; 2])); // [places / 16, stem]
        for block in &self.layers {
            maps = block.forward(maps, given);
        }
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
        shape: &Shape,
        size: BlockSize,
    ) -> Result<Self, WeightsError> {
        let mut conv = |name: &str, input: usize, output: usize, kernel: usize, stride: usize| {
            let size = match (kernel, stride) {
                (1, 1) => Size::pointwise(input, output),
                _ => Size::centred(input, output, kernel, stride),
            };
            ConvNorm::load(source, &format!("{path}.{name}"), size, EPS)
        };
        let BlockSize {
            input,
            output,
            inner,
            stride,
        } = size;
        let deep = shape.bottleneck;
        let (first, second) = if deep && shape.narrow_smaller {
            (stride, 1)
        } else {
            (1, stride)
        };
        let narrow = deep.then(|| conv("narrow", input, inner, 1, first));
        let narrow = narrow.transpose()?;
        let seen = if deep { inner } else { input };
        let around = conv("around", seen, inner, 3, second)?;
        let again = (!deep).then(|| conv("again", inner, output, 3, 1));
        let again = again.transpose()?;
        let widen = deep.then(|| conv("widen", inner, output, 1, 1));
        let widen = widen.transpose()?;
        let shortcut = size
            .shortcut()
            .then(|| conv("shortcut", input, output, 1, stride));
        Ok(Self {
            narrow,
            around,
            again,
            widen,
            shortcut: shortcut.transpose()?,
        })
    }

    fn forward(&self, x: Maps, given: (&Inputs, &Pass)) -> Maps {
        let [one, two] = ops::fork(x.places.clone());
        let mut y = x.with(one);
        if let Some(narrow) = &self.narrow {
            y = narrow.forward(&y, Activation::Relu, given); // [places, inner]
        }
        y = self.around.forward(&y, Activation::Relu, given);
        for last in self.again.iter().chain(&self.widen) {
            y = last.forward(&y, Activation::None, given); // [places, output]
        }
        let kept = match &self.shortcut {
            Some(shortcut) => shortcut.forward(&x.with(two), Activation::None, given).places,
            None => two,
        };
        y.with(ops::sum_relu(y.places.clone(), kept))
    }
}

/// The names of a parameter: those of the layout that `config.json` has, then those of the other.
fn keys(config: &ModelConfig, path: &str) -> Vec<String> {
    let (owner, leaf) = path.rsplit_once('.').unwrap_or((path, ""));
    let [timm, hugging] = if owner.starts_with("head.") {
        ["fc".to_string(), "classifier.1".to_string()]
    } else {
        let owner = owner.strip_prefix("backbone.").unwrap_or(owner);
        let (owner, is_norm) = match owner.strip_suffix(".norm") {
            Some(owner) => (owner, true),
            None => (owner, false),
        };
        match owner.strip_prefix("layers.") {
            Some(inside) => block_keys(config, inside, is_norm),
            None => stem_keys(is_norm),
        }
    };
    let found = match config.model_type() {
        // A backbone without a head has no first name.
        "resnet" => {
            let bare = hugging.strip_prefix("resnet.").unwrap_or(&hugging);
            vec![hugging.clone(), bare.to_string(), timm]
        }
        _ => vec![timm, hugging],
    };
    found.into_iter().map(|name| format!("{name}.{leaf}")).collect()
}

/// What transformers calls a convolution or the norm after it.
fn half(is_norm: bool) -> &'static str {
    if is_norm { "normalization" } else { "convolution" }
}

fn stem_keys(is_norm: bool) -> [String; 2] {
    let timm = if is_norm { "bn1" } else { "conv1" };
    [
        timm.to_string(),
        format!("resnet.embedder.embedder.{}", half(is_norm)),
    ]
}

/// The names of a layer of a block, from `INDEX.NAME`.
fn block_keys(config: &ModelConfig, inside: &str, is_norm: bool) -> [String; 2] {
    let (index, part) = inside.split_once('.').unwrap_or((inside, ""));
    let shape = Shape::read(config).unwrap_or_else(|_| Shape::published(config.model_type()));
    let (stage, block) = stage_of(shape.depths, index.parse().unwrap_or(0));
    let number = match part {
        "narrow" => 1,
        "around" => 1 + usize::from(shape.bottleneck),
        "again" => 2,
        "widen" => 3,
        // The shortcut has no number.
        _ => 0,
    };
    let timm = match (number, is_norm) {
        (0, _) => format!("downsample.{}", usize::from(is_norm)),
        (_, true) => format!("bn{number}"),
        (_, false) => format!("conv{number}"),
    };
    let hugging = match number {
        0 => "shortcut".to_string(),
        _ => format!("layer.{}", number - 1),
    };
    [
        format!("layer{}.{block}.{timm}", stage + 1),
        format!("resnet.encoder.stages.{stage}.layers.{block}.{hugging}.{}", half(is_norm)),
    ]
}
