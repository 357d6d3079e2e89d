//! One vector per picture, near to those of pictures with the same label.

use burn::tensor::Tensor;
use retune_data::Target;
use retune_data::processor::Labels;
use retune_data::roles::TaskKind;
use retune_eval::retrieval::FIGURES;
use retune_eval::{Decision, Evaluation, Targets};

use super::{Answer, Task};
use crate::head::Form;
use crate::losses::{Loss, Objective};
use crate::model::Reads;

/// The task's entry.
pub const TASK: Embedding = Embedding;

/// Factor of the cosines: 1 over the temperature 0.05 of Zhai & Wu (arXiv:1811.12649).
const SCALE: f64 = 20.0;

/// Vectors of pictures, trained by a softmax over the cosines with one direction per label.
#[derive(Debug)]
pub struct Embedding;

impl Task for Embedding {
    fn name(&self) -> &'static str {
        "image-embedding"
    }

    fn about(&self) -> &'static str {
        "one vector per picture, near to those of its label; trained by a softmax over cosines"
    }

    fn reads(&self) -> Reads {
        Reads::Pictures
    }

    fn kind(&self) -> TaskKind {
        TaskKind::Classification
    }

    fn evaluation(&self, labels: &Labels) -> Evaluation {
        Evaluation {
            metrics: FIGURES.map(String::from).to_vec(),
            primary: FIGURES[0].to_string(),
            classes: labels.names().to_vec(),
        }
    }

    fn form(&self) -> Form {
        Form::Cosine { scale: SCALE }
    }

    fn loss(
        &self,
        output: Tensor<2>,
        labels: &Labels,
        targets: &[Target],
        weights: &[f32],
        objective: &Objective,
    ) -> Loss {
        let logits = output.narrow(1, 0, labels.outputs()); // [rows, labels]
        objective.cross_entropy(logits, targets, weights)
    }

    fn scores(&self, output: Tensor<2>, labels: &Labels) -> Tensor<2> {
        let [_, all] = output.dims();
        let outputs = labels.outputs();
        output.narrow(1, outputs, all - outputs) // [rows, width]
    }

    fn problem_type(&self) -> &'static str {
        "single_label_classification"
    }

    fn answer(&self, scores: &[f32], _labels: &Labels, _decision: Option<&Decision>) -> Answer {
        Answer {
            vector: scores.to_vec(),
            ..Answer::default()
        }
    }

    fn targets(&self, targets: &[Target]) -> Targets {
        let class = |target: &Target| match target {
            Target::Class(class) => Some(*class),
            _ => None,
        };
        Targets::Class(targets.iter().filter_map(class).collect())
    }
}
