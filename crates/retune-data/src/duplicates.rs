//! Rows that say the same: equal texts after folding case, white space and punctuation, or pictures that look the same.

use std::collections::HashMap;

use crate::error::Result;
use crate::table::{Column, Table};

/// A text with case folded and everything but letters and digits turned into single spaces.
///
/// Texts without letters or digits, such as smileys, keep their signs: they would all be the same otherwise.
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // An apostrophe inside a word is no boundary: "it's" is "its".
        if c == '\'' || c == '\u{2019}' {
            continue;
        }
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out.truncate(out.trim_end().len());
    if out.is_empty() {
        return text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    out
}

/// Folded texts of rows, and which rows share one.
pub(crate) struct Keys<'a> {
    columns: Vec<&'a Column>,
    /// The group of rows known to say the same, whatever their texts.
    group: HashMap<usize, usize>,
}

impl<'a> Keys<'a> {
    pub fn new(t: &'a Table, text: &[String]) -> Result<Self> {
        Ok(Self {
            columns: text.iter().map(|n| t.column(n)).collect::<Result<_>>()?,
            group: HashMap::new(),
        })
    }

    /// The same, where the rows of each of `groups` are known to say the same.
    pub fn with_groups(mut self, groups: &[Vec<usize>]) -> Self {
        for (i, group) in groups.iter().enumerate() {
            self.group.extend(group.iter().map(|&row| (row, i)));
        }
        self
    }

    /// The folded text of a row, both texts of a pair, or what stands for its group; `None` where there is no text at all.
    pub fn key(&self, row: usize) -> Option<String> {
        if let Some(group) = self.group.get(&row) {
            // No path has this sign.
            return Some(format!("\0{group}"));
        }
        let parts: Vec<String> = self
            .columns
            .iter()
            .map(|c| fold(&c.text(row).unwrap_or_default()))
            .collect();
        parts
            .iter()
            .any(|p| !p.is_empty())
            .then(|| parts.join("\u{1f}"))
    }

    /// The text of a row as written, both texts of a pair.
    pub fn raw(&self, row: usize) -> String {
        let parts: Vec<_> = self
            .columns
            .iter()
            .map(|c| c.text(row).unwrap_or_default())
            .collect();
        parts.join("\u{1f}")
    }

    /// Groups of two or more of `rows` with the same text, in order of their first row.
    pub fn groups(&self, rows: &[usize]) -> Vec<Vec<usize>> {
        let mut by_key: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for &row in rows {
            let Some(key) = self.key(row) else { continue };
            let at = *by_key.entry(key).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[at].push(row);
        }
        groups.retain(|g| g.len() > 1);
        groups
    }
}

/// Whether the rows have different labels; rows without one do not count.
pub(crate) fn conflict(label: &Column, rows: &[usize]) -> bool {
    let mut labels = rows
        .iter()
        .filter_map(|&r| label.text(r))
        .map(|v| v.trim().to_string())
        .filter(|v| !v.is_empty());
    let first = labels.next();
    labels.any(|l| Some(l) != first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_ignores_case_white_space_and_punctuation() {
        assert_eq!(fold("  It's GOOD,\n really!! "), fold("its good really"));
        assert_eq!(fold("Ünïcode—text"), "ünïcode text");
        assert_ne!(fold("good film"), fold("goodfilm"));
        assert_ne!(fold(":)"), fold(":("));
        assert_eq!(fold(" \n"), "");
    }
}
