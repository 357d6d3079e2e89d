//! Single pictures: files to pixels, pixels to what a model wants, random changes, and near duplicates.
//!
//! `Picture ─pixels→ Pixels ─Preprocess::apply→ [height, width, 3]`
//!
//! Nothing here knows tables or models. Everything is deterministic: random changes are functions of a key.

pub mod augment;
mod config;
mod decode;
mod error;
pub mod hash;
pub mod idx;
pub mod near;
pub mod npz;
mod numbers;
mod preprocess;
mod resize;
mod sheet;
mod small;
mod views;

use std::path::PathBuf;
use std::sync::Arc;

pub use augment::{Augment, Knobs};
pub use error::{Fault, PictureError};
pub use near::Thumbnail;
pub use numbers::{Array, Numbers};
pub use preprocess::{Centre, Preprocess, Resize, Size};
pub use resize::{Filter, Part, resize, resize_part};
pub use sheet::{DRAWS, changes, contact_sheet};
pub use small::Encoded;
pub use views::Tta;

/// Endings of files of pictures.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif"];

/// Whether a file of this name should be a picture.
pub fn is_name(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ENDINGS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(ending))
}

/// Whether bytes are an encoded picture of a format that is read, by the first of them.
pub(crate) fn is_encoded(bytes: &[u8]) -> bool {
    decode::format(bytes).is_ok()
}

/// Where a picture comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    /// A file of its own.
    File(PathBuf),
    /// An encoded file (JPEG, PNG, ..) that lies inside another file, such as a cell of a Parquet file.
    Bytes(Arc<[u8]>),
    /// Plain pixels, rows from the top, 8 bits a channel: `data` is `[height, width, channels]`.
    Raw {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// 1 for grey, 3 for red, green, blue.
        channels: usize,
        /// `height * width * channels` values.
        data: Arc<[u8]>,
    },
}

/// What a picture may cost. It is checked on the header, before anything is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureLimits {
    /// The most bytes an encoded file may have.
    pub file_bytes: u64,
    /// The most pixels, width times height.
    pub pixels: u64,
    /// The most bytes that the decoded picture may take in its own depth (16 bits and alpha count), and so may the
    /// buffers of a decoder that keeps account of them. A progressive JPEG needs up to twice its 3 bytes a pixel more.
    pub memory: u64,
}

/// 256 MiB of file, 64 Mi pixels (a photo of 8,000 times 8,000 fits), 1 GiB of memory.
impl Default for PictureLimits {
    fn default() -> Self {
        Self {
            file_bytes: 256 << 20,
            pixels: 64 << 20,
            memory: 1 << 30,
        }
    }
}

impl Picture {
    /// Decodes the picture into 8-bit RGB.
    ///
    /// The format is told by the content, never by the extension: JPEG (grey, RGB, CMYK), PNG, WebP, TIFF, BMP, GIF.
    /// 16-bit channels are rounded to 8 bits, transparent pixels are laid over white, EXIF orientation is applied,
    /// colour profiles are ignored, and of several frames or pages the first is taken.
    ///
    /// # Errors
    /// [`PictureError`] with the kind of fault, what was found, and what to do; `place` is the path of a file and
    /// empty otherwise.
    pub fn pixels(&self, limits: &PictureLimits) -> Result<Pixels, PictureError> {
        match self {
            Self::File(path) => decode::load(path, limits)
                .and_then(|bytes| decode::decode(&bytes, limits))
                .map_err(|e| e.at(&path.display().to_string())),
            Self::Bytes(bytes) => decode::decode(bytes, limits),
            Self::Raw {
                width,
                height,
                channels,
                data,
            } => decode::raw((*width, *height, *channels), data, limits),
        }
    }
}

/// A decoded picture: 8-bit red, green, blue, rows from the top. It has at least one pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Pixels {
    /// `rgb` is `[height, width, 3]`; `None` if its length is another one or there is no pixel.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Option<Self> {
        let want = width.checked_mul(height)?.checked_mul(3)?;
        (want > 0 && rgb.len() == want).then_some(Self { width, height, rgb })
    }

    /// Pixels a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values, `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The values, `[height, width, 3]`, without a copy.
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// One row, `[width, 3]`.
    fn row(&self, y: usize) -> &[u8] {
        &self.rgb[y * self.width * 3..][..self.width * 3]
    }

    /// One pixel. Panics outside the picture.
    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let i = (y * self.width + x) * 3;
        [self.rgb[i], self.rgb[i + 1], self.rgb[i + 2]]
    }

    /// Left and right exchanged.
    fn mirrored(&self) -> Self {
        let last = self.width - 1;
        Self::from_fn((self.width, self.height), |x, y| self.at(last - x, y))
    }

    /// A picture of `size` (width, height) whose pixels are `of(x, y)`. The size must have a pixel.
    fn from_fn(size: (usize, usize), of: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let (width, height) = size;
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                rgb.extend(of(x, y));
            }
        }
        Self { width, height, rgb }
    }
}
