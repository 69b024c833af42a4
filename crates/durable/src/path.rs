//! Paths in JSON, including those that are not UTF-8.

use std::path::Path;

use serde::{Serialize, Serializer};

/// A path that serialises as in [`json_path`].
#[derive(Debug, Clone, Copy)]
pub struct JsonPath<'a>(pub &'a Path);

impl Serialize for JsonPath<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json_path::serialize(self.0, serializer)
    }
}

/// Paths in JSON, for serde's `with`. A path is text, or if it is not UTF-8, serde's form of the operating
/// system's strings, on Unix `{"Unix": [bytes]}`, so that no path is lost.
pub mod json_path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(PathBuf),
        Bytes(OsString),
    }

    /// Writes the path.
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => path.as_os_str().serialize(serializer),
        }
    }

    /// Reads a path that [`serialize`] wrote.
    ///
    /// # Errors
    /// If the value has another form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Form::deserialize(deserializer)? {
            Form::Text(path) => path,
            Form::Bytes(path) => path.into(),
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn every_path_comes_back_from_json() {
        for bytes in [&b"plain/path"[..], b"line\nbreak \"quoted\"", b"latin-\xe9"] {
            let path = Path::new(OsStr::from_bytes(bytes));
            let json = serde_json::to_string(&JsonPath(path)).unwrap();
            assert_eq!(json.starts_with('"'), path.to_str().is_some(), "{json}");
            let mut reader = serde_json::Deserializer::from_str(&json);
            assert_eq!(json_path::deserialize(&mut reader).unwrap(), path);
        }
    }
}
