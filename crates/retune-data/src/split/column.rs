//! A column that says to which side each row belongs.

use std::ops::Range;

use super::Given;
use crate::table::{Column, Table};

/// What such columns are called, in lower case.
const NAME: &str = "split";
/// What their values are called, in lower case: training, validation, test.
const SIDES: [&[&str]; 3] = [
    &["train", "training"],
    &["valid", "validation", "val", "dev"],
    &["test", "testing"],
];

/// Whether a column says to which side each row belongs: its name is `split`, every row has a value, all values are
/// names of sides, and some rows train and some do not.
pub fn is_split(column: &Column) -> bool {
    column.name.to_lowercase() == NAME && sides(column).is_some()
}

/// The side of each row, 0 to 2.
fn sides(column: &Column) -> Option<Vec<usize>> {
    let side = |row: usize| {
        let value = column.text(row)?.trim().to_lowercase();
        SIDES
            .iter()
            .position(|names| names.contains(&value.as_str()))
    };
    let sides: Vec<usize> = (0..column.len()).map(side).collect::<Option<_>>()?;
    (sides.contains(&0) && sides.iter().any(|&s| s > 0)).then_some(sides)
}

/// The rows of a table in the order training, validation, test, with the ranges of the latter two, if a column says so
/// (see [`is_split`]); else the table as it is and nothing given. A note says which column decided.
pub fn by_column(mut t: Table) -> (Table, Given) {
    let found = t.columns.iter().find(|c| is_split(c));
    let Some((name, sides)) = found.and_then(|c| Some((c.name.clone(), sides(c)?))) else {
        return (t, Given::default());
    };
    if !sides.is_sorted() {
        let mut order: Vec<usize> = (0..t.rows()).collect();
        order.sort_by_key(|&row| sides[row]);
        t = t.select(&order);
    }
    let count = |side: usize| sides.iter().filter(|&&s| s == side).count();
    let (train, valid, test) = (count(0), count(1), count(2));
    let rows = |range: Range<usize>| (!range.is_empty()).then_some(range);
    t.notes.push(format!(
        "column `{name}` tells training, validation and test rows: {train}, {valid} and {test}"
    ));
    let given = Given {
        valid: rows(train..train + valid),
        test: rows(train + valid..train + valid + test),
    };
    (t, given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{RowOrigin, Values};

    fn table(name: &str, values: &[&str]) -> Table {
        let cell = |v: &&str| (!v.is_empty()).then(|| (*v).to_string());
        Table {
            columns: vec![Column {
                name: name.to_string(),
                values: Values::Text(values.iter().map(cell).collect()),
            }],
            origin: (0..values.len() as u64)
                .map(|line| RowOrigin { file: 0, line })
                .collect(),
            files: vec!["t.csv".into()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn rows_are_ordered_by_side_and_their_ranges_given() {
        let (t, given) = by_column(table("Split", &["test", "train", "val", "Train ", "test"]));
        let lines: Vec<u64> = t.origin.iter().map(|o| o.line).collect();
        assert_eq!(lines, [1, 3, 2, 0, 4]);
        assert_eq!((given.valid, given.test), (Some(2..3), Some(3..5)));
        assert!(t.notes[0].contains("`Split`") && t.notes[0].contains("2, 1 and 2"));
        let (_, given) = by_column(table("split", &["train", "test"]));
        assert_eq!((given.valid, given.test), (None, Some(1..2)));
    }

    #[test]
    fn other_columns_decide_nothing() {
        for (name, values) in [
            ("part", ["train", "test"]),
            ("split", ["train", ""]),
            ("split", ["train", "left"]),
            ("split", ["train", "train"]),
            ("split", ["valid", "test"]),
        ] {
            let (t, given) = by_column(table(name, &values));
            assert!(given.valid.is_none() && given.test.is_none(), "{values:?}");
            assert!(t.notes.is_empty());
        }
    }
}
