//! Pictures in the records of a run: small ones, encoded, so that the page can be written anew without the data.

use serde::{Deserialize, Serialize};

use super::{RunRecord, Shown};

/// How an inline picture is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureFormat {
    /// Without loss.
    Png,
    /// With loss, and smaller for photographs.
    Jpeg,
}

/// An encoded picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlinePicture {
    /// How it is encoded.
    pub format: PictureFormat,
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// The bytes of the file in base64 (RFC 4648, section 4).
    pub base64: String,
}

impl InlinePicture {
    /// Of the bytes of a file; `size` is width and height in pixels.
    pub fn new(format: PictureFormat, size: (usize, usize), file: &[u8]) -> Self {
        Self {
            format,
            width: size.0 as u32,
            height: size.1 as u32,
            base64: base64(file),
        }
    }
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let sign = SIGNS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= three.len() {
                char::from(sign)
            } else {
                '='
            });
        }
    }
    out
}

/// What a run on pictures shows beside its mistakes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pictures {
    /// Test rows that were answered right, by class; empty unless each row has one class.
    #[serde(default)]
    pub right: Vec<Gallery>,
    /// Where the model looked.
    #[serde(default)]
    pub maps: Option<HeatMaps>,
    /// What the model saw in training.
    #[serde(default)]
    pub training: Option<ContactSheet>,
}

/// Rows of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gallery {
    /// Name of the class.
    pub class: String,
    /// The rows.
    pub rows: Vec<Shown>,
}

/// Heat maps of what speaks for an answer (Grad-CAM; Selvaraju et al., arXiv:1610.02391).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatMaps {
    /// Rows, each with its picture under the heat map.
    pub rows: Vec<(Shown, InlinePicture)>,
    /// Places of a map, from top to bottom and from left to right.
    pub grid: [usize; 2],
    /// Mean rank correlation with the maps of the same model whose backbone has random weights, -1 to 1 (Adebayo et
    /// al., arXiv:1810.03292); absent where no such model could be built.
    #[serde(default)]
    pub correlation: Option<f64>,
}

/// Training pictures as the model sees them, several times each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContactSheet {
    /// One row for each picture: as at prediction first, then the draws.
    pub sheet: InlinePicture,
    /// Draws of each picture.
    pub draws: usize,
    /// What changes the pictures, in words; empty where nothing does.
    pub changes: Vec<String>,
    /// The rows of the data, from the top.
    pub rows: Vec<String>,
}

/// Bytes of base64 that may still be taken.
struct Budget(usize);

impl Budget {
    /// Whether all of them fit; they are taken together or not at all.
    fn takes(&mut self, pictures: &[&InlinePicture]) -> bool {
        let wanted = pictures.iter().map(|picture| picture.base64.len()).sum();
        let left = self.0.checked_sub(wanted);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }

    fn keep(&mut self, picture: &mut Option<InlinePicture>) {
        if picture.as_ref().is_some_and(|p| !self.takes(&[p])) {
            *picture = None;
        }
    }
}

impl RunRecord {
    /// Drops pictures beyond so many bytes of base64, mistakes last. Rows without a picture keep their words; those of
    /// galleries and maps go with it.
    pub fn limit_pictures(&mut self, bytes: usize) {
        let mut budget = Budget(bytes);
        for row in &mut self.mistakes {
            budget.keep(&mut row.picture);
        }
        for (row, _) in &mut self.before_after {
            budget.keep(&mut row.picture);
        }
        let Some(pictures) = &mut self.pictures else {
            return;
        };
        if let Some(maps) = &mut pictures.maps {
            maps.rows.retain(|(row, map)| {
                row.picture
                    .as_ref()
                    .is_some_and(|p| budget.takes(&[p, map]))
            });
        }
        let sheet = pictures.training.take();
        pictures.training = sheet.filter(|training| budget.takes(&[&training.sheet]));
        for gallery in &mut pictures.right {
            let fits = |row: &Shown| row.picture.as_ref().is_some_and(|p| budget.takes(&[p]));
            gallery.rows.retain(fits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sample;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // Section 10 of RFC 4648.
        let wanted = [
            "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy",
        ];
        for (length, wanted) in wanted.iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), *wanted);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn pictures_beyond_the_limit_are_dropped_mistakes_last() {
        let whole = sample::picture_record();
        let all = |r: &RunRecord| {
            let pictures = r.pictures.as_ref();
            [
                r.mistakes
                    .iter()
                    .filter(|row| row.picture.is_some())
                    .count(),
                pictures.map_or(0, |p| p.maps.as_ref().map_or(0, |maps| maps.rows.len())),
                pictures.map_or(0, |p| usize::from(p.training.is_some())),
                pictures.map_or(0, |p| p.right.iter().map(|g| g.rows.len()).sum()),
            ]
        };
        assert_eq!(all(&whole), [1, 1, 1, 2]);
        // Every picture of the sample has 8 signs: one mistake, one row before and after, a map of two, a sheet, two
        // rows of a gallery.
        for (bytes, left) in [
            (56, [1, 1, 1, 2]),
            (55, [1, 1, 1, 1]),
            (40, [1, 1, 1, 0]),
            (32, [1, 1, 0, 0]),
            (24, [1, 0, 1, 0]),
            (8, [1, 0, 0, 0]),
            (7, [0, 0, 0, 0]),
        ] {
            let mut record = whole.clone();
            record.limit_pictures(bytes);
            assert_eq!(all(&record), left, "{bytes} bytes");
            assert_eq!(record.mistakes.len(), 1);
        }
    }
}
