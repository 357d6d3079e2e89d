//! What a column holds, by its values alone: free text, classes, numbers, lists, identifiers or moments.

use std::collections::HashMap;

use crate::picture;
use crate::table::{Column, Values, parse_number};

/// Rows looked at to profile a column; more are sampled evenly.
const SAMPLE: usize = 20_000;
/// Words that stand for a missing value in columns of numbers.
const MISSING: [&str; 7] = ["nan", "na", "n/a", "null", "none", "-", "?"];

/// Kind of values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No values.
    Empty,
    /// One value in all rows.
    Constant,
    /// Sentences: most values differ and have several words.
    Text,
    /// Words that repeat.
    Words,
    /// Short values that hardly repeat: names, titles, codes.
    Names,
    /// Whole numbers.
    Integer,
    /// Numbers with fractions.
    Float,
    /// True or false.
    Bool,
    /// Several labels per row.
    List,
    /// Numbers or codes that identify the row.
    Id,
    /// Dates or times.
    Time,
    /// Addresses of pages or files.
    Url,
    /// Pictures, or names of files of pictures.
    Picture,
}

/// Counts over the values of a column.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub name: String,
    pub kind: Kind,
    /// Values seen; at most [`SAMPLE`].
    pub filled: usize,
    /// Rows looked at.
    pub seen: usize,
    pub distinct: usize,
    pub mean_words: f64,
    pub mean_chars: f64,
    /// Share of the values that are numbers, words for missing values aside, 0 to 1.
    pub numbers_share: f64,
    /// Smallest and largest number, where all values are numbers.
    pub range: Option<(f64, f64)>,
}

impl Profile {
    /// Share of values that differ, 0 to 1.
    pub fn distinct_share(&self) -> f64 {
        self.distinct as f64 / self.filled.max(1) as f64
    }

    /// Share of rows without a value, 0 to 1.
    pub fn missing_share(&self) -> f64 {
        1.0 - self.filled as f64 / self.seen.max(1) as f64
    }

    /// The kind in a few words, for reasons and errors.
    pub fn describe(&self) -> String {
        match self.kind {
            Kind::Empty => "empty".to_string(),
            Kind::Constant => "one value in all rows".to_string(),
            Kind::Text => format!("text of {:.0} words on average", self.mean_words.max(1.0)),
            Kind::Words => format!("{} different words", self.distinct),
            Kind::Names => format!("{} short values that hardly repeat", self.distinct),
            Kind::Integer => format!("whole numbers, {} different", self.distinct),
            Kind::Float => format!("numbers, {} different", self.distinct),
            Kind::Bool => "true or false".to_string(),
            Kind::List => "lists of labels".to_string(),
            Kind::Id => "identifiers".to_string(),
            Kind::Time => "dates or times".to_string(),
            Kind::Url => "addresses".to_string(),
            Kind::Picture => "pictures".to_string(),
        }
    }
}

/// Whether a word stands for a missing value in a column of numbers.
pub(crate) fn is_missing_word(text: &str) -> bool {
    MISSING.iter().any(|m| text.trim().eq_ignore_ascii_case(m))
}

/// Profiles a column over at most [`SAMPLE`] of `rows` rows.
pub(crate) fn profile(column: &Column, rows: usize) -> Profile {
    let step = rows.div_ceil(SAMPLE).max(1);
    let seen: Vec<usize> = (0..rows).step_by(step).collect();
    let values: Vec<String> = seen
        .iter()
        .filter_map(|&r| column.text(r))
        .map(|v| v.trim().to_string())
        .filter(|v| !v.is_empty())
        .collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for value in &values {
        *counts.entry(value).or_default() += 1;
    }
    let n = values.len().max(1) as f64;
    let words: usize = values.iter().map(|v| v.split_whitespace().count()).sum();
    let chars: usize = values.iter().map(|v| v.chars().count()).sum();
    let numbers = all_numbers(&values);
    let numeric = values.iter().filter(|v| parse_number(v).is_some()).count();
    let told = values.iter().filter(|v| !is_missing_word(v)).count();
    let mut out = Profile {
        name: column.name.clone(),
        kind: Kind::Empty,
        filled: values.len(),
        seen: seen.len(),
        distinct: counts.len(),
        mean_words: words as f64 / n,
        mean_chars: chars as f64 / n,
        numbers_share: numeric as f64 / told.max(1) as f64,
        range: numbers.as_deref().and_then(range),
    };
    out.kind = match (&column.values, numbers) {
        _ if values.is_empty() => Kind::Empty,
        (Values::List(_), _) => Kind::List,
        (Values::Picture(_), _) => Kind::Picture,
        (Values::Text(_), _) if values.iter().all(|v| picture::is_name(v)) => Kind::Picture,
        _ if counts.len() == 1 && values.len() > 1 => Kind::Constant,
        (Values::Bool(_), _) => Kind::Bool,
        (_, Some(numbers)) => number_kind(&column.name, &numbers, &out, step),
        _ => word_kind(&column.name, &values, &counts, &out),
    };
    out
}

/// The values as numbers if all are, words for missing values aside.
fn all_numbers(values: &[String]) -> Option<Vec<f64>> {
    let mut numbers = Vec::with_capacity(values.len());
    for value in values {
        match parse_number(value) {
            Some(x) => numbers.push(x),
            None if is_missing_word(value) => {}
            None => return None,
        }
    }
    (!numbers.is_empty()).then_some(numbers)
}

fn range(numbers: &[f64]) -> Option<(f64, f64)> {
    let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low <= high).then_some((low, high))
}

fn number_kind(name: &str, numbers: &[f64], p: &Profile, step: usize) -> Kind {
    if numbers.iter().any(|x| x.fract() != 0.0) {
        return Kind::Float;
    }
    let unique = p.distinct == p.filled && p.filled > 2;
    let rising = numbers.windows(2).all(|w| w[0] < w[1]);
    let (low, high) = p.range.unwrap_or_default();
    let dense = high - low < (numbers.len() * step) as f64;
    if unique && (rising || dense || is_id_name(name)) {
        return Kind::Id;
    }
    let lower = name.to_lowercase();
    // Seconds or milliseconds since 1970, between 2001 and 2065.
    let epoch = (1.0e9..3.0e9).contains(&low) || (1.0e12..3.0e12).contains(&low);
    if epoch && TIME_NAMES.iter().any(|t| lower.contains(t)) {
        return Kind::Time;
    }
    if is_id_name(name) && p.distinct > 20 {
        Kind::Id
    } else {
        Kind::Integer
    }
}

/// Parts of names of columns that hold moments.
const TIME_NAMES: [&str; 5] = ["time", "date", "created", "updated", "stamp"];

fn word_kind(name: &str, values: &[String], counts: &HashMap<&str, usize>, p: &Profile) -> Kind {
    let share = |test: fn(&str) -> bool| {
        values.iter().filter(|v| test(v)).count() as f64 / values.len() as f64
    };
    if share(is_moment) > 0.9 {
        return Kind::Time;
    }
    if share(is_url) > 0.9 {
        return Kind::Url;
    }
    if counts.len() == 2 && counts.keys().all(|k| is_boolean(k)) {
        return Kind::Bool;
    }
    if share(is_code) > 0.9 && p.distinct_share() > 0.9 && values.len() > 2 {
        return Kind::Id;
    }
    if is_id_name(name) && p.mean_words < 1.5 && p.distinct > 20 {
        return Kind::Id;
    }
    if list_like(counts) {
        return Kind::List;
    }
    // Classes repeat; tiny files hold few rows of each.
    let repeats = p.distinct <= 2 || p.distinct_share() <= 0.5;
    if repeats && p.mean_chars <= 50.0 && p.mean_words < 8.0 {
        return Kind::Words;
    }
    if p.mean_words >= 3.0 || p.mean_chars > 20.0 {
        return Kind::Text;
    }
    Kind::Names
}

fn is_boolean(word: &str) -> bool {
    ["true", "false"]
        .iter()
        .any(|b| word.eq_ignore_ascii_case(b))
}

fn is_url(v: &str) -> bool {
    v.starts_with("http://") || v.starts_with("https://")
}

/// `2024-05-01`, `2024/05/01 12:30`, `01.05.2024`: digits in groups, of date length.
fn is_moment(v: &str) -> bool {
    let head = v.get(..10).unwrap_or("");
    let digits = head.bytes().filter(u8::is_ascii_digit).count();
    let marks = head
        .bytes()
        .filter(|b| matches!(b, b'-' | b'/' | b'.'))
        .count();
    digits == 8 && marks == 2 && v.len() <= 35
}

/// A single word of six or more characters with digits in it: a hash, a UUID, an order number.
fn is_code(v: &str) -> bool {
    v.len() >= 6
        && v.is_ascii()
        && !v.contains(char::is_whitespace)
        && v.bytes().any(|b| b.is_ascii_digit())
        && v.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'.'))
}

/// Whether a column's name says that it identifies rows.
pub(crate) fn is_id_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    let last = lower.rsplit([' ', '_', '-', '.']).next().unwrap_or("");
    matches!(
        last,
        "id" | "ids" | "uuid" | "guid" | "index" | "idx" | "key" | "hash"
    ) || name.ends_with("Id")
        || name.ends_with("ID")
}

/// Whether short cells are several labels joined by a separator: the parts must be fewer than the combinations,
/// so that a class whose name has a comma stays one class.
fn list_like(counts: &HashMap<&str, usize>) -> bool {
    if counts.keys().map(|k| k.len()).sum::<usize>() > counts.len() * 80 {
        return false;
    }
    if counts
        .keys()
        .filter(|k| k.starts_with('[') && k.ends_with(']'))
        .count()
        * 10
        > counts.len() * 9
    {
        return true;
    }
    [('|', 2), (';', 1), (',', 1)]
        .iter()
        .any(|&(separator, factor)| {
            let joined = counts.keys().filter(|k| k.contains(separator)).count();
            let parts: std::collections::HashSet<&str> = counts
                .keys()
                .flat_map(|k| k.split(separator))
                .map(str::trim)
                .collect();
            let short = parts.iter().all(|p| {
                !p.is_empty() && p.chars().count() <= 40 && p.split_whitespace().count() <= 4
            });
            joined * 10 >= counts.len() && short && parts.len() < counts.len() * factor
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, values: &[&str]) -> Kind {
        let column = Column {
            name: name.to_string(),
            values: Values::Text(values.iter().map(|v| Some((*v).to_string())).collect()),
        };
        profile(&column, values.len()).kind
    }

    #[test]
    fn kinds_are_told_by_their_values() {
        assert_eq!(
            kind("t", &["a fine film indeed", "what a bore", "not my thing"]),
            Kind::Text
        );
        assert_eq!(kind("y", &["pos", "neg", "pos", "pos"]), Kind::Words);
        assert_eq!(kind("y", &["0", "1", "1", "0"]), Kind::Integer);
        assert_eq!(kind("y", &["0.5", "1", "nan", "0.1"]), Kind::Float);
        assert_eq!(kind("n", &["7", "8", "9", "10"]), Kind::Id);
        assert_eq!(kind("user_id", &["507", "18", "9999"]), Kind::Id);
        assert_eq!(kind("salary", &["90000", "18000", "52000"]), Kind::Integer);
        assert_eq!(kind("k", &["a1b2c3d4", "b1b2c3d5", "ffe2c3d4"]), Kind::Id);
        assert_eq!(
            kind(
                "d",
                &["2024-01-02", "2024-01-03 10:00", "2023-12-31T01:02:03Z"]
            ),
            Kind::Time
        );
        assert_eq!(
            kind("created_at", &["1700000000", "1600000000", "1650000000"]),
            Kind::Time
        );
        assert_eq!(kind("u", &["https://a.b/c", "http://d.e"]), Kind::Url);
        assert_eq!(kind("flag", &["True", "False", "True"]), Kind::Bool);
        assert_eq!(kind("c", &["x", "x", "x"]), Kind::Constant);
        assert_eq!(kind("c", &["", " "]), Kind::Empty);
    }

    #[test]
    fn joined_labels_are_lists_and_names_with_commas_are_not() {
        assert_eq!(kind("g", &["a|b", "a", "b", "c|a"]), Kind::List);
        assert_eq!(kind("g", &["a,b", "a", "b", "a,c", "c"]), Kind::List);
        assert_eq!(kind("g", &["['a', 'b']", "['a']", "[]"]), Kind::List);
        assert_eq!(
            kind(
                "g",
                &[
                    "Clothing, Shoes",
                    "Electronics",
                    "Clothing, Shoes",
                    "Electronics"
                ]
            ),
            Kind::Words
        );
        assert_eq!(
            kind(
                "t",
                &[
                    "Good, but long",
                    "I came, I saw, I left",
                    "Well, well",
                    "Fine film, really"
                ]
            ),
            Kind::Text
        );
    }
}
