//! Fields: the columns of a table of numbers and words, as the numbers that models of tables read.
//!
//! Fitted on training rows only. A number stays as it is, a word becomes its place among the words of the training rows,
//! the more frequent first; what is missing is NaN, and a word that training rows did not have counts as one of its own.

mod cast;

use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};
use crate::profile::{Kind, profile};
use crate::roles::Reason;
use crate::table::{Column, Table, Values};

use cast::is_entity;
pub use cast::{Cast, CastRequest, cast, seconds};

/// Words of a column that are told apart; rarer ones count as one.
const MOST_WORDS: usize = 1_000;
/// Rows that have a word, for it to be told apart from others.
const FEWEST_ROWS: usize = 2;

/// A column that models read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: FieldKind,
}

/// What the values of a field are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// Numbers.
    Number,
    /// Words: those of the training rows, the more frequent first.
    Words(Vec<String>),
}

/// The fields of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fields {
    /// In the order of the file.
    pub fields: Vec<Field>,
}

/// Rows of numbers, `[rows, width]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cells {
    /// Numbers of a row.
    pub width: usize,
    /// Row by row; NaN where a value is missing.
    pub values: Vec<f32>,
}

impl Cells {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// The numbers of row `i`: `[width]`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.width..(i + 1) * self.width]
    }

    /// The rows at `rows`, in that order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|row| self.row(*row).iter().copied());
        Self {
            width: self.width,
            values: values.collect(),
        }
    }

    /// The numbers of both, side by side.
    ///
    /// # Panics
    /// When they have different numbers of rows.
    #[must_use]
    pub fn beside(&self, other: &Self) -> Self {
        if self.width == 0 {
            return other.clone();
        }
        if other.width == 0 {
            return self.clone();
        }
        assert_eq!(self.rows(), other.rows(), "rows of numbers side by side");
        let pairs = self
            .values
            .chunks_exact(self.width)
            .zip(other.values.chunks_exact(other.width));
        Self {
            width: self.width + other.width,
            values: pairs
                .flat_map(|(a, b)| a.iter().chain(b).copied())
                .collect(),
        }
    }
}

impl Fields {
    /// The fields of a table, but for the columns in `taken`, and why each column is or is not one. `rows` are the
    /// training rows.
    ///
    /// # Errors
    /// No column that is a field.
    pub fn fit(t: &Table, rows: &[usize], taken: &[&str]) -> Result<(Self, Vec<Reason>)> {
        let mut found = Self::default();
        let mut reasons = Vec::new();
        for column in t
            .columns
            .iter()
            .filter(|c| !taken.contains(&c.name.as_str()))
        {
            let (field, why) = field(column, t.rows(), rows);
            let role = if field.is_some() { "field" } else { "left out" };
            reasons.push(Reason {
                column: column.name.clone(),
                role: role.to_string(),
                why,
            });
            found.fields.extend(field);
        }
        if found.fields.is_empty() {
            let all: Vec<String> = reasons
                .iter()
                .take(12)
                .map(|r| format!("`{}` ({})", r.column, r.why))
                .collect();
            return Err(DataError::Ambiguous {
                file: t.file(),
                role: "field".to_string(),
                candidates: format!(
                    "no column beside the label holds numbers or words that repeat; it has {}",
                    all.join(", ")
                ),
                flag: "--label if another column is to be learned".to_string(),
            });
        }
        Ok((found, reasons))
    }

    /// Names of the fields.
    pub fn names(&self) -> Vec<String> {
        self.fields.iter().map(|f| f.name.clone()).collect()
    }

    /// The numbers of `rows`, in that order.
    ///
    /// # Errors
    /// A column that is missing; a word where the training rows had numbers.
    pub fn encode(&self, t: &Table, rows: &[usize]) -> Result<Cells> {
        let columns: Vec<&Column> = self
            .fields
            .iter()
            .map(|f| t.column(&f.name))
            .collect::<Result<_>>()?;
        let words: Vec<HashMap<&str, f32>> = self.fields.iter().map(Field::codes).collect();
        let width = self.fields.len();
        let mut values = vec![0f32; rows.len() * width];
        values.par_chunks_mut(width.max(1)).zip(rows).try_for_each(
            |(out, &row)| -> Result<()> {
                for (((out, field), column), words) in
                    out.iter_mut().zip(&self.fields).zip(&columns).zip(&words)
                {
                    *out = match &field.kind {
                        FieldKind::Number => number(t, column, row)?,
                        FieldKind::Words(_) => word(column, row, words),
                    };
                }
                Ok(())
            },
        )?;
        Ok(Cells { width, values })
    }
}

impl Field {
    /// The number that stands for each word.
    fn codes(&self) -> HashMap<&str, f32> {
        match &self.kind {
            FieldKind::Number => HashMap::new(),
            FieldKind::Words(words) => (0..words.len())
                .map(|i| (words[i].as_str(), i as f32))
                .collect(),
        }
    }

    /// Numbers that its values become, one more than words there are: the last stands for words that training rows did
    /// not have. `None` for numbers.
    pub fn codes_len(&self) -> Option<usize> {
        match &self.kind {
            FieldKind::Number => None,
            FieldKind::Words(words) => Some(words.len() + 1),
        }
    }

    /// What a number that stands for a value says, for people.
    pub fn show(&self, value: f32) -> String {
        match &self.kind {
            _ if value.is_nan() => "missing".to_string(),
            FieldKind::Number => format!("{value}"),
            FieldKind::Words(words) => words
                .get(value as usize)
                .cloned()
                .unwrap_or_else(|| "another word".to_string()),
        }
    }
}

/// What a column is to a model, and why.
fn field(column: &Column, total: usize, rows: &[usize]) -> (Option<Field>, String) {
    let p = profile(column, total);
    let told = p.describe();
    if is_entity(&column.name) && !matches!(p.kind, Kind::Bool) && p.distinct > 10 {
        return (
            None,
            format!("{told}: names somebody or something, which is not learned by heart"),
        );
    }
    let kind = match p.kind {
        Kind::Integer | Kind::Float => FieldKind::Number,
        Kind::Bool if matches!(column.values, Values::Bool(_)) => FieldKind::Number,
        Kind::Words | Kind::Bool => FieldKind::Words(words(column, rows)),
        Kind::Names if p.distinct_share() < 0.5 => FieldKind::Words(words(column, rows)),
        _ => return (None, told),
    };
    let field = Field {
        name: column.name.clone(),
        kind,
    };
    (Some(field), told)
}

/// The words of the training rows, the more frequent first, ties by spelling.
fn words(column: &Column, rows: &[usize]) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for text in rows.iter().filter_map(|row| column.text(*row)) {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        match counts.get_mut(text) {
            Some(count) => *count += 1,
            None => {
                counts.insert(text.to_string(), 1);
            }
        }
    }
    let mut found: Vec<(String, usize)> = counts
        .into_iter()
        .filter(|(_, rows)| *rows >= FEWEST_ROWS)
        .collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found.truncate(MOST_WORDS);
    found.into_iter().map(|(word, _)| word).collect()
}

fn number(t: &Table, column: &Column, row: usize) -> Result<f32> {
    if let Some(value) = column.number(row) {
        return Ok(value as f32);
    }
    let text = column.text(row).unwrap_or_default();
    let text = text.trim();
    if text.is_empty() || crate::profile::is_missing_word(text) {
        return Ok(f32::NAN);
    }
    Err(DataError::Cell {
        column: column.name.clone(),
        place: t.place(row),
        problem: format!("`{text}` is no number, and the other rows have numbers"),
        cure: "correct it, or leave the cell empty".to_string(),
    })
}

fn word(column: &Column, row: usize, words: &HashMap<&str, f32>) -> f32 {
    let Some(text) = column.text(row) else {
        return f32::NAN;
    };
    let text = text.trim();
    if text.is_empty() {
        return f32::NAN;
    }
    words.get(text).copied().unwrap_or(words.len() as f32)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::table::RowOrigin;

    fn table(columns: &[(&str, &[&str])]) -> Table {
        let rows = columns[0].1.len();
        Table {
            columns: columns
                .iter()
                .map(|(name, values)| Column {
                    name: (*name).to_string(),
                    values: Values::Text(
                        values
                            .iter()
                            .map(|v| (!v.is_empty()).then(|| (*v).to_string()))
                            .collect(),
                    ),
                })
                .collect(),
            origin: (0..rows as u64)
                .map(|i| RowOrigin {
                    file: 0,
                    line: i + 2,
                })
                .collect(),
            files: vec!["t.csv".into()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn numbers_stay_words_become_places_and_what_is_missing_is_nan() {
        let t = table(&[
            ("age", &["31", "", "?", "40.5", "31", "22", "31", "22"]),
            (
                "job",
                &[
                    "nurse", "cook", "nurse", "", "smith", "cook", "cook", "nurse",
                ],
            ),
            ("same", &["x"; 8]),
            (
                "flag",
                &["TRUE", "FALSE", "", "TRUE", "TRUE", "FALSE", "TRUE", "TRUE"],
            ),
        ]);
        // Row 4 is no training row, so that `smith` is a word that nobody has seen.
        let (fields, reasons) = Fields::fit(&t, &[0, 1, 2, 3, 5, 6], &[]).unwrap();
        assert_eq!(fields.names(), ["age", "job", "flag"]);
        assert_eq!(
            fields.fields[1].kind,
            FieldKind::Words(vec!["cook".into(), "nurse".into()])
        );
        assert!(
            reasons
                .iter()
                .any(|r| r.column == "same" && r.role == "left out")
        );
        let cells = fields.encode(&t, &[0, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!(cells.rows(), 6);
        assert_eq!(cells.row(0), [31.0, 1.0, 0.0]);
        assert!(cells.row(1)[0].is_nan() && cells.row(2)[0].is_nan());
        assert_eq!(cells.row(1)[1], 0.0);
        assert!(cells.row(3)[1].is_nan());
        assert_eq!(cells.row(4)[1], 2.0);
        assert_eq!(fields.fields[1].show(2.0), "another word");
        assert_eq!(fields.fields[1].show(1.0), "nurse");
        let both = cells.beside(&cells.select(&[5, 4, 3, 2, 1, 0]));
        assert_eq!(both.width, 6);
        assert_eq!(both.row(0)[..3], [31.0, 1.0, 0.0]);
        assert_eq!(both.row(0)[3..], [22.0, 0.0, 1.0]);
    }

    #[test]
    fn a_word_among_numbers_names_its_cell() {
        let t = table(&[("age", &["31", "x", "22"]), ("b", &["1", "2", "2"])]);
        let fields = Fields {
            fields: vec![Field {
                name: "age".to_string(),
                kind: FieldKind::Number,
            }],
        };
        let error = fields.encode(&t, &[0, 1]).unwrap_err().to_string();
        assert!(
            error.contains("`age`") && error.contains("t.csv, line 3") && error.contains("`x`"),
            "{error}"
        );
    }

    #[test]
    fn names_of_people_and_a_table_without_fields() {
        let ids: Vec<String> = (0..40).map(|i| format!("{}", i % 20)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let t = table(&[("customer_id", &ids)]);
        let error = Fields::fit(&t, &[0, 1, 2], &[]).unwrap_err().to_string();
        assert!(
            error.contains("customer_id") && error.contains("learned by heart"),
            "{error}"
        );
    }
}
