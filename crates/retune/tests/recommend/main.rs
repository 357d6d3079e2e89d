//! Recommenders on a made-up bookshop: they learn, carry over, take new items in, and go on bit for bit.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

#[path = "../folder/mod.rs"]
mod folder;
mod golden;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use retune::data::interactions::catalogue::{Catalogue, CatalogueRequest};
use retune::data::interactions::synthetic::shop;
use retune::data::read::ReadOptions;
use retune::eval::{Event, Word};
use retune::ops::Precision;
use retune::recipe::VerdictLevel;
use retune::recommend::{self, Mode, Plan, Shelf, Untaken, User, Wanted};
use retune::{Error, Finished, Flow, HubOptions, Recipe};

use folder::cut_off;
use retune_kernels::dropout::mix;

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
    first.recommend.categories = Some(true);
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

/// A shop whose titles say nothing of what comes next: after an item of one group comes one of the next, and groups are
/// mere codes.
fn coded_shop(dir: &Path) -> Recipe {
    let mut recipe = recipe(dir, "coded");
    let mut items = "item_id,title,colour,code\n".to_string();
    for item in 0..60 {
        let title = ["one", "two"][item / 6 % 2];
        writeln!(items, "i{item},thing {title},red,x{}", item % 6).unwrap();
    }
    let mut events = "user_id,item_id,timestamp\n".to_string();
    for user in 0..200_u64 {
        for step in 0..10 {
            let item = (user + step) % 6 + 6 * (mix(user * 10 + step) % 10);
            writeln!(events, "u{user},i{item},{}", 1_700_000_000 + 60 * step).unwrap();
        }
    }
    fs::write(recipe.recommend.items.as_ref().unwrap(), items).unwrap();
    fs::write(recipe.data.train.as_ref().unwrap(), events).unwrap();
    recipe.recommend.item_text = vec!["title".to_string()];
    recipe.recommend.item_category = vec!["code".to_string()];
    recipe.recommend.mode = Mode::Inductive;
    recipe.train.epochs = Some(40.0);
    recipe
}

#[test]
fn categories_tell_of_new_items_what_their_texts_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("new.csv");
    fs::write(&new, "item_id,title,code\nnew,thing one,x3\n").unwrap();
    // Place of the new item for people whose last item was of the group before its own, and for others.
    let places = |categories: bool| {
        let mut recipe = coded_shop(dir.path());
        recipe.recommend.categories = Some(categories);
        recipe.out = Some(dir.path().join(format!("{categories}")));
        let mut shelf = Shelf::open(&run(&recipe, dir.path()).bundle).unwrap();
        let request = shelf.request(ReadOptions::default());
        let items = Catalogue::read(&new, &request, &[]).unwrap();
        assert_eq!(items.texts, ["thing one"]);
        shelf.add(&items, &hub(dir.path()), &mut |_| ()).unwrap();
        let wanted = Wanted {
            k: 61,
            show_seen: Some(true),
            ..Wanted::default()
        };
        let place = |last: &str| {
            let history = shelf.named(&[last.to_string()]).unwrap();
            let picks = &shelf.recommend(&[&User::of(history)], &wanted).unwrap()[0];
            picks.iter().position(|pick| pick.item == "new").unwrap()
        };
        (place("i2"), place("i4"))
    };
    let (asked, others) = places(true);
    assert!(asked <= 10 && others > 10, "{asked}, {others}");
    let (asked, _) = places(false);
    assert!(asked > 10, "{asked} without categories");
    let mut none = coded_shop(dir.path());
    none.recommend.categories = Some(true);
    none.recommend.item_category = vec!["item_id".to_string()];
    let problems = Plan::resolve(&none, None, &hub(dir.path()), &mut |_| ());
    let problems = problems.err().unwrap();
    assert!(
        problems[0].to_string().contains("--item-category"),
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
    recommend::train(plan(&again, dir.path()), &mut cut_off(9, &from, &cut)).unwrap();
    assert!(cut.is_dir());
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

#[path = "../../../retune-eval/tests/movielens/package.rs"]
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
