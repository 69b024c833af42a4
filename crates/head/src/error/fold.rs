use std::path::PathBuf;

use plural::counted;

/// Training images that cannot be divided into folds.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A class has fewer images, or groups of images, than there are folds.
    #[error(
        "--folds={folds}: the training split of {} has only {} of class '{class}'{}, and each fold needs one; expected \
         at most --folds={groups}",
        path.display(), counted(*images, "image"),
        if groups < images {
            format!(", in {} (images with the same bytes are in one)", counted(*groups, "group"))
        } else {
            String::new()
        }
    )]
    TooFewForFolds {
        /// The cache.
        path: PathBuf,
        /// The class.
        class: String,
        /// Number of its images.
        images: usize,
        /// Number of groups that they are in.
        groups: usize,
        /// Number of folds.
        folds: usize,
    },
    /// Groups leave a fold without a class.
    #[error(
        "--folds={folds}: the groups of the training images of {} leave fold {fold} without an image of class \
         '{class}', whose {} are in {}; take fewer folds, or smaller groups by --group=FILE",
        path.display(), counted(*images, "image"), counted(*groups, "group")
    )]
    FoldWithoutClass {
        /// The cache.
        path: PathBuf,
        /// The fold, counted from 1.
        fold: usize,
        /// The class.
        class: String,
        /// Number of its images.
        images: usize,
        /// Number of groups that they are in.
        groups: usize,
        /// Number of folds.
        folds: usize,
    },
}
