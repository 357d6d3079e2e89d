//! What the checks look at: labels, times, sides, entities as numbers, and the columns that a model would get.

use std::borrow::Cow;
use std::collections::HashMap;

use super::LeakRequest;
use crate::error::{DataError, Result};
use crate::profile::is_missing_word;
use crate::split::{Split, is_split};
use crate::table::{Column, Table};
use crate::windows::{as_label, times};

/// Which side a row is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    None,
    Train,
    Valid,
    Test,
}

pub(super) struct Facts<'a> {
    pub table: &'a Table,
    pub request: &'a LeakRequest,
    pub label: Vec<Option<bool>>,
    pub frauds: usize,
    pub honest: usize,
    /// Nanoseconds since 1970.
    pub time: Option<Vec<i64>>,
    pub side: Vec<Side>,
    /// Rows with a label, in order of time, else of the file.
    pub order: Vec<usize>,
    /// The columns of entities, with a number per row; `None` where it is empty.
    pub entities: Vec<(&'a Column, Vec<Option<u32>>)>,
    /// Columns without another role.
    pub candidates: Vec<&'a Column>,
}

impl<'a> Facts<'a> {
    pub fn new(table: &'a Table, request: &'a LeakRequest, split: &Split) -> Result<Self> {
        let label = labels(table, request)?;
        let time = request.time.as_ref().map(|name| -> Result<Vec<i64>> {
            let found = times(table, table.column(name)?, true)?;
            Ok(found.into_iter().flatten().collect())
        });
        let time = time.transpose()?;
        let mut side = vec![Side::None; table.rows()];
        for (rows, of) in [
            (&split.train, Side::Train),
            (&split.valid, Side::Valid),
            (&split.test, Side::Test),
        ] {
            for &row in rows {
                side[row] = of;
            }
        }
        let mut order: Vec<usize> = (0..table.rows()).filter(|&r| label[r].is_some()).collect();
        if let Some(time) = &time {
            order.sort_by_key(|&row| time[row]);
        }
        let mut entities = Vec::new();
        for name in &request.entities {
            let column = table.column(name)?;
            entities.push((column, codes(column)));
        }
        if let Some(id) = &request.id {
            table.column(id)?;
        }
        let plays = |name: &String| {
            let single = [
                Some(&request.label),
                request.time.as_ref(),
                request.id.as_ref(),
            ];
            single.contains(&Some(name))
                || request.entities.contains(name)
                || request.ignore.contains(name)
        };
        let candidates = table.columns.iter();
        let count = |fraud: bool| label.iter().filter(|l| **l == Some(fraud)).count();
        Ok(Self {
            candidates: candidates
                .filter(|column| !plays(&column.name) && !is_split(column))
                .collect(),
            frauds: count(true),
            honest: count(false),
            table,
            request,
            label,
            time,
            side,
            order,
            entities,
        })
    }

    pub fn fraud(&self, row: usize) -> bool {
        self.label[row] == Some(true)
    }

    /// Share of the training rows that are as late as the first test row or later; `None` without times or without either side.
    pub fn overlap(&self) -> Option<f64> {
        let time = self.time.as_ref()?;
        let rows = |of: Side| (0..time.len()).filter(move |&row| self.side[row] == of);
        let first = rows(Side::Test).map(|row| time[row]).min()?;
        let train = rows(Side::Train).count();
        let late = rows(Side::Train).filter(|&row| time[row] >= first).count();
        (train > 0).then(|| late as f64 / train as f64)
    }
}

/// The text of a cell, if there is any.
pub(super) fn cell(column: &Column, row: usize) -> Option<Cow<'_, str>> {
    column.text(row).filter(|text| !text.trim().is_empty())
}

/// The numbers of a column, not a number where it is empty; `None` for a column of anything else, or of one number.
pub(super) fn numbers(column: &Column) -> Option<Vec<f32>> {
    let mut out = vec![f32::NAN; column.len()];
    let (mut first, mut varies) = (None, false);
    for (row, number) in out.iter_mut().enumerate() {
        let Some(text) = cell(column, row) else {
            continue;
        };
        *number = match column.number(row) {
            Some(number) => number as f32,
            None if is_missing_word(&text) => f32::NAN,
            None => return None,
        };
        varies |= !number.is_nan() && *first.get_or_insert(*number) != *number;
    }
    varies.then_some(out)
}

/// Equal texts get equal numbers.
pub(super) fn codes(column: &Column) -> Vec<Option<u32>> {
    let mut known: HashMap<String, u32> = HashMap::new();
    (0..column.len())
        .map(|row| {
            let text = cell(column, row)?;
            let next = known.len() as u32;
            Some(match known.get(text.trim()) {
                Some(&code) => code,
                None => *known.entry(text.trim().to_string()).or_insert(next),
            })
        })
        .collect()
}

fn labels(table: &Table, request: &LeakRequest) -> Result<Vec<Option<bool>>> {
    let column = table.column(&request.label)?;
    let positive = request.positive.as_deref().map(str::trim);
    let read = |row: usize| {
        let Some(text) = cell(column, row) else {
            return Ok(None);
        };
        if let Some(positive) = positive {
            return Ok(Some(text.trim() == positive));
        }
        match as_label(&text) {
            None => Err(DataError::Cell {
                column: column.name.clone(),
                place: table.place(row),
                problem: format!("`{text}` says neither fraud nor honest"),
                cure: "write 1 or 0, or name the value that means fraud".to_string(),
            }),
            label => Ok(label),
        }
    };
    (0..table.rows()).map(read).collect()
}
