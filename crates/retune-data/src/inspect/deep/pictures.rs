//! Near-copies of pictures across the sides of a split.

use std::collections::HashMap;

use super::NearCopy;
use crate::split::near::across;
use crate::survey::Survey;
use crate::table::Table;

/// Rows whose picture looks like one of an earlier side, the most similar first. `sides`: name and rows of each,
/// training first. The similarity is the share of equal bits of the perceptual hashes, 0 to 1.
pub fn near_pictures(t: &Table, survey: &Survey, sides: &[(&str, &[usize])]) -> Vec<NearCopy> {
    let rows: Vec<&[usize]> = sides.iter().map(|side| side.1).collect();
    let named = sides.iter();
    let side: HashMap<usize, &str> = named
        .flat_map(|(name, rows)| rows.iter().map(|&row| (row, *name)))
        .collect();
    let text = |row: usize| {
        let column = t.column(&survey.column).ok();
        let text = column.and_then(|c| c.text(row).map(std::borrow::Cow::into_owned));
        text.unwrap_or_default()
    };
    let similarity = |[a, b]: [usize; 2]| {
        let hash = |row: usize| survey.thumbnails[row].as_ref().map_or(0, |seen| seen.hash);
        1.0 - f64::from((hash(a) ^ hash(b)).count_ones()) / 64.0
    };
    let mut found: Vec<NearCopy> = across(&survey.groups(), &rows)
        .into_iter()
        .map(|rows| NearCopy {
            rows,
            sides: rows.map(|row| side[&row].to_string()),
            places: rows.map(|row| t.place(row)),
            texts: rows.map(text),
            similarity: similarity(rows),
        })
        .collect();
    found.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    found
}
