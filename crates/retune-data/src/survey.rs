//! Every picture of a table looked at once, before rows are divided: which cannot be read, and which look the same.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};
use crate::picture::{Picture, PictureError, PictureLimits, Pixels, Thumbnail, near};
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

/// Pictures that were decoded to look at them, by row, for whoever needs their pixels next. Each is handed out once.
#[derive(Debug, Default)]
pub struct Decoded(Vec<Mutex<Option<Pixels>>>);

impl Decoded {
    /// The picture of a row, if it is here.
    pub fn take(&self, row: usize) -> Option<Pixels> {
        let mut held = self
            .0
            .get(row)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.take()
    }

    /// Those of the rows `kept` (by their old numbers, ascending), by the new numbers of the rows.
    #[must_use]
    pub fn select(self, kept: &[usize]) -> Self {
        let held = (0..).zip(self.0);
        let stays = held.filter(|(row, _): &(usize, _)| kept.binary_search(row).is_ok());
        Self(stays.map(|(_, held)| held).collect())
    }
}

/// Decodes every picture of a column, in parallel. A picture is dropped as soon as its thumbnail is made: what stays are
/// about 320 bytes a row.
///
/// # Errors
/// A column that is not in the table. Pictures that cannot be read are no error here; see [`Survey::settle`].
pub fn survey(t: &Table, column: &str) -> Result<Survey> {
    Ok(survey_to_keep(t, column, 0)?.0)
}

/// The same, and as many of the decoded pictures as fit into `most` bytes. Which ones these are may differ from time to
/// time. Those that lie in memory as plain pixels are not among them: nothing is saved by keeping them.
///
/// # Errors
/// As [`survey`].
pub fn survey_to_keep(t: &Table, column: &str, most: usize) -> Result<(Survey, Decoded)> {
    let cells = t.column(column)?;
    let taken = AtomicUsize::new(0);
    let one = |row: usize| {
        let (thumbnail, pixels, coded) = look(t, cells, row)?;
        let bytes = pixels.rgb().len();
        let fits = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= most);
        let order = Ordering::Relaxed;
        let kept = coded && taken.fetch_update(order, order, fits).is_ok();
        Ok((thumbnail, kept.then_some(pixels)))
    };
    let seen: Vec<std::result::Result<_, Bad>> = (0..t.rows()).into_par_iter().map(one).collect();
    let mut out = Survey {
        column: column.to_string(),
        bad: Vec::new(),
        thumbnails: Vec::with_capacity(seen.len()),
    };
    let mut decoded = Vec::with_capacity(seen.len());
    for one in seen {
        let pixels = match one {
            Ok((thumbnail, pixels)) => {
                out.thumbnails.push(Some(thumbnail));
                pixels
            }
            Err(bad) => {
                out.thumbnails.push(None);
                out.bad.push(bad);
                None
            }
        };
        decoded.push(Mutex::new(pixels));
    }
    Ok((out, Decoded(decoded)))
}

/// The picture of a row, made small and as it is, and whether it had to be decoded.
fn look(
    t: &Table,
    cells: &Column,
    row: usize,
) -> std::result::Result<(Thumbnail, Pixels, bool), Bad> {
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
    let coded = !matches!(picture, Picture::Raw { .. });
    Ok((Thumbnail::of(&pixels), pixels, coded))
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

    /// The same picture as the bytes of a file.
    fn coded(light: u8) -> Picture {
        let pixels = raw(light).pixels(&PictureLimits::default()).unwrap();
        let (crate::picture::Encoded::Png(file) | crate::picture::Encoded::Jpeg(file)) =
            pixels.encoded().unwrap();
        Picture::Bytes(file.into())
    }

    #[test]
    fn decoded_pictures_are_kept_as_far_as_there_is_room_and_handed_out_once() {
        let cells = vec![
            Some(coded(3)),
            None,
            Some(raw(7)),
            Some(coded(11)),
            Some(coded(16)),
        ];
        let t = table(Values::Picture(cells));
        let of = |most: usize| survey_to_keep(&t, "image", most).unwrap();
        let each = 4 * 4 * 3;
        let (_, all) = of(3 * each);
        let column = t.column("image").unwrap();
        for row in [0, 3, 4] {
            let picture = t.picture(column, row).unwrap();
            let decoded = picture.pixels(&PictureLimits::default()).unwrap();
            assert_eq!(all.take(row), Some(decoded), "row {row}");
            assert_eq!(all.take(row), None, "row {row}, again");
        }
        // No picture, plain pixels, and no such row.
        assert!([1, 2, 9].iter().all(|row| all.take(*row).is_none()));
        let count = |decoded: Decoded| (0..5).filter(|row| decoded.take(*row).is_some()).count();
        assert_eq!(count(of(3 * each - 1).1), 2);
        assert_eq!(count(of(each - 1).1), 0);
        let (mut found, decoded) = of(usize::MAX);
        let mut rest = t.clone();
        let kept = found.settle(&mut rest, OnBad::Skip).unwrap();
        let decoded = decoded.select(&kept);
        let held: Vec<bool> = (0..4).map(|row| decoded.take(row).is_some()).collect();
        assert_eq!(held, [true, false, true, true]);
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
