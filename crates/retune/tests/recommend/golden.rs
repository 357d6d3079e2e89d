//! A tiny recommender written out in torch (`golden/make_seq.py`, in f64): item vectors, states, gradients, five steps.

use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, TensorData};
use retune::checkpoint::Checkpoint;
use retune::data::interactions::SECOND;
use retune::eval::ranking::Seen;
use retune::model::Pass;
use retune::recommend::job::{Job, Pace};
use retune::recommend::rank::Asked;
use retune::recommend::recommender::{Form, Known, Recommender, Score};
use retune::recommend::sequences::{History, SequenceBatch};
use retune::scoring::{cpu, to_host};
use retune::seq::SeqConfig;
use retune::train::optimizer::Gradients;
use retune::weights::{Place, Source, params};

use super::*;

#[derive(serde::Deserialize)]
struct Expected {
    histories: Vec<Vec<u32>>,
    seconds: Vec<Vec<i64>>,
    texts: Vec<f32>,
    categories: Vec<f32>,
    popularity: Vec<f32>,
    items: Vec<f32>,
    states: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
    losses: Vec<f64>,
}

fn form() -> Form {
    Form {
        body: SeqConfig {
            width: 8,
            layers: 2,
            heads: 2,
            inner: 12,
            max_length: 6,
            kinds: 1,
            gaps: 4,
            dropout: 0.0,
            placed: true,
        },
        text: 5,
        ids: 7,
        categories: 4,
        score: Score::Cosine,
        popularity: true,
    }
}

fn model(train: bool) -> Recommender {
    let file = root().join("golden/seq/weights.safetensors");
    let checkpoint = Checkpoint::open(&file).unwrap();
    let keys = |path: &str| vec![path.to_string()];
    let place = Place::cpu(train, Precision::F32);
    let mut source = Source::new(Some(&checkpoint), &keys, &place, 0, 0.1);
    let model = Recommender::load(&mut source, &form()).unwrap();
    let report = source.finish(&|_| false);
    assert_eq!((report.new, report.unused), (Vec::new(), Vec::new()));
    model
}

fn expected() -> Expected {
    let text = fs::read_to_string(root().join("golden/seq/expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn near(got: &[f32], wanted: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        assert!(
            (g - w).abs() < tolerance * (1.0 + w.abs()),
            "{what} {i}: {g}, expected {w}"
        );
    }
}

fn rows(n: i64) -> Tensor<1, Int> {
    let rows: Vec<i64> = (0..n).collect();
    Tensor::from_data(TensorData::new(rows, [n as usize]), &cpu(false))
}

/// Times of the events, in nanoseconds.
fn times(expected: &Expected) -> Vec<Vec<i64>> {
    let each = expected.seconds.iter();
    each.map(|s| s.iter().map(|s| s * SECOND).collect())
        .collect()
}

fn histories<'a>(expected: &'a Expected, times: &'a [Vec<i64>]) -> Vec<(u64, History<'a>)> {
    let kinds = &[];
    let each = expected.histories.iter().zip(times);
    each.map(|(items, times)| {
        (
            0,
            History {
                items,
                times,
                kinds,
            },
        )
    })
    .collect()
}

fn known(expected: &Expected, train: bool) -> Known {
    let tensor = |values: &[f32], width: usize| {
        let data = TensorData::new(values.to_vec(), [7, width]);
        Some(Tensor::from_data(data, &cpu(train)))
    };
    Known {
        texts: tensor(&expected.texts, 5),
        categories: tensor(&expected.categories, 4),
        popularity: tensor(&expected.popularity, 1),
    }
}

/// Five passes over the three histories at once.
const PACE: Pace = Pace {
    epochs: Some(5.0),
    patience: 5,
    lr: 1e-2,
    batch: 3,
    negatives: None,
    average: None,
    max_steps: None,
    checkpoint_every: None,
    precision: Precision::F32,
    weight_decay: 0.0,
    clip_norm: 0.0,
    seed: 1,
};

fn with_job<R>(expected: &Expected, f: impl FnOnce(&Job) -> R) -> R {
    let (form, select, times) = (form(), Asked::default(), times(expected));
    f(&Job {
        form: &form,
        pace: PACE,
        known: known(expected, true),
        learn: histories(expected, &times),
        select: &select,
        items: 7,
        seen: Seen::Kept,
    })
}

#[test]
fn items_and_states_are_those_of_torch() {
    let (model, expected) = (model(false), expected());
    let items = model.items(&known(&expected, false), &rows(7));
    near(&to_host(items.clone()), &expected.items, 1e-5, "items");
    let times = times(&expected);
    let batch = SequenceBatch::asking(&histories(&expected, &times), 4);
    let states = model.states(&items, &batch, &Pass::default());
    near(&to_host(states), &expected.states, 1e-5, "states");
}

#[test]
fn every_gradient_is_that_of_torch() {
    let (start, expected) = (model(true), expected());
    let pass = Pass::default();
    let (mut found, mut checked) = (Gradients::default(), 0);
    let weight = with_job(&expected, |job| {
        let (lesson, _) = job.lessons(0, &job.in_play()).next().unwrap().unwrap();
        let loss = job.loss(&start, &lesson, &pass);
        found.add(&start, loss.sum.backward(), &pass.rows);
        loss.weight
    });
    for named in params(&start) {
        let (_, gradient) = found.found.iter().find(|(id, _)| *id == named.id).unwrap();
        let values = gradient.clone().dense(&cpu(false));
        let values = to_host(values.unsqueeze::<2>());
        let last = values.len() - 1;
        let mut places = vec![0, values.len() / 3, values.len() / 2, last];
        places.dedup();
        // Sums over events, where the reference has their mean.
        let mean = |i: usize| values[i] / weight as f32;
        let got: Vec<f32> = places.into_iter().map(mean).collect();
        near(&got, &expected.gradients[&named.path], 2e-4, &named.path);
        checked += 1;
    }
    assert_eq!(checked, expected.gradients.len());
}

#[test]
fn five_steps_lose_what_they_lose_in_torch() {
    let expected = expected();
    let mut losses = Vec::new();
    with_job(&expected, |job| {
        let on = &mut |event: &Event| {
            if let Event::Step { loss, .. } = event {
                losses.push(*loss);
            }
            Flow::Continue
        };
        job.fit(model(true), (None, None), on).unwrap();
    });
    assert_eq!(losses.len(), 5);
    for (got, wanted) in losses.iter().zip(&expected.losses) {
        let wanted_all = &expected.losses;
        assert!(
            (got - wanted).abs() < 1e-4,
            "{losses:?}, expected {wanted_all:?}"
        );
    }
}
