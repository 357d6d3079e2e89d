//! Sums of table rows against their twin, and what becomes of their gradients over micro-batches.

use std::sync::Arc;

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use proptest::prelude::*;
use proptest::sample::select;
use retune::nn::Embedding;
use retune::ops::{self, Activation, Affine, Compute, Gradient, Lookup, Precision, RowSink};
use retune::scoring;
use retune::train::optimizer::Gradients;
use retune_kernels::dropout::mix;

use super::case::{draw, host, matrix, near, weighting};

/// Three tables of these many rows.
const ROWS: [usize; 3] = [40, 7, 2];

fn tables(width: usize, salt: u64) -> Vec<Embedding> {
    let table = |(i, rows): (usize, &usize)| {
        let values = draw(rows * width, salt + i as u64);
        let data = TensorData::new(values, [*rows, width]);
        let weight = Param::from_data(data, &scoring::cpu(true));
        Embedding { weight }
    };
    ROWS.iter().enumerate().map(table).collect()
}

/// Ids of `tokens` tokens in a table of `rows` rows, most of them repeated.
fn ids(tokens: usize, rows: usize, salt: u64) -> Arc<Vec<u32>> {
    let id = |token: usize| {
        let random = mix(salt ^ mix(token as u64));
        (random % rows as u64 * (random >> 60 & 1)) as u32
    };
    Arc::new((0..tokens).map(id).collect())
}

/// The lookups of one pass: which table of [`tables`], and its ids.
type Lookups = Vec<(usize, Arc<Vec<u32>>)>;

fn lookups(tokens: usize, which: &[usize], salt: u64) -> Lookups {
    let one = |(i, table): (usize, &usize)| (*table, ids(tokens, ROWS[*table], salt + i as u64));
    which.iter().enumerate().map(one).collect()
}

fn sum(tables: &[Embedding], lookups: &Lookups, sink: &RowSink) -> Tensor<2> {
    let lookups: Vec<Lookup<'_>> = lookups.iter().map(|(t, ids)| tables[*t].at(ids)).collect();
    ops::embedding(&lookups, sink)
}

/// Results of several passes, and the gradients as training gathers them over all.
fn passes(tables: &Vec<Embedding>, all: &[Lookups]) -> (Vec<Vec<f32>>, Gradients) {
    let mut gradients = Gradients::default();
    let mut results = Vec::new();
    for lookups in all {
        let sink = RowSink::default();
        let result = sum(tables, lookups, &sink);
        let [tokens, width] = result.dims();
        results.push(host(result.clone()));
        let weights = matrix(&weighting(tokens * width), [tokens, width], true);
        let tape = (result * weights).sum().backward();
        gradients.add(tables, tape, &sink);
        assert!(
            tables
                .iter()
                .all(|table| sink.take(table.weight.id).is_none())
        );
    }
    (results, gradients)
}

/// Gradients of the tables, dense, in their order; empty for none.
fn dense(tables: &[Embedding], gradients: &Gradients) -> Vec<Vec<f32>> {
    let of = |table: &Embedding| {
        let mut found = gradients
            .found
            .iter()
            .filter(|(id, _)| *id == table.weight.id);
        let gradient = found.next().map(|(_, gradient)| gradient.clone());
        assert!(found.next().is_none(), "two gradients of one table");
        gradient.map_or_else(Vec::new, |g| host(g.dense(&scoring::cpu(false))))
    };
    tables.iter().map(of).collect()
}

fn check(width: usize, all: &[Lookups], salt: u64) {
    let tables = tables(width, salt);
    let (got, rows) = passes(&tables, all);
    let (want, whole) = ops::with_twins(|| passes(&tables, all));
    assert_eq!(got, want);
    assert!(
        rows.found
            .iter()
            .all(|(_, g)| matches!(g, Gradient::Rows { .. }))
    );
    assert!(
        whole
            .found
            .iter()
            .all(|(_, g)| matches!(g, Gradient::Dense(_)))
    );
    assert!((rows.norm() - whole.norm()).abs() <= 1e-5 * whole.norm());
    let (got, want) = (dense(&tables, &rows), dense(&tables, &whole));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        near(&format!("gradient of table {i}"), got, want, 1e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn sums_and_row_gradients_equal_the_twin(
        width in select(vec![1usize, 5, 32, 100]),
        tokens in select(vec![0usize, 1, 7, 211]),
        which in prop::collection::vec(0usize..3, 1..=3),
        salt in 0u64..1000,
    ) {
        check(width, &[lookups(tokens, &which, salt)], salt);
    }

    #[test]
    fn gradients_of_micro_batches_add_up(
        width in select(vec![3usize, 32]),
        first in prop::collection::vec(0usize..3, 1..=3),
        second in prop::collection::vec(0usize..3, 1..=3),
        third in prop::collection::vec(0usize..3, 1..=3),
        salt in 0u64..1000,
    ) {
        let all = [
            lookups(13, &first, salt),
            lookups(30, &second, salt + 5),
            lookups(1, &third, salt + 9),
        ];
        check(width, &all, salt);
    }
}

/// A table that is both looked up and multiplied with gets the sum of both gradients.
#[test]
fn a_table_that_is_also_a_weight() {
    let tables = tables(32, 3);
    let ids = ids(19, ROWS[0], 4);
    let run = || {
        let sink = RowSink::default();
        let x = ops::embedding(&[tables[0].at(&ids)], &sink);
        let head = Affine {
            weight: tables[0].weight.val(),
            bias: Tensor::zeros([ROWS[0]], &scoring::cpu(true)),
            low_rank: None,
        };
        let compute = Compute::new(Precision::F32);
        let logits = ops::linear(x, &[head], None, Activation::None, &compute);
        let weights = matrix(&weighting(19 * ROWS[0]), [19, ROWS[0]], true);
        let mut gradients = Gradients::default();
        let tape = (logits * weights).sum().backward();
        gradients.add(&tables, tape, &sink);
        dense(&tables, &gradients)
    };
    let (got, want) = (run(), ops::with_twins(run));
    near("gradient", &got[0], &want[0], 1e-5);
    assert!(got[1].is_empty() && got[2].is_empty());
}

/// A frozen table gets no gradient, and does not keep the others from theirs.
#[test]
fn a_frozen_table_gets_no_gradient() {
    let mut tables = tables(8, 5);
    tables[1].weight = tables[1].weight.clone().set_require_grad(false);
    let all = [lookups(12, &[0, 1, 2], 6)];
    let (_, got) = passes(&tables, &all);
    let (_, want) = ops::with_twins(|| passes(&tables, &all));
    let (got, want) = (dense(&tables, &got), dense(&tables, &want));
    assert!(got[1].is_empty());
    for i in [0, 2] {
        near(&format!("gradient of table {i}"), &got[i], &want[i], 1e-5);
    }
}
