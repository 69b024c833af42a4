//! The parsers of the bodies of requests that are not images, each as a function of its bytes, for tests with
//! hostile bytes.

use axum::body::Bytes;

use super::drawing::Drawing;
use super::protocol_v2;

/// Reads the JSON of a drawing and draws it. Returns whether it was accepted.
pub fn drawing(json: &[u8]) -> bool {
    Drawing::parse(json).is_ok_and(|drawing| !drawing.image().is_empty())
}

/// Reads a request of the Open Inference Protocol: its JSON, and the tensors in binary that follow it. Returns
/// whether it was accepted.
pub fn infer(json: &[u8], tensors: &[u8]) -> bool {
    protocol_v2::parse(json, Bytes::copy_from_slice(tensors)).is_ok()
}
