//! Where caches lie and what may be fetched: the variables that Python's libraries read.
//!
//! | variable | meaning |
//! |---|---|
//! | `HF_HUB_CACHE` | the hub's cache; default `$HF_HOME/hub` |
//! | `HF_HOME` | default `$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface` |
//! | `HF_ENDPOINT` | address of the hub or of a mirror |
//! | `HF_TOKEN` | for gated repositories; else the file `HF_TOKEN_PATH`, default `$HF_HOME/token` |
//! | `HF_HUB_OFFLINE` | `1`: nothing is fetched |
//! | `TORCH_HOME` | default `$XDG_CACHE_HOME/torch`, else `~/.cache/torch`; weights lie in `hub/checkpoints` below it |
//! | `REPGHOST_TORCH_ENDPOINT` | a mirror of torchvision's files |
//! | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` | proxies |
//! | `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` | PEM file of certificates to trust in place of the built-in list |

use std::path::{Path, PathBuf};

/// The hub's address, unless `HF_ENDPOINT` names another.
const HUB: &str = "https://huggingface.co";
/// Address of torchvision's files, unless `REPGHOST_TORCH_ENDPOINT` names another.
const TORCH: &str = "https://download.pytorch.org/models";
/// The variable that forbids to fetch.
pub(crate) const OFFLINE: &str = "HF_HUB_OFFLINE";

/// Caches, addresses, permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The hub's cache: folders `models--ORG--NAME`.
    pub hub_cache: PathBuf,
    /// `torch.hub`'s folder of weight files.
    pub torch_checkpoints: PathBuf,
    /// Address of the hub, without a slash at its end.
    pub endpoint: String,
    /// Address of torchvision's files, without a slash at its end.
    pub torch_endpoint: String,
    /// Nothing is fetched.
    pub offline: bool,
    /// Sent to the hub, and to no other server.
    pub token: Option<String>,
    /// PEM file of trusted certificates in place of the built-in list.
    pub certificates: Option<PathBuf>,
}

impl Environment {
    /// From the variables of this process.
    pub fn from_variables() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// From the variables that `lookup` gives. Empty ones count as not set.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| lookup(name).map(|v| v.trim().to_string()).filter(|v| !v.is_empty());
        let home = set("HOME").or_else(|| set("USERPROFILE")).map_or_else(|| PathBuf::from("."), PathBuf::from);
        let folder = |name: &str| set(name).map(|text| expand(&text, &home));
        let cache = folder("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
        let hub_home = folder("HF_HOME").unwrap_or_else(|| cache.join("huggingface"));
        let torch_home = folder("TORCH_HOME").unwrap_or_else(|| cache.join("torch"));
        let address = |name: &str, default: &str| set(name).unwrap_or_else(|| default.into()).trim_end_matches('/').to_string();
        let token_file = folder("HF_TOKEN_PATH").unwrap_or_else(|| hub_home.join("token"));
        let stored = || std::fs::read_to_string(token_file).ok().map(|t| t.trim().to_string()).filter(|t| !t.is_empty());
        Self {
            hub_cache: folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| hub_home.join("hub")),
            torch_checkpoints: torch_home.join("hub").join("checkpoints"),
            endpoint: address("HF_ENDPOINT", HUB),
            torch_endpoint: address("REPGHOST_TORCH_ENDPOINT", TORCH),
            offline: set(OFFLINE).or_else(|| set("TRANSFORMERS_OFFLINE")).is_some_and(|v| is_true(&v)),
            token: set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(stored),
            certificates: folder("SSL_CERT_FILE").or_else(|| folder("REQUESTS_CA_BUNDLE")).filter(|file| file.is_file()),
        }
    }
}

/// What Python's hub takes for true.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}

/// A leading `~` is the home folder.
fn expand(text: &str, home: &Path) -> PathBuf {
    match text.strip_prefix('~') {
        Some("") => home.to_path_buf(),
        Some(rest) if rest.starts_with(['/', '\\']) => home.join(&rest[1..]),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Environment {
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
        Environment::from_lookup(lookup)
    }

    /// The defaults of `huggingface_hub/constants.py` and `torch/hub.py`.
    #[test]
    fn defaults_are_pythons() {
        let e = of(&[("HOME", "/h")]);
        assert_eq!(e.hub_cache, Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(e.torch_checkpoints, Path::new("/h/.cache/torch/hub/checkpoints"));
        assert!(e.endpoint.starts_with("https://") && !e.offline && e.token.is_none());
    }

    #[test]
    fn variables_take_precedence_in_pythons_order() {
        let e = of(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]);
        assert_eq!([e.hub_cache, e.torch_checkpoints], ["/x/huggingface/hub", "/x/torch/hub/checkpoints"].map(PathBuf::from));
        let e = of(&[("HOME", "/h"), ("HF_HOME", "~/f"), ("TORCH_HOME", "/t"), ("HF_ENDPOINT", "http://mirror/")]);
        assert_eq!([e.hub_cache, e.torch_checkpoints], ["/h/f/hub", "/t/hub/checkpoints"].map(PathBuf::from));
        assert_eq!(e.endpoint, "http://mirror");
        let e = of(&[("HOME", "/h"), ("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c"), ("HF_HUB_OFFLINE", "YES"), ("HF_TOKEN", "t\n")]);
        assert_eq!((e.hub_cache, e.offline, e.token.as_deref()), (PathBuf::from("/c"), true, Some("t")));
        assert!(!of(&[("HF_HUB_OFFLINE", "0")]).offline && !of(&[("HF_HUB_OFFLINE", "")]).offline);
    }
}
