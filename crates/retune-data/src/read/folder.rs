//! A folder with one sub-folder of text files or pictures per class: columns `text` or `image`, and `label`.

use std::path::{Path, PathBuf};

use super::decode::load;
use super::{ReadOptions, not_found, wrong};
use crate::error::Result;
use crate::picture::{Picture, is_name};
use crate::table::{Column, RowOrigin, Table, Values, list_names};

/// Sub-folder names that are splits, not classes.
const SPLITS: [&str; 6] = ["train", "test", "valid", "validation", "dev", "val"];

/// Reads every file of every class folder, in order of name. Each file is one row: pictures where there are any,
/// texts elsewhere.
pub(super) fn read(path: &Path, o: &ReadOptions) -> Result<Table> {
    let (classes, files) = entries(path)?;
    let names: Vec<String> = classes.iter().map(|p| name(p)).collect();
    check(path, &names, &files)?;
    let mut notes = Vec::new();
    if let Some(pictures) = pictures(&classes, &mut notes)? {
        return Ok(pictures);
    }
    let mut table = Table::default();
    let (mut texts, mut labels) = (Vec::new(), Vec::new());
    for (class, label) in classes.iter().zip(&names) {
        let chosen = texts_of(class, &mut notes)?;
        if chosen.is_empty() {
            notes.push(format!(
                "{}: no text files, class left out",
                class.display()
            ));
        }
        for file in chosen {
            let decoded = load(&file, o)?;
            texts.push((!decoded.text.is_empty()).then_some(decoded.text));
            labels.push(Some(label.clone()));
            table.origin.push(RowOrigin {
                file: table.files.len() as u32,
                line: 1,
            });
            table.files.push(file);
        }
    }
    if texts.is_empty() {
        return Err(wrong(
            path,
            "its class folders hold neither pictures nor text files",
            EXAMPLE,
        ));
    }
    table.columns = vec![
        Column {
            name: "text".to_string(),
            values: Values::Text(texts),
        },
        Column {
            name: "label".to_string(),
            values: Values::Text(labels),
        },
    ];
    table.notes = notes;
    Ok(table)
}

const EXAMPLE: &str = "make one folder of .txt files or pictures per class, such as data/pos/1.txt and data/neg/1.txt";

/// The pictures of every class; `None` where no class has one.
fn pictures(classes: &[PathBuf], notes: &mut Vec<String>) -> Result<Option<Table>> {
    let mut table = Table::default();
    let (mut pictures, mut labels) = (Vec::new(), Vec::new());
    let mut empty = Vec::new();
    for class in classes {
        let (folders, files) = entries(class)?;
        let all = files.len();
        let chosen: Vec<PathBuf> = files.into_iter().filter(|p| is_name(&name(p))).collect();
        for (count, what) in [
            (folders.len(), "folders inside a class"),
            (
                all - chosen.len(),
                "files that are not called as pictures are",
            ),
        ] {
            if count > 0 {
                notes.push(format!("{}: {count} {what} were not read", class.display()));
            }
        }
        if chosen.is_empty() {
            empty.push(format!("{}: no pictures, class left out", class.display()));
        }
        for file in chosen {
            pictures.push(Some(Picture::File(file.clone())));
            labels.push(Some(name(class)));
            table.origin.push(RowOrigin {
                file: table.files.len() as u32,
                line: 1,
            });
            table.files.push(file);
        }
    }
    if pictures.is_empty() {
        notes.clear();
        return Ok(None);
    }
    notes.extend(empty);
    table.columns = vec![
        Column {
            name: "image".to_string(),
            values: Values::Picture(pictures),
        },
        Column {
            name: "label".to_string(),
            values: Values::Text(labels),
        },
    ];
    table.notes = std::mem::take(notes);
    Ok(Some(table))
}

/// Refuses folders of splits, and folders without classes.
fn check(path: &Path, classes: &[String], files: &[PathBuf]) -> Result<()> {
    let is_split = |n: &&String| SPLITS.contains(&n.to_lowercase().as_str());
    if let Some(split) = classes.iter().find(is_split) {
        let problem = format!("its folder `{split}` is a split, not a class");
        let cure = format!(
            "name each: --data {0}/{split} --test {0}/FOLDER",
            path.display()
        );
        return Err(wrong(path, problem, cure));
    }
    if !classes.is_empty() {
        return Ok(());
    }
    let found: Vec<String> = files.iter().map(|p| name(p)).collect();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let problem = if found.is_empty() {
        "the folder is empty".to_string()
    } else {
        format!(
            "the folder has no sub-folders of classes, only {}",
            list_names(&found)
        )
    };
    Err(wrong(path, problem, format!("name one file, or {EXAMPLE}")))
}

/// The text files of a class: those called `.txt` where there are any, else all.
fn texts_of(class: &Path, notes: &mut Vec<String>) -> Result<Vec<PathBuf>> {
    let (folders, mut files) = entries(class)?;
    if !folders.is_empty() {
        notes.push(format!(
            "{}: {} folders inside a class were not read",
            class.display(),
            folders.len()
        ));
    }
    let is_text = |p: &PathBuf| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"));
    if files.iter().any(is_text) {
        let all = files.len();
        files.retain(is_text);
        if files.len() < all {
            notes.push(format!(
                "{}: {} files that are not .txt were not read",
                class.display(),
                all - files.len()
            ));
        }
    }
    Ok(files)
}

/// Folders and files in `path`, sorted by name, hidden ones left out.
fn entries(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| not_found(path, e))? {
        let entry = entry.map_err(|e| not_found(path, e))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all.into_iter().partition(|p| p.is_dir()))
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        dir
    }

    #[test]
    fn class_folders_become_labels() {
        let dir = tree(&[
            ("pos/b.txt", b"good\nfilm"),
            ("pos/a.txt", b"nice"),
            ("neg/1.txt", b"bad"),
            ("neg/1.json", b"{}"),
            (".hidden/x.txt", b"no"),
        ]);
        let t = super::super::read(dir.path(), &ReadOptions::default()).unwrap();
        let cell = |c: usize, r: usize| t.columns[c].text(r).unwrap().into_owned();
        assert_eq!(
            (0..3).map(|r| cell(1, r)).collect::<Vec<_>>(),
            ["neg", "pos", "pos"]
        );
        assert_eq!(cell(0, 2), "good\nfilm");
        assert!(t.place(1).ends_with("a.txt, line 1"));
        assert!(t.notes[0].contains("1 files that are not .txt"));
    }

    #[test]
    fn class_folders_of_pictures_become_pictures() {
        let dir = tree(&[
            ("cat/b.JPG", b"x".as_slice()),
            ("cat/notes.txt", b"x"),
            ("dog/1.png", b"x"),
            ("none/1.txt", b"x"),
        ]);
        let t = super::super::read(dir.path(), &ReadOptions::default()).unwrap();
        assert_eq!(t.rows(), 2);
        assert!(t.columns[0].text(0).unwrap().ends_with("b.JPG"));
        assert_eq!(t.columns[1].text(1).unwrap(), "dog");
        let notes = t.notes.join("; ");
        assert!(
            notes.contains("1 files that are not called as pictures"),
            "{notes}"
        );
        assert!(
            notes.contains("none: no pictures, class left out"),
            "{notes}"
        );
    }

    #[test]
    fn folders_that_are_not_classes_are_explained() {
        let error = |files: &[(&str, &[u8])]| {
            read(tree(files).path(), &ReadOptions::default())
                .unwrap_err()
                .to_string()
        };
        assert!(error(&[]).contains("the folder is empty"));
        assert!(error(&[("a.csv", b"x".as_slice())]).contains("only `a.csv`"));
        let split = error(&[
            ("train/pos/1.txt", b"x".as_slice()),
            ("test/pos/1.txt", b"y"),
        ]);
        assert!(
            split.contains("is a split") && split.contains("--test"),
            "{split}"
        );
        assert!(
            error(&[
                ("pos/1.txt", b"\xff\xfe\xfa\xff".as_slice()),
                ("neg/1.txt", b"caf\xe9")
            ])
            .contains("1.txt")
        );
    }
}
