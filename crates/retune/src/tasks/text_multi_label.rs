//! Any number of labels per text.

use burn::tensor::{Tensor, activation};
use retune_data::Target;
use retune_data::processor::Labels;
use retune_data::roles::TaskKind;
use retune_eval::{Decision, Evaluation, Targets};

use super::{Answer, Task, named_scores, named_thresholds};
use crate::losses::{Loss, Objective};
use crate::model::Reads;

/// The task's entry.
pub const TASK: MultiLabel = MultiLabel {
    name: "text-multi-label",
    about: "any number of labels per text; trained by binary cross-entropy per label",
    reads: Reads::Text,
};

/// Multi-label classification of texts or pictures: one yes or no per label.
#[derive(Debug)]
pub struct MultiLabel {
    /// Name in recipes.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What its models read.
    pub reads: Reads,
}

impl Task for MultiLabel {
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

    fn scores(&self, output: Tensor<2>, _labels: &Labels) -> Tensor<2> {
        activation::sigmoid(output) // [rows, labels]
    }

    fn problem_type(&self) -> &'static str {
        "multi_label_classification"
    }

    fn answer(&self, scores: &[f32], labels: &Labels, decision: Option<&Decision>) -> Answer {
        let flag = |(label, score): (usize, &f32)| {
            decision.map_or(*score >= 0.5, |decision| decision.flag(label, *score))
        };
        let flags: Vec<bool> = scores.iter().enumerate().map(flag).collect();
        let chosen = labels.names().iter().zip(&flags).filter(|(_, flag)| **flag);
        let sure = scores.iter().zip(&flags);
        let sure = sure.map(|(s, flag)| if *flag { *s } else { 1.0 - s });
        let sure = sure.fold(1.0, f32::min);
        Answer {
            label: None,
            labels: Some(chosen.map(|(name, _)| name.clone()).collect()),
            value: None,
            confidence: Some(f64::from(sure)),
            scores: named_scores(scores, labels),
            thresholds: named_thresholds(decision, labels),
            vector: Vec::new(),
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
