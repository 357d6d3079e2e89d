//! Pictures for people: made small, encoded for a page, and under a heat map.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use super::augment::grey;
use super::{Filter, Pixels, resize};

/// Quality of JPEG, 1 to 100.
const QUALITY: u8 = 85;
/// Sides up to which a loss would show: each pixel is seen.
const EXACT: usize = 48;
/// How much of a place of the greatest heat is colour.
const OPACITY: f32 = 0.75;
/// Colours from cold to hot: dark violet, red, orange, yellow.
const COLOURS: [[f32; 3]; 4] = [
    [40.0, 11.0, 84.0],
    [187.0, 40.0, 70.0],
    [249.0, 142.0, 9.0],
    [252.0, 245.0, 140.0],
];

/// A picture as the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoded {
    /// Without loss.
    Png(Vec<u8>),
    /// With loss.
    Jpeg(Vec<u8>),
}

impl Pixels {
    /// The same picture with a longer side of at most `most` pixels; it is never enlarged.
    #[must_use]
    pub fn small(&self, most: usize) -> Self {
        let long = self.width.max(self.height);
        if long <= most {
            return self.clone();
        }
        let side = |n: usize| ((n * most) as f64 / long as f64).round().max(1.0) as usize;
        resize(self, side(self.width), side(self.height), Filter::Bicubic)
    }

    /// The bytes of a file: PNG where pixels are few or take no more room so, and else JPEG. `None` where a side is longer
    /// than JPEG knows, 65,535 pixels.
    pub fn encoded(&self) -> Option<Encoded> {
        let size = (self.width as u32, self.height as u32);
        let (mut png, mut jpeg) = (Vec::new(), Vec::new());
        let rgb = ExtendedColorType::Rgb8;
        PngEncoder::new(&mut png)
            .write_image(&self.rgb, size.0, size.1, rgb)
            .ok()?;
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .write_image(&self.rgb, size.0, size.1, rgb)
            .ok()?;
        let exact = self.width.max(self.height) <= EXACT || png.len() <= jpeg.len();
        Some(if exact {
            Encoded::Png(png)
        } else {
            Encoded::Jpeg(jpeg)
        })
    }

    /// The picture in grey under a map of heat, `[rows, columns]`, spread over all of it and interpolated: colour where
    /// the map is high. Values below 0 count as 0, and the largest one as 1; a map without a value above 0 adds nothing.
    ///
    /// # Panics
    /// When `map` does not have `grid[0] * grid[1]` values, or none.
    #[must_use]
    pub fn under(&self, map: &[f32], grid: [usize; 2]) -> Self {
        assert!(
            !map.is_empty() && map.len() == grid[0] * grid[1],
            "{} values are not {grid:?}",
            map.len()
        );
        let most = map.iter().copied().fold(0.0, f32::max);
        let (across, down) = (spots(self.width, grid[1]), spots(self.height, grid[0]));
        let at = |x: usize, y: usize| (map[y * grid[1] + x].max(0.0)) / most.max(f32::MIN_POSITIVE);
        Self::from_fn((self.width, self.height), |x, y| {
            let ((left, right, to_right), (top, bottom, to_bottom)) = (across[x], down[y]);
            let upper = between(at(left, top), at(right, top), to_right);
            let lower = between(at(left, bottom), at(right, bottom), to_right);
            let heat = between(upper, lower, to_bottom);
            let ground = f32::from(grey(self.at(x, y)));
            let colour = colour(heat);
            colour.map(|c| between(ground, c, OPACITY * heat).round() as u8)
        })
    }
}

/// For each of `pixels` along one axis the two of `places` whose centres are nearest, and the share of the second.
fn spots(pixels: usize, places: usize) -> Vec<(usize, usize, f32)> {
    let last = places as f32 - 1.0;
    (0..pixels)
        .map(|pixel| {
            let at = (pixel as f32 + 0.5) * places as f32 / pixels as f32 - 0.5;
            let at = at.clamp(0.0, last);
            let first = at as usize;
            (first, (first + 1).min(places - 1), at - first as f32)
        })
        .collect()
}

fn between(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// The colour of a heat from 0 to 1.
fn colour(heat: f32) -> [f32; 3] {
    let at = heat.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let first = (at as usize).min(COLOURS.len() - 2);
    let (cold, hot) = (COLOURS[first], COLOURS[first + 1]);
    std::array::from_fn(|c| between(cold[c], hot[c], at - first as f32))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::{Picture, PictureLimits};
    use super::*;

    fn read(bytes: Vec<u8>) -> Pixels {
        let picture = Picture::Bytes(bytes.into());
        picture.pixels(&PictureLimits::default()).unwrap()
    }

    /// A picture of noise, which no encoding makes small.
    fn noise(width: usize, height: usize) -> Pixels {
        let value = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
        let rgb = (0..width * height * 3).map(value).collect();
        Pixels::new(width, height, rgb).unwrap()
    }

    #[test]
    fn few_pixels_and_plain_ones_keep_every_value() {
        let plain = Pixels::new(90, 60, vec![7; 90 * 60 * 3]).unwrap();
        for exact in [noise(48, 20), plain] {
            let Some(Encoded::Png(bytes)) = exact.encoded() else {
                unreachable!("no PNG");
            };
            assert_eq!(read(bytes), exact);
        }
        let Some(Encoded::Jpeg(bytes)) = noise(49, 20).encoded() else {
            unreachable!("no JPEG");
        };
        let seen = read(bytes);
        assert_eq!((seen.width(), seen.height()), (49, 20));
    }

    #[test]
    fn small_pictures_keep_their_shape() {
        let of = |width, height| {
            let small = noise(width, height).small(96);
            (small.width(), small.height())
        };
        assert_eq!(of(300, 200), (96, 64));
        assert_eq!(of(20, 2000), (1, 96));
        assert_eq!(of(96, 50), (96, 50));
        assert_eq!(noise(30, 20).small(96), noise(30, 20));
    }

    #[test]
    fn heat_colours_the_places_that_have_it() {
        let picture = noise(60, 40);
        // Two rows of three places, hot at the upper right; what speaks against the answer is as cold as nothing.
        let seen = picture.under(&[0.0, 0.0, 2.0, 0.0, -9.0, 0.0], [2, 3]);
        let ground = |x, y| [grey(picture.at(x, y)); 3];
        assert_eq!(seen.at(0, 39), ground(0, 39));
        assert_eq!(seen.at(29, 30), ground(29, 30));
        let heated = |x, heat: f32, colour: [f32; 3]| {
            let ground = f32::from(grey(picture.at(x, 0)));
            colour.map(|c| (ground + (c - ground) * OPACITY * heat).round() as u8)
        };
        assert_eq!(seen.at(59, 0), heated(59, 1.0, COLOURS[3]));
        // A little more than half way between the centres of the second and the third place of the first row: the
        // colour lies between the second and the third one.
        let heat = 0.525;
        let mixed =
            std::array::from_fn(|c| COLOURS[1][c] + 0.575 * (COLOURS[2][c] - COLOURS[1][c]));
        let close = |(got, want): (u8, u8)| got.abs_diff(want) <= 1;
        let both = seen.at(40, 0).into_iter().zip(heated(40, heat, mixed));
        assert!(both.into_iter().all(close), "{:?}", seen.at(40, 0));
        let cold = picture.under(&[-1.0; 6], [2, 3]);
        assert_eq!(cold.at(59, 0), ground(59, 0));
    }
}
