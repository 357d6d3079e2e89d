//! Labels: what the outputs of a model stand for, learned from the training rows alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};
use crate::example::Target;
use crate::profile::is_missing_word;
use crate::roles::{Roles, TaskKind};
use crate::table::{Column, Table, Values, list_names, parse_number, suggestion};

/// More classes than this are taken for a mistaken column.
const MAX_CLASSES: usize = 10_000;
/// Separators of several labels in one cell, the more telling first.
pub(crate) const SEPARATORS: [char; 3] = ['|', ';', ','];

/// What the outputs of a model stand for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// One of these classes.
    Classes {
        /// Class names in output order: by number if all are numbers, `false` before `true`, else by spelling.
        names: Vec<String>,
    },
    /// Any number of these labels.
    MultiLabel {
        /// Label names in output order.
        names: Vec<String>,
    },
    /// A number.
    Number {
        /// Mean of the training rows, in the user's units.
        mean: f64,
        /// Standard deviation of the training rows (divided by n), in the user's units; 1 where all are equal.
        std: f64,
    },
}

impl Labels {
    /// Learns the labels of `rows`, which must be training rows only.
    ///
    /// # Errors
    /// Fewer than two classes; a word where a number is needed; no labelled row.
    pub fn fit(t: &Table, rows: &[usize], column: &str, task: TaskKind) -> Result<Labels> {
        let c = t.column(column)?;
        match task {
            TaskKind::Classification => fit_classes(t, rows, c),
            TaskKind::MultiLabel => fit_multi(t, rows, c),
            TaskKind::Regression => fit_number(t, rows, c),
        }
    }

    /// What the model should answer for a row.
    ///
    /// # Errors
    /// No label; a label that was not in the training rows; a word where a number is needed.
    pub fn target(&self, t: &Table, row: usize, column: &str) -> Result<Target> {
        let c = t.column(column)?;
        let found = c
            .text(row)
            .map(|v| v.trim().to_string())
            .unwrap_or_default();
        let given = if matches!(self, Labels::MultiLabel { .. }) {
            has_list(c, row)
        } else {
            !found.is_empty()
        };
        if !given {
            return Err(cell(
                t,
                row,
                column,
                "it has no label".into(),
                "fill it in, or leave the row out".into(),
            ));
        }
        match self {
            Labels::Classes { names } => {
                let at = names.iter().position(|n| *n == found);
                at.map(|i| Target::Class(i as u32))
                    .ok_or_else(|| unseen(t, row, column, &found, names))
            }
            Labels::MultiLabel { names } => {
                let mut flags = vec![Some(false); names.len()];
                for part in parts_known(c, row, names) {
                    let at = names.iter().position(|n| *n == part);
                    let at = at.ok_or_else(|| unseen(t, row, column, &part, names))?;
                    flags[at] = Some(true);
                }
                Ok(Target::Labels(flags))
            }
            Labels::Number { .. } => {
                let value = c
                    .number(row)
                    .ok_or_else(|| no_number(t, row, column, &found))?;
                Ok(Target::Value(value as f32))
            }
        }
    }

    /// Names of the outputs; none for a number.
    pub fn names(&self) -> &[String] {
        match self {
            Labels::Classes { names } | Labels::MultiLabel { names } => names,
            Labels::Number { .. } => &[],
        }
    }

    /// Number of outputs the head needs: one per class or label, one for a number.
    pub fn outputs(&self) -> usize {
        match self {
            Labels::Classes { names } | Labels::MultiLabel { names } => names.len(),
            Labels::Number { .. } => 1,
        }
    }
}

/// The rows that have a label, in order, and how many have none. All rows where there is no label column.
///
/// # Errors
/// More than half of the rows without a label: most likely the column is the wrong one.
pub fn labelled_rows(t: &Table, roles: &Roles) -> Result<(Vec<usize>, usize)> {
    let (rows, dropped) = rows_with_label(t, roles);
    if dropped * 2 > t.rows() {
        return Err(DataError::Column {
            column: roles.label.clone().unwrap_or_default(),
            file: t.file(),
            problem: format!("{dropped} of {} rows have no label", t.rows()),
            cure: "name the right column with --label, or remove the rows without one".to_string(),
        });
    }
    Ok((rows, dropped))
}

/// As [`labelled_rows`], however many rows have no label.
pub fn rows_with_label(t: &Table, roles: &Roles) -> (Vec<usize>, usize) {
    let column = roles.label.as_ref().and_then(|l| t.column(l).ok());
    let Some(column) = column else {
        return ((0..t.rows()).collect(), 0);
    };
    let rows: Vec<usize> = (0..t.rows())
        .filter(|&r| is_labelled(column, r, roles.task))
        .collect();
    let dropped = t.rows() - rows.len();
    (rows, dropped)
}

fn is_labelled(c: &Column, row: usize, task: Option<TaskKind>) -> bool {
    match task {
        Some(TaskKind::MultiLabel) => has_list(c, row),
        Some(TaskKind::Regression) => c
            .text(row)
            .is_some_and(|v| !v.trim().is_empty() && !is_missing_word(&v)),
        _ => c.text(row).is_some_and(|v| !v.trim().is_empty()),
    }
}

/// An empty list says "none of the labels"; an empty cell says nothing.
fn has_list(c: &Column, row: usize) -> bool {
    match &c.values {
        Values::List(v) => v[row].is_some(),
        _ => c.text(row).is_some_and(|v| !v.trim().is_empty()),
    }
}

fn fit_classes(t: &Table, rows: &[usize], c: &Column) -> Result<Labels> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for &row in rows {
        let value = c
            .text(row)
            .map(|v| v.trim().to_string())
            .unwrap_or_default();
        if !value.is_empty() {
            *counts.entry(value).or_default() += 1;
        }
    }
    let names: Vec<String> = counts.into_keys().collect();
    if names.len() < 2 {
        let found = names.first().map_or("no label at all".to_string(), |n| {
            format!("only one class, `{n}`")
        });
        return Err(wrong_column(
            t,
            c,
            format!("the training rows have {found}; two are needed"),
            "add rows of another class, or name another --label",
        ));
    }
    if names.len() > MAX_CLASSES {
        let problem = format!("{} different values are too many for classes", names.len());
        return Err(wrong_column(
            t,
            c,
            problem,
            "name another --label, or --task text-regression if it is a number",
        ));
    }
    Ok(Labels::Classes {
        names: in_order(names),
    })
}

/// Numbers by size, the rest by spelling (`false` before `true` either way).
fn in_order(mut names: Vec<String>) -> Vec<String> {
    let numbers: Option<Vec<f64>> = names.iter().map(|n| parse_number(n)).collect();
    if let Some(numbers) = numbers {
        let mut both: Vec<(f64, String)> = numbers.into_iter().zip(names).collect();
        both.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        return both.into_iter().map(|(_, n)| n).collect();
    }
    names.sort();
    names
}

fn fit_multi(t: &Table, rows: &[usize], c: &Column) -> Result<Labels> {
    let cells: Vec<usize> = rows.iter().copied().filter(|&r| has_list(c, r)).collect();
    // One separator for the whole column, so that names may contain the others.
    let separator = SEPARATORS.into_iter().find(|&s| {
        cells
            .iter()
            .any(|&r| c.text(r).is_some_and(|v| v.contains(s)))
    });
    let mut names = BTreeSet::new();
    for &row in &cells {
        names.extend(parts(c, row, separator));
    }
    if names.is_empty() {
        return Err(wrong_column(
            t,
            c,
            "the training rows have no label at all".into(),
            "name another --label",
        ));
    }
    if names.len() > MAX_CLASSES {
        let problem = format!("{} different labels are too many", names.len());
        return Err(wrong_column(t, c, problem, "name another --label"));
    }
    Ok(Labels::MultiLabel {
        names: in_order(names.into_iter().collect()),
    })
}

/// The labels of a cell: of a list, of a written list such as `['a', 'b']`, or of words joined by `separator`.
pub(crate) fn parts(c: &Column, row: usize, separator: Option<char>) -> Vec<String> {
    let clean = |s: &str| s.trim().trim_matches(['\'', '"']).trim().to_string();
    let all: Vec<String> = if let Values::List(v) = &c.values {
        v[row]
            .iter()
            .flatten()
            .map(|s| s.trim().to_string())
            .collect()
    } else {
        let text = c.text(row).unwrap_or_default();
        let text = text.trim();
        let inner = text.strip_prefix('[').and_then(|s| s.strip_suffix(']'));
        match (inner, separator) {
            (Some(inner), _) => inner.split(',').map(clean).collect(),
            (None, Some(s)) => text.split(s).map(clean).collect(),
            (None, None) => vec![clean(text)],
        }
    };
    all.into_iter().filter(|s| !s.is_empty()).collect()
}

/// The labels of a cell, cut by the first separator whose parts are all known; the whole cell if that is known.
fn parts_known(c: &Column, row: usize, names: &[String]) -> Vec<String> {
    let ways = std::iter::once(None).chain(SEPARATORS.into_iter().map(Some));
    let mut first = None;
    for separator in ways {
        let found = parts(c, row, separator);
        if found.iter().all(|p| names.contains(p)) {
            return found;
        }
        // For the error: the cut that the cell itself suggests.
        if first.is_none() && (found.len() > 1 || separator == Some(',')) {
            first = Some(found);
        }
    }
    first.unwrap_or_default()
}

fn fit_number(t: &Table, rows: &[usize], c: &Column) -> Result<Labels> {
    let mut values = Vec::with_capacity(rows.len());
    for &row in rows {
        let Some(text) = c
            .text(row)
            .filter(|v| !v.trim().is_empty() && !is_missing_word(v))
        else {
            continue;
        };
        values.push(
            c.number(row)
                .ok_or_else(|| no_number(t, row, &c.name, &text))?,
        );
    }
    if values.is_empty() {
        return Err(wrong_column(
            t,
            c,
            "the training rows have no number".into(),
            "name another --label",
        ));
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    Ok(Labels::Number {
        mean,
        std: if std > 0.0 { std } else { 1.0 },
    })
}

fn unseen(t: &Table, row: usize, column: &str, value: &str, names: &[String]) -> DataError {
    let near = suggestion(value, names.iter().map(String::as_str));
    let shown: Vec<&str> = names.iter().map(String::as_str).collect();
    let problem = format!(
        "the label `{value}` is in no training row{near}; known are {}",
        list_names(&shown)
    );
    cell(
        t,
        row,
        column,
        problem,
        "correct it, remove the row, or add training rows of that class".to_string(),
    )
}

fn no_number(t: &Table, row: usize, column: &str, value: &str) -> DataError {
    let cure = if value.contains(',') && parse_number(&value.replace(',', ".")).is_some() {
        "write decimals with a point".to_string()
    } else {
        "correct it, or type --task text-classification if the label is a class".to_string()
    };
    let shown: String = value.chars().take(60).collect();
    cell(t, row, column, format!("`{shown}` is not a number"), cure)
}

fn cell(t: &Table, row: usize, column: &str, problem: String, cure: String) -> DataError {
    DataError::Cell {
        column: column.to_string(),
        place: t.place(row),
        problem,
        cure,
    }
}

fn wrong_column(t: &Table, c: &Column, problem: String, cure: &str) -> DataError {
    DataError::Column {
        column: c.name.clone(),
        file: t.file(),
        problem,
        cure: cure.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::table::RowOrigin;

    fn table(values: Values) -> Table {
        let column = Column {
            name: "y".to_string(),
            values,
        };
        Table {
            origin: (0..column.len())
                .map(|i| RowOrigin {
                    file: 0,
                    line: i as u64 + 2,
                })
                .collect(),
            columns: vec![column],
            files: vec!["t.csv".into()],
            notes: Vec::new(),
        }
    }

    fn text(values: &[&str]) -> Table {
        table(Values::Text(
            values
                .iter()
                .map(|v| (!v.is_empty()).then(|| (*v).to_string()))
                .collect(),
        ))
    }

    fn fit(t: &Table, task: TaskKind) -> Result<Labels> {
        Labels::fit(t, &(0..t.rows()).collect::<Vec<_>>(), "y", task)
    }

    fn roles(task: TaskKind) -> Roles {
        Roles {
            text: vec![],
            pictures: false,
            label: Some("y".into()),
            task: Some(task),
            group: None,
            time: None,
            reasons: vec![],
        }
    }

    #[test]
    fn classes_are_ordered_and_trimmed() {
        let names = |v: &[&str]| {
            fit(&text(v), TaskKind::Classification)
                .unwrap()
                .names()
                .to_vec()
        };
        assert_eq!(names(&["10", "2", "1 ", "1"]), ["1", "2", "10"]);
        assert_eq!(names(&["True", "False"]), ["False", "True"]);
        assert_eq!(names(&["pos", "neg", "Pos"]), ["Pos", "neg", "pos"]);
        let flags = table(Values::Bool(vec![Some(true), Some(false)]));
        assert_eq!(
            fit(&flags, TaskKind::Classification).unwrap().names(),
            ["false", "true"]
        );
    }

    #[test]
    fn one_class_only_is_an_error() {
        let error = fit(&text(&["pos", "pos"]), TaskKind::Classification)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("column `y` of t.csv") && error.contains("only one class, `pos`"),
            "{error}"
        );
    }

    #[test]
    fn labels_outside_training_are_placed() {
        let t = text(&["pos", "neg", "positive", ""]);
        let labels = Labels::fit(&t, &[0, 1], "y", TaskKind::Classification).unwrap();
        assert_eq!(labels.target(&t, 1, "y").unwrap(), Target::Class(0));
        let error = labels.target(&t, 2, "y").unwrap_err().to_string();
        assert!(
            error.contains("column `y` in t.csv, line 4")
                && error.contains("`positive` is in no training row"),
            "{error}"
        );
        assert!(
            labels
                .target(&t, 3, "y")
                .unwrap_err()
                .to_string()
                .contains("line 5: it has no label")
        );
    }

    #[test]
    fn a_class_with_one_row_is_a_class() {
        let labels = fit(&text(&["a", "a", "b"]), TaskKind::Classification).unwrap();
        assert_eq!((labels.names().len(), labels.outputs()), (2, 2));
    }

    #[test]
    fn numbers_are_standardised_and_words_refused() {
        let t = text(&["1", "3", "nan", "x", "1,5"]);
        let labels = Labels::fit(&t, &[0, 1, 2], "y", TaskKind::Regression).unwrap();
        assert_eq!(
            labels,
            Labels::Number {
                mean: 2.0,
                std: 1.0
            }
        );
        assert_eq!(labels.target(&t, 1, "y").unwrap(), Target::Value(3.0));
        let mixed = fit(&t, TaskKind::Regression).unwrap_err().to_string();
        assert!(
            mixed.contains("t.csv, line 5: `x` is not a number"),
            "{mixed}"
        );
        assert!(
            labels
                .target(&t, 4, "y")
                .unwrap_err()
                .to_string()
                .contains("decimals with a point")
        );
    }

    #[test]
    fn multi_labels_come_from_lists_and_from_joined_cells() {
        let t = text(&["a|b", "b", "x, y|a", "['a', 'b']", "c"]);
        let labels = Labels::fit(&t, &[0, 1, 2, 3], "y", TaskKind::MultiLabel).unwrap();
        assert_eq!(labels.names(), ["a", "b", "x, y"]);
        assert_eq!(
            labels.target(&t, 2, "y").unwrap(),
            Target::Labels(vec![Some(true), Some(false), Some(true)])
        );
        assert_eq!(
            labels.target(&t, 3, "y").unwrap(),
            Target::Labels(vec![Some(true), Some(true), Some(false)])
        );
        assert!(
            labels
                .target(&t, 4, "y")
                .unwrap_err()
                .to_string()
                .contains("`c` is in no training row")
        );
        let lists = table(Values::List(vec![
            Some(vec!["b".into()]),
            Some(vec![]),
            None,
        ]));
        let labels = Labels::fit(&lists, &[0, 1], "y", TaskKind::MultiLabel).unwrap();
        assert_eq!(
            labels.target(&lists, 1, "y").unwrap(),
            Target::Labels(vec![Some(false)])
        );
        assert!(labels.target(&lists, 2, "y").is_err());
    }

    #[test]
    fn rows_without_a_label_are_dropped_and_too_many_refused() {
        let t = text(&["a", "", " ", "b", "nan"]);
        let found = labelled_rows(&t, &roles(TaskKind::Classification)).unwrap();
        assert_eq!(found, (vec![0, 3, 4], 2));
        let mostly = text(&["1", "", "", "nan"]);
        let error = labelled_rows(&mostly, &roles(TaskKind::Regression))
            .unwrap_err()
            .to_string();
        assert!(error.contains("3 of 4 rows have no label"), "{error}");
        assert_eq!(
            rows_with_label(&mostly, &roles(TaskKind::Regression)),
            (vec![0], 3)
        );
    }
}
