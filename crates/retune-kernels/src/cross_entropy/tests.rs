//! Cross-entropy against PyTorch, slopes, plain f64 and itself on every instruction set.

use half::bf16;

use super::*;
use crate::trial;

fn gradient<E: Element>(isa: Isa, given: Given<'_, E>) -> Vec<E> {
    let mut out = vec![E::narrow(7.0); given.logits.len()];
    backward_on(isa, given, &mut out);
    out
}

/// Loss and gradient of `0.25 * loss`.
fn passes<E: Element>(isa: Isa, logits: &[E], targets: &[u32], weights: &[f32]) -> (f64, Vec<E>) {
    let (loss, lse) = forward_on(isa, logits, targets, weights);
    let given = Given {
        logits,
        targets,
        weights,
        lse: &lse,
        scale: 0.25,
    };
    (loss, gradient(isa, given))
}

#[test]
fn loss_and_gradient_are_those_of_torch() {
    #[rustfmt::skip]
    let logits = [
        1.0, -2.0, 0.5, 3.0,
        0.0, 0.25, -0.75, 100.0,
        -1.5, 2.5, 0.0, 1.0f32,
    ];
    let (targets, weights) = ([3, 1, 2], [1.0, 0.5, 2.0]);
    let (loss, lse) = forward(&logits, &targets, &weights);
    // `(F.cross_entropy(logits, targets, reduction="none") * weights).sum()`, `logsumexp` and the
    // gradient of a quarter of it, PyTorch 2.15.
    trial::near(&[loss], &[55.637_863_2], 1e-7);
    trial::near(&trial::wide(&lse), &[3.202_253_58, 100.0, 2.780_303], 2e-7);
    let mut dlogits = [7f32; 12];
    backward(&logits, &targets, &weights, &lse, 0.25, &mut dlogits);
    #[rustfmt::skip]
    trial::near(&trial::wide(&dlogits), &[
        0.027_638_433_5, 0.001_376_036_9, 0.016_763_556_7, -0.045_778_036_1,
        0.0, -0.125, 0.0, 0.125,
        0.006_919_234_06, 0.377_777_338, -0.468_990_147, 0.084_293_521_9,
    ], 2e-7);
}

fn plain(logits: &[f64], targets: &[u32], weights: &[f32]) -> f64 {
    let classes = logits.len() / targets.len();
    let rows = logits.chunks(classes).zip(targets).zip(weights);
    rows.map(|((row, target), weight)| {
        let high = row.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = row.iter().map(|x| (x - high).exp()).sum();
        f64::from(*weight) * (high + sum.ln() - row[*target as usize])
    })
    .sum()
}

fn targets(rows: usize, classes: usize) -> Vec<u32> {
    (0..rows)
        .map(|i| ((i * 7919 + 3) % classes) as u32)
        .collect()
}

#[test]
fn gradients_are_slopes() {
    for (rows, classes) in [(1, 1), (3, 2), (5, 3), (2, 37)] {
        let logits = trial::numbers(rows * classes, 1);
        let (targets, weights) = (targets(rows, classes), trial::numbers(rows, 2));
        let (_, found) = passes(Isa::current(), &logits, &targets, &weights);
        trial::is_gradient(&trial::wide(&logits), &trial::wide(&found), |logits| {
            0.25 * plain(logits, &targets, &weights)
        });
    }
}

fn check<E: Element>(rows: usize, classes: usize, spread: f32) {
    let logits: Vec<E> = trial::numbers(rows * classes, 3)
        .into_iter()
        .map(|x| E::narrow(x * spread))
        .collect();
    let targets = targets(rows, classes);
    let weights: Vec<f32> = (0..rows).map(|i| (i % 3) as f32 / 2.0).collect();
    let (loss, found) = passes(Isa::current(), &logits, &targets, &weights);
    trial::near(
        &[loss],
        &[plain(&trial::wide(&logits), &targets, &weights)],
        2e-6,
    );
    // The gradient of a row sums to 0, but for the rounding of its numbers.
    for (row, found) in found.chunks(classes).enumerate() {
        let sum: f64 = trial::wide(found).iter().sum();
        assert!(
            sum.abs() < if E::BYTES == 4 { 1e-5 } else { 1e-2 },
            "row {row}: {sum}"
        );
        assert!(weights[row] > 0.0 || found.iter().all(|d| d.wide() == 0.0));
    }
    trial::same_everywhere(|isa| {
        let (loss, found) = passes(isa, &logits, &targets, &weights);
        (loss.to_bits(), trial::bits(&found))
    });
}

#[test]
fn losses_are_exact_and_the_same_everywhere() {
    for (rows, classes) in [
        (1, 2),
        (4099, 2),
        (300, 77),
        (3, BLOCK),
        (7, 3 * BLOCK + 5),
        (2, 50_000),
    ] {
        for spread in [1.0, 20.0] {
            check::<f32>(rows, classes, spread);
            check::<bf16>(rows, classes, spread);
        }
    }
}

#[test]
fn the_greatest_may_stand_in_any_block() {
    for at in [0, BLOCK - 1, BLOCK, 2 * BLOCK + 2] {
        let mut logits = vec![-300f32; 2 * BLOCK + 3];
        logits[at] = 400.0;
        let (loss, lse) = forward(&logits, &[at as u32], &[1.0]);
        assert_eq!((loss, lse), (0.0, vec![400.0]));
    }
}

#[test]
fn masked_classes_count_for_nothing() {
    let mut logits = vec![f32::NEG_INFINITY; 2 * BLOCK];
    logits[BLOCK + 3] = 1.0;
    logits[BLOCK + 900] = 1.0;
    let (loss, dlogits) = passes(Isa::current(), &logits, &[BLOCK as u32 + 3], &[1.0]);
    trial::near(&[loss], &[2f64.ln()], 1e-7);
    assert_eq!(dlogits[0], 0.0);
    trial::near(&[f64::from(dlogits[BLOCK + 900])], &[0.125], 1e-7);
    let (loss, _) = forward(&logits, &[0], &[1.0]);
    assert_eq!(loss, f64::INFINITY);
}

#[test]
fn what_is_not_finite_shows_unless_it_weighs_nothing() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut logits = trial::numbers(2 * 40, 4);
        logits[50] = bad;
        let (loss, found) = passes(Isa::current(), &logits, &[1, 2], &[1.0, 1.0]);
        assert!(loss.is_nan());
        assert!(found[..40].iter().all(|d| d.is_finite()) && found[50].is_nan());
        let (loss, found) = passes(Isa::current(), &logits, &[1, 2], &[1.0, 0.0]);
        assert!(loss.is_finite() && found.iter().all(|d| d.is_finite()));
    }
    let (loss, _) = forward(&[f32::NEG_INFINITY; 3], &[1], &[1.0]);
    assert!(loss.is_nan());
}

#[test]
fn no_rows_lose_nothing() {
    assert_eq!(forward::<f32>(&[], &[], &[]), (0.0, vec![]));
    backward::<f32>(&[], &[], &[], &[], 1.0, &mut []);
}

#[test]
#[should_panic(expected = "row 1 has target 2, expected one of 2 classes from 0")]
fn targets_are_checked() {
    forward(&[0f32; 4], &[1, 2], &[1.0; 2]);
}

#[test]
#[should_panic(expected = "cross-entropy: 5 logits and 2 weights for 2 rows")]
fn lengths_are_checked() {
    forward(&[0f32; 5], &[0, 0], &[1.0; 2]);
}
