//! Files with `::` between fields and no header line, as the MovieLens sets 1M and 10M are written.
//!
//! `ratings.dat` is `user::item::rating::seconds`, `movies.dat` is `item::title::genre|genre`. Texts are UTF-8 or, where
//! they are not and no encoding is named, windows-1252, which holds latin-1.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::decode::load;
use super::{ReadOptions, not_found, wrong, wrong_row};
use crate::error::Result;
use crate::table::{Column, RowOrigin, Table, Values};

const BETWEEN: &str = "::";

/// A file with `::` between its fields.
pub(crate) struct Colons {
    path: PathBuf,
    text: String,
    /// The names of the columns, given by their number.
    pub(crate) names: Vec<String>,
    /// What was decided about encoding and names.
    pub(crate) notes: Vec<String>,
}

/// Whether the first line has fields with `::` between them.
pub(super) fn is_colons(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    std::fs::File::open(path)
        .and_then(|f| f.take(4096).read_to_end(&mut head))
        .map_err(|e| not_found(path, e))?;
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    // Fields of other formats may hold two colons.
    let other = line.contains(['\t', '{', '"', '\0']);
    Ok(!other && line.matches(BETWEEN).count() >= 2)
}

impl Colons {
    /// Reads and decodes the file; the number of fields of its first line says what it holds.
    pub(super) fn open(path: &Path, o: &ReadOptions) -> Result<Self> {
        let decoded = match load(path, o) {
            Err(_) if o.encoding.is_none() => load(
                path,
                &ReadOptions {
                    encoding: Some("windows-1252".to_string()),
                    ..o.clone()
                },
            ),
            other => other,
        }?;
        let first = decoded.text.lines().next().unwrap_or_default();
        let names: &[&str] = match first.split(BETWEEN).count() {
            3 => &["item_id", "title", "genres"],
            4 => &["user_id", "item_id", "rating", "timestamp"],
            n => {
                return Err(wrong(
                    path,
                    format!("its first line has {n} fields with `::` between them"),
                    "give user::item::rating::timestamp or item::title::genres, or write it as CSV with a header line",
                ));
            }
        };
        let mut notes = decoded.notes;
        notes.push(format!(
            "{}: fields are separated by `::` and taken as {}",
            path.display(),
            names.join(", ")
        ));
        Ok(Self {
            path: path.to_path_buf(),
            text: decoded.text,
            names: names.iter().map(ToString::to_string).collect(),
            notes,
        })
    }

    /// Line ends of the file: an upper bound of the number of its rows, less one.
    pub(crate) fn lines(&self) -> usize {
        self.text.bytes().filter(|&b| b == b'\n').count() + 1
    }

    /// Calls `row` with the line and the fields of each row until it answers `false`; blank lines are skipped.
    pub(crate) fn each(&self, row: &mut dyn FnMut(u64, &[&str]) -> Result<bool>) -> Result<()> {
        let wanted = self.names.len();
        let mut fields = Vec::with_capacity(wanted);
        for (at, line) in self.text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            fields.clear();
            fields.extend(line.split(BETWEEN));
            if fields.len() != wanted {
                return Err(wrong_row(
                    &self.path,
                    at as u64 + 1,
                    format!("{} fields where the first line has {wanted}", fields.len()),
                    "write the file as CSV if its texts hold `::`",
                ));
            }
            if !row(at as u64 + 1, &fields)? {
                break;
            }
        }
        Ok(())
    }

    /// The first `most` rows as a table of text.
    pub(crate) fn table(&self, most: usize) -> Result<Table> {
        let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); self.names.len()];
        let mut origin = Vec::new();
        self.each(&mut |line, fields| {
            for (column, cell) in cells.iter_mut().zip(fields) {
                column.push((!cell.is_empty()).then(|| (*cell).to_string()));
            }
            origin.push(RowOrigin { file: 0, line });
            Ok(origin.len() < most)
        })?;
        let column = |(name, cells): (&String, Vec<Option<String>>)| Column {
            name: name.clone(),
            values: Values::Text(cells),
        };
        Ok(Table {
            columns: self.names.iter().zip(cells).map(column).collect(),
            origin,
            files: vec![self.path.clone()],
            notes: self.notes.clone(),
        })
    }
}
