//! The key of a cache: a digest of everything that determines its features.
//!
//! In: the member `inputs` of a manifest as a JSON value, members that this version does not know
//! among them. Out: a key. The invariant: equal inputs have equal keys, whatever program printed them
//! and in whatever order.

use std::fmt;
use std::str::FromStr;

use durable::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Layout;

/// Members of `inputs.dataset` that do not determine the features.
const NOT_IN_THE_KEY: [&str; 2] = ["name", "path"];

/// Number of digits of the key in the name of the cache's folder.
const DIGITS: usize = 12;

/// The identity of a cache: the digest of everything that determines its features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CacheKey(Digest);

impl CacheKey {
    /// The digest of `inputs` in its canonical encoding ([`Digest::of_value`]) without `dataset.name`
    /// and `dataset.path`, neither of which changes a feature.
    pub(crate) fn of(mut inputs: Value) -> CacheKey {
        if let Some(Value::Object(dataset)) = inputs.get_mut("dataset") {
            dataset.retain(|name, _| !NOT_IN_THE_KEY.contains(&name.as_str()));
        }
        CacheKey(Digest::of_value(&inputs))
    }

    /// The digits with which the name of the cache's folder ends.
    pub(crate) fn short(self) -> String {
        self.0.prefix(DIGITS)
    }
}

/// Whether a folder's name ends as one that was given to a cache, of any layout.
pub(crate) fn is_folder_name(name: &str) -> bool {
    let name = name.strip_suffix(Layout::Csr.ending()).unwrap_or(name);
    let key = name.rsplit_once("px-").map(|(_, key)| key);
    key.is_some_and(|key| key.len() == DIGITS && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CacheKey {
    type Err = String;

    fn from_str(text: &str) -> Result<CacheKey, String> {
        text.parse().map(CacheKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys, computed by a second implementation of the encoding: none of them may ever change.
    #[test]
    fn keys_stay_as_they_are() {
        let digits = r#"{
            "dataset": {"name": "mnist", "path": "data/mnist", "digest": "d", "val_fraction": 0.5,
                        "limit": null, "seed": 0},
            "weights": {"digest": "w", "family": "caffe"}, "backbone": "vgg16",
            "cut": "features.29", "height": 96, "width": 96, "resize": "bilinear",
            "numerics": "torch", "augmentation": null, "dtype": "float32"}"#;
        let elsewhere = digits.replace("mnist", "elsewhere").replace("data/", "");
        let unknown = digits.replace("\"width\"", "\"rotation\": 8.5, \"width\"");
        for (json, key) in [
            ("{}", "8c7eff43cf3348b8203d74b08f1ffa90e8cdec66400a84e3fb7ad1441b3a1567"),
            (digits, "6b2070668878ebad8b4617c3956e93659ccaa0e95696e2964efb1e8b95eb38e2"),
            (&elsewhere, "6b2070668878ebad8b4617c3956e93659ccaa0e95696e2964efb1e8b95eb38e2"),
            (&unknown, "167870280a3a7eb616e3da2a920dc53f202ad42ec96f921de2904a3ed88bf4d6"),
            (
                r#"{"dataset": 1, "name": "n", "path": "p"}"#,
                "7ff3f8049103413d1171a348fc3f47ab68ad4ab0dadcca86307f27b1bb18c72b",
            ),
        ] {
            let inputs = serde_json::from_str(json).unwrap();
            assert_eq!(CacheKey::of(inputs).to_string(), key, "{json}");
        }
    }
}
