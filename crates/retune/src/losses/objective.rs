//! What training minimises: the options of the loss, and the loss they make with the counts of the training rows.
//!
//! Of logits `z`, class `y`, class weights `w` and the classes' shares `π` of the training rows:
//!
//! ```text
//! z' = z + τ log π                              logit adjustment (Menon et al., arXiv:2007.07314)
//! p  = softmax(z')
//! q  = (1 - ε) [c = y] + ε / classes            label smoothing (Szegedy et al., arXiv:1512.00567)
//! loss = -Σ_c q_c w_c (1 - p_c)^γ log p_c       focal loss (Lin et al., arXiv:1708.02002)
//! ```
//!
//! divided by the sum of `w_y`, as `torch.nn.CrossEntropyLoss` does. Several labels are pairs of classes each, yes
//! and no, with `w` the weight of yes, divided by the number of known flags, as `torch.nn.BCEWithLogitsLoss` does.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use retune_data::processor::Labels;
use retune_data::roles::TaskKind;
use retune_data::{Example, Target};
use serde::{Deserialize, Serialize};

use super::{Loss, binary_cross_entropy, classes, flags, total};
use crate::error::Problem;
use crate::ops::{self, lengths::upload};

/// Largest focal exponent and logit adjustment; papers stay below 5 and 3.
const MAX_EXPONENT: f64 = 10.0;
/// Weights of classes.
const WEIGHTS: RangeInclusive<f64> = 1e-6..=1e6;

/// Options of the loss. They combine, and the defaults are plain cross-entropy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossRecipe {
    /// ε: share of the target that is spread evenly over all classes; 0 for none.
    pub label_smoothing: f64,
    /// γ: the loss of class probability `p` counts `(1 - p)^γ` times; 0 for plain cross-entropy.
    pub focal: f64,
    /// τ: in training, logits get τ times the log share of their class in the training rows; 0 for none.
    pub logit_adjustment: f64,
    /// How much each class counts. Default: all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
}

/// How much each class counts; of several labels, how much a yes counts beside a no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "lowercase",
    expecting = "expected `balanced`, or a table of weights by class name"
)]
pub enum ClassWeights {
    /// `rows / (classes * rows of the class)`, as scikit-learn's `class_weight="balanced"`; of several labels the
    /// rows without the label over those with it, as `pos_weight` of torch. A class without rows counts as if it
    /// had one.
    Balanced,
    /// By name; classes that are not named weigh 1.
    #[serde(untagged)]
    ByName(BTreeMap<String, f64>),
}

impl LossRecipe {
    /// Values that no loss can have.
    pub fn problems(&self) -> Vec<Problem> {
        let exponent = |value: f64| (0.0..=MAX_EXPONENT).contains(&value);
        let checks = [
            (
                (0.0..1.0).contains(&self.label_smoothing),
                "label_smoothing",
                format!("{} is out of range 0 to 1; try 0.1", self.label_smoothing),
            ),
            (
                exponent(self.focal),
                "focal",
                format!("{} is out of range 0 to {MAX_EXPONENT}; try 2", self.focal),
            ),
            (
                exponent(self.logit_adjustment),
                "logit_adjustment",
                format!(
                    "{} is out of range 0 to {MAX_EXPONENT}; try 1",
                    self.logit_adjustment
                ),
            ),
        ];
        let wrong = checks.into_iter().filter(|(ok, ..)| !ok);
        let mut found: Vec<Problem> = wrong.map(|(_, key, text)| problem(key, text)).collect();
        if let Some(ClassWeights::ByName(weights)) = &self.class_weights {
            // A batch whose rows all weigh nothing would have no mean.
            let wrong = weights
                .iter()
                .filter(|(_, weight)| !WEIGHTS.contains(weight));
            let (low, high) = (WEIGHTS.start(), WEIGHTS.end());
            found.extend(wrong.map(|(name, weight)| {
                let text = format!("`{name}` weighs {weight}, out of range {low} to {high}; try 1");
                problem("class_weights", text)
            }));
        }
        found
    }

    /// Options that a task of this kind does not have.
    pub fn misfits(&self, kind: TaskKind) -> Vec<Problem> {
        let given = [
            ("label_smoothing", self.label_smoothing != 0.0),
            ("focal", self.focal != 0.0),
            ("logit_adjustment", self.logit_adjustment != 0.0),
            ("class_weights", self.class_weights.is_some()),
        ];
        let (kind, known): (&str, &[&str]) = match kind {
            TaskKind::Classification => return Vec::new(),
            TaskKind::MultiLabel => (
                "several labels per row",
                &["label_smoothing", "focal", "class_weights"],
            ),
            TaskKind::Regression => ("regression", &[]),
        };
        let misfit = |(key, given): &(&str, bool)| *given && !known.contains(key);
        given
            .into_iter()
            .filter(misfit)
            .map(|(key, _)| problem(key, format!("does not apply to {kind}; leave it out")))
            .collect()
    }
}

fn problem(key: &str, text: String) -> Problem {
    Problem::new(&format!("loss.{key}"), text)
}

/// The loss that training minimises: a recipe with what it needs of the training rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Objective {
    /// ε.
    smoothing: f32,
    /// γ.
    focal: f64,
    /// w, `[outputs]`; empty where all are 1.
    weights: Vec<f32>,
    /// τ log π, `[outputs]`; empty where τ is 0.
    adjustment: Vec<f32>,
}

impl Objective {
    /// Plain cross-entropy or squared error. Losses of validation and test rows are always measured by this one,
    /// so that they compare between recipes; training losses are those of the run's own objective.
    pub fn plain() -> Self {
        Self::default()
    }

    /// The objective of a recipe whose values are in range, with counts of `train`: training rows only.
    ///
    /// # Errors
    /// An option that does not apply to these labels; a weight of a class that the training rows do not have.
    pub fn new(recipe: &LossRecipe, labels: &Labels, train: &[Example]) -> Result<Self, Problem> {
        let targets: Vec<Target> = train.iter().map(|e| e.target.clone()).collect();
        Self::of(recipe, labels, &targets)
    }

    /// The same with counts of the targets of training rows.
    ///
    /// # Errors
    /// As [`Objective::new`].
    pub fn of(recipe: &LossRecipe, labels: &Labels, train: &[Target]) -> Result<Self, Problem> {
        let kind = match labels {
            Labels::Classes { .. } => TaskKind::Classification,
            Labels::MultiLabel { .. } => TaskKind::MultiLabel,
            Labels::Number { .. } => TaskKind::Regression,
        };
        if let Some(misfit) = recipe.misfits(kind).into_iter().next() {
            return Err(misfit);
        }
        let counts = Counts::new(labels.names().len(), train);
        let tau = recipe.logit_adjustment;
        let adjustment = |share: f64| (tau * share.ln()) as f32;
        Ok(Self {
            smoothing: recipe.label_smoothing as f32,
            focal: recipe.focal,
            weights: match &recipe.class_weights {
                None => Vec::new(),
                Some(ClassWeights::Balanced) => counts.balanced(kind),
                Some(ClassWeights::ByName(weights)) => by_name(weights, labels.names())?,
            },
            adjustment: if tau == 0.0 {
                Vec::new()
            } else {
                counts.shares().map(adjustment).collect()
            },
        })
    }

    /// Cross-entropy of logits `[rows, classes]`, times the row's weight.
    pub fn cross_entropy(&self, logits: Tensor<2>, targets: &[Target], weights: &[f32]) -> Loss {
        let (classes, rows) = classes(targets, weights);
        let weighted = classes.iter().zip(&rows);
        let weighted: Vec<f32> = weighted
            .map(|(class, row)| row * self.weight(*class as usize))
            .collect();
        let weight = total(&weighted);
        let logits = self.adjusted(logits);
        let sum = if self.smoothing == 0.0 && self.focal == 0.0 {
            ops::cross_entropy(logits, &Arc::new(classes), &Arc::new(weighted))
        } else {
            self.soft_cross_entropy(logits, &classes, &rows)
        };
        Loss { sum, weight }
    }

    /// Smoothed or focal cross-entropy of logits `[rows, classes]`, with a class and a weight per row.
    fn soft_cross_entropy(&self, logits: Tensor<2>, targets: &[u32], rows: &[f32]) -> Tensor<1> {
        let [n, classes] = logits.dims();
        let spread = self.smoothing / classes as f32;
        let mut parts = Vec::with_capacity(n * classes);
        for (target, row) in targets.iter().zip(rows) {
            parts.extend((0..classes).map(|class| {
                let hit = class == *target as usize;
                let wanted = if hit { 1.0 - self.smoothing } else { 0.0 } + spread;
                row * self.weight(class) * wanted
            }));
        }
        let parts = upload(parts, [n, classes], &logits.device());
        let log_p = activation::log_softmax(logits, 1); // [rows, classes]
        // Where p rounds to 1, a power of 0 below 1 would have no slope.
        let missing = (-log_p.clone().exp() + 1.0).clamp_min(f32::EPSILON);
        -(missing.powf_scalar(self.focal) * log_p * parts).sum()
    }

    /// Binary cross-entropy on logits `[rows, labels]`, over the labels that are known.
    pub fn binary_cross_entropy(
        &self,
        logits: Tensor<2>,
        targets: &[Target],
        weights: &[f32],
    ) -> Loss {
        if *self == Self::plain() {
            return binary_cross_entropy(logits, targets, weights);
        }
        let [rows, labels] = logits.dims();
        let (known, wanted) = flags(targets, weights, [rows, labels]);
        let weight = total(&known);
        let (mut yes, mut no) = (known.clone(), known);
        for (i, flag) in wanted.iter().enumerate() {
            let wanted = flag * (1.0 - self.smoothing) + self.smoothing / 2.0;
            yes[i] *= wanted * self.weight(i % labels);
            no[i] *= 1.0 - wanted;
        }
        let device = logits.device();
        let (yes, no) = (
            upload(yes, [rows, labels], &device),
            upload(no, [rows, labels], &device),
        );
        let log_yes = activation::log_sigmoid(logits.clone()); // [rows, labels]
        let log_no = activation::log_sigmoid(-logits); // [rows, labels]
        // The probability that a yes lacks is that of no.
        let power = |log_missing: &Tensor<2>| (log_missing.clone() * self.focal).exp();
        let each = power(&log_no) * log_yes.clone() * yes + power(&log_yes) * log_no.clone() * no;
        Loss {
            sum: -each.sum(),
            weight,
        }
    }

    /// w of a class.
    fn weight(&self, class: usize) -> f32 {
        self.weights.get(class).copied().unwrap_or(1.0)
    }

    fn adjusted(&self, logits: Tensor<2>) -> Tensor<2> {
        if self.adjustment.is_empty() {
            return logits;
        }
        let shape = [1, self.adjustment.len()];
        let adjustment = upload(self.adjustment.clone(), shape, &logits.device());
        logits + adjustment // [rows, classes]
    }
}

/// Numbers of training rows, at least 1.
struct Counts {
    /// With each class or label, `[outputs]`.
    with: Vec<f64>,
    /// Known to be without each label, `[outputs]`.
    without: Vec<f64>,
}

impl Counts {
    fn new(outputs: usize, train: &[Target]) -> Self {
        let (mut with, mut without) = (vec![0.0; outputs], vec![0.0; outputs]);
        let mut count = |output: usize, flag: bool| {
            let side = if flag { &mut with } else { &mut without };
            side[output] += 1.0;
        };
        for target in train {
            match target {
                Target::Class(class) => count(*class as usize, true),
                Target::Labels(flags) => {
                    let known = flags.iter().enumerate();
                    known
                        .filter_map(|(label, flag)| Some((label, (*flag)?)))
                        .for_each(|(label, flag)| count(label, flag));
                }
                Target::Value(_) | Target::None => {}
            }
        }
        let at_least_one = |counts: Vec<f64>| counts.into_iter().map(|n| n.max(1.0)).collect();
        Self {
            with: at_least_one(with),
            without: at_least_one(without),
        }
    }

    /// Share of each class.
    fn shares(&self) -> impl Iterator<Item = f64> {
        let all: f64 = self.with.iter().sum();
        self.with.iter().map(move |n| n / all)
    }

    /// See [`ClassWeights::Balanced`].
    fn balanced(&self, kind: TaskKind) -> Vec<f32> {
        if kind == TaskKind::MultiLabel {
            let pairs = self.with.iter().zip(&self.without);
            return pairs.map(|(yes, no)| (no / yes) as f32).collect();
        }
        let even = 1.0 / self.with.len() as f64;
        self.shares().map(|share| (even / share) as f32).collect()
    }
}

/// Weights in the order of `names`.
fn by_name(weights: &BTreeMap<String, f64>, names: &[String]) -> Result<Vec<f32>, Problem> {
    const SHOWN: usize = 12;
    if let Some(stranger) = weights.keys().find(|name| !names.contains(name)) {
        let first: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
        let more = if names.len() > SHOWN { ", …" } else { "" };
        let text = format!(
            "`{stranger}` is no class of the training rows; the classes are {}{more}",
            first.join(", ")
        );
        return Err(problem("class_weights", text));
    }
    let weight = |name: &String| weights.get(name).map_or(1.0, |weight| *weight as f32);
    Ok(names.iter().map(weight).collect())
}
