//! The loop of depthwise convolutions: sums over a few columns of a few rows, channel by channel, several places at a
//! time so that each value loaded serves all of them.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use std::ops::Range;

use crate::element::Element;
use crate::isa::vectorized;

/// Channels at a time: the widest vector.
const LANES: usize = 16;
/// Places at a time.
const PLACES: usize = 4;

/// A row of pixels, `[columns, channels]`, and the row of the kernel on it, `[taps, channels]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a, E> {
    pub(super) x: &'a [E],
    pub(super) weight: &'a [f32],
}

/// How a row of the kernel moves along a row of pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    /// Columns of the kernel.
    pub(super) taps: usize,
    /// Columns of pixels from one place to the next.
    pub(super) step: usize,
    /// The column under the first tap at the first place; may lie outside.
    pub(super) start: isize,
    /// Columns of pixels.
    pub(super) columns: usize,
    /// Places.
    pub(super) places: usize,
    /// Channels.
    pub(super) channels: usize,
}

impl Course {
    /// The column under the first tap at a place.
    #[inline(always)]
    fn first(&self, place: usize) -> isize {
        self.start + (place * self.step) as isize
    }

    /// The places at which all taps lie on pixels.
    #[inline(always)]
    fn interior(&self) -> Range<usize> {
        let first = self.start.min(0).unsigned_abs().div_ceil(self.step);
        let room = self.columns as isize - self.taps as isize - self.start;
        let end = usize::try_from(room).map_or(0, |room| room / self.step + 1);
        let end = end.min(self.places);
        first.min(end)..end
    }

    /// The taps that lie on pixels at a place.
    #[inline(always)]
    fn inside(&self, place: usize) -> Range<usize> {
        let first = self.first(place);
        let end = (self.columns as isize - first).clamp(0, self.taps as isize) as usize;
        first.min(0).unsigned_abs().min(end)..end
    }
}

/// Where the sums of [`sums`] go: place `p` to column `first + p * step` of `[.., channels]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub(super) first: usize,
    pub(super) step: usize,
}

/// Calls a function with the constants `M` and `S` of the course, or 0 and 0 where there is no code for them alone.
/// There is for kernels of 3, 5 and 7 columns, and for what a stride of 2 leaves of 3 and 5 on the way back.
macro_rules! with_constants {
    ($course:expr, $f:ident::<$E:ident>($($arg:expr),*)) => {
        match ($course.taps, $course.step) {
            (1, 1) => $f::<$E, 1, 1>($($arg),*),
            (2, 1) => $f::<$E, 2, 1>($($arg),*),
            (3, 1) => $f::<$E, 3, 1>($($arg),*),
            (5, 1) => $f::<$E, 5, 1>($($arg),*),
            (7, 1) => $f::<$E, 7, 1>($($arg),*),
            (3, 2) => $f::<$E, 3, 2>($($arg),*),
            (5, 2) => $f::<$E, 5, 2>($($arg),*),
            _ => $f::<$E, 0, 0>($($arg),*),
        }
    };
}

vectorized! {
    /// Writes the sums at all places, `z[place, c] = sum over rows and taps of x * weight`, without what lies outside.
    pub(super) fn sums[E: Element](
        course: Course,
        rows: &[Row<'_, E>],
        to: Columns,
        z: &mut [f32],
    ) {
        with_constants!(course, sums_of::<E>(course, rows, to, z));
    }

    /// Adds `sum over places of x * dz[place, c]` to each tap of `dw`, `[taps, channels]`.
    pub(super) fn products[E: Element](course: Course, x: &[E], dz: &[E], dw: &mut [f32]) {
        with_constants!(course, products_of::<E>(course, x, dz, dw));
    }
}

/// The `L` values from `at` on.
#[inline(always)]
fn load<E: Element, const L: usize>(x: &[E], at: usize) -> [f32; L] {
    let mut values = [0.0; L];
    for (value, x) in values.iter_mut().zip(&x[at..][..L]) {
        *value = x.wide();
    }
    values
}

/// `sum += x * w`.
#[inline(always)]
fn add<const L: usize>(sum: &mut [f32; L], x: &[f32; L], w: &[f32; L]) {
    for i in 0..L {
        sum[i] += x[i] * w[i];
    }
}

/// [`sums`] of a kernel of `M` columns with step `S`; with `M = 0` of any.
#[inline(always)]
fn sums_of<E: Element, const M: usize, const S: usize>(
    course: Course,
    rows: &[Row<'_, E>],
    to: Columns,
    z: &mut [f32],
) {
    let whole = course.channels / LANES * LANES;
    for channel in (0..whole).step_by(LANES) {
        sums_of_channels::<E, M, S, LANES>(course, rows, (to, channel), z);
    }
    for channel in whole..course.channels {
        sums_of_channels::<E, 0, 0, 1>(course, rows, (to, channel), z);
    }
}

#[inline(always)]
fn sums_of_channels<E: Element, const M: usize, const S: usize, const L: usize>(
    course: Course,
    rows: &[Row<'_, E>],
    (to, channel): (Columns, usize),
    z: &mut [f32],
) {
    let place_of = |place: usize| (to.first + place * to.step) * course.channels + channel;
    let mut place = 0;
    while place < course.places {
        let interior = course.interior();
        if M > 0 && interior.contains(&place) && place + PLACES <= interior.end {
            let sums = tile::<E, M, S, L>(course, rows, place, channel);
            for (i, sum) in sums.iter().enumerate() {
                z[place_of(place + i)..][..L].copy_from_slice(sum);
            }
            place += PLACES;
        } else {
            let sum = single::<E, L>(course, rows, place, channel);
            z[place_of(place)..][..L].copy_from_slice(&sum);
            place += 1;
        }
    }
}

/// The sums at [`PLACES`] places inside.
#[inline(always)]
fn tile<E: Element, const M: usize, const S: usize, const L: usize>(
    course: Course,
    rows: &[Row<'_, E>],
    place: usize,
    channel: usize,
) -> [[f32; L]; PLACES] {
    let mut sums = [[0f32; L]; PLACES];
    let first = course.first(place) as usize * course.channels + channel;
    for row in rows {
        let mut weights = [[0f32; L]; M];
        for (tap, weight) in weights.iter_mut().enumerate() {
            *weight = load(row.weight, tap * course.channels + channel);
        }
        for column in 0..(PLACES - 1) * S + M {
            let x = load(row.x, first + column * course.channels);
            for (i, sum) in sums.iter_mut().enumerate() {
                if column >= i * S && column - i * S < M {
                    add(sum, &x, &weights[column - i * S]);
                }
            }
        }
    }
    sums
}

/// The sum at one place, anywhere.
#[inline(always)]
fn single<E: Element, const L: usize>(
    course: Course,
    rows: &[Row<'_, E>],
    place: usize,
    channel: usize,
) -> [f32; L] {
    let mut sum = [0f32; L];
    let taps = course.inside(place);
    let first = course.first(place);
    for row in rows {
        for tap in taps.clone() {
            let column = (first + tap as isize) as usize;
            let x = load(row.x, column * course.channels + channel);
            add(
                &mut sum,
                &x,
                &load(row.weight, tap * course.channels + channel),
            );
        }
    }
    sum
}

/// [`products`] of a kernel of `M` columns with step `S`; with `M = 0` of any.
#[inline(always)]
fn products_of<E: Element, const M: usize, const S: usize>(
    course: Course,
    x: &[E],
    dz: &[E],
    dw: &mut [f32],
) {
    let whole = course.channels / LANES * LANES;
    for channel in (0..whole).step_by(LANES) {
        products_of_channels::<E, M, S, LANES>(course, (x, dz), channel, dw);
    }
    for channel in whole..course.channels {
        products_of_channels::<E, 0, 0, 1>(course, (x, dz), channel, dw);
    }
}

#[inline(always)]
fn products_of_channels<E: Element, const M: usize, const S: usize, const L: usize>(
    course: Course,
    (x, dz): (&[E], &[E]),
    channel: usize,
    dw: &mut [f32],
) {
    let interior = if M > 0 { course.interior() } else { 0..0 };
    let outside = (0..interior.start).chain(interior.end..course.places);
    for place in outside {
        let dz = load::<E, L>(dz, place * course.channels + channel);
        let first = course.first(place);
        for tap in course.inside(place) {
            let column = (first + tap as isize) as usize;
            let x = load(x, column * course.channels + channel);
            let dw = &mut dw[tap * course.channels + channel..][..L];
            let mut sum = load(dw, 0);
            add(&mut sum, &x, &dz);
            dw.copy_from_slice(&sum);
        }
    }
    let mut sums = [[0f32; L]; M];
    for (tap, sum) in sums.iter_mut().enumerate() {
        *sum = load(dw, tap * course.channels + channel);
    }
    for place in interior {
        let dz = load::<E, L>(dz, place * course.channels + channel);
        let first = course.first(place) as usize * course.channels + channel;
        for (tap, sum) in sums.iter_mut().enumerate() {
            add(sum, &load(x, first + tap * course.channels), &dz);
        }
    }
    for (tap, sum) in sums.iter().enumerate() {
        dw[tap * course.channels + channel..][..L].copy_from_slice(sum);
    }
}
