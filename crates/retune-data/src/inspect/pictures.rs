//! What a survey of the pictures adds to an inspection.

use serde::Serialize;

use super::{Inspection, SHOWN, repeated};
use crate::survey::Survey;
use crate::table::Table;

/// Pictures that cannot be read.
#[derive(Debug, Clone, Serialize)]
pub struct Unreadable {
    /// How many there are.
    pub rows: usize,
    /// The first of them: place and what is wrong.
    pub first: Vec<String>,
}

impl Inspection {
    /// Adds pictures that cannot be read, and counts as repeated those that look like an earlier one. The survey is one
    /// of the same table.
    pub fn add_survey(&mut self, t: &Table, survey: &Survey) {
        let first = survey.bad.iter().take(SHOWN);
        self.unreadable = Some(Unreadable {
            rows: survey.bad.len(),
            first: first
                .map(|bad| format!("{}: {}", bad.place, bad.problem))
                .collect(),
        });
        (self.duplicates, self.conflicting) = (0, 0);
        self.conflicts.clear();
        repeated(t, &survey.groups(), self);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use crate::inspect::deep::{deep, near_pictures};
    use crate::inspect::inspect;
    use crate::picture::Picture;
    use crate::roles::{RoleRequest, detect};
    use crate::survey::survey;
    use crate::table::{Column, RowOrigin, Table, Values};

    /// Pictures with slopes: rows 0, 2 and 3 look the same, row 4 cannot be read.
    fn table() -> Table {
        let slope = |by: usize| {
            Some(Picture::Raw {
                width: 16,
                height: 16,
                channels: 1,
                data: (0..256).map(|i| (i * by % 251) as u8).collect(),
            })
        };
        let broken = Some(Picture::Bytes(b"%PDF".as_slice().into()));
        let pictures = vec![slope(1), slope(37), slope(1), slope(1), broken, slope(90)];
        let labels = ["a", "b", "a", "b", "a", "b"].map(|l| Some(l.to_string()));
        let column = |name: &str, values| Column {
            name: name.to_string(),
            values,
        };
        Table {
            columns: vec![
                column("image", Values::Picture(pictures)),
                column("label", Values::Text(labels.into())),
            ],
            origin: (1..7).map(|line| RowOrigin { file: 0, line }).collect(),
            files: vec!["t.parquet".into()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn repeated_and_unreadable_pictures_are_told() {
        let t = table();
        let roles = detect(&t, &RoleRequest::default()).unwrap();
        let mut found = inspect(&t, &roles, None, 256);
        assert!(!found.to_string().contains("unreadable"));
        assert_eq!(found.duplicates, 0);
        found.add_survey(&t, &survey(&t, "image").unwrap());
        assert_eq!((found.duplicates, found.conflicting), (2, 1));
        let text = found.to_string();
        for line in [
            "  unreadable           1 (t.parquet, row 5: it is a PDF)",
            "  repeated pictures    2",
            "  conflicting labels   1 pictures",
            "    \"picture 1\"  row 1: a; row 3: a; row 4: b",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn pictures_that_look_the_same_across_the_sides_are_told() {
        let t = table();
        let roles = detect(&t, &RoleRequest::default()).unwrap();
        let sides: [(&str, &[usize]); 3] = [("train", &[0, 1]), ("valid", &[2]), ("test", &[3, 5])];
        // Names of pictures are no texts.
        let closer = deep(&t, &roles, &sides).unwrap();
        assert!(closer.near_duplicates.is_empty() && closer.tokens.is_empty());
        let found = near_pictures(&t, &survey(&t, "image").unwrap(), &sides);
        let rows: Vec<[usize; 2]> = found.iter().map(|copy| copy.rows).collect();
        assert_eq!(rows, [[2, 0], [3, 0]]);
        assert_eq!(found[1].sides, ["test", "train"]);
        assert_eq!(found[1].places, ["t.parquet, row 4", "t.parquet, row 1"]);
        assert_eq!(found[1].similarity, 1.0);
    }
}
