//! The parsers of requests to the server.

use std::path::Path;

use classify::bodies;

use crate::parts;

/// The strokes of a drawing.
pub(crate) fn drawing(_folder: &Path, bytes: &[u8]) -> bool {
    bodies::drawing(bytes)
}

/// A request of the Open Inference Protocol: its JSON, and the tensors in binary.
pub(crate) fn infer(_folder: &Path, bytes: &[u8]) -> bool {
    let [json, tensors] = parts(bytes);
    bodies::infer(json, tensors)
}
