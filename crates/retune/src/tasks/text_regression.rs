//! A number per text.

use burn::tensor::Tensor;
use retune_data::Target;
use retune_data::processor::Labels;
use retune_data::roles::TaskKind;
use retune_eval::{Decision, Evaluation, Targets};
use std::collections::BTreeMap;

use super::{Answer, Task};
use crate::head::Units;
use crate::losses::{self, Loss, Objective};
use crate::model::Reads;

/// The task's entry.
pub const TASK: Regression = Regression {
    name: "text-regression",
    about: "a number per text or pair of texts; trained by squared error",
    reads: Reads::Text,
};

/// Regression of a number on a text, a pair of texts or a picture. Trains in units of the training rows' standard
/// deviation, answers in the user's units.
#[derive(Debug)]
pub struct Regression {
    /// Name in recipes.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What its models read.
    pub reads: Reads,
}

fn units(labels: &Labels) -> Units {
    match labels {
        Labels::Number { mean, std } if *std > 0.0 => Units {
            scale: *std,
            shift: *mean,
        },
        _ => Units::default(),
    }
}

impl Task for Regression {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn reads(&self) -> Reads {
        self.reads
    }

    fn kind(&self) -> TaskKind {
        TaskKind::Regression
    }

    fn evaluation(&self, _labels: &Labels) -> Evaluation {
        let metrics = ["rmse", "mae", "r2", "pearson", "spearman"];
        Evaluation {
            metrics: metrics.map(String::from).to_vec(),
            primary: "rmse".to_string(),
            classes: Vec::new(),
        }
    }

    fn loss(
        &self,
        output: Tensor<2>,
        labels: &Labels,
        targets: &[Target],
        weights: &[f32],
        _objective: &Objective,
    ) -> Loss {
        losses::squared_error(output, targets, weights, units(labels).scale)
    }

    fn scores(&self, output: Tensor<2>, _labels: &Labels) -> Tensor<2> {
        output // [rows, 1]
    }

    fn units(&self, labels: &Labels) -> Units {
        units(labels)
    }

    fn problem_type(&self) -> &'static str {
        "regression"
    }

    fn answer(&self, scores: &[f32], _labels: &Labels, _decision: Option<&Decision>) -> Answer {
        Answer {
            label: None,
            labels: None,
            value: scores.first().map(|v| f64::from(*v)),
            confidence: None,
            scores: BTreeMap::new(),
            thresholds: BTreeMap::new(),
            vector: Vec::new(),
        }
    }

    fn targets(&self, targets: &[Target]) -> Targets {
        let value = |target: &Target| match target {
            Target::Value(value) => *value,
            _ => f32::NAN,
        };
        Targets::Value(targets.iter().map(value).collect())
    }
}
