//! The errors of reading a dataset, one variant for each that a user can act on.

use std::path::PathBuf;

use crate::form_descriptions;
use crate::name::Names;

/// A dataset that cannot be read or split.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is neither a folder nor a file.
    #[error(
        "there is no dataset folder or file {}; 'just setup' puts MNIST into data/mnist, or give your \
         own with --dataset",
        path.display()
    )]
    MissingFolder {
        /// The path.
        path: PathBuf,
    },
    /// The folder or file has none of the known forms.
    #[error(
        "{} holds no dataset of a known form; expected {}",
        path.display(), form_descriptions()
    )]
    UnknownForm {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has two of the known forms.
    #[error(
        "{} holds both {} and {}; move one of the two to a folder of its own",
        path.display(), both[0], both[1]
    )]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// Their marks, for example `IDX files`.
        both: [String; 2],
    },
    /// The folder has two lists of images.
    #[error(
        "{} holds two lists of images; give --dataset {} or {}",
        path.display(), both[0].display(), both[1].display()
    )]
    TwoLists {
        /// The folder.
        path: PathBuf,
        /// Two of the lists.
        both: [PathBuf; 2],
    },
    /// There is a folder of validation or test images, but none of training images.
    #[error(
        "{} is missing; {} is taken as a split and needs it. If '{}' is a class, rename it",
        train.display(), beside.display(), beside.file_name().unwrap_or_default().display()
    )]
    MissingTrain {
        /// The missing folder.
        train: PathBuf,
        /// The folder that is there.
        beside: PathBuf,
    },
    /// A file that belongs to the others is missing.
    #[error("{} is missing; {beside} is there and needs it", path.display())]
    MissingFile {
        /// The missing file, without `.gz`.
        path: PathBuf,
        /// The file that is there.
        beside: String,
    },
    /// The operating system could not read a file.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// A file is not what it was when the dataset was digested.
    #[error(
        "{} is not what it was when its digest was computed; give the same command again (and, if that \
         does not help, with --rehash)",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// An IDX file begins with something else.
    #[error(
        "{}: wrong magic number {found:#010x}, expected {expected:#010x} (IDX {what}); \
         is it another file, or still compressed?",
        path.display()
    )]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// Its first four bytes, big-endian.
        found: u32,
        /// The expected ones.
        expected: u32,
        /// `images` or `labels`.
        what: &'static str,
    },
    /// An IDX file's length is not what its header says.
    #[error(
        "{}: {found} bytes, but its header announces {what}, {expected} bytes in all; \
         it was truncated or changed: fetch it again",
        path.display()
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Bytes found, after decompression.
        found: u64,
        /// Bytes expected.
        expected: u64,
        /// The announcement of the header, for example `60000 images of 28x28`.
        what: String,
    },
    /// A compressed IDX file announces what no images compress to.
    #[error(
        "{}: {size} bytes, but its header announces {what}, {expected} bytes decompressed: \
         too many to be images; if they are, decompress the file with gunzip",
        path.display()
    )]
    TooCompressed {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Bytes announced.
        expected: u64,
        /// The announcement of the header, for example `60000 images of 28x28`.
        what: String,
    },
    /// Images and labels do not belong together.
    #[error("{images} images in {} but {labels} labels in {}", images_path.display(), labels_path.display())]
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
    /// There are no images in it.
    #[error("{} holds no images", path.display())]
    NoImages {
        /// The file.
        path: PathBuf,
    },
    /// A symbolic link leads to a folder that it lies in.
    #[error(
        "{} is a symbolic link to {}, in which it lies; remove it",
        path.display(), ancestor.display()
    )]
    SymlinkLoop {
        /// The link.
        path: PathBuf,
        /// The folder it leads to.
        ancestor: PathBuf,
    },
    /// An image lies beside class folders instead of in one.
    #[error("{} lies in no class folder; move it into one, or away", path.display())]
    StrayImage {
        /// The image.
        path: PathBuf,
    },
    /// Images lie directly in the folder of the training images, which may be meant as a class.
    #[error(
        "{} is taken as the training split, but {} lies in no class folder within it; if '{}' is a \
         class like {} beside it, rename it; if it is the split, move its images into class folders",
        train.display(), image.display(), train.file_name().unwrap_or_default().display(),
        Names(beside)
    )]
    SplitOrClass {
        /// The folder.
        train: PathBuf,
        /// The first of the images.
        image: PathBuf,
        /// The folders beside it.
        beside: Vec<String>,
    },
    /// The only class folder holds folders of images, which may be the classes.
    #[error(
        "the only class is {}, and all its images lie in the folders {}: is --dataset {} meant? \
         (A head needs two classes or more.)",
        class.display(), Names(inner), meant.display()
    )]
    OneLevelTooHigh {
        /// The class folder.
        class: PathBuf,
        /// The folders that its images lie in.
        inner: Vec<String>,
        /// The folder that these lie in: the class folder, or one further down.
        meant: PathBuf,
    },
    /// A class of training images has none.
    #[error(
        "the class folder {} holds no images (files that end with one of {endings}); \
         put some in, or remove it",
        path.display()
    )]
    EmptyClass {
        /// The folder.
        path: PathBuf,
        /// The endings of images.
        endings: String,
    },
    /// Validation or test images are of a class that is never trained on.
    #[error(
        "{} is a class that {} lacks; expected the same class folders in both \
         (test images without a class belong directly into test/)",
        path.display(), train.display()
    )]
    UnknownClass {
        /// The class folder.
        path: PathBuf,
        /// The folder of the training classes.
        train: PathBuf,
    },
    /// A file that is named like an image holds something else.
    #[error(
        "{} begins with '{start}': expected a JPEG, PNG, GIF, WebP, TIFF, BMP or PNM image; \
         replace or remove it",
        path.display()
    )]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// Its first bytes, as in a Rust string.
        start: String,
    },
    /// An image cannot be decoded.
    #[error(
        "{} cannot be decoded; it may be truncated or damaged: replace or remove it",
        path.display()
    )]
    DamagedImage {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An image has no pixels, or too many.
    #[error(
        "{} has {width}x{height} pixels; expected 1 to 65535 pixels per side, and at most 512 MiB decoded; of a \
         small file at most 64 MiB and 3000 times its size: replace, shrink or remove it",
        path.display()
    )]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
    },
    /// An image of a form that is not read.
    #[error(
        "{} is {form}, which is not read; save it as a PNG with 8 bits per channel",
        path.display()
    )]
    ImageForm {
        /// The file.
        path: PathBuf,
        /// The form, for example `a TIFF of 32-bit numbers`.
        form: String,
    },
    /// Training and test images differ in size.
    #[error("{}: images of {found}, but the training images are {expected}", path.display())]
    SizesDiffer {
        /// The test file.
        path: PathBuf,
        /// Height x width there.
        found: String,
        /// Height x width of the training images.
        expected: String,
    },
    /// A CSV file has the wrong columns.
    #[error("{}: {found}; expected {expected}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// The fault, for example `column 'pixel17' is missing`.
        found: String,
        /// The columns it should have.
        expected: String,
    },
    /// A CSV field has a value that is not allowed.
    #[error("{}: line {line}, column '{column}': found '{found}', expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1, the header included.
        line: usize,
        /// Name of the column.
        column: String,
        /// The field's text.
        found: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// A CSV line has too few or too many fields.
    #[error("{}: line {line} has {found} fields, expected {expected}", path.display())]
    RaggedLine {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1, the header included.
        line: usize,
        /// Fields found.
        found: usize,
        /// Number of columns.
        expected: usize,
    },
    /// A list of images has rows for testing or validation, but none for training.
    #[error("{} lists no training images; expected rows whose split is 'train'", path.display())]
    NoTrainingRows {
        /// The list.
        path: PathBuf,
    },
    /// A list of images names a file that is not there.
    #[error(
        "{}: line {line}: there is no file {}; expected the path of an image, relative to the folder of \
         the list or absolute (if it is not a list of the images, move it out of the folder)",
        path.display(), file.display()
    )]
    MissingImage {
        /// The list.
        path: PathBuf,
        /// Line, counted from 1, the header included.
        line: usize,
        /// The missing file.
        file: PathBuf,
    },
    /// A list of images names a file twice.
    #[error(
        "{}: line {}: {} is listed already, in line {}; remove one of the two rows",
        path.display(), lines[1], file.display(), lines[0]
    )]
    ListedTwice {
        /// The list.
        path: PathBuf,
        /// The first line of the file and the second, counted from 1, the header included.
        lines: [usize; 2],
        /// The file, as it is written in the second line.
        file: PathBuf,
    },
    /// polars found a fault that the line-by-line look did not.
    #[error("could not read {} as CSV", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// polars's reason.
        source: polars_core::error::PolarsError,
    },
    /// The split takes nothing for validation.
    #[error(
        "--val-fraction {fraction} takes none of the {images} training images of {} ({classes} classes) \
         for validation: their number is rounded, and the last image of a class is never taken; add \
         images, raise the fraction, or give --val-fraction 0 for no validation split",
        path.display()
    )]
    EmptySplit {
        /// The dataset folder.
        path: PathBuf,
        /// The fraction asked for.
        fraction: f64,
        /// Images to split.
        images: usize,
        /// Classes that they are of.
        classes: usize,
    },
    /// The limit is too small for an image of each class.
    #[error(
        "--limit {limit} is too small for {}: its training images are of {classes} classes, and at \
         least one of each is kept; give --limit {classes} or more",
        path.display()
    )]
    LimitTooSmall {
        /// The dataset folder.
        path: PathBuf,
        /// The limit asked for.
        limit: usize,
        /// Classes with training images.
        classes: usize,
    },
}
