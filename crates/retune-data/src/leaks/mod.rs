//! Columns and divisions that make a model look better than it will be: what it learns from is not there when it is used.
//!
//! A check speaks only where the rows suffice: without 20 frauds and 20 honest rows, those that look at labels say nothing.
//! What is found is suspicious, not proven; each finding says what was seen and what to do.
//!
//! Columns beside a text that tell one of a few usual labels are the matter of [`crate::inspect::deep`]; frauds are so rare
//! that a share of right answers says nothing about them.

mod determined;
mod divided;
mod facts;
mod forbidden;
mod later;

use serde::Serialize;

use crate::error::Result;
use crate::split::Split;
use crate::table::Table;
use facts::Facts;

/// Fewest frauds, and fewest honest rows, for which the checks of labels speak.
const FEWEST: usize = 20;

/// Which column plays which role, for the checks.
#[derive(Debug, Clone, Default)]
pub struct LeakRequest {
    /// The label.
    pub label: String,
    /// The text that means fraud; without it 1, `true`, `yes` or `fraud`.
    pub positive: Option<String>,
    /// When a row came about.
    pub time: Option<String>,
    /// Whose rows they are, such as `customer_id` and `terminal_id`.
    pub entities: Vec<String>,
    /// The number of a row.
    pub id: Option<String>,
    /// Columns that no model gets.
    pub ignore: Vec<String>,
    /// Seconds after which the label of a row is known; 0 switches the check of statistics without a delay off.
    pub delay: i64,
}

/// What kind of leak a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakKind {
    /// A column holds times after the event.
    LaterTime,
    /// A column tells the label.
    DeterminesLabel,
    /// That a column is filled, or empty, tells the label.
    MissingTellsLabel,
    /// A column is a statistic of an entity's labels that were not known at the event.
    LabelsWithoutDelay,
    /// A column is the share of frauds by a value, counted over training and test rows.
    EncodedOverAll,
    /// Entities have rows on both sides of a division that is not in time.
    EntityOnBothSides,
    /// Rows are divided at random, although their times are known.
    DividedAgainstTime,
    /// The same rows are on both sides.
    SameRows,
    /// The order of the rows, or their number, tells the label.
    OrderTellsLabel,
}

/// One suspicion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What kind.
    pub kind: LeakKind,
    /// The column; for the order of the rows `row order`, for repeated rows `all columns`.
    pub column: String,
    /// The figure that raised the suspicion, as `why` states it: a share, or an area under the ROC curve, 0 to 1.
    pub figure: f64,
    /// What was seen and why it matters, a sentence.
    pub why: String,
    /// What to do, a sentence fragment.
    pub what_to_do: String,
}

/// Looks for leaks in a table that is divided by `split`. Rows without a label are left out.
///
/// # Errors
/// A column that is not there; a label that is neither fraud nor honest; a time that cannot be read.
pub fn leaks(table: &Table, request: &LeakRequest, split: &Split) -> Result<Vec<Finding>> {
    let facts = Facts::new(table, request, split)?;
    let mut found = Vec::new();
    later::check(&facts, &mut found);
    let enough = facts.frauds >= FEWEST && facts.honest >= FEWEST;
    if enough {
        determined::check_order(&facts, &mut found);
    }
    let forbidden = if enough {
        forbidden::all(&facts)
    } else {
        Vec::new()
    };
    for column in facts.candidates.iter().filter(|_| enough) {
        determined::check_missing(&facts, column, &mut found);
        if determined::check_values(&facts, column, &mut found) {
            continue;
        }
        if let Some(numbers) = facts::numbers(column) {
            forbidden::check(&facts, &forbidden, (column, &numbers), &mut found);
        }
    }
    divided::check(&facts, &mut found);
    Ok(found)
}

/// `97.3 %`, with as many decimals as it takes to tell it from 0 and from 100 %.
fn percent(share: f64) -> String {
    let text = format!("{:.1} %", share * 100.0);
    match text.as_str() {
        "100.0 %" if share < 1.0 => "almost 100 %".to_string(),
        "100.0 %" => "100 %".to_string(),
        "0.0 %" if share > 0.0 => "under 0.1 %".to_string(),
        _ => text,
    }
}

/// Area under the ROC curve of numbers for the rows' labels, ties counted half; `None` with fewer than `fewest` of either label.
fn auc(mut scored: Vec<(f64, bool)>, fewest: usize) -> Option<f64> {
    let frauds = scored.iter().filter(|s| s.1).count();
    let honest = scored.len() - frauds;
    if frauds < fewest.max(1) || honest < fewest.max(1) {
        return None;
    }
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut pairs) = (0_usize, 0.0);
    for tied in scored.chunk_by(|a, b| a.0 == b.0) {
        let up = tied.iter().filter(|s| s.1).count();
        let down = tied.len() - up;
        pairs += up as f64 * (below as f64 + down as f64 / 2.0);
        below += down;
    }
    Some(pairs / (frauds as f64 * honest as f64))
}

#[cfg(test)]
mod tests;
