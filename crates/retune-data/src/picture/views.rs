//! Several views of a picture, whose answers are averaged: its mirror image, and parts of it beside the whole (Krizhevsky,
//! Sutskever and Hinton, NeurIPS 2012, section 4.1: four corners and the middle, and the mirror images of these).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::augment::cut;
use super::{Part, Pixels, Preprocess};

/// Most views: the whole and four corners, and their mirror images.
const MOST: usize = 10;
/// Corners of a picture.
const CORNERS: usize = 4;
/// A corner has all but this share of the rows and of the columns: 224 of 256.
const LEFT_OUT: usize = 8;

/// Which views of a picture a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Tta {
    /// The picture as it is.
    #[default]
    None,
    /// The picture and its mirror image.
    Flip,
    /// So many views, 2 to 10: the picture, then its corners from the upper left to the lower right, then the mirror images
    /// of these.
    Crops(usize),
}

impl Tta {
    /// Views of each picture; the first one is the picture as it is.
    pub fn views(self) -> usize {
        match self {
            Self::None => 1,
            Self::Flip => 2,
            Self::Crops(n) => n,
        }
    }

    /// A view as the model reads it, `[crop.height, crop.width]` pixels, of a `whole` picture. View 0 is
    /// [`Preprocess::cut`].
    pub fn cut(self, view: usize, preprocess: &Preprocess, whole: &Pixels) -> Pixels {
        let (part, mirrored) = match self {
            Self::Crops(_) => (view % (CORNERS + 1), view > CORNERS),
            _ => (0, view > 0),
        };
        let seen = match part {
            0 => preprocess.cut(whole),
            corner => preprocess.cut(&cut(whole, at_corner(whole, corner - 1))),
        };
        if mirrored { seen.mirrored() } else { seen }
    }
}

/// Seven eighths of each side, at one of the corners from the upper left to the lower right.
fn at_corner(whole: &Pixels, corner: usize) -> Part {
    let [(left, width), (top, height)] =
        [(whole.width(), corner % 2), (whole.height(), corner / 2)].map(|(side, end)| {
            let out = side / LEFT_OUT;
            (out * end, side - out)
        });
    Part {
        left,
        top,
        width,
        height,
    }
}

impl fmt::Display for Tta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Flip => f.write_str("flip"),
            Self::Crops(n) => write!(f, "crops={n}"),
        }
    }
}

impl FromStr for Tta {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let views = |n: &str| n.parse().ok().filter(|n| (2..=MOST).contains(n));
        let found = match text.trim().split_once('=') {
            None if text.trim() == "none" => Some(Self::None),
            None if text.trim() == "flip" => Some(Self::Flip),
            Some(("crops", n)) => views(n).map(Self::Crops),
            _ => None,
        };
        found.ok_or_else(|| {
            format!("`{text}` is no choice of views; write none, flip, or crops=N with N from 2 to {MOST}")
        })
    }
}

impl TryFrom<String> for Tta {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Tta> for String {
    fn from(tta: Tta) -> Self {
        tta.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::picture::{Centre, Filter, Resize, Size};

    /// Each pixel holds its own place.
    fn places(width: usize, height: usize) -> Pixels {
        Pixels::from_fn((width, height), |x, y| [x as u8, y as u8, 0])
    }

    /// The middle of 14 x 14 pixels, as they are.
    fn middle() -> Preprocess {
        Preprocess {
            resize: Resize::Keep,
            crop: Size::square(14),
            centre: Centre::Down,
            filter: Filter::Bilinear,
            ..Preprocess::efficientnet_lite0()
        }
    }

    #[test]
    fn views_are_the_whole_the_corners_and_their_mirror_images() {
        let whole = places(16, 16);
        let first = |tta: Tta, view: usize| {
            let seen = tta.cut(view, &middle(), &whole);
            assert_eq!((seen.width(), seen.height()), (14, 14));
            [seen.rgb()[0], seen.rgb()[1]]
        };
        let crops = Tta::Crops(10);
        let corners: Vec<[u8; 2]> = (0..5).map(|view| first(crops, view)).collect();
        assert_eq!(corners, [[1, 1], [0, 0], [2, 0], [0, 2], [2, 2]]);
        let mirrored: Vec<[u8; 2]> = (5..10).map(|view| first(crops, view)).collect();
        assert_eq!(mirrored, [[14, 1], [13, 0], [15, 0], [13, 2], [15, 2]]);
        assert_eq!(
            [first(Tta::Flip, 0), first(Tta::Flip, 1)],
            [[1, 1], [14, 1]]
        );
        assert_eq!(Tta::None.cut(0, &middle(), &whole), middle().cut(&whole));
        // A picture with too few pixels to leave any out.
        let small = places(3, 2);
        let seen = Tta::Crops(5).cut(4, &Preprocess::efficientnet_lite0(), &small);
        assert_eq!((seen.width(), seen.height()), (224, 224));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for (tta, views) in [(Tta::None, 1), (Tta::Flip, 2), (Tta::Crops(10), 10)] {
            assert_eq!(tta.to_string().parse::<Tta>().unwrap(), tta);
            assert_eq!(tta.views(), views);
        }
        for text in ["crops", "crops=1", "crops=11", "crops=x", "twice", ""] {
            let error = text.parse::<Tta>().unwrap_err();
            assert!(error.contains("crops=N with N from 2 to 10"), "{error}");
        }
    }
}
