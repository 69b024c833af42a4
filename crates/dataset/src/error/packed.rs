//! Errors about files of which each holds many images.

use std::path::PathBuf;

use plural::counted;

use super::words::{Alike, Arrays};

/// A file with many images that is not as it must be: IDX, NumPy, tar, Parquet.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    /// A file of arrays has none of training images.
    #[error(
        "{} has {}; expected images, uint8 [N, H, W] or [N, H, W, 1 or 3], and integers or texts [N], a label for each, \
         under a pair of these names: {known}; an .npz file may have other names if it has one array of each kind \
         alone: save them with np.savez(FILE, images=…, labels=…)",
        path.display(), Arrays(found)
    )]
    NoArrays {
        /// The file.
        path: PathBuf,
        /// The names of its arrays, with their types and shapes.
        found: Vec<String>,
        /// The pairs of names that are known.
        known: String,
    },
    /// A label of an array is not that of a training image.
    #[error(
        "{}: the array '{array}' has '{label}' in row {row} (counted from 0), expected the label of a training image{}",
        path.display(), Alike(alike)
    )]
    UntrainedLabel {
        /// The file.
        path: PathBuf,
        /// The array's name.
        array: String,
        /// The row, counted from 0.
        row: usize,
        /// The label.
        label: String,
        /// This label and one of the training labels that looks the same, with all signs but ASCII's as `\u{…}`; `None`
        /// if there is none.
        alike: Option<Box<[String; 2]>>,
    },
    /// An array is not one of images or labels.
    #[error("{}: the array '{array}' {found}; expected {expected}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// The array's name.
        array: String,
        /// The fault, for example `has elements of the type float32`.
        found: String,
        /// The expected kind.
        expected: &'static str,
    },
    /// A member of an archive is not as it must be.
    #[error("{}: the member '{member}' {found}; expected {expected}", path.display())]
    Member {
        /// The archive.
        path: PathBuf,
        /// The member's name.
        member: String,
        /// The fault, for example `is empty`.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The label of a member of an archive is not that of a training image.
    #[error(
        "{}: the member '{member}' has the label '{label}'; expected that of a training image{}",
        path.display(), Alike(alike)
    )]
    UntrainedMember {
        /// The archive.
        path: PathBuf,
        /// The member's name.
        member: String,
        /// The label.
        label: String,
        /// This label and one of the training labels that looks the same, with all signs but ASCII's as `\u{…}`; `None`
        /// if there is none.
        alike: Option<Box<[String; 2]>>,
    },
    /// A large compressed array cannot be decompressed into a temporary file.
    #[error(
        "could not decompress {} into a temporary file of {} in {}; free some room there, set TMPDIR to a folder that \
         has room, or save the arrays with np.savez, which does not compress",
        path.display(), counted(*needed, "byte"), folder.display()
    )]
    NoTemporaryFile {
        /// The file with the array.
        path: PathBuf,
        /// The folder of temporary files.
        folder: PathBuf,
        /// Number of bytes of the array.
        needed: u64,
        /// The reason.
        source: std::io::Error,
    },
    /// An archive cannot be read.
    #[error("{} is not a whole archive; it may be truncated or damaged: fetch it again", path.display())]
    DamagedArchive {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A Parquet file cannot be read to its end.
    #[error(
        "{} is not a whole Parquet file ({found}); it may be truncated or damaged: fetch it again",
        path.display()
    )]
    DamagedParquet {
        /// The file.
        path: PathBuf,
        /// The fault, for example `a page is not whole`.
        found: &'static str,
    },
    /// A Parquet file stores values in a form that is not read.
    #[error(
        "{}: {found}, which is not supported; write it again with the library datasets, or with pyarrow: \
         pyarrow.parquet.write_table(pyarrow.parquet.read_table(FILE), NEW, compression='zstd')",
        path.display()
    )]
    ParquetForm {
        /// The file.
        path: PathBuf,
        /// The form, for example `its column 'image' is compressed with LZO`.
        found: String,
    },
    /// Two Parquet files are the same one of those that their names count.
    #[error(
        "{} and {} have the same number; remove the one that does not belong to the dataset",
        both[0].display(), both[1].display()
    )]
    SameNumber {
        /// The files.
        both: [PathBuf; 2],
    },
    /// A list of archives names one that is not there.
    #[error("there is no archive {}, which {pattern} names; fetch it, or name those that are there", path.display())]
    MissingArchive {
        /// The missing archive.
        path: PathBuf,
        /// The pattern.
        pattern: String,
    },
    /// A pattern of names cannot be expanded.
    #[error(
        "{pattern} {found}; expected names like train-{{000..150}}.tar or {{train,extra}}-0.tar"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The fault, for example `names more than 100000 archives`.
        found: &'static str,
    },
    /// An IDX file does not begin with the magic number of its kind.
    #[error(
        "{}: wrong magic number {found:#010x}, expected {expected:#010x} (IDX {what}); \
         is it another file, or still compressed?",
        path.display()
    )]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// Its first four bytes as a big-endian number.
        found: u32,
        /// The expected magic number.
        expected: u32,
        /// `images` or `labels`.
        what: &'static str,
    },
    /// An IDX file does not have the length that its header says.
    #[error(
        "{} has {}, but its header announces {what}, {} in all; it was truncated or changed: fetch it again",
        path.display(), counted(*found, "byte"), counted(*expected, "byte")
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Number of bytes found, after decompression.
        found: u64,
        /// Number of bytes expected.
        expected: u64,
        /// The content that the header announces, for example `60000 images of 28x28`.
        what: String,
    },
    /// A compressed IDX file is too small for the images that its header announces.
    #[error(
        "{} has {}, but its header announces {what}, {} decompressed, which is more than images compress \
         to; if they are images, decompress the file with gunzip",
        path.display(), counted(*size, "byte"), counted(*expected, "byte")
    )]
    TooCompressed {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Number of bytes announced.
        expected: u64,
        /// The content that the header announces, for example `60000 images of 28x28`.
        what: String,
    },
    /// The numbers of images and labels differ.
    #[error(
        "{} has {}, but {} has {}; expected a label for each image: {}",
        images_path.display(), counted(*images, "image"),
        if images_path == labels_path { "it".into() } else { labels_path.to_string_lossy() },
        counted(*labels, "label"),
        if images_path == labels_path { "fetch it again" } else { "fetch both files again" }
    )]
    CountsDiffer {
        /// The image file.
        images_path: PathBuf,
        /// The label file.
        labels_path: PathBuf,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// Training and test images differ in size.
    #[error("{} has images of {found}, expected {expected} as in training", path.display())]
    SizesDiffer {
        /// The test file.
        path: PathBuf,
        /// Height x width of the test images.
        found: String,
        /// Height x width of the training images.
        expected: String,
    },
}
