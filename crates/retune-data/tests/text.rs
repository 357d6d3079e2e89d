//! The text processor against transformers' token ids, and its ways with long texts.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use retune_data::processor::{Labels, Long, TextProcessor, load_tokenizer};
use retune_data::read::{ReadOptions, read};
use retune_data::roles::TaskKind;
use retune_data::{Features, Processor, Target};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn processor(texts: usize, max_length: usize, long: Long) -> Processor {
    let columns = ["text", "other"][..texts]
        .iter()
        .map(ToString::to_string)
        .collect();
    let labels = Labels::Classes {
        names: vec!["neg".into(), "pos".into()],
    };
    let tokenizer = load_tokenizer(&golden()).unwrap();
    Processor::Text(TextProcessor::new(
        tokenizer,
        columns,
        Some("label".into()),
        labels,
        max_length,
        long,
    ))
}

/// Ids of each sequence of one item.
fn ids(p: &Processor, item: &[&str]) -> Vec<Vec<u32>> {
    let item: Vec<String> = item.iter().map(ToString::to_string).collect();
    let Features::Tokens(sequences) = p.encode_items(&[item]).unwrap().remove(0) else {
        unreachable!("a processor of texts");
    };
    sequences.into_iter().map(|s| s.ids).collect()
}

#[test]
fn ids_equal_those_of_transformers() {
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(golden().join("text_ids.json")).unwrap())
            .unwrap();
    assert_eq!(cases.len(), 52);
    for case in cases {
        let texts: Vec<String> = serde_json::from_value(case["texts"].clone()).unwrap();
        let max_length = case["max_length"].as_u64().unwrap() as usize;
        let p = processor(texts.len(), max_length, Long::Truncate);
        let Features::Tokens(found) = p
            .encode_items(std::slice::from_ref(&texts))
            .unwrap()
            .remove(0)
        else {
            unreachable!("a processor of texts");
        };
        let wanted: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let types: Vec<u8> = serde_json::from_value(case["types"].clone()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&found[0].ids, &found[0].types),
            (&wanted, &types),
            "{texts:?} at {max_length}"
        );
    }
}

#[test]
fn head_tail_keeps_a_quarter_and_the_end() {
    let text = "the a film was good bad long and dull not i like it";
    let full = ids(&processor(1, 512, Long::HeadTail), &[text]).remove(0);
    assert_eq!(full, ids(&processor(1, 512, Long::Truncate), &[text])[0]);
    let cut = ids(&processor(1, 10, Long::HeadTail), &[text]).remove(0);
    // Room for eight tokens: two from the start, six from the end, between the special tokens.
    let inner = &full[1..full.len() - 1];
    let mut wanted = vec![full[0]];
    wanted.extend(&inner[..2]);
    wanted.extend(&inner[inner.len() - 6..]);
    wanted.push(full[full.len() - 1]);
    assert_eq!(cut, wanted);
    let narrow = ids(&processor(1, 5, Long::HeadTail), &[text]).remove(0);
    assert_eq!(
        narrow[1..4],
        inner[inner.len() - 3..],
        "a quarter of three is none"
    );
}

#[test]
fn chunks_cover_the_text_without_overlap() {
    let text = "the a film was good bad long and dull not i like it";
    let full = ids(&processor(1, 512, Long::ChunkMean), &[text]);
    assert_eq!(full.len(), 1);
    let chunks = ids(&processor(1, 7, Long::ChunkMean), &[text]);
    assert_eq!(chunks.len(), 3);
    let joined: Vec<u32> = chunks
        .iter()
        .flat_map(|c| &c[1..c.len() - 1])
        .copied()
        .collect();
    assert_eq!(joined, full[0][1..full[0].len() - 1]);
    assert!(
        chunks
            .iter()
            .all(|c| c[0] == 2 && c[c.len() - 1] == 3 && c.len() <= 7)
    );
}

#[test]
fn empty_text_is_the_special_tokens_in_every_way() {
    for long in [Long::Truncate, Long::HeadTail, Long::ChunkMean] {
        assert_eq!(ids(&processor(1, 16, long), &[""]), [[2, 3]]);
    }
}

#[test]
fn examples_are_in_order_and_errors_name_the_first_bad_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let rows = (0..300).fold(String::new(), |all, i| {
        format!("{all}film {i},{}\n", ["pos", "neg"][i % 2])
    });
    std::fs::write(&path, format!("text,label\n{rows},pos\nlong film,odd\n")).unwrap();
    let t = read(&path, &ReadOptions::default()).unwrap();
    let p = processor(1, 16, Long::Truncate);
    let good: Vec<usize> = (0..301).rev().collect();
    let examples = p.examples(&t, &good, true).unwrap();
    assert!(
        examples
            .iter()
            .zip(&good)
            .all(|(e, &row)| e.meta.row == row as u64)
    );
    assert_eq!(examples[0].features, p.encode(&t, 300).unwrap());
    assert_eq!(examples[0].tokens(), 2);
    assert_eq!(
        (&examples[0].target, &examples[1].target),
        (&Target::Class(1), &Target::Class(0))
    );
    let all: Vec<usize> = (0..t.rows()).collect();
    let error = p.examples(&t, &all, true).unwrap_err().to_string();
    assert!(
        error.contains("line 303") && error.contains("`odd`"),
        "{error}"
    );
    assert_eq!(
        p.examples(&t, &all, false).unwrap()[301].target,
        Target::None
    );
}

#[test]
fn a_saved_processor_needs_its_tokenizer_and_then_gives_the_same() {
    let p = processor(1, 8, Long::ChunkMean);
    let json = serde_json::to_string(&p).unwrap();
    assert!(json.contains("\"chunk-mean\""), "{json}");
    let Processor::Text(mut inner) = serde_json::from_str(&json).unwrap() else {
        unreachable!("a processor of texts");
    };
    let bare = Processor::Text(inner.clone());
    assert!(
        bare.encode_items(&[vec!["a".into()]])
            .unwrap_err()
            .to_string()
            .contains("none is attached")
    );
    inner.attach(load_tokenizer(&golden()).unwrap());
    let text = "the film was long and dull and bad and not good";
    assert_eq!(ids(&Processor::Text(inner), &[text]), ids(&p, &[text]));
}

#[test]
fn misfits_are_explained() {
    let error = |p: Processor, texts: &[&str]| {
        p.encode_items(&[texts.iter().map(ToString::to_string).collect()])
            .unwrap_err()
            .to_string()
    };
    assert!(
        error(processor(2, 16, Long::Truncate), &["a"])
            .contains("expected 2 texts per row (text, other), got 1")
    );
    assert!(error(processor(2, 16, Long::ChunkMean), &["a", "b"]).contains("--long truncate"));
    assert!(error(processor(1, 2, Long::Truncate), &["a"]).contains("--max-length"));
    assert!(error(processor(1, 0, Long::HeadTail), &["a"]).contains("--max-length"));
}

#[test]
fn a_missing_or_broken_tokenizer_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vocab.txt"), "a\n").unwrap();
    let error = load_tokenizer(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("found: vocab.txt") && error.contains("use_fast=True"),
        "{error}"
    );
    std::fs::write(dir.path().join("tokenizer.json"), "{\"model\": ").unwrap();
    assert!(
        load_tokenizer(dir.path())
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
    assert!(
        load_tokenizer(Path::new("nowhere"))
            .unwrap_err()
            .to_string()
            .contains("found: nothing")
    );
}

#[test]
fn the_labels_of_a_file_are_those_of_its_training_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.jsonl");
    std::fs::write(
        &path,
        "{\"text\":\"a\",\"y\":true}\n{\"text\":\"b\",\"y\":false}\n",
    )
    .unwrap();
    let t = read(&path, &ReadOptions::default()).unwrap();
    let labels = Labels::fit(&t, &[0, 1], "y", TaskKind::Classification).unwrap();
    assert_eq!(labels.names(), ["false", "true"]);
    assert_eq!(labels.target(&t, 0, "y").unwrap(), Target::Class(1));
}
