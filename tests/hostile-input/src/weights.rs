//! Weight files: our own, and those of other programs.

use std::path::Path;

use vgg16::{Family, Weights, import_weights};

use crate::write;

pub(crate) fn canonical(folder: &Path, bytes: &[u8]) {
    write(folder, "weights.safetensors", bytes);
    let _ = Weights::read(&folder.join("weights.safetensors"));
}

pub(crate) fn safetensors(folder: &Path, bytes: &[u8]) {
    import(folder, "foreign.safetensors", bytes);
}

pub(crate) fn onnx(folder: &Path, bytes: &[u8]) {
    import(folder, "foreign.onnx", bytes);
}

fn import(folder: &Path, name: &str, bytes: &[u8]) {
    write(folder, name, bytes);
    let _ = import_weights(&folder.join(name), Family::Caffe);
}
