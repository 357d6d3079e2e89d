//! How pictures train: random changes and batch norms.

use retune_data::picture::{Augment, Knobs, Tta};
use retune_data::survey::OnBad;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::weights::Norms;

/// How pictures train. Each of the knobs lies over what `augment` says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PicturesRecipe {
    /// What to do about pictures that cannot be read: `fail`, or `skip` their rows.
    pub on_bad: OnBad,
    /// How much training pictures are changed at random: `none`, `light` or `strong`.
    pub augment: Augment,
    /// Smallest share of the area that a random crop keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_area: Option<f64>,
    /// Probability that left and right are exchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip: Option<f64>,
    /// Largest change of the brightness, as a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brightness: Option<f64>,
    /// Largest change of the contrast, as a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contrast: Option<f64>,
    /// Largest change of the saturation, as a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation: Option<f64>,
    /// Largest turn of the colour circle, at most 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hue: Option<f64>,
    /// Whether each picture gets one random change of random strength (TrivialAugment).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trivial: Option<bool>,
    /// Probability that a rectangle is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erase: Option<f64>,
    /// Strength of mixup; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f64>,
    /// Strength of CutMix; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<f64>,
    /// Statistics of batch norms in training: `frozen`, those of the checkpoint, or `batch`.
    pub norms: Norms,
    /// Views of each picture over which the scores of the tuned model are averaged: `none`, `flip` or `crops=N`.
    pub tta: Tta,
}

impl PicturesRecipe {
    /// What is changed at random.
    pub fn knobs(&self) -> Knobs {
        let preset = self.augment.knobs();
        Knobs {
            crop_area: self.crop_area.or(preset.crop_area),
            flip: self.flip.unwrap_or(preset.flip),
            brightness: self.brightness.unwrap_or(preset.brightness),
            contrast: self.contrast.unwrap_or(preset.contrast),
            saturation: self.saturation.unwrap_or(preset.saturation),
            hue: self.hue.unwrap_or(preset.hue),
            trivial: self.trivial.unwrap_or(preset.trivial),
            erase: self.erase.unwrap_or(preset.erase),
            mixup: self.mixup.unwrap_or(preset.mixup),
            cutmix: self.cutmix.unwrap_or(preset.cutmix),
        }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let problem = self.knobs().problem();
        let problem = problem.map(|text| Problem::new("pictures", text));
        problem.into_iter().collect()
    }
}
