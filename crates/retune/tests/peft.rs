//! Adapters in the layout of PEFT, both ways: those that PEFT wrote (`golden/make_peft.py`) answer as PEFT computes
//! them, and a run's own adapter comes back as the model that was trained; what is not read is refused by name.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests read tensors")]

use std::path::{Path, PathBuf};

use retune::checkpoint::{Checkpoint, write};
use retune::data::batch::HostBatch;
use retune::data::processor::Labels;
use retune::export::{ExportCheck, export_hf};
use retune::methods::MethodRecipe;
use retune::model::{Inputs, Model, Pass};
use retune::ops::Precision;
use retune::peft::export_peft;
use retune::pretrained::BaseModel;
use retune::recipe::VerdictLevel;
use retune::weights::{LoadReport, Place};
use retune::{Bundle, Flow, HubOptions, Plan, Recipe, Result};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn golden(name: &str) -> PathBuf {
    root().join("golden").join(name)
}

fn offline() -> HubOptions {
    HubOptions {
        offline: true,
        ..HubOptions::from_env()
    }
}

fn resolve(folder: &Path) -> Result<BaseModel> {
    let reference = folder.display().to_string();
    BaseModel::resolve(&reference, &offline(), false, &mut |_| ()).map(Option::unwrap)
}

fn classes(names: &[&str]) -> Labels {
    let names = names.iter().map(ToString::to_string).collect();
    Labels::Classes { names }
}

fn build(folder: &Path, names: &[&str]) -> Result<(Model, LoadReport)> {
    let place = Place::cpu(false, Precision::F32);
    resolve(folder)?.build(&classes(names), &place, 1, None)
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Logits of the golden's sequences, one row after the other.
fn logits(model: &Model, expected: &Value) -> Vec<f32> {
    let rows =
        |key: &str| -> Vec<Vec<u32>> { serde_json::from_value(expected[key].clone()).unwrap() };
    let ids = rows("ids");
    let batch = HostBatch {
        lengths: ids.iter().map(|row| row.len() as u32).collect(),
        chunks: vec![1; ids.len()],
        keys: (0..ids.len() as u64).collect(),
        weights: vec![1.0; ids.len()],
        rows: (0..ids.len() as u64).collect(),
        targets: Vec::new(),
        types: rows("types")
            .concat()
            .into_iter()
            .map(|t| t as u8)
            .collect(),
        ids: ids.concat(),
        ..HostBatch::default()
    };
    let output = model.output(&Inputs::new(&batch), &Pass::default());
    output.into_data().try_to_vec().unwrap()
}

fn gap(got: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    let gaps = got
        .iter()
        .zip(wanted)
        .map(|(a, b)| (f64::from(*a) - b).abs());
    gaps.fold(0.0, f64::max)
}

const TINY: [&str; 3] = ["negative", "neutral", "positive"];
const OTHER: [&str; 4] = ["bug", "praise", "question", "wish"];

#[test]
fn adapters_of_peft_answer_as_peft_computes_them() {
    for (folder, names) in [
        ("peft-bert-tiny", &OTHER[..]),
        ("peft-distilbert-tiny", &TINY),
        ("peft-roberta-tiny", &TINY),
    ] {
        let folder = golden(folder);
        let (model, report) = build(&folder, names).unwrap();
        assert_eq!(
            (report.new.len(), report.classes),
            (0, None),
            "{}",
            folder.display()
        );
        let expected = read_json(&folder.join("expected.json"));
        let wanted: Vec<Vec<f64>> = serde_json::from_value(expected["logits"].clone()).unwrap();
        let found = gap(&logits(&model, &expected), &wanted.concat());
        assert!(found <= 1e-5, "{}: {found:e}", folder.display());
        // The base model alone answers otherwise: the comparison can fail.
        let base = golden(
            folder
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .trim_start_matches("peft-"),
        );
        let (plain, _) = build(&base, names).unwrap();
        assert!(gap(&logits(&plain, &expected), &wanted.concat()) > 0.1);
    }
}

#[test]
fn a_head_without_names_starts_anew_and_says_so() {
    let dir = copied("peft-bert-tiny");
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    let mut notes = Vec::new();
    let reference = dir.path().display().to_string();
    let base = BaseModel::resolve(&reference, &offline(), false, &mut |note| notes.push(note));
    let place = Place::cpu(false, Precision::F32);
    let (_, report) = base
        .unwrap()
        .unwrap()
        .build(&classes(&OTHER), &place, 1, None)
        .unwrap();
    assert!(report.head_is_new());
    assert!(format!("{notes:?}").contains("id2label"), "{notes:?}");
}

/// A copy of a golden adapter that names its base model by the whole path.
fn copied(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in golden(name).read_dir().unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, dir.path().join(from.file_name().unwrap())).unwrap();
    }
    let base = golden(name.trim_start_matches("peft-"));
    set(dir.path(), "base_model_name_or_path", json!(base));
    dir
}

fn set(folder: &Path, key: &str, value: Value) {
    let path = folder.join("adapter_config.json");
    let mut config = read_json(&path);
    config[key] = value;
    std::fs::write(path, config.to_string()).unwrap();
}

fn refusal(folder: &Path) -> String {
    build(folder, &OTHER).map(drop).unwrap_err().to_string()
}

#[test]
fn what_is_computed_otherwise_is_refused_by_name() {
    for (key, value, phrase) in [
        ("peft_type", json!("LOHA"), "only LORA"),
        ("task_type", json!("TOKEN_CLS"), "SEQ_CLS"),
        ("use_dora", json!(true), "use_dora is true"),
        ("fan_in_fan_out", json!(true), "fan_in_fan_out is true"),
        ("alpha_pattern", json!({"query": 3}), "alpha_pattern"),
        ("init_lora_weights", json!("pissa"), "pissa"),
        (
            "base_model_name_or_path",
            json!(null),
            "base_model_name_or_path",
        ),
        (
            "base_model_name_or_path",
            json!("/nowhere/at/all"),
            "base model cannot be opened",
        ),
        (
            "base_model_name_or_path",
            json!(golden("peft-roberta-tiny")),
            "itself an adapter",
        ),
        // The layers of another family, or of another size.
        (
            "base_model_name_or_path",
            json!(golden("distilbert-tiny")),
            "does not have",
        ),
        ("r", json!(8), "rank r = 8"),
    ] {
        let dir = copied("peft-bert-tiny");
        set(dir.path(), key, value);
        let error = refusal(dir.path());
        assert!(error.contains(phrase), "{key}: {error}");
    }
}

#[test]
fn a_pickle_and_a_missing_file_are_told_apart() {
    let dir = copied("peft-bert-tiny");
    let weights = dir.path().join("adapter_model.safetensors");
    std::fs::rename(&weights, dir.path().join("adapter_model.bin")).unwrap();
    let error = refusal(dir.path());
    assert!(
        error.contains("pickle") && error.contains("safe_serialization"),
        "{error}"
    );
    std::fs::remove_file(dir.path().join("adapter_model.bin")).unwrap();
    let error = refusal(dir.path());
    assert!(error.contains("adapter_model.safetensors"), "{error}");
}

/// New name and shape of a tensor; none to drop it.
type Change<'a> = dyn Fn(&str, &[usize]) -> Option<(String, Vec<usize>)> + 'a;

/// The adapter's tensors with some renamed, dropped (no name) or reshaped.
fn rewrite(folder: &Path, change: impl Fn(&str, &[usize]) -> Option<(String, Vec<usize>)>) {
    let path = folder.join("adapter_model.safetensors");
    let tensors: Vec<_> = {
        let file = Checkpoint::open(&path).unwrap();
        let read = |name: &str| {
            let (renamed, shape) = change(name, file.shape(name).unwrap())?;
            let mut values = file.f32(name).unwrap();
            values.resize(shape.iter().product(), 0.1);
            Some((renamed, shape, values))
        };
        file.names().filter_map(read).collect()
    };
    write(&path, &tensors, &[]).unwrap();
}

#[test]
fn tensors_without_a_place_or_of_another_shape_are_refused() {
    const QUERY: &str = "base_model.model.bert.encoder.layer.0.attention.self.query";
    let same = |name: &str, shape: &[usize]| Some((name.to_string(), shape.to_vec()));
    let refused = |change: &Change<'_>| {
        let dir = copied("peft-bert-tiny");
        rewrite(dir.path(), change);
        refusal(dir.path())
    };
    let error = refused(&|name, shape| same(&name.replace("layer.0", "layer.9"), shape));
    assert!(
        error.contains("layer.9") && error.contains("does not have"),
        "{error}"
    );
    let error = refused(&|name, shape| same(&name.replace("classifier", "score"), shape));
    assert!(
        error.contains("`score.bias`") && error.contains("no such part"),
        "{error}"
    );
    let magnitude = |name: &str| name.replace("lora_B.weight", "lora_magnitude_vector");
    let error = refused(&|name, shape| same(&magnitude(name), shape));
    assert!(error.contains("plain LoRA"), "{error}");
    let error = refused(&|name, shape| {
        (!name.ends_with("query.lora_B.weight")).then(|| same(name, shape))?
    });
    assert!(
        error.contains("has no tensor") && error.contains(QUERY),
        "{error}"
    );
    let error = refused(&|name, shape| {
        let reshaped = name.ends_with("query.lora_A.weight");
        same(name, if reshaped { &[3, 16] } else { shape })
    });
    assert!(
        error.contains("[3, 16]") && error.contains("[32, 32]"),
        "{error}"
    );
}

/// A short run of a method, with its options, on a tiny model.
fn recipe(dir: &Path, model: &Path, out: &str, (method, options): (&str, &str)) -> Recipe {
    let file = dir.join("data.csv");
    let tones = [
        "a great film,positive",
        "a boring plot,negative",
        "it was a film,neutral",
    ];
    let lines: Vec<String> = (0..60).map(|i| format!("{i} {}", tones[i % 3])).collect();
    std::fs::write(&file, format!("text,label\n{}\n", lines.join("\n"))).unwrap();
    let mut recipe = Recipe {
        model: Some(model.display().to_string()),
        out: Some(dir.join(out)),
        verdict: VerdictLevel::Off,
        precision: Some(Precision::F32),
        method: MethodRecipe::named(method, &toml::from_str(options).unwrap()).unwrap(),
        ..Recipe::default()
    };
    recipe.data.train = Some(file);
    recipe.train.max_steps = Some(8);
    recipe.train.lr = Some(5e-3);
    recipe
}

fn tuned(recipe: &Recipe) -> PathBuf {
    let plan = Plan::resolve(recipe, &offline(), &mut |_| ()).unwrap();
    retune::train(plan, &mut |_| Flow::Continue).unwrap().bundle
}

fn exported(bundle: &Path, to: &Path) -> Result<ExportCheck> {
    export_peft(Bundle::open(bundle)?, to, &offline(), &mut |_| ())
}

#[test]
fn the_adapter_of_a_run_comes_back_as_the_model_that_was_trained() {
    let dir = tempfile::tempdir().unwrap();
    let model = golden("bert-tiny");
    let options = "rank = 3\nalpha = 7\nrslora = true\ntargets = [\"all-linear\"]\ndropout = 0.1";
    let bundle = tuned(&recipe(dir.path(), &model, "lora", ("lora", options)));
    let out = dir.path().join("peft");
    let check = exported(&bundle, &out).unwrap();
    assert!(check.rows > 5 && check.max_difference <= 1e-6, "{check:?}");

    let config = read_json(&out.join("adapter_config.json"));
    for (key, value) in [
        ("peft_type", json!("LORA")),
        ("task_type", json!("SEQ_CLS")),
        ("r", json!(3)),
        ("lora_alpha", json!(7.0)),
        ("lora_dropout", json!(0.1)),
        ("use_rslora", json!(true)),
        ("bias", json!("none")),
        ("modules_to_save", json!(["bert.pooler", "classifier"])),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    let layers = config["target_modules"].as_array().unwrap();
    assert_eq!(layers.len(), 12);
    assert!(layers.contains(&json!("bert.encoder.layer.1.attention.output.dense")));
    assert_eq!(
        read_json(&out.join("config.json"))["id2label"]["1"],
        "neutral"
    );

    // The adapter is a model like any other, and its head keeps what it learned.
    let labels = &TINY;
    let (again, report) = build(&out, labels).unwrap();
    assert_eq!(report.new, Vec::<String>::new());
    let expected = read_json(&golden("peft-bert-tiny/expected.json"));
    let whole = Bundle::open(&bundle).unwrap().model;
    let wanted: Vec<f64> = logits(&whole, &expected)
        .into_iter()
        .map(f64::from)
        .collect();
    assert!(gap(&logits(&again, &expected), &wanted) <= 1e-5);

    // The whole model's export has no use for the factors; a second adapter on top is no adapter of the base.
    let hf = dir.path().join("hf");
    export_hf(Bundle::open(&bundle).unwrap(), &hf).unwrap();
    assert!(!hf.join("adapter.safetensors").exists());
    let second = tuned(&recipe(dir.path(), &out, "second", ("lora", "")));
    let error = exported(&second, &dir.path().join("p2"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("on top of the adapter") && error.contains("--hf"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_an_adapter_is_not_exported() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    std::fs::create_dir(&base).unwrap();
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        std::fs::copy(golden("bert-tiny").join(name), base.join(name)).unwrap();
    }
    let out = dir.path().join("peft");
    let full = tuned(&recipe(dir.path(), &base, "full", ("full", "")));
    let error = exported(&full, &out).unwrap_err().to_string();
    assert!(
        error.contains("--method lora") && error.contains("--hf"),
        "{error}"
    );

    // Half of the tuning, and no more, is in the saved model and in its adapter.
    let mut half = recipe(dir.path(), &base, "lora", ("lora", ""));
    half.train.wise_ft = Some(0.5);
    let lora = tuned(&half);
    assert!(exported(&lora, &out).unwrap().max_difference <= 1e-6);
    std::fs::copy(
        full.join("model.safetensors"),
        base.join("model.safetensors"),
    )
    .unwrap();
    let error = exported(&lora, &dir.path().join("p2"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("not the file that was tuned"), "{error}");
    assert!(!dir.path().join("p2").exists());
}
