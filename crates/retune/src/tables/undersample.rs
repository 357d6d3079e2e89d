//! Training on all frauds and a share of the legitimate events, which are many and much alike. The scores of such a model are
//! too high, and [`super::correction`] makes them right.

use std::borrow::Cow;

use retune_data::Target;
use retune_kernels::dropout::mix;

use super::plan::{Plan, Rows};
use crate::error::Problem;

/// Fewer legitimate events than this are no sample of all of them.
const FEWEST: usize = 20;

/// Of these rows those that models learn from: every fraud, and of the legitimate events the recipe's share.
pub(super) fn learned<'a>(plan: &Plan, rows: &'a Rows) -> Cow<'a, Rows> {
    let share = plan.recipe.tables.keep_legitimate;
    if share >= 1.0 {
        return Cow::Borrowed(rows);
    }
    let kept = kept(rows, plan.positive, (share, plan.recipe.seed));
    Cow::Owned(Rows {
        at: kept.iter().map(|i| rows.at[*i]).collect(),
        cells: rows.cells.select(&kept),
        targets: kept.iter().map(|i| rows.targets[*i].clone()).collect(),
    })
}

/// How many of the legitimate training events are kept, in words; nothing where all are.
///
/// # Errors
/// Too few of them.
pub(super) fn note(
    rows: &Rows,
    positive: usize,
    draw: (f64, u64),
) -> Result<Option<String>, Problem> {
    if draw.0 >= 1.0 {
        return Ok(None);
    }
    let legitimate = |i: &usize| !is_fraud(rows, *i, positive);
    let all = (0..rows.at.len()).filter(legitimate).count();
    let kept = kept(rows, positive, draw).into_iter();
    let kept = kept.filter(legitimate).count();
    if kept < FEWEST {
        let text = format!(
            "{} keeps {kept} legitimate training events, and {FEWEST} are needed; keep a larger share",
            draw.0
        );
        return Err(Problem::new("tables.keep_legitimate", text));
    }
    Ok(Some(format!(
        "of {all} legitimate training events {kept} train; scores are probabilities among all of them"
    )))
}

/// Indices of the kept rows. Whether one is kept rests on the seed and its place in the table alone, so that every training of
/// a run keeps the same ones.
fn kept(rows: &Rows, positive: usize, (share, seed): (f64, u64)) -> Vec<usize> {
    // The highest 53 bits are what a double holds.
    let drawn = |row: usize| (mix(mix(seed) ^ row as u64) >> 11) as f64 / (1u64 << 53) as f64;
    let all = 0..rows.at.len();
    all.filter(|i| is_fraud(rows, *i, positive) || drawn(rows.at[*i]) < share)
        .collect()
}

fn is_fraud(rows: &Rows, i: usize, positive: usize) -> bool {
    rows.targets[i] == Target::Class(positive as u32)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use retune_data::fields::Cells;

    use super::*;

    #[test]
    fn every_fraud_and_the_share_of_the_others_are_kept_by_seed_and_place() {
        let rows = Rows {
            at: (5000..15000).collect(),
            cells: Cells::default(),
            targets: (0..10000)
                .map(|i| Target::Class(u32::from(i % 100 == 0)))
                .collect(),
        };
        let found = kept(&rows, 1, (0.1, 7));
        let frauds = found.iter().filter(|i| **i % 100 == 0).count();
        assert_eq!(frauds, 100);
        let share = (found.len() - frauds) as f64 / 9900.0;
        assert!((share - 0.1).abs() < 0.015, "{share}");
        // The same events of a part of the rows, and others for another seed.
        let part = Rows {
            at: rows.at[4000..].to_vec(),
            targets: rows.targets[4000..].to_vec(),
            ..Rows::default()
        };
        let of_part: Vec<usize> = kept(&part, 1, (0.1, 7)).iter().map(|i| i + 4000).collect();
        let tail: Vec<usize> = found.iter().copied().filter(|i| *i >= 4000).collect();
        assert_eq!(of_part, tail);
        assert_ne!(kept(&rows, 1, (0.1, 8)), found);
        let told = note(&rows, 1, (0.1, 7)).unwrap().unwrap();
        assert!(
            told.starts_with("of 9900 legitimate training events"),
            "{told}"
        );
        assert_eq!(note(&rows, 1, (1.0, 7)).unwrap(), None);
        let few = note(&rows, 1, (1e-4, 7)).unwrap_err();
        assert!(few.text.contains("20 are needed"), "{few:?}");
    }
}
