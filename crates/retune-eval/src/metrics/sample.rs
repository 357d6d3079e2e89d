//! Everything a metric needs, computed once per split, and the row weights of one resample.
//!
//! A bootstrap resample is one integer weight per row, so sorting, arg-max and logarithms are done once and a
//! resample costs one pass of additions.

use std::cell::OnceCell;
use std::sync::Arc;

use super::Kind;
use crate::predictions::{Predictions, Targets};
use crate::retrieval::Retrieved;

/// Bins of the expected calibration error.
pub(crate) const BINS: usize = 15;

/// Probabilities are clipped to this distance from 0 and 1 before the logarithm: the precision of `f32` scores,
/// which is what scikit-learn's `log_loss` does with `float32` input.
const CLIP: f64 = f32::EPSILON as f64;

/// A rated split, or one resample of it: rows with whole-number weights.
#[derive(Debug, Clone)]
pub struct Sample {
    pub(crate) facts: Arc<Facts>,
    pub(crate) weights: Vec<u32>,
    counts: OnceCell<Counts>,
    ranked: OnceCell<Ranked>,
}

impl Sample {
    /// The split itself: every row once.
    ///
    /// # Panics
    /// When the targets and the scores of `p` differ in length, or a class index has no score column.
    pub fn new(p: &Predictions) -> Self {
        Self::of(Arc::new(Facts::new(p)))
    }

    pub(crate) fn of(facts: Arc<Facts>) -> Self {
        let weights = vec![1; facts.rows()];
        Self {
            facts,
            weights,
            counts: OnceCell::new(),
            ranked: OnceCell::new(),
        }
    }

    /// Takes other weights; what was derived from the old ones is forgotten.
    pub(crate) fn reweigh(&mut self, weights: &[u32]) {
        self.weights.copy_from_slice(weights);
        self.counts.take();
        self.ranked.take();
    }

    /// What the targets are.
    pub fn kind(&self) -> Kind {
        self.facts.kind()
    }

    pub(crate) fn counts(&self) -> &Counts {
        self.counts.get_or_init(|| match &*self.facts {
            Facts::Classes(f) => f.counts(&self.weights),
            Facts::Labels(f) => f.counts(&self.weights),
            Facts::Value(_) | Facts::Vectors(_) => Counts::default(),
        })
    }

    pub(crate) fn ranked(&self) -> Ranked {
        *self.ranked.get_or_init(|| match &*self.facts {
            Facts::Classes(f) => rank(&f.rankings, &self.weights),
            Facts::Labels(f) => rank(&f.rankings, &self.weights),
            Facts::Value(_) | Facts::Vectors(_) => Ranked {
                auroc: f64::NAN,
                average_precision: f64::NAN,
            },
        })
    }
}

/// What is true of each row whatever its weight.
#[derive(Debug, Clone)]
pub(crate) enum Facts {
    Classes(ClassFacts),
    Labels(LabelFacts),
    Value(ValueFacts),
    Vectors(Retrieved),
}

impl Facts {
    /// With the usual answers, whatever was decided.
    pub(crate) fn usual(p: &Predictions) -> Self {
        if p.decision.is_some() {
            Self::new(&p.usual())
        } else {
            Self::new(p)
        }
    }

    pub(crate) fn new(p: &Predictions) -> Self {
        let (rows, cols) = (p.scores.rows, p.scores.cols);
        assert_eq!(
            p.scores.data.len(),
            rows * cols,
            "scores are rows * cols values"
        );
        match &p.targets {
            Targets::Class(truth) => {
                assert_eq!(truth.len(), rows, "one class per row of scores");
                assert!(
                    truth.iter().all(|&t| (t as usize) < cols),
                    "every class index has a score column"
                );
                Self::Classes(ClassFacts::new(p, truth))
            }
            Targets::Labels(flags) => {
                assert_eq!(flags.len(), rows * cols, "one flag per score");
                Self::Labels(LabelFacts::new(p, flags))
            }
            Targets::Value(truth) => {
                assert_eq!(truth.len(), rows, "one value per row of scores");
                assert_eq!(cols, 1, "a value has one score column");
                Self::Value(ValueFacts::new(p, truth))
            }
            Targets::Vectors(found) => {
                assert_eq!(found.groups.len(), rows, "one group per row of vectors");
                Self::Vectors(found.clone())
            }
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Classes(f) => f.truth.len(),
            Self::Labels(f) => f.rows,
            Self::Value(f) => f.truth.len(),
            Self::Vectors(f) => f.groups.len(),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Classes(_) => Kind::Classes,
            Self::Labels(_) => Kind::Labels,
            Self::Value(_) => Kind::Value,
            Self::Vectors(_) => Kind::Vectors,
        }
    }
}

/// One class per row.
#[derive(Debug, Clone)]
pub(crate) struct ClassFacts {
    pub(crate) classes: usize,
    pub(crate) truth: Vec<u32>,
    pub(crate) predicted: Vec<u32>,
    /// Score of the predicted class.
    pub(crate) confidence: Vec<f64>,
    /// Bin of the confidence.
    pub(crate) bin: Vec<u8>,
    /// Negative logarithm of the clipped score of the true class.
    pub(crate) log_loss: Vec<f64>,
    /// Squared error of the scores: of column 1 when binary, summed over columns otherwise.
    pub(crate) brier: Vec<f64>,
    rankings: Vec<Ranking>,
}

impl ClassFacts {
    fn new(p: &Predictions, truth: &[u32]) -> Self {
        let (rows, classes) = (p.scores.rows, p.scores.cols);
        let predicted: Vec<u32> = (0..rows).map(|r| p.class(r) as u32).collect();
        let confidence: Vec<f64> = (0..rows)
            .map(|r| f64::from(p.scores.row(r)[predicted[r] as usize]))
            .collect();
        let bin = confidence.iter().map(|&c| bin_of(c, BINS) as u8).collect();
        let log_loss = (0..rows)
            .map(|r| -clipped(f64::from(p.scores.row(r)[truth[r] as usize])).ln())
            .collect();
        let brier = (0..rows)
            .map(|r| {
                let error = |c: usize| {
                    (f64::from(p.scores.row(r)[c]) - f64::from(truth[r] as usize == c)).powi(2)
                };
                if classes == 2 {
                    error(1)
                } else {
                    (0..classes).map(error).sum()
                }
            })
            .collect();
        let ranked = if classes == 2 { 1..2 } else { 0..classes };
        let rankings = ranked
            .map(|c| {
                Ranking::new(
                    (0..rows)
                        .map(|r| (r, p.scores.row(r)[c], truth[r] as usize == c))
                        .collect(),
                )
            })
            .collect();
        Self {
            classes,
            truth: truth.to_vec(),
            predicted,
            confidence,
            bin,
            log_loss,
            brier,
            rankings,
        }
    }

    fn counts(&self, weights: &[u32]) -> Counts {
        let mut c = Counts::new(self.classes);
        for ((&t, &p), &w) in self.truth.iter().zip(&self.predicted).zip(weights) {
            let w = u64::from(w);
            c.truth[t as usize] += w;
            c.predicted[p as usize] += w;
            c.rows += w;
            if t == p {
                c.hit[t as usize] += w;
                c.right += w;
            }
        }
        for k in 0..self.classes {
            c.counted[k] = c.truth[k] + c.predicted[k] > 0;
        }
        c
    }
}

/// Any number of labels per row.
#[derive(Debug, Clone)]
pub(crate) struct LabelFacts {
    pub(crate) rows: usize,
    pub(crate) labels: usize,
    /// `[rows, labels]`
    pub(crate) truth: Vec<Option<bool>>,
    /// `[rows, labels]`
    pub(crate) predicted: Vec<bool>,
    /// `[rows, labels]`, negative logarithm of the clipped score of the truth; 0 where it is not known.
    pub(crate) log_loss: Vec<f64>,
    /// `[rows, labels]`, squared error of the score; 0 where the truth is not known.
    pub(crate) brier: Vec<f64>,
    rankings: Vec<Ranking>,
}

impl LabelFacts {
    fn new(p: &Predictions, truth: &[Option<bool>]) -> Self {
        let (rows, labels) = (p.scores.rows, p.scores.cols);
        let cells = || p.scores.data.iter().zip(truth);
        let of_truth = |s: f32, t: bool| if t { f64::from(s) } else { 1.0 - f64::from(s) };
        let log_loss = cells()
            .map(|(&s, t)| t.map_or(0.0, |t| -clipped(of_truth(s, t)).ln()))
            .collect();
        let brier = cells()
            .map(|(&s, t)| t.map_or(0.0, |t| (f64::from(s) - f64::from(t)).powi(2)))
            .collect();
        let rankings = (0..labels)
            .map(|c| {
                let known =
                    (0..rows).filter_map(|r| Some((r, p.scores.row(r)[c], truth[r * labels + c]?)));
                Ranking::new(known.collect())
            })
            .collect();
        let predicted = (p.scores.data.iter().enumerate())
            .map(|(cell, &s)| p.flag(cell % labels, s))
            .collect();
        Self {
            rows,
            labels,
            truth: truth.to_vec(),
            predicted,
            log_loss,
            brier,
            rankings,
        }
    }

    fn counts(&self, weights: &[u32]) -> Counts {
        let mut c = Counts::new(self.labels);
        for (row, &w) in weights.iter().enumerate().filter(|(_, w)| **w > 0) {
            let w = u64::from(w);
            let (mut known, mut right) = (false, true);
            for l in 0..self.labels {
                let cell = row * self.labels + l;
                let Some(truth) = self.truth[cell] else {
                    continue;
                };
                let predicted = self.predicted[cell];
                known = true;
                right &= truth == predicted;
                c.counted[l] = true;
                c.truth[l] += w * u64::from(truth);
                c.predicted[l] += w * u64::from(predicted);
                c.hit[l] += w * u64::from(truth && predicted);
            }
            c.rows += w * u64::from(known);
            c.right += w * u64::from(known && right);
        }
        c
    }

    /// Mean over labels of the weighted mean of `cells` (`[rows, labels]`) over the rows where the label is known.
    pub(crate) fn macro_mean(&self, cells: &[f64], weights: &[u32]) -> f64 {
        let (mut sums, mut rows) = (vec![0.0; self.labels], vec![0_u64; self.labels]);
        for (row, &w) in weights.iter().enumerate() {
            for l in 0..self.labels {
                let cell = row * self.labels + l;
                if self.truth[cell].is_some() {
                    sums[l] += f64::from(w) * cells[cell];
                    rows[l] += u64::from(w);
                }
            }
        }
        mean(
            sums.iter()
                .zip(&rows)
                .filter(|(_, n)| **n > 0)
                .map(|(s, &n)| s / n as f64),
        )
    }
}

/// One number per row.
#[derive(Debug, Clone)]
pub(crate) struct ValueFacts {
    pub(crate) truth: Vec<f64>,
    pub(crate) predicted: Vec<f64>,
    pub(crate) truth_order: Ranking,
    pub(crate) predicted_order: Ranking,
}

impl ValueFacts {
    fn new(p: &Predictions, truth: &[f32]) -> Self {
        let order =
            |v: &[f32]| Ranking::new(v.iter().enumerate().map(|(r, &s)| (r, s, false)).collect());
        Self {
            truth: truth.iter().map(|&v| f64::from(v)).collect(),
            predicted: p.scores.data.iter().map(|&v| f64::from(v)).collect(),
            truth_order: order(truth),
            predicted_order: order(&p.scores.data),
        }
    }
}

/// Weighted counts of each class or label.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Truly of the class and predicted so.
    pub(crate) hit: Vec<u64>,
    /// Predicted as the class.
    pub(crate) predicted: Vec<u64>,
    /// Truly of the class.
    pub(crate) truth: Vec<u64>,
    /// Whether the class takes part in macro averages: it occurs or is predicted; a label is known in some row.
    pub(crate) counted: Vec<bool>,
    /// Rows that are wholly right.
    pub(crate) right: u64,
    /// Rows of which something is known.
    pub(crate) rows: u64,
}

impl Counts {
    fn new(width: usize) -> Self {
        let zeros = || vec![0; width];
        Self {
            hit: zeros(),
            predicted: zeros(),
            truth: zeros(),
            counted: vec![false; width],
            right: 0,
            rows: 0,
        }
    }
}

/// Rows of one score column from the highest score to the lowest.
#[derive(Debug, Clone)]
pub(crate) struct Ranking(pub(crate) Vec<Ranks>);

/// One row of a ranking.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranks {
    pub(crate) row: u32,
    positive: bool,
    /// Whether the next row has another score; ties count together.
    pub(crate) last_of_tie: bool,
}

impl Ranking {
    fn new(mut rows: Vec<(usize, f32, bool)>) -> Self {
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        let last = |i: usize| rows.get(i + 1).is_none_or(|next| next.1 != rows[i].1);
        let ranks = |(i, &(row, _, positive)): (usize, &(usize, f32, bool))| Ranks {
            row: row as u32,
            positive,
            last_of_tie: last(i),
        };
        Self(rows.iter().enumerate().map(ranks).collect())
    }
}

/// The two ranking metrics, which share one pass over the sorted rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranked {
    pub(crate) auroc: f64,
    pub(crate) average_precision: f64,
}

fn rank(rankings: &[Ranking], weights: &[u32]) -> Ranked {
    let each: Vec<Ranked> = rankings.iter().map(|r| rank_one(&r.0, weights)).collect();
    Ranked {
        auroc: mean(each.iter().map(|r| r.auroc).filter(|v| v.is_finite())),
        average_precision: mean(
            each.iter()
                .map(|r| r.average_precision)
                .filter(|v| v.is_finite()),
        ),
    }
}

fn rank_one(ranks: &[Ranks], weights: &[u32]) -> Ranked {
    let (mut hits, mut misses) = (0_u64, 0_u64);
    let (mut tied_hits, mut tied_misses) = (0_u64, 0_u64);
    // Twice the area, so that half a tie stays a whole number.
    let mut area = 0_u64;
    let mut precision = 0.0;
    for rank in ranks {
        let w = u64::from(weights[rank.row as usize]);
        tied_hits += w * u64::from(rank.positive);
        tied_misses += w * u64::from(!rank.positive);
        if !rank.last_of_tie {
            continue;
        }
        area += tied_misses * (2 * hits + tied_hits);
        hits += tied_hits;
        misses += tied_misses;
        if tied_hits > 0 {
            precision += tied_hits as f64 * hits as f64 / (hits + misses) as f64;
        }
        (tied_hits, tied_misses) = (0, 0);
    }
    Ranked {
        auroc: area as f64 / (2 * hits * misses) as f64,
        average_precision: if hits > 0 {
            precision / hits as f64
        } else {
            f64::NAN
        },
    }
}

/// Equal-width bin of a confidence: bin `b` holds `(b / bins, (b + 1) / bins]`, and bin 0 also 0.
pub(crate) fn bin_of(confidence: f64, bins: usize) -> usize {
    let above = (confidence * bins as f64).ceil() as usize;
    above.saturating_sub(1).min(bins.saturating_sub(1))
}

/// Mean of the weighted values; not a number when nothing has weight.
pub(crate) fn weighted_mean(values: &[f64], weights: &[u32]) -> f64 {
    let (mut sum, mut rows) = (0.0, 0_u64);
    for (&v, &w) in values.iter().zip(weights) {
        sum += v * f64::from(w);
        rows += u64::from(w);
    }
    sum / rows as f64
}

/// Mean of the values; not a number when there are none.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0_u64), |(s, n), v| (s + v, n + 1));
    sum / n as f64
}

fn clipped(score: f64) -> f64 {
    score.clamp(CLIP, 1.0 - CLIP)
}
