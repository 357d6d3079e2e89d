//! How scores become answers where a goal was stated.
//!
//! Two classes: the positive one from a threshold on. Labels: each from a threshold of its own on. Any number of
//! classes with costs: the answer `a` of least expected cost, `argmin_a sum_t p_t costs[t][a]` (Elkan 2001). Without a
//! goal the class with the largest score is answered, and every label from one half on.

use serde::{Deserialize, Serialize};

use crate::predictions::{Predictions, Targets, top};
use crate::threshold::{Goal, OutOfReach, Threshold, nearest};

/// From scores to answers; stored with a model, so that it answers later as it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Decision {
    /// Two classes: the positive one where its score reaches the threshold, else the other.
    Positive {
        /// Index of the positive class.
        positive: usize,
        /// What the threshold was chosen for.
        goal: Goal,
        /// The threshold, with its figures on the rows it was chosen on.
        threshold: Threshold,
    },
    /// Every label where its score reaches its threshold.
    Labels {
        /// What the thresholds were chosen for.
        goal: Goal,
        /// One per label.
        thresholds: Vec<Threshold>,
    },
    /// The class of least expected cost.
    Costs {
        /// `costs[truth][answer]`.
        costs: Vec<Vec<f64>>,
    },
}

/// A class or label (its index) whose goal no threshold reaches.
pub type Missed = (usize, OutOfReach);

impl Decision {
    /// Chooses thresholds for `goal` on the rows of `p`: for two classes that of the class `positive`, for labels one
    /// for each. Where the goal is out of reach the nearest threshold is taken and named.
    ///
    /// # Panics
    /// When `p` holds numbers or vectors, or classes that are not two.
    pub fn fit(p: &Predictions, goal: Goal, positive: usize) -> (Self, Vec<Missed>) {
        match &p.targets {
            Targets::Class(truth) => {
                assert_eq!(p.scores.cols, 2, "a threshold divides two classes");
                let scores: Vec<f32> = column(p, positive).collect();
                let truth: Vec<bool> = truth.iter().map(|t| *t as usize == positive).collect();
                let (threshold, far) = nearest(&scores, &truth, goal);
                let decision = Self::Positive {
                    positive,
                    goal,
                    threshold,
                };
                (
                    decision,
                    far.map(|far| (positive, far)).into_iter().collect(),
                )
            }
            Targets::Labels(flags) => {
                let (mut thresholds, mut missed) = (Vec::new(), Vec::new());
                for label in 0..p.scores.cols {
                    let of_label = flags.iter().skip(label).step_by(p.scores.cols);
                    let known = column(p, label).zip(of_label);
                    let known = known.filter_map(|(score, flag)| Some((score, (*flag)?)));
                    let (scores, truth): (Vec<f32>, Vec<bool>) = known.unzip();
                    let (threshold, far) = nearest(&scores, &truth, goal);
                    thresholds.push(threshold);
                    missed.extend(far.map(|far| (label, far)));
                }
                (Self::Labels { goal, thresholds }, missed)
            }
            Targets::Value(_) | Targets::Vectors(_) => {
                panic!("numbers and vectors have no threshold")
            }
        }
    }

    /// The class that these scores, one per class, are answered with.
    pub fn class(&self, scores: &[f32]) -> usize {
        match self {
            Self::Positive {
                positive,
                threshold,
                ..
            } => {
                if threshold.reached(scores[*positive]) {
                    *positive
                } else {
                    1 - positive
                }
            }
            Self::Costs { costs } => {
                let expected = |answer: usize| -> f64 {
                    let of = |(p, costs): (&f32, &Vec<f64>)| f64::from(*p) * costs[answer];
                    scores.iter().zip(costs).map(of).sum()
                };
                let cheapest =
                    (0..scores.len()).min_by(|a, b| expected(*a).total_cmp(&expected(*b)));
                cheapest.unwrap_or(0)
            }
            Self::Labels { .. } => top(scores),
        }
    }

    /// Whether a row with this score is answered with `label`.
    pub fn flag(&self, label: usize, score: f32) -> bool {
        match self {
            Self::Labels { thresholds, .. } => thresholds[label].reached(score),
            _ => score >= 0.5,
        }
    }

    /// The goal in words.
    pub fn goal(&self) -> String {
        match self {
            Self::Positive { goal, .. } | Self::Labels { goal, .. } => goal.to_string(),
            Self::Costs { .. } => "least expected cost of an answer".to_owned(),
        }
    }

    /// Each class or label that has a threshold, with it.
    pub fn thresholds(&self) -> Vec<(usize, Threshold)> {
        match self {
            Self::Positive {
                positive,
                threshold,
                ..
            } => vec![(*positive, threshold.clone())],
            Self::Labels { thresholds, .. } => thresholds.iter().cloned().enumerate().collect(),
            Self::Costs { .. } => Vec::new(),
        }
    }

    /// What it costs to answer a row of the class `truth` with `answer`; `None` where the goal is no cost.
    pub(crate) fn cost_of_class(&self, truth: usize, answer: usize) -> Option<f64> {
        match self {
            Self::Costs { costs } => Some(costs[truth][answer]),
            Self::Positive { positive, goal, .. } => {
                error_cost(*goal, truth == *positive, answer == *positive)
            }
            Self::Labels { .. } => None,
        }
    }

    /// What it costs to answer a label with `answer`; `None` where the goal is no cost.
    pub(crate) fn cost_of_flag(&self, truth: bool, answer: bool) -> Option<f64> {
        match self {
            Self::Labels { goal, .. } => error_cost(*goal, truth, answer),
            _ => None,
        }
    }
}

fn error_cost(goal: Goal, truth: bool, answer: bool) -> Option<f64> {
    let Goal::Cost {
        false_positive,
        false_negative,
    } = goal
    else {
        return None;
    };
    Some(match (truth, answer) {
        (false, true) => false_positive,
        (true, false) => false_negative,
        _ => 0.0,
    })
}

/// The scores of one class or label, row by row.
fn column(p: &Predictions, at: usize) -> impl Iterator<Item = f32> + '_ {
    p.scores
        .data
        .iter()
        .skip(at)
        .step_by(p.scores.cols)
        .copied()
}
