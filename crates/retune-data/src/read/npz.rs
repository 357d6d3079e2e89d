//! Pictures and labels of an `.npz` archive of NumPy in the layout of MedMNIST: `train_images` and `train_labels`, and
//! the same with `val` and `test`.
//!
//! Pictures are bytes, `[n, height, width]` or `[n, height, width, 3]`. Labels are `[n]` or `[n, 1]` for classes, or
//! `[n, labels]` of 0 and 1 where a row can have several. All rows become one table, whose column `split` says where
//! each belongs. Source: <https://medmnist.com>.

use std::path::Path;
use std::sync::Arc;

use super::wrong;
use crate::error::{DataError, Result};
use crate::picture::npz::read as read_arrays;
use crate::picture::{Array, Numbers, Picture};
use crate::table::{Column, RowOrigin, Table, Values, list_names};

/// How names of arrays begin, and what the column `split` says of them.
const SIDES: [(&str, &str); 3] = [("train", "train"), ("val", "valid"), ("test", "test")];
const LAYOUT: &str = "name the arrays train_images, train_labels, and where there are more val_ and test_ in place of train_";

/// Whether a file is one of NumPy arrays, by its name.
pub(super) fn is_name(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("npz"))
}

/// Reads pictures and labels of every part of the archive, training rows first.
pub(super) fn read(path: &Path) -> Result<Table> {
    let mut arrays = read_arrays(path)?;
    let names: Vec<String> = arrays.iter().map(|(name, _)| name.clone()).collect();
    let mut take = |name: &str| {
        let at = arrays.iter().position(|(n, _)| n == name)?;
        Some(Member {
            path,
            name: name.to_string(),
            array: arrays.swap_remove(at).1,
        })
    };
    let mut rows = Rows::default();
    for (start, side) in SIDES {
        let [images, labels] = ["images", "labels"].map(|what| format!("{start}_{what}"));
        match (take(&images), take(&labels)) {
            (None, None) => {}
            (Some(images), Some(labels)) => rows.add(images, labels, side)?,
            (images, _) => {
                let (has, lacks) = if images.is_some() {
                    ("images", "labels")
                } else {
                    ("labels", "images")
                };
                let problem = format!("it has an array `{start}_{has}` and no `{start}_{lacks}`");
                return Err(wrong(path, problem, LAYOUT));
            }
        }
    }
    if rows.pictures.is_empty() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let problem = match names.as_slice() {
            [] => "it holds no arrays".to_string(),
            names => format!(
                "it holds no pictures under known names, only {}",
                list_names(names)
            ),
        };
        return Err(wrong(path, problem, LAYOUT));
    }
    rows.table(path)
}

/// An array of the archive.
struct Member<'a> {
    path: &'a Path,
    name: String,
    array: Array,
}

impl Member<'_> {
    fn wrong(&self, problem: &str, cure: &str) -> DataError {
        let problem = format!("its array `{}` {problem}", self.name);
        wrong(self.path, problem, cure)
    }

    /// The pictures, one item each.
    fn pictures(self) -> Result<Vec<Option<Picture>>> {
        let (height, width, channels) = match self.array.shape[..] {
            [_, height, width] => (height, width, 1),
            [_, height, width, 3] => (height, width, 3),
            _ => {
                let problem = format!("has the shape {:?}", self.array.shape);
                let cure = "give [pictures, height, width] or [pictures, height, width, 3]";
                return Err(self.wrong(&problem, cure));
            }
        };
        let size = height * width * channels;
        let Numbers::U8(pixels) = &self.array.numbers else {
            return Err(self.wrong(
                "is not of bytes",
                "save pixels as numbers of the type uint8",
            ));
        };
        if pixels.is_empty() {
            return Err(self.wrong("holds no pixels", "leave it out, or fill it"));
        }
        let picture = |data: &[u8]| {
            Some(Picture::Raw {
                width,
                height,
                channels,
                data: Arc::from(data),
            })
        };
        Ok(pixels.chunks_exact(size).map(picture).collect())
    }

    /// The labels of each of `count` pictures: one number, or the numbers of the labels that a row has.
    fn labels(self, count: usize) -> Result<Labels> {
        let labels = match self.array.shape[..] {
            [n] if n == count => 1,
            [n, labels] if n == count && labels > 0 => labels,
            _ => {
                let problem = format!("has the shape {:?}", self.array.shape);
                let cure = format!("give [{count}] or [{count}, labels], one row for each picture");
                return Err(self.wrong(&problem, &cure));
            }
        };
        let numbers: Vec<i64> = match &self.array.numbers {
            Numbers::U8(v) => v.iter().map(|&n| n.into()).collect(),
            Numbers::I64(v) => v.clone(),
        };
        if labels == 1 {
            return Ok(Labels::One(
                numbers.iter().map(|n| Some(n.to_string())).collect(),
            ));
        }
        if let Some(other) = numbers.iter().find(|n| !matches!(n, 0 | 1)) {
            let problem = format!("has {labels} labels a row, and one is {other}");
            return Err(self.wrong(&problem, "write 1 where a row has a label and 0 elsewhere"));
        }
        let has = |row: &[i64]| {
            let set = row.iter().enumerate().filter(|(_, n)| **n == 1);
            Some(set.map(|(label, _)| label.to_string()).collect())
        };
        Ok(Labels::Many(
            numbers.chunks_exact(labels).map(has).collect(),
            labels,
        ))
    }
}

/// Labels of rows: classes, or any number of so many labels.
enum Labels {
    One(Vec<Option<String>>),
    Many(Vec<Option<Vec<String>>>, usize),
}

/// Rows of the parts read so far.
#[derive(Default)]
struct Rows {
    pictures: Vec<Option<Picture>>,
    labels: Option<Labels>,
    sides: Vec<Option<String>>,
}

impl Rows {
    fn add(&mut self, images: Member, labels: Member, side: &str) -> Result<()> {
        let pictures = images.pictures()?;
        let (path, name) = (labels.path, labels.name.clone());
        let labels = labels.labels(pictures.len())?;
        self.sides
            .extend(std::iter::repeat_n(Some(side.to_string()), pictures.len()));
        self.pictures.extend(pictures);
        match (&mut self.labels, labels) {
            (None, labels) => self.labels = Some(labels),
            (Some(Labels::One(all)), Labels::One(more)) => all.extend(more),
            (Some(Labels::Many(all, n)), Labels::Many(more, m)) if *n == m => all.extend(more),
            _ => {
                let problem = format!("its array `{name}` has another number of labels a row");
                return Err(wrong(path, problem, "give all parts the same labels"));
            }
        }
        Ok(())
    }

    fn table(self, path: &Path) -> Result<Table> {
        let count = self.pictures.len() as u64;
        let labels = match self.labels {
            None => return Err(wrong(path, "it has no labels", LAYOUT)),
            Some(Labels::One(labels)) => Values::Text(labels),
            Some(Labels::Many(labels, _)) => Values::List(labels),
        };
        let column = |name: &str, values| Column {
            name: name.to_string(),
            values,
        };
        Ok(Table {
            columns: vec![
                column("image", Values::Picture(self.pictures)),
                column("label", labels),
                column("split", Values::Text(self.sides)),
            ],
            origin: (1..=count)
                .map(|line| RowOrigin { file: 0, line })
                .collect(),
            files: vec![path.to_path_buf()],
            notes: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::io::Write as _;

    use super::*;
    use crate::roles::{RoleRequest, TaskKind, detect};
    use crate::split::by_column;

    /// An array of bytes as NumPy writes it.
    fn npy(shape: &[usize], values: &[u8]) -> Vec<u8> {
        let shape = format!("{shape:?}").replace('[', "(").replace(']', ",)");
        let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((text.len() as u16).to_le_bytes());
        file.extend(text.as_bytes());
        file.extend(values);
        file
    }

    fn archive(arrays: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pathmnist.npz");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, bytes) in arrays {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(format!("{name}.npy"), options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        (dir, path)
    }

    fn table(arrays: &[(&str, Vec<u8>)]) -> Result<Table> {
        let (_dir, path) = archive(arrays);
        super::super::read(&path, &super::super::ReadOptions::default())
    }

    /// Pictures of 2 by 2 pixels, the number of a picture in each.
    fn grey(n: u8) -> Vec<u8> {
        let values: Vec<u8> = (0..n).flat_map(|i| [i; 4]).collect();
        npy(&[n.into(), 2, 2], &values)
    }

    #[test]
    fn parts_become_one_table_that_says_where_rows_belong() {
        let labels: Vec<u8> = (0..30).map(|i| i % 3).collect();
        let t = table(&[
            ("test_images", grey(2)),
            ("test_labels", npy(&[2, 1], &[1, 0])),
            ("train_images", grey(30)),
            ("train_labels", npy(&[30, 1], &labels)),
            ("val_images", grey(1)),
            ("val_labels", npy(&[1], &[2])),
        ])
        .unwrap();
        assert_eq!(t.rows(), 33);
        let cell = |c: &str, r: usize| t.column(c).unwrap().text(r).unwrap().into_owned();
        assert_eq!(
            (cell("label", 29), cell("split", 29)),
            ("2".into(), "train".into())
        );
        assert_eq!(
            (cell("label", 30), cell("split", 30)),
            ("2".into(), "valid".into())
        );
        assert_eq!(
            (cell("label", 31), cell("split", 31)),
            ("1".into(), "test".into())
        );
        let Values::Picture(pictures) = &t.columns[0].values else {
            unreachable!("pictures");
        };
        let Some(Picture::Raw { data, channels, .. }) = &pictures[32] else {
            unreachable!("pixels");
        };
        assert_eq!((&data[..], *channels), ([1; 4].as_slice(), 1));
        assert!(t.place(31).ends_with("pathmnist.npz, picture 32"));
        let roles = detect(&t, &RoleRequest::default()).unwrap();
        assert!(roles.pictures);
        assert_eq!(roles.label.as_deref(), Some("label"));
        let (_, given) = by_column(t);
        assert_eq!((given.valid, given.test), (Some(30..31), Some(31..33)));
    }

    #[test]
    fn colours_and_several_labels_are_read() {
        let t = table(&[
            ("train_images", npy(&[2, 1, 2, 3], &[7; 12])),
            ("train_labels", npy(&[2, 3], &[1, 0, 1, 0, 0, 0])),
        ])
        .unwrap();
        assert_eq!(t.columns[1].text(0).as_deref(), Some("0|2"));
        assert_eq!(t.columns[1].text(1).as_deref(), Some(""));
        let roles = detect(&t, &RoleRequest::default()).unwrap();
        assert_eq!(roles.task, Some(TaskKind::MultiLabel));
    }

    #[test]
    fn what_does_not_fit_is_said_with_the_name_of_the_array() {
        let said = |arrays: &[(&str, Vec<u8>)]| table(arrays).unwrap_err().to_string();
        let lone = said(&[("val_images", grey(1))]);
        assert!(lone.contains("`val_images` and no `val_labels`"), "{lone}");
        let other = said(&[("x", grey(1))]);
        assert!(
            other.contains("only `x`") && other.contains("train_images"),
            "{other}"
        );
        let with = |images: Vec<u8>, labels: Vec<u8>| {
            said(&[("test_images", images), ("test_labels", labels)])
        };
        let few = with(grey(2), npy(&[3], &[0; 3]));
        assert!(
            few.contains("`test_labels` has the shape [3]") && few.contains("[2]"),
            "{few}"
        );
        let more = with(grey(2), npy(&[3, 1], &[0; 3]));
        assert!(
            more.contains("`test_labels` has the shape [3, 1]"),
            "{more}"
        );
        let solid = with(npy(&[1, 2, 2, 2], &[0; 8]), npy(&[1], &[0]));
        assert!(
            solid.contains("`test_images` has the shape [1, 2, 2, 2]"),
            "{solid}"
        );
        let none = with(npy(&[0, 2, 2], &[]), npy(&[0], &[]));
        assert!(none.contains("`test_images` holds no pixels"), "{none}");
        let flags = with(grey(1), npy(&[1, 2], &[1, 7]));
        assert!(
            flags.contains("`test_labels` has 2 labels a row, and one is 7"),
            "{flags}"
        );
        let wide = npy(&[1, 1], &[0]);
        let mixed = said(&[
            ("train_images", grey(1)),
            ("train_labels", wide),
            ("val_images", grey(1)),
            ("val_labels", npy(&[1, 2], &[0, 1])),
        ]);
        assert!(mixed.contains("`val_labels` has another number"), "{mixed}");
    }
}
