//! Errors about folders of images.

use std::path::PathBuf;

use super::words::{Alike, ButOthers};
use crate::name::Names;
use crate::notice::Endings;

/// Class folders that do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
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
        "the only class is {}, and all its images are in the folders {}: is {} meant as the dataset? \
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
    /// The folders that may be classes hold files, none of which has an image's ending.
    #[error(
        "the folders in {} hold no images (files that end with one of {endings}), but files that end with {}; if these \
         are images, name them by their formats (cat/1 becomes cat/1.jpg) or convert them (.heic to .jpg)",
        path.display(), Endings(others)
    )]
    NoImageEndings {
        /// The folder that they are in.
        path: PathBuf,
        /// The endings of the files, with their numbers.
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
}
