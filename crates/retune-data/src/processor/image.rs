//! Pictures to what a vision model reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Labels;
use crate::error::{DataError, Result};
use crate::example::Features;
use crate::picture::{Picture, PictureLimits, Pixels, Preprocess};
use crate::table::{Table, Values};

/// How a picture becomes what the model reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageProcessor {
    /// The column of pictures, or of paths to them: one name.
    pub picture: Vec<String>,
    /// The label column; absent for pictures to answer.
    pub label: Option<String>,
    /// What the outputs stand for.
    pub labels: Labels,
    /// Size, cut and scale.
    pub preprocess: Preprocess,
}

impl ImageProcessor {
    /// Decodes and cuts the picture of a row.
    ///
    /// # Errors
    /// A column that is missing; a row without a picture; a file that is none, with its place.
    pub fn encode(&self, t: &Table, row: usize) -> Result<Features> {
        let [name] = &self.picture[..] else {
            return Err(DataError::File {
                file: t.file(),
                problem: "a model of pictures reads one column".to_string(),
                cure: "name one with --text COLUMN".to_string(),
            });
        };
        let column = t.column(name)?;
        let picture = match &column.values {
            Values::Picture(pictures) => pictures[row].clone(),
            _ => column
                .text(row)
                .filter(|path| !path.trim().is_empty())
                .map(|path| Picture::File(beside(t, row, path.trim()))),
        };
        let picture = picture.ok_or_else(|| DataError::File {
            file: t.place(row),
            problem: format!("column `{name}` has no picture"),
            cure: "fill it in or remove the row".to_string(),
        })?;
        let place = match picture {
            Picture::File(_) => String::new(),
            _ => t.place(row),
        };
        let seen = self.cut(&picture);
        seen.map_err(|e| match e {
            DataError::File { problem, cure, .. } if !place.is_empty() => DataError::File {
                file: place,
                problem,
                cure,
            },
            other => other,
        })
    }

    /// The picture in a file.
    ///
    /// # Errors
    /// A file that is no picture.
    pub fn encode_file(&self, path: &Path) -> Result<Features> {
        self.cut(&Picture::File(path.to_path_buf()))
    }

    fn cut(&self, picture: &Picture) -> Result<Features> {
        let pixels = picture.pixels(&PictureLimits::default())?;
        Ok(Features::Picture(Arc::new(self.preprocess.cut(&pixels))))
    }

    /// The values of a picture as the model reads them, `[height, width, 3]`.
    pub(crate) fn values(&self, pixels: &Pixels) -> Vec<f32> {
        self.preprocess.normalise(pixels)
    }
}

/// A path as a table gives it: relative ones start at the folder of the table's file.
fn beside(t: &Table, row: usize, path: &str) -> PathBuf {
    let file = t.files.get(t.origin[row].file as usize);
    let folder = file.and_then(|file| file.parent());
    folder.map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::table::{Column, RowOrigin};

    fn processor() -> ImageProcessor {
        ImageProcessor {
            picture: vec!["image".to_string()],
            label: None,
            labels: Labels::Classes {
                names: vec!["a".to_string(), "b".to_string()],
            },
            preprocess: Preprocess::efficientnet_lite0(),
        }
    }

    fn table(values: Values) -> Table {
        let columns = vec![Column {
            name: "image".to_string(),
            values,
        }];
        Table {
            origin: (0..columns[0].len() as u64)
                .map(|i| RowOrigin {
                    file: 0,
                    line: i + 2,
                })
                .collect(),
            columns,
            files: vec![PathBuf::from("/data/list.csv")],
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_picture_is_cut_to_the_size_of_the_model() {
        let grey = Picture::Raw {
            width: 30,
            height: 20,
            channels: 1,
            data: vec![200; 600].into(),
        };
        let t = table(Values::Picture(vec![Some(grey), None]));
        let Features::Picture(seen) = processor().encode(&t, 0).unwrap() else {
            unreachable!("a picture");
        };
        assert_eq!((seen.width(), seen.height()), (224, 224));
        let values = processor().values(&seen);
        assert!(values.iter().all(|v| (v - 73.0 / 128.0).abs() < 1e-6));
        let error = processor().encode(&t, 1).unwrap_err().to_string();
        assert!(error.contains("list.csv, line 3"), "{error}");
    }

    #[test]
    fn paths_start_at_the_folder_of_the_table() {
        let t = table(Values::Text(vec![Some("pics/none.png".to_string())]));
        let error = processor().encode(&t, 0).unwrap_err().to_string();
        assert!(error.contains("/data/pics/none.png"), "{error}");
    }
}
