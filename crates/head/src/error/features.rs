use std::path::PathBuf;

use feature_cache::SplitName;

/// Features that cannot be read, or that a head cannot be trained or evaluated on as asked for.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// The dataset is not what it was when the features were made.
    #[error(
        "the files in {} are not those that the features were made from, or are read differently now",
        path.display()
    )]
    OtherImages {
        /// The dataset.
        path: PathBuf,
    },
    /// The features are too small to be pooled.
    #[error(
        "{}: features of {height}x{width} are too small for the head's 2x2 max pool; \
         extract again with --size=32 or more",
        path.display()
    )]
    TooSmallToPool {
        /// The cache.
        path: PathBuf,
        /// Height of the features.
        height: usize,
        /// Width of the features.
        width: usize,
    },
    /// A feature is NaN or infinite.
    #[error(
        "{}: row {row} of the {split} features has the value {value}, expected finite numbers; extract the \
         features again",
        path.display()
    )]
    NotFinite {
        /// The cache.
        path: PathBuf,
        /// The split.
        split: SplitName,
        /// Row within the split.
        row: usize,
        /// The value.
        value: f32,
    },
    /// The columns of a row of the pooled features contradict each other.
    #[error(
        "{} is damaged at row {row}: its columns do not ascend, or are more than there are; give the \
         same command again, which makes the pooled features again",
        path.display()
    )]
    DamagedView {
        /// A file of the pooled features.
        path: PathBuf,
        /// Row within the split.
        row: usize,
    },
    /// All training rows have the same label.
    #[error(
        "the training split of {} has only one class ('{class}'); a head needs two or more",
        path.display()
    )]
    OneClass {
        /// The cache.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// Without a validation split, a sweep cannot choose.
    #[error(
        "{} has no validation split, by which a sweep chooses; extract again with --val-fraction=1/6",
        path.display()
    )]
    NoValidation {
        /// The cache.
        path: PathBuf,
    },
    /// Without a validation split, epochs cannot be compared.
    #[error(
        "{} has no validation split, by which {flag} compares epochs; extract again with --val-fraction=1/6, or \
         leave {flag} out",
        path.display()
    )]
    NoValidationOfEpochs {
        /// The cache.
        path: PathBuf,
        /// The flag that asks for it.
        flag: String,
    },
    /// Without a validation split, heads cannot be calibrated.
    #[error(
        "{} has no validation split, by which --calibrate finds the temperature; extract again with \
         --val-fraction=1/6, or leave --calibrate out",
        path.display()
    )]
    NoValidationToCalibrate {
        /// The cache.
        path: PathBuf,
    },
    /// Without a validation split, a baseline's option cannot be chosen.
    #[error(
        "{} has no validation split, by which {flag} is chosen; extract again with --val-fraction=1/6, or give one \
         value to {flag}, and --test",
        path.display()
    )]
    NoValidationForBaseline {
        /// The cache.
        path: PathBuf,
        /// The flag of the option.
        flag: &'static str,
    },
    /// Training images have no distorted copies that could take turns.
    #[error(
        "{} has no distorted copies of its training images, of which --views-per-epoch=1 takes another one in each \
         epoch; extract again with --views=K, or leave --views-per-epoch out",
        path.display()
    )]
    NoViewsToTakeTurns {
        /// The cache.
        path: PathBuf,
    },
    /// Images of a split have fewer distorted copies than are to be averaged.
    #[error(
        "--tta={wanted}: the {split} images of {} have {}; {}",
        path.display(),
        match found {
            0 => "no distorted copies".to_owned(),
            1 => "1 distorted copy".to_owned(),
            found => format!("{found} distorted copies"),
        },
        match split {
            SplitName::Train => format!("extract again with --views={wanted}"),
            _ => format!("extract again with --{split}-views={wanted}, or leave --tta out"),
        }
    )]
    NoViews {
        /// The cache.
        path: PathBuf,
        /// The split.
        split: SplitName,
        /// Copies of each image.
        found: u32,
        /// Copies asked for.
        wanted: u32,
    },
    /// There are no rows to be pseudo-labelled.
    #[error(
        "{} has no image in its {split} split that is not among those that heads are validated on, so there is none for \
         --pseudo; leave --pseudo out",
        path.display()
    )]
    NoPseudoRows {
        /// The cache.
        path: PathBuf,
        /// The split.
        split: SplitName,
    },
}
