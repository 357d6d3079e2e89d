//! How events become codes: what was learned from training rows.

use serde::{Deserialize, Serialize};

use super::code::{PARTS, SIZES};
use crate::error::{DataError, Result};
use crate::fields::{Cells, Field, FieldKind};

/// Steps of a field of numbers.
const STEPS: usize = 16;
/// Words of a field that have a code of their own; the others share one.
const WORDS: usize = 62;
/// Fields at most.
const MOST_EXTRAS: usize = 32;

/// How events become codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelineSpec {
    /// Ascending edges between parts of the logarithms of amounts; none without amounts.
    pub amounts: Vec<f32>,
    /// Mean of the logarithms of amounts, and their standard deviation.
    pub centre: f32,
    /// Standard deviation of the logarithms of amounts.
    pub spread: f32,
    /// The fields of a row that events have beside their roles.
    pub extras: Vec<Extra>,
}

/// A field as events have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extra {
    /// Its name.
    pub name: String,
    /// Number of words that have a code; 0 for numbers.
    pub words: usize,
    /// Ascending edges between steps of numbers.
    pub edges: Vec<f32>,
}

impl TimelineSpec {
    /// Of the amounts and the fields of training rows.
    pub fn fit(amounts: impl Iterator<Item = f64>, fields: &[Field], cells: &Cells) -> Self {
        let mut logs: Vec<f64> = amounts.map(logarithm).filter(|a| !a.is_nan()).collect();
        logs.sort_unstable_by(f64::total_cmp);
        let n = logs.len().max(1) as f64;
        let centre = logs.iter().sum::<f64>() / n;
        let variance = logs.iter().map(|a| (a - centre).powi(2)).sum::<f64>() / n;
        let extra = |(at, field): (usize, &Field)| Extra {
            name: field.name.clone(),
            words: match &field.kind {
                FieldKind::Number => 0,
                FieldKind::Words(words) => words.len().clamp(1, WORDS),
            },
            edges: match &field.kind {
                FieldKind::Number => {
                    steps(cells.values.chunks(cells.width.max(1)).map(|row| row[at]))
                }
                FieldKind::Words(_) => Vec::new(),
            },
        };
        Self {
            amounts: quantiles(&logs, PARTS),
            centre: centre as f32,
            spread: variance.sqrt().max(1e-3) as f32,
            extras: fields
                .iter()
                .enumerate()
                .take(MOST_EXTRAS)
                .map(extra)
                .collect(),
        }
    }

    /// How many codes each part of an event has, the hidden one included.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = SIZES.to_vec();
        sizes.extend(self.extras.iter().map(Extra::size));
        sizes
    }

    /// What each part of an event is, in plain words.
    pub fn names(&self) -> Vec<String> {
        let roles = [
            "amount",
            "time since the last",
            "hour",
            "weekday",
            "partner",
        ];
        let extras = self.extras.iter().map(|extra| extra.name.as_str());
        roles
            .into_iter()
            .chain(extras)
            .map(str::to_string)
            .collect()
    }

    /// Whether it can be one.
    ///
    /// # Errors
    /// Edges that do not ascend, more parts than there are codes for, or a deviation that is none.
    pub fn check(&self) -> Result<()> {
        let ascend = |edges: &[f32]| edges.windows(2).all(|pair| pair[0] < pair[1]);
        let steps = |extra: &Extra| {
            ascend(&extra.edges) && extra.edges.len() < STEPS && extra.words <= WORDS
        };
        let sound = ascend(&self.amounts)
            && self.amounts.len() < PARTS
            && self.centre.is_finite()
            && self.spread > 0.0
            && self.extras.len() <= MOST_EXTRAS
            && self.extras.iter().all(steps);
        if sound {
            return Ok(());
        }
        Err(DataError::Windows {
            problem: "the description of the events is damaged".to_string(),
            cure: "make the model anew".to_string(),
        })
    }

    /// Code of an amount by its logarithm.
    pub(super) fn amount(&self, log: f64) -> u16 {
        if log.is_nan() {
            return 0;
        }
        1 + self.amounts.partition_point(|edge| f64::from(*edge) <= log) as u16
    }
}

impl Extra {
    fn size(&self) -> usize {
        match self.words {
            0 => STEPS + 2,
            words => words + 3,
        }
    }

    /// Code of a cell.
    pub(super) fn code(&self, cell: f32) -> u16 {
        match self.words {
            _ if cell.is_nan() => 0,
            0 => 1 + self.edges.partition_point(|edge| *edge <= cell) as u16,
            words => 1 + (cell.max(0.0) as usize).min(words) as u16,
        }
    }
}

/// Logarithm of an amount by which amounts are compared: of its size, and a cent more.
pub(super) fn logarithm(amount: f64) -> f64 {
    if amount.is_finite() {
        (amount.abs() + 0.01).ln()
    } else {
        f64::NAN
    }
}

/// Edges between so many equal parts of sorted values, without repeats.
fn quantiles(sorted: &[f64], parts: usize) -> Vec<f32> {
    if sorted.is_empty() {
        return Vec::new();
    }
    let edge = |part: usize| sorted[(sorted.len() - 1) * part / parts] as f32;
    let mut edges: Vec<f32> = (1..parts).map(edge).collect();
    edges.dedup();
    edges
}

fn steps(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut sorted: Vec<f64> = values.filter(|v| v.is_finite()).map(f64::from).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    quantiles(&sorted, STEPS)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn amounts_and_fields_become_parts_of_the_training_rows() {
        let fields = [
            Field {
                name: "kind".to_string(),
                kind: FieldKind::Words(vec!["a".to_string(), "b".to_string()]),
            },
            Field {
                name: "age".to_string(),
                kind: FieldKind::Number,
            },
        ];
        let cells = Cells {
            width: 2,
            values: (0..64).flat_map(|i| [0.0, i as f32]).collect(),
        };
        let spec = TimelineSpec::fit((1..=320).map(f64::from), &fields, &cells);
        spec.check().unwrap();
        assert_eq!(spec.sizes()[..5], SIZES);
        assert_eq!(spec.sizes()[5..], [5, STEPS + 2]);
        assert_eq!(
            (spec.amount(logarithm(0.5)), spec.amount(logarithm(1e9))),
            (1, 32)
        );
        assert_eq!(spec.amount(logarithm(f64::NAN)), 0);
        assert_eq!(spec.amount(logarithm(160.5)), 17);
        let words = [0.0, 1.0, 2.0, 99.0, f32::NAN].map(|cell| spec.extras[0].code(cell));
        assert_eq!(words, [1, 2, 3, 3, 0]);
        let numbers = [-1.0, 31.0, 64.0].map(|cell| spec.extras[1].code(cell));
        assert_eq!(numbers, [1, 9, 16]);
        let forged = TimelineSpec {
            amounts: vec![1.0, 1.0],
            ..spec
        };
        assert!(forged.check().is_err());
    }
}
