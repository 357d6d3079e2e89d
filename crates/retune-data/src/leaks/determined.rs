//! Columns that tell the label: by their values, by being filled at all, or by the order of the rows.

use std::collections::HashMap;

use super::facts::{Facts, cell, codes, numbers};
use super::{FEWEST, Finding, LeakKind, auc, percent};
use crate::profile::{Kind, profile};
use crate::table::Column;

/// Areas from here on are too good to be true.
const CERTAIN: f64 = 0.999;
/// An order of rows has no business with the label at all.
const ORDERED: f64 = 0.9;
/// Most different values of a column of categories.
const CATEGORIES: usize = 1000;

/// Reports a column whose values tell the label.
pub(super) fn check_values(facts: &Facts<'_>, column: &Column, found: &mut Vec<Finding>) -> bool {
    let by_number = numbers(column).and_then(|numbers| {
        let rows = facts.order.iter().filter(|&&row| !numbers[row].is_nan());
        let scored = rows.map(|&row| (f64::from(numbers[row]), facts.fraud(row)));
        auc(scored.collect(), FEWEST)
    });
    let by_number = by_number.map(|auc| auc.max(1.0 - auc));
    let certain = |auc: &f64| *auc >= CERTAIN;
    let figure = by_number
        .filter(certain)
        .or_else(|| by_value(facts, &codes(column)).filter(certain));
    let Some(figure) = figure else {
        return false;
    };
    found.push(Finding {
        kind: LeakKind::DeterminesLabel,
        column: column.name.clone(),
        figure,
        why: format!(
            "`{}` alone separates frauds from honest rows almost without a fault (area under the ROC curve {figure:.4}): it is \
             probably written after the fraud was found, or derived from the label.",
            column.name
        ),
        what_to_do: "leave the column out, unless its value is really known before the decision".to_string(),
    });
    true
}

/// Area of the share of frauds per value, learned from every other row and tested on the rest.
fn by_value(facts: &Facts<'_>, codes: &[Option<u32>]) -> Option<f64> {
    let mut counts: HashMap<u32, (u32, u32)> = HashMap::new();
    let told = || {
        facts
            .order
            .iter()
            .filter_map(|&row| Some((row, codes[row]?)))
    };
    for (at, (row, code)) in told().enumerate() {
        if at % 2 == 0 {
            let count = counts.entry(code).or_default();
            count.0 += u32::from(facts.fraud(row));
            count.1 += 1;
        }
        if counts.len() > CATEGORIES {
            return None;
        }
    }
    if counts.len() < 2 {
        return None;
    }
    let usual = facts.frauds as f64 / (facts.frauds + facts.honest) as f64;
    let tested = told().enumerate().filter(|(at, _)| at % 2 == 1);
    let scored = tested.map(|(_, (row, code))| {
        let share = counts
            .get(&code)
            .map_or(usual, |&(frauds, all)| f64::from(frauds) / f64::from(all));
        (share, facts.fraud(row))
    });
    auc(scored.collect(), FEWEST / 2)
}

/// Reports a column that is filled, or empty, with frauds only, or with just the frauds.
pub(super) fn check_missing(facts: &Facts<'_>, column: &Column, found: &mut Vec<Finding>) {
    // By filled or not: honest rows and frauds.
    let mut counts = [[0_usize; 2]; 2];
    for &row in &facts.order {
        let filled = cell(column, row).is_some();
        counts[usize::from(filled)][usize::from(facts.fraud(row))] += 1;
    }
    let all = (facts.frauds + facts.honest) as f64;
    for (filled, word) in [(1, "filled"), (0, "empty")] {
        let [honest, frauds] = counts[filled];
        if frauds < FEWEST / 2 || honest + frauds == facts.order.len() {
            continue;
        }
        let pure = frauds as f64 / (honest + frauds) as f64;
        let caught = frauds as f64 / facts.frauds as f64;
        let alarms = honest as f64 / facts.honest as f64;
        // By chance, so many rows would all be frauds once in a billion times at most.
        let chance = (facts.frauds as f64 / all).ln() * frauds as f64;
        let only = pure >= 0.999 && chance < -20.0;
        let just = caught >= 0.99 && alarms <= 0.01;
        if only || just {
            found.push(Finding {
                kind: LeakKind::MissingTellsLabel,
                column: column.name.clone(),
                figure: pure,
                why: format!(
                    "where `{}` is {word}, {} of the rows are frauds, and {} of all frauds are there: whether it is {word} \
                     is decided after the fraud was found.",
                    column.name,
                    percent(pure),
                    percent(caught)
                ),
                what_to_do: "leave the column out, and every other that is filled in by the handling of a fraud"
                    .to_string(),
            });
            return;
        }
    }
}

/// Reports an order of the rows, or numbers of them, that tell the label.
pub(super) fn check_order(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let rows = (0..facts.label.len()).filter_map(|row| Some((row as f64, facts.label[row]?)));
    let order = auc(rows.collect(), FEWEST);
    if let Some(figure) = order
        .map(|auc| auc.max(1.0 - auc))
        .filter(|auc| *auc >= ORDERED)
    {
        found.push(Finding {
            kind: LeakKind::OrderTellsLabel,
            column: "row order".to_string(),
            figure,
            why: format!(
                "the order of the rows in the file separates frauds from honest rows (area under the ROC curve {figure:.3}): \
                 it is sorted or joined by the label, and with it every number given in that order."
            ),
            what_to_do: "sort the rows by time, or shuffle them, and leave out numbers that follow the old order"
                .to_string(),
        });
    }
    let is_id = |column: &&&Column| profile(column, facts.label.len()).kind == Kind::Id;
    let named = facts.request.id.as_ref();
    let named = named.and_then(|id| facts.table.column(id).ok());
    let ids = facts.candidates.iter().filter(is_id).copied().chain(named);
    for column in ids {
        if let Some((part, figure)) = part_that_tells(facts, column) {
            found.push(Finding {
                kind: LeakKind::OrderTellsLabel,
                column: column.name.clone(),
                figure,
                why: format!(
                    "{part} of `{}` separates frauds from honest rows (area under the ROC curve {figure:.3}): numbers are \
                     given out by who recorded the row, or after the fraud was found.",
                    column.name
                ),
                what_to_do: "leave the column out, and check how the file was put together".to_string(),
            });
        }
    }
}

/// The part of an identifier that tells the label best, if it does.
fn part_that_tells(facts: &Facts<'_>, column: &Column) -> Option<(&'static str, f64)> {
    let digits = |text: &str| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let number = |text: &str| digits(text).parse::<f64>().ok();
    let length = |text: &str| Some(text.trim().len() as f64);
    let mut best: Option<(&'static str, f64)> = None;
    let mut take = |part: &'static str, auc: Option<f64>| {
        if let Some(auc) = auc.filter(|auc| *auc >= ORDERED && best.is_none_or(|b| b.1 < *auc)) {
            best = Some((part, auc));
        }
    };
    let mut measure = |part: &'static str, of: &dyn Fn(&str) -> Option<f64>| {
        let rows = facts.order.iter();
        let scored = rows.filter_map(|&row| Some((of(&cell(column, row)?)?, facts.fraud(row))));
        take(
            part,
            auc(scored.collect(), FEWEST).map(|auc| auc.max(1.0 - auc)),
        );
    };
    measure("the number", &number);
    measure("the length", &length);
    let mut known: HashMap<String, u32> = HashMap::new();
    let letters: Vec<Option<u32>> = (0..column.len())
        .map(|row| {
            let text = cell(column, row)?;
            let letters = text.chars().filter(|c| c.is_alphabetic()).collect();
            let next = known.len() as u32;
            Some(*known.entry(letters).or_insert(next))
        })
        .collect();
    take("the letters", by_value(facts, &letters));
    best
}
