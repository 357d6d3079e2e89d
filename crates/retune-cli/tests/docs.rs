//! The documentation, run: console blocks marked `# test` against the real binary, and the knob table of the
//! guide against the program's flags and defaults.
//!
//! In a marked block, lines that begin with `$ ` are typed in a shell, one after the other, in a folder that holds
//! the repository's data, golden models and recipes; the lines below each must be its stdout. A lone `…` stands for
//! any number of lines, a `…` inside a line for any text.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use retune::recipe::Recipe;

const BINARY: &str = env!("CARGO_BIN_EXE_retune");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn pages() -> Vec<(String, String)> {
    let mut paths = vec![root().join("README.md")];
    paths.extend(
        fs::read_dir(root().join("docs"))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    paths.retain(|path| path.extension().is_some_and(|e| e == "md"));
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

/// Command and expected stdout of every step in the marked blocks of a page.
fn steps(page: &str) -> Vec<(String, Vec<String>)> {
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line.starts_with("```console") && line.contains("# test");
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push((command.to_owned(), Vec::new()));
        } else if inside {
            let step = steps
                .last_mut()
                .expect("a marked block begins with a command");
            step.1.push(line.to_owned());
        }
    }
    steps
}

/// Whether the line is the pattern, in which `…` stands for any text.
fn same_line(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether the lines are the patterns, in which a lone `…` stands for any number of lines.
fn same(patterns: &[String], lines: &[&str]) -> bool {
    match (patterns.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((pattern, more)), _) if pattern == "…" => {
            (0..=lines.len()).any(|skipped| same(more, &lines[skipped..]))
        }
        (Some((pattern, more)), Some((line, rest))) => same_line(pattern, line) && same(more, rest),
        _ => false,
    }
}

#[test]
fn patterns_match_what_they_should() {
    let lines = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
    assert!(same(&lines("a|…|d"), &["a", "b", "c", "d"]));
    assert!(same(&lines("x … z"), &["x y z"]));
    assert!(!same(&lines("a|d"), &["a", "b", "d"]));
    assert!(!same(&lines("x … z"), &["x y"]));
    assert!(!same_line("a", "ab"));
}

#[test]
fn marked_console_blocks_do_what_they_show() {
    let mut tested = 0;
    for (name, page) in pages() {
        let folder = tempfile::tempdir().unwrap();
        for shared in ["data", "golden", "recipes"] {
            symlink(root().join(shared), folder.path().join(shared)).unwrap();
        }
        let bin = Path::new(BINARY).parent().unwrap().display();
        for (command, wanted) in steps(&page) {
            let output = Command::new("sh")
                .args(["-c", &format!("PATH='{bin}':\"$PATH\"\n{command}")])
                .current_dir(folder.path())
                .env("RETUNE_HOME", folder.path().join("home"))
                .env("HF_HOME", folder.path().join("hf"))
                .env("HF_HUB_OFFLINE", "1")
                .output()
                .unwrap();
            let stdout = String::from_utf8(output.stdout).unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(
                output.status.success(),
                "{name}: `{command}` fails:\n{stderr}"
            );
            let lines: Vec<&str> = stdout.lines().collect();
            assert!(
                same(&wanted, &lines),
                "{name}: `{command}` is to print\n{}\nbut prints\n{stdout}",
                wanted.join("\n")
            );
            tested += 1;
        }
    }
    assert!(
        tested >= 5,
        "only {tested} commands of the documentation are tested"
    );
}

/// Flag to key and default of the guide's knob tables.
fn knobs() -> BTreeMap<String, (String, String)> {
    let guide = fs::read_to_string(root().join("docs/guide.md")).unwrap();
    let rows = guide.lines().filter_map(|line| {
        let cells: Vec<&str> = line
            .strip_prefix("| `--")?
            .split('|')
            .map(str::trim)
            .collect();
        let flag = cells.first()?.trim_end_matches('`').to_owned();
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        Some((flag, (plain(cells.get(1)?), plain(cells.get(2)?))))
    });
    rows.collect()
}

#[test]
fn the_guide_lists_every_flag_of_train() {
    let help = Command::new(BINARY)
        .args(["train", "--help"])
        .output()
        .unwrap()
        .stdout;
    let help = String::from_utf8(help).unwrap();
    let mut flags: Vec<String> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--")?.split(' ').next())
        .filter(|flag| *flag != "json")
        .map(str::to_owned)
        .collect();
    flags.sort();
    let listed: Vec<String> = knobs().into_keys().collect();
    assert_eq!(listed, flags);
}

#[test]
fn the_guide_gives_every_key_and_its_default() {
    let defaults: toml::Table = Recipe::default().to_toml().parse().unwrap();
    let find = |key: &str| {
        let mut table = &defaults;
        let (name, sections) = key
            .split('.')
            .collect::<Vec<_>>()
            .split_last()
            .map(|(n, s)| (*n, s.to_vec()))
            .unwrap();
        for section in sections {
            table = table.get(section)?.as_table()?;
        }
        table.get(name)
    };
    let mut listed = 0;
    for (flag, (key, default)) in knobs() {
        let there = find(&key).filter(|value| value.as_array().is_none_or(|list| !list.is_empty()));
        if key == "-" {
            continue;
        }
        if default == "-" {
            assert!(
                there.is_none_or(toml::Value::is_table),
                "--{flag}: {key} has a default: {there:?}"
            );
            continue;
        }
        let wanted: toml::Table = format!("value = {default}").parse().unwrap();
        assert_eq!(there, wanted.get("value"), "--{flag}: {key}");
        listed += 1;
    }
    let scalars = defaults.values().map(|value| match value {
        toml::Value::Table(section) => section
            .values()
            .filter(|v| !v.is_array() && !v.is_table())
            .count(),
        _ => 1,
    });
    assert_eq!(
        listed,
        scalars.sum::<usize>(),
        "defaults in the guide and in the recipe"
    );
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for (name, page) in pages() {
        let folder = root().join(&name).parent().unwrap().to_path_buf();
        for link in page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !link.contains("://") && !folder.join(file).exists() {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "broken links:\n  {}",
        broken.join("\n  ")
    );
}
