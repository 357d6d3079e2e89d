//! Bundles of every released format stay readable and answer as they did when they were written.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use retune::{Bundle, Prediction};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

#[test]
fn format_1_answers_as_it_did() {
    let predictor = Bundle::open(&fixtures().join("bundle-v1"))
        .unwrap()
        .predictor();
    let texts = ["a lovely film", "Dull, and far too long.", "it"];
    let texts: Vec<Vec<String>> = texts.iter().map(|t| vec![(*t).to_string()]).collect();
    let answers = predictor.predict_texts(&texts).unwrap();
    let expected = std::fs::read_to_string(fixtures().join("bundle-v1.expected.jsonl")).unwrap();
    let expected: Vec<Prediction> = expected
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), expected.len());
    for (got, want) in answers.iter().zip(&expected) {
        assert_eq!(got.label, want.label);
        for (name, score) in &want.scores {
            assert!((got.scores[name] - score).abs() < 1e-5, "{name}");
        }
    }
}

#[test]
fn a_newer_format_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(fixtures().join("bundle-v1/bundle.json")).unwrap();
    let newer = manifest.replacen("\"format\": 1", "\"format\": 2", 1);
    assert_ne!(newer, manifest);
    std::fs::write(dir.path().join("bundle.json"), newer).unwrap();
    let error = Bundle::open(dir.path()).err().unwrap().to_string();
    assert!(
        error.contains("format 2") && error.contains("newer"),
        "{error}"
    );
}
