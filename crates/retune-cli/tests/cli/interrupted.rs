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

#[test]
#[cfg(unix)]
fn a_killed_run_starts_again_with_the_same_command() {
    let folder = Folder::with_reviews();
    let (mut child, _lines, _) = started(&folder, "200", "of 200");
    signal(&child, "-KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    assert!(
        !folder.path("out").exists(),
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
        .filter(|name| name.contains("partial"))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
