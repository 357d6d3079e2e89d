//! PyTorch's own files (`.pth`, `.pt`, `pytorch_model.bin`), read without running anything that stands in them.
//!
//! Such a file is a pickle: a small program that builds objects, and in Python's hands may call any function.
//! Here it can build plain data and descriptions of tensors; whatever else it asks for is an error that names
//! it. Both layouts are read: the zip archive of PyTorch 1.6 and later, and the one before it.

mod legacy;
mod machine;
mod objects;
mod state;
#[cfg(test)]
mod tests;
mod zipped;

use std::collections::BTreeMap;

use super::header::Entry;

/// How a zip archive begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// The tensors of a whole file given as bytes; the error is a fragment that says what is wrong.
pub fn parse(file: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    if file.starts_with(ZIP) {
        zipped::parse(file)
    } else {
        legacy::parse(file)
    }
}

/// Whether a file of this name is one of PyTorch's.
pub fn is_name(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["pth", "pt", "bin"].contains(&ending)
}
