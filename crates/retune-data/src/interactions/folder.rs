//! Which files of a folder are the interactions and the catalogue, by the names that such folders have: `x.inter` and
//! `x.item` (RecBole), `ratings.*` and `movies.*` (MovieLens), `interactions.*` and `items.*`.

use std::path::{Path, PathBuf};

use crate::error::{DataError, Result};

/// Names of files of interactions, without their extensions.
const EVENTS: &[&str] = &[
    "interactions",
    "events",
    "ratings",
    "reviews",
    "transactions",
];
/// Names of files of items.
const ITEMS: &[&str] = &[
    "items",
    "movies",
    "products",
    "articles",
    "books",
    "catalogue",
    "catalog",
    "metadata",
];
/// Extensions of files that can be read, the more telling first.
const EXTENSIONS: &[&str] = &[
    "parquet", "csv", "tsv", "jsonl", "ndjson", "json", "dat", "txt",
];

/// Files that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The interactions.
    pub interactions: PathBuf,
    /// The items, if there is such a file.
    pub items: Option<PathBuf>,
}

/// The files that a path stands for: of a folder the interactions and the items in it; of a file itself, and the items
/// beside it.
///
/// # Errors
/// A folder that cannot be read, or with no file or several files that could be the interactions.
pub fn find(path: &Path) -> Result<Files> {
    let folder = if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(Path::new(""))
    };
    let listed = list(if folder == Path::new("") {
        Path::new(".")
    } else {
        folder
    });
    if !path.is_dir() {
        // Beside a file of any other name nothing is guessed.
        let listed = listed.unwrap_or_default();
        let named = is_atomic(path, "inter") || EVENTS.contains(&&*stem(path));
        let items = named.then(|| items_for(path, &listed)).flatten();
        return Ok(Files {
            interactions: path.to_path_buf(),
            items: items.map(|name| folder.join(name)),
        });
    }
    let listed = listed?;
    let mut found: Vec<&PathBuf> = listed.iter().filter(|p| is_atomic(p, "inter")).collect();
    if found.is_empty() {
        found = best(&listed, EVENTS).into_iter().collect();
    }
    match found[..] {
        [one] => Ok(Files {
            interactions: folder.join(one),
            items: items_for(one, &listed).map(|name| folder.join(name)),
        }),
        [] => Err(DataError::File {
            file: folder.display().to_string(),
            problem: format!(
                "no file in this folder is named like one of interactions (NAME.inter, ratings.dat, interactions.csv); it holds {}",
                some(listed.iter())
            ),
            cure: "name the file itself".to_string(),
        }),
        _ => Err(DataError::File {
            file: folder.display().to_string(),
            problem: format!(
                "this folder holds several files of interactions: {}",
                some(found.into_iter())
            ),
            cure: "name the file itself".to_string(),
        }),
    }
}

/// The names of the files of a folder, sorted.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|source| DataError::Io {
        file: folder.display().to_string(),
        source,
        cure: "check the path".to_string(),
    })?;
    let files = entries.filter_map(|e| e.ok().filter(|e| e.path().is_file()));
    let mut names: Vec<PathBuf> = files.map(|e| PathBuf::from(e.file_name())).collect();
    names.sort();
    Ok(names)
}

/// The items that belong to a file of interactions.
fn items_for<'a>(interactions: &Path, listed: &'a [PathBuf]) -> Option<&'a PathBuf> {
    let atomic = |p: &&PathBuf| is_atomic(p, "item") && p.file_stem() == interactions.file_stem();
    let found = listed.iter().find(atomic);
    found.or_else(|| best(listed, ITEMS))
}

/// The file with the most telling name, and of these with the most telling extension.
fn best<'a>(listed: &'a [PathBuf], names: &[&str]) -> Option<&'a PathBuf> {
    let rank = |p: &&PathBuf| {
        let name = names.iter().position(|n| *n == stem(p))?;
        let extension = p.extension()?.to_string_lossy().to_lowercase();
        Some((name, EXTENSIONS.iter().position(|e| *e == extension)?))
    };
    let ranked = listed.iter().filter(|p| rank(p).is_some());
    ranked.min_by_key(rank)
}

fn is_atomic(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().to_lowercase()
}

fn some<'a>(files: impl Iterator<Item = &'a PathBuf>) -> String {
    const SHOWN: usize = 8;
    let all: Vec<String> = files.map(|p| format!("`{}`", p.display())).collect();
    match all.len() {
        0 => "no file".to_string(),
        n if n > SHOWN => format!("{} and {} more", all[..SHOWN].join(", "), n - SHOWN),
        _ => all.join(", "),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        dir
    }

    /// The names of what is found for a folder, or for a file in it.
    fn found(names: &[&str], file: &str) -> (String, Option<String>) {
        let dir = folder(names);
        let files = find(&dir.path().join(file)).unwrap();
        let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
        (name(&files.interactions), files.items.as_ref().map(name))
    }

    #[test]
    fn usual_folders_are_known() {
        for (names, events, items) in [
            (
                &["ml.inter", "ml.item", "ml.user", "README"][..],
                "ml.inter",
                Some("ml.item"),
            ),
            (
                &["ratings.dat", "movies.dat", "users.dat"],
                "ratings.dat",
                Some("movies.dat"),
            ),
            (
                &["Interactions.csv", "items.jsonl", "items.parquet"],
                "Interactions.csv",
                Some("items.parquet"),
            ),
            (&["events.parquet", "notes.txt"], "events.parquet", None),
        ] {
            let want = (events.to_string(), items.map(String::from));
            assert_eq!(found(names, ""), want);
            assert_eq!(found(names, events), want);
        }
        // Of another name only the file itself is meant.
        assert_eq!(
            found(&["log.csv", "items.csv"], "log.csv"),
            ("log.csv".into(), None)
        );
    }

    #[test]
    fn unclear_folders_are_refused_with_what_they_hold() {
        let none = find(folder(&["a.csv", "b.md"]).path())
            .unwrap_err()
            .to_string();
        assert!(
            none.contains("NAME.inter") && none.contains("`a.csv`, `b.md`"),
            "{none}"
        );
        let two = find(folder(&["a.inter", "b.inter"]).path())
            .unwrap_err()
            .to_string();
        assert!(
            two.contains("several") && two.contains("`a.inter`, `b.inter`"),
            "{two}"
        );
        assert!(
            find(folder(&[]).path())
                .unwrap_err()
                .to_string()
                .contains("no file")
        );
    }
}
