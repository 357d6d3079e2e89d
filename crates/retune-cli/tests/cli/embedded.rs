//! Vectors of pictures: tuned, rated by what lies near them, kept with a gallery, and answered with.

use std::path::Path;

use retune::data::read::{ReadOptions, read};
use serde_json::Value;

use crate::interrupted::{kill_at, weights};
use crate::pictures::{folder, model, sized_bmp, train};
use crate::{Folder, Outcome};

const FLAGS: [&str; 8] = [
    "--task",
    "image-embedding",
    "--epochs",
    "4",
    "--lr",
    "3e-3",
    "--batch-size",
    "8",
];

fn tuned(folder: &Folder, flags: &[&str]) -> Outcome {
    train(folder, "pics", &[&FLAGS[..], flags].concat())
}

fn value(json: &Value, metric: &str) -> f64 {
    let found = json["metrics"][metric]["value"].as_f64();
    found.unwrap_or_else(|| panic!("no {metric}: {json}"))
}

#[test]
fn vectors_are_tuned_rated_kept_and_answered_with() {
    let folder = folder(16);
    let json = tuned(&folder, &["--json"]).succeeds().json();
    for metric in ["map@r", "recall@1", "recall@10", "knn@1", "knn@5"] {
        assert!(value(&json, metric) > 0.9, "{metric}: {json}");
    }
    assert_eq!(json["primary"], "map@r");
    for floor in ["base_model", "scratch", "classical", "majority"] {
        assert!(
            json["baselines"][floor].get("map@r").is_some(),
            "{floor}: {json}"
        );
        assert!(json["verdict"]["floors"].get(floor).is_some(), "{json}");
    }
    assert!(json["baselines"].get("frozen").is_none());

    folder.write("new.bmp", sized_bmp([16, 16], [40, 30, 170], 99));
    let answer = folder.retune(&["predict", "out", "new.bmp", "--json"]);
    let answer = answer.succeeds().json();
    assert_eq!(answer["label"], "blue");
    assert!(answer["confidence"].as_f64() > Some(0.9), "{answer}");
    let vector = answer["vector"].as_array().unwrap();
    let squares = vector.iter().map(|v| v.as_f64().unwrap().powi(2));
    assert!((squares.sum::<f64>() - 1.0).abs() < 1e-4);

    folder.write("list.csv", "image\nnew.bmp\npics/red/03.bmp\n");
    let call = ["predict", "out", "--data", "list.csv", "--out", "v.parquet"];
    folder.retune(&call).succeeds();
    let table = read(&folder.path("v.parquet"), &ReadOptions::default()).unwrap();
    let cell = |name: &str| table.column(name).unwrap().number(0).unwrap();
    assert!((cell("vector_7") - vector[7].as_f64().unwrap()).abs() < 1e-6);
    assert_eq!(table.columns.len(), 3 + vector.len());
    let label = table.column("predicted").unwrap();
    assert_eq!(label.text(1).unwrap(), "red");

    // Pictures that are in the gallery find themselves.
    let eval = folder.retune(&["eval", "out", "--data", "pics", "--json"]);
    assert!(value(&eval.succeeds().json(), "knn@1") > 0.95);
    let page = folder.read("out/report.html");
    assert!(page.contains("map@r") && page.contains("recall@1"));
    let card = folder.read("out/card.md");
    assert!(card.contains("image-feature-extraction") && card.contains("with a vector"));
    folder
        .retune(&["export", "out", "--hf", "hf"])
        .refuses(&["cosines", "retune predict out"]);

    std::fs::write(folder.path("out/gallery.safetensors"), b"other").unwrap();
    folder
        .retune(&["predict", "out", "new.bmp"])
        .refuses(&["gallery.safetensors"]);
}

/// Six colours, of which some are never trained on.
fn colours(each: usize) -> Folder {
    let folder = folder(each);
    for (name, colour) in [
        ("yellow", [190, 190, 20]),
        ("pink", [190, 20, 190]),
        ("grey", [110, 110, 110]),
    ] {
        for i in 0..each {
            let file = format!("pics/{name}/{i:02}.bmp");
            folder.write(&file, sized_bmp([16, 16], colour, i));
        }
    }
    folder
}

#[test]
fn labels_that_training_has_not_seen_are_looked_for_among_each_other() {
    let folder = colours(10);
    let together = ["--label", "label", "--group-by", "label"];
    // One label on a side finds nothing but itself.
    let few = ["--valid-share", "0.15", "--test-share", "0.33"];
    tuned(&folder, &[&together[..], &few].concat())
        .refuses(&["--valid-share", "rows have one label"]);
    let shares = ["--valid-share", "0.34", "--test-share", "0.33", "--json"];
    let json = tuned(&folder, &[&together[..], &shares].concat());
    let json = json.succeeds().json();
    assert_eq!(json["n"], 20, "{json}");
    let chance = json["baselines"]["majority"]["map@r"]["value"].as_f64();
    assert!(Some(value(&json, "map@r")) > chance, "{json}");
    assert!(json["metrics"].get("knn@1").is_none(), "{json}");
    assert!(json["notes"].to_string().contains("knn@1 is left out"));
    let rows = read(
        &folder.path("out/predictions.parquet"),
        &ReadOptions::default(),
    )
    .unwrap();
    let (truth, near) = (
        rows.column("truth").unwrap(),
        rows.column("predicted").unwrap(),
    );
    let right = (0..20).filter(|r| truth.text(*r) == near.text(*r)).count();
    let share = value(&json, "recall@1") * 20.0;
    assert!((right as f64 - share).abs() < 1e-6, "{right} and {share}");

    for i in 0..4 {
        let file = |name: &str| format!("more/{name}/{i}.bmp");
        folder.write(&file("black"), sized_bmp([16, 16], [5, 5, 5], i));
        folder.write(&file("white"), sized_bmp([16, 16], [190, 195, 195], i));
    }
    let eval = folder.retune(&["eval", "out", "--data", "more", "--json"]);
    let eval = eval.succeeds().json();
    assert!(value(&eval, "recall@1") > 0.5, "{eval}");
}

#[test]
fn what_vectors_have_no_use_for_is_refused() {
    let folder = folder(8);
    tuned(&folder, &["--method", "head"]).refuses(&["--method", "leaves the vectors"]);
    tuned(&folder, &["--decide", "f1"]).refuses(&["no answers to decide"]);
    let few = ["--valid-share", "0.05"];
    tuned(&folder, &few).refuses(&["--valid-share", "none can find another"]);
}

#[test]
#[cfg(unix)]
fn a_run_that_is_killed_ends_with_the_same_vectors() {
    let folder = folder(12);
    let run = |out: &str| {
        let picture = ["train", "pics", "--picture-size", "32", "--model", &model()];
        let flags = ["--verdict", "off", "--checkpoint-every", "2", "--out", out];
        folder.command(&[&picture[..], &FLAGS, &flags].concat())
    };
    assert!(run("whole").output().unwrap().status.success());
    kill_at(&folder, run("out"), 5);
    folder.retune(&["train", "--resume", "out"]).succeeds();
    assert_eq!(weights(&folder, "out"), weights(&folder, "whole"));
    let gallery = |out: &str| std::fs::read(folder.path(&format!("{out}/gallery.safetensors")));
    assert_eq!(gallery("out").unwrap(), gallery("whole").unwrap());
    assert!(Path::new(&folder.path("out/bundle.json")).is_file());
}
