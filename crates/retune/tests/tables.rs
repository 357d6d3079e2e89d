//! Models of tables and of streams of events: they learn, answer as they were measured, serve from where training left the
//! past, and go on bit for bit.
#![expect(clippy::unwrap_used, reason = "tests")]

mod folder;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use retune::data::Target;
use retune::data::read::{ReadOptions, read};
use retune::data::simulate::{World, write_transactions};
use retune::eval::Word;
use retune::ops::Precision;
use retune::recipe::{Calibrate, VerdictLevel};
use retune::tables::plan::Rows;
use retune::tables::scorer::Scorer;
use retune::tables::{self, Family, Plan};
use retune::{Finished, Flow, Recipe};
use serde_json::{Map, Value, json};

use folder::cut_off;

/// A recipe for `data` that writes to `out` beside it.
fn recipe(data: &Path, out: &str) -> Recipe {
    let mut recipe = Recipe {
        out: Some(data.parent().unwrap().join(out)),
        ..Recipe::default()
    };
    recipe.data.train = Some(data.to_path_buf());
    recipe
}

/// The recipe for a family; networks train so many passes.
fn of_family(recipe: Recipe, family: Family, epochs: f64) -> Recipe {
    let mut recipe = Recipe {
        model: Some(family.name().to_string()),
        ..recipe
    };
    if family.is_network() {
        recipe.precision = Some(Precision::F32);
        recipe.train.epochs = Some(epochs);
    }
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
    world(dir, 120, 60)
}

/// Forty days of payments; the more customers and terminals, the rarer frauds.
fn world(dir: &Path, customers: usize, terminals: usize) -> std::path::PathBuf {
    let path = dir.join("payments.csv");
    let world = World {
        seed: 3,
        customers,
        terminals,
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
    for family in [Family::Gbdt, Family::Tabular] {
        let recipe = of_family(recipe(&data, family.name()), family, 30.0);
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
    for family in [Family::Gbdt, Family::Tabular] {
        let mut recipe = of_family(recipe(&data, family.name()), family, 60.0);
        recipe.data.label = Some("price".to_string());
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
    assert!(as_a_stream(&finished.bundle, &data, &test) > 0);
}

/// Scores every event once more, one after the other, from no past: features and scores of the test are those of training.
/// Returns the number of alerts.
fn as_a_stream(bundle: &Path, data: &Path, test: &Rows) -> usize {
    let mut scorer = Scorer::open(bundle).unwrap();
    let table = read(data, &ReadOptions::default()).unwrap();
    let whole = scorer.scores(&scorer.cells(&table).unwrap().select(&test.at));
    scorer.forget();
    let all = records(data);
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|row| plan_times(&all, *row));
    let mut alerts = 0;
    for row in order {
        let scored = scorer.score(&all[row]).unwrap();
        if let Some(at) = test.at.iter().position(|test| *test == row) {
            let wanted = f64::from(whole.row(at)[1]);
            assert!(
                (scored.score - wanted).abs() < 1e-5,
                "row {row}: {scored:?} {wanted}"
            );
        }
        if scored.alert == Some(true) {
            alerts += 1;
            let told = !scored.reasons.is_empty();
            assert!(told || scorer.bundle().config.net.is_some(), "{scored:?}");
        }
    }
    alerts
}

/// Mean score of a class, `[rows, 2]`.
fn mean(scores: &retune::eval::Matrix, class: usize) -> f64 {
    let all = (0..scores.rows).map(|row| f64::from(scores.row(row)[class]));
    all.sum::<f64>() / scores.rows as f64
}

#[test]
fn training_on_a_tenth_of_the_legitimate_events_leaves_scores_at_the_true_share() {
    let dir = tempfile::tempdir().unwrap();
    let data = world(dir.path(), 300, 1000);
    for family in Family::ALL {
        let mut recipe = of_family(recipe(&data, family.name()), family, 10.0);
        recipe.verdict = VerdictLevel::Off;
        recipe.tables.keep_legitimate = 0.1;
        let plan = Plan::resolve(&recipe, None).unwrap();
        let (test, valid) = (plan.test.clone(), plan.valid.clone());
        let told = plan.notes.iter().any(|note| note.contains("legitimate"));
        assert!(told, "{:?}", plan.notes);
        let finished = run(&recipe);
        let frauds = |rows: &Rows| {
            let all = rows.targets.iter().filter(|t| **t == Target::Class(1));
            all.count() as f64 / rows.targets.len() as f64
        };
        let scorer = Scorer::open(&finished.bundle).unwrap();
        let kept = scorer.bundle().config.correction.kept.unwrap();
        let table = read(&data, &ReadOptions::default()).unwrap();
        let cells = scorer.cells(&table).unwrap();
        for rows in [&test, &valid] {
            let scores = scorer.scores(&cells.select(&rows.at));
            let (mean, share) = (mean(&scores, 1), frauds(rows));
            let before = (0..scores.rows).map(|i| kept.among_kept(f64::from(scores.row(i)[1])));
            let before = before.sum::<f64>() / scores.rows as f64;
            // A straight line through this world is off by itself, and so is a transformer after so few events; without
            // the correction either is off by four times.
            let most = match family {
                Family::Linear | Family::Events => 2.0,
                _ => 1.5,
            };
            assert!(
                mean < most * share && mean > share / most && before > 2.5 * share,
                "{family:?}: mean {mean}, before the correction {before}, share {share}"
            );
        }
        let precision = finished.evaluated.metrics["average_precision"].value;
        assert!(precision > 0.4, "{family:?} {precision}");
        as_a_stream(&finished.bundle, &data, &test);
    }
}

#[test]
fn probabilities_are_set_right_on_the_validation_rows_and_saved_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = patients(dir.path());
    for (family, how) in [
        (Family::Gbdt, Calibrate::Isotonic),
        (Family::Gbdt, Calibrate::Temperature),
        (Family::Tabular, Calibrate::Platt),
    ] {
        let out = format!("{}-{how:?}", family.name());
        let mut recipe = of_family(recipe(&data, &out), family, 10.0);
        recipe.verdict = VerdictLevel::Off;
        recipe.tables.calibrate = how;
        let plan = Plan::resolve(&recipe, None).unwrap();
        let (valid, test) = (plan.valid.clone(), plan.table.select(&plan.test.at));
        let finished = run(&recipe);
        let notes = finished.evaluated.notes.join("\n");
        assert!(notes.contains("calibrated on"), "{how:?}: {notes}");
        let scorer = Scorer::open(&finished.bundle).unwrap();
        let correction = &scorer.bundle().config.correction;
        assert!(correction.calibration.is_some() && correction.kept.is_none());
        if family == Family::Tabular {
            // These are the weights that the sigmoid was fitted to, and its shift makes the means agree.
            let positive = plan.positive;
            let target = Target::Class(positive as u32);
            let hits = valid.targets.iter().filter(|t| **t == target).count();
            let share = hits as f64 / valid.targets.len() as f64;
            let mean = mean(&scorer.scores(&valid.cells), positive);
            assert!((mean - share).abs() < 0.02, "{mean} {share}");
        }
        let again = scorer.evaluated(&test, ("test", &[])).unwrap();
        for name in ["brier", "log_loss", "predicted_minus_observed"] {
            let wanted = &finished.evaluated.metrics[name];
            let got = &again.metrics[name];
            assert!((wanted.value - got.value).abs() < 1e-6, "{how:?} {name}");
        }
    }
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
fn a_saved_model_is_rated_on_events_as_a_queue_and_by_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = fs::read_to_string(payments(dir.path()))
        .unwrap()
        .lines()
        .map(str::to_string)
        .collect::<Vec<_>>();
    for (i, line) in lines.iter_mut().enumerate() {
        line.push_str(match i {
            0 => ",channel",
            _ if i % 3 == 0 => ",web",
            _ => ",shop",
        });
    }
    let data = dir.path().join("channels.csv");
    fs::write(&data, lines.join("\n")).unwrap();
    let mut recipe = recipe(&data, "alerts");
    recipe.verdict = VerdictLevel::Off;
    // Without a past the test events alone have the inputs that they have in the run.
    recipe.tables.past = false;
    recipe.tables.alert = Some("alerts=20".parse().unwrap());
    recipe.data.slices = vec!["channel".to_string()];
    let plan = Plan::resolve(&recipe, None).unwrap();
    let mut test = plan.table.select(&plan.test.at);
    let finished = run(&recipe);
    let own = &finished.evaluated;
    let scorer = Scorer::open(&finished.bundle).unwrap();
    let again = scorer
        .evaluated(&test, ("test", &recipe.data.slices))
        .unwrap();
    for name in ["card_precision@100", "recall@0.1%fpr", "cost@threshold"] {
        assert!(again.metrics.contains_key(name), "{name}: {again:?}");
    }
    assert_eq!(again.metrics, own.metrics);
    assert_eq!(again.slices, own.slices);
    let channels = &own.slices["channel"];
    let ratio = |name: &str| {
        let slice = &channels[name];
        (slice.n as f64, slice.metrics["fpr_ratio@threshold"])
    };
    let [(web, of_web), (shop, of_shop)] = ["web", "shop"].map(ratio);
    assert!(of_web.low < of_web.value && of_web.value < of_web.high);
    // The rate of all is the mean of those of the segments.
    let mean = (web * of_web.value + shop * of_shop.value) / (web + shop);
    assert!((mean - 1.0).abs() < 1e-9, "{of_web:?} {of_shop:?}");
    let saved = fs::read_to_string(finished.bundle.join("fraud.json")).unwrap();
    assert!(saved.contains("channel: web"), "{saved}");
    // Without the column of cards their figures are left out, which is told.
    test.columns.retain(|column| column.name != "customer_id");
    let fewer = scorer.evaluated(&test, ("test", &[])).unwrap();
    assert!(!fewer.metrics.contains_key("card_precision@100"));
    assert_eq!(
        fewer.metrics["average_precision"].value,
        own.metrics["average_precision"].value
    );
    let notes = fewer.notes.join("\n");
    assert!(notes.contains("it needs the time and the card"), "{notes}");
}

#[test]
fn test_periods_roll_forward_each_with_a_training_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let data = payments(dir.path());
    let mut recipe = recipe(&data, "rolling");
    recipe.verdict = VerdictLevel::Off;
    recipe.tables.rolling = 2;
    let finished = run(&recipe);
    let text = fs::read_to_string(finished.bundle.join("rolling.json")).unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    let periods = found["periods"].as_array().unwrap();
    assert_eq!(periods.len(), 2);
    let primary = "average_precision";
    let figure = |of: &Value| of["metrics"][primary]["value"].as_f64().unwrap();
    let own = finished.evaluated.metrics[primary].value;
    assert_eq!(figure(&periods[1]), own);
    let mean = found["mean"][primary].as_f64().unwrap();
    assert!((mean - figure(&periods[0]).midpoint(own)).abs() < 1e-12);
    let notes = finished.evaluated.notes.join("\n");
    assert!(notes.contains("of 2 test periods"), "{notes}");
    // The earlier period is that of a run which knows of no later one.
    let from = periods[0]["from"].as_str().unwrap();
    let days = periods[0]["days"].as_f64().unwrap();
    assert!(from < periods[1]["from"].as_str().unwrap());
    recipe.out = Some(dir.path().join("alone"));
    recipe.tables.rolling = 1;
    recipe.tables.test_from = Some(from.to_string());
    recipe.tables.test_span = Some(format!("{days}d").parse().unwrap());
    let alone = run(&recipe);
    assert!(!alone.bundle.join("rolling.json").exists());
    assert_eq!(alone.evaluated.metrics[primary].value, figure(&periods[0]));
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
    let mut recipe = of_family(recipe(&data, "whole"), Family::Tabular, 6.0);
    recipe.verdict = VerdictLevel::Off;
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
    let plan = Plan::resolve(&again, None).unwrap();
    tables::train(plan, &mut cut_off(10, &from, &cut)).unwrap();
    assert!(cut.is_dir());
    assert_eq!(weights(&finished.bundle), weights(&from), "threads");
    let plan = Plan::resolve(&again, Some(&cut)).unwrap();
    let resumed = tables::resume(plan, false, &mut |_| Flow::Continue).unwrap();
    assert_eq!(
        weights(&resumed.bundle),
        weights(&finished.bundle),
        "resume"
    );
}
