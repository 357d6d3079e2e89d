//! `linear`: logistic regression, or ridge for a number, on standardised numbers and flags of words. The floor of every table, and
//! a model of its own: few labels teach it more than trees where columns already tell much.

use retune_data::Target;
use retune_data::fields::Cells;
use retune_data::processor::Labels;
use retune_eval::Matrix;
use serde::{Deserialize, Serialize};

use crate::floors::classical::{self, Columns, Effort, Outputs};

/// Words of a field that have a flag of their own.
const WORDS: usize = 64;

/// Rows of the three sides, with the targets of the first.
pub struct Sides<'a> {
    /// Training, validation and test rows.
    pub cells: [&'a Cells; 3],
    /// Targets of the training rows.
    pub targets: &'a [Target],
}

/// How one field becomes columns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Scale {
    /// First of its columns.
    first: u32,
    of: Of,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Of {
    /// Mean and deviation of a number, which has a second column that tells that it is missing.
    Number { mean: f64, std: f64 },
    /// How many words have a flag.
    Words(usize),
}

/// A linear model of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    scales: Vec<Scale>,
    columns: u32,
    outputs: Outputs,
}

/// What was fitted.
pub struct Found {
    /// The model.
    pub line: Line,
    /// The larger, the weaker its penalty.
    pub c: f64,
    /// Answers to the validation rows.
    pub valid: Matrix,
    /// Answers to the test rows.
    pub test: Matrix,
}

/// The linear model with the best penalty. `words` is how many numbers stand for the words of each field, `None` for numbers;
/// `score` rates answers to the validation rows, larger is better.
pub fn fit(
    sides: &Sides,
    labels: &Labels,
    words: &[Option<usize>],
    effort: Effort,
    score: &dyn Fn(&Matrix) -> f64,
) -> Option<Found> {
    let mut columns = 0;
    let scale = |(field, words): (usize, &Option<usize>)| {
        let first = columns;
        let of = match words {
            Some(words) => Of::Words((*words).min(WORDS + 1)),
            None => moments(sides.cells[0], field),
        };
        columns += match of {
            Of::Words(words) => words as u32,
            Of::Number { .. } => 2,
        };
        Scale { first, of }
    };
    let scales: Vec<Scale> = words.iter().enumerate().map(scale).collect();
    let rows = sides.cells.map(|cells| rows(cells, &scales));
    let given = (sides.targets, labels);
    let found = classical::linear((columns as usize, rows), given, effort, score)?;
    Some(Found {
        line: Line {
            scales,
            columns,
            outputs: found.outputs,
        },
        c: found.c,
        valid: found.valid,
        test: found.test,
    })
}

impl Line {
    /// Probabilities or values: `[rows, outputs]`.
    pub fn scores(&self, cells: &Cells) -> Matrix {
        let rows = classical::sparse(self.columns as usize, rows(cells, &self.scales));
        self.outputs.scores(&rows)
    }

    /// How much each field adds to what a row's answer is made of (the log-odds of the second class, or of one of many;
    /// or the standardised value): `[fields]`.
    pub fn contributions(&self, row: &[f32], output: usize) -> Vec<f64> {
        let (linear, sign) = match &self.outputs {
            Outputs::Classes {
                linear: Some(linear),
                ..
            } if linear.width() == 1 => (linear, if output == 0 { -1.0 } else { 1.0 }),
            Outputs::Classes {
                linear: Some(linear),
                ..
            }
            | Outputs::Value { linear, .. } => (linear, 1.0),
            _ => return vec![0.0; row.len()],
        };
        let place = output.min(linear.width() - 1);
        let one = |(value, scale): (&f32, &Scale)| {
            let own = columns(&[*value], std::slice::from_ref(scale)).into_iter();
            own.map(|(column, x)| sign * linear.weight(column as usize, place) * f64::from(x))
                .sum()
        };
        row.iter().zip(&self.scales).map(one).collect()
    }
}

fn rows(cells: &Cells, scales: &[Scale]) -> Vec<Columns> {
    let rows = cells.values.chunks(cells.width.max(1));
    rows.map(|row| columns(row, scales)).collect()
}

/// Mean and standard deviation of the values that are there.
fn moments(cells: &Cells, field: usize) -> Of {
    let values = || {
        let rows = cells.values.chunks(cells.width.max(1));
        rows.map(|row| f64::from(row[field]))
            .filter(|v| v.is_finite())
    };
    let n = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / n;
    let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let std = variance.sqrt();
    Of::Number {
        mean,
        std: if std > 0.0 { std } else { 1.0 },
    }
}

fn columns(row: &[f32], scales: &[Scale]) -> Vec<(u32, f32)> {
    let mut found = Vec::with_capacity(row.len());
    for (value, scale) in row.iter().zip(scales) {
        match scale.of {
            Of::Number { .. } if value.is_nan() => found.push((scale.first + 1, 1.0)),
            Of::Number { mean, std } => {
                found.push((scale.first, ((f64::from(*value) - mean) / std) as f32));
            }
            Of::Words(_) if value.is_nan() => {}
            Of::Words(words) => {
                let at = (*value as usize).min(words.saturating_sub(1));
                found.push((scale.first + at as u32, 1.0));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_word_decides_and_missing_numbers_do_no_harm() {
        let mut cells = Cells {
            width: 2,
            values: Vec::new(),
        };
        let mut targets = Vec::new();
        for i in 0..200 {
            let word = (i % 3) as f32;
            let number = if i % 5 == 0 { f32::NAN } else { (i % 7) as f32 };
            cells.values.extend([number, word]);
            targets.push(Target::Class(u32::from(word == 1.0)));
        }
        let labels = Labels::Classes {
            names: vec!["no".into(), "yes".into()],
        };
        let sides = Sides {
            cells: [&cells, &cells, &cells],
            targets: &targets,
        };
        let right = |m: &Matrix| -> f64 {
            let hits =
                (0..200).filter(|&i| (m.row(i)[1] > 0.5) == (targets[i] == Target::Class(1)));
            hits.count() as f64
        };
        let found = fit(&sides, &labels, &[None, Some(4)], Effort::Fast, &right).unwrap();
        assert_eq!(right(&found.test), 200.0);
        assert_eq!(found.valid, found.test);
        let text = serde_json::to_string(&found.line).unwrap();
        let line: Line = serde_json::from_str(&text).unwrap();
        let again = line.scores(&cells);
        let off = again
            .data
            .iter()
            .zip(&found.test.data)
            .map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 1e-6);
        // The word that decides speaks for its class, and against the other.
        let by = line.contributions(&[3.0, 1.0], 1);
        assert!(by[1] > 5.0 * by[0].abs(), "{by:?}");
        assert_eq!(line.contributions(&[3.0, 1.0], 0)[1], -by[1]);
    }
}
