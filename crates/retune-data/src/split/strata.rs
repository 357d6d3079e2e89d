//! Strata: what every side gets its share of.

use std::collections::{BTreeMap, HashMap};

use crate::roles::TaskKind;
use crate::table::Column;

/// The stratum of each row: its class, or a tenth of the range of ranks of a number.
pub(super) struct Strata {
    of: HashMap<usize, usize>,
    /// The classes that a side must contain; none where strata are no classes.
    pub names: Vec<String>,
}

impl Strata {
    pub fn new(label: Option<&Column>, task: Option<TaskKind>, rows: &[usize]) -> Self {
        let Some(label) = label else {
            return Self {
                of: HashMap::new(),
                names: Vec::new(),
            };
        };
        if task == Some(TaskKind::Regression) {
            let mut numbers: Vec<(f64, usize)> = rows
                .iter()
                .filter_map(|&r| Some((label.number(r)?, r)))
                .collect();
            numbers.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let bin = numbers.len().div_ceil(10).max(1);
            let of = numbers
                .iter()
                .enumerate()
                .map(|(rank, &(_, row))| (row, rank / bin))
                .collect();
            return Self {
                of,
                names: Vec::new(),
            };
        }
        let value = |r: usize| {
            label
                .text(r)
                .map(|v| v.trim().to_string())
                .unwrap_or_default()
        };
        let distinct: BTreeMap<String, usize> = rows.iter().map(|&r| (value(r), 0)).collect();
        let names: Vec<String> = distinct.into_keys().collect();
        let of = rows
            .iter()
            .map(|&r| (r, names.binary_search(&value(r)).unwrap_or(0)))
            .collect();
        // Sets of labels are strata, but no classes that a side must contain.
        let names = if task == Some(TaskKind::MultiLabel) {
            Vec::new()
        } else {
            names
        };
        Self { of, names }
    }

    pub fn get(&self, row: usize) -> usize {
        self.of.get(&row).copied().unwrap_or(0)
    }
}
