//! What a model answered and what was right, for a whole split.

use crate::decision::Decision;
use crate::retrieval::Retrieved;

/// A dense row-major matrix of scores.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// `rows * cols` values.
    pub data: Vec<f32>,
}

impl Matrix {
    /// The values of row `i`: `[cols]`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }
}

/// The right answers of a split.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// One class index per row; scores are class probabilities, `[rows, classes]` (two columns when binary).
    Class(Vec<u32>),
    /// `rows * labels` flags, row-major; scores are one probability per label. `None` is not known and is left out.
    Labels(Vec<Option<bool>>),
    /// One number per row; scores have one column, in the user's units.
    Value(Vec<f32>),
    /// What lies near each row; scores are vectors, `[rows, width]`.
    Vectors(Retrieved),
}

/// A column whose values cut the rows into slices.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Column name.
    pub column: String,
    /// Value of each row.
    pub values: Vec<String>,
}

/// Scores and right answers of a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// `[rows, classes | labels | 1 | width]`.
    pub scores: Matrix,
    /// The right answers.
    pub targets: Targets,
    /// Columns to report by.
    pub slices: Vec<Slice>,
    /// A name of each row for reports: `file:line`.
    pub ids: Vec<String>,
    /// How scores become answers where a goal was stated; `None` for the usual answers, the class with the largest
    /// score and every label from one half on.
    pub decision: Option<Decision>,
}

impl Predictions {
    /// The class that row `i` is answered with.
    pub fn class(&self, i: usize) -> usize {
        let scores = self.scores.row(i);
        let decision = self.decision.as_ref();
        decision.map_or_else(|| top(scores), |d| d.class(scores))
    }

    /// Whether a row with this score is answered with `label`.
    pub fn flag(&self, label: usize, score: f32) -> bool {
        let decision = self.decision.as_ref();
        decision.map_or_else(|| flagged(score), |d| d.flag(label, score))
    }

    /// The same with the usual answers, whatever was decided.
    #[must_use]
    pub fn usual(&self) -> Self {
        Self {
            decision: None,
            ..self.clone()
        }
    }

    /// The scores and right answers of the given rows, in their order, without slices and ids.
    #[must_use]
    pub fn subset(&self, rows: &[usize]) -> Self {
        let cols = self.scores.cols;
        let targets = match &self.targets {
            Targets::Class(t) => Targets::Class(rows.iter().map(|&r| t[r]).collect()),
            Targets::Labels(t) => Targets::Labels(
                rows.iter()
                    .flat_map(|&r| t[r * cols..(r + 1) * cols].iter().copied())
                    .collect(),
            ),
            Targets::Value(t) => Targets::Value(rows.iter().map(|&r| t[r]).collect()),
            Targets::Vectors(found) => Targets::Vectors(found.subset(rows)),
        };
        let data = rows
            .iter()
            .flat_map(|&r| self.scores.row(r).iter().copied())
            .collect();
        let scores = Matrix {
            rows: rows.len(),
            cols,
            data,
        };
        Self {
            scores,
            targets,
            slices: Vec::new(),
            ids: Vec::new(),
            decision: self.decision.clone(),
        }
    }

    /// The same rows and right answers with one score row repeated: what a floor answers that never looks at its input.
    #[must_use]
    pub fn with_constant_scores(&self, scores: &[f32]) -> Self {
        let rows = self.scores.rows;
        let data = std::iter::repeat_n(scores, rows)
            .flatten()
            .copied()
            .collect();
        Self {
            scores: Matrix {
                rows,
                cols: scores.len(),
                data,
            },
            ..self.clone()
        }
    }
}

/// Index of the largest score; the first one on ties, as numpy's `argmax` answers.
pub fn top(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, &s) in scores.iter().enumerate() {
        if s > scores[best] {
            best = i;
        }
    }
    best
}

/// Whether a label's probability says yes where nothing else was decided: from one half up.
pub(crate) fn flagged(score: f32) -> bool {
    score >= 0.5
}
