//! A file of interactions or items as rows of text, whatever its format; delimited files are not kept as tables.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Result};
use crate::read::{Colons, Delimited, ReadOptions, colons, delimited, has_parts, parts, read};
use crate::table::{Column, RowOrigin, Table};

/// Rows of a Parquet or JSON lines file that are in memory at once.
const PART: usize = 8192;
/// Columns that a walk over the rows may ask for.
pub(super) const CELLS: usize = 6;

/// The asked-for cells of one row; empty where the file has no value or the column was not asked for.
pub(super) type Cells<'a> = [&'a str; CELLS];

/// Types of the columns of a RecBole atomic file, as its header line writes them after the names.
const TYPES: [&str; 4] = ["token", "token_seq", "float", "float_seq"];

/// An opened file.
pub(super) struct Source {
    rows: Rows,
    path: PathBuf,
    /// The names of the columns, without the types of an atomic file.
    pub(super) names: Vec<String>,
    /// The types of the columns, of an atomic file only.
    pub(super) types: Option<Vec<String>>,
    /// What the reader decided by itself.
    pub(super) notes: Vec<String>,
}

enum Rows {
    Delimited(Delimited),
    Colons(Colons),
    /// A Parquet or JSON lines file, read in parts.
    Parts(ReadOptions),
    Table(Table),
}

impl Source {
    /// Opens a file of any kind that [`read`] reads, a RecBole atomic file, or a MovieLens file with `::`.
    pub(super) fn open(path: &Path, o: &ReadOptions) -> Result<Self> {
        if let Some(file) = colons(path, o)? {
            let (names, notes) = (file.names.clone(), file.notes.clone());
            return Ok(Self::new(path, Rows::Colons(file), names, notes));
        }
        if let Some(mut file) = delimited(path, o)? {
            let types = atomic(&file.names);
            if types.is_some() {
                // The format knows no quotes; titles hold them.
                file.without_quotes();
            }
            let (names, notes) = (file.names.clone(), file.notes.clone());
            let mut source = Self::new(path, Rows::Delimited(file), names, notes);
            if let Some(types) = types {
                for (name, t) in source.names.iter_mut().zip(&types) {
                    name.truncate(name.len() - t.len() - 1);
                }
                let note = format!("{}: read as a RecBole atomic file", path.display());
                source.notes.push(note);
                source.types = Some(types);
            }
            return Ok(source);
        }
        if has_parts(path)? {
            let mut source = Self::new(path, Rows::Parts(o.clone()), Vec::new(), Vec::new());
            let head = source.table(super::SAMPLE)?;
            source.names = head.columns.iter().map(|c| c.name.clone()).collect();
            source.notes = head.notes;
            return Ok(source);
        }
        let mut table = read(path, o)?;
        let names = table.columns.iter().map(|c| c.name.clone()).collect();
        let notes = std::mem::take(&mut table.notes);
        Ok(Self::new(path, Rows::Table(table), names, notes))
    }

    fn new(path: &Path, rows: Rows, names: Vec<String>, notes: Vec<String>) -> Self {
        Self {
            rows,
            path: path.to_path_buf(),
            names,
            types: None,
            notes,
        }
    }

    /// The file's name for messages.
    pub(super) fn file(&self) -> String {
        self.path.display().to_string()
    }

    /// An upper bound of the number of rows; 0 where only reading tells it.
    pub(super) fn most_rows(&self) -> usize {
        match &self.rows {
            Rows::Parts(_) => 0,
            Rows::Delimited(file) => file.lines(),
            Rows::Colons(file) => file.lines(),
            Rows::Table(table) => table.rows(),
        }
    }

    /// The first `most` rows as a table with the plain names of the columns.
    pub(super) fn table(&self, most: usize) -> Result<Table> {
        let mut table = match &self.rows {
            Rows::Delimited(file) => file.table(most)?,
            Rows::Colons(file) => file.table(most)?,
            Rows::Parts(o) if most == usize::MAX => return read(&self.path, o),
            Rows::Parts(o) => return self.head(o, most),
            Rows::Table(table) if table.rows() <= most => table.clone(),
            Rows::Table(table) => table.select(&(0..most).collect::<Vec<_>>()),
        };
        if self.types.is_some() {
            for (column, name) in table.columns.iter_mut().zip(&self.names) {
                column.name.clone_from(name);
            }
        }
        table.notes.clone_from(&self.notes);
        Ok(table)
    }

    /// The first rows of a file that is read in parts.
    fn head(&self, o: &ReadOptions, most: usize) -> Result<Table> {
        let (mut tables, mut rows) = (Vec::new(), 0);
        parts(&self.path, o, (None, most), &mut |table| {
            rows += table.rows();
            tables.push(table);
            Ok(rows < most)
        })?;
        let mut table = Table::concat(tables)?;
        table.files.truncate(1);
        for origin in &mut table.origin {
            origin.file = 0;
        }
        Ok(table)
    }

    /// The type of a column of an atomic file.
    pub(super) fn type_of(&self, name: &str) -> Option<&str> {
        let at = self.names.iter().position(|n| n == name)?;
        Some(self.types.as_ref()?[at].as_str())
    }

    /// Where a row is, by the number that [`Source::each`] gave it: `ratings.csv, line 18`.
    pub(super) fn place(&self, at: u64) -> String {
        match &self.rows {
            Rows::Table(table) => table.place(at as usize),
            Rows::Parts(_) => {
                let origin = RowOrigin { file: 0, line: at };
                let row = Table {
                    origin: vec![origin],
                    files: vec![self.path.clone()],
                    ..Table::default()
                };
                row.place(0)
            }
            _ => format!("{}, line {at}", self.path.display()),
        }
    }

    /// A value that its column cannot hold.
    pub(super) fn cell(&self, column: &str, at: u64, problem: String, cure: &str) -> DataError {
        DataError::Cell {
            column: column.to_string(),
            place: self.place(at),
            problem,
            cure: cure.to_string(),
        }
    }

    /// Calls `row` with a number for [`Source::place`] and the trimmed cells of `columns`, for every row in file order.
    pub(super) fn each(
        &self,
        columns: [Option<&str>; CELLS],
        row: &mut dyn FnMut(u64, &Cells<'_>) -> Result<()>,
    ) -> Result<()> {
        let at = columns.map(|name| self.names.iter().position(|n| Some(n.as_str()) == name));
        match &self.rows {
            Rows::Delimited(file) => {
                file.each(&mut |line, record| {
                    row(line, &at.map(|c| c.map_or("", |c| record[c].trim())))?;
                    Ok(true)
                })?;
            }
            Rows::Colons(file) => file.each(&mut |line, fields| {
                row(line, &at.map(|c| c.map_or("", |c| fields[c].trim())))?;
                Ok(true)
            })?,
            Rows::Parts(o) => {
                let wanted: Vec<&str> = columns.iter().flatten().copied().collect();
                parts(&self.path, o, (Some(&wanted), PART), &mut |table| {
                    walk(&table, columns, &mut |at, cells| {
                        row(table.origin[at].line, cells)
                    })?;
                    Ok(true)
                })?;
            }
            Rows::Table(table) => walk(table, columns, &mut |at, cells| row(at as u64, cells))?,
        }
        Ok(())
    }
}

/// Calls `row` with the number and the cells of each row of a table; a column that is not there is empty.
fn walk(
    table: &Table,
    columns: [Option<&str>; CELLS],
    row: &mut dyn FnMut(usize, &Cells<'_>) -> Result<()>,
) -> Result<()> {
    let of = |name: &str| table.columns.iter().find(|c| c.name == name);
    let columns: [Option<&Column>; CELLS] = columns.map(|name| name.and_then(of));
    for at in 0..table.rows() {
        let cells: [Option<Cow<'_, str>>; CELLS] = columns.map(|c| c.and_then(|c| c.text(at)));
        row(
            at,
            &cells.each_ref().map(|c| c.as_deref().unwrap_or("").trim()),
        )?;
    }
    Ok(())
}

/// The types of the columns if the header line is that of an atomic file: `user_id:token` and so on.
fn atomic(names: &[String]) -> Option<Vec<String>> {
    let kind = |name: &String| {
        let (name, kind) = name.rsplit_once(':')?;
        (!name.is_empty() && TYPES.contains(&kind)).then(|| kind.to_string())
    };
    names.iter().map(kind).collect()
}
