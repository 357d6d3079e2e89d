//! Runs that are stopped on the way: Ctrl-C keeps the best model, a killed run can be started again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::{Folder, Outcome, TINY_FLAGS};

/// A run of up to `steps` steps, and its stderr up to the first line that holds `mark`.
fn started(
    folder: &Folder,
    steps: &str,
    mark: &str,
) -> (Child, BufReader<std::process::ChildStderr>, String) {
    let mut command = folder.command(&[&["train"], TINY_FLAGS].concat());
    command.args([
        "data.csv",
        "--out",
        "out",
        "--epochs",
        "5000",
        "--max-steps",
        steps,
    ]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains(mark) {
        let read = lines.read_line(&mut seen).unwrap();
        assert!(read > 0, "ended before `{mark}`:\n{seen}");
    }
    (child, lines, seen)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_the_best_model_so_far() {
    let folder = Folder::with_reviews();
    let (child, mut lines, mut stderr) = started(&folder, "20000", "validation after step");
    signal(&child, "-INT");
    while lines.read_line(&mut stderr).unwrap() > 0 {}
    let output = child.wait_with_output().unwrap();
    let outcome = Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr,
    };
    outcome
        .succeeds()
        .says(&["stopping after this step", "(interrupted)", "--model out"]);
    let metrics: serde_json::Value =
        serde_json::from_str(&folder.read("out/metrics.json")).unwrap();
    assert_eq!(metrics["split"], "test");
    folder.retune(&["predict", "out", "a good film"]).succeeds();
}

/// SHA-256 of the weights, as the manifest of the finished run has it.
pub fn weights(folder: &Folder, out: &str) -> String {
    let manifest = folder.read(&format!("{out}/bundle.json"));
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    manifest["files"]["model.safetensors"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Starts the command and kills it once it has done this step.
pub fn kill_at(folder: &Folder, mut command: Command, step: u64) {
    let silent = command.stderr(Stdio::null()).stdout(Stdio::null());
    let mut child = silent.spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        let seen = std::fs::read_to_string(folder.path("out/events.jsonl"));
        let mark = format!("\"step\":{step},");
        if seen.is_ok_and(|events| events.contains(&mark)) {
            break;
        }
    }
    signal(&child, "-KILL");
    assert_eq!(
        child.wait().unwrap().code(),
        None,
        "ended before step {step}"
    );
    assert!(!folder.path("out/bundle.json").exists());
}

#[test]
#[cfg(unix)]
fn a_run_killed_again_and_again_ends_with_the_same_weights() {
    let folder = Folder::with_reviews();
    let run = |out: &str, more: &[&str]| {
        let flags = [
            "--epochs",
            "10",
            "--checkpoint-every",
            "3",
            "--verdict",
            "off",
            "--out",
            out,
        ];
        folder.command(&[&["train"], TINY_FLAGS, &["data.csv"], &flags, more].concat())
    };
    assert!(run("whole", &[]).output().unwrap().status.success());
    let events = folder.read("whole/events.jsonl");
    let mut going_on = run("out", &[]);
    for step in [1, 4, 9, 20, 21, 33, 41] {
        kill_at(&folder, going_on, step);
        going_on = folder.command(&["train", "--resume", "out"]);
    }
    assert!(going_on.output().unwrap().status.success());
    assert_eq!(weights(&folder, "out"), weights(&folder, "whole"));
    assert_eq!(
        folder.read("out/metrics.json"),
        folder.read("whole/metrics.json")
    );
    let steps = |events: &str| {
        let steps = events
            .lines()
            .filter(|line| line.contains("\"event\":\"step\""))
            .count();
        (steps, events.matches("\"event\":\"validated\"").count())
    };
    assert_eq!(steps(&folder.read("out/events.jsonl")), steps(&events));
    let left = std::fs::read_dir(folder.path("out")).unwrap();
    let left: Vec<_> = left
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let unwanted = |name: &&String| name.starts_with('.') || name.starts_with("check");
    assert!(
        !left.iter().any(|name| unwanted(&name)),
        "left behind: {left:?}"
    );
    let again = folder.retune(&["train", "--resume", "out"]);
    again.refuses(&["is finished"]);
}

/// An unfinished run with states in `out`.
fn cut_off() -> Folder {
    let folder = Folder::with_reviews();
    let flags = [
        "--epochs",
        "5000",
        "--checkpoint-every",
        "2",
        "--out",
        "out",
    ];
    let mut command = folder.command(&[&["train", "data.csv"], TINY_FLAGS, &flags].concat());
    let mut child = command
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let saved = |line: &str| line.contains("\"event\":\"saved\"");
    while !std::fs::read_to_string(folder.path("out/events.jsonl"))
        .is_ok_and(|events| events.lines().filter(|line| saved(line)).count() > 3)
    {
        assert!(
            child.try_wait().unwrap().is_none(),
            "ended before it was cut off"
        );
    }
    signal(&child, "-KILL");
    child.wait().unwrap();
    folder
}

#[test]
#[cfg(unix)]
fn nothing_of_a_cut_off_run_is_overwritten_and_only_the_same_run_goes_on() {
    let folder = cut_off();
    folder
        .train(&["data.csv", "--out", "out"])
        .refuses(&["unfinished run", "train --resume out"]);
    folder
        .retune(&["predict", "out", "a film"])
        .refuses(&["is not a bundle yet", "--resume out"]);
    folder
        .retune(&["train", "data.csv", "--resume", "out"])
        .refuses(&["leave the file or recipe out"]);
    folder
        .retune(&["train", "--resume", "out", "--lr", "0.5"])
        .refuses(&["train.lr", "0.5 now", "another --out"]);
    folder
        .retune(&["train", "--resume", "out", "--gate", "accuracy=0.1"])
        .refuses(&["gates.accuracy", "--force"]);
    folder
        .retune(&["train", "--resume", "out", "--decide", "f1"])
        .refuses(&["decide.goal: - then, \"f1\" now (--force allows this)"]);
    folder
        .retune(&["train", "--resume", "nowhere"])
        .refuses(&["holds no run"]);
    let data = folder.read("data.csv");
    folder.write("data.csv", data.replacen("good", "fine", 1));
    folder
        .retune(&["train", "--resume", "out"])
        .refuses(&["data.csv has changed since the run began"]);
}

#[test]
#[cfg(unix)]
fn a_torn_state_is_left_out_and_the_one_before_it_taken() {
    let folder = cut_off();
    let states = std::fs::read_dir(folder.path("out/checkpoints")).unwrap();
    let mut states: Vec<_> = states.map(|entry| entry.unwrap().path()).collect();
    states.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    states.sort();
    // A kill may leave tensors without their JSON file: those are no state.
    states.retain(|path| path.with_extension("json").is_file());
    let newest = states.last().unwrap();
    let whole = std::fs::read(newest).unwrap();
    std::fs::write(newest, &whole[..whole.len() - 7]).unwrap();
    let step = newest
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .trim_start_matches("step-");
    let step: u64 = step.parse().unwrap();
    let mut command = folder.command(&["train", "--resume", "out"]);
    let mut child = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("going on after step") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
    }
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert!(
        said.contains(&format!("the state of step {step} is left out")),
        "{said}"
    );
    assert!(
        said.contains(&format!("going on after step {}", step - 2)),
        "{said}"
    );
}

#[test]
#[cfg(unix)]
fn a_run_killed_before_it_saved_anything_starts_again_with_the_same_command() {
    let folder = Folder::with_reviews();
    let (mut child, _lines, _) = started(&folder, "200", "of 200");
    signal(&child, "-KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    assert!(
        !folder.path("out/bundle.json").exists(),
        "a killed run must not leave a folder that looks finished"
    );
    let (child, mut lines, mut stderr) = started(&folder, "200", "of 200");
    while lines.read_line(&mut stderr).unwrap() > 0 {}
    assert!(
        child.wait_with_output().unwrap().status.success(),
        "{stderr}"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
