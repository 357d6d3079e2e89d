//! Whole runs with every method on a tiny model: the bundle answers as the model just trained, and the verdict names
//! every floor.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use retune::bundle::Bundle;
use retune::checkpoint::Checkpoint;
use retune::data::read::{ReadOptions, read};
use retune::eval::Word;
use retune::methods::MethodRecipe;
use retune::ops::Precision;
use retune::recipe::{Refit, VerdictLevel};
use retune::{Finished, Flow, HubOptions, Plan, Recipe};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A run of the tiny model on 200 sentences into `out`.
fn recipe(out: &Path) -> Recipe {
    let mut recipe = Recipe {
        model: Some(root().join("golden/bert-tiny").display().to_string()),
        out: Some(out.to_path_buf()),
        precision: Some(Precision::F32),
        ..Recipe::default()
    };
    recipe.data.train = Some(root().join("data/movie-sentences.csv"));
    recipe.data.max_rows = Some(200);
    recipe.processor.max_length = Some(32);
    recipe.train.epochs = Some(1.0);
    recipe
}

fn run(recipe: &Recipe, home: &Path) -> Finished {
    let hub = HubOptions {
        home: home.to_path_buf(),
        ..HubOptions::from_env()
    };
    let plan = Plan::resolve(recipe, &hub, &mut |_| ()).unwrap();
    retune::train(plan, &mut |_| Flow::Continue).unwrap()
}

#[test]
fn every_method_saves_a_model_that_answers_as_it_did() {
    let dir = tempfile::tempdir().unwrap();
    for method in MethodRecipe::all() {
        let name = method.method().name();
        let mut recipe = recipe(&dir.path().join(name));
        recipe.method = method;
        recipe.verdict = VerdictLevel::Off;
        recipe.train.ema = Some(0.5);
        let finished = run(&recipe, dir.path());
        let bundle = Bundle::open(&finished.bundle).unwrap();
        assert_eq!(bundle.manifest.method, name);
        let weights = Checkpoint::open(&finished.bundle.join("model.safetensors")).unwrap();
        assert!(
            weights.names().all(|tensor| !tensor.contains("adapter")),
            "{name}"
        );
        let rows = finished.bundle.join("predictions.parquet");
        let saved = read(&rows, &ReadOptions::default()).unwrap();
        let answers = bundle.predictor().predict(&saved).unwrap();
        let column = saved.column("score_positive").unwrap();
        assert_eq!(answers.len(), 40);
        for (row, answer) in answers.iter().enumerate() {
            let was = column.number(row).unwrap();
            assert!(
                (answer.scores["positive"] - was).abs() < 1e-6,
                "{name}, row {row}"
            );
        }
    }
    // The second run of a method on frozen features finds them where the first left them.
    let features = std::fs::read_dir(dir.path().join("features")).unwrap();
    assert_eq!(features.count(), 1);
}

#[test]
fn a_verdict_names_every_floor_and_the_full_one_looks_at_several_seeds() {
    let dir = tempfile::tempdir().unwrap();
    for (level, seeds) in [(VerdictLevel::Fast, 1), (VerdictLevel::Full, 3)] {
        let mut recipe = recipe(&dir.path().join(format!("{level:?}")));
        recipe.verdict = level;
        recipe.train.max_steps = Some(3);
        let finished = run(&recipe, dir.path());
        let evaluated = finished.evaluated;
        let verdict = evaluated.verdict.unwrap();
        let floors: Vec<&str> = verdict.floors.keys().map(String::as_str).collect();
        let all = ["base_model", "classical", "frozen", "majority", "scratch"];
        assert_eq!(floors, all);
        assert!(
            all.iter()
                .all(|floor| evaluated.baselines.contains_key(*floor))
        );
        assert_eq!((verdict.seeds, verdict.rows), (seeds, 40));
        let weakest = verdict.floors.values().map(|floor| floor.word).min();
        assert_eq!(Some(verdict.word), weakest);
        // Three steps of a random model on random words show nothing.
        assert_ne!(verdict.word, Word::Improved);
        assert!(evaluated.calibration.is_some());
        assert!(
            evaluated
                .notes
                .iter()
                .any(|note| note.starts_with("scratch is"))
        );
        let card = std::fs::read_to_string(finished.bundle.join("card.md")).unwrap();
        assert!(card.contains("movie-sentences.csv"), "{card}");
    }
}

#[test]
fn rows_are_trained_on_again_in_their_share() {
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("old.csv");
    let rows: Vec<String> = (0..30)
        .map(|i| format!("an old text {i},{}", ["positive", "negative"][i % 2]))
        .collect();
    std::fs::write(&old, format!("text,label\n{}\n", rows.join("\n"))).unwrap();
    let mut recipe = recipe(&dir.path().join("out"));
    recipe.verdict = VerdictLevel::Off;
    let plan = |recipe: &Recipe| Plan::resolve(recipe, &HubOptions::from_env(), &mut |_| ());
    let without = plan(&recipe).unwrap();
    recipe.data.replay = Some(old);
    recipe.data.replay_share = 0.5;
    let with = plan(&recipe).unwrap();
    assert_eq!((without.train.len(), with.train.len()), (140, 140));
    assert_eq!(
        (without.test.len(), with.test.len(), with.replay.len()),
        (40, 40, 30)
    );
    // 140 rows in batches of 16, then twice as many.
    assert_eq!((without.summary.steps, with.summary.steps), (9, 18));
    assert!(
        with.summary
            .notes
            .iter()
            .any(|note| note.contains("50 % of the rows"))
    );
    let finished = retune::train(with, &mut |_| Flow::Continue).unwrap();
    assert_eq!(finished.evaluated.n, 40);
}

#[test]
fn a_refit_model_has_seen_every_row_and_says_whose_the_figures_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = recipe(&dir.path().join("out"));
    recipe.verdict = VerdictLevel::Off;
    recipe.train.lr = Some(1e-3);
    recipe.refit = Some(Refit::All);
    let finished = run(&recipe, dir.path());
    let bundle = Bundle::open(&finished.bundle).unwrap();
    assert!(bundle.manifest.refit);
    let notes = finished.evaluated.notes.join("\n");
    assert!(
        notes.contains("trained once more on all 200 rows"),
        "{notes}"
    );
    let rows = finished.bundle.join("predictions.parquet");
    let saved = read(&rows, &ReadOptions::default()).unwrap();
    let answers = bundle.predictor().predict(&saved).unwrap();
    let column = saved.column("score_positive").unwrap();
    let same = |(row, answer): (usize, &retune::Prediction)| {
        (answer.scores["positive"] - column.number(row).unwrap()).abs() < 1e-6
    };
    assert!(!answers.iter().enumerate().all(same));
}
