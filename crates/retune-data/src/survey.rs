//! Every picture of a table looked at once, before rows are divided: which cannot be read, and which look the same.

use std::fmt::Write as _;
use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};
use crate::picture::{Picture, PictureError, PictureLimits, Thumbnail, near};
use crate::table::{Column, Table};

/// Pictures named in a message; the rest is counted.
const SHOWN: usize = 3;

/// What to do about pictures that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBad {
    /// Leave their rows out and say so.
    Skip,
    /// Refuse the data.
    #[default]
    Fail,
}

/// A picture that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// Its row in the table.
    pub row: usize,
    /// Its file, or the place in the table's file.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub cure: String,
}

/// What [`survey`] found.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// The column of pictures.
    pub column: String,
    /// Pictures that cannot be read, in order of their rows.
    pub bad: Vec<Bad>,
    /// One per row of the table: what is remembered of its picture, if that can be read.
    pub thumbnails: Vec<Option<Thumbnail>>,
}

/// Decodes every picture of a column, in parallel. A picture is dropped as soon as its thumbnail is made: what stays are
/// about 320 bytes a row.
///
/// # Errors
/// A column that is not in the table. Pictures that cannot be read are no error here; see [`Survey::settle`].
pub fn survey(t: &Table, column: &str) -> Result<Survey> {
    let cells = t.column(column)?;
    let seen: Vec<std::result::Result<Thumbnail, Bad>> = (0..t.rows())
        .into_par_iter()
        .map(|row| look(t, cells, row))
        .collect();
    let mut out = Survey {
        column: column.to_string(),
        bad: Vec::new(),
        thumbnails: Vec::with_capacity(seen.len()),
    };
    for one in seen {
        match one {
            Ok(thumbnail) => out.thumbnails.push(Some(thumbnail)),
            Err(bad) => {
                out.thumbnails.push(None);
                out.bad.push(bad);
            }
        }
    }
    Ok(out)
}

fn look(t: &Table, cells: &Column, row: usize) -> std::result::Result<Thumbnail, Bad> {
    let Some(picture) = t.picture(cells, row) else {
        return Err(Bad {
            row,
            place: t.place(row),
            problem: "there is no picture".to_string(),
            cure: "fill it in or remove the row".to_string(),
        });
    };
    let fault = |e: PictureError| Bad {
        row,
        place: place(t, row, &picture),
        problem: e.problem,
        cure: e.cure,
    };
    let pixels = picture.pixels(&PictureLimits::default()).map_err(fault)?;
    Ok(Thumbnail::of(&pixels))
}

/// The file of a picture, with the place that names it where that is another file.
fn place(t: &Table, row: usize, picture: &Picture) -> String {
    let Picture::File(path) = picture else {
        return t.place(row);
    };
    match t.files.get(t.origin[row].file as usize) {
        Some(file) if file != path => format!("{} ({})", path.display(), t.place(row)),
        _ => path.display().to_string(),
    }
}

impl Survey {
    /// Deals with pictures that cannot be read: refuses the table, or drops their rows from it and from the survey and
    /// leaves a note. Returns the rows that stay, by their old numbers, for whoever holds row numbers; see [`moved`].
    ///
    /// # Errors
    /// A picture that cannot be read, under [`OnBad::Fail`]; only such pictures.
    pub fn settle(&mut self, t: &mut Table, on_bad: OnBad) -> Result<Vec<usize>> {
        let seen = self.thumbnails.iter().enumerate();
        let kept: Vec<usize> = seen
            .filter(|(_, thumbnail)| thumbnail.is_some())
            .map(|(row, _)| row)
            .collect();
        if self.bad.is_empty() {
            return Ok(kept);
        }
        if on_bad == OnBad::Fail || kept.is_empty() {
            return Err(self.refusal(t, kept.is_empty()));
        }
        let (count, all) = (self.bad.len(), t.rows());
        let listed = self.listed();
        *t = t.select(&kept);
        t.notes.push(format!(
            "{count} of {all} pictures cannot be read and are left out: {listed}"
        ));
        self.thumbnails.retain(Option::is_some);
        self.bad.clear();
        Ok(kept)
    }

    fn refusal(&self, t: &Table, all: bool) -> DataError {
        let count = self.bad.len();
        let cure = self.bad.first().map_or("", |bad| bad.cure.as_str());
        let (problem, cure) = if all {
            let problem = format!(
                "none of its {count} pictures can be read: {}",
                self.listed()
            );
            (problem, cure.to_string())
        } else {
            let problem = format!(
                "{count} of {} pictures cannot be read: {}",
                t.rows(),
                self.listed()
            );
            (problem, format!("{cure}; `--on-bad skip` leaves such out"))
        };
        DataError::Column {
            column: self.column.clone(),
            file: t.file(),
            problem,
            cure,
        }
    }

    /// The first of the pictures that cannot be read, each with what is wrong.
    fn listed(&self) -> String {
        let mut text = self
            .bad
            .iter()
            .take(SHOWN)
            .map(|bad| format!("{}: {}", bad.place, bad.problem))
            .collect::<Vec<_>>()
            .join("; ");
        if self.bad.len() > SHOWN {
            let _ = write!(text, "; and {} more", self.bad.len() - SHOWN);
        }
        text
    }

    /// Groups of two or more rows whose pictures look the same; see [`near::groups`].
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let (rows, seen): (Vec<usize>, Vec<&Thumbnail>) = self
            .thumbnails
            .iter()
            .enumerate()
            .filter_map(|(row, thumbnail)| Some((row, thumbnail.as_ref()?)))
            .unzip();
        let mut groups = near::groups(&seen);
        for place in groups.iter_mut().flatten() {
            *place = rows[*place];
        }
        groups
    }
}

/// A range of rows by their new numbers, where only the rows `kept` (by their old numbers, ascending) stay.
pub fn moved(rows: &Range<usize>, kept: &[usize]) -> Range<usize> {
    let at = |row: usize| kept.partition_point(|&k| k < row);
    at(rows.start)..at(rows.end)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::path::PathBuf;

    use super::*;
    use crate::table::{RowOrigin, Values};

    fn raw(light: u8) -> Picture {
        Picture::Raw {
            width: 4,
            height: 4,
            channels: 1,
            data: (0..16).map(|i| i * light).collect::<Vec<u8>>().into(),
        }
    }

    fn table(values: Values) -> Table {
        let column = Column {
            name: "image".to_string(),
            values,
        };
        let line = |i| RowOrigin {
            file: 0,
            line: i + 2,
        };
        Table {
            origin: (0..column.len() as u64).map(line).collect(),
            columns: vec![column],
            files: vec![PathBuf::from("/data/list.csv")],
            notes: Vec::new(),
        }
    }

    fn some_bad() -> Table {
        let pictures = vec![
            None,
            Some(raw(3)),
            Some(Picture::Bytes(Vec::new().into())),
            Some(Picture::File("/data/none.png".into())),
            Some(raw(16)),
            Some(raw(3)),
            None,
        ];
        table(Values::Picture(pictures))
    }

    #[test]
    fn pictures_that_cannot_be_read_are_named_and_refused() {
        let mut t = some_bad();
        let mut found = survey(&t, "image").unwrap();
        let rows: Vec<usize> = found.bad.iter().map(|b| b.row).collect();
        assert_eq!(rows, [0, 2, 3, 6]);
        assert_eq!(found.groups(), [[1, 5]]);
        let said = found
            .settle(&mut t, OnBad::default())
            .unwrap_err()
            .to_string();
        for part in [
            "column `image` of /data/list.csv",
            "4 of 7 pictures",
            "list.csv, line 2: there is no picture",
            "line 4: it is empty",
            "/data/none.png (/data/list.csv, line 5): ",
            "and 1 more",
            "--on-bad skip",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        assert_eq!(t.rows(), 7);
    }

    #[test]
    fn skipping_drops_rows_and_leaves_a_note() {
        let mut t = some_bad();
        let mut found = survey(&t, "image").unwrap();
        let kept = found.settle(&mut t, OnBad::Skip).unwrap();
        assert_eq!(kept, [1, 4, 5]);
        assert_eq!((t.rows(), found.thumbnails.len()), (3, 3));
        assert_eq!(t.place(2), "/data/list.csv, line 7");
        assert_eq!(found.groups(), [[0, 2]]);
        assert!(t.notes[0].starts_with("4 of 7 pictures cannot be read and are left out"));
        assert_eq!(moved(&(0..5), &kept), 0..2);
        assert_eq!(moved(&(5..7), &kept), 2..3);
        // Nothing is left to be said of the rest.
        assert_eq!(found.settle(&mut t, OnBad::Fail).unwrap(), [0, 1, 2]);
        assert_eq!(t.notes.len(), 1);
    }

    #[test]
    fn nothing_but_bad_pictures_is_refused_even_if_bad_ones_are_skipped() {
        let mut t = table(Values::Text(vec![Some("a.png".into()), Some(" ".into())]));
        let mut found = survey(&t, "image").unwrap();
        assert!(found.bad[0].place.starts_with("/data/a.png (/data/list"));
        let said = found.settle(&mut t, OnBad::Skip).unwrap_err().to_string();
        assert!(said.contains("none of its 2 pictures"), "{said}");
        assert!(!said.contains("--on-bad"), "{said}");
    }
}
