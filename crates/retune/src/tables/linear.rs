//! The floor of every table: logistic regression, or ridge for a number, on standardised numbers and flags of words.

use retune_data::Target;
use retune_data::fields::Cells;
use retune_data::processor::Labels;
use retune_eval::Matrix;

use crate::floors::classical::{Effort, linear_scores};

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
struct Scale {
    /// First of its columns.
    first: u32,
    /// Mean and deviation of a number; how many words else.
    of: Result<(f64, f64), usize>,
}

/// Answers to validation and test rows with the best penalty, and that penalty. `words` is how many numbers stand for the
/// words of each field, `None` for numbers; `score` rates answers to the validation rows, larger is better.
pub fn scores(
    sides: &Sides,
    labels: &Labels,
    words: &[Option<usize>],
    effort: Effort,
    score: &dyn Fn(&Matrix) -> f64,
) -> Option<(Matrix, Matrix, f64)> {
    let mut cols = 0;
    let scales: Vec<Scale> = words
        .iter()
        .enumerate()
        .map(|(field, words)| {
            let first = cols;
            let of = match words {
                Some(words) => Err((*words).min(WORDS + 1)),
                None => Ok(moments(sides.cells[0], field)),
            };
            // A number has a second column that tells that it is missing, a word is flagged or has none.
            cols += of.map_or_else(|words| words as u32, |_| 2);
            Scale { first, of }
        })
        .collect();
    let rows = sides.cells.map(|cells| {
        let row = |row: &[f32]| columns(row, &scales);
        cells.values.chunks(cells.width.max(1)).map(row).collect()
    });
    linear_scores(
        (cols as usize, rows),
        (sides.targets, labels),
        effort,
        score,
    )
}

/// Mean and standard deviation of the values that are there.
fn moments(cells: &Cells, field: usize) -> (f64, f64) {
    let values = || {
        let rows = cells.values.chunks(cells.width.max(1));
        rows.map(|row| f64::from(row[field]))
            .filter(|v| v.is_finite())
    };
    let n = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / n;
    let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let std = variance.sqrt();
    (mean, if std > 0.0 { std } else { 1.0 })
}

fn columns(row: &[f32], scales: &[Scale]) -> Vec<(u32, f32)> {
    let mut found = Vec::with_capacity(row.len());
    for (value, scale) in row.iter().zip(scales) {
        match scale.of {
            Ok(_) if value.is_nan() => found.push((scale.first + 1, 1.0)),
            Ok((mean, std)) => found.push((scale.first, ((f64::from(*value) - mean) / std) as f32)),
            Err(_) if value.is_nan() => {}
            Err(words) => {
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
        let (valid, test, _) =
            scores(&sides, &labels, &[None, Some(4)], Effort::Fast, &right).unwrap();
        assert_eq!(right(&test), 200.0);
        assert_eq!(valid, test);
    }
}
