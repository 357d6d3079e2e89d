//! Tables to files: CSV, JSON lines or Parquet, by the file's extension.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde_json::{Map, Value};

use crate::table::{Column, Table, Values};
use crate::{DataError, Result};

/// Writes `table` to `path`: beside it first, then moved there in one step, so that a reader never sees
/// half a file.
///
/// # Errors
/// An extension other than `.csv`, `.jsonl` or `.parquet`, or a file that cannot be written.
pub fn write(table: &Table, path: &Path) -> Result<()> {
    let encode = encoder(path)?;
    staged(path, |file| {
        encode(table, file)
            .map(|file| (file, ()))
            .map_err(|error| refused(path, &error))
    })
}

/// Has `fill` write a hidden file beside `path`, which takes the place of `path` in one step when it is on the disk.
///
/// # Errors
/// That of `fill`, or a file that cannot be made or moved; nothing is left behind.
pub(crate) fn staged<T>(path: &Path, fill: impl FnOnce(File) -> Result<(File, T)>) -> Result<T> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.partial"));
    let work = || {
        let empty = File::create(&partial).map_err(|error| refused(path, &error))?;
        let (file, out) = fill(empty)?;
        file.sync_all()
            .and_then(|()| std::fs::rename(&partial, path))
            .map_err(|error| refused(path, &error))?;
        Ok(out)
    };
    work().inspect_err(|_| {
        // The reason to report is the first failure; the partial file may not even exist.
        let _ = std::fs::remove_file(&partial);
    })
}

/// The operating system would not write.
pub(crate) fn refused(path: &Path, error: &std::io::Error) -> DataError {
    DataError::file(path, format!("cannot write: {error}; choose another place"))
}

/// Whether [`write()`] would accept this path, so that long work is not begun for nothing.
///
/// # Errors
/// An extension other than `.csv`, `.jsonl` or `.parquet`, a folder, or a folder that is not there.
pub fn check(path: &Path) -> Result<()> {
    encoder(path)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let problem = if path.is_dir() {
        "cannot write: it is a folder; add a file name".to_string()
    } else if let Some(missing) = parent.filter(|p| !p.is_dir()) {
        format!(
            "cannot write: there is no folder {}; make it first, or choose another file",
            missing.display()
        )
    } else {
        return Ok(());
    };
    Err(DataError::file(path, problem))
}

type Encode = fn(&Table, File) -> std::io::Result<File>;

fn encoder(path: &Path) -> Result<Encode> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    match extension.as_ref() {
        "csv" => Ok(csv_file),
        "jsonl" => Ok(jsonl_file),
        "parquet" => Ok(parquet_file),
        "" => Err(DataError::file(
            path,
            "cannot tell the format; end the name in .csv, .jsonl or .parquet".to_string(),
        )),
        other => Err(DataError::file(
            path,
            format!("cannot write `.{other}` files; use .csv, .jsonl or .parquet"),
        )),
    }
}

fn csv_file(table: &Table, file: File) -> std::io::Result<File> {
    let mut writer = csv::Writer::from_writer(file);
    writer.write_record(table.columns.iter().map(|c| c.name.as_str()))?;
    for row in 0..table.rows() {
        let cell = |column: &Column| match &column.values {
            Values::List(lists) => lists[row].as_ref().map(|l| l.join("|")).unwrap_or_default(),
            _ => column.text(row).unwrap_or_default().into_owned(),
        };
        writer.write_record(table.columns.iter().map(cell))?;
    }
    writer
        .into_inner()
        .map_err(|error| std::io::Error::other(error.to_string()))
}

fn jsonl_file(table: &Table, file: File) -> std::io::Result<File> {
    let mut writer = BufWriter::new(file);
    for row in 0..table.rows() {
        let fields: Map<String, Value> = table
            .columns
            .iter()
            .map(|column| (column.name.clone(), json(column, row)))
            .collect();
        serde_json::to_writer(&mut writer, &fields)?;
        writer.write_all(b"\n")?;
    }
    writer
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
}

/// A value in words.
fn text(column: &Column, row: usize) -> Option<String> {
    column.text(row).map(Cow::into_owned)
}

fn json(column: &Column, row: usize) -> Value {
    match &column.values {
        Values::Text(v) => v[row].clone().into(),
        Values::Number(v) => v[row].into(),
        Values::Bool(v) => v[row].into(),
        Values::List(v) => v[row].clone().into(),
        Values::Picture(_) => text(column, row).into(),
    }
}

fn parquet_file(table: &Table, file: File) -> std::io::Result<File> {
    let columns = table
        .columns
        .iter()
        .map(|c| (c.name.as_str(), array(c), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(std::io::Error::other)?;
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), None).map_err(std::io::Error::other)?;
    writer.write(&batch).map_err(std::io::Error::other)?;
    writer.into_inner().map_err(std::io::Error::other)
}

fn array(column: &Column) -> ArrayRef {
    match &column.values {
        Values::Picture(v) => {
            let words = (0..v.len()).map(|row| text(column, row));
            Arc::new(words.collect::<StringArray>())
        }
        Values::Text(v) => Arc::new(StringArray::from_iter(v)),
        Values::Number(v) => Arc::new(Float64Array::from_iter(v)),
        Values::Bool(v) => Arc::new(BooleanArray::from_iter(v)),
        Values::List(lists) => {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for list in lists {
                for text in list.iter().flatten() {
                    builder.values().append_value(text);
                }
                builder.append(list.is_some());
            }
            Arc::new(builder.finish())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::read::{ReadOptions, read};
    use crate::table::RowOrigin;

    fn table() -> Table {
        let column = |name: &str, values| Column {
            name: name.to_string(),
            values,
        };
        Table {
            columns: vec![
                column(
                    "text",
                    Values::Text(vec![Some("a, \"b\"\nc".into()), None, Some("ü".into())]),
                ),
                column("score", Values::Number(vec![Some(0.25), None, Some(-3.0)])),
                column(
                    "tags",
                    Values::List(vec![Some(vec!["x".into(), "y".into()]), Some(vec![]), None]),
                ),
            ],
            origin: vec![RowOrigin { file: 0, line: 1 }; 3],
            ..Table::default()
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["t.csv", "t.jsonl", "t.parquet"] {
            let path = dir.path().join(name);
            write(&table(), &path).unwrap();
            let back = read(&path, &ReadOptions::default()).unwrap();
            assert_eq!(back.rows(), 3, "{name}");
            let text = back.column("text").unwrap();
            assert_eq!(text.text(0).as_deref(), Some("a, \"b\"\nc"), "{name}");
            assert_eq!(text.text(1), None, "{name}");
            assert_eq!(
                back.column("score").unwrap().number(2),
                Some(-3.0),
                "{name}"
            );
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn refuses_other_extensions_and_missing_folders() {
        let dir = tempfile::tempdir().unwrap();
        let other = write(&table(), &dir.path().join("t.xlsx")).unwrap_err();
        assert!(
            other.to_string().contains(".csv, .jsonl or .parquet"),
            "{other}"
        );
        assert!(write(&table(), &dir.path().join("no/such/t.csv")).is_err());
        let refused = |name: &str| check(&dir.path().join(name)).unwrap_err().to_string();
        assert!(refused("no/such/t.csv").contains("make it first"));
        assert!(refused("t.xlsx").contains(".csv, .jsonl or .parquet"));
        std::fs::create_dir(dir.path().join("d.csv")).unwrap();
        assert!(refused("d.csv").contains("it is a folder"));
        check(&dir.path().join("t.csv")).unwrap();
    }
}
