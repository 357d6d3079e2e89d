//! Models that cannot be used: truncated, hostile, incomplete or of another kind.

use std::fs;

use crate::{Folder, Outcome, tiny};

/// A copy of the tiny model in `model`.
fn copied() -> Folder {
    let folder = Folder::with_reviews();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        folder.write(
            &format!("model/{file}"),
            fs::read(tiny().join(file)).unwrap(),
        );
    }
    folder
}

fn plan(folder: &Folder) -> Outcome {
    folder.retune(&[
        "train",
        "data.csv",
        "--model",
        "model",
        "--max-steps",
        "1",
        "--out",
        "out",
    ])
}

#[test]
fn the_copy_itself_works() {
    let folder = copied();
    plan(&folder).succeeds();
}

#[test]
fn truncated_weights_are_refused() {
    let folder = copied();
    let whole = fs::read(folder.path("model/model.safetensors")).unwrap();
    for length in [0, 4, 100, whole.len() / 2, whole.len() - 1] {
        folder.write("model/model.safetensors", &whole[..length]);
        plan(&folder).refuses(&["model.safetensors"]);
        assert!(!folder.path("out").exists(), "after {length} bytes");
    }
}

#[test]
fn a_hostile_header_is_refused() {
    let folder = copied();
    for header in [
        u64::MAX.to_le_bytes().to_vec(),
        [&(1_u64 << 40).to_le_bytes()[..], b"{}"].concat(),
        [&8_u64.to_le_bytes()[..], b"not json"].concat(),
    ] {
        folder.write("model/model.safetensors", header);
        plan(&folder).refuses(&["model.safetensors"]);
    }
    let table = br#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,64]}}"#;
    let mut bytes = (table.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(table);
    folder.write("model/model.safetensors", bytes);
    plan(&folder).refuses(&["model.safetensors"]);
}

#[test]
fn a_missing_tokenizer_is_named() {
    let folder = copied();
    fs::remove_file(folder.path("model/tokenizer.json")).unwrap();
    plan(&folder).refuses(&["tokenizer.json"]);
}

/// The copy with one more token in its tokenizer than the model has vectors for.
fn with_a_token_too_many() -> Folder {
    let folder = copied();
    let mut tokenizer: serde_json::Value =
        serde_json::from_str(&folder.read("model/tokenizer.json")).unwrap();
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    added.push(serde_json::json!({
        "id": 129, "content": "zebra", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": false
    }));
    folder.write("model/tokenizer.json", tokenizer.to_string());
    folder
}

#[test]
fn a_token_without_a_vector_is_refused_where_it_occurs() {
    let folder = with_a_token_too_many();
    let flags = ["data.csv", "--model", "model"];
    let outcome = folder.retune(&[&["plan"][..], &flags].concat()).succeeds();
    assert!(outcome.stdout.contains("1 tokens of"), "{}", outcome.stdout);
    plan(&folder).succeeds();
    folder
        .retune(&["predict", "out", "a good movie", "a zebra"])
        .refuses(&["line 2", "`zebra` (token 129)", "129 tokens"]);
    folder.write("more.csv", "text,label\na zebra,positive\n");
    folder
        .retune(&["predict", "out", "--data", "more.csv"])
        .refuses(&["more.csv, line 2", "token 129"]);
    folder
        .retune(&["eval", "out", "--data", "more.csv"])
        .refuses(&["more.csv, line 2", "token 129"]);
    let rows = folder
        .read("data.csv")
        .replace("film and an awful plot 33", "zebra");
    folder.write("data.csv", rows);
    for command in ["plan", "train"] {
        folder.retune(&[&[command][..], &flags].concat()).refuses(&[
            "model (--model)",
            "tokenizer.json",
            "`zebra` (token 129)",
            "data.csv, line 35",
            "129 tokens",
        ]);
    }
}

#[test]
fn missing_weights_are_named() {
    let folder = copied();
    fs::remove_file(folder.path("model/model.safetensors")).unwrap();
    plan(&folder).refuses(&["safetensors"]);
}

#[test]
fn another_kind_of_model_is_named() {
    let folder = copied();
    let config = folder
        .read("model/config.json")
        .replace("\"bert\"", "\"whisper\"");
    folder.write("model/config.json", config);
    plan(&folder).refuses(&["whisper", "bert"]);
}

#[test]
fn a_broken_config_is_refused() {
    let folder = copied();
    folder.write("model/config.json", "{");
    plan(&folder).refuses(&["config.json"]);
    folder.write("model/config.json", "{\"model_type\": \"bert\"}");
    plan(&folder).refuses(&["config.json", "is missing"]);
}

#[test]
fn an_unknown_name_suggests_the_nearest() {
    let folder = Folder::with_reviews();
    for arguments in [
        &["pull", "all-minilm-l6-v3"][..],
        &["plan", "data.csv", "--model", "all-minilm-l6-v3"],
    ] {
        folder.retune(arguments).refuses(&["all-minilm-l6-v2"]);
    }
}

#[test]
fn a_folder_that_is_no_bundle_is_refused() {
    let folder = Folder::with_reviews();
    folder.write("empty/readme", "");
    for arguments in [
        &["predict", "empty", "a text"][..],
        &["eval", "empty", "--data", "data.csv"],
        &["report", "empty"],
        &["export", "empty", "--hf", "hf"],
        &["predict", "nowhere", "a text"],
    ] {
        folder.retune(arguments).refuses(&["bundle.json"]);
    }
}
