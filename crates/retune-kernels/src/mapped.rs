//! Files seen as bytes without reading them into memory first.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

/// A file mapped read-only into memory; dereferences to its bytes.
///
/// Pages are read when they are touched, so that opening a file of any size costs nothing. The length is
/// the one the file had when it was opened.
#[derive(Debug)]
pub struct MappedFile {
    bytes: Mmap,
}

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// Whoever changes the file in place afterwards changes these bytes too, and whoever cuts it short
    /// ends the process at the next touch of a lost page: files that are mapped must only be replaced by
    /// renaming another over them.
    ///
    /// # Errors
    /// The system's answer when the file cannot be opened or mapped, or is a folder.
    #[expect(
        unsafe_code,
        reason = "the system cannot promise that a mapped file stays as it is"
    )]
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
        }
        // SAFETY: the mapping is read-only and private, and lives as long as this value. What remains is
        // that another process may write to the file or cut it short: every writer of this project
        // replaces files by renaming, readers check values after reading them, and no code relies on two
        // reads of a byte giving the same answer.
        let bytes = unsafe { MmapOptions::new().map_copy_read_only(&file)? };
        Ok(Self { bytes })
    }

    /// Gives the pages that hold these bytes back to the system; they are read again when they are touched again.
    ///
    /// # Panics
    /// When the range ends beyond the file.
    #[cfg_attr(
        unix,
        expect(
            unsafe_code,
            reason = "pages of a private mapping could hold what was written to them"
        )
    )]
    pub fn let_go(&self, range: Range<usize>) {
        assert!(range.end <= self.len(), "{range:?} of {} bytes", self.len());
        #[cfg(unix)]
        {
            // SAFETY: nothing can be written to the mapping, so that its pages hold what the file holds. Whether the
            // system follows the advice changes no byte.
            let _ = unsafe {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                self.bytes
                    .unchecked_advise_range(advice, range.start, range.len())
            };
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::path::PathBuf;

    use super::*;

    fn scratch(name: &str, content: &[u8]) -> PathBuf {
        let name = format!("retune-mapped-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn shows_the_bytes_of_the_file() {
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let path = scratch("bytes", &content);
        let mapped = MappedFile::open(&path).unwrap();
        assert_eq!(mapped.len(), content.len());
        assert_eq!(&mapped[..], &content[..]);
        std::fs::remove_file(&path).unwrap();
        // The mapping outlives the name.
        assert_eq!(mapped[99_999], content[99_999]);
    }

    #[test]
    fn pages_that_were_let_go_are_read_again() {
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let path = scratch("again", &content);
        let mapped = MappedFile::open(&path).unwrap();
        for _ in 0..2 {
            assert_eq!(&mapped[..], &content[..]);
            mapped.let_go(50_000..60_000);
            mapped.let_go(0..mapped.len());
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_empty_file_has_no_bytes() {
        let path = scratch("empty", b"");
        let mapped = MappedFile::open(&path).unwrap();
        assert!(mapped.is_empty());
        mapped.let_go(0..0);
        assert_eq!(&mapped[..], b"");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn neither_a_missing_file_nor_a_folder_can_be_mapped() {
        let missing = std::env::temp_dir().join("retune-mapped-no-such-file");
        let error = MappedFile::open(&missing).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(MappedFile::open(&std::env::temp_dir()).is_err());
    }
}
