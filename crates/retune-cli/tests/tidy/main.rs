//! The invariants of ARCHITECTURE.md and the house style of CONTRIBUTING.md that can be read off the sources.
#![expect(clippy::unwrap_used, reason = "tests")]

mod source;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use source::{code, functions, has_word};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 60;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Files below a folder of the repository, build outputs and hidden folders left out.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || name.starts_with('.') || ["target", "runs"].contains(&&*name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Path from the root and text of every Rust file below a folder.
fn rust(folder: &str) -> Vec<(String, String)> {
    files(folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// Names of a crate's dependencies for building and running, and for its tests.
fn dependencies(name: &str) -> Vec<String> {
    let path = root().join("crates").join(name).join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

#[test]
fn crates_use_only_the_crates_they_may() {
    let edges = BTreeMap::from([
        ("retune-data", vec![]),
        ("retune-eval", vec![]),
        ("retune-kernels", vec![]),
        (
            "retune",
            vec!["retune-data", "retune-eval", "retune-kernels"],
        ),
        ("retune-cli", vec!["retune"]),
    ]);
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            edges.contains_key(&*name),
            "crates/{name} has no place in the architecture"
        );
    }
    for (name, allowed) in &edges {
        let mut used = dependencies(name);
        used.retain(|dependency| dependency.starts_with("retune"));
        used.sort();
        assert_eq!(&used, allowed, "{name}");
    }
}

#[test]
fn only_the_library_knows_burn() {
    for name in ["retune-data", "retune-eval", "retune-kernels", "retune-cli"] {
        let tensor_crates = ["burn", "cubecl", "candle", "tch"];
        let found: Vec<String> = dependencies(name)
            .into_iter()
            .filter(|d| {
                tensor_crates
                    .iter()
                    .any(|t| d == t || d.starts_with(&format!("{t}-")))
            })
            .collect();
        none(&format!("{name} depends on tensors"), &found);
    }
}

#[test]
fn unsafe_is_confined_and_explained() {
    let mut found = Vec::new();
    for (name, text) in rust("crates") {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in code(&text).lines().enumerate() {
            if !has_word(line, "unsafe") {
                continue;
            }
            let reasons = lines[at.saturating_sub(8)..=at].join("\n");
            let explained = reasons.contains("// SAFETY:") || reasons.contains("# Safety");
            if !name.starts_with("crates/retune-kernels/") || !explained {
                found.push(format!("{name}:{}", at + 1));
            }
        }
    }
    none(
        "unsafe outside retune-kernels, or without `// SAFETY:`",
        &found,
    );
}

#[test]
fn files_and_functions_are_short() {
    let mut found = Vec::new();
    for (name, text) in rust("crates") {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            found.push(format!("{name}: {lines} lines"));
        }
        for (function, line, length) in functions(&text) {
            if length > FUNCTION_LINES {
                found.push(format!("{name}:{line}: `{function}` has {length} lines"));
            }
        }
    }
    none("over 600 lines per file or 60 per function", &found);
}

#[test]
fn every_file_says_what_it_is_for() {
    let found: Vec<String> = rust("crates")
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! ") || text.starts_with("//! .\n"))
        .map(|(name, _)| name)
        .collect();
    none("no `//!` at the top", &found);
}

#[test]
fn lints_are_expected_not_allowed() {
    let mut found = Vec::new();
    for (name, text) in rust("crates") {
        for (at, line) in code(&text).lines().enumerate() {
            if line.contains("#[allow") || line.contains("#![allow") {
                found.push(format!("{name}:{}", at + 1));
            }
        }
    }
    none("write #[expect(.., reason = \"..\")]", &found);
}

#[test]
fn names_say_something() {
    let vague = [
        "utils", "util", "common", "helpers", "helper", "manager", "misc", "base",
    ];
    let found: Vec<String> = rust("crates")
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| {
            let parts = name.trim_end_matches(".rs").split('/');
            parts.into_iter().any(|part| vague.contains(&part))
        })
        .collect();
    none("vague module names", &found);
}

#[test]
fn nothing_is_left_to_do() {
    let marks = ["TO", "FIX", "XX"].map(|start| match start {
        "TO" => "TODO",
        "FIX" => "FIXME",
        _ => "XXX",
    });
    let mut found = Vec::new();
    for (name, text) in rust("crates") {
        if name.ends_with("tests/tidy/main.rs") {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| has_word(line, mark)) {
                found.push(format!("{name}:{}", at + 1));
            }
        }
    }
    none("unfinished work", &found);
}

/// The modules of a registry folder and those that its macro lists.
fn registry(folder: &str) -> (Vec<String>, Vec<String>) {
    let at = root().join("crates/retune/src").join(folder);
    let mut there: Vec<String> = fs::read_dir(&at)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name != "mod")
        .collect();
    there.sort();
    let text = code(&fs::read_to_string(at.join("mod.rs")).unwrap());
    let call = format!("\n{folder}! {{");
    let list = text
        .split(&call)
        .nth(1)
        .unwrap_or_else(|| panic!("{folder}/mod.rs has no {folder}! {{ }}"));
    let list = list.split('}').next().unwrap();
    let mut listed: Vec<String> = list
        .split(',')
        .map(|item| item.split(':').next().unwrap().trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect();
    listed.sort();
    (there, listed)
}

#[test]
fn every_family_task_and_method_is_registered() {
    for folder in ["families", "tasks", "methods"] {
        let (there, listed) = registry(folder);
        assert!(!there.is_empty(), "{folder} is empty");
        assert_eq!(
            there, listed,
            "{folder}/mod.rs does not list what is in {folder}/"
        );
    }
}

#[test]
fn families_tasks_and_methods_do_not_know_each_other() {
    let mut found = Vec::new();
    for (folder, strangers) in [
        ("families", ["tasks", "methods"]),
        ("tasks", ["families", "methods"]),
        ("methods", ["families", "tasks"]),
    ] {
        for (name, text) in rust(&format!("crates/retune/src/{folder}")) {
            for stranger in strangers {
                if code(&text).contains(&format!("{stranger}::")) {
                    found.push(format!("{name} mentions {stranger}"));
                }
            }
        }
    }
    none("families, tasks and methods must stay apart", &found);
}

#[test]
fn the_training_loop_names_no_family_task_or_method() {
    let mut found = Vec::new();
    let loop_files = rust("crates/retune/src/train");
    assert!(!loop_files.is_empty());
    for folder in ["families", "tasks", "methods"] {
        let (there, _) = registry(folder);
        for (name, text) in &loop_files {
            let code = code(text);
            if code.contains(&format!("{folder}::")) {
                found.push(format!("{name} mentions {folder}"));
            }
            for stranger in there.iter().filter(|stranger| has_word(&code, stranger)) {
                found.push(format!("{name} mentions {stranger}"));
            }
        }
    }
    none(
        "train/ must serve every family, task and method alike",
        &found,
    );
}

#[test]
fn texts_become_tokens_in_one_place() {
    let mut found = Vec::new();
    for (name, text) in rust("crates") {
        let tests = name.contains("/tests/");
        if !tests
            && !name.starts_with("crates/retune-data/src/")
            && has_word(&code(&text), "Tokenizer")
        {
            found.push(name);
        }
    }
    none("only retune-data's processor may tokenise", &found);
}

#[test]
fn recipes_can_be_read() {
    let recipes: Vec<PathBuf> = files("recipes")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    assert!(
        !recipes.is_empty() && recipes.len() <= 12,
        "{} recipes",
        recipes.len()
    );
    for path in recipes {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let recipe =
            retune::recipe::Recipe::read(&path).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert!(recipe.data.train.is_some(), "{name} names no data");
        let text = fs::read_to_string(&path).unwrap();
        let command = format!("retune train recipes/{name}");
        assert!(
            text.starts_with('#') && text.contains(&command),
            "{name}: the header comment must hold `{command}`"
        );
    }
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut machine: Vec<String> = ["home", "Users", "root"]
        .map(|name| format!("/{name}/"))
        .to_vec();
    machine.push(root().to_string_lossy().into_owned());
    let mut found = Vec::new();
    for path in files("") {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let is_data = path
            .extension()
            .is_some_and(|e| ["csv", "json", "lock", "txt"].iter().any(|d| e == *d));
        if is_data {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            // A web address may hold any path.
            let local = line.split_whitespace().filter(|word| !word.contains("://"));
            if local
                .into_iter()
                .any(|word| machine.iter().any(|m| word.contains(m)))
            {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push(format!("{name}:{}", at + 1));
            }
        }
    }
    none("absolute paths of one machine", &found);
}
