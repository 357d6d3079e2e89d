//! What is in a file, before anything is trained: roles, types, classes, lengths, and what looks wrong.

pub mod deep;
mod pictures;
mod show;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::duplicates::{Keys, conflict};
use crate::processor::{Labels, rows_with_label};
use crate::profile::{is_missing_word, profile};
use crate::roles::{Roles, TaskKind};
use crate::split::notes::mixed;
use crate::table::{Column, Table, list_names};

pub use pictures::Unreadable;

/// Examples listed of each kind of trouble.
const SHOWN: usize = 5;
/// Share of truncated rows from which reading long texts in chunks is proposed.
const MANY_TRUNCATED: f64 = 0.1;

/// What [`inspect`] found.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The file or files.
    pub file: String,
    /// Rows read.
    pub rows: usize,
    /// Every column, in file order.
    pub columns: Vec<ColumnSummary>,
    /// Which column plays which role, with reasons.
    pub roles: Roles,
    /// Classes or labels by number of rows, largest first; empty for numbers.
    pub classes: Vec<ClassCount>,
    /// The label's numbers, for regression.
    pub numbers: Option<Numbers>,
    /// Words per row.
    pub words: Percentiles,
    /// Tokens per row without special tokens, if a tokenizer was at hand.
    pub tokens: Option<Percentiles>,
    /// Rows longer than the model reads, if a tokenizer was at hand.
    pub truncated: Option<Truncated>,
    /// Pictures that cannot be read, if they were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Unreadable>,
    /// Rows whose text was already in an earlier row, or whose picture looks like that of one.
    pub duplicates: usize,
    /// Groups of rows with the same text or picture and different labels.
    pub conflicting: usize,
    /// The first of them.
    pub conflicts: Vec<Conflict>,
    /// Rows with fewer than three letters or digits.
    pub near_empty: usize,
    /// Places of the first of them.
    pub near_empty_places: Vec<String>,
    /// Rows without a label.
    pub unlabelled: usize,
    /// What the reader decided and what looks wrong, one sentence each.
    pub notes: Vec<String>,
}

/// One column in brief.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// What it holds, in words.
    pub holds: String,
    /// `text`, `label`, `group`, `time`, or nothing.
    pub role: Option<String>,
    /// Rows without a value; an estimate from a sample in large files.
    pub missing: usize,
}

/// A class and how many rows have it.
#[derive(Debug, Clone, Serialize)]
pub struct ClassCount {
    /// The class or label.
    pub name: String,
    /// Rows with it.
    pub rows: usize,
}

/// A label that is a number, in the user's units.
#[derive(Debug, Clone, Serialize)]
pub struct Numbers {
    /// Smallest.
    pub min: f64,
    /// Middle one.
    pub median: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Largest.
    pub max: f64,
}

/// Lengths at which this share of rows is no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Half of the rows.
    pub p50: usize,
    /// 90 %.
    pub p90: usize,
    /// 95 %.
    pub p95: usize,
    /// 99 %.
    pub p99: usize,
    /// The longest.
    pub max: usize,
}

/// Rows longer than the model reads.
#[derive(Debug, Clone, Serialize)]
pub struct Truncated {
    /// Most tokens the model reads, special tokens included.
    pub max_length: usize,
    /// Rows that are longer.
    pub rows: usize,
    /// Their share, 0 to 1.
    pub share: f64,
    /// What to type if that is much.
    pub proposal: Option<String>,
}

/// Rows with the same text and different labels.
#[derive(Debug, Clone, Serialize)]
pub struct Conflict {
    /// Start of the text.
    pub text: String,
    /// Place and label of each row.
    pub rows: Vec<String>,
}

/// Looks through a table. `token_lengths` counts the tokens of a text without special tokens; `max_length` is the
/// most tokens a model reads, special tokens included.
pub fn inspect(
    t: &Table,
    roles: &Roles,
    token_lengths: Option<&dyn Fn(&str) -> usize>,
    max_length: usize,
) -> Inspection {
    let texts: Vec<&Column> = roles.text.iter().filter_map(|n| t.column(n).ok()).collect();
    let label = roles.label.as_ref().and_then(|l| t.column(l).ok());
    let (labelled, unlabelled) = rows_with_label(t, roles);
    let measure = |count: &dyn Fn(&str) -> usize| -> Vec<usize> {
        let row = |r: usize| {
            texts
                .iter()
                .map(|c| c.text(r).map_or(0, |v| count(&v)))
                .sum()
        };
        (0..t.rows()).map(row).collect()
    };
    let words = percentiles(&measure(&|s| s.split_whitespace().count()));
    let lengths = token_lengths.map(measure);
    let mut out = Inspection {
        file: t.file(),
        rows: t.rows(),
        columns: columns(t, roles),
        roles: roles.clone(),
        classes: Vec::new(),
        numbers: None,
        words,
        tokens: lengths.as_deref().map(percentiles),
        truncated: lengths.map(|l| truncated(&l, roles.text.len() + 1, max_length)),
        unreadable: None,
        duplicates: 0,
        conflicting: 0,
        conflicts: Vec::new(),
        near_empty: 0,
        near_empty_places: Vec::new(),
        unlabelled,
        notes: t.notes.clone(),
    };
    repeated(t, &[], &mut out);
    near_empty(t, &texts, &mut out);
    if let Some(label) = label {
        count_labels(t, roles, label, &labelled, &mut out);
    }
    out
}

fn columns(t: &Table, roles: &Roles) -> Vec<ColumnSummary> {
    let role = |name: &String| {
        let is = |r: &Option<String>| r.as_ref() == Some(name);
        let found = [
            ("label", is(&roles.label)),
            ("group", is(&roles.group)),
            ("time", is(&roles.time)),
        ];
        let input = if roles.pictures { "picture" } else { "text" };
        let text = roles.text.contains(name).then_some(input);
        text.or_else(|| found.iter().find(|(_, yes)| *yes).map(|(r, _)| *r))
            .map(str::to_string)
    };
    t.columns
        .iter()
        .map(|c| {
            let p = profile(c, t.rows());
            ColumnSummary {
                name: c.name.clone(),
                holds: p.describe(),
                role: role(&c.name),
                missing: (p.missing_share() * t.rows() as f64).round() as usize,
            }
        })
        .collect()
}

/// Nearest-rank percentiles.
fn percentiles(lengths: &[usize]) -> Percentiles {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| {
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    };
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        max: at(1.0),
    }
}

fn truncated(lengths: &[usize], special: usize, max_length: usize) -> Truncated {
    let rows = lengths
        .iter()
        .filter(|&&l| l + special > max_length)
        .count();
    let share = rows as f64 / lengths.len().max(1) as f64;
    // A pair is only ever truncated; `special` is 2 for a single text.
    let proposal = (share > MANY_TRUNCATED && special == 2).then(|| {
        "--long chunk-mean reads all of every text, --long head-tail its start and its end"
            .to_string()
    });
    Truncated {
        max_length,
        rows,
        share,
        proposal,
    }
}

/// Counts rows that say the same as an earlier one; those of each of `groups` do, whatever their texts.
fn repeated(t: &Table, groups: &[Vec<usize>], out: &mut Inspection) {
    let Ok(keys) = Keys::new(t, &out.roles.text) else {
        return;
    };
    let keys = keys.with_groups(groups);
    let label = out.roles.label.as_ref().and_then(|l| t.column(l).ok());
    let all: Vec<usize> = (0..t.rows()).collect();
    for group in keys.groups(&all) {
        out.duplicates += group.len() - 1;
        let Some(label) = label.filter(|c| conflict(c, &group)) else {
            continue;
        };
        out.conflicting += 1;
        if out.conflicts.len() < SHOWN {
            let row = |&r: &usize| {
                format!(
                    "{}: {}",
                    t.short_place(r),
                    label.text(r).unwrap_or_default()
                )
            };
            out.conflicts.push(Conflict {
                text: brief(&keys.raw(group[0])),
                rows: group.iter().take(SHOWN).map(row).collect(),
            });
        }
    }
}

/// The first 60 characters on one line.
fn brief(text: &str) -> String {
    let line = text
        .replace('\u{1f}', " / ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let mut out: String = line.chars().take(60).collect();
    if out.len() < line.len() {
        out.push('…');
    }
    out
}

fn near_empty(t: &Table, texts: &[&Column], out: &mut Inspection) {
    for row in 0..t.rows() {
        let signs: usize = texts
            .iter()
            .filter_map(|c| c.text(row))
            .map(|v| v.chars().filter(|c| c.is_alphanumeric()).count())
            .sum();
        if signs < 3 && !texts.is_empty() {
            out.near_empty += 1;
            if out.near_empty_places.len() < SHOWN {
                out.near_empty_places.push(t.short_place(row));
            }
        }
    }
}

fn count_labels(t: &Table, roles: &Roles, label: &Column, rows: &[usize], out: &mut Inspection) {
    let Some(task) = roles.task else { return };
    match (task, Labels::fit(t, rows, &label.name, task)) {
        (_, Err(e)) => out.notes.push(e.to_string()),
        (TaskKind::Regression, Ok(_)) => {
            let mut values: Vec<f64> = rows.iter().filter_map(|&r| label.number(r)).collect();
            values.sort_by(f64::total_cmp);
            if let (Some(&min), Some(&max)) = (values.first(), values.last()) {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                out.numbers = Some(Numbers {
                    min,
                    median: values[values.len() / 2],
                    mean,
                    max,
                });
            }
        }
        (_, Ok(labels)) => {
            let mut counts = vec![0usize; labels.names().len()];
            for &row in rows {
                match labels.target(t, row, &label.name) {
                    Ok(crate::example::Target::Class(c)) => counts[c as usize] += 1,
                    Ok(crate::example::Target::Labels(flags)) => {
                        for (n, flag) in counts.iter_mut().zip(flags) {
                            *n += usize::from(flag == Some(true));
                        }
                    }
                    _ => {}
                }
            }
            let named = labels.names().iter().zip(counts);
            out.classes = named
                .map(|(n, rows)| ClassCount {
                    name: n.clone(),
                    rows,
                })
                .collect();
            out.classes.sort_by_key(|c| std::cmp::Reverse(c.rows));
            if task == TaskKind::Classification {
                out.notes.extend(mixed(&label.name, labels.names()));
            }
            label_notes(out);
        }
    }
}

/// What looks wrong about the classes.
fn label_notes(out: &mut Inspection) {
    let mut spellings: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for class in &out.classes {
        let folded = class
            .name
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase();
        spellings.entry(folded).or_default().push(&class.name);
    }
    let mut notes: Vec<String> = spellings
        .values()
        .filter(|names| names.len() > 1)
        .map(|names| {
            format!(
                "{} differ only in spelling and count as different classes",
                list_names(names)
            )
        })
        .collect();
    let single: Vec<&str> = out
        .classes
        .iter()
        .filter(|c| c.rows == 1)
        .map(|c| c.name.as_str())
        .collect();
    if !single.is_empty() {
        let shown = list_names(&single[..single.len().min(SHOWN)]);
        notes.push(format!(
            "{} classes have one row only, such as {shown}: they train and cannot be tested",
            single.len()
        ));
    }
    let absent: HashMap<&str, usize> = out
        .classes
        .iter()
        .filter(|c| is_missing_word(&c.name) && c.name.len() > 1)
        .map(|c| (c.name.as_str(), c.rows))
        .collect();
    for (name, rows) in absent {
        notes.push(format!("the class `{name}` ({rows} rows) looks like a missing value; empty the cells if it is one"));
    }
    if let (Some(most), Some(least)) = (out.classes.first(), out.classes.last())
        && most.rows > 20 * least.rows.max(1)
    {
        notes.push(format!(
            "classes are uneven: `{}` has {} rows, `{}` has {}; look at f1_macro beside accuracy",
            most.name, most.rows, least.name, least.rows
        ));
    }
    out.notes.extend(notes);
}

#[cfg(test)]
mod tests;
