//! The layout since PyTorch 1.6: a zip archive, nothing in it compressed, with the pickle `NAME/data.pkl` and
//! one member `NAME/data/KEY` per storage.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::objects::Storage;
use super::{machine, state};
use crate::checkpoint::header::Entry;

/// Name of the pickle, after the name of the archive.
const PICKLE: &str = "data.pkl";

/// The tensors of a whole file.
pub fn parse(file: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let members = members(file)?;
    let pickles: Vec<&String> = members
        .keys()
        .filter(|name| name.rsplit('/').next() == Some(PICKLE))
        .collect();
    let [pickle] = pickles[..] else {
        return Err(format!(
            "it is a zip archive with {} members called {PICKLE}, and PyTorch writes one",
            pickles.len()
        ));
    };
    let root = pickle.strip_suffix(PICKLE).unwrap_or_default();
    let order = members.get(&format!("{root}byteorder"));
    if order.is_some_and(|bytes| &file[bytes.clone()] != b"little") {
        return Err("it was written with the most significant byte first".to_string());
    }
    let built = machine::run(&file[members[pickle].clone()])?;
    state::place(state::tensors(&built)?, |storage: &Storage| {
        let key = storage.key.escape_debug();
        let found = members.get(&format!("{root}data/{}", storage.key));
        let bytes = found.ok_or_else(|| format!("its storage `{key}` is not in the archive"))?;
        let size = storage.len.checked_mul(storage.dtype.bitsize() / 8);
        if size != Some(bytes.len()) {
            return Err(format!(
                "its storage `{key}` has {} bytes, and {} values of {} are expected",
                bytes.len(),
                storage.len,
                storage.dtype
            ));
        }
        Ok(bytes.clone())
    })
}

/// Where each member of the archive lies.
fn members(file: &[u8]) -> Result<BTreeMap<String, Range<usize>>, String> {
    let damaged = |e: zip::result::ZipError| format!("it is no whole zip archive: {e}");
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(damaged)?;
    let mut members = BTreeMap::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(damaged)?;
        let name = member.name().map_err(damaged)?.into_owned();
        if member.compression() != CompressionMethod::Stored {
            return Err(format!(
                "its member `{}` is compressed, which PyTorch never does",
                name.escape_debug()
            ));
        }
        let start = member
            .data_start()
            .and_then(|start| usize::try_from(start).ok());
        let end = start.and_then(|start| start.checked_add(usize::try_from(member.size()).ok()?));
        let Some(range) = start.zip(end).filter(|(_, end)| *end <= file.len()) else {
            return Err(format!(
                "its member `{}` reaches beyond the end",
                name.escape_debug()
            ));
        };
        members.insert(name, range.0..range.1);
    }
    Ok(members)
}
