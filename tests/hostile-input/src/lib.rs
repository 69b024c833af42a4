//! The parsers of untrusted files and requests, each as a function of their bytes. They are used by the fuzzer in
//! `fuzz/` and by the test that runs them on every file of `fuzz/corpus` and `fuzz/regressions`.
//!
//! In: any bytes. Out: whether they were accepted. A parser may refuse any input, but it may not panic,
//! hang, or take more memory than the input's size plus [`ALLOWANCE`], or a few times that for an image.

mod allocations;
mod cache;
mod datasets;
mod models;
mod pooled;
mod requests;
mod runs;
mod tables;
mod weights;

use std::path::Path;

pub use allocations::ALLOWANCE;

/// A parser.
#[derive(Debug, Clone, Copy)]
pub struct Parser {
    /// The name of its fuzz target and of its folders of inputs.
    pub name: &'static str,
    /// The name of the form of dataset that its input is part of; `None` if it is not part of a dataset.
    pub form: Option<&'static str>,
    /// Writes the bytes into the empty folder under the name that the program expects, and reads them as
    /// the program does. Returns whether they were accepted.
    read: fn(&Path, &[u8]) -> bool,
    /// The number of bytes that it may have allocated at one time, in addition to the input's size.
    allowance: usize,
}

const fn parser(name: &'static str, read: fn(&Path, &[u8]) -> bool) -> Parser {
    Parser { name, form: None, read, allowance: ALLOWANCE }
}

/// A parser of a file of a form of dataset.
const fn of_form(form: &'static str, name: &'static str, read: fn(&Path, &[u8]) -> bool) -> Parser {
    Parser { form: Some(form), ..parser(name, read) }
}

/// The number of bytes that decoding an image may take. Images of up to 64 MiB of pixels are accepted,
/// and there are several copies of them: as stored, as decoded, and the coefficients of a progressive
/// JPEG.
const IMAGE_ALLOWANCE: usize = 6 * ALLOWANCE;

/// The number of bytes that weights may take in a form in which a small file can hold all numbers of VGG19,
/// 80 MB: because it is compressed, or has one number that stands for all.
const WEIGHTS_ALLOWANCE: usize = 3 * ALLOWANCE;

/// All parsers. Every form of dataset has one.
pub const PARSERS: [Parser; 41] = [
    of_form("idx", "idx_images", datasets::idx_images),
    of_form("idx", "idx_labels", datasets::idx_labels),
    of_form("kaggle", "kaggle_csv", datasets::kaggle_csv),
    of_form("competition", "competition", datasets::competition),
    of_form("arrays", "arrays", datasets::arrays),
    of_form("image-folder", "image_folder", datasets::image_folder),
    of_form("image-folder", "metadata_parquet", datasets::metadata_parquet),
    of_form("parquet", "parquet", datasets::parquet),
    of_form("webdataset", "webdataset", datasets::webdataset),
    of_form("webdataset", "shard_pattern", datasets::shard_pattern),
    of_form("image-list", "image_list", datasets::image_list),
    Parser { allowance: IMAGE_ALLOWANCE, ..of_form("class-folders", "image", datasets::image) },
    Parser {
        allowance: IMAGE_ALLOWANCE,
        ..of_form("class-folders", "image_scan", datasets::image_scan)
    },
    parser("file_digests", datasets::file_digests),
    parser("manifest", cache::manifest),
    parser("features", cache::features),
    parser("csr", cache::csr),
    parser("labels", cache::labels),
    parser("ids", cache::ids),
    parser("images", cache::images),
    parser("progress", cache::progress),
    parser("progress_csr", cache::progress_csr),
    parser("weights", weights::canonical),
    parser("safetensors_import", weights::safetensors),
    parser("onnx_import", weights::onnx),
    Parser { allowance: WEIGHTS_ALLOWANCE, ..parser("pytorch_import", weights::pytorch) },
    Parser { allowance: WEIGHTS_ALLOWANCE, ..parser("keras_import", weights::keras) },
    Parser { allowance: WEIGHTS_ALLOWANCE, ..parser("npz_import", weights::npz) },
    parser("model", models::model),
    parser("run", runs::run),
    parser("sweep", runs::sweep),
    parser("evaluation", runs::evaluation),
    parser("calibration", runs::calibration),
    parser("cross_validation", runs::cross_validation),
    parser("corrections", tables::corrections),
    parser("class_weights", tables::class_weights),
    parser("groups", tables::groups),
    parser("submission", tables::submission),
    parser("pooled", pooled::pooled),
    parser("drawing", requests::drawing),
    parser("infer", requests::infer),
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

    /// Runs the parser on the bytes and returns whether it accepted them.
    ///
    /// # Panics
    /// If the parser panics or takes too much memory.
    pub fn check(self, bytes: &[u8]) -> bool {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        allocations::limited(bytes.len() + self.allowance, || (self.read)(folder.path(), bytes))
    }
}

/// Writes a file and creates its folder.
fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))
        .and_then(|()| std::fs::write(&path, bytes))
        .expect("the temporary folder can be written");
}

/// The parts of an input that stands for several files. They are separated by ASCII's record separator.
/// Missing parts are empty, and the last part may contain the separator.
fn parts<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    const RECORD_SEPARATOR: u8 = 0x1e;
    let mut parts = bytes.splitn(N, |&byte| byte == RECORD_SEPARATOR);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
