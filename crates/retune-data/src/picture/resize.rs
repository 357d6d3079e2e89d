//! Resizing as `Image.resize` of Pillow does it, to the bit.
//!
//! Each output value is a weighted mean of the inputs under a filter that is stretched when shrinking (so that
//! nothing is skipped), columns first, then rows. Weights are whole numbers of `2^-22` and each pass rounds to
//! 8 bits, so the result is the same on every machine. The columns of one input row are computed at a time and
//! added to the sums of the output rows it belongs to: memory is that of the output, whatever the input.
//!
//! Columns first is what Pillow does up to version 12. Version 13 takes the rows first where a picture loses more
//! than twice as much height as width, which moves single values by one.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::Pixels;

/// How pixels between pixels are computed. Names are those of Pillow and timm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The nearest pixel; skips pixels when shrinking.
    Nearest,
    /// The mean of the pixels covered.
    Box,
    /// Triangle over 2 pixels.
    Bilinear,
    /// Cosine window over 2 pixels.
    Hamming,
    /// Keys' cubic with a = -0.5 over 4 pixels.
    Bicubic,
    /// Windowed sinc over 6 pixels.
    Lanczos,
}

impl Filter {
    /// Half the width of the filter, in output pixels.
    fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight at distance `x` from the centre, in output pixels.
    fn weight(self, x: f64) -> f64 {
        let a = x.abs();
        match self {
            Self::Nearest | Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - a).max(0.0),
            Self::Hamming if a >= 1.0 => 0.0,
            Self::Hamming => sinc(a) * (0.54 + 0.46 * (PI * a).cos()),
            Self::Bicubic if a < 1.0 => (1.5 * a - 2.5) * a * a + 1.0,
            Self::Bicubic if a < 2.0 => -0.5 * (((a - 5.0) * a + 8.0) * a - 4.0),
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// The picture in `width` by `height` pixels. Both must be at least 1.
///
/// Source: `Image.resize(size, resample)` of Pillow 12; equal to it in every bit.
pub fn resize(from: &Pixels, width: usize, height: usize, filter: Filter) -> Pixels {
    let part = Part {
        left: 0,
        top: 0,
        width,
        height,
    };
    resize_part(from, (width, height), part, filter)
}

/// `part` of the picture resized to `size` (width, height), without computing the rest.
///
/// The part must lie inside `size` and have a pixel; anything else is a mistake of the caller and panics.
pub fn resize_part(from: &Pixels, size: (usize, usize), part: Part, filter: Filter) -> Pixels {
    let inside = part.left + part.width <= size.0 && part.top + part.height <= size.1;
    assert!(
        inside && part.width > 0 && part.height > 0,
        "{part:?} is not a part of {size:?}"
    );
    if filter == Filter::Nearest || (from.width, from.height) == size {
        let columns = nearest(from.width, size.0, part.left, part.width);
        let rows = nearest(from.height, size.1, part.top, part.height);
        return Pixels::from_fn((part.width, part.height), |x, y| {
            from.at(columns[x], rows[y])
        });
    }
    let columns = weights(
        from.width,
        size.0,
        part.left..part.left + part.width,
        filter,
    );
    let rows = weights(
        from.height,
        size.1,
        part.top..part.top + part.height,
        filter,
    );
    let stride = part.width * 3;
    let mut sums = vec![HALF; stride * part.height];
    let mut line = vec![0u8; stride];
    // Spans start and end in order, so the output rows that an input row belongs to are neighbours.
    let mut first = 0;
    let end = rows.last().map_or(0, |s| s.start + s.weights.len());
    for y in rows.first().map_or(0, |s| s.start)..end {
        while rows[first].start + rows[first].weights.len() <= y {
            first += 1;
        }
        mix_columns(from.row(y), &columns, &mut line);
        for (span, sum) in rows[first..]
            .iter()
            .zip(sums[first * stride..].chunks_exact_mut(stride))
        {
            if span.start > y {
                break;
            }
            let Some(&w) = span.weights.get(y - span.start) else {
                continue;
            };
            for (s, &v) in sum.iter_mut().zip(&line) {
                *s += w * i32::from(v);
            }
        }
    }
    Pixels {
        width: part.width,
        height: part.height,
        rgb: sums.into_iter().map(to_byte).collect(),
    }
}

/// Bits behind the point of a weight.
const BITS: u32 = 22;
/// One half, so that dropping the bits behind the point rounds.
const HALF: i32 = 1 << (BITS - 1);

fn to_byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// The inputs of one output: neighbours from `start` on, with weights that sum to about `2^22`.
struct Span {
    start: usize,
    weights: Vec<i32>,
}

/// Spans of the outputs `range` of an axis of `input` pixels resized to `output`.
fn weights(
    input: usize,
    output: usize,
    range: std::ops::Range<usize>,
    filter: Filter,
) -> Vec<Span> {
    if input == output {
        // Pillow leaves out the pass.
        let one = |start| Span {
            start,
            weights: vec![1 << BITS],
        };
        return range.map(one).collect();
    }
    let scale = input as f64 / output as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let span = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        // Casts of negative numbers give 0.
        let start = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(input);
        let raw: Vec<f64> = (start..end.max(start))
            .map(|x| filter.weight((x as f64 - centre + 0.5) * (1.0 / stretch)))
            .collect();
        let total: f64 = raw.iter().sum();
        let fixed = |w: f64| {
            let share = if total == 0.0 { 0.0 } else { w / total };
            let w = share * f64::from(1 << BITS);
            (if w < 0.0 { w - 0.5 } else { w + 0.5 }) as i32
        };
        Span {
            start,
            weights: raw.into_iter().map(fixed).collect(),
        }
    };
    range.map(span).collect()
}

/// One row `[width, 3]` in its new columns.
fn mix_columns(row: &[u8], columns: &[Span], out: &mut [u8]) {
    for (span, out) in columns.iter().zip(out.chunks_exact_mut(3)) {
        let mut sum = [HALF; 3];
        for (p, &w) in row[span.start * 3..].chunks_exact(3).zip(&span.weights) {
            for (s, &v) in sum.iter_mut().zip(p) {
                *s += w * i32::from(v);
            }
        }
        out.copy_from_slice(&sum.map(to_byte));
    }
}

/// The input pixel of each of `count` outputs from `first` on.
fn nearest(input: usize, output: usize, first: usize, count: usize) -> Vec<usize> {
    let step = input as f64 / output as f64;
    // Pillow adds up the steps, whose rounding decides ties.
    let mut at = step * 0.5;
    for _ in 0..first {
        at += step;
    }
    (0..count)
        .map(|_| {
            let i = (at as usize).min(input - 1);
            at += step;
            i
        })
        .collect()
}
