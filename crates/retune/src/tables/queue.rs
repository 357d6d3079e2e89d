//! Events as they are rated: what of their columns says when, whose, how much, of which kind and of which segment.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use retune_data::fields::{Cast, seconds};
use retune_data::{Column, Table, Target};
use retune_eval::Matrix;
use retune_eval::fraud::{FraudPart, Named, Scored, false_alarm_ratios};

use super::alerts::PATTERNS;
use super::plan::{Plan, Rows};
use crate::error::{Error, Result};

/// Values of a column that false alarms are counted by, the most frequent ones.
const SEGMENTS: usize = 50;

/// Events of a table whose labels are known.
pub(super) struct Queue<'a> {
    pub table: &'a Table,
    pub cast: &'a Cast,
    /// Seconds of every row of the table; none without a time.
    pub times: Cow<'a, [i64]>,
    /// Of two classes the one that is fraud.
    pub positive: usize,
    /// Places of the events in the table.
    pub rows: &'a [usize],
    /// One per event.
    pub targets: &'a [Target],
}

/// Events by the values of one column.
pub(super) struct Segments {
    pub column: String,
    /// False-positive rate of each value over that of all events, with an interval over cards.
    pub parts: Vec<FraudPart>,
}

/// Seconds of every row, where the table has the column of times.
pub(super) fn times(table: &Table, cast: &Cast) -> Result<Vec<i64>> {
    match cast
        .time
        .as_deref()
        .filter(|time| table.column(time).is_ok())
    {
        Some(time) => Ok(seconds(table, time)?),
        None => Ok(Vec::new()),
    }
}

/// A number for each different text of these rows of a column; a missing one counts as empty.
pub(crate) fn keys(column: &Column, rows: impl Iterator<Item = usize>) -> Vec<u64> {
    let mut keys: HashMap<String, u64> = HashMap::new();
    let key = |row| {
        let next = keys.len() as u64;
        let name = column.text(row).unwrap_or_default().into_owned();
        *keys.entry(name).or_insert(next)
    };
    rows.map(key).collect()
}

impl<'a> Queue<'a> {
    /// Some of the rows of a plan.
    pub fn of(plan: &'a Plan, rows: &'a Rows) -> Self {
        Self {
            table: &plan.table,
            cast: &plan.cast,
            times: Cow::Borrowed(&plan.times),
            positive: plan.positive,
            rows: &rows.at,
            targets: &rows.targets,
        }
    }

    /// Scores, `[events, classes]`, with what is known of the events. What the table has no column for is not there.
    pub fn scored(&self, scores: &Matrix) -> Scored {
        let positive = Target::Class(self.positive as u32);
        let column = |name: Option<&String>| name.and_then(|name| self.table.column(name).ok());
        let card = column(self.cast.entities.first());
        let amount = column(self.cast.amount.as_ref());
        let mut columns = self.table.columns.iter();
        let pattern = columns.find(|c| PATTERNS.contains(&c.name.to_lowercase().as_str()));
        let at = || self.rows.iter().copied();
        Scored {
            score: (0..scores.rows)
                .map(|row| scores.row(row)[self.positive])
                .collect(),
            fraud: self.targets.iter().map(|t| *t == positive).collect(),
            time: (!self.times.is_empty()).then(|| at().map(|row| self.times[row]).collect()),
            card: card.map(|column| keys(column, at())),
            amount: amount.map(|column| {
                at().map(|row| column.number(row).unwrap_or(0.0).max(0.0))
                    .collect()
            }),
            pattern: pattern.map(|column| self.named(column)),
            segment: None,
            weight: None,
        }
    }

    /// False alarms by the values of each of these columns, when events with at least `threshold` are alerts.
    ///
    /// # Errors
    /// A column that the table does not have; scores that are not finite.
    pub fn segments(
        &self,
        scored: &Scored,
        columns: &[String],
        (threshold, seed): (f64, u64),
    ) -> Result<Vec<Segments>> {
        let one = |name: &String| {
            let named = largest(self.named(self.table.column(name)?));
            let events = Scored {
                segment: Some(named),
                ..scored.clone()
            };
            let parts = false_alarm_ratios(&events, threshold, seed);
            Ok(Segments {
                column: name.clone(),
                parts: parts.map_err(|bad| Error::User(bad.to_string()))?,
            })
        };
        columns.iter().map(one).collect()
    }

    /// The texts of a column.
    fn named(&self, column: &Column) -> Named {
        let mut names: Vec<String> = Vec::new();
        let mut places: HashMap<String, u32> = HashMap::new();
        let mut of = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            of.push(column.text(*row).map(|text| {
                *places.entry(text.into_owned()).or_insert_with_key(|name| {
                    names.push(name.clone());
                    names.len() as u32 - 1
                })
            }));
        }
        Named { names, of }
    }
}

/// The most frequent names; events of others have none.
fn largest(named: Named) -> Named {
    if named.names.len() <= SEGMENTS {
        return named;
    }
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for name in named.of.iter().flatten() {
        *counts.entry(*name).or_default() += 1;
    }
    let mut order: Vec<(u32, usize)> = counts.into_iter().collect();
    order.sort_by_key(|(_, count)| std::cmp::Reverse(*count)); // stable: the first name wins a tie
    order.truncate(SEGMENTS);
    let places: HashMap<u32, u32> = (0..)
        .zip(&order)
        .map(|(to, (from, _))| (*from, to))
        .collect();
    Named {
        names: order
            .iter()
            .map(|(name, _)| named.names[*name as usize].clone())
            .collect(),
        of: named
            .of
            .iter()
            .map(|name| name.and_then(|name| places.get(&name).copied()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_values_the_most_frequent_are_kept() {
        let names: Vec<String> = (0..60).map(|i| format!("v{i}")).collect();
        // Value i comes i + 1 times.
        let of = (0..60u32).flat_map(|i| vec![Some(i); i as usize + 1]);
        let named = Named {
            names,
            of: of.chain([None]).collect(),
        };
        let kept = largest(named.clone());
        assert_eq!(kept.names.len(), SEGMENTS);
        assert_eq!(
            (kept.names[0].as_str(), kept.names[49].as_str()),
            ("v59", "v10")
        );
        let last = named.of.len() - 2;
        assert_eq!(
            (kept.of[0], kept.of[last], kept.of[last + 1]),
            (None, Some(0), None)
        );
        let few = Named {
            names: vec!["a".to_string()],
            of: vec![Some(0), None],
        };
        assert_eq!(largest(few.clone()), few);
    }
}
