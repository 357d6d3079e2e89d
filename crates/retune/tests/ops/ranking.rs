//! Ranking losses against their twins: all items or drawn ones, in f32 and bf16, with every gradient.

use std::sync::Arc;

use burn::tensor::Tensor;
use proptest::prelude::*;
use proptest::sample::select;
use retune::ops::{self, Drawn, Precision, RankedRows};
use retune_kernels::dropout::mix;

use super::case::{Input, evaluate, same, same_beside, vector};
use super::cross_entropy::targets;

/// A loss of rows, items, scale and, where items are drawn, right items.
pub struct Ranking {
    sizes: [usize; 3],
    rows: RankedRows,
    /// The items drawn.
    ids: Option<Arc<Vec<u32>>>,
    salt: u64,
}

impl Ranking {
    /// Of so many rows, of a width, and so many items; every third row weighs nothing.
    pub fn new(
        (rows, width, items): (usize, usize, usize),
        drawn: bool,
        precision: Precision,
        salt: u64,
    ) -> Self {
        // Few enough that some drawn items are targets.
        let catalogue = if drawn { items + 2 } else { items };
        let (targets, weights) = targets(rows, catalogue, salt);
        let id = |i: usize| (mix(salt * 31 + i as u64) % catalogue as u64) as u32;
        Self {
            sizes: [rows, width, items],
            rows: RankedRows {
                targets,
                weights,
                precision,
            },
            ids: drawn.then(|| Arc::new((0..items).map(id).collect())),
            salt,
        }
    }

    pub fn inputs(&self) -> Vec<Input> {
        let [rows, width, items] = self.sizes;
        // Scores of the size of 1: the twin's logarithms of probabilities are rounded by the size of scores.
        let size = (width as f32).sqrt();
        let mut inputs = vec![
            Input::new("hidden", [rows, width], self.salt).times(1.0 / size),
            Input::new("items", [items, width], self.salt + 1),
            Input::new("scale", [1, 1], self.salt + 2),
        ];
        if self.ids.is_some() {
            inputs.push(Input::new("positives", [rows, width], self.salt + 3));
        }
        let within = |input: Input| input.within(self.rows.precision);
        inputs.into_iter().map(within).collect()
    }

    /// The loss as a matrix of one value.
    pub fn loss(&self, inputs: &[Tensor<2>]) -> Tensor<2> {
        let (hidden, items, scale) = (inputs[0].clone(), inputs[1].clone(), vector(&inputs[2]));
        let loss = match &self.ids {
            None => ops::ranking_loss(hidden, items, scale, &self.rows),
            Some(ids) => {
                let drawn = Drawn {
                    positives: inputs[3].clone(),
                    negatives: items,
                    ids: Arc::clone(ids),
                };
                ops::sampled_ranking_loss(hidden, drawn, scale, &self.rows)
            }
        };
        loss.reshape([1, 1])
    }
}

/// Asserts that kernels and twins agree; inputs named in `fixed` do not train.
fn check(ranking: &Ranking, fixed: &[&str]) {
    let mut inputs = ranking.inputs();
    for input in &mut inputs {
        input.trains = !fixed.contains(&input.name.as_str());
    }
    let run = || evaluate(&inputs, &|t| ranking.loss(t));
    let (got, want) = (run(), ops::with_twins(run));
    let tolerance = match ranking.rows.precision {
        Precision::F32 => 5e-5,
        Precision::Bf16 => 2e-2,
    };
    // The gradient of the scale is a sum over rows.
    let floor = (ranking.sizes[0] as f32).sqrt();
    same_beside(&got, &want, (tolerance, floor));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn it_equals_its_twin(
        rows in select(vec![1usize, 2, 7, 31, 211]),
        width in select(vec![1usize, 8, 33, 64]),
        items in select(vec![1usize, 2, 33, 100, 1003]),
        drawn in any::<bool>(),
        precision in select(vec![Precision::F32, Precision::Bf16]),
        salt in 0u64..1000,
    ) {
        check(&Ranking::new((rows, width, items), drawn, precision, salt), &[]);
    }
}

#[test]
fn what_does_not_train_gets_no_gradient() {
    for drawn in [false, true] {
        let ranking = Ranking::new((40, 8, 50), drawn, Precision::F32, 2);
        check(&ranking, &["items"]);
        check(&ranking, &["scale", "hidden"]);
        check(&ranking, &["hidden", "items", "scale", "positives"]);
    }
}

#[test]
fn items_may_be_more_than_a_block() {
    check(&Ranking::new((300, 5, 9001), false, Precision::F32, 3), &[]);
}

/// Gradients go back in the format that the rows came in.
#[test]
fn rows_may_come_in_bf16() {
    let ranking = Ranking::new((20, 8, 30), false, Precision::Bf16, 4);
    let inputs = ranking.inputs();
    let run = |format| {
        evaluate(&inputs, &|t: &[Tensor<2>]| {
            let mut t = t.to_vec();
            t[0] = t[0].clone().cast(format);
            ranking.loss(&t)
        })
    };
    let (narrow, wide) = (
        run(burn::tensor::DType::BF16),
        run(burn::tensor::DType::F32),
    );
    assert_eq!(narrow.out, wide.out);
    same(&narrow, &wide, 1e-2);
}
