//! The BLAKE3 digest of a file whose beginning is known last.

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use durable::Digest;

/// Bytes of one of BLAKE3's chunks.
const CHUNK: usize = blake3::CHUNK_LEN;

/// Hashes a file piece by piece, but for its header, which says how long the file is.
///
/// BLAKE3 hashes a binary tree of chunks of 1024 bytes. The header lies in the first chunk. What follows
/// that chunk is hashed as the subtrees of 1, 2, 4, 8, … chunks that are its siblings and those of its
/// ancestors, so the header's own path to the root is all that is left to be computed.
#[derive(Debug)]
pub(super) struct LateHeader {
    header_len: usize,
    /// The bytes of the first chunk that follow the header.
    first: Vec<u8>,
    /// The complete subtrees that follow the first chunk: that of index `k` has `2^k` chunks.
    complete: Vec<ChainingValue>,
    /// The subtree that is being hashed, and its bytes so far.
    subtree: Hasher,
    subtree_bytes: u64,
}

impl LateHeader {
    /// Begins a file with a header of `header_len` bytes, which must fit into a chunk.
    pub(super) fn new(header_len: usize) -> LateHeader {
        let mut digest = LateHeader {
            header_len,
            first: Vec::new(),
            complete: Vec::new(),
            subtree: Hasher::new(),
            subtree_bytes: 0,
        };
        digest.begin_subtree();
        digest
    }

    fn begin_subtree(&mut self) {
        self.subtree = Hasher::new();
        // Before it lie as many chunks as it has when it is complete.
        self.subtree.set_input_offset(self.subtree_len());
        self.subtree_bytes = 0;
    }

    /// Bytes of the subtree that is being hashed when it is complete.
    fn subtree_len(&self) -> u64 {
        (CHUNK as u64) << self.complete.len()
    }

    /// Adds bytes that follow the header.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        let room = CHUNK - self.header_len - self.first.len();
        let (first, rest) = bytes.split_at(bytes.len().min(room));
        self.first.extend(first);
        bytes = rest;
        while !bytes.is_empty() {
            if self.subtree_bytes == self.subtree_len() {
                self.complete.push(self.subtree.finalize_non_root());
                self.begin_subtree();
            }
            let room = self.subtree_len() - self.subtree_bytes;
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(bytes.len().min(room));
            self.subtree.update(now);
            self.subtree_bytes += now.len() as u64;
            bytes = rest;
        }
    }

    /// The digest of the file that has this header and ends here.
    pub(super) fn digest(&self, header: &[u8]) -> Digest {
        assert_eq!(header.len(), self.header_len);
        let mut first = Hasher::new();
        first.update(header).update(&self.first);
        if self.subtree_bytes == 0 {
            return first.finalize().into();
        }
        let first = first.finalize_non_root();
        let left = self
            .complete
            .iter()
            .fold(first, |left, right| merge_subtrees_non_root(&left, right, Mode::Hash));
        merge_subtrees_root(&left, &self.subtree.finalize_non_root(), Mode::Hash).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_digest_of_the_file() {
        let bytes: Vec<u8> = (0..300_000u32).map(|at| (at.wrapping_mul(at) >> 5) as u8).collect();
        for piece in [1, 100, 1000, 1024, 5000, 70_000] {
            let header = [7; 128];
            let mut digest = LateHeader::new(header.len());
            let mut whole = Hasher::new();
            whole.update(&header);
            assert_eq!(digest.digest(&header), whole.finalize().into());
            // Small pieces, since they take long, of the beginning only.
            for (index, piece) in bytes[..bytes.len().min(piece * 9000)].chunks(piece).enumerate() {
                digest.update(piece);
                whole.update(piece);
                if index % 7 == 0 || piece.len() >= 1000 {
                    assert_eq!(digest.digest(&header), whole.finalize().into());
                }
            }
            // Another header, another digest, after any number of bytes.
            assert_ne!(digest.digest(&[8; 128]), whole.finalize().into());
        }
    }
}
