//! Folders of runs as a killed process leaves them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use retune::Flow;
use retune::eval::Event;

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

/// Watches a run in `from`, and copies its folder to `cut` when the state of `at` is saved: what a process leaves that is
/// killed then.
pub fn cut_off<'a>(at: u64, from: &'a Path, cut: &'a Path) -> impl FnMut(&Event) -> Flow + 'a {
    move |event| {
        if matches!(event, Event::Saved { step } if *step == at) {
            copy(from, cut);
        }
        Flow::Continue
    }
}
