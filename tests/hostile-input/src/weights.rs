//! Parsers of weights files: this project's, and those of other programs.

use std::path::Path;

use backbone::{ImportConfig, Weights, import_weights};
use recipe::Family;

use crate::write;

pub(crate) fn canonical(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "weights.safetensors", bytes);
    Weights::read(&folder.join("weights.safetensors")).is_ok()
}

pub(crate) fn safetensors(folder: &Path, bytes: &[u8]) -> bool {
    import(folder, "foreign.safetensors", bytes)
}

pub(crate) fn onnx(folder: &Path, bytes: &[u8]) -> bool {
    import(folder, "foreign.onnx", bytes)
}

pub(crate) fn pytorch(folder: &Path, bytes: &[u8]) -> bool {
    import(folder, "foreign.pth", bytes)
}

pub(crate) fn keras(folder: &Path, bytes: &[u8]) -> bool {
    import(folder, "foreign.h5", bytes)
}

pub(crate) fn npz(folder: &Path, bytes: &[u8]) -> bool {
    import(folder, "foreign.npz", bytes)
}

fn import(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    write(folder, name, bytes);
    let config = ImportConfig { family: Some(Family::Caffe), network: None };
    import_weights(&folder.join(name), &config).is_ok()
}
