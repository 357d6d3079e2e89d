//! What is known of the training answers, kept for the baseline that looks at nothing else.

use retune_data::processor::Labels;
use retune_eval::{Retrieved, Targets};
use serde::{Deserialize, Serialize};

/// Frequencies of the training answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prior {
    /// Rows per class.
    Classes(Vec<u64>),
    /// Known rows and rows that have the label, per label.
    Labels(Vec<(u64, u64)>),
    /// Mean.
    Mean(f64),
}

/// Name of the baseline that knows only the training answers.
pub fn prior_name(labels: &Labels) -> &'static str {
    match labels {
        Labels::Classes { .. } => "majority",
        _ => "prior",
    }
}

impl Prior {
    pub(crate) fn of(targets: &Targets, labels: &Labels) -> Self {
        match targets {
            Targets::Class(classes)
            | Targets::Vectors(Retrieved {
                groups: classes, ..
            }) => {
                let mut counts = vec![0; labels.outputs()];
                // Groups that training has not seen are behind the classes.
                for class in classes.iter().filter(|c| (**c as usize) < labels.outputs()) {
                    counts[*class as usize] += 1;
                }
                Self::Classes(counts)
            }
            Targets::Labels(flags) => {
                let mut counts = vec![(0, 0); labels.outputs()];
                for row in flags.chunks(labels.outputs().max(1)) {
                    for ((known, on), flag) in counts.iter_mut().zip(row) {
                        *known += u64::from(flag.is_some());
                        *on += u64::from(*flag == Some(true));
                    }
                }
                Self::Labels(counts)
            }
            Targets::Value(values) => {
                let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
                Self::Mean(sum / values.len().max(1) as f64)
            }
        }
    }

    /// Answers with these frequencies.
    pub(super) fn targets(&self) -> Targets {
        match self {
            Self::Classes(counts) => {
                let class =
                    |(class, n): (usize, &u64)| std::iter::repeat_n(class as u32, *n as usize);
                Targets::Class(counts.iter().enumerate().flat_map(class).collect())
            }
            Self::Labels(counts) => {
                let rows = counts.iter().map(|(known, _)| *known).max().unwrap_or(0);
                let flag = |row: u64, (known, on): (u64, u64)| (row < known).then_some(row < on);
                let row = |row| counts.iter().map(move |c| flag(row, *c));
                Targets::Labels((0..rows).flat_map(row).collect())
            }
            Self::Mean(mean) => Targets::Value(vec![*mean as f32]),
        }
    }
}
