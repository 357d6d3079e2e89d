//! Parquet: text, numbers, booleans and lists of text become columns; other types are skipped with a note.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::jsonl::EXACT;
use super::{not_found, wrong};
use crate::error::{DataError, Result};
use crate::table::{Column, RowOrigin, Table, Values};

/// What an Arrow type is read as.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Text,
    Number,
    Bool,
    List,
}

/// Reads all columns of the types above; rows are numbered from 1.
pub(super) fn read(path: &Path) -> Result<Table> {
    let file = File::open(path).map_err(|e| not_found(path, e))?;
    let broken = |e: &dyn std::fmt::Display| -> DataError {
        wrong(
            path,
            format!("it is no readable Parquet file: {e}"),
            "write or fetch the file again",
        )
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| broken(&e))?;
    let schema = builder.schema().clone();
    let (mut keep, mut skipped) = (Vec::new(), Vec::new());
    for (i, field) in schema.fields().iter().enumerate() {
        match target(field.data_type()) {
            // The index that pandas adds by itself is no column of the user's.
            Some(_) if field.name().starts_with("__index_level_") => {}
            Some(t) => keep.push((i, t)),
            None => skipped.push(format!("`{}` ({})", field.name(), field.data_type())),
        }
    }
    let mut columns: Vec<Column> = keep
        .iter()
        .map(|&(i, t)| Column {
            name: schema.field(i).name().trim().to_string(),
            values: empty(t),
        })
        .collect();
    check_names(path, &columns)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), keep.iter().map(|&(i, _)| i));
    let reader = builder
        .with_projection(mask)
        .build()
        .map_err(|e| broken(&e))?;
    let mut rows = 0;
    for batch in reader {
        let batch = batch.map_err(|e| broken(&e))?;
        rows += batch.num_rows() as u64;
        append(&batch, &keep, &mut columns).map_err(|e| broken(&e))?;
    }
    if rows == 0 {
        return Err(wrong(path, "it has no rows", "give a file with rows"));
    }
    let mut notes = Vec::new();
    if !skipped.is_empty() {
        notes.push(format!(
            "{}: columns skipped for their type: {}",
            path.display(),
            skipped.join(", ")
        ));
    }
    Ok(Table {
        columns,
        origin: (1..=rows).map(|line| RowOrigin { file: 0, line }).collect(),
        files: vec![path.to_path_buf()],
        notes,
    })
}

fn check_names(path: &Path, columns: &[Column]) -> Result<()> {
    for (i, column) in columns.iter().enumerate() {
        if columns[..i].iter().any(|c| c.name == column.name) {
            let problem = format!("two columns are called `{}`", column.name);
            return Err(wrong(path, problem, "give each column its own name"));
        }
    }
    if columns.is_empty() {
        return Err(wrong(
            path,
            "it has no column of text, numbers, booleans or lists of text",
            "give a file with a text and a label column",
        ));
    }
    Ok(())
}

fn target(t: &DataType) -> Option<Target> {
    use DataType as T;
    match t {
        // Moments are read as ISO text, which sorts as time does.
        T::Utf8
        | T::LargeUtf8
        | T::Utf8View
        | T::Null
        | T::Date32
        | T::Date64
        | T::Timestamp(_, _) => Some(Target::Text),
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => {
            Some(Target::Number)
        }
        T::Float16 | T::Float32 | T::Float64 | T::Decimal128(_, _) => Some(Target::Number),
        T::Boolean => Some(Target::Bool),
        T::Dictionary(_, value) => target(value).filter(|t| *t != Target::List),
        T::List(f) | T::LargeList(f) => match target(f.data_type()) {
            Some(Target::Text | Target::Number) => Some(Target::List),
            _ => None,
        },
        _ => None,
    }
}

fn empty(t: Target) -> Values {
    match t {
        Target::Text => Values::Text(Vec::new()),
        Target::Number => Values::Number(Vec::new()),
        Target::Bool => Values::Bool(Vec::new()),
        Target::List => Values::List(Vec::new()),
    }
}

fn append(
    batch: &RecordBatch,
    keep: &[(usize, Target)],
    columns: &mut [Column],
) -> std::result::Result<(), arrow_schema::ArrowError> {
    for ((column, &(_, t)), array) in columns.iter_mut().zip(keep).zip(batch.columns()) {
        match (&mut column.values, t) {
            (Values::Bool(v), _) => {
                let array = arrow_cast::cast(array, &DataType::Boolean)?;
                v.extend(array.as_boolean().iter());
            }
            (Values::List(v), _) => lists(array, v)?,
            (Values::Number(v), _) if !too_wide(array)? => {
                let array = arrow_cast::cast(array, &DataType::Float64)?;
                v.extend(
                    array
                        .as_primitive::<Float64Type>()
                        .iter()
                        .map(|x| x.filter(|x| !x.is_nan())),
                );
            }
            (values, _) => {
                let array = arrow_cast::cast(array, &DataType::Utf8)?;
                let more = array.as_string::<i32>().iter();
                let more = Values::Text(
                    more.map(|s| s.filter(|s| !s.is_empty()).map(str::to_string))
                        .collect(),
                );
                values.append(more);
            }
        }
    }
    Ok(())
}

/// Whether whole numbers would lose digits as `f64`, as 64-bit ids do.
fn too_wide(array: &ArrayRef) -> std::result::Result<bool, arrow_schema::ArrowError> {
    if !matches!(array.data_type(), DataType::Int64 | DataType::UInt64) {
        return Ok(false);
    }
    let floats = arrow_cast::cast(array, &DataType::Float64)?;
    Ok(floats
        .as_primitive::<Float64Type>()
        .iter()
        .flatten()
        .any(|x| x.abs() >= EXACT))
}

fn lists(
    array: &ArrayRef,
    into: &mut Vec<Option<Vec<String>>>,
) -> std::result::Result<(), arrow_schema::ArrowError> {
    let item = |i: usize| match array.data_type() {
        DataType::LargeList(_) => array.as_list::<i64>().value(i),
        _ => array.as_list::<i32>().value(i),
    };
    for i in 0..array.len() {
        if array.is_null(i) {
            into.push(None);
            continue;
        }
        let words = arrow_cast::cast(&item(i), &DataType::Utf8)?;
        into.push(Some(
            words
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_string)
                .collect(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::{
        BinaryArray, BooleanArray, DictionaryArray, Int32Array, Int64Array, StringArray,
    };
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn write(batch: &RecordBatch) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        (dir, path)
    }

    #[test]
    fn arrow_types_become_columns_and_others_are_noted() {
        let mut tags = ListBuilder::new(StringBuilder::new());
        tags.append_value([Some("x"), Some("y")]);
        tags.append_null();
        let keys: DictionaryArray<arrow_array::types::Int32Type> =
            vec![Some("pos"), None].into_iter().collect();
        let columns: [(&str, ArrayRef); 7] = [
            (
                "text",
                Arc::new(StringArray::from(vec![Some("good"), Some("")])),
            ),
            ("label", Arc::new(keys)),
            ("n", Arc::new(Int32Array::from(vec![Some(3), None]))),
            ("id", Arc::new(Int64Array::from(vec![i64::MAX, 1]))),
            ("ok", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("tags", Arc::new(tags.finish())),
            (
                "raw",
                Arc::new(BinaryArray::from(vec![b"a".as_slice(), b"b"])),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let (_dir, path) = write(&batch);
        let t = read(&path).unwrap();
        let cell = |c: &str, r: usize| {
            t.column(c)
                .unwrap()
                .text(r)
                .map(std::borrow::Cow::into_owned)
        };
        assert_eq!(cell("text", 0).unwrap(), "good");
        assert_eq!(cell("text", 1), None);
        assert_eq!(cell("label", 0).unwrap(), "pos");
        assert_eq!(cell("label", 1), None);
        assert_eq!(t.column("n").unwrap().number(0), Some(3.0));
        assert_eq!(cell("id", 0).unwrap(), "9223372036854775807");
        assert_eq!(cell("ok", 0).unwrap(), "true");
        assert_eq!(cell("tags", 0).unwrap(), "x|y");
        assert_eq!(cell("tags", 1), None);
        assert!(t.notes[0].contains("`raw`"), "{:?}", t.notes);
        assert!(t.place(1).ends_with("t.parquet, row 2"));
    }

    #[test]
    fn a_cut_off_file_is_an_error() {
        let batch = RecordBatch::try_from_iter([(
            "text",
            Arc::new(StringArray::from(vec!["a"])) as ArrayRef,
        )])
        .unwrap();
        let (_dir, path) = write(&batch);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .contains("no readable Parquet file")
        );
    }
}
