//! Pictures to what a vision model reads.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Labels;
use crate::batch::Views;
use crate::error::{DataError, Result};
use crate::example::{Example, Features, Framed};
use crate::picture::{Picture, PictureLimits, Pixels, Preprocess};
use crate::table::Table;

/// Bytes of cut pixels that the rows of one part of the data keep in memory; other pictures are decoded when needed.
const KEPT: usize = 1 << 30;

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
    /// Cuts the picture of a row, and decodes it before that unless it is there `whole`.
    ///
    /// # Errors
    /// A column that is missing; a row without a picture; a file that is none, with its place.
    pub fn encode(&self, t: &Table, row: usize, whole: Option<Pixels>) -> Result<Features> {
        let [name] = &self.picture[..] else {
            return Err(DataError::File {
                file: t.file(),
                problem: "a model of pictures reads one column".to_string(),
                cure: "name one with --text COLUMN".to_string(),
            });
        };
        let picture = t.picture(t.column(name)?, row);
        let picture = picture.ok_or_else(|| DataError::File {
            file: t.place(row),
            problem: format!("column `{name}` has no picture"),
            cure: "fill it in or remove the row".to_string(),
        })?;
        let whole = match whole {
            Some(whole) => whole,
            None => decoded(&picture).map_err(|e| match (e, &picture) {
                (
                    DataError::File { problem, cure, .. },
                    Picture::Bytes(_) | Picture::Raw { .. },
                ) => DataError::File {
                    file: t.place(row),
                    problem,
                    cure,
                },
                (other, _) => other,
            })?,
        };
        Ok(self.cut(picture, &whole))
    }

    /// The picture in a file.
    ///
    /// # Errors
    /// A file that is no picture.
    pub fn encode_file(&self, path: &Path) -> Result<Features> {
        let picture = Picture::File(path.to_path_buf());
        let whole = decoded(&picture)?;
        Ok(self.cut(picture, &whole))
    }

    fn cut(&self, from: Picture, whole: &Pixels) -> Features {
        let cut = self.preprocess.cut(whole);
        Features::Picture(Framed {
            from,
            digest: Sha256::digest(cut.rgb()).into(),
            cut: Some(Arc::new(cut)),
        })
    }

    /// A picture before it is cut.
    ///
    /// # Errors
    /// A file that is no picture any more.
    pub fn whole(&self, framed: &Framed) -> Result<Pixels> {
        decoded(&framed.from)
    }

    /// The pixels that the model reads of a picture, decoded again where they are not in memory.
    ///
    /// # Errors
    /// A file that is no picture any more.
    pub fn pixels(&self, framed: &Framed) -> Result<Arc<Pixels>> {
        match &framed.cut {
            Some(cut) => Ok(Arc::clone(cut)),
            None => Ok(Arc::new(self.preprocess.cut(&decoded(&framed.from)?))),
        }
    }

    /// Pictures of a batch as `views` has them, one after the other, each `[height, width, 3]`.
    ///
    /// # Errors
    /// As [`ImageProcessor::pixels`].
    pub(crate) fn batch(&self, xs: &[&Example], views: Views) -> Result<Vec<f32>> {
        let each = self.preprocess.crop.height * self.preprocess.crop.width * 3;
        let pictures: Vec<(u64, &Framed)> = xs
            .iter()
            .filter_map(|x| Some((x.meta.row, x.picture()?)))
            .collect();
        let mut values = vec![0.0; pictures.len() * each];
        let all = values.par_chunks_mut(each).zip(pictures);
        all.try_for_each(|(to, (row, framed))| -> Result<()> {
            match views {
                Views::Turned(tta, view) if view > 0 => {
                    let seen = tta.cut(view, &self.preprocess, &decoded(&framed.from)?);
                    self.preprocess.normalise_to(&seen, to);
                }
                Views::Plain | Views::Turned(..) | Views::Known => {
                    self.preprocess.normalise_to(&*self.pixels(framed)?, to);
                }
                Views::Changed(changes) => {
                    let whole = decoded(&framed.from)?;
                    let key = changes.key(row);
                    to.copy_from_slice(&changes.knobs.apply(&self.preprocess, &whole, key));
                }
            }
            Ok(())
        })?;
        Ok(values)
    }
}

/// Lets go of the pixels of the last pictures, where all of them take more than [`KEPT`] bytes.
pub(super) fn let_go(examples: &mut [Example], taken: &mut usize) {
    for example in examples {
        if let Features::Picture(framed) = &mut example.features {
            *taken += framed.cut.as_ref().map_or(0, |cut| cut.rgb().len());
            if *taken > KEPT {
                framed.cut = None;
            }
        }
    }
}

fn decoded(picture: &Picture) -> Result<Pixels> {
    Ok(picture.pixels(&PictureLimits::default())?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::path::PathBuf;

    use super::*;
    use crate::example::{Meta, Target};
    use crate::table::{Column, RowOrigin, Values};

    fn example(features: Features, row: u64) -> Example {
        Example {
            features,
            target: Target::None,
            meta: Meta { row, weight: 1.0 },
        }
    }

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
        let mut example = example(processor().encode(&t, 0, None).unwrap(), 0);
        let cut = processor().pixels(example.picture().unwrap()).unwrap();
        assert_eq!((cut.width(), cut.height()), (224, 224));
        let values = processor().batch(&[&example], Views::Plain).unwrap();
        assert!(values.iter().all(|v| (v - 73.0 / 128.0).abs() < 1e-6));
        // Pixels that are not kept are made again.
        let mut taken = KEPT;
        let_go(std::slice::from_mut(&mut example), &mut taken);
        assert_eq!(example.picture().unwrap().cut, None);
        assert_eq!(
            processor().batch(&[&example], Views::Plain).unwrap(),
            values
        );
        let error = processor().encode(&t, 1, None).unwrap_err().to_string();
        assert!(error.contains("list.csv, line 3"), "{error}");
        // One that is decoded already is not decoded again.
        let black = Pixels::new(30, 20, vec![0; 1800]).unwrap();
        let given = processor().encode(&t, 0, Some(black)).unwrap();
        assert_ne!(given, example.features);
    }

    #[test]
    fn paths_start_at_the_folder_of_the_table() {
        let t = table(Values::Text(vec![Some("pics/none.png".to_string())]));
        let error = processor().encode(&t, 0, None).unwrap_err().to_string();
        assert!(error.contains("/data/pics/none.png"), "{error}");
    }
}
