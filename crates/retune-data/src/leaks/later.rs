//! Times after the event: the moment of a label, a chargeback, a review.

use super::facts::{Facts, cell};
use super::{Finding, LeakKind, percent};
use crate::interactions::moments::{SECOND, Unit, moment};

/// Numbers below are no moments but durations, amounts or counts: March 1973.
const EARLIEST: i64 = 100_000_000 * SECOND;
/// A day in nanoseconds.
const DAY: i64 = 86_400 * SECOND;
/// Fewest rows, and their smallest share, that are no slip.
const FEWEST: usize = 5;
const SMALLEST: f64 = 0.001;

/// Reports columns of times some of which lie after the row's own.
pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(events) = &facts.time else {
        return;
    };
    // Rows of a day without its hours: what happens on the same day is not later.
    let whole_days = events.iter().all(|time| time % DAY == 0);
    // Numbers of phones and cards have the size of moments, but of a far future.
    let last = events.iter().copied().max().unwrap_or(0);
    let latest = last.saturating_add(10 * 365 * DAY);
    let slack = if whole_days { DAY - 1 } else { 0 };
    for column in &facts.candidates {
        let (mut filled, mut read, mut later) = (0_usize, 0_usize, 0_usize);
        for (row, &event) in events.iter().enumerate() {
            let Some(text) = cell(column, row) else {
                continue;
            };
            filled += 1;
            if let Ok((time, unit)) = moment(&text, false)
                && (unit == Unit::Dates || (EARLIEST..=latest).contains(&time))
            {
                read += 1;
                later += usize::from(time > event.saturating_add(slack));
            } else if filled > 100 && read * 2 < filled {
                break;
            }
        }
        let share = later as f64 / filled.max(1) as f64;
        let is_time = read as f64 >= 0.95 * filled as f64;
        // Events before 1973, such as numbers of seconds from 0 on, cannot be compared with moments.
        let comparable = events.iter().all(|&time| time >= EARLIEST);
        if is_time && comparable && later >= FEWEST && share >= SMALLEST {
            found.push(Finding {
                kind: LeakKind::LaterTime,
                column: column.name.clone(),
                figure: share,
                why: format!(
                    "`{}` lies after the event in {} of the rows that have it: it is written when more is known, and is \
                     not there when a payment is to be judged.",
                    column.name,
                    percent(share)
                ),
                what_to_do: "leave the column out; keep it only if it is known in advance, such as a date of expiry; \
                             if it is the time of the label, name it as such"
                    .to_string(),
            });
        }
    }
}
