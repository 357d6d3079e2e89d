//! Pictures and labels of the MNIST family: two IDX files, of which the name of one tells that of the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::wrong;
use crate::error::Result;
use crate::picture::idx::read as read_array;
use crate::picture::{Array, Numbers, Picture};
use crate::table::{Column, RowOrigin, Table, Values};

/// How names of files of pictures and of labels differ.
const NAMES: [(&str, &str); 3] = [
    ("images-idx3", "labels-idx1"),
    ("images.idx3", "labels.idx1"),
    ("images", "labels"),
];

/// Whether a file is one of IDX pictures, by its name.
pub(super) fn is_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains("idx3") && name.contains("images")
}

/// Reads the pictures of a file, `[pictures, height, width]`, with the labels of its sibling.
pub(super) fn read(path: &Path) -> Result<Table> {
    let images = read_array(path)?;
    let labels_path = sibling(path)?;
    let labels = read_array(&labels_path)?;
    let ([count, height, width], Numbers::U8(pixels)) = (&images.shape[..], images.numbers) else {
        return Err(wrong(
            path,
            format!("its array has the shape {:?}", images.shape),
            "give one of bytes, [pictures, height, width]",
        ));
    };
    let (count, height, width) = (*count, *height, *width);
    let labels = names(&labels_path, labels, count)?;
    let size = height * width;
    if count == 0 || size == 0 {
        return Err(wrong(
            path,
            "it holds no pixels",
            "give a file with pictures",
        ));
    }
    let pictures = pixels.chunks_exact(size).map(|data| {
        Some(Picture::Raw {
            width,
            height,
            channels: 1,
            data: Arc::from(data),
        })
    });
    Ok(Table {
        columns: vec![
            Column {
                name: "image".to_string(),
                values: Values::Picture(pictures.collect()),
            },
            Column {
                name: "label".to_string(),
                values: Values::Text(labels),
            },
        ],
        origin: (1..=count as u64)
            .map(|line| RowOrigin { file: 0, line })
            .collect(),
        files: vec![path.to_path_buf()],
        notes: vec![format!("labels are those of {}", labels_path.display())],
    })
}

/// The file of labels that belongs to a file of pictures.
fn sibling(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let found = NAMES.iter().find(|(images, _)| name.contains(images));
    let labels = found.map(|(images, labels)| path.with_file_name(name.replace(images, labels)));
    match labels {
        Some(labels) if labels.is_file() => Ok(labels),
        _ => Err(wrong(
            path,
            "the file with its labels is not beside it",
            "put it there, named as this one with `labels-idx1` in place of `images-idx3`",
        )),
    }
}

/// One label per picture, as text.
fn names(path: &Path, labels: Array, count: usize) -> Result<Vec<Option<String>>> {
    let found: Vec<Option<String>> = match labels.numbers {
        Numbers::U8(v) => v.iter().map(|n| Some(n.to_string())).collect(),
        Numbers::I64(v) => v.iter().map(|n| Some(n.to_string())).collect(),
    };
    if labels.shape != [count] {
        return Err(wrong(
            path,
            format!("it has labels of the shape {:?}", labels.shape),
            format!("{count} are expected, one for each picture"),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// An IDX file of bytes.
    fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    #[test]
    fn pictures_meet_the_labels_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t10k-images-idx3-ubyte");
        std::fs::write(&path, idx(&[2, 2, 3], &[7; 12])).unwrap();
        let alone = read(&path).unwrap_err().to_string();
        assert!(alone.contains("labels-idx1"), "{alone}");
        let labels = dir.path().join("t10k-labels-idx1-ubyte");
        std::fs::write(&labels, idx(&[2], &[9, 0])).unwrap();
        let t = super::super::read(&path, &super::super::ReadOptions::default()).unwrap();
        assert_eq!(t.rows(), 2);
        assert_eq!(t.columns[1].text(0).unwrap(), "9");
        assert_eq!(t.columns[0].text(1).unwrap(), "picture 2");
        std::fs::write(&labels, idx(&[3], &[9, 0, 1])).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("2 are expected"), "{error}");
    }
}
