//! How a model of a table or of a stream of events is made.

use std::path::PathBuf;

use clap::Args;
use retune::eval::fraud::AlertGoal;
use retune::recipe::{Calibrate, Span, TablesRecipe};

use super::word;

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables and streams of events")]
pub(super) struct TableArgs {
    /// Column that says whom an event belongs to, whoever acts first; may be repeated; found by itself when left out
    #[arg(long = "entity", value_name = "COL")]
    entities: Vec<String>,

    /// Column of amounts; found by itself when left out
    #[arg(long, value_name = "COL")]
    amount: Option<String>,

    /// Column that says when a label came to be known; found by itself when left out
    #[arg(long, value_name = "COL")]
    label_time: Option<String>,

    /// How long labels take: training ends so long before the test, and no feature sees a label sooner [default: 7d]
    #[arg(long, value_name = "SPAN", value_parser = str::parse::<Span>)]
    delay: Option<Span>,

    /// How long the training period is, as in 30d; from the first event on when left out
    #[arg(long, value_name = "SPAN", value_parser = str::parse::<Span>)]
    train_span: Option<Span>,

    /// When the test begins, as in 2018-08-08; with the last --test-share of the events when left out
    #[arg(long, value_name = "DATE")]
    test_from: Option<String>,

    /// How long the test is, as in 7d; to the last event when left out
    #[arg(long, value_name = "SPAN", value_parser = str::parse::<Span>)]
    test_span: Option<Span>,

    /// Test periods that follow each other, each with a training of its own before it; the last one is the run's [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    rolling: Option<usize>,

    /// Leave test events out whose card had a fraud since training began that is known by then: true or false [default:
    /// false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    leave_known: Option<bool>,

    /// Make features of what each entity did before: true or false [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    past: Option<bool>,

    /// What the score of an alert is chosen for: cost=5 (of a look at one), alerts=100 (a day), precision=0.5 or
    /// recall=0.8 [default: cost=5 where there are amounts]
    #[arg(long, value_name = "GOAL", value_parser = str::parse::<AlertGoal>)]
    alert: Option<AlertGoal>,

    /// Folder of a model of events that `retune pretrain` made, or retune-txn-base: what it finds surprising becomes columns
    #[arg(long, value_name = "DIR")]
    event_model: Option<PathBuf>,

    /// Width of a new model of events [default: 64]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    event_width: Option<usize>,

    /// Layers of a new model of events [default: 2]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    event_layers: Option<usize>,
    /// Share of the legitimate events that train, all frauds training; scores stay probabilities among all events
    /// [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    keep_legitimate: Option<f64>,

    /// Set probabilities of two classes right on the validation rows: platt, isotonic, temperature or off [default: off]
    #[arg(long, value_name = "HOW", value_parser = word::<Calibrate>)]
    calibrate: Option<Calibrate>,

    /// Share of the labels before the test that is used, to see what more of them are worth [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    label_share: Option<f64>,

    /// Seed by which these labels are drawn [default: --seed]
    #[arg(long, value_name = "N")]
    label_seed: Option<u64>,

    /// Networks that share their layers [default: 16]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    members: Option<usize>,

    /// Width of their hidden layers [default: 128]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    net_width: Option<usize>,

    /// Hidden layers [default: 2]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    net_layers: Option<usize>,

    /// Rows per optimiser step of networks; a thirty-second of the training rows, 32 to 256, when left out
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    rows_per_step: Option<usize>,
}

impl TableArgs {
    pub(super) fn lay_over(&self, recipe: &mut TablesRecipe) {
        overrule!(
            self.amount => recipe.amount,
            self.label_time => recipe.label_time,
            self.delay => recipe.delay,
            self.train_span => recipe.train_span,
            self.test_from => recipe.test_from,
            self.test_span => recipe.test_span,
            self.rolling => recipe.rolling,
            self.leave_known => recipe.leave_known,
            self.past => recipe.past,
            self.alert => recipe.alert,
            self.event_model => recipe.event_model,
            self.event_width => recipe.event_width,
            self.event_layers => recipe.event_layers,
            self.keep_legitimate => recipe.keep_legitimate,
            self.calibrate => recipe.calibrate,
            self.label_share => recipe.label_share,
            self.label_seed => recipe.label_seed,
            self.members => recipe.members,
            self.net_width => recipe.net_width,
            self.net_layers => recipe.net_layers,
            self.rows_per_step => recipe.rows_per_step,
        );
        if !self.entities.is_empty() {
            recipe.entities.clone_from(&self.entities);
        }
    }
}
