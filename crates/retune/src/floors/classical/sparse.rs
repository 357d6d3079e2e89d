//! TF-IDF rows in compressed sparse form, as `TfidfVectorizer(sublinear_tf=True)` of scikit-learn computes them.
//!
//! `value = (1 + ln count) * (1 + ln((1 + rows) / (1 + rows with it)))`, then each row is divided by its L2 norm.

use std::cmp::Reverse;
use std::collections::HashMap;

use rayon::prelude::*;

use super::grams::Grams;

/// N-grams read over all rows: bounds the memory of the matrix (16 bytes each, its transposed twin included).
const MOST_GRAMS: usize = 32_000_000;
/// Different n-grams counted at a time; beyond it those met in one row only are forgotten.
const MOST_COUNTED: usize = 4_000_000;
/// Rows in hand at a time as lists of hashes.
const BLOCK: usize = 1_024;

/// A matrix `[rows, cols]` that stores what is not zero.
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    /// Number of columns.
    pub cols: usize,
    /// Where each row begins in `entries`, and where the last one ends: `[rows + 1]`.
    starts: Vec<usize>,
    /// Column and value, row by row, ascending by column.
    entries: Vec<(u32, f32)>,
}

impl Sparse {
    fn new(cols: usize) -> Self {
        Self::with_room(cols, 0)
    }

    /// Without a row, and with room for so many values.
    pub fn with_room(cols: usize, values: usize) -> Self {
        Self {
            cols,
            starts: vec![0],
            entries: Vec::with_capacity(values),
        }
    }

    /// Adds a row of columns and values, ascending by column.
    pub fn push(&mut self, row: Vec<(u32, f32)>) {
        self.entries.extend(row);
        self.starts.push(self.entries.len());
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Column and value of what is not zero in row `i`.
    pub fn row(&self, i: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[i]..self.starts[i + 1]]
    }

    /// The matrix with rows and columns exchanged, `[cols, rows]`.
    pub fn transposed(&self) -> Self {
        let mut starts = vec![0; self.cols + 1];
        for (col, _) in &self.entries {
            starts[*col as usize + 1] += 1;
        }
        for col in 0..self.cols {
            starts[col + 1] += starts[col];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); self.entries.len()];
        for row in 0..self.rows() {
            for (col, value) in self.row(row) {
                let at = &mut next[*col as usize];
                entries[*at] = (row as u32, *value);
                *at += 1;
            }
        }
        Self {
            cols: self.rows(),
            starts,
            entries,
        }
    }
}

/// Which n-grams are features, learned from the training rows alone.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    grams: Grams,
    /// N-grams read of each text column.
    limit: usize,
    columns: HashMap<u64, u32>,
    /// Inverse document frequency of each feature.
    idf: Vec<f32>,
}

impl Vocabulary {
    /// Learns the n-grams that at least `min_rows` rows have: the `most` most frequent of them, by rows.
    pub fn learn(rows: &[Vec<String>], grams: Grams, min_rows: u32, most: usize) -> Self {
        let texts = rows.iter().map(Vec::len).sum::<usize>().max(1);
        let limit = (MOST_GRAMS / texts).max(1);
        let mut counts: HashMap<u64, u32> = HashMap::new();
        for block in rows.chunks(BLOCK) {
            let counted = block.par_iter().map(|row| grams.count(row, limit));
            for (gram, _) in counted.collect::<Vec<_>>().into_iter().flatten() {
                *counts.entry(gram).or_default() += 1;
            }
            if counts.len() > MOST_COUNTED {
                counts.retain(|_, n| *n > 1);
            }
        }
        let mut kept: Vec<(u64, u32)> = counts.into_iter().filter(|c| c.1 >= min_rows).collect();
        kept.sort_unstable_by_key(|&(gram, n)| (Reverse(n), gram));
        kept.truncate(most);
        let idf = |n: u32| 1.0 + ((1.0 + rows.len() as f64) / (1.0 + f64::from(n))).ln();
        Self {
            grams,
            limit,
            idf: kept.iter().map(|&(_, n)| idf(n) as f32).collect(),
            columns: (0..)
                .zip(&kept)
                .map(|(at, &(gram, _))| (gram, at))
                .collect(),
        }
    }

    /// The rows as TF-IDF values, `[rows, features]`; unknown n-grams are left out.
    pub fn rows(&self, rows: &[Vec<String>]) -> Sparse {
        let mut all = Sparse::new(self.idf.len());
        for block in rows.chunks(BLOCK) {
            let valued = block.par_iter().map(|row| self.row(row));
            for row in valued.collect::<Vec<_>>() {
                all.push(row);
            }
        }
        all
    }

    fn row(&self, row: &[String]) -> Vec<(u32, f32)> {
        let mut values: Vec<(u32, f32)> = self
            .grams
            .count(row, self.limit)
            .into_iter()
            .filter_map(|(gram, n)| Some((*self.columns.get(&gram)?, n)))
            .map(|(at, n)| (at, (1.0 + (n as f32).ln()) * self.idf[at as usize]))
            .collect();
        values.sort_unstable_by_key(|entry| entry.0);
        let norm = values.iter().map(|e| e.1 * e.1).sum::<f32>().sqrt();
        for entry in &mut values {
            entry.1 /= norm;
        }
        values
    }

    /// The feature that an n-gram of the first column is.
    #[cfg(test)]
    pub fn column(&self, gram: &str) -> Option<u32> {
        let hash = super::grams::hash(super::grams::BASIS, gram.as_bytes());
        self.columns.get(&hash).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_exchanges_rows_and_columns() {
        let mut x = Sparse::new(3);
        x.push(vec![(0, 1.0), (2, 2.0)]);
        x.push(vec![]);
        x.push(vec![(2, 3.0)]);
        let t = x.transposed();
        assert_eq!((t.rows(), t.cols), (3, 3));
        assert_eq!(t.row(0), [(0, 1.0)]);
        assert_eq!(t.row(1), []);
        assert_eq!(t.row(2), [(0, 2.0), (2, 3.0)]);
    }

    #[test]
    fn rare_features_go_first() {
        let rows: Vec<Vec<String>> = ["aa bb cc", "aa bb", "aa"]
            .map(|t| vec![t.to_string()])
            .into();
        let learn = |min_rows, most| Vocabulary::learn(&rows, Grams::Words(1), min_rows, most);
        let known = |v: &Vocabulary| ["aa", "bb", "cc"].map(|w| v.column(w).is_some());
        assert_eq!(known(&learn(1, 9)), [true, true, true]);
        assert_eq!(known(&learn(2, 9)), [true, true, false]);
        assert_eq!(known(&learn(1, 1)), [true, false, false]);
    }
}
