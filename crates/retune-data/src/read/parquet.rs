//! Parquet: text, numbers, booleans, lists of text and encoded pictures become columns; other types are skipped with a
//! note. Numbers of classes whose names the file holds become these names.

mod names;
mod pictures;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::jsonl::EXACT;
use super::{not_found, wrong};
use crate::error::{DataError, Result};
use crate::table::{Column, RowOrigin, Table, Values, list_names};

/// Rows of pictures that any file may have; a larger one may have as many as it has bytes.
const LEAST_ROWS: u64 = 1 << 20;

const SMALLER: &str = "write each picture once, in smaller files";

/// What an Arrow type is read as.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Text,
    Number,
    Bool,
    List,
    Picture,
}

/// Reads all columns of the types above; rows are numbered from 1.
pub(super) fn read(path: &Path) -> Result<Table> {
    let opened = open(path, None, None)?;
    let (keep, bytes) = (&opened.keep, opened.bytes);
    let mut columns = opened.columns();
    let has_pictures = keep.iter().any(|(_, t)| *t == Target::Picture);
    let mut cells = pictures::Cells::new(path, bytes);
    let mut rows = 0;
    for batch in opened.reader {
        let batch = batch.map_err(|e| broken(path, &e))?;
        rows += batch.num_rows() as u64;
        if has_pictures && rows > bytes.max(LEAST_ROWS) {
            let problem = format!("it has more than {} rows and {bytes} bytes", rows - 1);
            return Err(wrong(path, problem, SMALLER));
        }
        append(&batch, keep, &mut columns, &mut cells).map_err(|e| refused(path, e))?;
    }
    if rows == 0 {
        return Err(wrong(path, "it has no rows", "give a file with rows"));
    }
    let mut notes = name_classes(path, &opened.schema, &mut columns);
    if !opened.skipped.is_empty() {
        let list = opened.skipped.join(", ");
        let note = format!("{}: columns skipped for their type: {list}", path.display());
        notes.push(note);
    }
    Ok(Table {
        columns,
        origin: (1..=rows).map(|line| RowOrigin { file: 0, line }).collect(),
        files: vec![path.to_path_buf()],
        notes,
    })
}

/// Whether any column of the file holds pictures.
pub(super) fn has_pictures(path: &Path) -> Result<bool> {
    let opened = open(path, None, None)?;
    Ok(opened
        .keep
        .iter()
        .any(|(_, target)| *target == Target::Picture))
}

/// Calls `part` with tables of at most `rows` rows, without columns of pictures, until it answers `false`. With `wanted`
/// only these columns are read.
pub(super) fn parts(
    path: &Path,
    wanted: Option<&[&str]>,
    rows: usize,
    part: &mut super::Part<'_>,
) -> Result<()> {
    let opened = open(path, wanted, Some(rows))?;
    let mut cells = pictures::Cells::new(path, opened.bytes);
    let mut before = 0;
    let mut columns = opened.columns();
    for batch in opened.reader {
        let batch = batch.map_err(|e| broken(path, &e))?;
        append(&batch, &opened.keep, &mut columns, &mut cells).map_err(|e| refused(path, e))?;
        let last = before + batch.num_rows() as u64;
        let lines = before + 1..=last;
        let empty = columns.iter().zip(&opened.keep).map(|(c, &(_, t))| Column {
            name: c.name.clone(),
            values: empty(t),
        });
        let next = empty.collect();
        let table = Table {
            columns: std::mem::replace(&mut columns, next),
            origin: lines.map(|line| RowOrigin { file: 0, line }).collect(),
            files: vec![path.to_path_buf()],
            notes: Vec::new(),
        };
        before = last;
        if !part(table)? {
            break;
        }
    }
    if before == 0 {
        return Err(wrong(path, "it has no rows", "give a file with rows"));
    }
    Ok(())
}

/// A file whose columns are chosen.
struct Opened {
    schema: Arc<Schema>,
    keep: Vec<(usize, Target)>,
    skipped: Vec<String>,
    reader: ParquetRecordBatchReader,
    bytes: u64,
}

impl Opened {
    /// The chosen columns, without rows.
    fn columns(&self) -> Vec<Column> {
        let column = |&(i, t): &(usize, Target)| Column {
            name: self.schema.field(i).name().trim().to_string(),
            values: empty(t),
        };
        self.keep.iter().map(column).collect()
    }
}

/// Opens a file to be read in batches of `rows`; with `rows`, columns of pictures are left out.
fn open(path: &Path, wanted: Option<&[&str]>, rows: Option<usize>) -> Result<Opened> {
    let file = File::open(path).map_err(|e| not_found(path, e))?;
    let bytes = file.metadata().map_err(|e| not_found(path, e))?.len();
    let clone = file.try_clone().map_err(|e| not_found(path, e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(clone).map_err(|e| broken(path, &e))?;
    let schema = builder.schema().clone();
    let (mut keep, skipped) = chosen(&file, &schema).map_err(|e| broken(path, &e))?;
    keep.retain(|&(i, t)| {
        let name = schema.field(i).name().trim();
        wanted.is_none_or(|wanted| wanted.contains(&name))
            && (rows.is_none() || t != Target::Picture)
    });
    let mask = ProjectionMask::roots(builder.parquet_schema(), keep.iter().map(|&(i, _)| i));
    let batch_rows = pictures::batch_rows(&builder);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(rows.unwrap_or(batch_rows))
        .build()
        .map_err(|e| broken(path, &e))?;
    let opened = Opened {
        schema,
        keep,
        skipped,
        reader,
        bytes,
    };
    check_names(path, &opened.columns())?;
    Ok(opened)
}

fn broken(path: &Path, e: &dyn std::fmt::Display) -> DataError {
    wrong(
        path,
        format!("it is no readable Parquet file: {e}"),
        "write or fetch the file again",
    )
}

/// Why a batch could not be taken.
fn refused(path: &Path, e: ArrowError) -> DataError {
    match e {
        ArrowError::MemoryError(problem) => wrong(path, problem, SMALLER),
        other => broken(path, &other),
    }
}

type Chosen = (Vec<(usize, Target)>, Vec<String>);

/// The columns to read, and the names and types of the others.
fn chosen(file: &File, schema: &Schema) -> std::result::Result<Chosen, ParquetError> {
    let (mut keep, mut skipped) = (Vec::new(), Vec::new());
    for (i, field) in schema.fields().iter().enumerate() {
        let binary = pictures::is_binary(field.data_type());
        match target(field.data_type()) {
            // The index that pandas adds by itself is no column of the user's.
            Some(_) if field.name().starts_with("__index_level_") => {}
            Some(t) if !binary || pictures::holds(file, i)? => keep.push((i, t)),
            _ => skipped.push(format!("`{}` ({})", field.name(), field.data_type())),
        }
    }
    Ok((keep, skipped))
}

/// Puts the names of classes that the file holds in place of their numbers; one note for all columns.
fn name_classes(path: &Path, schema: &Schema, columns: &mut [Column]) -> Vec<String> {
    let known = names::class_names(schema.metadata().get(names::KEY).map(AsRef::as_ref));
    let mut named = Vec::new();
    for column in columns {
        if let Some(classes) = known.get(&column.name)
            && names::name(column, classes)
        {
            named.push(column.name.as_str());
        }
    }
    let note = || {
        format!(
            "{}: the classes of {} have the names that the file gives them",
            path.display(),
            list_names(&named)
        )
    };
    (!named.is_empty()).then(note).into_iter().collect()
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
            "it has no column of text, numbers, booleans, lists of text or pictures",
            "give a file with a text or picture column and a label column",
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
        T::Dictionary(_, value) => {
            target(value).filter(|t| !matches!(t, Target::List | Target::Picture))
        }
        T::List(f) | T::LargeList(f) => match target(f.data_type()) {
            Some(Target::Text | Target::Number) => Some(Target::List),
            _ => None,
        },
        T::Struct(fields) if pictures::is_image(fields) => Some(Target::Picture),
        t if pictures::is_binary(t) => Some(Target::Picture),
        _ => None,
    }
}

fn empty(t: Target) -> Values {
    match t {
        Target::Text => Values::Text(Vec::new()),
        Target::Number => Values::Number(Vec::new()),
        Target::Bool => Values::Bool(Vec::new()),
        Target::List => Values::List(Vec::new()),
        Target::Picture => Values::Picture(Vec::new()),
    }
}

fn append(
    batch: &RecordBatch,
    keep: &[(usize, Target)],
    columns: &mut [Column],
    pictures: &mut pictures::Cells,
) -> std::result::Result<(), ArrowError> {
    for ((column, &(_, t)), array) in columns.iter_mut().zip(keep).zip(batch.columns()) {
        match (&mut column.values, t) {
            (Values::Bool(v), _) => {
                let array = arrow_cast::cast(array, &DataType::Boolean)?;
                v.extend(array.as_boolean().iter());
            }
            (Values::List(v), _) => lists(array, v)?,
            (Values::Picture(v), _) => pictures.append(array, v)?,
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
fn too_wide(array: &ArrayRef) -> std::result::Result<bool, ArrowError> {
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
) -> std::result::Result<(), ArrowError> {
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
    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::{
        BinaryArray, BooleanArray, DictionaryArray, Int32Array, Int64Array, LargeBinaryArray,
        StringArray, StructArray,
    };
    use arrow_schema::{Field, Fields};
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::picture::Picture;

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

    fn picture() -> Vec<u8> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../golden/photos/flower.jpg"
        );
        std::fs::read(path).unwrap()
    }

    /// A file with pictures as the library `datasets` writes them: bytes, a file beside it, nothing.
    fn embedded() -> (tempfile::TempDir, std::path::PathBuf) {
        let picture = picture();
        let bytes = BinaryArray::from(vec![Some(picture.as_slice()), None, None]);
        let paths = StringArray::from(vec![Some("a.jpg"), Some("sub/b.jpg"), None]);
        let fields = Fields::from(vec![
            Field::new("bytes", DataType::Binary, true),
            Field::new("path", DataType::Utf8, true),
        ]);
        let arrays: Vec<ArrayRef> = vec![Arc::new(bytes), Arc::new(paths)];
        let image = StructArray::new(fields.clone(), arrays, None);
        let features = r#"{"info": {"features": {"label":
            {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}"#;
        let schema = Schema::new_with_metadata(
            vec![
                Field::new("image", DataType::Struct(fields), true),
                Field::new("label", DataType::Int64, true),
            ],
            [("huggingface".to_string(), features.to_string())],
        );
        let labels = Arc::new(Int64Array::from(vec![1, 0, -1]));
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(image), labels]).unwrap();
        write(&batch)
    }

    #[test]
    fn pictures_with_bytes_or_paths_and_names_of_classes_are_read() {
        let (dir, path) = embedded();
        let t = read(&path).unwrap();
        let Values::Picture(cells) = &t.columns[0].values else {
            unreachable!("pictures");
        };
        assert!(matches!(&cells[0], Some(Picture::Bytes(b)) if b[..] == picture()));
        let beside = dir.path().join("sub/b.jpg");
        assert!(matches!(&cells[1], Some(Picture::File(p)) if *p == beside));
        assert!(cells[2].is_none());
        let label = |row| t.columns[1].text(row).map(std::borrow::Cow::into_owned);
        assert_eq!(label(0).as_deref(), Some("dog"));
        assert_eq!(label(2), None);
        assert!(t.notes[0].contains("the classes of `label`"));
        let roles = crate::roles::detect(&t, &crate::roles::RoleRequest::default()).unwrap();
        assert!(roles.pictures);
        assert_eq!(
            (&roles.text[0], roles.label.as_deref()),
            (&t.columns[0].name, Some("label"))
        );
    }

    #[test]
    fn a_binary_column_is_one_of_pictures_if_one_of_its_first_values_is() {
        let picture = picture();
        for (wide, bad) in [(false, b"404".as_slice()), (true, b"")] {
            let cells = vec![None, Some(bad), Some(picture.as_slice())];
            let array: ArrayRef = if wide {
                Arc::new(LargeBinaryArray::from(cells))
            } else {
                Arc::new(BinaryArray::from(cells))
            };
            let (_dir, path) = write(&RecordBatch::try_from_iter([("jpg", array)]).unwrap());
            let t = read(&path).unwrap();
            let Values::Picture(cells) = &t.columns[0].values else {
                unreachable!("pictures");
            };
            assert!(cells[0].is_none());
            assert!(matches!(&cells[1], Some(Picture::Bytes(b)) if b[..] == *bad));
            assert!(matches!(&cells[2], Some(Picture::Bytes(b)) if b[..] == picture));
        }
    }

    #[test]
    fn more_rows_of_pictures_than_bytes_are_refused() {
        let picture = picture();
        let mut cells = vec![None; LEAST_ROWS as usize + 1];
        cells[0] = Some(picture.as_slice());
        let array: ArrayRef = Arc::new(BinaryArray::from(cells));
        let (_dir, path) = write(&RecordBatch::try_from_iter([("jpg", array)]).unwrap());
        let said = read(&path).unwrap_err().to_string();
        assert!(
            said.contains("rows and") && said.contains("smaller files"),
            "{said}"
        );
    }
}
