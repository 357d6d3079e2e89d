//! Both losses against the definition in f64, its slopes, and themselves on any number of threads.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::dropout::mix;
use crate::trial;

/// Everything a loss starts from; `ids` where items are drawn.
struct Case<E> {
    sizes: (usize, usize, usize),
    hidden: Vec<E>,
    items: Vec<E>,
    positives: Vec<E>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    ids: Option<Vec<u32>>,
    scale: f32,
}

/// Loss and gradients, the latter of the rows, the items, the right items and the scale.
#[derive(Debug, Clone, PartialEq)]
struct All {
    loss: f64,
    gradients: [Vec<f64>; 4],
}

impl<E: Element> Case<E> {
    /// `n` rows of width `d` and `m` items; every third weight is 0.
    fn new((n, d, m): (usize, usize, usize), drawn: bool, salt: u64) -> Self {
        let number = |i: usize, of: usize| (mix(salt * 77 + i as u64) % of as u64) as u32;
        let catalogue = if drawn { 2 * m + 3 } else { m };
        let ids = (0..m).map(|i| number(i + 9999, catalogue)).collect();
        let weight = |(i, w): (usize, f32)| if i % 3 == 2 { 0.0 } else { w.abs() };
        let weights = trial::numbers(n, salt + 1).into_iter().enumerate();
        // Scores of the size of 1: gradients are differences of products, and rounded by the size of those.
        let hidden = trial::numbers(n * d, salt + 2).into_iter();
        let size = (d as f32).sqrt();
        Self {
            sizes: (n, d, m),
            hidden: hidden.map(|x| E::narrow(x / size)).collect(),
            items: trial::elements(m * d, salt + 3),
            positives: trial::elements(if drawn { n * d } else { 0 }, salt + 4),
            targets: (0..n).map(|i| number(i, catalogue)).collect(),
            weights: weights.map(weight).collect(),
            ids: drawn.then_some(ids),
            scale: 0.7,
        }
    }

    /// Loss and gradients on this instruction set; without gradients, they are empty.
    fn run(&self, isa: Isa, with_gradients: bool) -> All {
        let (n, d, m) = self.sizes;
        let rows = Rows {
            hidden: View::new(&self.hidden, n, d),
            targets: &self.targets,
            weights: &self.weights,
            scale: self.scale,
        };
        let items = View::new(&self.items, m, d);
        let mut into = [self.hidden.len(), self.items.len(), self.positives.len()]
            .map(|len| vec![f32::NAN; len]);
        let [hidden, of_items, positives] = &mut into;
        let gradients = with_gradients.then_some(Gradients {
            hidden,
            items: of_items,
            positives,
        });
        let found = match &self.ids {
            None => full(isa, rows, items, gradients),
            Some(ids) => {
                let drawn = Sampled {
                    positives: View::new(&self.positives, n, d),
                    negatives: items,
                    ids,
                };
                sampled(isa, rows, drawn, gradients)
            }
        };
        if !with_gradients {
            assert_eq!(found.dscale, 0.0);
            into = Default::default();
        }
        let scaled = |x: &Vec<f32>| x.iter().map(|v| f64::from(self.scale * v)).collect();
        let [hidden, items, positives] = into.each_ref().map(scaled);
        All {
            loss: found.loss,
            gradients: [hidden, items, positives, vec![found.dscale]],
        }
    }

    fn plain(&self) -> All {
        let inputs = [&self.hidden, &self.items, &self.positives].map(|x| trial::wide(x));
        self.plain_at(&inputs, f64::from(self.scale))
    }

    /// The definition.
    fn plain_at(&self, [hidden, items, positives]: &[Vec<f64>; 3], scale: f64) -> All {
        let (n, d, m) = self.sizes;
        let mut loss = 0.0;
        let mut dscale = 0.0;
        let mut gradients = [hidden, items, positives].map(|x| vec![0.0; x.len()]);
        for i in 0..n {
            let target = self.targets[i];
            // Which vector of which input each score is of, the right one first.
            let mut columns: Vec<(usize, usize)> = match &self.ids {
                None => (0..m).map(|j| (1, j)).collect(),
                Some(ids) => {
                    let others = (0..m).filter(|j| ids[*j] != target).map(|j| (1, j));
                    [(2, i)].into_iter().chain(others).collect()
                }
            };
            if self.ids.is_none() {
                columns.swap(0, target as usize);
            }
            let vectors = [hidden, items, positives];
            let product = |(which, j): (usize, usize)| -> f64 {
                let term = |k: usize| hidden[i * d + k] * vectors[which][j * d + k];
                (0..d).map(term).sum()
            };
            let products: Vec<f64> = columns.iter().map(|at| product(*at)).collect();
            let top = products.iter().fold(f64::MIN, |m, p| m.max(scale * p));
            let total: f64 = products.iter().map(|p| (scale * p - top).exp()).sum();
            let weight = f64::from(self.weights[i]);
            loss += weight * (top + total.ln() - scale * products[0]);
            for (c, (which, j)) in columns.iter().enumerate() {
                let p = (scale * products[c] - top).exp() / total;
                let slope = weight * (p - if c == 0 { 1.0 } else { 0.0 });
                dscale += slope * products[c];
                for k in 0..d {
                    let (a, b) = (hidden[i * d + k], vectors[*which][j * d + k]);
                    gradients[0][i * d + k] += scale * slope * b;
                    gradients[*which][j * d + k] += scale * slope * a;
                }
            }
        }
        let [hidden, items, positives] = gradients;
        All {
            loss,
            gradients: [hidden, items, positives, vec![dscale]],
        }
    }
}

/// Every number within `tolerance` of the largest of its tensor, or of 1.
#[track_caller]
fn near(what: &str, got: &All, want: &All, tolerance: f64) {
    let size = want.loss.abs().max(1.0);
    assert!(
        (got.loss - want.loss).abs() <= 0.2 * tolerance * size,
        "{what}: {} instead of {}",
        got.loss,
        want.loss
    );
    let names = ["rows", "items", "right items", "scale"];
    for (name, (got, want)) in names.iter().zip(got.gradients.iter().zip(&want.gradients)) {
        assert_eq!(got.len(), want.len());
        let largest = want.iter().fold(1f64, |m, v| m.max(v.abs()));
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            assert!(
                (g - w).abs() <= tolerance * largest,
                "{what}, {name} {i}: {g} instead of {w}, of {largest}"
            );
        }
    }
}

fn check<E: Element>(sizes: (usize, usize, usize), drawn: bool, salt: u64) {
    let case = Case::<E>::new(sizes, drawn, salt);
    let want = case.plain();
    let tolerance = if E::BYTES == 2 { 2e-2 } else { 5e-5 };
    for isa in Isa::available() {
        let got = case.run(isa, true);
        let what = format!("{} {sizes:?}, drawn {drawn}", isa.name());
        near(&what, &got, &want, tolerance);
        assert_eq!(case.run(isa, false).loss, got.loss, "{what}");
    }
    trial::same_on_any_threads(|| case.run(Isa::current(), true));
}

#[test]
fn every_size_equals_the_definition() {
    let last = (BLOCK * 2 + 7, BLOCK);
    for sizes in [
        (1, 1, 1),
        (1, 8, 5),
        (7, 16, 33),
        (2, 3, last.1),
        (3, 33, last.1 + 1),
        (LEAST_ROWS + 5, 5, last.0),
        (2 * LEAST_ROWS + 1, 2, last.1),
        (4500, 3, 100),
        (0, 4, 9),
    ] {
        check::<f32>(sizes, false, 1);
        check::<bf16>(sizes, false, 2);
        check::<f32>(sizes, true, 3);
        check::<bf16>(sizes, true, 4);
    }
}

#[test]
fn gradients_are_slopes() {
    for drawn in [false, true] {
        for sizes in [(1, 2, 3), (4, 3, 5), (5, 1, 9)] {
            let case = Case::<f32>::new(sizes, drawn, 5);
            let inputs = [&case.hidden, &case.items, &case.positives].map(|x| trial::wide(x));
            let found = case.run(Isa::current(), true).gradients.concat();
            let mut x = inputs.concat();
            x.push(f64::from(case.scale));
            trial::is_gradient(&x, &found, |x| {
                let mut rest = x;
                let parts = inputs.each_ref().map(|input| {
                    let (part, after) = rest.split_at(input.len());
                    rest = after;
                    part.to_vec()
                });
                case.plain_at(&parts, rest[0]).loss
            });
        }
    }
}

#[test]
fn negatives_that_are_the_target_do_not_count() {
    let mut case = Case::<f32>::new((3, 8, 6), true, 6);
    case.weights = vec![1.0, 0.5, 2.0];
    case.targets = vec![4, 4, 7];
    case.ids = Some(vec![1, 4, 2, 4, 9, 4]);
    let among = case.run(Isa::current(), true);
    let negatives = |columns: &[usize]| -> Vec<f32> {
        let rows = columns.iter().map(|j| &case.items[j * 8..][..8]);
        rows.flatten().copied().collect()
    };
    // Rows 0 and 1 see columns 0, 2 and 4 alone, row 2 sees all.
    let without = |rows: std::ops::Range<usize>, columns: &[usize]| Case {
        sizes: (rows.len(), 8, columns.len()),
        hidden: case.hidden[rows.start * 8..rows.end * 8].to_vec(),
        items: negatives(columns),
        positives: case.positives[rows.start * 8..rows.end * 8].to_vec(),
        targets: vec![100; rows.len()],
        weights: case.weights[rows].to_vec(),
        ids: Some(vec![0; columns.len()]),
        scale: case.scale,
    };
    let few = without(0..2, &[0, 2, 4]).run(Isa::current(), true);
    let many = without(2..3, &[0, 1, 2, 3, 4, 5]).run(Isa::current(), true);
    trial::near(&[among.loss], &[few.loss + many.loss], 1e-6);
    trial::near(&among.gradients[0][..16], &few.gradients[0], 1e-6);
    // What is masked for two rows still learns from the third.
    let column = |all: &All, j: usize| all.gradients[1][j * 8..][..8].to_vec();
    trial::near(&column(&among, 3), &column(&many, 3), 1e-6);
}

#[test]
fn without_negatives_nothing_is_lost() {
    for drawn in [true, false] {
        let mut case = Case::<f32>::new((5, 4, usize::from(!drawn)), drawn, 7);
        case.weights = vec![1.0; 5];
        let found = case.run(Isa::current(), true);
        assert_eq!(found.loss, 0.0);
        assert!(found.gradients.concat().iter().all(|v| *v == 0.0));
    }
}

#[test]
fn large_scores_and_what_weighs_nothing_stay_finite() {
    for drawn in [false, true] {
        let mut case = Case::<f32>::new((6, 16, 40), drawn, 8);
        case.scale = 1e4;
        near(
            "large",
            &case.run(Isa::current(), true),
            &case.plain(),
            5e-5,
        );
        case.weights = vec![0.0; 6];
        let found = case.run(Isa::current(), true);
        assert_eq!(found.loss, 0.0);
        assert!(found.gradients.concat().iter().all(|v| *v == 0.0));
        case.weights = vec![1.0; 6];
        case.hidden[0] = f32::NAN;
        assert!(case.run(Isa::current(), true).loss.is_nan());
    }
}

#[test]
fn gradients_of_items_need_not_be_asked_for() {
    let case = Case::<f32>::new((9, 4, 30), false, 9);
    let rows = Rows {
        hidden: View::new(&case.hidden, 9, 4),
        targets: &case.targets,
        weights: &case.weights,
        scale: case.scale,
    };
    let mut hidden = vec![0f32; 36];
    let gradients = Gradients {
        hidden: &mut hidden,
        items: &mut [],
        positives: &mut [],
    };
    let items = View::new(&case.items, 30, 4);
    let found = full(Isa::current(), rows, items, Some(gradients));
    let want = case.run(Isa::current(), true);
    assert_eq!(found.dscale, want.gradients[3][0]);
    let hidden: Vec<f64> = hidden.iter().map(|v| f64::from(case.scale * v)).collect();
    assert_eq!(hidden, want.gradients[0]);
}

#[test]
#[should_panic(expected = "ranking: row 1 has target 2, expected one of 2 items from 0")]
fn targets_are_checked() {
    let mut case = Case::<f32>::new((2, 3, 2), false, 1);
    case.targets[1] = 2;
    case.run(Isa::current(), false);
}

#[test]
#[should_panic(expected = "ranking: 3 ids for 4 negatives")]
fn ids_are_checked() {
    let mut case = Case::<f32>::new((2, 3, 4), true, 1);
    case.ids = Some(vec![1, 2, 3]);
    case.run(Isa::current(), false);
}

#[test]
#[should_panic(expected = "ranking: 2 targets and 1 weights for 2 rows")]
fn lengths_are_checked() {
    let mut case = Case::<f32>::new((2, 3, 4), true, 1);
    case.weights.truncate(1);
    case.run(Isa::current(), false);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_size_equals_the_definition(
        (n, d, m) in (1usize..50, 1usize..80, 1usize..200),
        drawn: bool,
        salt in 0u64..1000,
    ) {
        check::<f32>((n, d, m), drawn, salt);
        check::<bf16>((n, d, m), drawn, salt);
    }
}
