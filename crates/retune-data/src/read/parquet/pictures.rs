//! Encoded pictures in cells: plain binary values, or a structure of `bytes` and `path` as the library `datasets` writes
//! it. A cell without bytes that has a path is a file beside the table.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, BinaryArray, StringArray};
use arrow_schema::{ArrowError, DataType, Fields};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::picture::{Picture, is_encoded};

/// Bytes that the values of one batch may take, as far as the file tells their sizes.
const BATCH_BYTES: i64 = 256 << 20;
/// Rows of a batch, at most.
const BATCH_ROWS: i64 = 1024;
/// Pictures of any file may take this much together, and those of a larger file up to four times its size: encoded
/// pictures hardly get smaller by packing.
const LEAST_LIMIT: u64 = 1 << 30;
/// Values looked at to tell whether a binary column holds pictures.
const SAMPLE: usize = 16;

/// Whether a structure is one of `bytes` and maybe a `path`.
pub(super) fn is_image(fields: &Fields) -> bool {
    let text =
        |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let has = |name: &str| fields.find(name).map(|(_, field)| field.data_type());
    let path = has("path");
    has("bytes").is_some_and(is_binary) && path.is_none_or(|t| text(t) || *t == DataType::Null)
}

/// Whether values are bytes of any length.
pub(super) fn is_binary(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

/// Whether the first values of a binary column, the root at `index`, hold a picture.
///
/// # Errors
/// What the reader of the file says.
pub(super) fn holds(file: &File, index: usize) -> Result<bool, parquet::errors::ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.try_clone()?)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
    let rows = batch_rows(&builder);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(rows)
        .build()?;
    let mut seen = 0;
    for batch in reader {
        let cells = binary(batch?.column(0))?;
        for bytes in cells.iter().flatten().filter(|bytes| !bytes.is_empty()) {
            if is_encoded(bytes) {
                return Ok(true);
            }
            seen += 1;
            if seen == SAMPLE {
                return Ok(false);
            }
        }
    }
    Ok(false)
}

/// Rows of a batch, so that one of large values does not take all memory.
pub(super) fn batch_rows(builder: &ParquetRecordBatchReaderBuilder<File>) -> usize {
    let groups = builder.metadata().row_groups().iter();
    let largest = groups
        .flat_map(|group| {
            group
                .columns()
                .iter()
                .map(ColumnChunkMetaData::uncompressed_size)
        })
        .max();
    (BATCH_BYTES / largest.unwrap_or(1).max(1)).clamp(1, BATCH_ROWS) as usize
}

fn binary(array: &ArrayRef) -> Result<BinaryArray, ArrowError> {
    let array = arrow_cast::cast(array, &DataType::Binary)?;
    Ok(array.as_binary::<i32>().clone())
}

/// Takes pictures out of columns, within a limit of their bytes.
pub(super) struct Cells {
    folder: Option<PathBuf>,
    limit: u64,
    taken: u64,
}

impl Cells {
    /// For a file of so many bytes.
    pub fn new(path: &Path, bytes: u64) -> Self {
        Self {
            folder: path.parent().map(Path::to_path_buf),
            limit: bytes.saturating_mul(4).max(LEAST_LIMIT),
            taken: 0,
        }
    }

    /// Adds the pictures of one batch to `into`.
    ///
    /// # Errors
    /// A value that is too large for the reader; pictures that take more than the limit.
    pub fn append(
        &mut self,
        array: &ArrayRef,
        into: &mut Vec<Option<Picture>>,
    ) -> Result<(), ArrowError> {
        let outer = array.as_struct_opt();
        let inner = |name: &str| outer.and_then(|s| s.column_by_name(name));
        let bytes = binary(inner("bytes").unwrap_or(array))?;
        let paths = match inner("path") {
            Some(paths) => {
                let text = arrow_cast::cast(paths, &DataType::Utf8)?;
                Some(text.as_string::<i32>().clone())
            }
            None => None,
        };
        for row in 0..array.len() {
            let one = if array.is_null(row) {
                None
            } else if bytes.is_valid(row) {
                Some(self.keep(bytes.value(row))?)
            } else {
                self.beside(paths.as_ref(), row)
            };
            into.push(one);
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<Picture, ArrowError> {
        self.taken += bytes.len() as u64;
        if self.taken > self.limit {
            return Err(ArrowError::MemoryError(format!(
                "its pictures take more than {} MiB, and more than four times what the file has",
                self.limit >> 20
            )));
        }
        Ok(Picture::Bytes(Arc::from(bytes)))
    }

    /// The file that a path names.
    fn beside(&self, paths: Option<&StringArray>, row: usize) -> Option<Picture> {
        let path = paths.filter(|p| p.is_valid(row))?.value(row).trim();
        let folder = self.folder.as_deref().unwrap_or(Path::new(""));
        (!path.is_empty()).then(|| Picture::File(folder.join(path)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use parquet::arrow::ArrowWriter;

    use super::*;

    #[test]
    fn pictures_take_no_more_than_the_limit() {
        let array: ArrayRef = Arc::new(BinaryArray::from(vec![[7u8; 400].as_slice(); 3]));
        let mut cells = Cells::new(Path::new("t.parquet"), 100);
        assert_eq!(
            (cells.limit, Cells::new(Path::new("t"), 1 << 30).limit),
            (1 << 30, 4 << 30)
        );
        let mut into = Vec::new();
        cells.append(&array, &mut into).unwrap();
        assert_eq!((into.len(), cells.taken), (3, 1200));
        cells.taken = cells.limit - 1000;
        let said = cells.append(&array, &mut into).unwrap_err().to_string();
        assert!(said.contains("more than 1024 MiB"), "{said}");
        assert_eq!(into.len(), 5);
    }

    #[test]
    fn batches_of_large_values_have_few_rows() {
        let rows = |bytes: usize| {
            let value = vec![0u8; bytes];
            let array: ArrayRef = Arc::new(BinaryArray::from(vec![value.as_slice(); 2]));
            let batch = arrow_array::RecordBatch::try_from_iter([("x", array)]).unwrap();
            let mut file = tempfile::tempfile().unwrap();
            let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            batch_rows(&ParquetRecordBatchReaderBuilder::try_new(file).unwrap())
        };
        assert_eq!(rows(10), 1024);
        let few = rows(1 << 20);
        assert!((100..=256).contains(&few), "{few}");
    }
}
