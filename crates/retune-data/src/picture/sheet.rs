//! A contact sheet: what a model sees of some pictures in training, as their random changes draw it.

use super::augment::Knobs;
use super::{Pixels, Preprocess};

/// Draws of each picture on a sheet.
pub const DRAWS: usize = 6;
/// Pixels between pictures.
const GAP: usize = 4;
/// The colour between pictures; it is neither that of light pages nor that of dark ones.
const GROUND: [u8; 3] = [128; 3];

/// One row for each picture, `side` pixels on the longer side of each cell: as at prediction, then [`DRAWS`] draws, the
/// first by `key(picture, 0)`. Where the knobs change nothing, the pictures stand beside each other in one row.
///
/// `None` without pictures.
pub fn contact_sheet(
    (knobs, preprocess): (&Knobs, &Preprocess),
    pictures: &[Pixels],
    key: &dyn Fn(usize, u64) -> u64,
    side: usize,
) -> Option<Pixels> {
    let cell = |picture: &Pixels| picture.small(side);
    if changes(knobs).is_empty() {
        let row: Vec<Pixels> = pictures.iter().map(|p| cell(&preprocess.cut(p))).collect();
        return laid_out(&[row]);
    }
    let row = |(i, picture): (usize, &Pixels)| {
        let drawn = (0..DRAWS as u64).map(|draw| knobs.apply(preprocess, picture, key(i, draw)));
        let seen = drawn.map(|values| pixels(preprocess, &values));
        let all = std::iter::once(preprocess.cut(picture)).chain(seen);
        all.map(|picture| cell(&picture)).collect()
    };
    let rows: Vec<Vec<Pixels>> = pictures.iter().enumerate().map(row).collect();
    laid_out(&rows)
}

/// What random changes do, in words; empty where they do nothing.
pub fn changes(knobs: &Knobs) -> Vec<String> {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let mut found = Vec::new();
    if let Some(least) = knobs.crop_area {
        found.push(format!("cut to at least {} of the area", percent(least)));
    }
    if knobs.flip > 0.0 {
        found.push(format!(
            "left and right exchanged in {} of the draws",
            percent(knobs.flip)
        ));
    }
    for (what, by) in [
        ("brightness", knobs.brightness),
        ("contrast", knobs.contrast),
        ("saturation", knobs.saturation),
    ] {
        if by > 0.0 {
            found.push(format!("{what} changed by up to {}", percent(by)));
        }
    }
    if knobs.hue > 0.0 {
        found.push(format!("colours turned by up to {}", percent(knobs.hue)));
    }
    if knobs.trivial {
        found.push("one change of TrivialAugment".to_string());
    }
    if knobs.erase > 0.0 {
        found.push(format!(
            "a rectangle erased in {} of the draws",
            percent(knobs.erase)
        ));
    }
    found
}

/// Values as the model reads them, `[crop.height, crop.width, 3]`, back to 8 bits a channel.
fn pixels(preprocess: &Preprocess, values: &[f32]) -> Pixels {
    let (width, height) = (preprocess.crop.width, preprocess.crop.height);
    Pixels::from_fn((width, height), |x, y| {
        let place = &values[(y * width + x) * 3..][..3];
        std::array::from_fn(|c| {
            let value = f64::from(place[c]) * preprocess.std[c] + preprocess.mean[c];
            (value / preprocess.scale).round() as u8
        })
    })
}

/// Cells of one size in rows, with gaps between them.
fn laid_out(rows: &[Vec<Pixels>]) -> Option<Pixels> {
    let first = rows.first()?.first()?;
    let (width, height) = (first.width + GAP, first.height + GAP);
    let columns = rows.iter().map(Vec::len).max()?;
    let size = (columns * width - GAP, rows.len() * height - GAP);
    Some(Pixels::from_fn(size, |x, y| {
        let cell = rows[y / height].get(x / width);
        let (x, y) = (x % width, y % height);
        match cell {
            Some(cell) if x < cell.width && y < cell.height => cell.at(x, y),
            _ => GROUND,
        }
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::augment::{Augment, key};
    use super::*;

    fn pictures() -> Vec<Pixels> {
        let of = |salt: usize| {
            let value = |i: usize| ((i + salt) * 37 % 251) as u8;
            Pixels::new(80, 60, (0..80 * 60 * 3).map(value).collect()).unwrap()
        };
        vec![of(0), of(99)]
    }

    fn cell(sheet: &Pixels, column: usize, row: usize) -> Pixels {
        let (left, top) = (column * (32 + GAP), row * (32 + GAP));
        Pixels::from_fn((32, 32), |x, y| sheet.at(left + x, top + y))
    }

    fn preprocess() -> Preprocess {
        let mut found = Preprocess::efficientnet_lite0();
        found.crop = super::super::Size::square(64);
        found.resize = super::super::Resize::Shortest(64);
        found
    }

    #[test]
    fn every_draw_is_the_one_of_its_key() {
        let (knobs, preprocess) = (Augment::Light.knobs(), preprocess());
        let of = |picture: usize, draw: u64| key(7, draw, picture as u64);
        let sheet = contact_sheet((&knobs, &preprocess), &pictures(), &of, 32).unwrap();
        assert_eq!(
            (sheet.width(), sheet.height()),
            (7 * 36 - GAP, 2 * 36 - GAP)
        );
        for (row, picture) in pictures().iter().enumerate() {
            assert_eq!(cell(&sheet, 0, row), preprocess.cut(picture).small(32));
            let mut draws = Vec::new();
            for draw in 0..DRAWS {
                let values = knobs.apply(&preprocess, picture, of(row, draw as u64));
                let wanted = pixels(&preprocess, &values);
                assert_eq!(preprocess.normalise(&wanted), values);
                let got = cell(&sheet, draw + 1, row);
                assert_eq!(got, wanted.small(32), "{row}, {draw}");
                draws.push(got);
            }
            assert!(draws.windows(2).any(|two| two[0] != two[1]));
        }
        assert_eq!(sheet.at(33, 5), GROUND);
        assert_eq!(contact_sheet((&knobs, &preprocess), &[], &of, 32), None);
    }

    #[test]
    fn pictures_that_nothing_changes_stand_in_one_row() {
        let (knobs, preprocess) = (Augment::None.knobs(), preprocess());
        assert!(changes(&knobs).is_empty());
        let sheet = contact_sheet((&knobs, &preprocess), &pictures(), &|_, _| 0, 32).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (2 * 36 - GAP, 32));
        assert_eq!(cell(&sheet, 1, 0), preprocess.cut(&pictures()[1]).small(32));
    }

    #[test]
    fn changes_are_named() {
        assert_eq!(
            changes(&Augment::Strong.knobs()),
            [
                "cut to at least 8 % of the area",
                "left and right exchanged in 50 % of the draws",
                "one change of TrivialAugment",
                "a rectangle erased in 10 % of the draws",
            ]
        );
        let each = Knobs {
            brightness: 0.2,
            hue: 0.1,
            ..Knobs::default()
        };
        let words = [
            "brightness changed by up to 20 %",
            "colours turned by up to 10 %",
        ];
        assert_eq!(changes(&each), words);
    }
}
