//! The model of events that comes with the program.
//!
//! `retune-txn-base` learned without labels from sixteen random worlds of made-up payments (`bench/pretrain_worlds.py` makes and
//! joins them, and names the command). It knows no real payment.

use std::path::Path;

use super::bundle::EventBase;
use crate::error::{Error, Result};

/// Its name.
pub const NAME: &str = "retune-txn-base";

/// Its files.
const FILES: [(&str, &[u8]); 4] = [
    (
        "bundle.json",
        include_bytes!("../../models/retune-txn-base/bundle.json"),
    ),
    (
        "config.json",
        include_bytes!("../../models/retune-txn-base/config.json"),
    ),
    (
        "model.safetensors",
        include_bytes!("../../models/retune-txn-base/model.safetensors"),
    ),
    (
        "recipe.toml",
        include_bytes!("../../models/retune-txn-base/recipe.toml"),
    ),
];

/// The model.
///
/// # Errors
/// A folder for files that live as briefly as this call cannot be made.
pub(super) fn open() -> Result<EventBase> {
    let lost = |error: std::io::Error| {
        Error::User(format!(
            "cannot unpack {NAME}: {error}; set TMPDIR to a folder with room"
        ))
    };
    let folder = tempfile::tempdir().map_err(lost)?;
    for (name, bytes) in FILES {
        std::fs::write(folder.path().join(name), bytes).map_err(lost)?;
    }
    let mut base = EventBase::read(folder.path())?;
    base.folder = Path::new(NAME).to_path_buf();
    base.parent.reference = NAME.to_string();
    Ok(base)
}
