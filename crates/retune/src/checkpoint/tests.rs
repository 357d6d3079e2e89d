//! Tests of reading checkpoints; the `safetensors` crate writes the files and is the second opinion.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{TensorView, serialize};
use tempfile::TempDir;

use super::files::LAYOUTS;
use super::*;

/// Name, type, shape and bytes of a tensor.
type Tensor<'a> = (&'a str, Dtype, &'a [usize], Vec<u8>);

fn bytes(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (
            *name,
            TensorView::new(*dtype, shape.to_vec(), data).unwrap(),
        )
    });
    serialize(views, None).unwrap()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A file of the repository's goldens.
pub(super) fn golden(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../../golden").join(name)
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn index(map: &[(&str, &str)]) -> Vec<u8> {
    let map: BTreeMap<_, _> = map.iter().copied().collect();
    serde_json::to_vec(&serde_json::json!({"metadata": {}, "weight_map": map})).unwrap()
}

fn one(name: &str, values: &[f32]) -> Vec<u8> {
    bytes(&[(name, Dtype::F32, &[values.len()], floats(values))])
}

fn error(path: &Path) -> String {
    Checkpoint::open(path).unwrap_err().to_string()
}

#[test]
fn every_float_type_becomes_f32() {
    let values = [0.5f32, -2.0, 3.25, 0.0];
    let half: Vec<u8> = values
        .iter()
        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
        .collect();
    let brain: Vec<u8> = values
        .iter()
        .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
        .collect();
    let double: Vec<u8> = values
        .iter()
        .flat_map(|v| f64::from(*v).to_le_bytes())
        .collect();
    let file = bytes(&[
        ("full", Dtype::F32, &[2, 2], floats(&values)),
        ("half", Dtype::F16, &[4], half),
        ("brain", Dtype::BF16, &[4, 1], brain),
        ("double", Dtype::F64, &[1, 4], double),
    ]);
    let dir = folder(&[("model.safetensors", file)]);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let names: Vec<&str> = checkpoint.names().collect();
    assert_eq!(names, ["brain", "double", "full", "half"]);
    for name in names {
        assert_eq!(checkpoint.f32(name).unwrap(), values, "{name}");
    }
    assert_eq!(checkpoint.shape("full"), Some(&[2, 2][..]));
    assert_eq!(checkpoint.dtype("brain"), Some(Dtype::BF16));
    assert_eq!(checkpoint.shape("none"), None);
    let error = checkpoint.f32("none").unwrap_err().to_string();
    assert!(error.contains("has no tensor `none`"), "{error}");
}

#[test]
fn values_that_are_no_weights_are_refused() {
    let odd = floats(&[1.0, f32::NAN, f32::INFINITY, f32::NAN]);
    let file = bytes(&[
        ("odd", Dtype::F32, &[4], odd),
        ("ids", Dtype::I64, &[1, 2], vec![0; 16]),
        ("none", Dtype::F32, &[0, 3], vec![]),
        ("large", Dtype::F64, &[1], 1e300f64.to_le_bytes().to_vec()),
    ]);
    let dir = folder(&[("model.safetensors", file)]);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    for (name, why) in [
        ("odd", "3 of 4 values that are NaN or infinite"),
        ("ids", "holds I64 numbers"),
        ("none", "shape [0, 3] and thus no values"),
        ("large", "1 of 1 values"),
    ] {
        let error = checkpoint.f32(name).unwrap_err().to_string();
        assert!(
            error.contains(why) && error.contains("model.safetensors"),
            "{error}"
        );
    }
}

#[test]
fn shards_are_one_model() {
    let dir = folder(&[
        ("m-1.safetensors", one("a", &[1.0, 2.0])),
        ("m-2.safetensors", one("b", &[3.0])),
        (
            LAYOUTS[0].1,
            index(&[("a", "m-1.safetensors"), ("b", "m-2.safetensors")]),
        ),
    ]);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.f32("a").unwrap(), [1.0, 2.0]);
    assert_eq!(checkpoint.f32("b").unwrap(), [3.0]);
    let before = checkpoint.sha256();
    fs::write(dir.path().join("m-2.safetensors"), one("b", &[4.0])).unwrap();
    assert_ne!(Checkpoint::open(dir.path()).unwrap().sha256(), before);
}

#[test]
fn an_index_must_fit_its_shards() {
    let two = [("a", "m-1.safetensors"), ("b", "m-2.safetensors")];
    let dir = folder(&[
        ("m-1.safetensors", one("a", &[1.0])),
        (LAYOUTS[0].1, index(&two)),
    ]);
    let missing = error(dir.path());
    assert!(
        missing.contains("cannot read") && missing.contains("m-2.safetensors"),
        "{missing}"
    );
    fs::write(dir.path().join("m-2.safetensors"), one("c", &[1.0])).unwrap();
    let swapped = error(dir.path());
    assert!(
        swapped.contains("says that tensor `b` is in it"),
        "{swapped}"
    );
    fs::write(dir.path().join("m-2.safetensors"), one("a", &[1.0])).unwrap();
    let twice = error(dir.path());
    assert!(twice.contains("tensor `a` is also in"), "{twice}");
    fs::write(
        dir.path().join(LAYOUTS[0].1),
        index(&[("a", "../m-1.safetensors")]),
    )
    .unwrap();
    let outside = error(dir.path());
    assert!(outside.contains("in the same folder"), "{outside}");
}

#[test]
fn one_file_of_any_name_will_do() {
    let dir = folder(&[("weights.safetensors", one("a", &[1.0]))]);
    let whole = Checkpoint::open(dir.path()).unwrap();
    let named = Checkpoint::open(&dir.path().join("weights.safetensors")).unwrap();
    assert_eq!(whole.sha256(), named.sha256());
    fs::write(dir.path().join("other.safetensors"), one("a", &[2.0])).unwrap();
    let ambiguous = error(dir.path());
    assert!(ambiguous.contains("2 .safetensors files"), "{ambiguous}");
}

#[test]
fn the_hash_is_that_of_the_file() {
    // sha256sum of the three bytes `abc`.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hex(&Sha256::digest(b"abc")), expected);
    let file = one("a", &[1.0]);
    let dir = folder(&[("model.safetensors", file.clone())]);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.sha256(), hex(&Sha256::digest(&file)));
}

#[test]
fn folders_without_weights_say_what_to_do() {
    let dir = folder(&[("config.json", vec![]), ("training_args.bin", vec![])]);
    assert!(error(dir.path()).contains("has no weights"));
    let nowhere = dir.path().join("nowhere");
    assert!(error(&nowhere).contains("cannot read"));
}

#[test]
fn files_of_pytorch_are_read_where_there_is_no_safetensors_file() {
    let pickle = fs::read(golden("pickle/zipped.pth")).unwrap();
    let dir = folder(&[("weights.pth", pickle.clone())]);
    let of = |dir: &TempDir| Checkpoint::open(dir.path()).unwrap();
    assert_eq!(of(&dir).shape("dense"), Some(&[4, 6][..]));
    fs::write(dir.path().join("other.pt"), b"").unwrap();
    let ambiguous = error(dir.path());
    assert!(ambiguous.contains("2 .p"), "{ambiguous}");
    fs::write(dir.path().join("pytorch_model.bin"), pickle).unwrap();
    assert!(of(&dir).names().any(|name| name == "dense"));
    fs::write(dir.path().join("model.safetensors"), one("a", &[1.0])).unwrap();
    assert_eq!(of(&dir).names().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn shards_of_pytorch_are_one_model() {
    let pickle = fs::read(golden("pickle/zipped.pth")).unwrap();
    let list = "pytorch_model.bin.index.json";
    let dir = folder(&[
        ("pytorch_model-1.bin", pickle),
        (list, index(&[("dense", "pytorch_model-1.bin")])),
    ]);
    assert!(Checkpoint::open(dir.path()).is_ok());
    let outside = index(&[("dense", "../pytorch_model-1.bin")]);
    fs::write(dir.path().join(list), outside).unwrap();
    assert!(error(dir.path()).contains("a .bin file in the same folder"));
}

#[test]
fn every_truncation_is_noticed() {
    let file = one("a", &[1.0, 2.0, 3.0]);
    let dir = folder(&[("model.safetensors", vec![])]);
    let path = dir.path().join("model.safetensors");
    for length in 0..file.len() {
        fs::write(&path, &file[..length]).unwrap();
        let error = error(dir.path());
        assert!(error.contains("is damaged"), "{length}: {error}");
    }
}

fn sample() -> Vec<u8> {
    bytes(&[
        ("a.weight", Dtype::F32, &[2, 3], floats(&[0.5; 6])),
        ("b", Dtype::F16, &[4], vec![1; 8]),
        ("ids", Dtype::I64, &[2], vec![0; 16]),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is done to a file, reading it ends in tensors or an error; and what is accepted here, the
    /// reference implementation accepts with the same shapes.
    #[test]
    fn corrupted_files_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        digits in any::<bool>(),
    ) {
        let mut file = sample();
        for (at, byte) in edits {
            let at = at.index(file.len());
            // Digits for digits keep the JSON whole, so that offsets and shapes get tried too.
            if digits && file[at].is_ascii_digit() {
                file[at] = b'0' + byte % 10;
            } else {
                file[at] = byte;
            }
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let Ok(entries) = header::parse(&file) else { return Ok(()) };
        let reference = SafeTensors::deserialize(&file).unwrap();
        prop_assert_eq!(reference.len(), entries.len());
        for (name, entry) in entries {
            let view = reference.tensor(&name).unwrap();
            prop_assert_eq!(view.shape(), &entry.shape[..]);
            prop_assert_eq!(view.data(), &file[entry.bytes.clone()]);
            let _ = convert(&file[entry.bytes], entry.dtype);
        }
    }
}
