//! One class per text (or pair of texts), out of two or more.

use burn::tensor::{Tensor, activation};
use retune_data::Target;
use retune_data::processor::Labels;
use retune_data::roles::TaskKind;
use retune_eval::{Decision, Evaluation, Targets};

use super::{Answer, Task, named_scores, named_thresholds};
use crate::losses::{Loss, Objective};
use crate::model::Reads;

/// The task's entry.
pub const TASK: Classification = Classification {
    name: "text-classification",
    about: "one class per text or pair of texts; trained by cross-entropy",
    reads: Reads::Text,
};

/// Binary and multi-class classification of texts, text pairs or pictures.
#[derive(Debug)]
pub struct Classification {
    /// Name in recipes.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What its models read.
    pub reads: Reads,
}

impl Task for Classification {
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
        TaskKind::Classification
    }

    fn evaluation(&self, labels: &Labels) -> Evaluation {
        let metrics = [
            "accuracy",
            "f1_macro",
            "f1_micro",
            "f1_weighted",
            "precision_macro",
            "recall_macro",
            "mcc",
            "auroc",
            "average_precision",
            "log_loss",
            "brier",
            "ece",
        ];
        Evaluation {
            metrics: metrics.map(String::from).to_vec(),
            primary: "accuracy".to_string(),
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
        objective.cross_entropy(output, targets, weights)
    }

    fn scores(&self, output: Tensor<2>, _labels: &Labels) -> Tensor<2> {
        activation::softmax(output, 1) // [rows, classes]
    }

    fn problem_type(&self) -> &'static str {
        "single_label_classification"
    }

    fn answer(&self, scores: &[f32], labels: &Labels, decision: Option<&Decision>) -> Answer {
        let largest = || {
            let classes = (0..scores.len()).rev();
            classes.max_by(|a, b| scores[*a].total_cmp(&scores[*b]))
        };
        let best = decision.map_or_else(largest, |decision| Some(decision.class(scores)));
        Answer {
            label: best.and_then(|i| labels.names().get(i).cloned()),
            labels: None,
            value: None,
            confidence: best.map(|i| f64::from(scores[i])),
            scores: named_scores(scores, labels),
            thresholds: named_thresholds(decision, labels),
            vector: Vec::new(),
        }
    }

    fn targets(&self, targets: &[Target]) -> Targets {
        let class = |target: &Target| match target {
            Target::Class(class) => *class,
            _ => 0,
        };
        Targets::Class(targets.iter().map(class).collect())
    }
}
