//! What a checkpoint wants its pictures to be: size, cut, scale. The same steps at training and at prediction.
//!
//! `Pixels ─resize→ ─centre crop→ [height, width, 3] u8 ─(v * scale - mean) / std→ [height, width, 3] f32`

use serde::{Deserialize, Serialize};

use super::{Filter, Part, Pixels, resize_part};

/// The longest side that a model input may have: larger ones are mistakes in a configuration.
pub(super) const MAX_SIDE: usize = 4096;

/// Rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// As many rows as columns.
    pub fn square(side: usize) -> Self {
        Self {
            height: side,
            width: side,
        }
    }
}

/// How a picture of any size comes near the size of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Not at all.
    Keep,
    /// The shorter side becomes this long, the longer one `floor(n * long / short)` (torchvision, transformers).
    Shortest(usize),
    /// The smallest size of the same shape that covers this one, sides rounded (timm, where it is not square).
    Cover(Size),
    /// This size, whatever the shape.
    Exact(Size),
    /// The largest size of the same shape that fits into this one, sides rounded; the rest is `fill` (timm, `border`).
    Pad(Size, [u8; 3]),
}

/// Where the centre crop starts if the border is of an odd width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// Half of the border, rounded down (transformers).
    Down,
    /// Half of the border, ties rounded to even (torchvision, timm).
    Even,
}

/// Pictures to numbers. Sides of 0 make [`Preprocess::cut`] panic; [`Preprocess::problem`] finds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// First step.
    pub resize: Resize,
    /// Cut out of the middle; what lies outside the picture is black (with [`Resize::Pad`], its fill).
    pub crop: Size,
    /// How the cut is rounded.
    pub centre: Centre,
    /// How pixels are interpolated.
    pub filter: Filter,
    /// Factor for the 8-bit values, such as 1/255.
    pub scale: f64,
    /// Subtracted after scaling: red, green, blue.
    pub mean: [f64; 3],
    /// Divided by at last: red, green, blue.
    pub std: [f64; 3],
}

impl Preprocess {
    /// EfficientNet-Lite as its TensorFlow source has it: `(v - 127) / 128`, 224 of 256 pixels, bicubic.
    ///
    /// Source: `tpu/models/official/efficientnet/lite`, 224 pixels, crop 0.875.
    pub fn efficientnet_lite0() -> Self {
        Self {
            resize: Resize::Shortest(256),
            crop: Size::square(224),
            centre: Centre::Even,
            filter: Filter::Bicubic,
            scale: 1.0,
            mean: [127.0; 3],
            std: [128.0; 3],
        }
    }

    /// What is wrong with the numbers, in words; `None` where pictures can be computed.
    pub fn problem(&self) -> Option<String> {
        let mut sides = vec![self.crop.height, self.crop.width];
        match self.resize {
            Resize::Keep => {}
            Resize::Shortest(n) => sides.push(n),
            Resize::Cover(s) | Resize::Exact(s) | Resize::Pad(s, _) => {
                sides.extend([s.height, s.width]);
            }
        }
        if let Some(side) = sides.iter().find(|&&s| s == 0 || s > MAX_SIDE) {
            return Some(format!(
                "a side of {side} pixels is not from 1 to {MAX_SIDE}"
            ));
        }
        let numbers = [self.scale].into_iter().chain(self.mean).chain(self.std);
        if let Some(v) = numbers.into_iter().find(|v| !v.is_finite()) {
            return Some(format!("{v} is not a finite number"));
        }
        (self.std.contains(&0.0))
            .then(|| "a standard deviation of 0 cannot be divided by".to_string())
    }

    /// Resizes and cuts: `[crop.height, crop.width]` pixels.
    pub fn cut(&self, from: &Pixels) -> Pixels {
        let target = self.target(from);
        let (left, width, x) = self.window(target.width, self.crop.width);
        let (top, height, y) = self.window(target.height, self.crop.height);
        let part = Part {
            left,
            top,
            width,
            height,
        };
        let seen = resize_part(from, (target.width, target.height), part, self.filter);
        if (width, height) == (self.crop.width, self.crop.height) {
            return seen;
        }
        let fill = match self.resize {
            Resize::Pad(_, fill) => fill,
            _ => [0; 3],
        };
        Pixels::from_fn((self.crop.width, self.crop.height), |px, py| {
            // Left of or above the picture the subtraction wraps to a number beyond every size.
            let (sx, sy) = (px.wrapping_sub(x), py.wrapping_sub(y));
            if sx < width && sy < height {
                seen.at(sx, sy)
            } else {
                fill
            }
        })
    }

    /// The 8-bit values as the model wants them: `[height, width, 3]`.
    pub fn normalise(&self, from: &Pixels) -> Vec<f32> {
        let mut values = vec![0.0; from.rgb().len()];
        self.normalise_to(from, &mut values);
        values
    }

    /// The same, written to `to`: `[height, width, 3]` of the pixels.
    pub fn normalise_to(&self, from: &Pixels, to: &mut [f32]) {
        let table: [[f32; 256]; 3] = std::array::from_fn(|c| {
            let value = |v: usize| (v as f64 * self.scale - self.mean[c]) / self.std[c];
            std::array::from_fn(|v| value(v) as f32)
        });
        for (to, from) in to.chunks_exact_mut(3).zip(from.rgb().chunks_exact(3)) {
            for ((to, from), table) in to.iter_mut().zip(from).zip(&table) {
                *to = table[usize::from(*from)];
            }
        }
    }

    /// Pixels to what the model wants: `[crop.height, crop.width, 3]`.
    pub fn apply(&self, from: &Pixels) -> Vec<f32> {
        self.normalise(&self.cut(from))
    }

    /// The size of the picture after resizing and before the cut.
    fn target(&self, from: &Pixels) -> Size {
        let (w, h) = (from.width(), from.height());
        let by_ratio = |size: Size, pick: fn(f64, f64) -> f64| {
            let ratio = pick(h as f64 / size.height as f64, w as f64 / size.width as f64);
            let side = |n: usize| ((n as f64 / ratio).round_ties_even() as usize).max(1);
            Size {
                height: side(h),
                width: side(w),
            }
        };
        match self.resize {
            Resize::Keep => Size {
                height: h,
                width: w,
            },
            Resize::Exact(size) => size,
            Resize::Cover(size) => by_ratio(size, f64::min),
            Resize::Pad(size, _) => by_ratio(size, f64::max),
            Resize::Shortest(n) => {
                let (short, long) = (w.min(h), w.max(h));
                // As the reference divides: the product exactly, the quotient as a float.
                let longer = ((n * long) as f64 / short as f64) as usize;
                let (height, width) = if w <= h { (longer, n) } else { (n, longer) };
                Size { height, width }
            }
        }
    }

    /// Of one axis of `have` pixels and a cut of `want`: first pixel and count of what is seen, and its place in the
    /// cut.
    fn window(&self, have: usize, want: usize) -> (usize, usize, usize) {
        if have >= want {
            let border = have - want;
            let odd_up = self.centre == Centre::Even && border % 4 == 3;
            return (border / 2 + usize::from(odd_up), want, 0);
        }
        let missing = want - have;
        let before = match self.centre {
            Centre::Down => missing.div_ceil(2),
            Centre::Even => missing / 2,
        };
        (0, have, before)
    }
}
