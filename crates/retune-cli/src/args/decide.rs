//! What answers are decided for.

use clap::Args;
use retune::decide::DecideRecipe;
use retune::eval::Goal;

#[derive(Debug, Args)]
#[command(next_help_heading = "Decision")]
pub(super) struct DecideArgs {
    /// Choose the score from which on a row is positive for a goal: f1, precision=0.9, recall=0.8, or cost=1:10 (of a
    /// false alarm and of a miss); for two classes, or for each label [default: the largest score, labels from 0.5]
    #[arg(long, value_name = "GOAL", value_parser = str::parse::<Goal>)]
    decide: Option<Goal>,

    /// Class that the goal is about [default: the rarer one]
    #[arg(long, value_name = "NAME")]
    positive: Option<String>,
}

impl DecideArgs {
    pub(super) fn lay_over(&self, recipe: &mut DecideRecipe) {
        overrule!(
            self.decide => recipe.goal,
            self.positive => recipe.positive,
        );
    }
}
