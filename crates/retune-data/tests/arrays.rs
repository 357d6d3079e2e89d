//! IDX and NumPy files: what they hold, and what is refused.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use retune_data::picture::{Array, Numbers, idx, npz};
use serde_json::Value;

fn golden() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden"))
}

fn wide(array: &Array) -> Vec<i64> {
    match &array.numbers {
        Numbers::U8(v) => v.iter().map(|&v| v.into()).collect(),
        Numbers::I64(v) => v.clone(),
    }
}

#[test]
fn arrays_are_as_numpy_wrote_them() {
    let text = std::fs::read_to_string(golden().join("pictures.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let want = all["arrays"].as_array().unwrap();
    for file in ["stored.npz", "packed.npz"] {
        let got = npz::read(&golden().join("pictures").join(file)).unwrap();
        assert_eq!(got.len(), want.len());
        for ((name, array), want) in got.iter().zip(want) {
            assert_eq!(name, want["name"].as_str().unwrap());
            let shape: Vec<usize> = serde_json::from_value(want["shape"].clone()).unwrap();
            assert_eq!(array.shape, shape, "{name}");
            let values: Vec<Value> = want["values"].as_array().unwrap().clone();
            let values: Vec<i64> = values
                .iter()
                .map(|v| {
                    v.as_i64()
                        .unwrap_or_else(|| i64::from(v.as_bool().unwrap()))
                })
                .collect();
            assert_eq!(wide(array), values, "{name}");
        }
    }
    let one = npz::read(&golden().join("pictures/columns.npy")).unwrap();
    assert_eq!(one[0].0, "columns");
    assert_eq!(wide(&one[0].1), (0..24).collect::<Vec<i64>>());
}

/// What is said of `bytes` by a reader.
fn said<T: std::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(&Path) -> retune_data::Result<T>,
) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.file");
    std::fs::write(&path, bytes).unwrap();
    let said = read(&path).unwrap_err().to_string();
    assert!(said.contains("some.file"), "{said}");
    said
}

#[test]
fn objects_and_fractions_are_refused() {
    let read = |name: &str| {
        let e = npz::read(&golden().join("pictures").join(name));
        e.unwrap_err().to_string()
    };
    let objects = read("objects.npz");
    assert!(
        objects.contains("`names`") && objects.contains("never loaded"),
        "{objects}"
    );
    let floats = read("floats.npz");
    assert!(
        floats.contains("`x`") && floats.contains("fraction (`<f4`)"),
        "{floats}"
    );
}

fn npy(shape: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((text.len() as u16).to_le_bytes());
    file.extend(text.as_bytes());
    file.extend(values);
    file
}

fn zipped(name: &str, data: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(data).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn numpy_headers_that_lie_are_refused_before_anything_is_reserved() {
    let huge = "(1000, 1000, 1000)";
    let error = said(&npy(huge, &[0; 10]), npz::read);
    assert!(
        error.contains("takes 1000000000 bytes") && error.contains("cannot hold"),
        "{error}"
    );
    let error = said(&zipped("x.npy", &npy(huge, &[0; 10])), npz::read);
    assert!(
        error.contains("`x`") && error.contains("cannot hold"),
        "{error}"
    );
    let error = said(&npy("(9999999999, 9999999999)", &[]), npz::read);
    assert!(error.contains("more than 4 GiB"), "{error}");
    let error = said(&npy("(3,)", &[1, 2]), npz::read);
    assert!(error.contains("promises 3 bytes"), "{error}");
    let error = said(&npy("(3,)", &[1, 2, 3, 4]), npz::read);
    assert!(error.contains("more follow"), "{error}");
    let error = said(&zipped("readme.txt", b"x"), npz::read);
    assert!(error.contains("`readme.txt` is not an array"), "{error}");
    assert!(said(b"", npz::read).contains("neither an .npz"));
    assert!(said(b"PK\x03\x04", npz::read).contains("the archive is broken"));
    assert!(said(b"\x93NUMPY\x09\x00", npz::read).contains("version 9"));
    assert!(said(b"\x93NUMPY", npz::read).contains("cut off"));
}

fn idx_file(kind: u8, shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, kind, shape.len() as u8];
    file.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
    file.extend(values);
    file
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn idx_files_are_read_plain_and_packed() {
    let plain = idx_file(8, &[2, 3], &[1, 2, 3, 4, 5, 255]);
    let dir = tempfile::tempdir().unwrap();
    // Parts that were packed one by one count as one.
    let parts = [gz(&plain[..9]), gz(&plain[9..])].concat();
    for bytes in [plain.clone(), gz(&plain), parts] {
        let path = dir.path().join("f");
        std::fs::write(&path, bytes).unwrap();
        let got = idx::read(&path).unwrap();
        assert_eq!(got.shape, [2, 3]);
        assert_eq!(got.numbers, Numbers::U8(vec![1, 2, 3, 4, 5, 255]));
    }
    let path = dir.path().join("g");
    std::fs::write(&path, idx_file(0x0b, &[2], &[0xff, 0xff, 1, 0])).unwrap();
    assert_eq!(wide(&idx::read(&path).unwrap()), [-1, 256]);
}

#[test]
fn idx_headers_that_lie_are_refused_before_anything_is_reserved() {
    assert!(said(b"", idx::read).contains("not an IDX file"));
    assert!(said(b"text", idx::read).contains("starts with bytes `74 65 78 74`"));
    assert!(said(&idx_file(0x0d, &[1], &[0; 4]), idx::read).contains("fraction"));
    assert!(said(&idx_file(0x42, &[1], &[0]), idx::read).contains("0x42"));
    assert!(said(&idx_file(8, &[3], &[1, 2]), idx::read).contains("2 follow"));
    assert!(said(&idx_file(8, &[2], &[1, 2, 3]), idx::read).contains("more follow"));
    assert!(said(&[0, 0, 8, 2, 0, 0], idx::read).contains("cut off"));
    let four_gib = idx_file(8, &[1 << 16, 1 << 16], &[1]);
    assert!(said(&gz(&four_gib), idx::read).contains("cannot hold"));
    assert!(said(&idx_file(8, &[u32::MAX; 200], &[]), idx::read).contains("more than 4 GiB"));
    // A packed file may hold a thousand times its bytes, but must then have them.
    let short = gz(&idx_file(8, &[20_000], &vec![1; 10_000]));
    assert!(said(&short, idx::read).contains("10000 follow"));
    let whole = gz(&idx_file(8, &[20_000], &vec![1; 20_000]));
    assert!(said(&whole[..whole.len() - 9], idx::read).contains("fetch the file again"));
    let folder = idx::read(&golden()).unwrap_err().to_string();
    assert!(folder.contains("a folder"), "{folder}");
}

#[test]
fn fashion_mnist_is_read_where_it_is_installed() {
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    let images = folder.join("t10k-images-idx3-ubyte.gz");
    if !images.exists() {
        return;
    }
    let images = idx::read(&images).unwrap();
    assert_eq!(images.shape, [10_000, 28, 28]);
    let labels = idx::read(&folder.join("t10k-labels-idx1-ubyte.gz")).unwrap();
    let labels = wide(&labels);
    assert!((0..10).all(|c| labels.iter().filter(|&&l| l == c).count() == 1000));
}
