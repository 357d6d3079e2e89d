//! What can go wrong, and what a program should exit with.

use std::fmt;
use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::families::{BuildError, ConfigError};
use crate::hub::HubError;
use crate::train::Diverged;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user can mend it; the text says how.
    #[error("{0}")]
    User(String),
    /// Everything that is wrong with a recipe, at once.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// The user's data.
    #[error(transparent)]
    Data(#[from] retune_data::DataError),
    /// The model could not be fetched.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The checkpoint does not fit the model.
    #[error("cannot build the model from {folder}: {source}", folder = .folder.display())]
    Build {
        /// Folder of the checkpoint.
        folder: PathBuf,
        /// What is wrong.
        source: BuildError,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {path}: {source}{}", cure(source), path = .path.display())]
    Io {
        /// `read`, `write` or `create`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A saved file is not what it should be.
    #[error("{path} is damaged: {what}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// The loss or a gradient is not finite.
    #[error(
        "training diverged at step {}: {} no longer finite; try a lower learning rate (--lr {:e})",
        .0.step,
        .0.tensor.as_ref().map_or("the loss is".to_string(), |t| format!("the gradient of `{t}` is")),
        .0.lr / 10.0
    )]
    Diverged(Box<Diverged>),
    /// A bug in retune.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl Error {
    /// 2 for what the user can mend, 3 for a bug.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Internal(_) => 3,
            _ => 2,
        }
    }

    /// An [`Error::Io`].
    pub fn io(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            what,
            path: path.into(),
            source,
        }
    }
}

impl From<CheckpointError> for Error {
    fn from(error: CheckpointError) -> Self {
        Self::User(error.to_string())
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::User(error.to_string())
    }
}

/// One thing that is wrong with a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Key in the recipe, such as `train.lr`.
    pub key: String,
    /// What is wrong, what was expected and what to type next.
    pub text: String,
}

impl Problem {
    /// A problem with `key`.
    pub fn new(key: &str, text: impl Into<String>) -> Self {
        Self {
            key: key.to_string(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

fn cure(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "; free some space or choose another folder with --out; nothing was left half-written"
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            "; choose another folder with --out"
        }
        _ => "",
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
