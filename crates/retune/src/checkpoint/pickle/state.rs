//! From what a pickle has built to the tensors of a model.

use std::collections::BTreeMap;
use std::ops::Range;

use super::machine::Built;
use super::objects::{Id, Object, Objects, Storage, Tensor};
use crate::checkpoint::header::Entry;

/// Keys under which training programs keep the weights beside other things, the better ones first.
const INSIDE: [&str; 6] = [
    "state_dict_ema",
    "model_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
];

/// The tensors of a state dict, or of the one inside a training program's file, by name.
pub fn tensors(built: &Built) -> Result<BTreeMap<String, Tensor>, String> {
    let objects = &built.objects;
    let found = of_dict(objects, built.root);
    if !found.is_empty() {
        return Ok(found);
    }
    let Object::Dict(pairs) = objects.get(built.root) else {
        return Err("it holds no dictionary of tensors".to_string());
    };
    let keys: Vec<&str> = pairs
        .iter()
        .filter_map(|(key, _)| objects.text(*key))
        .collect();
    for name in INSIDE {
        let inside = pairs
            .iter()
            .find(|(key, _)| objects.text(*key) == Some(name));
        let found = inside.map_or_else(BTreeMap::new, |(_, value)| of_dict(objects, *value));
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let shown: Vec<&str> = keys.into_iter().take(5).collect();
    Err(format!(
        "it holds no tensors, neither by name nor under {}; its keys are: {}",
        INSIDE.join(", "),
        if shown.is_empty() {
            "(none)".to_string()
        } else {
            shown.join(", ")
        }
    ))
}

fn of_dict(objects: &Objects, id: Id) -> BTreeMap<String, Tensor> {
    let Object::Dict(pairs) = objects.get(id) else {
        return BTreeMap::new();
    };
    let tensors = pairs
        .iter()
        .filter_map(|(key, value)| match objects.get(*value) {
            Object::Tensor(tensor) => Some((objects.text(*key)?.to_string(), tensor.clone())),
            _ => None,
        });
    tensors.collect()
}

/// Where each tensor lies, given where the bytes of its storage do.
pub fn place(
    tensors: BTreeMap<String, Tensor>,
    bytes_of: impl Fn(&Storage) -> Result<Range<usize>, String>,
) -> Result<BTreeMap<String, Entry>, String> {
    let one = |(name, tensor): (String, Tensor)| {
        let bytes = bytes_of(&tensor.storage).and_then(|bytes| entry(tensor, bytes));
        let entry = bytes.map_err(|what| format!("tensor `{}`: {what}", name.escape_debug()))?;
        Ok((name, entry))
    };
    tensors.into_iter().map(one).collect()
}

/// A view of the storage at `bytes`.
fn entry(tensor: Tensor, bytes: Range<usize>) -> Result<Entry, String> {
    let Tensor {
        storage,
        offset,
        shape,
        strides,
    } = tensor;
    let size = storage.dtype.bitsize() / 8;
    let product = |shape: &[usize]| {
        shape
            .iter()
            .try_fold(1usize, |n, axis| n.checked_mul(*axis))
    };
    // Repeating values would let a small file ask for any amount of memory.
    let count = product(&shape).filter(|count| *count <= storage.len);
    let count = count.ok_or_else(|| {
        format!(
            "the shape {shape:?} has more values than the {} of its storage",
            storage.len
        )
    })?;
    if count == 0 {
        return Ok(Entry {
            dtype: storage.dtype,
            shape,
            strides: None,
            bytes: bytes.start..bytes.start,
        });
    }
    let reach = shape
        .iter()
        .zip(&strides)
        .try_fold(0usize, |reach, (axis, stride)| {
            reach.checked_add((axis - 1).checked_mul(*stride)?)
        });
    let end = reach.and_then(|reach| offset.checked_add(reach)?.checked_add(1));
    let end = end.filter(|end| *end <= storage.len).ok_or_else(|| {
        format!(
            "a view of shape {shape:?} and strides {strides:?} from value {offset} on leaves its storage of {} values",
            storage.len
        )
    })?;
    let dense = dense(&shape) == strides || end - offset == count && is_dense(&shape, &strides);
    Ok(Entry {
        dtype: storage.dtype,
        bytes: bytes.start + offset * size..bytes.start + end * size,
        strides: (!dense).then_some(strides),
        shape,
    })
}

/// Strides of a tensor whose values lie one after the other.
fn dense(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The same for shapes with axes of one place, whose strides mean nothing.
fn is_dense(shape: &[usize], strides: &[usize]) -> bool {
    let mut step = 1;
    shape.iter().zip(strides).rev().all(|(axis, stride)| {
        let fits = *axis == 1 || *stride == step;
        step *= axis;
        fits
    })
}
