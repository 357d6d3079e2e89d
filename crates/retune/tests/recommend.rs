//! Recommenders on a made-up bookshop: they learn, carry over, take new items in, and go on bit for bit.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

mod folder;

use std::fs;
use std::path::{Path, PathBuf};

use retune::data::interactions::catalogue::{Catalogue, CatalogueRequest};
use retune::data::interactions::synthetic::shop;
use retune::eval::{Event, Word};
use retune::ops::Precision;
use retune::recipe::VerdictLevel;
use retune::recommend::{self, Mode, Plan, Shelf, Untaken, User, Wanted};
use retune::{Error, Finished, Flow, HubOptions, Recipe};

use folder::copy;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A bookshop in `dir`, and a recipe that reads its texts with a tiny encoder and writes to `out`.
fn recipe(dir: &Path, out: &str) -> Recipe {
    let shop = shop(3);
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut recipe = Recipe {
        out: Some(dir.join(out)),
        verdict: VerdictLevel::Off,
        precision: Some(Precision::F32),
        ..Recipe::default()
    };
    recipe.data.train = Some(file("events.csv", &shop.interactions));
    recipe.recommend.items = Some(file("items.csv", &shop.items));
    recipe.recommend.encoder = Some(root().join("golden/bert-tiny").display().to_string());
    recipe.recommend.width = 32;
    recipe.train.epochs = Some(6.0);
    recipe.train.lr = Some(5e-3);
    recipe
}

fn hub(dir: &Path) -> HubOptions {
    HubOptions {
        home: dir.to_path_buf(),
        ..HubOptions::from_env()
    }
}

fn plan(recipe: &Recipe, dir: &Path) -> Plan {
    Plan::resolve(recipe, None, &hub(dir), &mut |_| ()).unwrap()
}

fn run(recipe: &Recipe, dir: &Path) -> Finished {
    recommend::train(plan(recipe, dir), &mut |_| Flow::Continue).unwrap()
}

fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("model.safetensors")).unwrap()
}

#[test]
fn a_recommender_beats_popularity_and_answers_as_it_was_measured() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = recipe(dir.path(), "ids");
    recipe.recommend.encoder = Some("none".to_string());
    recipe.recommend.popularity = Some(true);
    recipe.train.epochs = Some(20.0);
    let finished = run(&recipe, dir.path());
    let verdict = finished.evaluated.verdict.as_ref().unwrap();
    assert_eq!(
        verdict.floors["popularity"].word,
        Word::Improved,
        "{verdict:?}"
    );
    assert_eq!(verdict.floors["popularity_7_days"].word, Word::Improved);
    assert!(finished.evaluated.baselines["item_knn"]["ndcg@10"].value > 0.0);
    assert!(finished.evaluated.slices["target"].contains_key("tail"));
    let shelf = Shelf::open(&finished.bundle).unwrap();
    let wanted = Wanted {
        k: 5,
        because: true,
        ..Wanted::default()
    };
    let user = shelf.user("r001").unwrap();
    let picks = &shelf.recommend(&[user], &wanted).unwrap()[0];
    assert_eq!(picks.len(), 5);
    assert!(picks.windows(2).all(|pair| pair[0].score >= pair[1].score));
    for pick in picks {
        let row = shelf.named(std::slice::from_ref(&pick.item)).unwrap()[0];
        assert!(!user.items.contains(&row), "{} was taken before", pick.item);
        assert!(pick.because.is_some());
    }
    // Scores are products of the exported vectors.
    let (users, items) = (shelf.user_vectors(), shelf.item_vectors());
    let row_of = |table: &retune::data::Table, name: &str, id: &str| {
        let column = table.column(name).unwrap();
        (0..table.rows())
            .find(|row| column.text(*row).unwrap() == id)
            .unwrap()
    };
    let (user, item) = (
        row_of(&users, "user", "r001"),
        row_of(&items, "item", &picks[0].item),
    );
    let value = |table: &retune::data::Table, at: usize, row: usize| {
        table
            .column(&format!("v{at}"))
            .unwrap()
            .number(row)
            .unwrap()
    };
    let product: f64 = (0..=32) // the last of them is about popularity
        .map(|at| value(&users, at, user) * value(&items, at, item))
        .sum();
    assert!(
        (product - f64::from(picks[0].score)).abs() < 1e-3,
        "{product} {}",
        picks[0].score
    );
}

#[test]
fn a_model_of_texts_carries_over_and_begins_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = recipe(dir.path(), "base");
    first.recommend.mode = Mode::Inductive;
    let base = run(&first, dir.path());
    for mode in Mode::ALL {
        let mut second = recipe(dir.path(), mode.name());
        second.model = Some(base.bundle.display().to_string());
        second.recommend.mode = mode;
        second.train.max_steps = Some(4);
        second.verdict = VerdictLevel::Fast;
        let tuned = run(&second, dir.path());
        let before = &tuned.evaluated.baselines["base_model"]["ndcg@10"];
        let was = &base.evaluated.metrics["ndcg@10"];
        // Items with vectors of their own begin with zeros: the answers are those of the model gone on from.
        assert!(
            (before.value - was.value).abs() < 1e-6,
            "{mode:?}: {before:?} {was:?}"
        );
        let body = |folder: &Path| {
            let checkpoint =
                retune::checkpoint::Checkpoint::open(&folder.join("model.safetensors")).unwrap();
            let kept = !checkpoint.names().any(|name| name.contains("adapter"));
            assert!(kept, "{mode:?}");
            checkpoint.f32("body.layers.0.up.weight").unwrap()
        };
        let same = body(&tuned.bundle) == body(&base.bundle);
        assert_eq!(same, mode == Mode::Adaptor, "{mode:?}");
    }
    let mut none = recipe(dir.path(), "none");
    none.recommend.mode = Mode::Adaptor;
    let problems = Plan::resolve(&none, None, &hub(dir.path()), &mut |_| ())
        .err()
        .unwrap();
    assert!(
        problems[0].to_string().contains("retune pretrain"),
        "{problems:?}"
    );
}

#[test]
fn somebody_without_a_history_gets_what_is_popular() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = recipe(dir.path(), "run");
    recipe.recommend.mode = Mode::Inductive;
    let plan = plan(&recipe, dir.path());
    let mut taken = vec![0; plan.items()];
    for row in 0..plan.histories.len() {
        for item in plan.histories.train(row) {
            taken[*item as usize] += 1;
        }
    }
    let finished = recommend::train(plan, &mut |_| Flow::Continue).unwrap();
    let shelf = Shelf::open(&finished.bundle).unwrap();
    let picks = &shelf
        .recommend(&[&User::default()], &Wanted::default())
        .unwrap()[0];
    let ids: Vec<String> = picks.iter().map(|pick| pick.item.clone()).collect();
    let rows = shelf.named(&ids).unwrap();
    let counts: Vec<usize> = rows.iter().map(|row| taken[*row as usize]).collect();
    taken.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(counts, taken[..counts.len()]);
}

#[test]
fn an_item_that_nobody_has_taken_was_missed_or_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let last = |untaken: Untaken, out: &str| {
        let mut recipe = recipe(dir.path(), out);
        let items = recipe.recommend.items.clone().unwrap();
        let text = fs::read_to_string(&items).unwrap();
        let more = text.lines().last().unwrap().split_once(',').unwrap().1;
        fs::write(items, format!("{text}untaken,{more}\n")).unwrap();
        recipe.recommend.mode = Mode::Inductive;
        recipe.recommend.untaken = untaken;
        recipe.train.max_steps = Some(1);
        let shelf = Shelf::open(&run(&recipe, dir.path()).bundle).unwrap();
        let vectors = shelf.item_vectors();
        let row = shelf.named(&["untaken".to_string()]).unwrap()[0] as usize;
        vectors.column("v32").unwrap().number(row).unwrap()
    };
    let (missed, new) = (last(Untaken::Missed, "missed"), last(Untaken::New, "new"));
    // Like what is usually taken, which more people take than the mean item.
    assert!(new > 2f64.ln() && missed < 2f64.ln(), "{missed} {new}");
}

#[test]
fn a_new_item_can_be_recommended_by_its_text_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = recipe(dir.path(), "run");
    recipe.recommend.mode = Mode::Inductive;
    let finished = run(&recipe, dir.path());
    let mut shelf = Shelf::open(&finished.bundle).unwrap();
    let before = shelf.items();
    let path = dir.path().join("new.csv");
    fs::write(
        &path,
        "item_id,title,genre\nnew-1,The Lost Comet,brand new genre\n",
    )
    .unwrap();
    let items = Catalogue::read(&path, &CatalogueRequest::default(), &[]).unwrap();
    shelf.add(&items, &hub(dir.path()), &mut |_| ()).unwrap();
    assert_eq!(shelf.items(), before + 1);
    let having = vec![("genre".to_string(), "brand new genre".to_string())];
    let wanted = Wanted {
        k: 3,
        having,
        ..Wanted::default()
    };
    let user = shelf.user("r002").unwrap();
    let picks = &shelf.recommend(&[user], &wanted).unwrap()[0];
    assert_eq!(picks.len(), 1);
    assert_eq!(picks[0].item, "new-1");
    let again = shelf
        .add(&items, &hub(dir.path()), &mut |_| ())
        .unwrap_err();
    assert!(again.to_string().contains("new-1"), "{again}");
    let unknown = Wanted {
        having: vec![("gener".to_string(), "x".to_string())],
        ..wanted
    };
    let wrong = shelf.recommend(&[&User::default()], &unknown).unwrap_err();
    assert!(wrong.to_string().contains("genre"), "{wrong}");
    let nobody = shelf.user("nobody").unwrap_err();
    assert!(
        matches!(nobody, Error::User(_)) && nobody.to_string().contains("--history"),
        "{nobody}"
    );
}

#[test]
fn a_run_that_was_cut_off_ends_with_the_same_weights() {
    let dir = tempfile::tempdir().unwrap();
    let mut whole = recipe(dir.path(), "whole");
    whole.train.checkpoint_every = Some(3);
    whole.train.ema = Some(0.9);
    let one = Recipe {
        threads: Some(1),
        ..whole.clone()
    };
    let finished = run(&one, dir.path());
    // The folder as it is after a step, which is what a killed process leaves.
    let cut = dir.path().join("cut");
    let again = Recipe {
        out: Some(dir.path().join("again")),
        threads: Some(2),
        ..whole
    };
    let from = again.out.clone().unwrap();
    let mut copied = false;
    recommend::train(plan(&again, dir.path()), &mut |event: &Event| {
        if matches!(event, Event::Saved { step } if *step == 9) {
            copy(&from, &cut);
            copied = true;
        }
        Flow::Continue
    })
    .unwrap();
    assert!(copied);
    assert_eq!(weights(&finished.bundle), weights(&from), "threads");
    let resumed = Plan::resolve(&again, Some(&cut), &hub(dir.path()), &mut |_| ()).unwrap();
    let resumed = recommend::resume(resumed, false, &mut |_| Flow::Continue).unwrap();
    assert_eq!(
        weights(&resumed.bundle),
        weights(&finished.bundle),
        "resume"
    );
}

#[test]
fn knobs_that_a_recommender_does_not_read_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = recipe(dir.path(), "run");
    recipe.train.batch_size = 32;
    let problems = Plan::resolve(&recipe, None, &hub(dir.path()), &mut |_| ())
        .err()
        .unwrap();
    assert!(
        problems.iter().any(|p| p.key == "train.batch_size"),
        "{problems:?}"
    );
}

/// A tiny recommender written out in torch (`golden/make_seq.py`, in f64): item vectors, states, gradients, five steps.
mod golden {
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
}

#[path = "../../retune-eval/tests/movielens/package.rs"]
#[expect(dead_code, reason = "another test program reads the larger set")]
mod package;

/// MovieLens-100K with its titles, the whole way: no worse than similar items of the last events, which are hard to beat
/// there, and better than everything else that only counts.
#[test]
fn movielens_100k_is_learned_at_least_as_well_as_similar_items() {
    let Some(events) = package::ML_100K.fetch() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = Recipe {
        out: Some(dir.path().join("run")),
        verdict: VerdictLevel::Off,
        ..Recipe::default()
    };
    recipe.recommend.items = Some(events.with_extension("item"));
    recipe.data.train = Some(events);
    recipe.train.dropout = Some(0.4);
    recipe.train.max_steps = Some(800);
    let plan = match Plan::resolve(&recipe, None, &HubOptions::from_env(), &mut |_| ()) {
        Ok(plan) => plan,
        Err(problems) => {
            assert!(!package::ci(), "{problems:?}");
            eprintln!("skipped: {problems:?}");
            return;
        }
    };
    let finished = recommend::train(plan, &mut |_| Flow::Continue).unwrap();
    let verdict = finished.evaluated.verdict.as_ref().unwrap();
    let figures = &finished.evaluated.metrics;
    for floor in ["popularity", "popularity_7_days", "markov", "ease"] {
        assert_eq!(
            verdict.floors[floor].word,
            Word::Improved,
            "{floor}: {figures:?}"
        );
    }
    assert!(
        figures["ndcg@10"].value > 0.095 && figures["hr@10"].value > 0.18,
        "{figures:?}"
    );
    assert_ne!(verdict.floors["item_knn"].word, Word::Worse, "{figures:?}");
}
