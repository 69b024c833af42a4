use std::path::PathBuf;

use feature_cache::CacheKey;

/// Runs that cannot be averaged, or cannot teach.
#[derive(Debug, thiserror::Error)]
pub enum EnsembleError {
    /// Runs of an ensemble have other classes.
    #[error(
        "the runs {} and {} have other classes: {found}; an ensemble's runs have the same classes in the same order",
        runs[0].display(), runs[1].display()
    )]
    OtherClasses {
        /// Two runs.
        runs: [PathBuf; 2],
        /// The difference.
        found: String,
    },
    /// Runs of an ensemble were trained on other features.
    #[error(
        "the runs {} and {} were trained on other features ({} and {}); an ensemble's runs are those of one cache, \
         and may differ in --tap",
        runs[0].display(), runs[1].display(), keys[0], keys[1]
    )]
    OtherFeatures {
        /// Two runs.
        runs: [PathBuf; 2],
        /// The keys of their features.
        keys: Box<[CacheKey; 2]>,
    },
    /// A run is given twice.
    #[error(
        "the runs {} and {} are the same; name each run of an ensemble once",
        runs[0].display(), runs[1].display()
    )]
    RunTwice {
        /// Their folders.
        runs: [PathBuf; 2],
    },
    /// A teacher was trained on other features.
    #[error(
        "{flag}: the run {} was trained on other features than {}, {found}; it may have seen the images that heads are \
         validated on, so name a run of these features, or train one: vgg-head train --features={}",
        run.display(), cache.display(), cache.display()
    )]
    TeacherFeatures {
        /// The flag that names it.
        flag: &'static str,
        /// The run.
        run: PathBuf,
        /// The cache.
        cache: PathBuf,
        /// The difference.
        found: String,
    },
}
