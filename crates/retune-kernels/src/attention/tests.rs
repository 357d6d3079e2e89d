//! Attention and its gradient against the definition in f64: every form, format and instruction set.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::dropout::mix;
use crate::element::Element;
use crate::{scratch, trial};

fn draw<E: Element>(n: usize, salt: u64) -> Vec<E> {
    let value = |i| (mix(salt << 32 | i) >> 40) as f32 / 4_194_304.0 - 2.0;
    (0..n as u64).map(|i| E::narrow(value(i))).collect()
}

/// Result and gradient by the definition.
struct Plain {
    out: Vec<f64>,
    dqkv: Vec<f64>,
}

fn plain(call: &Call<'_>, qkv: &[f64], dout: &[f64]) -> Plain {
    let shape = call.shape;
    let (w, h) = (shape.width(), shape.out_width());
    let (mut out, mut dqkv) = (vec![0.0; dout.len()], vec![0.0; qkv.len()]);
    let scale = 1.0 / (shape.size as f64).sqrt();
    for (s, bounds) in call.starts.windows(2).enumerate() {
        let (start, len) = (bounds[0], bounds[1] - bounds[0]);
        for head in 0..shape.heads {
            let kv = head / (shape.heads / shape.kv_heads);
            let at = |row: usize, col: usize, d: usize| (start + row) * w + col + d;
            for i in 0..len {
                let seen = if shape.causal { i + 1 } else { len };
                let dot = |j: usize| -> f64 {
                    let term = |d| qkv[at(i, shape.query(head), d)] * qkv[at(j, shape.key(kv), d)];
                    (0..shape.size).map(term).sum::<f64>() * scale
                };
                let scores: Vec<f64> = (0..seen).map(dot).collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
                let p: Vec<f64> = scores.iter().map(|s| (s - top).exp() / total).collect();
                let factor = |j: usize| match call.dropout {
                    Some(d) => f64::from(d.rate.factor(d.row(s, head, i), j as u32)),
                    None => 1.0,
                };
                let dy = |d: usize| dout[(start + i) * h + shape.query(head) + d];
                let dp: Vec<f64> = (0..seen)
                    .map(|j| {
                        let term = |d| dy(d) * qkv[at(j, shape.value(kv), d)];
                        factor(j) * (0..shape.size).map(term).sum::<f64>()
                    })
                    .collect();
                let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
                for j in 0..seen {
                    let ds = p[j] * (dp[j] - mean) * scale;
                    for d in 0..shape.size {
                        out[(start + i) * h + shape.query(head) + d] +=
                            p[j] * factor(j) * qkv[at(j, shape.value(kv), d)];
                        dqkv[at(i, shape.query(head), d)] += ds * qkv[at(j, shape.key(kv), d)];
                        dqkv[at(j, shape.key(kv), d)] += ds * qkv[at(i, shape.query(head), d)];
                        dqkv[at(j, shape.value(kv), d)] += p[j] * factor(j) * dy(d);
                    }
                }
            }
        }
    }
    Plain { out, dqkv }
}

fn wide<E: Element>(x: &[E]) -> Vec<f64> {
    x.iter().map(|v| f64::from(v.wide())).collect()
}

/// Relative to the largest value: sums of rounded terms have that error everywhere.
fn near<E: Element>(got: &[E], want: &[f64], what: &str) {
    let largest = want.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    let allowed = if E::BYTES == 2 { 1.5e-2 } else { 2e-5 } * largest;
    for (i, (g, w)) in wide(got).iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= allowed,
            "{what}, {i}: {g} and {w} of {largest}"
        );
    }
}

/// Leaves NaN in the working space: what is not computed must not be read.
fn spoil(levels: usize) {
    scratch::with::<f32, _>(1 << 17, |space| {
        space.fill(f32::NAN);
        if levels > 1 {
            spoil(levels - 1);
        }
    });
}

fn check<E: Element>(isa: Isa, shape: Shape, lengths: &[usize], rate: Option<f64>) {
    let mut starts = vec![0];
    starts.extend(lengths.iter().scan(0, |sum, l| {
        *sum += l;
        Some(*sum)
    }));
    let rows = starts[lengths.len()];
    let keys: Vec<u64> = (0..lengths.len() as u64).collect();
    let stream = Stream {
        seed: 1,
        step: 2,
        site: 3,
    };
    let dropout = rate.map(|p| Dropout {
        rate: Rate::new(p),
        stream,
        keys: &keys,
    });
    let call = Call {
        isa,
        shape,
        starts: &starts,
        dropout,
    };
    let (qkv, dout) = (
        draw::<E>(rows * shape.width(), 5),
        draw::<E>(rows * shape.out_width(), 6),
    );
    let want = plain(&call, &wide(&qkv), &wide(&dout));
    let mut out = vec![E::default(); dout.len()];
    let mut lse = vec![f32::NAN; rows * shape.heads];
    spoil(5);
    forward(&call, &qkv, &mut out, &mut lse);
    let what = format!("{} {shape:?} {lengths:?} {rate:?}", isa.name());
    near(&out, &want.out, &what);
    let mut dqkv = vec![E::default(); qkv.len()];
    let saved = Saved {
        qkv: &qkv,
        out: &out,
        lse: &lse,
    };
    spoil(5);
    backward(&call, saved, &dout, &mut dqkv);
    near(&dqkv, &want.dqkv, &what);
}

fn every_form<E: Element>() {
    let shape = |heads, kv_heads, size, causal| Shape {
        heads,
        kv_heads,
        size,
        causal,
    };
    for isa in Isa::available() {
        for size in [1, 8, 24, 32, 40, 64, 256] {
            check::<E>(isa, shape(2, 2, size, false), &[1, 13, 0, 33], None);
        }
        for causal in [false, true] {
            check::<E>(isa, shape(3, 3, 16, causal), &[97, 1, 2, 64], None);
            check::<E>(isa, shape(4, 2, 32, causal), &[31, 100], Some(0.3));
            check::<E>(isa, shape(2, 2, 64, causal), &[200, 3, 131], Some(0.2));
            check::<E>(isa, shape(6, 1, 8, causal), &[7, 129], None);
            check::<E>(isa, shape(1, 1, 32, causal), &[260], Some(0.1));
            check::<E>(isa, shape(2, 1, 8, causal), &[], None);
            check::<E>(isa, shape(2, 1, 8, causal), &[0, 0], None);
        }
    }
}

#[test]
fn every_form_equals_the_definition_in_f32() {
    every_form::<f32>();
}

#[test]
fn every_form_equals_the_definition_in_bf16() {
    every_form::<bf16>();
}

#[test]
fn long_sequences_are_worked_on_in_smaller_blocks() {
    for isa in Isa::available() {
        let shape = Shape {
            heads: 1,
            kv_heads: 1,
            size: 8,
            causal: true,
        };
        check::<bf16>(isa, shape, &[1500], None);
    }
}

#[test]
fn any_number_of_threads_gives_the_same() {
    for (causal, size) in [(false, 32), (true, 16), (true, 64)] {
        let shape = Shape {
            heads: 2,
            kv_heads: 1,
            size,
            causal,
        };
        let starts = [0, 130, 131, 331, 331, 340];
        let call = Call {
            isa: Isa::current(),
            shape,
            starts: &starts,
            dropout: None,
        };
        let qkv = draw::<f32>(340 * shape.width(), 7);
        let dout = draw::<f32>(340 * shape.out_width(), 8);
        trial::same_on_any_threads(|| {
            let mut out = vec![0f32; dout.len()];
            let mut lse = vec![0f32; 340 * shape.heads];
            forward(&call, &qkv, &mut out, &mut lse);
            let mut dqkv = vec![0f32; qkv.len()];
            let saved = Saved {
                qkv: &qkv,
                out: &out,
                lse: &lse,
            };
            backward(&call, saved, &dout, &mut dqkv);
            [out, lse, dqkv].map(|x| trial::bits(&x))
        });
    }
}

/// What comes after a query changes neither its result nor what it gives back.
#[test]
fn the_future_is_not_seen() {
    let shape = Shape {
        heads: 2,
        kv_heads: 2,
        size: 16,
        causal: true,
    };
    for isa in Isa::available() {
        for (len, cut) in [(2, 1), (40, 17), (200, 96), (150, 131)] {
            let (qkv, dout) = (
                draw::<f32>(len * shape.width(), 9),
                draw::<f32>(cut * shape.out_width(), 10),
            );
            let passes = |len: usize| {
                let starts = [0, len];
                let call = Call {
                    isa,
                    shape,
                    starts: &starts,
                    dropout: None,
                };
                let qkv = &qkv[..len * shape.width()];
                let mut out = vec![0f32; len * shape.out_width()];
                let mut lse = vec![0f32; len * shape.heads];
                forward(&call, qkv, &mut out, &mut lse);
                let mut dout = dout.clone();
                dout.resize(out.len(), 0.0);
                let mut dqkv = vec![0f32; qkv.len()];
                let saved = Saved {
                    qkv,
                    out: &out,
                    lse: &lse,
                };
                backward(&call, saved, &dout, &mut dqkv);
                out.truncate(cut * shape.out_width());
                dqkv.truncate(cut * shape.width());
                (wide(&out), wide(&dqkv))
            };
            let (short, long) = (passes(cut), passes(len));
            trial::near(&long.0, &short.0, 1e-6);
            trial::near(&long.1, &short.1, 1e-6);
        }
    }
}

#[test]
fn what_is_not_seen_weighs_nothing_whatever_stands_there() {
    let row = |seen: [f32; 3]| {
        let mut row = [f32::NAN; 48];
        row[..3].copy_from_slice(&seen);
        row
    };
    let scores = [1.0, -2.0, 3.0];
    let mut p = row(scores);
    let lse = softmax::softmax(&mut p, 3, 0.5, None);
    trial::near(&[wide(&p[..3]).iter().sum()], &[1.0], 1e-6);
    let gradient = softmax::Gradient {
        n: 3,
        scale: 0.5,
        lse,
        dot: 0.25,
        dropout: None,
    };
    let (mut again, mut slopes) = (row(scores), row([0.1, 0.2, 0.3]));
    softmax::gradient(&gradient, &mut again, &mut slopes);
    trial::near(&wide(&again), &wide(&p), 1e-6);
    for rest in [&p[3..], &again[3..], &slopes[3..]] {
        assert!(rest.iter().all(|v| *v == 0.0), "{rest:?}");
    }
}

#[test]
fn a_large_score_takes_all_the_weight_and_nan_stays_in_its_sequence() {
    let shape = Shape {
        heads: 1,
        kv_heads: 1,
        size: 8,
        causal: false,
    };
    let starts = [0, 3, 6];
    for isa in Isa::available() {
        let call = Call {
            isa,
            shape,
            starts: &starts,
            dropout: None,
        };
        let mut qkv = vec![0f32; 6 * 24];
        // Scores of 1e6 and values 1, 2, 3 in the first sequence; NaN in the second.
        for row in 0..3 {
            qkv[row * 24] = 1e3;
            qkv[row * 24 + 8] = if row == 1 { 1e3 } else { 0.0 };
            qkv[row * 24 + 16] = row as f32 + 1.0;
        }
        qkv[4 * 24] = f32::NAN;
        let (mut out, mut lse) = (vec![0f32; 48], vec![0f32; 6]);
        forward(&call, &qkv, &mut out, &mut lse);
        assert_eq!([out[0], out[8], out[16]], [2.0; 3], "{}", isa.name());
        assert!(out[32].is_nan() && out[24].is_finite(), "{}", isa.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn any_shape_equals_the_definition(
        lengths in prop::collection::vec(0usize..70, 0..5),
        (kv_heads, group, size) in (1usize..4, 1usize..4, 1usize..70),
        causal: bool,
        dropped: bool,
    ) {
        let heads = kv_heads * group;
        let shape = Shape { heads, kv_heads, size, causal };
        for isa in Isa::available() {
            check::<f32>(isa, shape, &lengths, dropped.then_some(0.2));
            check::<bf16>(isa, shape, &lengths, dropped.then_some(0.2));
        }
    }
}
