//! The layout before PyTorch 1.6: pickles of a magic number, a version, facts about the writer, the state dict
//! and the keys of its storages; then each storage, its length before it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::machine::{self, Built};
use super::objects::{Object, Storage};
use super::state;
use crate::checkpoint::header::Entry;

/// The first object of such a file.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The version that follows.
const VERSION: i128 = 1001;

/// The tensors of a whole file.
pub fn parse(file: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let mut at = 0;
    let mut next = || -> Result<Built, String> {
        let built = machine::run(&file[at..])?;
        at += built.len;
        Ok(built)
    };
    let number = |built: &Built| match built.objects.get(built.root) {
        Object::Int(n) => Some(*n),
        _ => None,
    };
    if next().ok().as_ref().and_then(number) != Some(MAGIC) {
        return Err(format!(
            "it is no file of PyTorch: it begins with {}",
            file[..file.len().min(16)].escape_ascii()
        ));
    }
    let version = number(&next()?);
    if version != Some(VERSION) {
        return Err(format!(
            "its version is {version:?}, and {VERSION} is expected"
        ));
    }
    if !is_little_endian(&next()?) {
        return Err("it was written with the most significant byte first".to_string());
    }
    let (built, keys) = (next()?, next()?);
    let tensors = state::tensors(&built)?;
    let storages = storages(file, at, &keys, built.objects.storages())?;
    state::place(tensors, |storage| {
        let found = storages.get(&storage.key).cloned();
        found.ok_or_else(|| {
            format!(
                "its storage `{}` is not in the file",
                storage.key.escape_debug()
            )
        })
    })
}

fn is_little_endian(built: &Built) -> bool {
    let objects = &built.objects;
    let Object::Dict(pairs) = objects.get(built.root) else {
        return false;
    };
    let mut values = pairs
        .iter()
        .filter(|(key, _)| objects.text(*key) == Some("little_endian"));
    values.all(|(_, value)| *objects.get(*value) == Object::Flag(true))
}

/// Where each storage lies. One that the pickle does not refer to has no known type, and hides those after it.
fn storages<'a>(
    file: &[u8],
    mut at: usize,
    keys: &Built,
    known: impl Iterator<Item = &'a Storage>,
) -> Result<BTreeMap<String, Range<usize>>, String> {
    let known: BTreeMap<&str, &Storage> = known.map(|s| (s.key.as_str(), s)).collect();
    let Object::List(list) = keys.objects.get(keys.root) else {
        return Err("the list of its storages is missing".to_string());
    };
    let mut found = BTreeMap::new();
    for key in list
        .iter()
        .map(|id| keys.objects.text(*id).unwrap_or_default())
    {
        let Some(storage) = known.get(key) else {
            break;
        };
        let (len, rest) = file[at..]
            .split_first_chunk::<8>()
            .ok_or("it ends before its last storage: the file was cut short")?;
        let len = u64::from_le_bytes(*len);
        if len != storage.len as u64 {
            return Err(format!(
                "storage `{}` has {len} values, and {} are expected",
                key.escape_debug(),
                storage.len
            ));
        }
        let size = storage.len.checked_mul(storage.dtype.bitsize() / 8);
        let size = size.filter(|size| *size <= rest.len()).ok_or_else(|| {
            format!(
                "storage `{}` of {len} values reaches beyond the end: the file was cut short",
                key.escape_debug()
            )
        })?;
        found.insert(key.to_string(), at + 8..at + 8 + size);
        at += 8 + size;
    }
    Ok(found)
}
