//! What the user may write for a model: a folder, a name in the catalogue, or `org/name[@revision]`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::HubError;
use super::catalogue::{self, CATALOGUE, CatalogueEntry};

/// A model reference, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Reference {
    /// A folder that exists.
    Folder(PathBuf),
    /// A name in the catalogue.
    Catalogue(&'static CatalogueEntry),
    /// A repository of the hub.
    Hub(HubId),
}

/// A repository of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    /// `org/name`.
    pub id: String,
    /// Branch, tag or commit; `None` for the main branch.
    pub revision: Option<String>,
}

impl HubId {
    /// Name of its folder in the cache; no two repositories share one.
    pub fn key(&self) -> String {
        let id = self.id.replace('/', "--");
        match &self.revision {
            Some(revision) => format!("{id}@{}", revision.replace('/', "--")),
            None => id,
        }
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

/// Understands a reference. A folder that exists comes first.
pub fn parse(text: &str) -> Result<Reference, HubError> {
    let path = Path::new(text);
    if path.is_dir() {
        return Ok(Reference::Folder(path.to_path_buf()));
    }
    if path.is_file() {
        return Err(refuse(text, "it is a file; give the folder that it is in"));
    }
    if looks_like_path(text) {
        return Err(refuse(text, "there is no such folder"));
    }
    if let Some(entry) = catalogue::find(text) {
        return Ok(Reference::Catalogue(entry));
    }
    let (id, revision) = match text.split_once('@') {
        Some((id, revision)) => (id, Some(revision)),
        None => (text, None),
    };
    if !id.contains('/') {
        return Err(unknown(text, id, revision));
    }
    if let Err(what) = check_id(id).and_then(|()| revision.map_or(Ok(()), check_revision)) {
        return Err(refuse(text, what));
    }
    Ok(Reference::Hub(HubId {
        id: id.to_string(),
        revision: revision.filter(|r| *r != "main").map(str::to_string),
    }))
}

fn refuse(reference: &str, what: impl Into<String>) -> HubError {
    HubError::Reference {
        reference: reference.to_string(),
        what: what.into(),
    }
}

fn looks_like_path(text: &str) -> bool {
    let drive = text.as_bytes().get(1) == Some(&b':');
    text.is_empty()
        || text.starts_with(['/', '.', '~'])
        || text.ends_with('/')
        || text.contains('\\')
        || text.split('/').any(|part| part == "..")
        || drive
}

fn unknown(text: &str, id: &str, revision: Option<&str>) -> HubError {
    if revision.is_some() && catalogue::find(id).is_some() {
        let what = format!("names in the catalogue have no revisions; write `{id}`");
        return refuse(text, what);
    }
    let names: Vec<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    HubError::UnknownName {
        name: text.to_string(),
        nearest: nearest(id, &names),
        names: names.join(", "),
    }
}

/// The name that was probably meant.
fn nearest(text: &str, names: &[&'static str]) -> Option<&'static str> {
    let text = text.to_lowercase();
    let likeness = |name: &str| {
        let part = text.len() >= 3 && (name.contains(&text) || text.contains(name));
        f64::from(u8::from(part)) + strsim::normalized_damerau_levenshtein(&text, name)
    };
    let rated = names.iter().map(|name| (likeness(name), *name));
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.5).then_some(best.1)
}

fn check_id(id: &str) -> Result<(), String> {
    let parts: Vec<&str> = id.split('/').collect();
    let [org, name] = parts[..] else {
        return Err("a model of the hub is written org/name or org/name@revision".to_string());
    };
    for part in [org, name] {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        if part.is_empty() || part.len() > 96 || !part.chars().all(plain) {
            return Err(format!(
                "`{part}` is no name on the hub, which has letters, digits, `.`, `_` and `-` only"
            ));
        }
        if part.starts_with(ends) || part.ends_with(ends) || twice(part) {
            return Err(format!(
                "`{part}` is no name on the hub: `.` and `-` stand neither first nor last nor doubled"
            ));
        }
    }
    Ok(())
}

fn check_revision(revision: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let part = |part: &str| !part.is_empty() && !part.starts_with(['.', '-']) && !twice(part);
    if revision.len() <= 128 && revision.chars().all(plain) && revision.split('/').all(part) {
        return Ok(());
    }
    Err(format!(
        "`{revision}` is no revision; write a branch, a tag or a commit after the @"
    ))
}

fn twice(text: &str) -> bool {
    text.contains("..") || text.contains("--")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn hub(text: &str) -> HubId {
        match parse(text).unwrap() {
            Reference::Hub(id) => id,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_three_forms_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().to_string_lossy().into_owned();
        assert_eq!(parse(&text).unwrap(), Reference::Folder(dir.path().into()));
        assert_eq!(
            parse("all-minilm-l6-v2").unwrap(),
            Reference::Catalogue(&CATALOGUE[0])
        );
        let plain = hub("google-bert/bert-base_uncased.v2");
        assert_eq!(plain.key(), "google-bert--bert-base_uncased.v2");
        assert_eq!(hub("a/b@main"), hub("a/b"));
        assert_eq!(hub("a/b@refs/pr/1").key(), "a--b@refs--pr--1");
    }

    #[test]
    fn ids_that_could_leave_the_cache_are_refused() {
        for text in [
            "../b", "a/../b", "a/..", "/a/b", "~/b", "./b", "a\\b", "C:/b", "C:b", "a/b/c", "a/",
            "", "a/b c", "a/b?x", "a/b%2e", "a/b#c", "a/.b", "-a/b", "a/b.", "a--b/c", "a/b\n",
            "ä/b", "a/b@", "a/b@..", "a/b@../c", "a/b@/c", "a/b@x@y", "a/b@-x",
        ] {
            assert!(error(text).contains("is no model reference"), "{text}");
        }
        assert!(error(&format!("a/{}", "b".repeat(97))).contains("letters"));
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let text = error("all-minilm-l6-v1");
        assert!(text.contains("did you mean `all-minilm-l6-v2`"), "{text}");
        assert!(text.contains("org/name"), "{text}");
        assert!(error("MiniLM").contains("did you mean"));
        assert!(!error("resnet50").contains("did you mean"));
        assert!(error("all-minilm-l6-v2@main").contains("no revisions"));
    }

    #[test]
    fn a_file_is_not_a_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = file.path().to_string_lossy().into_owned();
        assert!(error(&text).contains("give the folder"));
    }
}
