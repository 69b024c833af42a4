//! Every parser of a file that we did not write, as a function of the file's bytes: for the fuzzer in
//! `fuzz/`, and for the test that hands it every file of `fuzz/corpus` and `fuzz/regressions`.
//!
//! In: any bytes. Out: whether they were accepted. A parser may refuse whatever it likes, but it may not
//! panic, hang, or take more memory than the bytes and [`ALLOWANCE`] (for an image, a few times that).

mod allocations;
mod cache;
mod datasets;
mod pooled;
mod runs;
mod weights;

use std::path::Path;

pub use allocations::ALLOWANCE;

/// One parser.
#[derive(Debug, Clone, Copy)]
pub struct Parser {
    /// The name of its fuzz target and of its folders of inputs.
    pub name: &'static str,
    /// The form of dataset that its input is part of, by its name; `None` if it is not of a dataset.
    pub form: Option<&'static str>,
    /// Writes the bytes into the empty folder under the name that the program looks for, and reads
    /// them as the program does. Returns whether they were accepted.
    read: fn(&Path, &[u8]) -> bool,
    /// Bytes that it may have allocated at one time beyond the input's own.
    allowance: usize,
}

const fn parser(name: &'static str, read: fn(&Path, &[u8]) -> bool) -> Parser {
    Parser { name, form: None, read, allowance: ALLOWANCE }
}

/// A parser of a file of a form of dataset.
const fn of_form(form: &'static str, name: &'static str, read: fn(&Path, &[u8]) -> bool) -> Parser {
    Parser { form: Some(form), ..parser(name, read) }
}

/// Bytes that decoding an image may take. 64 MiB of pixels are accepted in any file, and there are
/// several copies of them: as stored, as decoded, and the coefficients of a progressive JPEG.
const IMAGE_ALLOWANCE: usize = 6 * ALLOWANCE;

/// All of them. Every form of dataset has one.
pub const PARSERS: [Parser; 17] = [
    of_form("idx", "idx_images", datasets::idx_images),
    of_form("idx", "idx_labels", datasets::idx_labels),
    of_form("kaggle", "kaggle_csv", datasets::kaggle_csv),
    of_form("image-list", "image_list", datasets::image_list),
    Parser { allowance: IMAGE_ALLOWANCE, ..of_form("class-folders", "image", datasets::image) },
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
    parser("pooled", pooled::pooled),
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
