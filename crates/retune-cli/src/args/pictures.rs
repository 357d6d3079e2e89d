//! How pictures train.

use clap::Args;
use retune::data::picture::{Augment, Tta};
use retune::data::survey::OnBad;
use retune::recipe::PicturesRecipe;
use retune::weights::Norms;

use super::word;

#[derive(Debug, Args)]
#[command(next_help_heading = "Pictures")]
pub(super) struct PictureArgs {
    /// What to do about pictures that cannot be read: fail, or skip their rows [default: fail]
    #[arg(long, value_name = "HOW", value_parser = word::<OnBad>)]
    on_bad: Option<OnBad>,

    /// Random changes of training pictures: none, light (crop, flip) or strong (also colours, shapes, mixing)
    /// [default: none]
    #[arg(long, value_name = "HOW", value_parser = word::<Augment>)]
    augment: Option<Augment>,

    /// Smallest share of the area that a random crop keeps
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    crop_area: Option<f64>,

    /// Probability that left and right are exchanged; 0 where mirrored pictures mean something else
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    flip: Option<f64>,

    /// Largest change of the brightness, as a share
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    brightness: Option<f64>,

    /// Largest change of the contrast, as a share
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    contrast: Option<f64>,

    /// Largest change of the saturation, as a share
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    saturation: Option<f64>,

    /// Largest turn of the colour circle, at most 0.5
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    hue: Option<f64>,

    /// One random change of random strength for each picture (TrivialAugment): true or false
    #[arg(long, value_name = "BOOL")]
    trivial: Option<bool>,

    /// Probability that a rectangle is erased
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    erase: Option<f64>,

    /// Pictures of a batch are laid over each other in shares from Beta(A, A); 0 for never
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    mixup: Option<f64>,

    /// Pictures of a batch get a rectangle of another, in shares from Beta(A, A); 0 for never
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    cutmix: Option<f64>,

    /// Statistics of batch norms in training: frozen (the checkpoint's) or batch [default: frozen]
    #[arg(long, value_name = "WHICH", value_parser = word::<Norms>)]
    norms: Option<Norms>,

    /// Average the scores of test rows, and of answers later, over views of each picture: none, flip (and its mirror
    /// image) or crops=N (and corners, up to 5, and the mirror images, up to 10) [default: none]
    #[arg(long, value_name = "VIEWS", value_parser = str::parse::<Tta>)]
    tta: Option<Tta>,
}

impl PictureArgs {
    pub(super) fn lay_over(&self, recipe: &mut PicturesRecipe) {
        overrule!(
            self.on_bad => recipe.on_bad,
            self.augment => recipe.augment,
            self.crop_area => recipe.crop_area,
            self.flip => recipe.flip,
            self.brightness => recipe.brightness,
            self.contrast => recipe.contrast,
            self.saturation => recipe.saturation,
            self.hue => recipe.hue,
            self.trivial => recipe.trivial,
            self.erase => recipe.erase,
            self.mixup => recipe.mixup,
            self.cutmix => recipe.cutmix,
            self.norms => recipe.norms,
            self.tta => recipe.tta,
        );
    }
}
