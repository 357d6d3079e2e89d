//! Any number of labels per text.

use burn::tensor::{Tensor, activation};
use retune_data::Target;
use retune_data::processor::Labels;
use retune_data::roles::TaskKind;
use retune_eval::{Evaluation, Targets};

use super::{Answer, Task, named_scores};
use crate::losses::{Loss, Objective};

/// The task's entry.
pub const TASK: TextMultiLabel = TextMultiLabel;

/// Multi-label classification of texts: one yes or no per label.
#[derive(Debug)]
pub struct TextMultiLabel;

impl Task for TextMultiLabel {
    fn name(&self) -> &'static str {
        "text-multi-label"
    }

    fn about(&self) -> &'static str {
        "any number of labels per text; trained by binary cross-entropy per label"
    }

    fn kind(&self) -> TaskKind {
        TaskKind::MultiLabel
    }

    fn evaluation(&self, labels: &Labels) -> Evaluation {
        let metrics = [
            "f1_macro",
            "f1_micro",
            "f1_weighted",
            "accuracy",
            "auroc",
            "average_precision",
            "log_loss",
            "brier",
            "ece",
        ];
        Evaluation {
            metrics: metrics.map(String::from).to_vec(),
            primary: "f1_micro".to_string(),
            classes: labels.names().to_vec(),
        }
    }

    fn loss(
        &self,
        output: Tensor<2>,
        _labels: &Labels,
        targets: &[Target],
        weights: &[f32],
        objective: &Objective,
    ) -> Loss {
        objective.binary_cross_entropy(output, targets, weights)
    }

    fn scores(&self, output: Tensor<2>) -> Tensor<2> {
        activation::sigmoid(output) // [rows, labels]
    }

    fn problem_type(&self) -> &'static str {
        "multi_label_classification"
    }

    fn answer(&self, scores: &[f32], labels: &Labels) -> Answer {
        let applies = |(name, score): (&String, &f32)| (*score >= 0.5).then(|| name.clone());
        let sure = scores.iter().map(|s| s.max(1.0 - s)).fold(1.0, f32::min);
        Answer {
            label: None,
            labels: Some(labels.names().iter().zip(scores).filter_map(applies).collect()),
            value: None,
            confidence: Some(f64::from(sure)),
            scores: named_scores(scores, labels),
        }
    }

    fn targets(&self, targets: &[Target]) -> Targets {
        let flags = |target: &Target| match target {
            Target::Labels(flags) => flags.clone(),
            _ => Vec::new(),
        };
        Targets::Labels(targets.iter().flat_map(flags).collect())
    }
}
