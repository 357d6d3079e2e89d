//! Single changes of a picture, each as torchvision makes it on a Pillow picture, equal in every bit.

use super::super::Pixels;

/// A change of colours or of places. Pixels that come from outside the picture are black.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Mixed with black: 0 is black, 1 the picture, more is brighter.
    Brightness(f64),
    /// Mixed with its mean grey: 0 is grey, 1 the picture.
    Contrast(f64),
    /// Mixed with its own grey picture: 0 is grey, 1 the picture.
    Saturation(f64),
    /// Mixed with a smoothed picture: 0 is smooth, 1 the picture.
    Sharpness(f64),
    /// Turns the colour circle by this share, from -0.5 to 0.5.
    Hue(f64),
    /// Keeps this many upper bits of each value, from 1 to 8.
    Posterize(u8),
    /// Inverts values from this one on.
    Solarize(f64),
    /// Spreads each channel to 0..255.
    AutoContrast,
    /// Gives each channel an even histogram.
    Equalize,
    /// Turns counter-clockwise by degrees about the middle.
    Rotate(f64),
    /// Shifts each row by this times its place.
    ShearX(f64),
    /// Shifts each column by this times its place.
    ShearY(f64),
    /// Moves right by pixels.
    TranslateX(i32),
    /// Moves down by pixels.
    TranslateY(i32),
}

impl Change {
    /// The changed picture, of the same size.
    pub fn apply(self, from: &Pixels) -> Pixels {
        match self {
            Self::Brightness(f) => blend(from, f, |_| [0; 3]),
            Self::Contrast(f) => {
                let mean = mean_grey(from);
                blend(from, f, |_| [mean; 3])
            }
            Self::Saturation(f) => blend(from, f, |i| [grey(pixel(from, i)); 3]),
            Self::Sharpness(f) => {
                let smooth = smooth(from);
                blend(from, f, |i| pixel(&smooth, i))
            }
            Self::Hue(f) => {
                // Wraps as eight bits do.
                let turn = (f * 255.0) as i32 as u8;
                each(from, |p| {
                    let [h, s, v] = to_hsv(p);
                    to_rgb([h.wrapping_add(turn), s, v])
                })
            }
            Self::Posterize(bits) => {
                let mask = !0u8 << (8 - bits.clamp(1, 8));
                table(from, &[std::array::from_fn(|v| v as u8 & mask); 3])
            }
            Self::Solarize(from_value) => {
                let one = |v: usize| {
                    let v = v as u8;
                    if f64::from(v) < from_value {
                        v
                    } else {
                        255 - v
                    }
                };
                table(from, &[std::array::from_fn(one); 3])
            }
            Self::AutoContrast => by_histogram(from, spread),
            Self::Equalize => by_histogram(from, even),
            Self::Rotate(degrees) => rotate(from, degrees),
            Self::ShearX(f) => affine(from, [1.0, f, 0.0, 0.0, 1.0, 0.0]),
            Self::ShearY(f) => affine(from, [1.0, 0.0, 0.0, f, 1.0, 0.0]),
            Self::TranslateX(n) => affine(from, [1.0, 0.0, -f64::from(n), 0.0, 1.0, 0.0]),
            Self::TranslateY(n) => affine(from, [1.0, 0.0, 0.0, 0.0, 1.0, -f64::from(n)]),
        }
    }
}

/// The `i`-th pixel in reading order.
fn pixel(from: &Pixels, i: usize) -> [u8; 3] {
    from.at(i % from.width, i / from.width)
}

/// Applies `of` to each pixel.
fn each(from: &Pixels, of: impl Fn([u8; 3]) -> [u8; 3]) -> Pixels {
    Pixels::from_fn((from.width, from.height), |x, y| of(from.at(x, y)))
}

/// Looks each value up in the table of its channel.
fn table(from: &Pixels, tables: &[[u8; 256]; 3]) -> Pixels {
    each(from, |p| std::array::from_fn(|c| tables[c][p[c] as usize]))
}

/// `share` of the picture and the rest of `other(i)`, in Pillow's 32-bit floats; shares above 1 lead away from it.
fn blend(from: &Pixels, share: f64, other: impl Fn(usize) -> [u8; 3]) -> Pixels {
    let share = share as f32;
    let mut rgb = Vec::with_capacity(from.rgb.len());
    for (i, p) in from.rgb.chunks_exact(3).enumerate() {
        for (&a, b) in p.iter().zip(other(i)) {
            // The cast drops the fraction and clamps to 0..=255.
            rgb.push((f32::from(b) + share * (f32::from(a) - f32::from(b))) as u8);
        }
    }
    Pixels {
        width: from.width,
        height: from.height,
        rgb,
    }
}

/// ITU-R 601 luma with the whole-number weights of Pillow.
pub(in crate::picture) fn grey([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}

fn mean_grey(from: &Pixels) -> u8 {
    let sum: u64 = from
        .rgb
        .chunks_exact(3)
        .map(|p| u64::from(grey([p[0], p[1], p[2]])))
        .sum();
    (sum as f64 / (from.width * from.height) as f64 + 0.5) as u8
}

/// Each pixel five times and its eight neighbours once; the border stays.
fn smooth(from: &Pixels) -> Pixels {
    let (w, h) = (from.width, from.height);
    if w < 3 || h < 3 {
        return from.clone();
    }
    Pixels::from_fn((w, h), |x, y| {
        let here = from.at(x, y);
        if x == 0 || y == 0 || x == w - 1 || y == h - 1 {
            return here;
        }
        let mut sum = here.map(|v| u32::from(v) * 4);
        for ny in y - 1..=y + 1 {
            for nx in x - 1..=x + 1 {
                for (s, v) in sum.iter_mut().zip(from.at(nx, ny)) {
                    *s += u32::from(v);
                }
            }
        }
        sum.map(|s| ((2 * s + 13) / 26) as u8)
    })
}

/// Hue, saturation, value in 0..=255 each.
fn to_hsv(rgb: [u8; 3]) -> [u8; 3] {
    let max = rgb.into_iter().max().unwrap_or(0);
    let min = rgb.into_iter().min().unwrap_or(0);
    if max == min {
        return [0, 0, max];
    }
    let range = f32::from(max - min);
    let [r, g, b] = rgb.map(|v| f64::from(f32::from(max - v) / range));
    let sector = if rgb[0] == max {
        b - g
    } else if rgb[1] == max {
        2.0 + r - b
    } else {
        4.0 + g - r
    };
    let hue = ((f64::from(sector as f32) / 6.0 + 1.0) % 1.0) as f32;
    let saturation = range / f32::from(max);
    [
        (f64::from(hue) * 255.0) as u8,
        (f64::from(saturation) * 255.0) as u8,
        max,
    ]
}

fn to_rgb([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let turn = (f64::from(h) * 6.0 / 255.0) as f32;
    let s = (f64::from(s) / 255.0) as f32;
    let f = turn - turn.floor();
    let (s, f, value) = (f64::from(s), f64::from(f), f64::from(v));
    let part = |share: f64| (value * share).round() as u8;
    let (p, q, t) = (part(1.0 - s), part(1.0 - s * f), part(1.0 - s * (1.0 - f)));
    match turn.floor() as u8 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}

/// Changes each channel by a table made of its histogram.
fn by_histogram(from: &Pixels, make: fn(&[u64; 256]) -> [u8; 256]) -> Pixels {
    let mut counts = [[0u64; 256]; 3];
    for p in from.rgb.chunks_exact(3) {
        for (count, &v) in counts.iter_mut().zip(p) {
            count[v as usize] += 1;
        }
    }
    table(from, &counts.map(|c| make(&c)))
}

/// The lowest value becomes 0, the highest 255.
fn spread(counts: &[u64; 256]) -> [u8; 256] {
    let low = counts.iter().position(|&n| n > 0).unwrap_or(0);
    let high = counts.iter().rposition(|&n| n > 0).unwrap_or(0);
    if high <= low {
        return std::array::from_fn(|v| v as u8);
    }
    let scale = 255.0 / (high - low) as f64;
    let offset = -(low as f64) * scale;
    std::array::from_fn(|v| (v as f64 * scale + offset) as u8)
}

/// Values by their rank, so that all are about equally common.
fn even(counts: &[u64; 256]) -> [u8; 256] {
    let used: Vec<u64> = counts.iter().copied().filter(|&n| n > 0).collect();
    let last = used.last().copied().unwrap_or(0);
    let step = (used.iter().sum::<u64>() - last) / 255;
    if used.len() <= 1 || step == 0 {
        return std::array::from_fn(|v| v as u8);
    }
    let mut below = step / 2;
    std::array::from_fn(|v| {
        let rank = below / step;
        below += counts[v];
        rank.min(255) as u8
    })
}

fn rotate(from: &Pixels, degrees: f64) -> Pixels {
    let angle = -degrees.to_radians();
    // Pillow rounds to 15 digits, so that quarter turns are exact.
    let round = |v: f64| (v * 1e15).round() / 1e15;
    let (cos, sin) = (round(angle.cos()), round(angle.sin()));
    let (cx, cy) = (from.width as f64 / 2.0, from.height as f64 / 2.0);
    let x = cx - cos * cx - sin * cy;
    let y = cy + sin * cx - cos * cy;
    affine(from, [cos, sin, x, -sin, cos, y])
}

/// Pixel (x, y) comes from `(a x + b y + c, d x + e y + f)`, the nearest; in 16 bits behind the point, as Pillow.
fn affine(from: &Pixels, [a, b, c, d, e, f]: [f64; 6]) -> Pixels {
    let fix = |v: f64| (v * 65536.0 + 0.5).floor() as i64;
    let x0 = fix(c + a * 0.5 + b * 0.5);
    let y0 = fix(f + d * 0.5 + e * 0.5);
    let [a, b, d, e] = [a, b, d, e].map(fix);
    let (w, h) = (from.width as i64, from.height as i64);
    Pixels::from_fn((from.width, from.height), |x, y| {
        let (x, y) = (x as i64, y as i64);
        let sx = (x0 + a * x + b * y) >> 16;
        let sy = (y0 + d * x + e * y) >> 16;
        if (0..w).contains(&sx) && (0..h).contains(&sy) {
            from.at(sx as usize, sy as usize)
        } else {
            [0; 3]
        }
    })
}
