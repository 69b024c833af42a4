//! The parser of the model file.

use std::path::Path;

use classify::Model;
use durable::Digest;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::write;

/// Parses a model file. If its record can be read, its digest is made anew, as the author of a hostile file
/// would write it.
pub(crate) fn model(folder: &Path, bytes: &[u8]) -> bool {
    let signed = signed(bytes);
    write(folder, "model.safetensors", signed.as_deref().unwrap_or(bytes));
    Model::read(&folder.join("model.safetensors")).is_ok()
}

/// The file with the digest of its content; `None` if it does not have the form of a model file.
fn signed(bytes: &[u8]) -> Option<Vec<u8>> {
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let (len, rest) = bytes.split_first_chunk()?;
    let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    let mut header: Value = serde_json::from_slice(header).ok()?;
    let entry = header.get_mut("__metadata__")?.get_mut("vgg-classify")?;
    let mut content: Value = serde_json::from_str(entry.as_str()?).ok()?;
    let digest = digest(content.get("record")?, &tensors);
    content.as_object_mut()?.insert("digest".to_owned(), json!(digest));
    *entry = json!(content.to_string());
    let header = header.to_string();
    Some([&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat())
}

/// The digest by its definition: of the record, and of every tensor's name, shape and bytes.
fn digest(record: &Value, tensors: &SafeTensors<'_>) -> Digest {
    let mut bytes = Digest::of_value(record).as_bytes().to_vec();
    let mut tensors: Vec<_> = tensors.iter().collect();
    tensors.sort_by_key(|(name, _)| name.to_owned());
    for (name, view) in tensors {
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend((view.shape().len() as u64).to_le_bytes());
        bytes.extend(view.shape().iter().flat_map(|&side| (side as u64).to_le_bytes()));
        bytes.extend(view.data());
    }
    Digest::of(&bytes)
}
