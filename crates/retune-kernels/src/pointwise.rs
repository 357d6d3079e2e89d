//! Passes over whole activations: conversion, products, dropout.

use crate::dropout::Dropout;
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;
use crate::rounding;

/// Values per task.
const BLOCK: usize = 1 << 14;

/// `to = from` in another format.
///
/// # Panics
/// When lengths differ.
pub fn convert<S: Element, E: Element>(isa: Isa, from: &[S], to: &mut [E]) {
    assert!(
        from.len() == to.len(),
        "{} values into {}",
        from.len(),
        to.len()
    );
    let blocks = to.chunks_mut(BLOCK).zip(from.chunks(BLOCK));
    blocks.spread(|(to, from)| match bytemuck::try_cast_slice(from) {
        Ok(from) if S::BYTES == size_of::<f32>() => rounding::all(isa, from, to),
        _ => convert_block(isa, from, to),
    });
}

/// `out = a b`, value by value.
///
/// # Panics
/// When lengths differ.
pub fn product<E: Element>(isa: Isa, a: &[E], b: &[E], out: &mut [E]) {
    assert!(a.len() == out.len() && b.len() == out.len());
    let blocks = out.chunks_mut(BLOCK).zip(a.chunks(BLOCK));
    let blocks = blocks.zip(b.chunks(BLOCK));
    blocks.spread(|((out, a), b)| product_block(isa, a, b, out));
}

/// `out = a + b`, value by value.
///
/// # Panics
/// When lengths differ.
pub fn sum<E: Element>(isa: Isa, a: &[E], b: &[E], out: &mut [E]) {
    assert!(a.len() == out.len() && b.len() == out.len());
    let blocks = out.chunks_mut(BLOCK).zip(a.chunks(BLOCK));
    let blocks = blocks.zip(b.chunks(BLOCK));
    blocks.spread(|((out, a), b)| sum_block(isa, a, b, out));
}

/// `out = factor x`, value by value.
///
/// # Panics
/// When lengths differ.
pub fn times<E: Element>(isa: Isa, x: &[f32], factor: f32, out: &mut [E]) {
    assert!(x.len() == out.len());
    let blocks = out.chunks_mut(BLOCK).zip(x.chunks(BLOCK));
    blocks.spread(|(out, x)| times_block(isa, x, factor, out));
}

/// `out = max(a + b, 0)`, value by value; NaN stays NaN.
///
/// # Panics
/// When lengths differ.
pub fn sum_relu<E: Element>(isa: Isa, a: &[E], b: &[E], out: &mut [E]) {
    assert!(a.len() == out.len() && b.len() == out.len());
    let blocks = out.chunks_mut(BLOCK).zip(a.chunks(BLOCK));
    let blocks = blocks.zip(b.chunks(BLOCK));
    blocks.spread(|((out, a), b)| sum_relu_block(isa, a, b, out));
}

/// The gradient of [`sum_relu`] for either term: `dx = dy` where its result `y` is not 0, and else 0.
///
/// # Panics
/// When lengths differ.
pub fn sum_relu_backward<E: Element>(isa: Isa, y: &[E], dy: &[E], dx: &mut [E]) {
    assert!(y.len() == dx.len() && dy.len() == dx.len());
    let blocks = dx.chunks_mut(BLOCK).zip(y.chunks(BLOCK));
    let blocks = blocks.zip(dy.chunks(BLOCK));
    blocks.spread(|((dx, y), dy)| sum_relu_back(isa, y, dy, dx));
}

/// `to += share (from - to)`, value by value.
///
/// # Panics
/// When lengths differ.
pub fn lerp(isa: Isa, to: &mut [f32], from: &[f32], share: f32) {
    assert!(to.len() == from.len());
    let blocks = to.chunks_mut(BLOCK).zip(from.chunks(BLOCK));
    blocks.spread(|(to, from)| lerp_block(isa, share, from, to));
}

/// `out = x` times the dropout factors, for x and out `[rows, width]`: forward pass and gradient alike.
///
/// # Panics
/// When lengths differ or rows are missing in `dropout`.
pub fn drop<E: Element>(isa: Isa, x: &[E], width: usize, dropout: &Dropout<'_>, out: &mut [E]) {
    assert!(x.len() == out.len() && dropout.places.len() * width == x.len());
    if width == 0 {
        return;
    }
    let rows = (BLOCK / width).max(1);
    let blocks = out.chunks_mut(rows * width).zip(x.chunks(rows * width));
    blocks.enumerate().spread(|(i, (out, x))| {
        drop_block(isa, x, width, i * rows, dropout, out);
    });
}

vectorized! {
    fn convert_block[S: Element, E: Element](from: &[S], to: &mut [E]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = E::narrow(from.wide());
        }
    }

    fn product_block[E: Element](a: &[E], b: &[E], out: &mut [E]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = E::narrow(a.wide() * b.wide());
        }
    }

    fn sum_block[E: Element](a: &[E], b: &[E], out: &mut [E]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = E::narrow(a.wide() + b.wide());
        }
    }

    fn times_block[E: Element](x: &[f32], factor: f32, out: &mut [E]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = E::narrow(factor * x);
        }
    }

    fn sum_relu_block[E: Element](a: &[E], b: &[E], out: &mut [E]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            let sum = a.wide() + b.wide();
            *out = E::narrow(if sum <= 0.0 { 0.0 } else { sum });
        }
    }

    fn sum_relu_back[E: Element](y: &[E], dy: &[E], dx: &mut [E]) {
        for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
            *dx = E::narrow(if y.wide() <= 0.0 { 0.0 } else { dy.wide() });
        }
    }

    fn lerp_block(share: f32, from: &[f32], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += share * (*from - *to);
        }
    }

    fn drop_block[E: Element](
        x: &[E],
        width: usize,
        first: usize,
        dropout: &Dropout<'_>,
        out: &mut [E],
    ) {
        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for (i, (out, x)) in rows.enumerate() {
            let row = dropout.row(first + i);
            for (j, (out, x)) in out.iter_mut().zip(x).enumerate() {
                *out = E::narrow(x.wide() * dropout.rate.factor(row, j as u32));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dropout::{Rate, Stream, mask};
    use crate::trial;
    use half::bf16;

    fn draw(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.37).sin() * 3.0).collect()
    }

    #[test]
    fn every_pass_equals_its_plain_loop() {
        for isa in Isa::available() {
            for n in [0, 1, 17, 2 * BLOCK + 5] {
                let x = draw(n);
                let mut narrow = vec![bf16::ZERO; n];
                convert(isa, &x, &mut narrow);
                let want: Vec<bf16> = x.iter().map(|v| bf16::from_f32(*v)).collect();
                assert_eq!(narrow, want);
                let mut wide = vec![f32::NAN; n];
                convert(isa, &narrow, &mut wide);
                assert!(wide.iter().zip(&want).all(|(a, b)| *a == b.to_f32()));
                let mut squares = vec![f32::NAN; n];
                product(isa, &x, &x, &mut squares);
                assert!(squares.iter().zip(&x).all(|(s, x)| *s == x * x));
                sum(isa, &x, &squares, &mut wide);
                assert!(wide.iter().zip(&x).all(|(s, x)| *s == x + x * x));
                times(isa, &x, -0.3, &mut squares);
                assert!(squares.iter().zip(&x).all(|(y, x)| *y == -0.3 * x));
                lerp(isa, &mut wide, &x, 0.25);
                let want = |x: f32| (x + x * x) + 0.25 * (x - (x + x * x));
                assert!(
                    wide.iter()
                        .zip(&x)
                        .all(|(s, x)| (s - want(*x)).abs() < 1e-5)
                );
            }
        }
    }

    #[test]
    fn what_is_below_zero_is_cut_off_and_sends_nothing_back() {
        for n in [0, 1, 31, BLOCK - 1, 2 * BLOCK + 5] {
            let (a, b): (Vec<bf16>, Vec<bf16>) = (trial::elements(n, 7), trial::elements(n, 8));
            let dy: Vec<bf16> = trial::elements(n, 9);
            let sum = |i: usize| a[i].to_f32() + b[i].to_f32();
            let want: Vec<bf16> = (0..n).map(|i| bf16::from_f32(sum(i).max(0.0))).collect();
            let back = |i: usize| if sum(i) > 0.0 { dy[i] } else { bf16::ZERO };
            let back: Vec<bf16> = (0..n).map(back).collect();
            trial::same_everywhere(|isa| {
                let mut out = vec![bf16::ONE; n];
                sum_relu(isa, &a, &b, &mut out);
                assert_eq!(trial::bits(&out), trial::bits(&want));
                let mut dx = vec![bf16::ONE; n];
                sum_relu_backward(isa, &out, &dy, &mut dx);
                assert_eq!(trial::bits(&dx), trial::bits(&back));
            });
        }
        for isa in Isa::available() {
            let mut out = [0f32; 2];
            sum_relu(isa, &[f32::NAN, -1.0], &[1.0, 0.5], &mut out);
            assert!(out[0].is_nan() && out[1] == 0.0, "{out:?}");
        }
    }

    #[test]
    fn dropout_multiplies_by_its_mask() {
        let stream = Stream {
            seed: 1,
            step: 2,
            site: 3,
        };
        let places: Vec<(u32, u32)> = (0..300).map(|i| (i / 100, i % 100)).collect();
        let keys = [5, 6, 7];
        let dropout = Dropout {
            rate: Rate::new(0.3),
            stream,
            keys: &keys,
            places: &places,
        };
        for width in [1, 77] {
            let x = draw(300 * width);
            let factors = mask(300, width, 0.3, stream, |i| {
                (keys[places[i].0 as usize], u64::from(places[i].1))
            });
            for isa in Isa::available() {
                let mut y = vec![f32::NAN; x.len()];
                drop(isa, &x, width, &dropout, &mut y);
                assert!(
                    y.iter()
                        .zip(&x)
                        .zip(&factors)
                        .all(|((y, x), f)| *y == x * f)
                );
            }
        }
    }

    #[test]
    fn products_are_those_of_the_values() {
        for n in [0, 1, 31, BLOCK - 1, 2 * BLOCK + 5] {
            let (x, by): (Vec<bf16>, Vec<bf16>) = (trial::elements(n, 7), trial::elements(n, 8));
            let want: Vec<bf16> = (0..n)
                .map(|i| bf16::from_f32(x[i].to_f32() * by[i].to_f32()))
                .collect();
            trial::same_everywhere(|isa| {
                let mut out = vec![bf16::ZERO; n];
                product(isa, &x, &by, &mut out);
                assert_eq!(trial::bits(&out), trial::bits(&want));
            });
        }
    }
}
