//! Random changes of training pictures. What is drawn is a function of a key alone; see [`key`].
//!
//! `Pixels ─crop→ ─flip→ ─colour→ ─one change of TrivialAugment→ ─normalise→ ─erase→ [height, width, 3]`

mod change;
mod changes;
mod draws;
mod mix;

use serde::{Deserialize, Serialize};

pub use change::Change;
pub(super) use change::grey;
pub(crate) use changes::Rows;
pub use changes::{Changes, Mixed};
pub use draws::key;
pub use mix::{cutmix, mix_share, mixup};

use super::{Part, Pixels, Preprocess, Size, resize};
use crate::random::shuffle;
use draws::Draws;

/// How much training pictures are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Augment {
    /// Not at all: as at prediction.
    #[default]
    None,
    /// A random crop of at least half of the area, and a flip in half of the cases. For small data and fine-tuning.
    Light,
    /// A random crop of at least 8 % of the area, a flip in half of the cases, one change of TrivialAugment, a
    /// rectangle erased in a tenth of the cases, and pictures mixed by mixup or CutMix. For long runs.
    Strong,
}

impl Augment {
    /// What the preset consists of.
    pub fn knobs(self) -> Knobs {
        let none = Knobs::default();
        match self {
            Self::None => none,
            Self::Light => Knobs {
                crop_area: Some(0.5),
                flip: 0.5,
                ..none
            },
            Self::Strong => Knobs {
                crop_area: Some(0.08),
                flip: 0.5,
                trivial: true,
                erase: 0.1,
                mixup: 0.2,
                cutmix: 1.0,
                ..none
            },
        }
    }
}

/// Each random change by itself. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// The smallest share of the area that a random crop keeps; `None` cuts the middle, as at prediction.
    ///
    /// The area is uniform up to the whole, the shape from 3:4 to 4:3 (torchvision's `RandomResizedCrop`).
    pub crop_area: Option<f64>,
    /// The probability that left and right are exchanged.
    pub flip: f64,
    /// The brightness is multiplied by a factor from `1 - this` (at least 0) to `1 + this`.
    pub brightness: f64,
    /// The same for the contrast.
    pub contrast: f64,
    /// The same for the saturation.
    pub saturation: f64,
    /// The colour circle is turned by up to this share in either direction, at most 0.5.
    pub hue: f64,
    /// One random change of random strength (TrivialAugment, Müller and Hutter, 2021, wide).
    pub trivial: bool,
    /// The probability that a rectangle of 2 to 33 % of the area is set to 0, the mean (Zhong et al., 2017).
    pub erase: f64,
    /// Pictures of a batch are laid over each other in shares from Beta(this, this); 0 for none (mixup).
    pub mixup: f64,
    /// A rectangle comes from another picture of the batch, its area from Beta(this, this); 0 for none (CutMix). With
    /// `mixup`, either happens in half of the cases.
    pub cutmix: f64,
}

impl Knobs {
    /// What is wrong with the numbers, in words that name the knob; `None` where all are in range.
    pub fn problem(&self) -> Option<String> {
        let ranges = [
            ("flip", self.flip, 1.0),
            ("brightness", self.brightness, f64::MAX),
            ("contrast", self.contrast, f64::MAX),
            ("saturation", self.saturation, f64::MAX),
            ("hue", self.hue, 0.5),
            ("erase", self.erase, 1.0),
            ("mixup", self.mixup, 100.0),
            ("cutmix", self.cutmix, 100.0),
        ];
        if let Some(area) = self.crop_area.filter(|a| !(*a > 0.0 && *a <= 1.0)) {
            return Some(format!("`crop_area` is {area}, not above 0 and at most 1"));
        }
        let bad = ranges
            .iter()
            .find(|(_, v, most)| !(0.0..=*most).contains(v));
        bad.map(|(name, v, most)| match *most {
            f64::MAX => format!("`{name}` is {v}, not 0 or more"),
            _ => format!("`{name}` is {v}, not from 0 to {most}"),
        })
    }

    /// A training picture as the model wants it, `[crop.height, crop.width, 3]`, changed as `key` has it.
    ///
    /// With the default knobs it equals [`Preprocess::apply`].
    pub fn apply(&self, preprocess: &Preprocess, from: &Pixels, key: u64) -> Vec<f32> {
        let mut draws = Draws::new(key);
        let size = preprocess.crop;
        let mut picture = match self.crop_area {
            None => preprocess.cut(from),
            Some(least) => {
                let part = random_part(from, least, &mut draws);
                resize(&cut(from, part), size.width, size.height, preprocess.filter)
            }
        };
        if draws.chance(self.flip) {
            picture = picture.mirrored();
        }
        for change in self.colours(&mut draws) {
            picture = change.apply(&picture);
        }
        if let Some(change) = self.trivial.then(|| trivial(&mut draws)).flatten() {
            picture = change.apply(&picture);
        }
        let mut values = preprocess.normalise(&picture);
        if draws.chance(self.erase) {
            erase(&mut values, size, &mut draws);
        }
        values
    }

    /// The changes of colour that are asked for, in random order (torchvision's `ColorJitter`).
    fn colours(&self, draws: &mut Draws) -> Vec<Change> {
        let mut changes = Vec::new();
        let kinds = [
            (self.brightness, Change::Brightness as fn(f64) -> Change),
            (self.contrast, Change::Contrast),
            (self.saturation, Change::Saturation),
        ];
        for (strength, change) in kinds {
            if strength > 0.0 {
                changes.push(change(
                    draws.between((1.0 - strength).max(0.0), 1.0 + strength),
                ));
            }
        }
        if self.hue > 0.0 {
            changes.push(Change::Hue(draws.between(-self.hue, self.hue)));
        }
        if changes.len() > 1 {
            shuffle(&mut changes, draws.below(usize::MAX) as u64);
        }
        changes
    }
}

/// A part of random area and shape, as torchvision draws it: ten tries, then the middle.
fn random_part(from: &Pixels, least: f64, draws: &mut Draws) -> Part {
    const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);
    let (w, h) = (from.width(), from.height());
    for _ in 0..10 {
        let area = (w * h) as f64 * draws.between(least, 1.0);
        let ratio = draws.log_between(RATIO.0, RATIO.1);
        let width = (area * ratio).sqrt().round_ties_even() as usize;
        let height = (area / ratio).sqrt().round_ties_even() as usize;
        if (1..=w).contains(&width) && (1..=h).contains(&height) {
            return Part {
                left: draws.below(w - width + 1),
                top: draws.below(h - height + 1),
                width,
                height,
            };
        }
    }
    let shape = w as f64 / h as f64;
    let side = |v: f64, most: usize| (v.round_ties_even() as usize).clamp(1, most);
    let (width, height) = if shape < RATIO.0 {
        (w, side(w as f64 / RATIO.0, h))
    } else if shape > RATIO.1 {
        (side(h as f64 * RATIO.1, w), h)
    } else {
        (w, h)
    };
    Part {
        left: (w - width) / 2,
        top: (h - height) / 2,
        width,
        height,
    }
}

/// A part by itself.
pub(super) fn cut(from: &Pixels, part: Part) -> Pixels {
    let rows = part.top..part.top + part.height;
    let rgb = rows
        .flat_map(|y| &from.row(y)[part.left * 3..(part.left + part.width) * 3])
        .copied()
        .collect();
    Pixels {
        width: part.width,
        height: part.height,
        rgb,
    }
}

/// One of torchvision's `TrivialAugmentWide`: 14 kinds, 31 strengths, either sign; `None` is the picture itself.
fn trivial(draws: &mut Draws) -> Option<Change> {
    let kind = draws.below(14);
    let bin = draws.below(31);
    let sign = if draws.below(2) == 0 { 1.0 } else { -1.0 };
    // From 0 to `most` in 31 steps.
    let up_to = |most: f64| most * bin as f64 / 30.0;
    Some(match kind {
        0 => return None,
        1 => Change::ShearX(sign * up_to(0.99)),
        2 => Change::ShearY(sign * up_to(0.99)),
        3 => Change::TranslateX((sign * up_to(32.0)) as i32),
        4 => Change::TranslateY((sign * up_to(32.0)) as i32),
        5 => Change::Rotate(sign * up_to(135.0)),
        6 => Change::Brightness(1.0 + sign * up_to(0.99)),
        7 => Change::Saturation(1.0 + sign * up_to(0.99)),
        8 => Change::Contrast(1.0 + sign * up_to(0.99)),
        9 => Change::Sharpness(1.0 + sign * up_to(0.99)),
        10 => Change::Posterize(8 - (bin as f64 / 5.0).round() as u8),
        11 => Change::Solarize(255.0 - up_to(255.0)),
        12 => Change::AutoContrast,
        _ => Change::Equalize,
    })
}

/// Sets a random rectangle to 0, as torchvision's `RandomErasing` places it; `values` is `[height, width, 3]`.
fn erase(values: &mut [f32], size: Size, draws: &mut Draws) {
    let all = (size.height * size.width) as f64;
    for _ in 0..10 {
        let area = all * draws.between(0.02, 0.33);
        let ratio = draws.log_between(0.3, 3.3);
        let height = (area * ratio).sqrt().round_ties_even() as usize;
        let width = (area / ratio).sqrt().round_ties_even() as usize;
        if height >= size.height || width >= size.width {
            continue;
        }
        let top = draws.below(size.height - height + 1);
        let left = draws.below(size.width - width + 1);
        for y in top..top + height {
            let start = (y * size.width + left) * 3;
            values[start..start + width * 3].fill(0.0);
        }
        return;
    }
}

#[cfg(test)]
mod tests;
