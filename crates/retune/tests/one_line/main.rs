//! Adding a family, a task and a method takes one file and one line each: a copy of the workspace gets all
//! three, and the contract tests, unchanged, pass over them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Written with their extra line rather than copied.
const REGISTRIES: [&str; 3] = [
    "src/families/mod.rs",
    "src/tasks/mod.rs",
    "src/methods/mod.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Copies a file or a folder; files that are the same already keep their time stamps, so that a second run
/// rebuilds nothing.
fn copy(from: &Path, to: &Path) {
    if REGISTRIES.iter().any(|registry| from.ends_with(registry)) {
        return;
    }
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
        return;
    }
    write(to, &fs::read(from).unwrap());
}

fn write(to: &Path, content: &[u8]) {
    if fs::read(to).ok().as_deref() != Some(content) {
        fs::write(to, content).unwrap();
    }
}

/// Removes what is below `copy` and not below `original`.
fn prune(copy: &Path, original: &Path) {
    for entry in fs::read_dir(copy).unwrap() {
        let path = entry.unwrap().path();
        let twin = original.join(path.file_name().unwrap());
        if path.is_dir() && twin.is_dir() {
            prune(&path, &twin);
        } else if path.is_dir() && !twin.exists() {
            fs::remove_dir_all(&path).unwrap();
        } else if !twin.exists() {
            fs::remove_file(&path).unwrap();
        }
    }
}

/// Adds `line` behind the opening of the registry macro in `file`.
fn register(copy: &Path, file: &str, opening: &str, line: &str) {
    let path = copy.join("crates/retune/src").join(file);
    let source = fs::read_to_string(root().join("crates/retune/src").join(file)).unwrap();
    let registered = source.replacen(opening, &format!("{opening}\n    {line}"), 1);
    assert_eq!(
        registered.lines().count(),
        source.lines().count() + 1,
        "one line in {file}"
    );
    write(&path, registered.as_bytes());
}

/// Adds the files, their lines and the golden checkpoint of the new family.
fn add_one_of_each(there: &Path) {
    let source = there.join("crates/retune/src");
    let files = root().join("crates/retune/tests/one_line");
    copy(&files.join("bag.rs"), &source.join("families/bag.rs"));
    copy(
        &files.join("text_tone.rs"),
        &source.join("tasks/text_tone.rs"),
    );
    copy(
        &files.join("head_and_biases.rs"),
        &source.join("methods/head_and_biases.rs"),
    );
    register(there, "families/mod.rs", "\nfamilies! {", "bag: Bag,");
    register(there, "tasks/mod.rs", "\ntasks! {", "text_tone,");
    register(
        there,
        "methods/mod.rs",
        "\nmethods! {",
        "head_and_biases: HeadAndBiases,",
    );

    // The fake family's golden checkpoint: BERT's with another name.
    let golden = there.join("golden/bag-tiny");
    fs::create_dir_all(&golden).unwrap();
    let bert = root().join("golden/bert-tiny");
    copy(
        &bert.join("model.safetensors"),
        &golden.join("model.safetensors"),
    );
    let config = fs::read_to_string(bert.join("config.json")).unwrap();
    let config = config.replace("\"model_type\": \"bert\"", "\"model_type\": \"bag\"");
    write(&golden.join("config.json"), config.as_bytes());
}

#[test]
fn a_family_a_task_and_a_method_take_one_file_and_one_line_each() {
    let there = Path::new(env!("CARGO_TARGET_TMPDIR")).join("one_line");
    fs::create_dir_all(&there).unwrap();
    for name in [
        "Cargo.lock",
        "rust-toolchain.toml",
        "crates",
        "golden",
        "data",
    ] {
        copy(&root().join(name), &there.join(name));
    }
    // The copy is kept between runs: a file that was moved here would be there twice.
    prune(&there.join("crates"), &root().join("crates"));
    // Cargo names what it builds by package and version, not by folder: with a version of its own the copy
    // never meets the artifacts of this workspace in the shared target folder.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest = manifest.replacen("\nversion = \"", "\nversion = \"99", 1);
    write(&there.join("Cargo.toml"), manifest.as_bytes());
    add_one_of_each(&there);

    // The same target folder: only the workspace's own crates are compiled again.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["test", "--offline", "--workspace", "--test", "contract"])
        .current_dir(&there)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("test result: ok. 27 passed"), "{text}");
}
