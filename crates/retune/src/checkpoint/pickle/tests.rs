//! Files that torch wrote, files that nobody should write, and files that chance wrote.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::super::tests::golden;
use super::*;
use crate::checkpoint::{Checkpoint, CheckpointError};

/// The first three pickles of the old layout: magic number, version, facts about the writer.
const START: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";

fn read(name: &str) -> Vec<u8> {
    fs::read(golden(name)).unwrap()
}

fn opened(path: &Path) -> Result<Checkpoint, String> {
    Checkpoint::open(path).map_err(|e: CheckpointError| e.to_string())
}

/// A file of the old layout whose state dict is this pickle.
fn refused(pickle: &[u8], why: &str) {
    let error = parse(&[START, pickle].concat()).unwrap_err();
    assert!(error.contains(why), "{error}");
}

/// A pickle `{"a": tensor}`: a view of a storage of `len` floats.
fn one_tensor(len: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let tuple = |items: &[u8]| {
        let items = items.iter().flat_map(|n| [b'K', *n]);
        [b"(".to_vec(), items.collect(), b"t".to_vec()].concat()
    };
    [
        b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK".to_vec(),
        vec![len],
        b"tQK".to_vec(),
        vec![offset],
        tuple(shape),
        tuple(strides),
        b"\x89}tRs.\x80\x02]X\x01\0\0\x000a.".to_vec(),
    ]
    .concat()
}

fn with_values(pickle: &[u8], values: &[f32]) -> Vec<u8> {
    let len = (values.len() as u64).to_le_bytes();
    let values: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    [START, pickle, &len, &values].concat()
}

#[test]
fn torch_files_of_both_layouts_hold_what_torch_put_in() {
    let expected: Value = serde_json::from_slice(&read("pickle/expected.json")).unwrap();
    let expected = expected.as_object().unwrap();
    for file in ["zipped.pth", "legacy.pth", "training.pth"] {
        let found = opened(&golden(&format!("pickle/{file}"))).unwrap();
        assert_eq!(found.names().count(), expected.len(), "{file}");
        for (name, tensor) in expected {
            let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
            let values: Vec<f64> = serde_json::from_value(tensor["values"].clone()).unwrap();
            assert_eq!(found.shape(name), Some(&shape[..]), "{file}: {name}");
            match found.f32(name) {
                Ok(read) => {
                    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
                    assert_eq!(read, values, "{file}: {name}");
                }
                Err(error) => {
                    let known = ["none", "batches"].contains(&name.as_str());
                    assert!(known, "{file}: {name}: {error}");
                }
            }
        }
    }
}

#[test]
fn whatever_would_run_code_is_refused_by_name() {
    let error = opened(&golden("pickle/module.pth")).unwrap_err();
    assert!(error.contains("torch.nn.modules.linear.Linear"), "{error}");
    assert!(error.contains("model.state_dict()"), "{error}");
    refused(
        b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.",
        "posix.system",
    );
    refused(b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "posix.system");
    refused(b"\x80\x02c__builtin__\neval\n.", "__builtin__.eval");
    refused(b"\x80\x02(iposix\nsystem\n.", "operation 0x69");
    refused(
        b"\x80\x02K\x01K\x02\x85R.",
        "neither a tensor nor plain data",
    );
    refused(b"\x80\x02K\x01}b.", "no dictionary");
    refused(b"\x80\x02X\x01\0\0\0aQ.", "no storage of numbers");
}

#[test]
fn views_outside_their_storage_and_repeated_values_are_refused() {
    let good = one_tensor(6, 1, &[2, 2], &[3, 1]);
    let file = with_values(&good, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let entry = &parse(&file).unwrap()["a"];
    assert_eq!(
        (&entry.shape[..], entry.strides.as_deref()),
        (&[2, 2][..], Some(&[3, 1][..]))
    );
    for (len, offset, shape, strides, why) in [
        (6, 3, &[2, 2][..], &[3, 1][..], "leaves its storage"),
        (6, 7, &[1], &[1], "leaves its storage"),
        (
            6,
            0,
            &[255, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0; 9],
            "more values",
        ),
        (6, 0, &[200], &[0], "more values"),
        (7, 0, &[7], &[1], "has 6 values, and 7"),
        (6, 0, &[2], &[1, 1], "unknown way"),
    ] {
        let file = with_values(&one_tensor(len, offset, shape, strides), &[0.0; 6]);
        let error = parse(&file).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let short = &file[..file.len() - 1];
    assert!(parse(short).unwrap_err().contains("cut short"));
}

#[test]
fn files_without_weights_say_what_they_hold() {
    for (bytes, why) in [
        (&b""[..], "no file of PyTorch"),
        (b"<!DOCTYPE html>", "begins with <!DOCTYPE html>"),
        (b"PK\x03\x04", "no whole zip archive"),
    ] {
        let error = parse(bytes).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    refused(
        b"\x80\x02}(X\x05\0\0\0epochK\x03X\x02\0\0\0lrK\x01u.\x80\x02].",
        "its keys are: epoch, lr",
    );
    refused(b"\x80\x02K\x01.\x80\x02].", "no dictionary");
    // Numbers of bytes that a file claims are not believed.
    refused(b"\x80\x02X\xff\xff\xff\xffabc", "cut short");
    refused(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "cut short");
    refused(b"\x80\x020.", "empty stack");
    refused(b"\x80\x02h\x05.", "never kept");
}

#[test]
fn deep_and_endless_objects_end() {
    // A tuple in a tuple, a hundred thousand times; a list in itself; more objects than are allowed.
    let deep = [
        b"\x80\x02N".to_vec(),
        vec![0x85; 100_000],
        b".\x80\x02].".to_vec(),
    ]
    .concat();
    refused(&deep, "no dictionary");
    refused(b"\x80\x02]q\0h\0a.\x80\x02].", "no dictionary");
    let many = [b"\x80\x02".to_vec(), vec![b'N'; 5_000_000]].concat();
    refused(&many, "more than 4194304 objects");
}

#[test]
fn compressed_archives_are_refused() {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let deflated = zip::write::SimpleFileOptions::default();
    let deflated = deflated.compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("a/data.pkl", deflated).unwrap();
    zip.write_all(&[b'N'; 1000]).unwrap();
    let error = parse(&zip.finish().unwrap().into_inner()).unwrap_err();
    assert!(error.contains("is compressed"), "{error}");
}

proptest! {
    #[test]
    fn nothing_that_chance_writes_panics(
        file in prop::sample::select(vec!["zipped.pth", "legacy.pth", "training.pth", "module.pth"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = read(&format!("pickle/{file}"));
        for (place, value) in &changes {
            let at = place.index(bytes.len());
            bytes[at] = *value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        // Whatever is accepted must be readable to its end.
        if let Ok(entries) = parse(&bytes) {
            for entry in entries.values() {
                prop_assert!(entry.bytes.end <= bytes.len());
            }
        }
    }

    #[test]
    fn no_program_for_the_machine_panics(program in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(parse(&[START, &program].concat()));
    }
}
