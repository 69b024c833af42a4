//! Facts about a usable dataset that its user should know before hours are spent on it.

use std::fmt;
use std::path::PathBuf;

use plural::counted;

use crate::name::Names;

/// A fact about a dataset that its user may not be aware of. [`Display`](fmt::Display) says it in
/// one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Files without an image's ending are among the images and are passed over.
    OtherFiles {
        /// The dataset's folder.
        folder: PathBuf,
        /// Their endings, each with the number of files that have it; empty for files without one.
        endings: Vec<(String, usize)>,
    },
    /// Folders and files that systems make are passed over.
    MadeBySystems {
        /// The dataset's folder.
        folder: PathBuf,
        /// Their names, each with the number of entries that have it.
        names: Vec<(String, usize)>,
    },
    /// Folders and data files that belong to no split are passed over.
    Beside {
        /// The dataset's folder.
        folder: PathBuf,
        /// The folder or file of the training images.
        train: String,
        /// The entries beside it.
        names: Vec<String>,
    },
    /// Images in the folders of listed images are not listed themselves and are passed over.
    Unlisted {
        /// The list.
        list: PathBuf,
        /// Number of images.
        count: usize,
    },
    /// Arrays of other names than the known ones are read, since no others are possible.
    OtherArrays {
        /// The archive.
        path: PathBuf,
        /// The names of the images and of their labels.
        names: [String; 2],
    },
    /// Samples of archives have no image and are passed over.
    NoImageIn {
        /// The archive or their folder.
        path: PathBuf,
        /// Number of samples.
        samples: usize,
    },
    /// A list puts rows of one group into several splits.
    DividedGroups {
        /// The list.
        list: PathBuf,
        /// The groups.
        groups: Vec<String>,
    },
    /// Class folders without images of their own contain folders of the same names.
    SameFolders {
        /// The folder that contains the class folders.
        folder: PathBuf,
        /// The class folders.
        classes: Vec<String>,
        /// The folders that more than one of them contains.
        inner: Vec<String>,
    },
    /// Nearly all images of the only class are in folders within it.
    NestedClass {
        /// The class folder.
        class: PathBuf,
        /// The folders in it.
        inner: Vec<String>,
    },
    /// A fraction is not used, since the dataset has such images of its own.
    UnusedFraction {
        /// The flag that names the fraction.
        flag: &'static str,
        /// `validation` or `test`.
        images: &'static str,
    },
    /// Images of a split are also in another one, byte for byte.
    SharedImages {
        /// The split.
        split: &'static str,
        /// The other one.
        with: &'static str,
        /// The split's rows with such images.
        rows: usize,
        /// The ids of two equal images each: one in the other split, and one in the split.
        examples: Vec<[String; 2]>,
    },
    /// Images with the same bytes have different labels.
    SeveralLabels {
        /// Number of different images.
        images: usize,
        /// The ids of two rows with the same image each, and the names of their classes.
        examples: Vec<[(String, String); 2]>,
    },
    /// A split with labels has no images of some classes.
    AbsentClasses {
        /// `train`, `val` or `test`.
        split: &'static str,
        /// The classes, in the order of their labels.
        absent: Vec<String>,
        /// Number of all classes.
        classes: usize,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::OtherFiles { folder, endings } => {
                let files = counted(endings.iter().map(|(_, count)| count).sum::<usize>(), "file");
                write!(
                    f,
                    "{}: passed over {files} without an image's ending: {}",
                    folder.display(),
                    Endings(endings)
                )
            }
            Notice::MadeBySystems { folder, names } => {
                let names: Vec<String> =
                    names.iter().map(|(name, count)| format!("{name} ({count})")).collect();
                write!(
                    f,
                    "{}: passed over system files and folders: {}",
                    folder.display(),
                    Names(&names)
                )
            }
            Notice::Beside { folder, train, names } => {
                write!(f, "{}: passed over beside {train}: {}", folder.display(), Names(names))
            }
            Notice::Unlisted { list, count } => {
                let images = counted(*count, "image");
                write!(
                    f,
                    "{}: read as the list of the images; passed over {images} not listed there, in \
                     the folders of listed images (to read folders as classes, move the list elsewhere)",
                    list.display()
                )
            }
            Notice::OtherArrays { path, names: [images, labels] } => write!(
                f,
                "{}: read '{images}' as the images and '{labels}' as their labels, since no other arrays of the file \
                 can be these",
                path.display()
            ),
            Notice::NoImageIn { path, samples } => {
                let samples = counted(*samples, "sample");
                write!(f, "{}: passed over {samples} without an image", path.display())
            }
            Notice::DividedGroups { list, groups } => {
                let counted = counted(groups.len(), "group");
                write!(
                    f,
                    "warning: {}: {counted} in several splits: {}",
                    list.display(),
                    Names(groups)
                )
            }
            Notice::SameFolders { folder, classes, inner } => write!(
                f,
                "warning: {} in {} are taken as classes, but hold folders of the same names: {}; \
                 if those are the classes, name a folder that contains them directly",
                Names(classes),
                folder.display(),
                Names(inner)
            ),
            Notice::NestedClass { class, inner } => write!(
                f,
                "warning: nearly all images of the only class, {}, lie in the folders {}: is \
                 {} meant as the dataset?",
                class.display(),
                Names(inner),
                class.display()
            ),
            Notice::UnusedFraction { flag, images } => {
                write!(f, "{flag} is not used: the dataset has {images} images of its own")
            }
            Notice::SharedImages { split, with, rows, examples } => {
                let images = counted(*rows, "image");
                let examples: Vec<String> =
                    examples.iter().map(|[first, second]| format!("{second} = {first}")).collect();
                write!(
                    f,
                    "warning: {images} of {split} also in {with}, byte for byte ({}), so that {split} is easier \
                     than new images are; --dedupe keeps equal images in one split where a fraction takes it",
                    examples.join(", ")
                )
            }
            Notice::SeveralLabels { images, examples } => {
                let images = counted(*images, "image");
                let examples: Vec<String> = examples
                    .iter()
                    .map(|[(first, class), (second, other)]| {
                        format!("{first} is {class}, {second} is {other}")
                    })
                    .collect();
                write!(
                    f,
                    "warning: {images} with several labels, byte for byte ({})",
                    examples.join("; ")
                )
            }
            Notice::AbsentClasses { split, absent, classes } => write!(
                f,
                "warning: {split} has no images of {} of {}: {}",
                absent.len(),
                counted(*classes, "class"),
                Names(absent)
            ),
        }
    }
}

/// Endings of images of high dynamic range, in lower case.
const HDR_ENDINGS: [&str; 3] = ["hdr", "exr", "rgbe"];

/// Endings of files in a message, each with the number of files that have it.
pub(crate) struct Endings<'a>(pub(crate) &'a [(String, usize)]);

impl fmt::Display for Endings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |(ending, count): &(String, usize)| match ending.as_str() {
            "" => format!("no ending ({count})"),
            ending => format!(".{ending} ({count})"),
        };
        let names: Vec<String> = self.0.iter().map(name).collect();
        Names(&names).fmt(f)?;
        match self.0.iter().any(|(ending, _)| HDR_ENDINGS.contains(&ending.as_str())) {
            true => f.write_str(
                " (HDR images are not read, since a network takes 8 bits per channel: save them as PNG or JPEG)",
            ),
            false => Ok(()),
        }
    }
}
