//! Leaks: one token, or one column beside the text, that tells the label almost without error.
//!
//! Such a token is a trace of how the rows were collected (a signature, a smiley, a stamp) more often than a word of the
//! language; such a column is the label under another name, or came about after it.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault};

use serde::Serialize;

use crate::example::Target;
use crate::processor::Labels;
use crate::roles::{Roles, TaskKind};
use crate::table::{Column, Table};

/// Fewest rows that are evidence.
const FEWEST: u32 = 20;
/// Share of right answers from which a token or column is said to tell the label.
const TELLING: f64 = 0.98;
/// Its errors as a share of those of always answering the most frequent label, at most.
const ERRORS_LEFT: f64 = 0.1;
/// Share of the rows of a label that a token must be found in.
const COVERED: f64 = 0.2;
/// Chance that any token of a data set without leaks is named.
const FALSE_ALARM: f64 = 0.01;
/// Share of the variance from which a column is said to tell a number.
const EXPLAINED: f64 = 0.95;
/// Intervals into which a column of numbers is cut.
const INTERVALS: usize = 100;

/// A token whose presence tells the label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenLeak {
    /// The token, in lower case.
    pub token: String,
    /// The label it tells.
    pub label: String,
    /// Rows with the token.
    pub rows: usize,
    /// Share of them with the label, 0 to 1.
    pub share: f64,
    /// Share of all rows with the label, 0 to 1.
    pub prior: f64,
}

/// A column whose value tells the label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnLeak {
    /// The column.
    pub column: String,
    /// Share of rows whose label the other rows with the same value tell; for numbers the share of the variance.
    pub share: f64,
    /// The same without the column: the share of the most frequent label; 0 for numbers.
    pub prior: f64,
}

/// Tokens among `rows` (with a label) that tell a class or a label, most rows first. None for numbers. A token is what
/// stands between white space, in lower case and without signs at its ends; a smiley stays as it is.
pub fn token_leaks(t: &Table, roles: &Roles, rows: &[usize]) -> Vec<TokenLeak> {
    let (Some(name), Some(task)) = (&roles.label, roles.task) else {
        return Vec::new();
    };
    if task == TaskKind::Regression {
        return Vec::new();
    }
    // Labels that cannot be read are reported by `inspect`.
    let Ok(labels) = Labels::fit(t, rows, name, task) else {
        return Vec::new();
    };
    let texts: Vec<&Column> = roles.text.iter().filter_map(|n| t.column(n).ok()).collect();
    let frequent = Frequent::new(&texts, rows);
    let mut totals = vec![0u32; labels.outputs()];
    let mut tallies: HashMap<String, Tally> = HashMap::new();
    for &row in rows {
        let outputs = outputs(labels.target(t, row, name).ok());
        for &output in &outputs {
            totals[output] += 1;
        }
        for token in frequent.among(tokens(&texts, row)) {
            let tally = tallies.entry(token).or_default();
            tally.rows += 1;
            for &output in &outputs {
                *tally.with.entry(output).or_default() += 1;
            }
        }
    }
    let mut found = Vec::new();
    for (token, tally) in tallies {
        let prior = |output: usize| f64::from(totals[output]) / rows.len() as f64;
        let told = tally.with.iter().filter(|(output, with)| {
            f64::from(**with) >= COVERED * f64::from(totals[**output])
                && is_telling(tally.share(**with), prior(**output))
                && !by_chance(tally.rows, prior(**output), frequent.different)
        });
        found.extend(told.map(|(&output, &with)| TokenLeak {
            token: token.clone(),
            label: labels.names()[output].clone(),
            rows: tally.rows as usize,
            share: tally.share(with),
            prior: prior(output),
        }));
    }
    found.sort_by(|a, b| {
        let by_rows = b.rows.cmp(&a.rows);
        by_rows.then_with(|| (&a.token, &a.label).cmp(&(&b.token, &b.label)))
    });
    found
}

/// The labels of a row as outputs of a model.
fn outputs(target: Option<Target>) -> Vec<usize> {
    match target {
        Some(Target::Class(class)) => vec![class as usize],
        Some(Target::Labels(flags)) => {
            let with = (0..flags.len()).filter(|&label| flags[label] == Some(true));
            with.collect()
        }
        _ => Vec::new(),
    }
}

/// Rows with a token, and those of them with each label.
#[derive(Default)]
struct Tally {
    rows: u32,
    with: BTreeMap<usize, u32>,
}

impl Tally {
    fn share(&self, with: u32) -> f64 {
        f64::from(with) / f64::from(self.rows)
    }
}

/// Tokens of enough rows to be evidence, known by their hashes: most tokens are rare and need not be stored.
struct Frequent {
    hashes: HashSet<u64>,
    /// Tokens of any frequency.
    different: usize,
}

impl Frequent {
    fn new(texts: &[&Column], rows: &[usize]) -> Self {
        let mut counts: HashMap<u64, u32> = HashMap::new();
        for token in rows.iter().flat_map(|&row| tokens(texts, row)) {
            *counts.entry(hash(&token)).or_default() += 1;
        }
        let different = counts.len();
        let enough = counts.into_iter().filter(|count| count.1 >= FEWEST);
        Self {
            hashes: enough.map(|count| count.0).collect(),
            different,
        }
    }

    fn among(&self, tokens: Vec<String>) -> impl Iterator<Item = String> {
        tokens
            .into_iter()
            .filter(|token| self.hashes.contains(&hash(token)))
    }
}

fn hash(token: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(token)
}

/// Whether a share of right answers is high by itself and beside the share of the label.
fn is_telling(share: f64, prior: f64) -> bool {
    share >= TELLING && 1.0 - share <= ERRORS_LEFT * (1.0 - prior) && prior < 1.0
}

/// Whether one of `different` tokens, each in `rows` rows, could well meet only rows with the label.
fn by_chance(rows: u32, prior: f64, different: usize) -> bool {
    f64::from(rows) * prior.ln() + (different as f64).ln() > FALSE_ALARM.ln()
}

/// The different tokens of a row.
fn tokens(texts: &[&Column], row: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for text in texts.iter().filter_map(|c| c.text(row)) {
        for piece in text.split_whitespace() {
            let word = piece.trim_matches(|c: char| !c.is_alphanumeric());
            found.push(if word.is_empty() { piece } else { word }.to_lowercase());
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Columns beside text and label that tell the label on `rows` (with a label), the most telling first.
pub fn column_leaks(t: &Table, roles: &Roles, rows: &[usize]) -> Vec<ColumnLeak> {
    let Some(label) = roles.label.as_ref().and_then(|l| t.column(l).ok()) else {
        return Vec::new();
    };
    if rows.len() < FEWEST as usize {
        return Vec::new();
    }
    let others = t
        .columns
        .iter()
        .filter(|c| c.name != label.name && !roles.text.contains(&c.name));
    let mut found: Vec<ColumnLeak> = if roles.task == Some(TaskKind::Regression) {
        let numbers: Vec<f64> = rows
            .iter()
            .map(|&r| label.number(r).unwrap_or(0.0))
            .collect();
        let share = |c| best(c, rows, &|values| explained(values, &numbers));
        others
            .map(|c| (c, share(c)))
            .filter(|(_, share)| *share >= EXPLAINED)
            .map(|(c, share)| leak(c, share, 0.0))
            .collect()
    } else {
        let classes = ids(rows
            .iter()
            .map(|&r| label.text(r).unwrap_or_default().trim().to_string()));
        let prior = largest(&classes);
        let share = |c| best(c, rows, &|values| told(values, &classes));
        others
            .map(|c| (c, share(c)))
            .filter(|(_, share)| is_telling(*share, prior))
            .map(|(c, share)| leak(c, share, prior))
            .collect()
    };
    found.sort_by(|a, b| b.share.total_cmp(&a.share));
    found
}

fn leak(column: &Column, share: f64, prior: f64) -> ColumnLeak {
    ColumnLeak {
        column: column.name.clone(),
        share,
        prior,
    }
}

/// A number for each different value, in order of appearance.
fn ids(values: impl Iterator<Item = String>) -> Vec<usize> {
    let mut known: HashMap<String, usize> = HashMap::new();
    values
        .map(|value| {
            let next = known.len();
            *known.entry(value).or_insert(next)
        })
        .collect()
}

/// Share of the most frequent value.
fn largest(values: &[usize]) -> f64 {
    let mut counts: HashMap<usize, usize> = HashMap::new();
    for value in values {
        *counts.entry(*value).or_default() += 1;
    }
    counts
        .values()
        .max()
        .map_or(0.0, |&n| n as f64 / values.len() as f64)
}

/// The larger share of the values of a column and of whether it has one.
fn best(c: &Column, rows: &[usize], share: &dyn Fn(&[usize]) -> f64) -> f64 {
    let filled = |&row: &usize| usize::from(c.text(row).is_some_and(|v| !v.trim().is_empty()));
    let filled: Vec<usize> = rows.iter().map(filled).collect();
    share(&values(c, rows)).max(share(&filled))
}

/// The values of a column as numbers from 0: one each, or one per interval where there are many numbers. No value is a
/// value too.
fn values(c: &Column, rows: &[usize]) -> Vec<usize> {
    let text = |&row: &usize| c.text(row).unwrap_or_default().trim().to_string();
    let each = ids(rows.iter().map(text));
    let intervals = INTERVALS.min(rows.len() / 5).max(1);
    let numbers: Vec<Option<f64>> = rows.iter().map(|&row| c.number(row)).collect();
    let mut sorted: Vec<f64> = numbers.iter().flatten().copied().collect();
    let given = rows.iter().filter(|row| !text(row).is_empty()).count();
    let different = each.iter().max().map_or(0, |most| most + 1);
    if different <= intervals || sorted.len() < given {
        return each;
    }
    sorted.sort_by(f64::total_cmp);
    let interval = |number: &Option<f64>| match number {
        Some(x) => 1 + sorted.partition_point(|s| s < x) * intervals / sorted.len(),
        None => 0,
    };
    numbers.iter().map(interval).collect()
}

/// Share of rows whose class the other rows with the same value tell. A value of one row tells nothing: it is answered
/// by the most frequent class.
fn told(values: &[usize], classes: &[usize]) -> f64 {
    let mut counts: HashMap<usize, HashMap<usize, usize>> = HashMap::new();
    let mut totals: HashMap<usize, usize> = HashMap::new();
    for (value, class) in values.iter().zip(classes) {
        *counts.entry(*value).or_default().entry(*class).or_default() += 1;
        *totals.entry(*class).or_default() += 1;
    }
    let most = totals.values().copied().max().unwrap_or(0);
    let right = |(value, class): (&usize, &usize)| {
        let same = &counts[value];
        let without = same[class] - 1;
        let others = same
            .iter()
            .filter(|(c, _)| *c != class)
            .map(|(_, n)| *n)
            .max();
        match (without, others) {
            (0, None) => totals[class] == most,
            (n, others) => n > others.unwrap_or(0),
        }
    };
    let rows = values.iter().zip(classes);
    rows.filter(|row| right(*row)).count() as f64 / values.len().max(1) as f64
}

/// Share of the variance of `numbers` that the mean of the other rows with the same value explains.
fn explained(values: &[usize], numbers: &[f64]) -> f64 {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let mut sums: HashMap<usize, (f64, f64)> = HashMap::new();
    for (value, number) in values.iter().zip(numbers) {
        let (sum, n) = sums.entry(*value).or_default();
        *sum += number;
        *n += 1.0;
    }
    let missed = values.iter().zip(numbers).map(|(value, number)| {
        let (sum, n) = sums[value];
        let told = if n > 1.0 {
            (sum - number) / (n - 1.0)
        } else {
            mean
        };
        (number - told).powi(2)
    });
    let missed: f64 = missed.sum();
    let total: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    if total > 0.0 {
        1.0 - missed / total
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests;
