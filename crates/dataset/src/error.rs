//! The errors of reading a dataset, with one variant for each failure that a user can act on.

mod image;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use plural::counted;

use crate::name::Names;
use crate::{form_descriptions, form_names};
use words::{Alike, Arrays, ButOthers, Found, OfList, OrForm};

pub use image::{ImageError, ImageFault};

/// Where in a table something is, counted as its readers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// A line of text, counted from 1.
    Line(usize),
    /// A row of a table that is not text, counted from 0.
    Row(usize),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Line(line) => write!(f, "line {line}"),
            Position::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// A dataset that cannot be read or split.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is neither a folder nor a file.
    #[error(
        "there is no dataset folder or file {}{}; run 'just setup', which puts MNIST into data/mnist, or \
         give your own with --dataset",
        path.display(), if path.iter().any(|part| part == "~") { " (the shell did not replace ~: write the path out)" } else { "" }
    )]
    MissingFolder {
        /// The whole path: recipes of `just` begin relative ones at the project's folder.
        path: PathBuf,
    },
    /// The folder or file is not a dataset of a known form.
    #[error(
        "{} holds no dataset of a known form{}; expected {}",
        path.display(), Found(found), form_descriptions()
    )]
    UnknownForm {
        /// The folder.
        path: PathBuf,
        /// Folders and files of data that are in it.
        found: Vec<String>,
    },
    /// The dataset is not of the form that was asked for.
    #[error(
        "{} is not a dataset of the form '{form}'; omit --form to have the form recognised",
        path.display()
    )]
    NotOfForm {
        /// The folder or file.
        path: PathBuf,
        /// The form's name.
        form: &'static str,
    },
    /// There is no form of this name.
    #[error("there is no form '{name}' of datasets; expected one of {}", form_names().collect::<Vec<_>>().join(", "))]
    NoSuchForm {
        /// The name.
        name: String,
    },
    /// The folder has two of the known forms.
    #[error(
        "{} holds both {} and {}; move one of the two to a folder of its own{}",
        path.display(), both[0], both[1], OrForm(forms)
    )]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// The marks of the two forms, for example `IDX files`.
        both: [String; 2],
        /// The names of the two forms; none if it is one.
        forms: Box<[&'static str]>,
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
    /// The folder has two files, each of which is a dataset.
    #[error(
        "{} holds two datasets; give --dataset {} or {}",
        path.display(), both[0].display(), both[1].display()
    )]
    TwoFiles {
        /// The folder.
        path: PathBuf,
        /// Two of the files.
        both: [PathBuf; 2],
    },
    /// A file of arrays has none of training images.
    #[error(
        "{} has {}; expected train_images and train_labels, x_train and y_train, or images and labels",
        path.display(), Arrays(found)
    )]
    NoArrays {
        /// The file.
        path: PathBuf,
        /// The names of its arrays.
        found: Vec<String>,
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
        "{}: {found}, which is not supported; write it again with the library datasets or with pyarrow",
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
    /// A file that another file needs is missing.
    #[error("{} is missing, and {beside} needs it; add it", path.display())]
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
    /// A stop was requested while the files were read for their digests.
    #[error("stopped while the dataset's files were read; give the same command again to continue")]
    Stopped,
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
    /// A file ends with .gz, but is not compressed.
    #[error(
        "{} begins with '{start}', which is not the beginning of a gzip file; fetch it again, or rename it if it \
         is not compressed",
        path.display()
    )]
    NotGzip {
        /// The file.
        path: PathBuf,
        /// Its first bytes, as in a Rust string.
        start: String,
    },
    /// A compressed table expands to more than tables do.
    #[error(
        "{} has {}, but decompresses to more than {}; if it is a table, decompress it with gunzip",
        path.display(), counted(*size, "byte"), counted(*most, "byte")
    )]
    Expands {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest number of bytes that it may have decompressed.
        most: u64,
    },
    /// The numbers of images and labels differ.
    #[error(
        "{} has {}, but {} has {}; expected a label for each image: fetch both files again",
        images_path.display(), counted(*images, "image"), labels_path.display(),
        counted(*labels, "label")
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
    /// A file or folder without images.
    #[error("{} holds no images; expected at least one", path.display())]
    NoImages {
        /// The file.
        path: PathBuf,
    },
    /// A symbolic link leads to a folder that contains it.
    #[error(
        "{} is a symbolic link to {}, which contains it; remove the link",
        path.display(), ancestor.display()
    )]
    SymlinkLoop {
        /// The link.
        path: PathBuf,
        /// The folder it leads to.
        ancestor: PathBuf,
    },
    /// An image is beside class folders instead of in one.
    #[error("{} is not in a class folder; move it into one, or out of the dataset", path.display())]
    StrayImage {
        /// The image.
        path: PathBuf,
    },
    /// Images are directly in the folder of the training images, which may be meant as a class.
    #[error(
        "{} is taken as the training split, but {} is not in a class folder within it; if '{}' is a \
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
    /// The only class folder contains folders of images, which may be the classes.
    #[error(
        "the only class is {}, and all its images are in the folders {}: is --dataset {} meant? \
         (A head needs two classes or more.)",
        class.display(), Names(inner), meant.display()
    )]
    OneLevelTooHigh {
        /// The class folder.
        class: PathBuf,
        /// The folders that contain its images.
        inner: Vec<String>,
        /// The folder that contains these: the class folder, or one below it.
        meant: PathBuf,
    },
    /// A class of training images is empty.
    #[error(
        "the class folder {} holds no images (files that end with one of {endings}){}; \
         add some, or remove the folder",
        path.display(), ButOthers(others)
    )]
    EmptyClass {
        /// The folder.
        path: PathBuf,
        /// The endings of the files that it holds instead, with their numbers.
        others: Vec<(String, usize)>,
        /// The endings of images.
        endings: String,
    },
    /// Validation or test images belong to a class without training images.
    #[error(
        "{} is a class that {} lacks; expected the same class folders in both \
         (test images without a class belong directly into test/){}",
        path.display(), train.display(), Alike(alike)
    )]
    UnknownClass {
        /// The class folder.
        path: PathBuf,
        /// The folder of the training classes.
        train: PathBuf,
        /// This class and one of the training classes whose name looks the same, with all signs but
        /// ASCII's as `\u{…}`; `None` if there is no such class.
        alike: Option<Box<[String; 2]>>,
    },
    /// All training images are of one class.
    #[error(
        "all training images of {} are of one class, '{class}'; a head needs two classes or more: add images of \
         another one",
        path.display()
    )]
    OneClass {
        /// The dataset.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// Validation or test images belong to classes without training images.
    #[error(
        "{}: {split} has {} of {} without training images: {} (the first is {first}); add training images of these \
         classes, or remove their images from {split}",
        path.display(), counted(*images, "image"), counted(classes.len(), "class"), Names(classes)
    )]
    UntrainedClasses {
        /// The dataset.
        path: PathBuf,
        /// `val` or `test`.
        split: &'static str,
        /// The classes, in the order of their labels.
        classes: Vec<String>,
        /// Number of images of these classes in the split.
        images: usize,
        /// The id of the first of them.
        first: String,
    },
    /// An image is a symbolic link to a file that is not there.
    #[error(
        "{} is a symbolic link to {}, which is not there; fetch that file, or remove the link",
        path.display(), target.display()
    )]
    BrokenLink {
        /// The link.
        path: PathBuf,
        /// The path that it leads to.
        target: PathBuf,
    },
    /// An image cannot be read, because of what its bytes are.
    #[error(transparent)]
    Image(Box<ImageError>),
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
    /// A field of a table has a value that is not allowed.
    #[error("{}: {at}, column '{column}': found '{found}', expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Its line, the header included, or its row.
        at: Position,
        /// Name of the column.
        column: Box<str>,
        /// The field's text.
        found: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// A CSV line has too few or too many fields.
    #[error(
        "{}: line {line} has {}, expected {expected}",
        path.display(), counted(*found, "field")
    )]
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
    /// A line of a file of JSON lines is not an object.
    #[error("{}: line {line} is not a JSON object", path.display())]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// The reason.
        source: serde_json::Error,
    },
    /// The text of a table is far longer than its file.
    #[error(
        "{} has {}, but its text has more than {}; if it is a table of images, save it as a CSV file",
        path.display(), counted(*size, "byte"), counted(*most, "byte")
    )]
    LongTable {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest number of bytes that its text may have.
        most: u64,
    },
    /// A list of images has rows for testing or validation, but none for training.
    #[error("{} lists no training images; expected rows whose split is 'train'", path.display())]
    NoTrainingRows {
        /// The list.
        path: PathBuf,
    },
    /// A list of images names a file that is not there.
    #[error(
        "{}: {at}: there is no file {}; expected the path of an image, absolute or relative to the folder of the \
         list, or to that of --images (if this is not a list of images, move it out of the folder)",
        path.display(), file.display()
    )]
    MissingImage {
        /// The list.
        path: PathBuf,
        /// Its line, the header included, or its row.
        at: Position,
        /// The missing file.
        file: PathBuf,
    },
    /// A list of images names a file twice.
    #[error(
        "{}: {}: {} is listed already, in {}{}; remove one of the two rows",
        path.display(), at[1], file.display(), at[0], OfList(other)
    )]
    ListedTwice {
        /// The list.
        path: PathBuf,
        /// The list that names the file first; `None` if it is the same.
        other: Option<Box<Path>>,
        /// The first and the second line or row that name the file.
        at: [Position; 2],
        /// The file, as it is named second.
        file: PathBuf,
    },
    /// polars found a fault that the check of each line did not find.
    #[error("could not read {} as CSV", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// polars's reason.
        source: polars_core::error::PolarsError,
    },
    /// A fraction takes no images.
    #[error(
        "{flag} {fraction} takes none of the {} of {} ({}): their number is rounded, and the last image of a class \
         is never taken; add images, raise the fraction, or give {flag} 0 for no such split",
        counted(*images, "training image"), path.display(), counted(*classes, "class")
    )]
    EmptySplit {
        /// The dataset folder.
        path: PathBuf,
        /// The flag that names the fraction.
        flag: &'static str,
        /// The requested fraction.
        fraction: f64,
        /// Images to split.
        images: usize,
        /// Classes that they are of.
        classes: usize,
    },
    /// No group of images can leave the training split.
    #[error(
        "{flag} {fraction} takes none of the {} of {}: without any of them, a class would leave training; give \
         {flag} 0 for no such split, or name rows of that split in a column of splits",
        counted(*groups, "group"), path.display()
    )]
    NoGroup {
        /// The dataset.
        path: PathBuf,
        /// The flag that names the fraction.
        flag: &'static str,
        /// The requested fraction.
        fraction: f64,
        /// Number of groups.
        groups: usize,
    },
    /// A column was named for a dataset that has no columns.
    #[error(
        "{} is read as {form}, which has no column '{column}'; omit --columns and --group, or list the images in a CSV \
         file with that column",
        path.display()
    )]
    NoColumns {
        /// The dataset.
        path: PathBuf,
        /// The name of the column.
        column: String,
        /// The name of the dataset's form.
        form: &'static str,
    },
    /// A folder of images was named for a dataset that is not a list of images.
    #[error(
        "{} is read as {form}, whose images are not looked for in --images {}; omit --images, or give --dataset a \
         list of images: a CSV file whose paths are relative to that folder",
        path.display(), images.display()
    )]
    NotAList {
        /// The dataset.
        path: PathBuf,
        /// The folder of images.
        images: PathBuf,
        /// The name of the dataset's form.
        form: &'static str,
    },
    /// The folder of images that was named is not there.
    #[error("--images {} is not a folder; expected the one to which the paths of a list are relative", images.display())]
    NoImagesFolder {
        /// The path.
        images: PathBuf,
    },
    /// Without its unreadable images, a dataset lacks a class or a split.
    #[error("{}: no image of {what} can be read; replace some of them, or remove {what}", path.display())]
    NoneReadable {
        /// The dataset.
        path: PathBuf,
        /// The class or the split.
        what: String,
    },
    /// A split has more images than can be numbered.
    #[error(
        "{} has {images} images in a split; expected at most {}: divide it into several datasets",
        path.display(), u32::MAX
    )]
    TooManyImages {
        /// The dataset folder.
        path: PathBuf,
        /// Their number.
        images: usize,
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
        /// The requested limit.
        limit: usize,
        /// Classes with training images.
        classes: usize,
    },
}

impl Error {
    /// The error of the image at `path`.
    pub(crate) fn image(path: &Path, fault: ImageFault) -> Error {
        Error::Image(Box::new(ImageError { path: path.to_path_buf(), fault }))
    }
}
