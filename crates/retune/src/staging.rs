//! A folder in the making: hidden beside its final place, moved there in one step when it is whole. A program that
//! dies leaves nothing at the final place; its remains are removed by the next one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A folder being filled.
pub struct Staging {
    folder: PathBuf,
    target: PathBuf,
    // Held until the folder is published, so that a second run into the same place is told apart from
    // the remains of a dead one.
    lock: File,
    published: bool,
}

impl Staging {
    /// Begins a bundle that will stand at `target`.
    ///
    /// # Errors
    /// [`Error::User`] when another run is writing there; [`Error::Io`] when the place is not writable.
    pub fn create(target: &Path) -> Result<Self> {
        let folder = hidden(target);
        let io = |e| Error::io("create", &folder, e);
        fs::create_dir_all(&folder).map_err(io)?;
        let lock_path = folder.join(".lock");
        let lock = File::create(&lock_path).map_err(|e| Error::io("create", &lock_path, e))?;
        if lock.try_lock().is_err() {
            return Err(Error::User(format!(
                "another run is writing {}; wait for it or choose another --out",
                target.display()
            )));
        }
        clear(&folder).map_err(io)?;
        Ok(Self {
            folder,
            target: target.to_path_buf(),
            lock,
            published: false,
        })
    }

    /// The folder to write into.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file and waits until it is on the disk.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        let write = || -> std::io::Result<()> {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = File::create(&path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().map_err(|e| Error::io("write", &path, e))
    }

    /// Moves the folder to its place.
    pub fn publish(mut self) -> Result<()> {
        let io = |e| Error::io("create", &self.target, e);
        if self.target.is_dir() {
            // Only an empty folder can be here: the plan refused any other.
            fs::remove_dir(&self.target).map_err(io)?;
        }
        let _ = fs::remove_file(self.folder.join(".lock"));
        fs::rename(&self.folder, &self.target).map_err(io)?;
        self.published = true;
        if let Some(parent) = self.target.parent().filter(|p| !p.as_os_str().is_empty()) {
            // Not every file system lets a folder be synced; the rename itself has been done.
            let _ = File::open(parent).and_then(|f| f.sync_all());
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_dir_all(&self.folder);
        }
        let _ = self.lock.unlock();
    }
}

/// `DIR/.NAME.partial` for `DIR/NAME`.
fn hidden(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.partial"))
}

/// Removes what a dead run left, except the lock.
fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == ".lock" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn nothing_stands_at_the_target_until_published() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("run");
        let staging = Staging::create(&target).unwrap();
        staging.write("a", b"1").unwrap();
        assert!(!target.exists());
        staging.publish().unwrap();
        assert_eq!(fs::read(target.join("a")).unwrap(), b"1");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_run_leaves_nothing_and_a_dead_one_is_cleaned() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("run");
        drop(Staging::create(&target).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::create_dir(dir.path().join(".run.partial")).unwrap();
        fs::write(dir.path().join(".run.partial/model.safetensors"), b"half").unwrap();
        let staging = Staging::create(&target).unwrap();
        assert!(!staging.folder().join("model.safetensors").exists());
    }

    #[test]
    fn two_runs_cannot_write_one_bundle() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("run");
        let _first = Staging::create(&target).unwrap();
        let second = Staging::create(&target).err().unwrap();
        assert!(second.to_string().contains("another run is writing"));
    }
}
