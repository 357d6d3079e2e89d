//! The real binary in fresh folders: what users type, what they get back, and what goes wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_data;
mod bad_model;
mod bad_request;
mod compared;
mod decided;
mod embedded;
mod forecast;
mod going_on;
mod hostile_pictures;
mod interrupted;
mod pictures;
mod recommended;
mod results;
mod search;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A fresh working folder with an empty model cache and no network.
struct Folder(TempDir);

/// What a command left behind.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A folder that holds `data.csv`, 60 labelled reviews.
    fn with_reviews() -> Self {
        let folder = Self::new();
        folder.write("data.csv", reviews(60));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_retune"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("RETUNE_HOME", self.path("home"))
            .env("HF_HOME", self.path("hf-home"))
            .env("HF_HUB_OFFLINE", "1")
            .stdin(Stdio::null());
        command
    }

    fn retune(&self, arguments: &[&str]) -> Outcome {
        Outcome::from(self.command(arguments).output().unwrap())
    }

    /// `retune train` on the tiny model for a few steps.
    fn train(&self, arguments: &[&str]) -> Outcome {
        self.retune(&[&["train", "--max-steps", "4"], TINY_FLAGS, arguments].concat())
    }

    /// `retune plan` for the tiny model.
    fn plan(&self, arguments: &[&str]) -> Outcome {
        self.retune(&[&["plan"], TINY_FLAGS, arguments].concat())
    }

    /// A saved model in `out`.
    fn with_bundle() -> Self {
        let folder = Self::with_reviews();
        folder.train(&["data.csv", "--out", "out"]).succeeds();
        folder
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Outcome {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{stdout}\nstderr:\n{stderr}"
        );
        self
    }

    #[track_caller]
    fn succeeds(self) -> Self {
        self.exits(0)
    }

    /// Ends with exit code 2 and an error that holds every one of the phrases; stdout stays empty.
    #[track_caller]
    fn refuses(self, phrases: &[&str]) -> Self {
        let outcome = self.exits(2).says(phrases);
        assert!(outcome.stderr.contains("error: "), "{}", outcome.stderr);
        assert!(
            !outcome.stderr.contains("bug in retune"),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.stdout, "");
        outcome
    }

    /// stderr holds every one of the phrases, in any case.
    #[track_caller]
    fn says(self, phrases: &[&str]) -> Self {
        let said = self.stderr.to_lowercase();
        for phrase in phrases {
            assert!(
                said.contains(&phrase.to_lowercase()),
                "no `{phrase}` in:\n{}",
                self.stderr
            );
        }
        self
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}:\n{}", self.stdout))
    }
}

/// Flags of the tiny model.
const TINY_FLAGS: &[&str] = &[
    "--model",
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/bert-tiny"),
    "--batch-size",
    "8",
];

/// The tiny model of the golden tests.
fn tiny() -> &'static Path {
    Path::new(TINY_FLAGS[1])
}

/// `text,label` rows, half of them positive, no two alike.
fn reviews(rows: usize) -> String {
    table("text,label", rows, |row| {
        if row % 2 == 0 {
            format!("a good movie with great acting {row},positive")
        } else {
            format!("a bad film and an awful plot {row},negative")
        }
    })
}

/// A header and so many lines.
fn table(header: &str, rows: usize, line: impl Fn(usize) -> String) -> String {
    let lines: Vec<String> = std::iter::once(header.to_owned())
        .chain((0..rows).map(line))
        .collect();
    lines.join("\n") + "\n"
}
