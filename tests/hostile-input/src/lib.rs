//! Every parser of a file that we did not write, as a function of the file's bytes: for the fuzzer in
//! `fuzz/`, and for the test that hands it every file of `fuzz/corpus` and `fuzz/regressions`.
//!
//! In: bytes that may be anything. Out: whether they were accepted; a parser may refuse what it likes,
//! but it may not panic, hang, or take more memory than the bytes and
//! [`ALLOWANCE`] (an image a few times that).

mod allocations;
mod cache;
mod datasets;
mod runs;
mod weights;

use std::path::Path;

pub use allocations::ALLOWANCE;

/// One parser.
#[derive(Debug, Clone, Copy)]
pub struct Parser {
    /// The name of its fuzz target and of its folders of inputs.
    pub name: &'static str,
    /// Writes the bytes into the empty folder under the name that the program looks for, and reads
    /// them as the program does. Returns whether they were accepted.
    read: fn(&Path, &[u8]) -> bool,
    /// Bytes that it may have allocated at one time beyond the input's own.
    allowance: usize,
}

const fn parser(name: &'static str, read: fn(&Path, &[u8]) -> bool) -> Parser {
    Parser { name, read, allowance: ALLOWANCE }
}

/// 64 MiB of pixels are accepted in any image file, and decoding them takes more: as they are in the
/// file, as they come out, and what a progressive JPEG gathers.
const IMAGE_ALLOWANCE: usize = 6 * ALLOWANCE;

/// All of them.
pub const PARSERS: [Parser; 15] = [
    parser("idx_images", datasets::idx_images),
    parser("idx_labels", datasets::idx_labels),
    parser("kaggle_csv", datasets::kaggle_csv),
    Parser { allowance: IMAGE_ALLOWANCE, ..parser("image", datasets::image) },
    parser("manifest", cache::manifest),
    parser("features", cache::features),
    parser("labels", cache::labels),
    parser("ids", cache::ids),
    parser("progress", cache::progress),
    parser("weights", weights::canonical),
    parser("safetensors_import", weights::safetensors),
    parser("onnx_import", weights::onnx),
    parser("run", runs::run),
    parser("sweep", runs::sweep),
    parser("evaluation", runs::evaluation),
];

impl Parser {
    /// The parser of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(name: &str) -> Parser {
        let found = PARSERS.into_iter().find(|parser| parser.name == name);
        found.unwrap_or_else(|| panic!("there is no parser '{name}'"))
    }

    /// Hands the bytes to the parser and returns whether it accepted them.
    ///
    /// # Panics
    /// If the parser does, or took too much memory.
    pub fn check(self, bytes: &[u8]) -> bool {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        allocations::limited(bytes.len() + self.allowance, || (self.read)(folder.path(), bytes))
    }
}

/// Writes a file, making its folder.
fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))
        .and_then(|()| std::fs::write(&path, bytes))
        .expect("the temporary folder can be written");
}

/// The parts of an input that stands for several files: they are separated by the byte that ASCII
/// has for it. Missing ones are empty, and the last may have the byte in it.
fn parts<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    const RECORD_SEPARATOR: u8 = 0x1e;
    let mut parts = bytes.splitn(N, |&byte| byte == RECORD_SEPARATOR);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
