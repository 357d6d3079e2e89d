//! What a network reads of fields: numbers in piecewise-linear steps between quantiles of the training rows (Gorishniy et
//! al., arXiv:2203.05556), words as flags, and a flag for what is missing.

use retune_data::fields::{Cells, Field, FieldKind};
use serde::{Deserialize, Serialize};

/// Steps of a number.
const STEPS: usize = 32;
/// Words of a field that have a flag of their own; the others share one.
const WORDS: usize = 64;

/// How each field becomes inputs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Inputs {
    fields: Vec<Input>,
    /// Mean of each input over the training rows, `[width]`; empty in bundles that do not know it.
    #[serde(default)]
    mean: Vec<f32>,
}

/// How a field becomes inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Input {
    /// Steps between these ascending edges, and a flag for a missing value.
    Steps(Vec<f32>),
    /// A flag for each of so many words, one for all others and one for a missing value.
    Flags(usize),
    /// As it is.
    Plain,
}

impl Inputs {
    /// Of the training rows. `engineered` are fields after those of the file, all numbers.
    pub fn fit(fields: &[Field], engineered: usize, cells: &Cells) -> Self {
        let kinds = fields.iter().map(|field| match &field.kind {
            FieldKind::Number => None,
            FieldKind::Words(words) => Some(words.len()),
        });
        let kinds = kinds.chain(std::iter::repeat_n(None, engineered));
        let inputs = kinds.enumerate().map(|(at, words)| match words {
            Some(words) => Input::Flags(words.min(WORDS)),
            None => Input::Steps(edges(
                cells.values.chunks(cells.width.max(1)).map(|row| row[at]),
            )),
        });
        let mut fitted = Self {
            fields: inputs.collect(),
            mean: Vec::new(),
        };
        fitted.mean = fitted.mean_of(cells);
        fitted
    }

    /// The same with numbers behind them that are read as they are, of which these are those of the training rows.
    #[must_use]
    pub fn and_plain(mut self, told: &Cells) -> Self {
        let plain = Self {
            fields: vec![Input::Plain; told.width],
            mean: Vec::new(),
        };
        self.mean.extend(plain.mean_of(told));
        self.fields.extend(plain.fields);
        self
    }

    /// Mean of each input over rows: `[width]`.
    fn mean_of(&self, cells: &Cells) -> Vec<f32> {
        let mut sums = vec![0f64; self.width()];
        let mut row = Vec::with_capacity(sums.len());
        for at in 0..cells.rows() {
            row.clear();
            self.push(cells.row(at), &mut row);
            for (sum, value) in sums.iter_mut().zip(&row) {
                *sum += f64::from(*value);
            }
        }
        let rows = cells.rows().max(1) as f64;
        sums.iter().map(|sum| (sum / rows) as f32).collect()
    }

    /// The inputs of no row in particular, `[width]`: the mean of the training rows, or zeros where that is not known.
    pub fn baseline(&self) -> Vec<f32> {
        if self.mean.len() == self.width() {
            return self.mean.clone();
        }
        vec![0.0; self.width()]
    }

    /// Numbers that a network reads.
    pub fn width(&self) -> usize {
        self.fields.iter().map(Input::width).sum()
    }

    /// The inputs of one row: `[width]`.
    pub fn of(&self, row: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.width());
        self.push(row, &mut out);
        out
    }

    /// Adds the inputs of one row, `[width]`, to `out`.
    pub fn push(&self, row: &[f32], out: &mut Vec<f32>) {
        for (input, value) in self.fields.iter().zip(row) {
            input.push(*value, out);
        }
    }

    /// First and last input of each field, the last one left out.
    pub fn spans(&self) -> Vec<std::ops::Range<usize>> {
        let mut at = 0;
        let span = |input: &Input| {
            let from = at;
            at += input.width();
            from..at
        };
        self.fields.iter().map(span).collect()
    }
}

impl Input {
    fn width(&self) -> usize {
        match self {
            Self::Steps(edges) => edges.len().saturating_sub(1).max(1) + 1,
            Self::Flags(words) => words + 2,
            Self::Plain => 1,
        }
    }

    fn push(&self, value: f32, out: &mut Vec<f32>) {
        let end = out.len() + self.width();
        match self {
            Self::Plain => out.push(value),
            _ if value.is_nan() => {
                out.resize(end - 1, 0.0);
                out.push(1.0);
            }
            Self::Steps(edges) if edges.len() < 2 => {
                let edge = edges.first().copied().unwrap_or(0.0);
                out.extend([f32::from(u8::from(value > edge)), 0.0]);
            }
            Self::Steps(edges) => {
                // Steps below the one that holds the value are whole, and those above are empty.
                let last = edges.len() - 2;
                let step = edges[1..=last].partition_point(|edge| *edge <= value);
                let share = (value - edges[step]) / (edges[step + 1] - edges[step]);
                // Outside the training rows' range the first and last steps go on as lines, a little.
                let low = if step == 0 { -1.0 } else { 0.0 };
                let high = if step == last { 2.0 } else { 1.0 };
                out.resize(out.len() + step, 1.0);
                out.push(share.clamp(low, high));
                out.resize(end, 0.0);
            }
            Self::Flags(words) => {
                out.resize(end, 0.0);
                let at = (value as usize).min(*words);
                out[end - words - 2 + at] = 1.0;
            }
        }
    }
}

/// Quantiles of the values that are there, without repeats.
fn edges(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut sorted: Vec<f32> = values.filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    if sorted.is_empty() {
        return Vec::new();
    }
    let at = |step: usize| sorted[(sorted.len() - 1) * step / STEPS];
    let mut found: Vec<f32> = (0..=STEPS).map(at).collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn numbers_in_steps_words_as_flags_and_what_is_missing() {
        let fields = [
            Field {
                name: "n".to_string(),
                kind: FieldKind::Number,
            },
            Field {
                name: "w".to_string(),
                kind: FieldKind::Words(vec!["a".to_string(), "b".to_string()]),
            },
        ];
        let cells = Cells {
            width: 3,
            values: (0..33).flat_map(|i| [i as f32, 0.0, 7.0]).collect(),
        };
        let inputs = Inputs::fit(&fields, 1, &cells);
        assert_eq!(inputs.spans(), [0..33, 33..37, 37..39]);
        let row = inputs.of(&[2.5, 1.0, 9.0]);
        assert_eq!(row.len(), inputs.width());
        // Steps below the value are whole, the one it lies in is shared, and those above are empty.
        assert_eq!(row[..4], [1.0, 1.0, 0.5, 0.0]);
        assert_eq!(row[32], 0.0);
        assert_eq!(row[33..37], [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(row[37..], [1.0, 0.0]);
        let none = inputs.of(&[f32::NAN, f32::NAN, f32::NAN]);
        let ones: Vec<usize> = (0..39).filter(|i| none[*i] != 0.0).collect();
        assert_eq!(ones, [32, 36, 38]);
        // A value on an edge ends the step below it; one below all edges goes on for one step.
        assert_eq!(inputs.of(&[1.0, 0.0, 7.0])[..3], [1.0, 0.0, 0.0]);
        assert_eq!(inputs.of(&[32.0, 0.0, 7.0])[..32], [1.0; 32]);
        assert_eq!(inputs.of(&[-0.5, 0.0, 7.0])[..2], [-0.5, 0.0]);
        assert_eq!(inputs.of(&[-9.0, 0.0, 7.0])[..2], [-1.0, 0.0]);
        let strange = inputs.of(&[100.0, 55.0, 7.0]);
        assert_eq!(strange[31], 2.0);
        assert_eq!(strange[33..37], [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(strange[37..], [0.0, 0.0]);
    }

    #[test]
    fn the_baseline_is_the_mean_row_and_zeros_in_bundles_without_one() {
        let kind = FieldKind::Number;
        let name = "n".to_string();
        let cells = Cells {
            width: 1,
            values: vec![0.0, 4.0, 4.0, f32::NAN],
        };
        let inputs = Inputs::fit(&[Field { name, kind }], 0, &cells);
        assert_eq!(inputs.baseline(), [0.5, 0.25]);
        let mut saved = serde_json::to_value(&inputs).unwrap();
        let same: Inputs = serde_json::from_value(saved.clone()).unwrap();
        assert_eq!(same, inputs);
        saved.as_object_mut().unwrap().remove("mean");
        let older: Inputs = serde_json::from_value(saved).unwrap();
        assert_eq!(older.baseline(), [0.0, 0.0]);
        assert_eq!(older.of(&[1.0]), inputs.of(&[1.0]));
    }
}
