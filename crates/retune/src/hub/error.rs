//! Why a model could not be had.

use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;

/// Why a model could not be had; the text says what to type next.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The reference is neither a folder, nor a name in the catalogue, nor a hub id.
    #[error("`{reference}` is no model reference: {what}")]
    Reference {
        /// As given.
        reference: String,
        /// What is wrong and what is expected.
        what: String,
    },
    /// The catalogue has no such name.
    #[error(
        "there is no model `{name}` in the catalogue{}, which has: {names}; a model of the hub is written org/name, a folder ./name",
        .nearest.map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default()
    )]
    UnknownName {
        /// As given.
        name: String,
        /// The most similar name.
        nearest: Option<&'static str>,
        /// All names.
        names: String,
    },
    /// Nothing may be fetched, and the model is not on this machine.
    #[error(
        "`{reference}` is not on this machine and nothing may be fetched (offline); unset HF_HUB_OFFLINE, or give a folder"
    )]
    Offline {
        /// As given.
        reference: String,
    },
    /// An option is not usable.
    #[error("{name} {what}")]
    Option {
        /// Name of the environment variable.
        name: &'static str,
        /// What is wrong and what is expected.
        what: String,
    },
    /// No answer from the hub.
    #[error(
        "{host} does not answer ({what}); check the network, set HF_ENDPOINT to a mirror, or give a folder"
    )]
    Unreachable {
        /// Host and port asked.
        host: String,
        /// The reason.
        what: String,
    },
    /// The hub does not show the model.
    #[error(
        "the hub does not show `{id}` (status {status}): it does not exist, or is private, or its terms must be accepted first; check the name, accept the terms on its page and set HF_TOKEN"
    )]
    Denied {
        /// The hub id.
        id: String,
        /// HTTP status.
        status: u16,
    },
    /// The hub answers something unexpected.
    #[error("the hub answers with status {status} for {file}; try again later")]
    Status {
        /// The file asked for.
        file: String,
        /// HTTP status.
        status: u16,
    },
    /// The hub's answer makes no sense.
    #[error("cannot fetch {file}: {what}")]
    Answer {
        /// The file asked for.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// A download broke off.
    #[error(
        "the download of {file} broke off after {have} bytes ({what}); repeat the command to go on from there"
    )]
    Interrupted {
        /// The file.
        file: String,
        /// Bytes on disk.
        have: u64,
        /// The reason.
        what: String,
    },
    /// A file is not the one that was expected.
    #[error(
        "{file} has SHA-256 {found}, but {expected} is expected: it is damaged or has been replaced; it was not used"
    )]
    Hash {
        /// The file.
        file: String,
        /// Hash that it should have.
        expected: String,
        /// Hash that it has.
        found: String,
    },
    /// The hub's repository is not a model that can be read.
    #[error("`{id}` on the hub has no {file}: it is no model that retune can read; choose another")]
    NoFile {
        /// The hub id, with revision.
        id: String,
        /// What was looked for.
        file: String,
    },
    /// `pip` failed.
    #[error("`{command}` failed: {what}")]
    Pip {
        /// The command as run.
        command: String,
        /// Its last words, or what to do.
        what: String,
    },
    /// An archive does not hold what it should.
    #[error("{archive} cannot be used: {what}; it was left alone")]
    Archive {
        /// Name of the archive.
        archive: String,
        /// What is wrong.
        what: String,
    },
    /// Every source of a catalogue entry failed.
    #[error("cannot fetch `{name}`.\n  from the hub: {hub}\n  as package {package}: {pip}")]
    Sources {
        /// Name in the catalogue.
        name: &'static str,
        /// Why the hub did not serve.
        hub: Box<HubError>,
        /// Name and version of the package.
        package: String,
        /// Why the package did not serve.
        pip: Box<HubError>,
    },
    /// A hub id failed that the catalogue has too.
    #[error(
        "{source}. The catalogue has this model as `{name}`, which can also be had as a Python package"
    )]
    InCatalogue {
        /// Name in the catalogue.
        name: &'static str,
        /// Why the hub did not serve.
        source: Box<HubError>,
    },
    /// The weights of a folder.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file could not be read or written.
    #[error("cannot {what} {path}: {source}{}", cure(.what))]
    Io {
        /// `read`, `write`, `create`, `lock` or `move`.
        what: &'static str,
        /// The file.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl HubError {
    /// Why the hub does not serve, without the cure: where there is another source, none is needed.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Unreachable { host, what } => format!("{host} does not answer ({what})"),
            Self::Denied { id, status } => format!("the hub does not show {id} (status {status})"),
            Self::Status { status, .. } => format!("the hub answers with status {status}"),
            Self::NoFile { id, file } => format!("{id} on the hub has no {file}"),
            Self::Hash { file, .. } => format!("{file} on the hub is not the catalogue's"),
            Self::Interrupted { file, .. } => format!("the download of {file} broke off"),
            other => other.to_string(),
        }
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path: PathBuf = path.to_path_buf();
        move |source| Self::Io {
            what,
            path: path.display().to_string(),
            source,
        }
    }
}

fn cure(what: &str) -> &'static str {
    match what {
        "read" => "",
        _ => "; set RETUNE_HOME to a folder that can be written and has room",
    }
}
