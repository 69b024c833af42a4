//! The file forms that weights are imported from.
//!
//! A form is one file in this folder that implements [`TensorSource`], and a line in [`FORMS`].

use std::path::Path;

use bytes::Bytes;

use super::source::{TensorSource, map};
use super::{onnx, safetensors};
use crate::Error;

/// A form of file.
struct Form {
    /// The ending of its files' names, in lower case and without the full stop.
    ending: &'static str,
    /// Opens the file at a path from its bytes.
    open: fn(&Path, Bytes) -> Opened,
}

/// An opened file.
type Opened = Result<Box<dyn TensorSource>, Error>;

/// All forms.
const FORMS: [Form; 2] = [
    Form { ending: "onnx", open: |path, bytes| Ok(Box::new(onnx::OnnxFile::open(path, bytes)?)) },
    Form {
        ending: "safetensors",
        open: |path, bytes| Ok(Box::new(safetensors::SafetensorsFile::open(path, bytes)?)),
    },
];

/// Opens a file in the form that matches the ending of its name.
///
/// # Errors
/// If it is missing or damaged, or the ending matches no form.
pub(super) fn open(path: &Path) -> Opened {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    let form = FORMS.iter().find(|form| ending.as_deref() == Some(form.ending));
    let Some(form) = form else {
        let endings = FORMS.each_ref().map(|form| format!(".{}", form.ending)).join(" or ");
        return Err(Error::UnknownForm { path: path.to_path_buf(), endings });
    };
    (form.open)(path, map(path)?)
}
