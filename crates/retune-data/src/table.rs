//! The table: named columns of equal length, and where each row came from.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::error::{DataError, Result};
use crate::picture::Picture;

/// Columns of equal length read from one or more files.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The columns, in file order.
    pub columns: Vec<Column>,
    /// One entry per row: where it was read, for error messages.
    pub origin: Vec<RowOrigin>,
    /// The files the rows came from; `RowOrigin::file` indexes this list.
    pub files: Vec<PathBuf>,
    /// What the reader decided by itself (delimiter, encoding, skipped columns), one sentence each.
    pub notes: Vec<String>,
}

/// A named column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name as written in the file, surrounding white space removed.
    pub name: String,
    /// One value per row; `None` where the file has none.
    pub values: Values,
}

/// The values of a column. CSV columns are always `Text`; typed files keep their types.
#[derive(Debug, Clone)]
pub enum Values {
    /// Text as written.
    Text(Vec<Option<String>>),
    /// Numbers of any width, integers included.
    Number(Vec<Option<f64>>),
    /// True or false.
    Bool(Vec<Option<bool>>),
    /// Lists of text: multi-label targets.
    List(Vec<Option<Vec<String>>>),
    /// Pictures.
    Picture(Vec<Option<Picture>>),
}

/// Where a row was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOrigin {
    /// Index into `Table::files`.
    pub file: u32,
    /// 1-based line in a text file; 1-based row number in a Parquet file, or number of a
    /// picture in an array; 1 for a file that is one row.
    pub line: u64,
}

impl Table {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.origin.len()
    }

    /// The column called `name`. The error lists the columns there are and suggests the nearest.
    pub fn column(&self, name: &str) -> Result<&Column> {
        Ok(&self.columns[self.column_index(name)?])
    }

    /// Position of the column called `name` in `columns`. Errors as [`Table::column`].
    pub fn column_index(&self, name: &str) -> Result<usize> {
        self.columns
            .iter()
            .position(|c| c.name == name)
            .ok_or_else(|| self.no_column(name))
    }

    /// The picture of a row, of a column of pictures or of paths to them: a path that is not absolute starts at the folder
    /// of the file that names it. `None` where the cell is empty.
    pub fn picture(&self, column: &Column, row: usize) -> Option<Picture> {
        if let Values::Picture(pictures) = &column.values {
            return pictures[row].clone();
        }
        let text = column.text(row)?;
        let path = Some(text.trim()).filter(|path| !path.is_empty())?;
        let file = self.files.get(self.origin[row].file as usize);
        let folder = file.and_then(|file| file.parent());
        Some(Picture::File(folder.map_or_else(
            || PathBuf::from(path),
            |folder| folder.join(path),
        )))
    }

    /// Where a row was read, for messages: `data/t.csv, line 18`.
    pub fn place(&self, row: usize) -> String {
        let origin = self.origin[row];
        let file = self.file_name(origin.file as usize);
        let lower = file.to_lowercase();
        let holds = |ends: &[&str]| ends.iter().any(|e| lower.contains(e));
        let unit = if holds(&[".parquet", ".pq"]) {
            "row"
        } else if holds(&[".npz", "idx3"]) {
            "picture"
        } else {
            "line"
        };
        format!("{file}, {unit} {}", origin.line)
    }

    /// As [`Table::place`], without the file where there is one only and its name has been said: `line 18`.
    pub fn short_place(&self, row: usize) -> String {
        let place = self.place(row);
        match (self.files.len(), place.rsplit_once(", ")) {
            (1, Some((_, line))) => line.to_string(),
            _ => place,
        }
    }

    /// The files of the table in a few words, for messages about the table as a whole.
    pub fn file(&self) -> String {
        match self.files.len() {
            0 => "the table".to_string(),
            1 => self.file_name(0),
            n => format!("{} and {} more files", self.file_name(0), n - 1),
        }
    }

    /// The rows at `rows`, in that order; columns, files and notes are kept.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Table {
        Table {
            columns: self
                .columns
                .iter()
                .map(|c| Column {
                    name: c.name.clone(),
                    values: c.values.select(rows),
                })
                .collect(),
            origin: rows.iter().map(|&r| self.origin[r]).collect(),
            files: self.files.clone(),
            notes: self.notes.clone(),
        }
    }

    /// Stacks tables on top of one another: the columns of the first, in its order.
    ///
    /// A later table may have further columns (dropped, with a note) but must have every column of the first;
    /// the error names those missing. Columns whose types differ between files become text.
    pub fn concat(tables: Vec<Table>) -> Result<Table> {
        let mut tables = tables.into_iter();
        let Some(mut all) = tables.next() else {
            return Ok(Table::default());
        };
        for next in tables {
            all.append(next)?;
        }
        Ok(all)
    }

    fn append(&mut self, mut next: Table) -> Result<()> {
        let missing: Vec<&str> = self
            .columns
            .iter()
            .map(|c| c.name.as_str())
            .filter(|n| next.columns.iter().all(|c| c.name != *n))
            .collect();
        if let Some(first) = missing.first() {
            return Err(DataError::File {
                file: next.file(),
                problem: format!(
                    "it lacks {} which {} has{}",
                    list_names(&missing),
                    self.file(),
                    suggestion(first, next.columns.iter().map(|c| c.name.as_str())),
                ),
                cure: "give both files the same column names".to_string(),
            });
        }
        let extra: Vec<&str> = next
            .columns
            .iter()
            .map(|c| c.name.as_str())
            .filter(|n| self.columns.iter().all(|c| c.name != *n))
            .collect();
        if !extra.is_empty() {
            self.notes.push(format!(
                "{}: {} not used, since {} has no such column",
                next.file(),
                list_names(&extra),
                self.file()
            ));
        }
        for column in &mut self.columns {
            let at = next.columns.iter().position(|c| c.name == column.name);
            let Some(at) = at else { continue };
            let more = std::mem::replace(&mut next.columns[at].values, Values::Text(Vec::new()));
            column.values.append(more);
        }
        let offset = self.files.len() as u32;
        self.origin.extend(next.origin.iter().map(|o| RowOrigin {
            file: o.file + offset,
            line: o.line,
        }));
        self.files.append(&mut next.files);
        for note in next.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(())
    }

    fn no_column(&self, name: &str) -> DataError {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        DataError::NoColumn {
            name: name.to_string(),
            file: self.file(),
            suggestion: suggestion(name, names.iter().copied()),
            columns: list_names(&names),
        }
    }

    fn file_name(&self, index: usize) -> String {
        self.files
            .get(index)
            .map_or_else(|| "the table".to_string(), |p| p.display().to_string())
    }
}

/// Names in back-ticks, separated by commas; long lists are cut.
pub(crate) fn list_names(names: &[&str]) -> String {
    const SHOWN: usize = 30;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|n| format!("`{n}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

/// `` (did you mean `x`?)`` for the nearest of `names`, or nothing when none is near.
pub(crate) fn suggestion<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let wanted = name.to_lowercase();
    names
        .map(|n| {
            (
                strsim::normalized_damerau_levenshtein(&wanted, &n.to_lowercase()),
                n,
            )
        })
        .filter(|(near, _)| *near >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, n)| format!(" (did you mean `{n}`?)"))
        .unwrap_or_default()
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Text(v) => v.len(),
            Values::Number(v) => v.len(),
            Values::Bool(v) => v.len(),
            Values::List(v) => v.len(),
            Values::Picture(v) => v.len(),
        }
    }

    /// Takes the values of some rows away.
    pub fn blank(&mut self, which: &dyn Fn(usize) -> bool) {
        fn clear<T>(values: &mut [Option<T>], which: &dyn Fn(usize) -> bool) {
            let rows = values.iter_mut().enumerate();
            rows.filter(|(row, _)| which(*row))
                .for_each(|(_, value)| *value = None);
        }
        match &mut self.values {
            Values::Text(v) => clear(v, which),
            Values::Number(v) => clear(v, which),
            Values::Bool(v) => clear(v, which),
            Values::List(v) => clear(v, which),
            Values::Picture(v) => clear(v, which),
        }
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value as text: whole numbers without a decimal point, `true`/`false`, lists joined by `|`, of a picture
    /// its path or number.
    /// `None` where the file has no value.
    pub fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        match &self.values {
            Values::Text(v) => v[row].as_deref().map(Cow::Borrowed),
            Values::Number(v) => v[row].map(|x| Cow::Owned(format!("{x}"))),
            Values::Bool(v) => v[row].map(|b| Cow::Borrowed(if b { "true" } else { "false" })),
            Values::List(v) => v[row].as_ref().map(|l| Cow::Owned(l.join("|"))),
            Values::Picture(v) => v[row].as_ref().map(|p| match p {
                Picture::File(path) => Cow::Owned(path.display().to_string()),
                _ => Cow::Owned(format!("picture {}", row + 1)),
            }),
        }
    }

    /// The value as a finite number: text is parsed, `true` is 1. `None` where there is none or it is no number.
    pub fn number(&self, row: usize) -> Option<f64> {
        match &self.values {
            Values::Text(v) => v[row].as_deref().and_then(parse_number),
            Values::Number(v) => v[row].filter(|x| x.is_finite()),
            Values::Bool(v) => v[row].map(|b| if b { 1.0 } else { 0.0 }),
            Values::List(_) | Values::Picture(_) => None,
        }
    }
}

/// A finite number written in the ordinary way; `nan` and `inf` are not numbers here.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|x| x.is_finite())
}

impl Values {
    fn select(&self, rows: &[usize]) -> Values {
        fn pick<T: Clone>(v: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&r| v[r].clone()).collect()
        }
        match self {
            Values::Text(v) => Values::Text(pick(v, rows)),
            Values::Number(v) => Values::Number(pick(v, rows)),
            Values::Bool(v) => Values::Bool(pick(v, rows)),
            Values::List(v) => Values::List(pick(v, rows)),
            Values::Picture(v) => Values::Picture(pick(v, rows)),
        }
    }

    pub(crate) fn append(&mut self, more: Values) {
        match (&mut *self, more) {
            (Values::Text(a), Values::Text(mut b)) => a.append(&mut b),
            (Values::Number(a), Values::Number(mut b)) => a.append(&mut b),
            (Values::Bool(a), Values::Bool(mut b)) => a.append(&mut b),
            (Values::List(a), Values::List(mut b)) => a.append(&mut b),
            (Values::Picture(a), Values::Picture(mut b)) => a.append(&mut b),
            (_, more) => {
                let mine = std::mem::replace(self, Values::Text(Vec::new()));
                let mut text = mine.into_text();
                text.append(&mut more.into_text());
                *self = Values::Text(text);
            }
        }
    }

    fn into_text(self) -> Vec<Option<String>> {
        if let Values::Text(v) = self {
            return v;
        }
        let column = Column {
            name: String::new(),
            values: self,
        };
        (0..column.len())
            .map(|r| column.text(r).map(Cow::into_owned))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn table(file: &str, name: &str, values: Values) -> Table {
        let column = Column {
            name: name.to_string(),
            values,
        };
        Table {
            origin: (0..column.len())
                .map(|i| RowOrigin {
                    file: 0,
                    line: i as u64 + 2,
                })
                .collect(),
            columns: vec![column],
            files: vec![PathBuf::from(file)],
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_misspelt_column_gets_the_nearest_name() {
        let t = table("t.csv", "sentiment", Values::Text(vec![None]));
        let error = t.column("Sentimnet").unwrap_err().to_string();
        assert_eq!(
            error,
            "no column `Sentimnet` in t.csv (did you mean `sentiment`?); its columns are `sentiment`"
        );
        let far = t.column("qqq").unwrap_err().to_string();
        assert!(!far.contains("did you mean"), "{far}");
    }

    #[test]
    fn values_read_as_text_and_as_numbers() {
        let t = table(
            "t.csv",
            "x",
            Values::Number(vec![Some(3.0), Some(0.25), None]),
        );
        let c = t.column("x").unwrap();
        assert_eq!(c.text(0).unwrap(), "3");
        assert_eq!(c.text(1).unwrap(), "0.25");
        assert_eq!(c.text(2), None);
        let words = table(
            "t.csv",
            "x",
            Values::Text(vec![Some(" 1e2 ".into()), Some("nan".into())]),
        );
        assert_eq!(words.columns[0].number(0), Some(100.0));
        assert_eq!(words.columns[0].number(1), None);
    }

    #[test]
    fn concat_keeps_places_and_names_missing_columns() {
        let a = table("a.csv", "x", Values::Text(vec![Some("1".into())]));
        let b = table("b.parquet", "x", Values::Number(vec![Some(2.0)]));
        let both = Table::concat(vec![a.clone(), b]).unwrap();
        assert_eq!(both.rows(), 2);
        assert_eq!(both.place(0), "a.csv, line 2");
        assert_eq!(both.place(1), "b.parquet, row 2");
        assert_eq!(both.columns[0].text(1).unwrap(), "2");
        let error = Table::concat(vec![a, table("c.csv", "X", Values::Text(vec![None]))])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("c.csv")
                && error.contains("lacks `x`")
                && error.contains("did you mean `X`"),
            "{error}"
        );
    }

    #[test]
    fn select_keeps_order_and_origin() {
        let t = table(
            "t.csv",
            "x",
            Values::Bool(vec![Some(true), None, Some(false)]),
        );
        let s = t.select(&[2, 0]);
        assert_eq!(s.columns[0].text(0).unwrap(), "false");
        assert_eq!(s.place(1), "t.csv, line 2");
    }
}
