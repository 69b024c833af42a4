//! The file forms that weights are imported from.
//!
//! A form is one file in this folder that implements [`TensorSource`], and a line in [`FORMS`]. A file's
//! first bytes decide its form, whatever its name; forms without a mark at the start go by the name.

use std::path::Path;

use bytes::Bytes;

use super::source::{TensorSource, map};
use super::{keras, npz, onnx, pytorch, safetensors};
use crate::Error;

/// A form of file.
#[derive(Debug)]
pub struct Form {
    /// The program or library whose form it is.
    pub name: &'static str,
    /// The endings of its files' names, in lower case and without the full stop.
    pub endings: &'static [&'static str],
    /// The files of this form that are read, for people.
    pub description: &'static str,
    /// Whether a file begins like one of this form.
    recognises: fn(&Bytes) -> bool,
    /// Opens the file at a path from its bytes.
    open: fn(&Path, Bytes) -> Opened,
}

/// An opened file.
type Opened = Result<Box<dyn TensorSource>, Error>;

/// All forms.
pub const FORMS: [Form; 5] = [
    Form {
        name: "safetensors",
        endings: &["safetensors"],
        description: "torchvision's or timm's names, or their numbers, after any prefix",
        recognises: safetensors::recognises,
        open: |path, bytes| Ok(Box::new(safetensors::SafetensorsFile::open(path, bytes)?)),
    },
    Form {
        name: "PyTorch",
        endings: &["pth", "pt", "bin", "ckpt"],
        description: "a state_dict, alone or in a checkpoint, or a whole module, in the zip form or the one \
                      before PyTorch 1.6; names as above. Nothing in it is executed",
        recognises: pytorch::recognises,
        open: |path, bytes| Ok(Box::new(pytorch::PytorchFile::open(path, &bytes)?)),
    },
    Form {
        name: "Keras",
        endings: &["h5", "hdf5", "keras"],
        description: "the names of keras.applications, as Keras 1, 2 or 3 wrote them, or Keras 3's numbers; \
                      kernels in TensorFlow's order",
        recognises: keras::recognises,
        open: |path, bytes| Ok(Box::new(keras::KerasFile::open(path, &bytes)?)),
    },
    Form {
        name: "NumPy",
        endings: &["npz"],
        description: "a list of weights and biases by turns (arr_0, arr_1, …), as Lasagne's examples save \
                      them, or arrays with the paper's names (conv1_1_W, conv1_1_b) or torchvision's",
        recognises: npz::recognises,
        open: |path, bytes| Ok(Box::new(npz::NpzFile::open(path, &bytes)?)),
    },
    Form {
        name: "ONNX",
        endings: &["onnx"],
        description: "a network whose body is VGG's, also inside a larger one; found by its graph, with \
                      the weights in the same file",
        // Protocol Buffers have no mark at the start.
        recognises: |_| false,
        open: |path, bytes| Ok(Box::new(onnx::OnnxFile::open(path, bytes)?)),
    },
];

impl Form {
    /// The form that a file with these bytes has by its first bytes.
    fn recognised(bytes: &Bytes) -> Option<&'static Form> {
        const ALL: &[Form] = &FORMS;
        ALL.iter().find(|form| (form.recognises)(bytes))
    }

    /// The form of a file with this name.
    fn named(path: &Path) -> Option<&'static Form> {
        const ALL: &[Form] = &FORMS;
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        ALL.iter().find(|form| form.endings.contains(&&*ending))
    }
}

/// The name of the form of another program's file, by its first bytes or, if they are of no form, by its name; `None`
/// for safetensors, and if it is of no known form.
pub(super) fn other_form(path: &Path, bytes: &Bytes) -> Option<&'static str> {
    let form = Form::recognised(bytes).or_else(|| Form::named(path))?;
    (form.name != FORMS[0].name).then_some(form.name)
}

/// Opens a file in the form that it has.
///
/// # Errors
/// If it is missing or damaged, or has none of the forms.
pub(super) fn open(path: &Path) -> Opened {
    let bytes = map(path)?;
    if bytes.is_empty() {
        let (found, hint) = ("empty", "fetch it again");
        return Err(Error::NotWeights { path: path.to_path_buf(), found, hint });
    }
    if let Some(form) = Form::recognised(&bytes) {
        return (form.open)(path, bytes);
    }
    refuse_texts(path, &bytes)?;
    let Some(form) = Form::named(path) else {
        let forms = FORMS.each_ref().map(|form| {
            let endings: Vec<String> = form.endings.iter().map(|it| format!(".{it}")).collect();
            format!("{} ({})", form.name, endings.join(", "))
        });
        let forms = forms.join(", ");
        return Err(Error::UnknownForm { path: path.to_path_buf(), forms });
    };
    (form.open)(path, bytes)
}

/// Refuses what a download leaves in the place of a file.
fn refuse_texts(path: &Path, bytes: &Bytes) -> Result<(), Error> {
    let (found, hint) = if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
        ("a pointer of Git LFS", "fetch the file itself with 'git lfs pull'")
    } else if bytes.trim_ascii_start().starts_with(b"<") {
        ("a web page", "download the file itself; the page may ask to sign in")
    } else {
        return Ok(());
    };
    Err(Error::NotWeights { path: path.to_path_buf(), found, hint })
}
