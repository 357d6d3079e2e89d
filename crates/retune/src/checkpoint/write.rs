//! Writing a safetensors file that other programs load: f32, little-endian, tensors in the given order.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::CheckpointError;
use super::parts::{Joined, joined};

/// Values converted at a time.
const BLOCK: usize = 16 << 10;

/// Writes tensors, each a name, a shape and its values in row-major order, as f32.
///
/// Tensors whose names say that they are parts of one (`qkv.weight[0/3]`) are written as that one.
///
/// The file appears at `path` whole or not at all: it is written beside it, synced and renamed. The
/// metadata says `"format": "pt"`, without which transformers refuses the file, and then the given pairs.
/// The same input gives the same bytes.
///
/// # Errors
/// [`CheckpointError::Unwritable`] for a tensor whose values do not fill its shape or whose name is taken, and for parts
/// that make no whole; [`CheckpointError::Io`] when the system refuses, such as on a full disk.
pub fn write(
    path: &Path,
    tensors: &[(String, Vec<usize>, Vec<f32>)],
    metadata: &[(String, String)],
) -> Result<(), CheckpointError> {
    let entries = tensors
        .iter()
        .map(|(name, shape, _)| (name.clone(), shape.clone()));
    let entries: Vec<_> = entries.collect();
    write_each(path, &entries, metadata, &mut |i| {
        Cow::Borrowed(&tensors[i].2[..])
    })
}

/// As [`write`], asking for the values of one tensor after the other, so that they need not all be in memory.
///
/// # Errors
/// As [`write`].
pub fn write_each<'a>(
    path: &Path,
    entries: &[(String, Vec<usize>)],
    metadata: &[(String, String)],
    values: &mut dyn FnMut(usize) -> Cow<'a, [f32]>,
) -> Result<(), CheckpointError> {
    let refused = |what: String| CheckpointError::Unwritable {
        path: path.to_path_buf(),
        what,
    };
    let wholes = joined(entries).map_err(refused)?;
    let header = header(path, &wholes, metadata)?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = create(folder).map_err(|e| CheckpointError::io("write", path, e))?;
    let io = |e| CheckpointError::io("write", path, e);
    {
        let mut out = BufWriter::with_capacity(1 << 20, temporary.as_file_mut());
        out.write_all(&(header.len() as u64).to_le_bytes())
            .map_err(io)?;
        out.write_all(&header).map_err(io)?;
        for i in wholes.iter().flat_map(|whole| &whole.entries) {
            let (name, shape) = &entries[*i];
            let values = values(*i);
            if shape.iter().product::<usize>() != values.len() {
                return Err(refused(format!(
                    "tensor `{name}` has {} values for the shape {shape:?}",
                    values.len()
                )));
            }
            write_values(&mut out, &values).map_err(io)?;
        }
        out.flush().map_err(io)?;
    }
    temporary.as_file().sync_all().map_err(io)?;
    temporary.persist(path).map_err(|e| io(e.error))?;
    // Not every file system lets a folder be synced; the rename itself has been done.
    let _ = File::open(folder).and_then(|f| f.sync_all());
    Ok(())
}

fn write_values(out: &mut impl io::Write, values: &[f32]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4 * BLOCK);
    for block in values.chunks(BLOCK) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|value| value.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// A temporary file that others may read once it has its final name.
fn create(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".checkpoint-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // The process's umask is taken off by the system.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// The JSON header, padded with spaces so that the data begins at a multiple of 8.
fn header(
    path: &Path,
    wholes: &[Joined],
    metadata: &[(String, String)],
) -> Result<Vec<u8>, CheckpointError> {
    let refused = |what: String| CheckpointError::Unwritable {
        path: path.to_path_buf(),
        what,
    };
    let mut about = Map::new();
    about.insert("format".to_string(), json!("pt"));
    for (key, value) in metadata {
        about.insert(key.clone(), json!(value));
    }
    let mut header = Map::new();
    header.insert("__metadata__".to_string(), Value::Object(about));
    let mut names = HashSet::from(["__metadata__"]);
    let mut at = 0u64;
    for Joined { name, shape, .. } in wholes {
        if !names.insert(name) {
            return Err(refused(format!("the name `{name}` is taken")));
        }
        let size = shape
            .iter()
            .try_fold(1u64, |n, &axis| n.checked_mul(axis as u64))
            .and_then(|n| n.checked_mul(4))
            .and_then(|bytes| at.checked_add(bytes));
        let Some(end) = size else {
            return Err(refused(format!(
                "tensor `{name}` of shape {shape:?} is too large"
            )));
        };
        header.insert(
            name.clone(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [at, end]}),
        );
        at = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use safetensors::{Dtype, SafeTensors};

    use super::*;

    fn tensor(name: &str, shape: &[usize], values: &[f32]) -> (String, Vec<usize>, Vec<f32>) {
        (name.to_string(), shape.to_vec(), values.to_vec())
    }

    #[test]
    fn the_reference_implementation_reads_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let long: Vec<f32> = (0..40_000).map(|i| i as f32 * 0.5).collect();
        let tensors = [
            tensor("z", &[2, 2], &[1.0, -2.5, f32::MIN_POSITIVE, 4e30]),
            tensor("ä \"quoted\"", &[40_000], &long),
            tensor("scalar", &[], &[7.0]),
        ];
        let about = [("method".to_string(), "full".to_string())];
        write(&path, &tensors, &about).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!(metadata["format"], "pt");
        assert_eq!(metadata["method"], "full");
        let read = SafeTensors::deserialize(&bytes).unwrap();
        for (name, shape, values) in &tensors {
            let view = read.tensor(name).unwrap();
            assert_eq!((view.dtype(), view.shape()), (Dtype::F32, &shape[..]));
            let expected: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(view.data(), expected);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let again = dir.path().join("again.safetensors");
        write(&again, &tensors, &about).unwrap();
        assert_eq!(std::fs::read(again).unwrap(), bytes);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        write(&path, &[tensor("a", &[1], &[1.0])], &[]).unwrap();
        let before = std::fs::read(&path).unwrap();
        let wrong = [tensor("a", &[3], &[1.0])];
        let error = write(&path, &wrong, &[]).unwrap_err().to_string();
        assert!(error.contains("1 values for the shape [3]"), "{error}");
        let twice = [tensor("a", &[1], &[1.0]), tensor("a", &[1], &[1.0])];
        assert!(write(&path, &twice, &[]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let nowhere = dir.path().join("missing/model.safetensors");
        let error = write(&nowhere, &[], &[]).unwrap_err().to_string();
        assert!(error.contains("cannot write"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_the_file_as_any_other() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, b"").unwrap();
        let path = dir.path().join("model.safetensors");
        write(&path, &[], &[]).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
}
