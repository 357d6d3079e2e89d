//! A task in one file: classification that is judged by macro F1.

use burn::tensor::{Tensor, activation};
use retune_data::Target;
use retune_data::processor::Labels;
use retune_data::roles::TaskKind;
use retune_eval::{Decision, Evaluation, Targets};

use super::{Answer, Task, named_scores, named_thresholds};
use crate::model::Reads;
use crate::losses::{Loss, Objective};

/// The task's entry.
pub const TASK: TextTone = TextTone;

/// The tone of a text.
#[derive(Debug)]
pub struct TextTone;

impl Task for TextTone {
    fn name(&self) -> &'static str {
        "text-tone"
    }

    fn about(&self) -> &'static str {
        "the tone of a text"
    }

    fn kind(&self) -> TaskKind {
        TaskKind::Classification
    }

    fn reads(&self) -> Reads {
        Reads::Text
    }

    fn evaluation(&self, labels: &Labels) -> Evaluation {
        Evaluation {
            metrics: vec!["f1_macro".to_string()],
            primary: "f1_macro".to_string(),
            classes: labels.names().to_vec(),
        }
    }

    fn loss(
        &self,
        output: Tensor<2>,
        _: &Labels,
        targets: &[Target],
        weights: &[f32],
        objective: &Objective,
    ) -> Loss {
        objective.cross_entropy(output, targets, weights)
    }

    fn scores(&self, output: Tensor<2>, _: &Labels) -> Tensor<2> {
        activation::softmax(output, 1) // [rows, classes]
    }

    fn problem_type(&self) -> &'static str {
        "single_label_classification"
    }

    fn answer(&self, scores: &[f32], labels: &Labels, decision: Option<&Decision>) -> Answer {
        Answer {
            label: labels.names().first().cloned(),
            labels: None,
            value: None,
            confidence: None,
            scores: named_scores(scores, labels),
            thresholds: named_thresholds(decision, labels),
            vector: Vec::new(),
        }
    }

    fn targets(&self, targets: &[Target]) -> Targets {
        let class = |target: &Target| u32::from(*target == Target::Class(1));
        Targets::Class(targets.iter().map(class).collect())
    }
}
