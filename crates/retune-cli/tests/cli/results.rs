//! What commands answer: figures, predictions, reports, exports, lists; and their exit codes.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::{Folder, Outcome, TINY_FLAGS, reviews, table};

#[test]
fn help_names_every_command() {
    let help = Folder::new().retune(&["--help"]).succeeds().stdout;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        commands.join(" "),
        "quickstart inspect plan doctor lr-find tune train pretrain curve eval predict recommend score simulate report runs compare export pull list bench help"
    );
}

#[test]
fn train_and_plan_take_the_same_flags() {
    let folder = Folder::new();
    let flags = |command: &str| -> Vec<String> {
        let help = folder.retune(&[command, "--help"]).succeeds().stdout;
        let words = help
            .lines()
            .filter_map(|line| line.trim_start().split(' ').next());
        words
            .filter(|word| word.starts_with("--"))
            .map(str::to_owned)
            .collect()
    };
    let mut of_train = flags("train");
    of_train.retain(|flag| flag != "--resume" && flag != "--force");
    assert_eq!(of_train, flags("plan"));
}

#[test]
fn json_is_the_content_of_metrics_json() {
    let folder = Folder::with_reviews();
    let json = folder
        .train(&["data.csv", "--out", "out", "--json"])
        .succeeds()
        .json();
    let saved: serde_json::Value = serde_json::from_str(&folder.read("out/metrics.json")).unwrap();
    assert_eq!(json, saved);
    assert_eq!(json["split"], "test");
    assert_eq!(json["primary"], "accuracy");
    let metrics = &json["metrics"];
    for name in ["accuracy", "f1_macro", "mcc", "log_loss", "brier", "ece"] {
        for part in ["value", "low", "high"] {
            assert!(
                metrics[name][part].is_number(),
                "{name}.{part} in {metrics}"
            );
        }
    }
    for floor in ["majority", "base_model", "frozen"] {
        assert!(
            json["baselines"][floor]["accuracy"]["value"].is_number(),
            "{floor}"
        );
    }
}

#[test]
fn a_bundle_holds_what_the_guide_lists() {
    let folder = Folder::with_bundle();
    for file in [
        "bundle.json",
        "recipe.toml",
        "processor.json",
        "tokenizer.json",
        "model.safetensors",
        "metrics.json",
        "events.jsonl",
        "report.html",
        "predictions.parquet",
    ] {
        assert!(folder.path("out").join(file).is_file(), "{file}");
    }
}

#[test]
fn the_saved_recipe_repeats_the_run() {
    let folder = Folder::with_bundle();
    folder
        .retune(&["train", "out/recipe.toml", "--out", "again"])
        .succeeds();
    assert_eq!(
        folder.read("out/metrics.json"),
        folder.read("again/metrics.json")
    );
}

#[test]
fn options_of_the_loss_change_the_training_and_are_saved() {
    let folder = Folder::with_bundle();
    let options = [
        "--class-weights",
        "positive=3",
        "--label-smoothing",
        "0.1",
        "--focal",
        "1",
        "--logit-adjustment",
        "1",
    ];
    folder
        .train(&[&["data.csv", "--out", "weighted"], options.as_slice()].concat())
        .succeeds();
    assert_ne!(
        folder.read("out/metrics.json"),
        folder.read("weighted/metrics.json")
    );
    folder
        .retune(&["train", "weighted/recipe.toml", "--out", "again"])
        .succeeds();
    assert_eq!(
        folder.read("weighted/metrics.json"),
        folder.read("again/metrics.json")
    );
}

#[test]
fn a_missed_gate_is_exit_code_1_and_the_model_is_kept() {
    let folder = Folder::with_reviews();
    folder
        .train(&["data.csv", "--out", "out", "--gate", "log_loss=0.000001"])
        .exits(1)
        .says(&["gate not met", "log_loss"]);
    assert!(folder.path("out/bundle.json").is_file());
    folder
        .train(&["data.csv", "--out", "met", "--gate", "accuracy=0"])
        .succeeds();
}

#[test]
fn the_output_folder_is_named_after_the_data_and_numbered() {
    let folder = Folder::with_reviews();
    for run in ["runs/data", "runs/data-2"] {
        let outcome = folder.train(&["data.csv"]).succeeds();
        assert!(outcome.stdout.contains(run), "{}", outcome.stdout);
        assert!(folder.path(run).join("bundle.json").is_file());
    }
}

#[test]
fn plan_computes_nothing_and_writes_nothing() {
    let folder = Folder::with_reviews();
    let text = folder.plan(&["data.csv"]).succeeds().stdout.to_lowercase();
    for word in ["rows", "tokens", "steps", "parameters", "memory"] {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
    let json = folder.plan(&["data.csv", "--json"]).succeeds().json();
    assert_eq!(json["recipe"]["data"]["train"], "data.csv");
    let written = fs::read_dir(folder.path("runs"))
        .into_iter()
        .flatten()
        .count();
    assert_eq!(written, 0, "plan must leave no files behind");
}

#[test]
fn inspect_says_why() {
    let folder = Folder::with_reviews();
    let outcome = folder.retune(&["inspect", "data.csv"]).succeeds();
    for word in ["text", "label", "positive", "30"] {
        assert!(
            outcome.stdout.contains(word),
            "no `{word}` in:\n{}",
            outcome.stdout
        );
    }
    let json = folder
        .retune(&["inspect", "data.csv", "--json"])
        .succeeds()
        .json();
    assert!(json.is_object());
    let tiny = crate::tiny().to_str().unwrap();
    folder
        .retune(&["inspect", "data.csv", "--model", tiny, "--json"])
        .succeeds()
        .json();
}

#[test]
fn numbers_and_label_lists_are_learned_too() {
    let folder = Folder::new();
    folder.write(
        "numbers.csv",
        table("text,score", 60, |row| {
            format!("a film with {row} good jokes,{}", row as f64 * 0.37 + 0.01)
        }),
    );
    let tags = ["[\"plot\"]", "[\"acting\",\"plot\"]", "[\"acting\"]"];
    let line = |row: usize| {
        format!(
            "{{\"text\": \"film {row}\", \"labels\": {}}}",
            tags[row % 3]
        )
    };
    folder.write("labels.jsonl", table(&line(60), 60, line));
    let numbers = folder
        .train(&["numbers.csv", "--out", "numbers", "--json"])
        .succeeds()
        .json();
    assert!(numbers["metrics"]["rmse"]["value"].is_number(), "{numbers}");
    let labels = folder
        .train(&["labels.jsonl", "--out", "labels", "--json"])
        .succeeds()
        .json();
    assert!(
        labels["metrics"]["f1_micro"]["value"].is_number(),
        "{labels}"
    );
    for (bundle, key) in [("numbers", "value"), ("labels", "labels")] {
        let answer = folder
            .retune(&["predict", bundle, "a film", "--json"])
            .succeeds()
            .json();
        assert!(!answer[key].is_null(), "{answer}");
    }
}

#[test]
fn pairs_are_learned_and_answered() {
    let folder = Folder::new();
    folder.write(
        "pairs.csv",
        table("premise,hypothesis,label", 60, |row| {
            let (second, label) = [("a film", "entailment"), ("no film", "contradiction")][row % 2];
            format!("a film number {row},{second},{label}")
        }),
    );
    folder.train(&["pairs.csv", "--out", "out"]).succeeds();
    folder
        .retune(&["predict", "out", "a film\tno film"])
        .succeeds();
    folder
        .retune(&["predict", "out", "a film"])
        .refuses(&["premise", "tab"]);
}

#[test]
fn eval_reports_slices() {
    let folder = Folder::with_bundle();
    let rows = reviews(20).replace("text,label", "text,label,country");
    let rows: Vec<String> = rows
        .lines()
        .enumerate()
        .map(|(row, line)| match row {
            0 => line.to_owned(),
            row => format!("{line},{}", if row % 4 < 2 { "fr" } else { "de" }),
        })
        .collect();
    folder.write("more.csv", rows.join("\n"));
    let flags = [
        "eval", "out", "--data", "more.csv", "--slice", "country", "--json",
    ];
    let json = folder.retune(&flags).succeeds().json();
    assert_eq!(json["n"], 20);
    assert!(
        json["slices"]["country"]["fr"]["metrics"]["accuracy"].is_object(),
        "{json}"
    );
    let table = folder.retune(&flags[..4]).succeeds().stdout;
    assert!(table.contains("accuracy"), "{table}");
    folder
        .retune(&["eval", "out", "--data", "more.csv", "--slice", "contry"])
        .refuses(&["country"]);
}

#[test]
fn predict_reads_texts_stdin_and_files_alike() {
    let folder = Folder::with_bundle();
    let typed = folder
        .retune(&["predict", "out", "a good film", "a bad plot"])
        .succeeds()
        .stdout;
    assert_eq!(typed.lines().count(), 2);
    assert!(
        typed.lines().all(|line| line.split('\t').count() == 3),
        "{typed}"
    );

    let mut child = folder
        .command(&["predict", "out", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"a good film\na bad plot\n")
        .unwrap();
    let piped = Outcome::from(child.wait_with_output().unwrap())
        .succeeds()
        .stdout;
    assert_eq!(piped, typed);

    folder.write("new.csv", "id,text\n7,a good film\n8,a bad plot\n");
    let read = folder
        .retune(&["predict", "out", "--data", "new.csv"])
        .succeeds()
        .stdout;
    assert_eq!(read, typed);
}

#[test]
fn predictions_keep_the_columns_of_their_rows() {
    let folder = Folder::with_bundle();
    folder.write(
        "new.csv",
        "id,text\n7,a good film\n8,\"a bad plot, really\"\n",
    );
    for out in ["p.csv", "p.jsonl", "p.parquet"] {
        let outcome = folder.retune(&["predict", "out", "--data", "new.csv", "--out", out]);
        assert_eq!(outcome.succeeds().says(&["2 rows", out]).stdout, "");
        assert!(fs::metadata(folder.path(out)).unwrap().len() > 0);
    }
    let csv = folder.read("p.csv");
    assert!(csv.starts_with("id,text,"), "{csv}");
    assert!(csv.contains("8,\"a bad plot, really\","), "{csv}");
    assert_eq!(folder.read("p.jsonl").lines().count(), 2);
    folder
        .retune(&["predict", "out", "--data", "new.csv", "--out", "p.xls"])
        .refuses(&["p.xls", ".csv"]);
}

#[test]
fn report_writes_the_page_anew() {
    let folder = Folder::with_bundle();
    let first = folder.read("out/report.html");
    fs::remove_file(folder.path("out/report.html")).unwrap();
    let outcome = folder.retune(&["report", "out"]).succeeds();
    assert_eq!(outcome.stdout.trim(), "out/report.html");
    assert_eq!(folder.read("out/report.html"), first);
}

#[test]
fn export_is_compared_before_it_is_called_done() {
    let folder = Folder::with_bundle();
    let outcome = folder.retune(&["export", "out", "--hf", "hf"]).succeeds();
    assert!(
        outcome.stdout.contains("rows: largest difference"),
        "{}",
        outcome.stdout
    );
    let config: serde_json::Value = serde_json::from_str(&folder.read("hf/config.json")).unwrap();
    assert_eq!(config["id2label"]["1"], "positive");
    assert!(folder.path("hf/model.safetensors").is_file());
    assert!(folder.path("hf/tokenizer.json").is_file());
    folder
        .retune(&["export", "out", "--hf", "hf"])
        .refuses(&["hf"]);
    // What was written is a model like any other.
    folder
        .retune(&["plan", "data.csv", "--model", "hf"])
        .succeeds();
}

#[test]
fn an_adapter_is_exported_and_is_a_model_like_any_other() {
    let folder = Folder::with_bundle();
    folder
        .retune(&["export", "out", "--peft", "peft"])
        .refuses(&["--method lora", "--hf"]);
    assert!(!folder.path("peft").exists());
    folder
        .train(&["data.csv", "--method", "lora", "--out", "lora"])
        .succeeds();
    let outcome = folder
        .retune(&["export", "lora", "--peft", "peft"])
        .succeeds();
    assert!(
        outcome.stdout.contains("rows: largest difference"),
        "{}",
        outcome.stdout
    );
    assert!(folder.path("peft/adapter_model.safetensors").is_file());
    assert!(!folder.path("peft/model.safetensors").exists());
    folder
        .retune(&["plan", "data.csv", "--model", "peft"])
        .succeeds();
    folder
        .retune(&["export", "lora", "--peft", "p", "--hf", "h"])
        .refuses(&["--hf", "--peft"]);
}

#[test]
fn a_run_that_goes_on_from_a_bundle_names_it() {
    let folder = Folder::with_bundle();
    let line = |i: usize| format!("{i} a film,{}", ["positive", "mixed"][i % 2]);
    folder.write("more.csv", table("text,label", 40, line));
    let arguments = ["train", "more.csv", "--model", "out", "--max-steps", "2"];
    folder
        .retune(&[&arguments[..], &["--out", "next"]].concat())
        .succeeds()
        .says(&["keeps what it knows of positive", "mixed", "negative"]);
    let manifest = |name: &str| -> serde_json::Value {
        serde_json::from_str(&folder.read(&format!("{name}/bundle.json"))).unwrap()
    };
    let next = manifest("next");
    assert_eq!(manifest("out")["parent"], serde_json::Value::Null);
    assert_eq!(next["parent"]["reference"], "out");
    assert_eq!(next["parent"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(next["loaded"]["classes"]["dropped"][0], "negative");

    // A bundle that is no longer what was written is no start.
    folder.write("out/processor.json", "{}");
    folder
        .retune(&[&arguments[..], &["--out", "third"]].concat())
        .refuses(&["processor.json", "SHA-256"]);
}

#[test]
fn lists_are_not_empty() {
    let folder = Folder::new();
    for (kind, name) in [
        ("models", "all-minilm-l6-v2"),
        ("families", "bert"),
        ("tasks", "text-classification"),
        ("methods", "full"),
        ("metrics", "accuracy"),
    ] {
        let text = folder.retune(&["list", kind]).succeeds().stdout;
        assert!(text.lines().any(|line| line.starts_with(name)), "{text}");
        let json = folder.retune(&["list", kind, "--json"]).succeeds().json();
        assert!(
            json.as_array()
                .unwrap()
                .iter()
                .any(|row| row["name"] == name),
            "{json}"
        );
    }
}

#[test]
fn pull_prints_the_folder() {
    let tiny = crate::tiny().to_str().unwrap();
    let outcome = Folder::new().retune(&["pull", tiny]).succeeds();
    assert!(
        outcome.stdout.trim().ends_with("bert-tiny"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn quickstart_ends_with_what_to_type_next() {
    let folder = Folder::new();
    let tiny = crate::tiny().to_str().unwrap();
    let text = folder
        .retune(&["quickstart", "--model", tiny])
        .succeeds()
        .stdout;
    let after = text.split("before and after tuning").nth(1).unwrap();
    assert_eq!(after.matches(" -> ").count(), 5, "{text}");
    for next in [
        "runs/movie-sentences/report.html",
        "predict runs/movie-sentences",
        "train your-file.csv",
    ] {
        assert!(after.contains(next), "{text}");
    }
    assert!(folder.path("runs/movie-sentences.csv").is_file());
    folder
        .retune(&["quickstart", "--task", "text-regression"])
        .refuses(&["text-classification"]);
}

#[test]
fn a_curve_goes_on_where_it_was_cut_off_and_shows_every_model() {
    let folder = Folder::with_reviews();
    let flags = [
        "--max-steps",
        "4",
        "--shares",
        "50,100",
        "--seeds",
        "2",
        "--out",
        "curve",
        "--json",
    ];
    let arguments = [&["curve", "data.csv"], TINY_FLAGS, &flags].concat();
    let json = folder.retune(&arguments).succeeds().json();
    let points = json["curve"]["points"].as_array().unwrap().clone();
    assert_eq!(points.len(), 2 * 2 * 4);
    for model in ["tuned", "scratch", "frozen", "classical"] {
        assert_eq!(
            points.iter().filter(|p| p["model"] == model).count(),
            4,
            "{model}"
        );
    }
    assert_eq!(json["curve"]["gaps"].as_array().unwrap().len(), 2);
    assert!(folder.read("curve/curve.html").contains("<svg"));
    // The last point is torn off; it is measured again and comes out the same.
    let kept = folder.read("curve/points.jsonl");
    folder.write("curve/points.jsonl", &kept[..kept.len() - 40]);
    let again = folder.retune(&arguments).succeeds().json();
    assert_eq!(again["curve"], json["curve"]);
    let other = [&arguments[..], &["--lr", "0.5"]].concat();
    folder.retune(&other).refuses(&["another recipe", "--out"]);
}

#[test]
fn a_verdict_that_is_not_good_enough_is_exit_code_1_and_the_model_is_kept() {
    let folder = Folder::new();
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../data/movie-sentences.csv"
    );
    let flags = [data, "--max-rows", "800", "--out", "out"];
    let outcome = folder.train(&[&flags[..], &["--require", "improved", "--json"]].concat());
    let json = outcome
        .exits(1)
        .says(&["verdict not met", "wanted improved"])
        .json();
    // Four steps of a tiny random model do not beat words counted.
    assert_eq!(json["verdict"]["floors"]["classical"]["word"], "worse");
    assert_eq!(json["verdict"]["word"], "worse");
    assert!(json["verdict"]["helped"].is_string() && json["verdict"]["worth_shipping"].is_string());
    for (floor, found) in json["verdict"]["floors"].as_object().unwrap() {
        assert!(found["low"].as_f64() <= found["high"].as_f64(), "{floor}");
        assert!(json["baselines"][floor]["accuracy"].is_object(), "{floor}");
    }
    folder.retune(&["predict", "out", "a good film"]).succeeds();
    let flags = [
        data,
        "--max-rows",
        "800",
        "--out",
        "other",
        "--require",
        "not-worse",
    ];
    folder.train(&flags).exits(1);
    // Rows that one word tells apart are answered right by the classical floor too: no evidence, and not worse.
    folder.write("data.csv", reviews(400));
    let learn = |out: &str, wanted: &str| {
        let flags = [
            "--lr",
            "0.01",
            "--epochs",
            "3",
            "--require",
            wanted,
            "--out",
            out,
        ];
        folder.retune(&[&["train", "data.csv"], TINY_FLAGS, &flags].concat())
    };
    learn("same", "not-worse").succeeds();
    learn("no", "improved").exits(1);
}

#[test]
fn the_doctor_finds_nothing_wrong_with_any_method() {
    let folder = Folder::with_reviews();
    for method in ["full", "head", "last_layers", "bitfit", "gradual", "lora"] {
        let arguments = [
            &["doctor", "data.csv", "--method", method, "--json"],
            TINY_FLAGS,
        ]
        .concat();
        let json = folder.retune(&arguments).succeeds().json();
        assert_eq!(json["ok"], true, "{method}: {json}");
        let checks: Vec<&str> = json["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| found["check"].as_str().unwrap())
            .collect();
        for check in ["weights", "gradients", "frozen", "first loss", "one batch"] {
            assert!(checks.contains(&check), "{method}: {checks:?}");
        }
    }
}
