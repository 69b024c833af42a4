//! Errors about splits and their classes.

use std::path::PathBuf;

use plural::counted;

use super::words::Fraction;
use crate::name::Names;

/// A dataset that cannot be split, or whose splits no head can be trained and evaluated on.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
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
    /// A fraction takes no images.
    #[error(
        "{flag} {} takes none of the {} of {} ({}): their number is rounded, and the last image of a class \
         is never taken; add images, raise the fraction, or give {flag} 0 for no such split",
        Fraction(*fraction), counted(*images, "training image"), path.display(), counted(*classes, "class")
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
    /// Classes have a single image, and a split is to be taken from the training images.
    #[error(
        "{}: {} with a single training image: {} (the first is {first}), none of which {flag} can take out of training; \
         add images, remove the class, or give --allow-single-images to keep it in training alone",
        path.display(), counted(classes.len(), "class"), Names(classes)
    )]
    SingleImages {
        /// The dataset.
        path: PathBuf,
        /// The flag that names the split's fraction.
        flag: &'static str,
        /// The classes, in the order of their labels.
        classes: Vec<String>,
        /// The id of the image of the first of them.
        first: String,
    },
    /// No group of images can leave the training split.
    #[error(
        "{flag} {} takes none of the {} of {}: without any of them, a class would leave training; give \
         {flag} 0 for no such split, or name rows of that split in a column of splits",
        Fraction(*fraction), counted(*groups, "group"), path.display()
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
