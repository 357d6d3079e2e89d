//! Models of tables and of streams of events: they learn, answer as they were measured, serve from where training left the
//! past, and go on bit for bit.
#![expect(clippy::unwrap_used, reason = "tests")]

mod folder;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use retune::data::read::{ReadOptions, read};
use retune::data::simulate::{World, write_transactions};
use retune::eval::{Event, Word};
use retune::ops::Precision;
use retune::recipe::VerdictLevel;
use retune::tables::scorer::Scorer;
use retune::tables::{self, Family, Plan};
use retune::{Finished, Flow, Recipe};
use serde_json::{Map, Value, json};

use folder::copy;

/// A recipe for `data` that writes to `out` beside it.
fn recipe(data: &Path, out: &str) -> Recipe {
    let mut recipe = Recipe {
        out: Some(data.parent().unwrap().join(out)),
        precision: Some(Precision::F32),
        ..Recipe::default()
    };
    recipe.data.train = Some(data.to_path_buf());
    recipe
}

fn run(recipe: &Recipe) -> Finished {
    let plan = Plan::resolve(recipe, None).unwrap();
    tables::train(plan, &mut |_| Flow::Continue).unwrap()
}

/// 400 patients: ill where a reading is high, or where it is middling and they smoke; some readings are missing.
fn patients(dir: &Path) -> std::path::PathBuf {
    let mut text = String::from("patient_id,age,reading,smokes,ward,outcome\n");
    for i in 0..400u32 {
        let draw = |salt: u32| {
            (i.wrapping_mul(2_654_435_761) ^ salt.wrapping_mul(40_503)).rotate_left(13) % 100
        };
        let (age, reading, smokes) = (20 + draw(1) % 60, draw(2), draw(3) < 40);
        let ill = reading > 70 || (reading > 40 && smokes);
        let reading = if draw(4) < 5 {
            String::new()
        } else {
            reading.to_string()
        };
        let ward = ["north", "south", "west"][(draw(5) % 3) as usize];
        let smokes = if smokes { "yes" } else { "no" };
        let outcome = if ill { "ill" } else { "well" };
        writeln!(
            text,
            "p{},{age},{reading},{smokes},{ward},{outcome}",
            i % 300
        )
        .unwrap();
    }
    let path = dir.join("patients.csv");
    fs::write(&path, text).unwrap();
    path
}

/// A small world of payments with many frauds.
fn payments(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("payments.csv");
    let world = World {
        seed: 3,
        customers: 120,
        terminals: 60,
        days: 40,
        radius: 20.0,
        ..World::default()
    };
    write_transactions(&path, &world).unwrap();
    path
}

fn records(path: &Path) -> Vec<Map<String, Value>> {
    let table = read(path, &ReadOptions::default()).unwrap();
    (0..table.rows())
        .map(|row| {
            let cell =
                |c: &retune::data::Column| (c.name.clone(), json!(c.text(row).unwrap_or_default()));
            table.columns.iter().map(cell).collect()
        })
        .collect()
}

#[test]
fn trees_and_networks_learn_a_table_and_answer_as_they_were_measured() {
    let dir = tempfile::tempdir().unwrap();
    let data = patients(dir.path());
    for family in Family::ALL {
        let mut recipe = recipe(&data, family.name());
        recipe.model = Some(family.name().to_string());
        recipe.train.epochs = Some(30.0);
        let finished = run(&recipe);
        let evaluated = &finished.evaluated;
        assert_eq!(evaluated.primary, "auroc");
        assert!(
            evaluated.metrics["auroc"].value > 0.9,
            "{family:?} {evaluated:?}"
        );
        let verdict = evaluated.verdict.as_ref().unwrap();
        assert_eq!(
            verdict.floors["majority"].word,
            Word::Improved,
            "{verdict:?}"
        );
        assert!(verdict.floors.contains_key("linear"));
        assert_eq!(
            verdict.floors.contains_key("gbdt"),
            family == Family::Tabular
        );
        // The saved model has the figures of the run, on its own test rows.
        let plan = Plan::resolve(
            &Recipe {
                out: Some(dir.path().join("again")),
                ..recipe.clone()
            },
            None,
        )
        .unwrap();
        let scorer = Scorer::open(&finished.bundle).unwrap();
        let test = plan.table.select(&plan.test.at);
        let again = scorer.evaluated(&test, ("test", &[])).unwrap();
        let (wanted, got) = (&evaluated.metrics["auroc"], &again.metrics["auroc"]);
        assert!(
            (wanted.value - got.value).abs() < 1e-6,
            "{wanted:?} {got:?}"
        );
        // Its columns are read by name, in any order, and identifiers are no fields.
        assert!(!plan.fields.names().contains(&"patient_id".to_string()));
        let mut turned = test.clone();
        turned.columns.reverse();
        assert_eq!(
            scorer.answers(&test).unwrap(),
            scorer.answers(&turned).unwrap()
        );
    }
}

#[test]
fn numbers_are_learned_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::from("rooms,street,price\n");
    for i in 0..300u32 {
        let rooms = 1 + i % 7;
        let noisy = f64::from(rooms) * 50.0 + f64::from(i * 37 % 11) / 10.0;
        let street = ["elm", "oak"][(i % 2) as usize];
        writeln!(
            text,
            "{rooms},{street},{:.2}",
            noisy + f64::from(i % 2) * 20.0
        )
        .unwrap();
    }
    let data = dir.path().join("flats.csv");
    fs::write(&data, text).unwrap();
    for family in Family::ALL {
        let mut recipe = recipe(&data, family.name());
        recipe.model = Some(family.name().to_string());
        recipe.data.label = Some("price".to_string());
        recipe.train.epochs = Some(60.0);
        let finished = run(&recipe);
        let r2 = finished.evaluated.metrics["r2"].value;
        assert!(r2 > 0.95, "{family:?} {r2}");
    }
}

#[test]
fn alerts_come_from_the_past_and_a_stream_has_the_features_of_training() {
    let dir = tempfile::tempdir().unwrap();
    let data = payments(dir.path());
    let recipe = recipe(&data, "alerts");
    let plan = Plan::resolve(&recipe, None).unwrap();
    assert!(plan.is_fraud(), "the label says so");
    assert_eq!(plan.cast.entities, ["customer_id", "terminal_id"]);
    assert_eq!(plan.cast.amount.as_deref(), Some("amount"));
    let newest = |rows: &[usize]| rows.iter().map(|r| plan.times[*r]).max().unwrap();
    let oldest = plan.test.at.iter().map(|r| plan.times[*r]).min().unwrap();
    assert!(
        newest(&plan.valid.at) + 7 * 86_400 <= oldest,
        "labels take a week"
    );
    assert!(
        plan.inputs()
            .iter()
            .any(|name| name.contains("terminal_id"))
    );
    // Neither the kind of a fraud nor the time of its label is an input.
    assert!(
        !plan
            .inputs()
            .iter()
            .any(|name| name.contains("pattern") || name == "label_time")
    );
    let test = plan.test.clone();
    let finished = run(&recipe);
    let evaluated = &finished.evaluated;
    assert_eq!(evaluated.primary, "average_precision");
    assert!(
        evaluated.metrics["average_precision"].value > 0.5,
        "{evaluated:?}"
    );
    assert!(evaluated.metrics.contains_key("card_precision@100"));
    assert!(finished.bundle.join("fraud.json").is_file());
    // Every event once more, one after the other, from no past: the features and scores of training.
    let mut scorer = Scorer::open(&finished.bundle).unwrap();
    let whole = scorer.scores(&test.cells);
    scorer.forget();
    let all = records(&data);
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|row| plan_times(&all, *row));
    let mut alerts = 0;
    for row in order {
        let scored = scorer.score(&all[row]).unwrap();
        if let Some(at) = test.at.iter().position(|test| *test == row) {
            let wanted = f64::from(whole.row(at)[1]);
            assert!(
                (scored.score - wanted).abs() < 1e-7,
                "row {row}: {scored:?} {wanted}"
            );
        }
        if scored.alert == Some(true) {
            alerts += 1;
            assert!(!scored.reasons.is_empty(), "{scored:?}");
        }
    }
    assert!(alerts > 0);
}

#[test]
fn alerts_of_a_network_come_with_the_fields_that_speak_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let data = payments(dir.path());
    let mut recipe = recipe(&data, "network");
    recipe.model = Some("tabular".to_string());
    recipe.verdict = VerdictLevel::Off;
    recipe.train.epochs = Some(3.0);
    let finished = run(&recipe);
    let mut scorer = Scorer::open(&finished.bundle).unwrap();
    scorer.forget();
    let (mut alerts, mut told) = (0, std::collections::BTreeSet::new());
    for record in records(&data).iter().take(1500) {
        let scored = scorer.score(record).unwrap();
        let wanted = if scored.alert == Some(true) {
            1..=3
        } else {
            0..=0
        };
        assert!(wanted.contains(&scored.reasons.len()), "{scored:?}");
        alerts += usize::from(scored.alert == Some(true));
        told.extend(scored.reasons);
    }
    assert!(alerts > 0);
    // The amount stands beside each reason as the record has it.
    assert!(
        told.iter().any(|reason| reason.starts_with("amount is ")),
        "{told:?}"
    );
}

fn plan_times(records: &[Map<String, Value>], row: usize) -> String {
    records[row]["event_time"].as_str().unwrap().to_string()
}

#[test]
fn a_stream_goes_on_after_a_restart_as_if_nothing_had_happened() {
    let dir = tempfile::tempdir().unwrap();
    let data = payments(dir.path());
    let mut recipe = recipe(&data, "alerts");
    recipe.verdict = VerdictLevel::Off;
    let finished = run(&recipe);
    let page = fs::read_to_string(finished.bundle.join("fraud.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("card_precision@100"));
    let all = records(&data);
    let (first, rest) = all.split_at(all.len() / 2);
    let mut whole = Scorer::open(&finished.bundle).unwrap();
    whole.forget();
    for record in first {
        whole.score(record).unwrap();
    }
    let past = dir.path().join("past.state");
    whole.save_past(&past).unwrap();
    let mut restarted = Scorer::open(&finished.bundle).unwrap();
    restarted.load_past(&past).unwrap();
    for record in rest.iter().take(500) {
        assert_eq!(
            whole.score(record).unwrap(),
            restarted.score(record).unwrap()
        );
    }
    // A label that comes later finds its event by its number, and one of nobody does not.
    let last = rest[499]["transaction_id"].as_str().unwrap();
    assert!(restarted.learn(last, true, "2018-06-01T00:00:00"));
    assert!(!restarted.learn("nobody", true, "2018-06-01T00:00:00"));
    fs::write(&past, b"nonsense").unwrap();
    assert!(restarted.load_past(&past).is_err());
    // The past of the bundle holds the last event of the data, which is known by its number.
    let mut served = Scorer::open(&finished.bundle).unwrap();
    let again = served.score(rest.last().unwrap()).unwrap();
    assert_eq!(again.taken, Some("again"));
}

#[test]
fn a_network_that_is_cut_off_ends_with_the_same_weights_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let data = patients(dir.path());
    let mut recipe = recipe(&data, "whole");
    recipe.model = Some("tabular".to_string());
    recipe.verdict = VerdictLevel::Off;
    recipe.train.epochs = Some(6.0);
    recipe.train.checkpoint_every = Some(2);
    recipe.tables.rows_per_step = Some(64);
    recipe.threads = Some(1);
    let weights = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    let finished = run(&recipe);
    // The folder as it is after a step, which is what a killed process leaves.
    let cut = dir.path().join("cut");
    let again = Recipe {
        out: Some(dir.path().join("again")),
        threads: Some(2),
        ..recipe
    };
    let from = again.out.clone().unwrap();
    let mut copied = false;
    let plan = Plan::resolve(&again, None).unwrap();
    tables::train(plan, &mut |event: &Event| {
        if matches!(event, Event::Saved { step } if *step == 10) {
            copy(&from, &cut);
            copied = true;
        }
        Flow::Continue
    })
    .unwrap();
    assert!(copied);
    assert_eq!(weights(&finished.bundle), weights(&from), "threads");
    let plan = Plan::resolve(&again, Some(&cut)).unwrap();
    let resumed = tables::resume(plan, false, &mut |_| Flow::Continue).unwrap();
    assert_eq!(
        weights(&resumed.bundle),
        weights(&finished.bundle),
        "resume"
    );
}
