//! Models of events: they learn without labels what a card will do, read a stream as they read a table, and help trees.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(
    dead_code,
    reason = "a pre-training is cut off between its saved states"
)]
mod folder;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use retune::checkpoint::Checkpoint;
use retune::data::read::{ReadOptions, read};
use retune::data::simulate::{World, write_transactions};
use retune::data::timelines::Moments;
use retune::events::batch::EventBatch;
use retune::events::bundle::{TASK, fresh};
use retune::events::pretrain::pretrain;
use retune::events::{EventBase, EventForm, Plan};
use retune::methods::MethodRecipe;
use retune::model::Pass;
use retune::ops::{self, Precision};
use retune::recipe::VerdictLevel;
use retune::scoring::{cpu, to_host};
use retune::seq::SeqConfig;
use retune::tables::scorer::Scorer;
use retune::train::optimizer::Gradients;
use retune::weights::{Named, Place, params};
use retune::{Finished, Flow, Recipe, tables};

use folder::copy;

/// A recipe of little cost for `data` that writes to `out` beside it.
fn recipe(data: &Path, out: &str) -> Recipe {
    let mut recipe = Recipe {
        out: Some(data.parent().unwrap().join(out)),
        ..Recipe::default()
    };
    recipe.data.train = Some(data.to_path_buf());
    recipe.tables.event_width = 16;
    recipe
}

fn payments(dir: &Path, name: &str, seed: u64) -> PathBuf {
    let path = dir.join(name);
    let world = World {
        seed,
        customers: 100,
        terminals: 60,
        days: 40,
        radius: 20.0,
        ..World::default()
    };
    write_transactions(&path, &world).unwrap();
    path
}

fn learn(data: &Path, out: &str) -> Finished {
    let recipe = Recipe {
        task: Some(TASK.to_string()),
        ..recipe(data, out)
    };
    let plan = Plan::resolve(&recipe, None).unwrap();
    pretrain(&plan, None, &mut |_| Flow::Continue).unwrap()
}

#[test]
fn what_it_learned_without_labels_surprises_less_and_serves_trees_of_another_table() {
    let dir = tempfile::tempdir().unwrap();
    let first = payments(dir.path(), "first.csv", 1);
    let finished = learn(&first, "history");
    let gain = finished.evaluated.gains["frequencies"];
    assert!(gain.low > 0.2, "{gain:?}");
    let base = EventBase::open(&finished.bundle).unwrap();
    // Neither the label nor the kind of a fraud is a field of an event.
    assert_eq!(base.config.fields.fields, []);
    assert_eq!(base.config.form.sizes.len(), 5);

    // Other names, another order, other money.
    let second = payments(dir.path(), "second.csv", 2);
    let mut renamed = "betrag,is_fraud,wer,wo,wann\n".to_string();
    for line in fs::read_to_string(&second).unwrap().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let amount: f64 = cells[4].parse().unwrap();
        let (fraud, card, place, time) = (cells[5], cells[2], cells[3], cells[1]);
        writeln!(renamed, "{},{fraud},{card},{place},{time}", amount * 100.0).unwrap();
    }
    fs::write(&second, renamed).unwrap();
    let mut recipe = recipe(&second, "fused");
    recipe.verdict = VerdictLevel::Fast;
    recipe.data.time = Some("wann".to_string());
    recipe.tables.entities = vec!["wer".to_string(), "wo".to_string()];
    recipe.tables.event_model = Some(finished.bundle.clone());
    let plan = tables::Plan::resolve(&recipe, None).unwrap();
    assert!(
        plan.inputs()
            .iter()
            .any(|name| name == "surprise of amount")
    );
    let fused = tables::train(plan, &mut |_| Flow::Continue).unwrap();
    assert!(fused.evaluated.gains.contains_key("no_history"));
    streams_as_tables(&second, &fused.bundle);
}

/// The scores of a stream, with a restart in the middle, are those of the file.
fn streams_as_tables(data: &Path, bundle: &Path) {
    let table = read(data, &ReadOptions::default()).unwrap();
    let mut scorer = Scorer::open(bundle).unwrap();
    let cells = scorer.cells(&table).unwrap();
    let wanted = scorer.scores(&cells);
    scorer.forget();
    let mut order: Vec<usize> = (0..table.rows()).collect();
    let time = table.column("wann").unwrap();
    order.sort_by_key(|row| time.text(*row).map(std::borrow::Cow::into_owned));
    let past = bundle.join("past.test");
    for (number, row) in order.into_iter().enumerate().take(1500) {
        if number == 700 {
            scorer.save_past(&past).unwrap();
            scorer = Scorer::open(bundle).unwrap();
            scorer.load_past(&past).unwrap();
        }
        let record = table
            .columns
            .iter()
            .map(|column| {
                (
                    column.name.clone(),
                    column.text(row).unwrap().into_owned().into(),
                )
            })
            .collect();
        let got = scorer.score(&record).unwrap().score;
        let wanted = f64::from(wanted.row(row)[scorer.bundle().config.positive]);
        assert!((got - wanted).abs() < 1e-5, "row {row}: {got} and {wanted}");
    }
    fs::remove_file(bundle.join("past.test.timelines")).unwrap();
    assert!(Scorer::open(bundle).unwrap().load_past(&past).is_err());
}

#[test]
fn an_interrupted_pre_training_ends_as_the_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = payments(dir.path(), "events.csv", 4);
    let mut whole = Recipe {
        task: Some(TASK.to_string()),
        ..recipe(&data, "whole")
    };
    whole.train.max_steps = Some(40);
    whole.train.checkpoint_every = Some(10);
    let mut cut = whole.clone();
    cut.out = Some(dir.path().join("cut"));
    let plan = Plan::resolve(&whole, None).unwrap();
    pretrain(&plan, None, &mut |_| Flow::Continue).unwrap();

    let place = dir.path().join("cut");
    let plan = Plan::resolve(&cut, None).unwrap();
    let mut steps = 0;
    // What a kill leaves behind, copied while the run is on.
    pretrain(&plan, None, &mut |event| {
        if matches!(event, retune::eval::Event::Step { .. }) {
            steps += 1;
            if steps == 25 {
                copy(&place, &dir.path().join("killed"));
            }
        }
        Flow::Continue
    })
    .unwrap();
    fs::remove_dir_all(&place).unwrap();
    fs::rename(dir.path().join("killed"), &place).unwrap();
    let plan = Plan::resolve(&cut, Some(&place)).unwrap();
    pretrain(&plan, Some(false), &mut |_| Flow::Continue).unwrap();
    let weights =
        |folder: &str| fs::read(dir.path().join(folder).join("model.safetensors")).unwrap();
    assert!(
        weights("whole") == weights("cut"),
        "the same weights, bit for bit"
    );
}

#[test]
fn the_model_that_comes_with_the_program_fits_any_payments() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = recipe(&payments(dir.path(), "own.csv", 6), "own");
    recipe.verdict = VerdictLevel::Fast;
    recipe.model = Some("linear".to_string());
    recipe.tables.event_model = Some(PathBuf::from("retune-txn-base"));
    recipe.tables.label_share = 0.5;
    let plan = tables::Plan::resolve(&recipe, None).unwrap();
    let finished = tables::train(plan, &mut |_| Flow::Continue).unwrap();
    assert!(finished.evaluated.gains.contains_key("no_history"));
    let mut scorer = Scorer::open(&finished.bundle).unwrap();
    let record = serde_json::json!({
        "event_time": "2018-06-01T12:00:00", "customer_id": "7", "terminal_id": "3", "amount": 9000.0
    });
    let scored = scorer.score(record.as_object().unwrap()).unwrap();
    assert!((0.0..=1.0).contains(&scored.score));
}

#[test]
fn networks_and_a_model_of_events_learn_together_and_serve() {
    let dir = tempfile::tempdir().unwrap();
    let data = payments(dir.path(), "own.csv", 6);
    let mut recipe = recipe(&data, "joint");
    recipe.verdict = VerdictLevel::Off;
    recipe.model = Some("events".to_string());
    recipe.train.epochs = Some(2.0);
    recipe.tables.members = 4;
    recipe.tables.net_width = 32;
    let plan = tables::Plan::resolve(&recipe, None).unwrap();
    let rows = plan.train.at.clone();
    let finished = tables::train(plan, &mut |_| Flow::Continue).unwrap();
    let table = read(&data, &ReadOptions::default()).unwrap();
    let scorer = Scorer::open(&finished.bundle).unwrap();
    let scores = scorer.scores(&scorer.cells(&table).unwrap());
    // It has learned something: the frauds of its own training rows stand above the others.
    let fraud = table.column("is_fraud").unwrap();
    let mean = |of: &str| {
        let own: Vec<f32> = rows
            .iter()
            .filter(|row| fraud.text(**row).as_deref() == Some(of))
            .map(|row| scores.row(*row)[scorer.bundle().config.positive])
            .collect();
        own.iter().sum::<f32>() / own.len() as f32
    };
    assert!(
        mean("1") > 2.0 * mean("0"),
        "{} and {}",
        mean("1"),
        mean("0")
    );
}

#[test]
fn a_method_says_what_of_the_model_of_events_trains() {
    let dir = tempfile::tempdir().unwrap();
    let base = learn(&payments(dir.path(), "first.csv", 1), "base").bundle;
    let data = payments(dir.path(), "own.csv", 6);
    let table = read(&data, &ReadOptions::default()).unwrap();
    for name in ["full", "head", "last_layers", "bitfit", "lora"] {
        let mut recipe = recipe(&data, name);
        recipe.verdict = match name {
            "full" => VerdictLevel::Fast,
            _ => VerdictLevel::Off,
        };
        recipe.model = Some("events".to_string());
        recipe.precision = Some(Precision::F32);
        recipe.method = MethodRecipe::named(name, &toml::Table::new()).unwrap();
        recipe.train.max_steps = Some(8);
        recipe.tables.members = 4;
        recipe.tables.net_width = 32;
        recipe.tables.event_model = Some(base.clone());
        let plan = tables::Plan::resolve(&recipe, None).unwrap();
        let test = plan.test.at.clone();
        let finished = tables::train(plan, &mut |_| Flow::Continue).unwrap();
        let notes = &finished.evaluated.notes;
        let advised = notes.iter().any(|note| note.contains("--method head"));
        assert_eq!(advised, name == "full", "{notes:?}");
        let bundle = finished.bundle;
        let changed = changed(
            &base.join("model.safetensors"),
            &bundle.join("history.safetensors"),
        );
        let all =
            |with: &str| !changed.is_empty() && changed.iter().all(|path| path.contains(with));
        assert!(
            match name {
                "full" => changed.iter().any(|path| path.starts_with("tables.")),
                "head" => changed.is_empty(),
                "last_layers" | "lora" => all("body.layers."),
                _ => all(".bias"),
            },
            "{name} changes {changed:?}"
        );
        // The bundle, in which updates are added to their weights, says what the run measured.
        let scorer = Scorer::open(&bundle).unwrap();
        let scores = scorer.scores(&scorer.cells(&table).unwrap());
        let measured = read(&bundle.join("predictions.parquet"), &ReadOptions::default()).unwrap();
        let column = measured.column("score_1").unwrap();
        for (row, at) in test.into_iter().enumerate() {
            let wanted: f32 = column.text(row).unwrap().parse().unwrap();
            let got = scores.row(at)[1];
            assert!(
                (got - wanted).abs() < 1e-4,
                "{name}, row {at}: {got} and {wanted}"
            );
        }
    }
}

/// Names of the tensors of a bundle's model of events that a base holds with other bits.
fn changed(base: &Path, bundle: &Path) -> Vec<String> {
    let open = |path| Checkpoint::open(path).unwrap();
    let (base, bundle) = (open(base), open(bundle));
    let other =
        |name: &&str| base.f32(&format!("past.{name}")).unwrap() != bundle.f32(name).unwrap();
    bundle
        .names()
        .filter(other)
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_label_that_was_a_field_of_the_base_is_none_here() {
    let dir = tempfile::tempdir().unwrap();
    let data = payments(dir.path(), "own.csv", 6);
    let text = fs::read_to_string(&data)
        .unwrap()
        .replacen("is_fraud", "outcome", 1);
    fs::write(&data, text).unwrap();
    let base = learn(&data, "base").bundle;
    let names = |fields: &retune::data::fields::Fields| fields.names();
    assert_eq!(
        names(&EventBase::open(&base).unwrap().config.fields),
        ["outcome"]
    );
    let mut recipe = recipe(&data, "own");
    recipe.task = Some("fraud".to_string());
    recipe.data.label = Some("outcome".to_string());
    recipe.tables.event_model = Some(base);
    let plan = tables::Plan::resolve(&recipe, None).unwrap();
    let history = plan.history.unwrap();
    assert!(names(&history.of.fields).is_empty());
    assert_eq!(history.of.form.sizes.len(), 5);
}

fn form() -> EventForm {
    EventForm {
        body: SeqConfig {
            width: 16,
            layers: 2,
            heads: 2,
            inner: 32,
            max_length: 64,
            kinds: 1,
            gaps: 0,
            dropout: 0.0,
            placed: false,
        },
        sizes: vec![34, 28, 25, 8, 9, 6],
    }
}

/// Events of three timelines in codes that look random.
fn batch() -> EventBatch {
    let sizes = form().sizes;
    let draw = |event: usize, at: usize| (event * 7919 + at * 104_729) % 1009;
    let moments = |events: std::ops::Range<usize>| Moments {
        width: sizes.len(),
        codes: events
            .clone()
            .flat_map(|event| (0..sizes.len()).map(move |at| (event, at)))
            .map(|(event, at)| (draw(event, at) % (sizes[at] - 1)) as u16)
            .collect(),
        numbers: events
            .flat_map(|event| (0..4).map(move |at| draw(event, 10 + at) as f32 / 500.0 - 1.0))
            .collect(),
    };
    EventBatch::of_moments(&moments(0..40))
}

#[test]
fn gradients_of_the_kernels_are_those_of_their_plain_twins() {
    let run = || {
        let model = fresh(&form(), &Place::cpu(true, Precision::F32), 5).unwrap();
        let (batch, hidden) = batch().hiding(&form().sizes, 3);
        assert!(hidden.iter().any(|(_, asked)| asked.contains(&1.0)));
        let pass = Pass::default();
        let loss = model.loss(&batch, &hidden, &pass);
        let value = retune::weights::host(loss.sum.clone())[0];
        let mut found = Gradients::default();
        found.add(&model, loss.sum.backward(), &pass.rows);
        let values = |named: Named| {
            let (_, gradient) = found.found.iter().find(|(id, _)| *id == named.id)?;
            let values = gradient.clone().dense(&cpu(false));
            Some((named.path, to_host(values.unsqueeze::<2>())))
        };
        let gradients: BTreeMap<String, Vec<f32>> =
            params(&model).into_iter().filter_map(values).collect();
        (value, gradients)
    };
    let (fast, slow) = (run(), ops::with_twins(run));
    assert!(
        (fast.0 - slow.0).abs() < 1e-3 * slow.0.abs(),
        "{} and {}",
        fast.0,
        slow.0
    );
    assert!(slow.1.len() > 30, "{} gradients", slow.1.len());
    for (path, wanted) in &slow.1 {
        let got = &fast.1[path];
        let norm = wanted.iter().map(|g| g * g).sum::<f32>().sqrt();
        let off = got
            .iter()
            .zip(wanted)
            .map(|(a, b)| (a - b).powi(2))
            .sum::<f32>()
            .sqrt();
        assert!(
            off <= 1e-3 * norm.max(1e-2),
            "{path}: off by {off} of {norm}"
        );
    }
}

#[test]
fn an_event_does_not_see_those_after_it() {
    let model = fresh(&form(), &Place::cpu(false, Precision::F32), 5).unwrap();
    let says = |batch: &EventBatch, at: u32| {
        let states = model.states(batch, &Pass::default());
        to_host(model.surprises(&states, batch, &[at]))
    };
    let whole = batch();
    let mut other = whole.clone();
    for codes in &mut other.codes {
        let codes = Arc::make_mut(codes);
        codes.iter_mut().skip(30).for_each(|code| *code = 1);
    }
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(near(&says(&whole, 29), &says(&other, 29)));
    assert!(!near(&says(&whole, 31), &says(&other, 31)));
    // A probability: that of all amounts at least as large.
    let share = *says(&whole, 12).last().unwrap();
    assert!((0.0..=1.0001).contains(&share), "{share}");
}
