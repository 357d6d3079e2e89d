//! Reading [`Preprocess`] from the files that come with checkpoints.

mod write;

use serde_json::{Map, Value};

use super::preprocess::MAX_SIDE;
use super::{Centre, Filter, Preprocess, Resize, Size};
use crate::error::{DataError, Result};

const HALF: [f64; 3] = [0.5; 3];
const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// What a class of transformers takes where its file is silent.
struct Kind {
    name: &'static str,
    filter: Filter,
    size: Resize,
    crop: Option<usize>,
    mean: [f64; 3],
    std: [f64; 3],
}

impl Kind {
    fn exact(name: &'static str, filter: Filter, side: usize, crop: Option<usize>) -> Self {
        Self {
            name,
            filter,
            size: Resize::Exact(Size::square(side)),
            crop,
            mean: HALF,
            std: HALF,
        }
    }

    fn shortest(name: &'static str, filter: Filter, side: usize, crop: Option<usize>) -> Self {
        let size = Resize::Shortest(side);
        Self {
            size,
            ..Self::exact(name, filter, side, crop)
        }
    }

    fn clip(name: &'static str) -> Self {
        Self {
            mean: CLIP_MEAN,
            std: CLIP_STD,
            ..Self::shortest(name, Filter::Bicubic, 224, Some(224))
        }
    }

    fn all() -> [Self; 9] {
        use Filter::{Bicubic, Bilinear};
        [
            Self::exact("ViT", Bilinear, 224, None),
            Self::exact("DeiT", Bicubic, 256, Some(224)),
            Self::exact("Beit", Bicubic, 224, None),
            Self::exact("Siglip", Bicubic, 224, None),
            Self::exact("EfficientNet", Bicubic, 346, None),
            Self::shortest("ConvNext", Bicubic, 384, None),
            Self::shortest("MobileNetV2", Bilinear, 256, Some(224)),
            Self::clip("Bit"),
            Self::clip("CLIP"),
        ]
    }
}

/// An object of a JSON file, with errors that name the file.
struct Config<'a> {
    file: &'a str,
    map: &'a Map<String, Value>,
}

impl Config<'_> {
    fn wrong(&self, problem: String) -> DataError {
        wrong(self.file, problem)
    }

    /// The value of `key`; `null` is as good as none.
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            Some(v) => Err(self.wrong(format!("`{key}` is {v}, not true or false"))),
        }
    }

    fn number(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => v
                .as_f64()
                .ok_or_else(|| self.wrong(format!("`{key}` is {v}, not a number"))),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// One value a channel; a single number counts for all three.
    fn channels(&self, key: &str, default: [f64; 3]) -> Result<[f64; 3]> {
        let Some(v) = self.get(key) else {
            return Ok(default);
        };
        if let Some(one) = v.as_f64() {
            return Ok([one; 3]);
        }
        let list: Option<Vec<f64>> = v
            .as_array()
            .and_then(|a| a.iter().map(Value::as_f64).collect());
        list.and_then(|l| l.try_into().ok()).ok_or_else(|| {
            self.wrong(format!(
                "`{key}` is {v}, not three numbers (red, green, blue)"
            ))
        })
    }

    /// A count of pixels under `key` of `v`.
    fn side(&self, key: &str, v: &Value) -> Result<usize> {
        v.as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| (1..=MAX_SIDE).contains(n))
            .ok_or_else(|| {
                self.wrong(format!(
                    "`{key}` is {v}, not a number of pixels from 1 to {MAX_SIDE}"
                ))
            })
    }

    /// Height and width under `key`, given as an object.
    fn sides(&self, key: &str, v: &Value) -> Result<Size> {
        let (Some(height), Some(width)) = (v.get("height"), v.get("width")) else {
            return Err(self.wrong(format!("`{key}` is {v}, without `height` and `width`")));
        };
        Ok(Size {
            height: self.side(key, height)?,
            width: self.side(key, width)?,
        })
    }
}

fn wrong(file: &str, problem: String) -> DataError {
    DataError::File {
        file: file.to_string(),
        problem,
        cure: "take the file that came with the checkpoint, or correct the value".to_string(),
    }
}

fn object(value: &Value, file: &str) -> Result<Map<String, Value>> {
    value
        .as_object()
        .cloned()
        .ok_or_else(|| wrong(file, "it is not a JSON object".to_string()))
}

fn parse(text: &str, file: &str) -> Result<Map<String, Value>> {
    let value: Value =
        serde_json::from_str(text).map_err(|e| wrong(file, format!("it is not JSON: {e}")))?;
    object(&value, file)
}

fn checked(p: Preprocess, file: &str) -> Result<Preprocess> {
    match p.problem() {
        Some(problem) => Err(wrong(file, problem)),
        None => Ok(p),
    }
}

impl Preprocess {
    /// Reads the text of a `preprocessor_config.json` of transformers; `file` is its name, for messages.
    ///
    /// Known are the processors of ViT, DeiT, BEiT, SigLIP, EfficientNet, ConvNeXT, MobileNetV2, BiT and CLIP; a file
    /// without a type is read as ViT's, as old ones are. Where a file resizes the shorter side and cuts nothing, so
    /// that pictures would differ in size, a square is cut from the middle.
    ///
    /// # Errors
    /// Names the key, what it holds, and what was expected.
    pub fn from_transformers(text: &str, file: &str) -> Result<Self> {
        let map = parse(text, file)?;
        let config = Config { file, map: &map };
        let kind = kind(&config)?;
        if config.flag("do_flip_channel_order", false)? {
            let problem = "`do_flip_channel_order` is true: blue-green-red input is not supported";
            return Err(wrong(file, problem.to_string()));
        }
        let (resize, crop) = geometry(&config, &kind)?;
        let (scale, mean, std) = range(&config, &kind)?;
        let filter = match config.get("resample") {
            None => kind.filter,
            Some(v) => match v.as_u64() {
                Some(0) => Filter::Nearest,
                Some(1) => Filter::Lanczos,
                Some(2) => Filter::Bilinear,
                Some(3) => Filter::Bicubic,
                Some(4) => Filter::Box,
                Some(5) => Filter::Hamming,
                _ => {
                    let problem =
                        format!("`resample` is {v}, not a number from 0 to 5 as Pillow has them");
                    return Err(wrong(file, problem));
                }
            },
        };
        let read = Self {
            resize,
            crop,
            centre: Centre::Down,
            filter,
            scale,
            mean,
            std,
        };
        checked(read, file)
    }

    /// Reads the text of a `config.json` of timm, or of its part `pretrained_cfg`; `file` is its name, for messages.
    ///
    /// What is missing is as in `timm.data.resolve_data_config`: 224 pixels, crop 0.875, bicubic, ImageNet's mean
    /// and standard deviation. The test size that some files also name is not used.
    ///
    /// # Errors
    /// Names the key, what it holds, and what was expected.
    pub fn from_timm(text: &str, file: &str) -> Result<Self> {
        let mut map = parse(text, file)?;
        if let Some(inner) = map.get("pretrained_cfg").filter(|v| !v.is_null()) {
            map = object(inner, file)?;
        }
        let config = Config { file, map: &map };
        let crop = timm_size(&config)?;
        let mean = config.channels("mean", IMAGENET_MEAN)?;
        let share = config.number("crop_pct", 0.875)?;
        if !(0.05..=1.0).contains(&share) {
            return Err(wrong(
                file,
                format!("`crop_pct` is {share}, not a share from 0.05 to 1"),
            ));
        }
        let side = |n: usize| (n as f64 / share).floor() as usize;
        let before = Size {
            height: side(crop.height),
            width: side(crop.width),
        };
        let resize = match config.text("crop_mode").unwrap_or("center") {
            "squash" => Resize::Exact(before),
            "border" => {
                let fill = mean.map(|m| (255.0 * m).round_ties_even() as u8);
                Resize::Pad(before, fill)
            }
            "center" if before.height == before.width => Resize::Shortest(before.height),
            "center" => Resize::Cover(before),
            other => {
                let problem = format!("`crop_mode` is `{other}`, not center, squash or border");
                return Err(wrong(file, problem));
            }
        };
        let read = Self {
            resize,
            crop,
            centre: Centre::Even,
            filter: timm_filter(&config)?,
            scale: 1.0 / 255.0,
            mean,
            std: config.channels("std", IMAGENET_STD)?,
        };
        checked(read, file)
    }
}

fn timm_size(config: &Config) -> Result<Size> {
    let Some(v) = config.get("input_size") else {
        return Ok(Size::square(224));
    };
    match v.as_array().map(Vec::as_slice) {
        Some([channels, height, width]) if channels.as_u64() == Some(3) => Ok(Size {
            height: config.side("input_size", height)?,
            width: config.side("input_size", width)?,
        }),
        _ => {
            let problem = format!("`input_size` is {v}, not [3, height, width]");
            Err(config.wrong(problem))
        }
    }
}

fn timm_filter(config: &Config) -> Result<Filter> {
    let name = config.text("interpolation").unwrap_or("bicubic");
    serde_json::from_value(Value::from(name)).map_err(|_| {
        let known = "nearest, box, bilinear, hamming, bicubic, lanczos";
        config.wrong(format!("`interpolation` is `{name}`, not one of {known}"))
    })
}

/// The class that wrote the file.
fn kind(config: &Config) -> Result<Kind> {
    let written = config
        .text("image_processor_type")
        .or_else(|| config.text("feature_extractor_type"))
        .unwrap_or("ViTImageProcessor");
    let name = [
        "ImageProcessorFast",
        "ImageProcessorPil",
        "ImageProcessor",
        "FeatureExtractor",
    ]
    .iter()
    .find_map(|end| written.strip_suffix(end))
    .unwrap_or(written);
    let kinds = Kind::all();
    let known: Vec<&str> = kinds.iter().map(|k| k.name).collect();
    let known = known.join(", ");
    kinds.into_iter().find(|k| k.name == name).ok_or_else(|| {
        config.wrong(format!(
            "the image processor `{written}` is not known; known are those of {known}"
        ))
    })
}

/// How pictures come to their size, and that size.
fn geometry(config: &Config, kind: &Kind) -> Result<(Resize, Size)> {
    let resize = match config.get("size") {
        None => kind.size,
        Some(v) if v.is_u64() => match kind.size {
            Resize::Shortest(_) => Resize::Shortest(config.side("size", v)?),
            _ => Resize::Exact(Size::square(config.side("size", v)?)),
        },
        Some(v) => match v.get("shortest_edge") {
            Some(n) => Resize::Shortest(config.side("size", n)?),
            None => Resize::Exact(config.sides("size", v)?),
        },
    };
    let cut = match config.get("crop_size") {
        _ if !config.flag("do_center_crop", kind.crop.is_some())? => None,
        Some(v) if v.is_u64() => Some(Size::square(config.side("crop_size", v)?)),
        Some(v) => Some(config.sides("crop_size", v)?),
        None => kind.crop.map(Size::square),
    };
    if !config.flag("do_resize", true)? {
        let problem = "`do_resize` is false and nothing is cut, so pictures would differ in size";
        let cut = cut.ok_or_else(|| config.wrong(problem.to_string()))?;
        return Ok((Resize::Keep, cut));
    }
    if kind.name == "ConvNext" {
        return convnext(config, resize, cut);
    }
    let whole = match resize {
        Resize::Exact(size) => size,
        Resize::Shortest(n) => Size::square(n),
        _ => Size::square(224),
    };
    Ok((resize, cut.unwrap_or(whole)))
}

/// ConvNeXT resizes to more than it keeps below 384 pixels, and squeezes from there on.
fn convnext(config: &Config, resize: Resize, cut: Option<Size>) -> Result<(Resize, Size)> {
    let Resize::Shortest(n) = resize else {
        return Err(config.wrong("`size` has no `shortest_edge`".to_string()));
    };
    if cut.is_some_and(|c| c != Size::square(n)) {
        let problem = "`do_center_crop` cuts a second time, which is not supported for ConvNext";
        return Err(config.wrong(problem.to_string()));
    }
    if n >= 384 {
        return Ok((Resize::Exact(Size::square(n)), Size::square(n)));
    }
    let share = config.number("crop_pct", 0.875)?;
    if !(0.05..=1.0).contains(&share) {
        let problem = format!("`crop_pct` is {share}, not a share from 0.05 to 1");
        return Err(config.wrong(problem));
    }
    Ok((
        Resize::Shortest((n as f64 / share) as usize),
        Size::square(n),
    ))
}

/// Scale, mean and standard deviation, with EfficientNet's two extra steps folded in.
fn range(config: &Config, kind: &Kind) -> Result<(f64, [f64; 3], [f64; 3])> {
    let scale = if config.flag("do_rescale", true)? {
        config.number("rescale_factor", 1.0 / 255.0)?
    } else {
        1.0
    };
    let std = config.channels("image_std", kind.std)?;
    let (mut mean, mut divisor) = if config.flag("do_normalize", true)? {
        (config.channels("image_mean", kind.mean)?, std)
    } else {
        ([0.0; 3], [1.0; 3])
    };
    if kind.name == "EfficientNet" {
        if config.flag("do_rescale", true)? && config.flag("rescale_offset", false)? {
            mean = mean.map(|m| m + 1.0);
        }
        if config.flag("include_top", true)? {
            divisor = std::array::from_fn(|c| divisor[c] * std[c]);
        }
    }
    Ok((scale, mean, divisor))
}
