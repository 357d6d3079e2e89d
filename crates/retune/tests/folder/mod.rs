//! Folders of runs as a killed process leaves them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

/// Copies a folder with all it holds.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
