//! What training minimises.

use clap::Args;
use retune::losses::{ClassWeights, LossRecipe};

use super::named;

#[derive(Debug, Args)]
#[command(next_help_heading = "Loss")]
pub(super) struct LossArgs {
    /// Share of the target that is spread evenly over all classes [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    label_smoothing: Option<f64>,

    /// Focal loss: an answer of probability p counts (1 - p)^GAMMA times, so that easy rows count less [default: 0]
    #[arg(long, value_name = "GAMMA", allow_negative_numbers = true)]
    focal: Option<f64>,

    /// In training, logits get TAU times the log share of their class, which favours rare classes in the answers
    /// [default: 0]
    #[arg(long, value_name = "TAU", allow_negative_numbers = true)]
    logit_adjustment: Option<f64>,

    /// How much each class counts: balanced (rare ones more), or NAME=WEIGHT,.. with 1 for those left out
    #[arg(long, value_name = "HOW", value_parser = class_weights)]
    class_weights: Option<ClassWeights>,
}

impl LossArgs {
    pub(super) fn lay_over(&self, recipe: &mut LossRecipe) {
        overrule!(
            self.label_smoothing => recipe.label_smoothing,
            self.focal => recipe.focal,
            self.logit_adjustment => recipe.logit_adjustment,
            self.class_weights => recipe.class_weights,
        );
    }
}

fn class_weights(text: &str) -> Result<ClassWeights, String> {
    if text == "balanced" {
        return Ok(ClassWeights::Balanced);
    }
    let wanted = "expected balanced, or NAME=WEIGHT,.. as in spam=3,ham=1";
    let weights = text.split(',').map(|part| named(part, wanted));
    Ok(ClassWeights::ByName(weights.collect::<Result<_, _>>()?))
}
