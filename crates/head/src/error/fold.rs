use std::path::PathBuf;

use plural::counted;

use crate::cross_validation::Grouping;

/// Training images that cannot be divided into folds.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A class has fewer images, or groups of images, than there are folds.
    #[error(
        "--folds={folds}: the training split of {} has only {} of class '{class}'{}, and each fold needs one; {}",
        path.display(), counted(*images, "image"),
        if groups < images {
            format!(", in {} ({grouping})", counted(*groups, "group"))
        } else {
            String::new()
        },
        if *groups > 1 {
            format!("expected at most --folds={groups}")
        } else {
            "extract again with more of them, or without the class".to_owned()
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
        /// Where the groups come from.
        grouping: Grouping,
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
