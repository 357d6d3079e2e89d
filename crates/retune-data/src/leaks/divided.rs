//! Divisions that let the test see what was trained on: by entity, against time, or row by row.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::facts::{Facts, Side, cell};
use super::{Finding, LeakKind, percent};

/// Smallest share of rows that is reported.
const SMALLEST: f64 = 0.01;

/// Reports what the two sides share.
pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let overlap = facts.overlap();
    let in_time = overlap.is_some_and(|overlap| overlap < SMALLEST);
    let has = |side: Side| facts.side.contains(&side);
    if !has(Side::Train) || !has(Side::Test) {
        return;
    }
    if let (Some(figure), Some(time), false) = (overlap, &facts.request.time, in_time) {
        found.push(Finding {
            kind: LeakKind::DividedAgainstTime,
            column: time.clone(),
            figure,
            why: format!(
                "{} of the training rows are not older than the first test row: the model is trained on the days it is tested \
                 on, and will look better than on days to come.",
                percent(figure)
            ),
            what_to_do: format!(
                "divide by `{time}`: train on the past, leave out the days whose labels were not known, test on what follows"
            ),
        });
    }
    if !in_time {
        entities(facts, found);
    }
    same_rows(facts, found);
}

fn entities(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (column, codes) in &facts.entities {
        let rows = |side: Side| (0..codes.len()).filter(move |&row| facts.side[row] == side);
        let trained: HashSet<u32> = rows(Side::Train).filter_map(|row| codes[row]).collect();
        let tested: Vec<u32> = rows(Side::Test).filter_map(|row| codes[row]).collect();
        let known = tested.iter().filter(|code| trained.contains(code)).count();
        let figure = known as f64 / tested.len().max(1) as f64;
        if known > 0 && figure >= SMALLEST {
            let name = &column.name;
            found.push(Finding {
                kind: LeakKind::EntityOnBothSides,
                column: name.clone(),
                figure,
                why: format!(
                    "{} of the test rows belong to a `{name}` that has training rows too: the model can know it by heart instead \
                     of telling frauds.",
                    percent(figure)
                ),
                what_to_do: format!(
                    "divide in time, or keep the rows of one `{name}` on one side (--group-by {name})"
                ),
            });
        }
    }
}

/// Rows that are the same in every column but their number.
fn same_rows(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let id = facts.request.id.as_ref();
    let columns: Vec<_> = facts
        .table
        .columns
        .iter()
        .filter(|column| Some(&column.name) != id)
        .collect();
    let key = |row: usize| {
        let mut hasher = DefaultHasher::new();
        for column in &columns {
            cell(column, row).hash(&mut hasher);
        }
        hasher.finish()
    };
    let rows = |side: Side| (0..facts.side.len()).filter(move |&row| facts.side[row] == side);
    let trained: HashSet<u64> = rows(Side::Train).map(key).collect();
    let train = rows(Side::Train).count();
    // Few columns of few values: equal rows are then nothing to wonder at.
    if columns.len() < 3 || trained.len() * 2 < train {
        return;
    }
    let tested = rows(Side::Test).count();
    let again = rows(Side::Test)
        .filter(|&row| trained.contains(&key(row)))
        .count();
    let figure = again as f64 / tested.max(1) as f64;
    if again >= 5 && figure >= 0.001 {
        found.push(Finding {
            kind: LeakKind::SameRows,
            column: "all columns".to_string(),
            figure,
            why: format!(
                "{} of the test rows, {again} of them, are also training rows, equal in every column: a model that \
                 remembers them is right for nothing.",
                percent(figure)
            ),
            what_to_do: "drop the copies before dividing".to_string(),
        });
    }
}
