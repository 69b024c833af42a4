//! A feature cache as the rest of the crate sees it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use feature_cache::{Cache, CacheKey, DatasetInputs, Ids, SkippedImages, SourceFlags, SplitName};
use fused_head::{HeadShape, HiddenLayers};
use recipe::{Network, Orientation, Tap, ViewCounts};
use serde::Deserialize;
use serde_json::Value;

use crate::config::TrainConfig;
use crate::corrections::Corrections;
use crate::cross_validation::folds::Fold;
use crate::error::ConfigError;
use crate::error::Error;
use crate::features::row::TapRows;
use crate::features::rows::Sizes;
use crate::features::view::ViewFiles;
use crate::images::RecordedDataset;
use crate::teacher::Teacher;

/// The features that heads are trained and evaluated on: a cache, and the taps whose rows are joined. For training,
/// also corrections of its labels, the fold on which heads are not trained, and a teacher.
#[derive(Debug, Clone, Copy)]
pub struct Features<'a> {
    pub(super) cache: &'a Cache,
    pub(super) taps: &'a [Tap],
    corrections: Option<&'a Corrections>,
    fold: Option<Fold>,
    teacher: Option<&'a Teacher>,
}

impl<'a> Features<'a> {
    /// The features of the cache's last tap.
    pub fn new(cache: &'a Cache) -> Features<'a> {
        let taps = std::slice::from_ref(cache.default_tap());
        Features { cache, taps, corrections: None, fold: None, teacher: None }
    }

    /// The features of `taps`, joined in that order; if there are none, those of the last tap.
    ///
    /// # Errors
    /// If the cache does not have a tap, or a tap is given twice.
    pub fn at(cache: &'a Cache, taps: &'a [Tap]) -> Result<Features<'a>, Error> {
        if taps.is_empty() {
            return Ok(Features::new(cache));
        }
        for (index, tap) in taps.iter().enumerate() {
            cache.shape(tap)?;
            if taps[..index].contains(tap) {
                return Err(Error::Config(ConfigError::TapTwice { tap: tap.clone() }));
            }
        }
        Ok(Features { cache, taps, corrections: None, fold: None, teacher: None })
    }

    /// The same features, where heads are trained with corrected labels.
    #[must_use]
    pub fn corrected(self, corrections: Option<&'a Corrections>) -> Features<'a> {
        Features { corrections, ..self }
    }

    /// The same features, where heads are trained towards a teacher's probabilities. The teacher must have been opened
    /// for this cache.
    #[must_use]
    pub fn taught(self, teacher: Option<&'a Teacher>) -> Features<'a> {
        Features { teacher, ..self }
    }

    /// The same features, where heads are trained on all folds but one.
    pub(crate) fn outside_of(self, fold: Fold) -> Features<'a> {
        Features { fold: Some(fold), ..self }
    }

    /// The corrections of the training split's labels.
    pub(crate) fn corrections(self) -> Option<&'a Corrections> {
        self.corrections
    }

    /// The teacher of the heads.
    pub(crate) fn teacher(self) -> Option<&'a Teacher> {
        self.teacher
    }

    /// The fold on which heads are not trained.
    pub(crate) fn fold(self) -> Option<Fold> {
        self.fold
    }

    /// The cache.
    pub(crate) fn cache(self) -> &'a Cache {
        self.cache
    }

    /// The cache's folder.
    pub(crate) fn folder(self) -> &'a Path {
        self.cache.folder()
    }

    /// The cache's folder as an absolute path, if it can be determined.
    pub(crate) fn absolute_folder(self) -> PathBuf {
        std::path::absolute(self.folder()).unwrap_or_else(|_| self.folder().to_path_buf())
    }

    /// The key of the cache.
    pub(crate) fn key(self) -> CacheKey {
        self.cache.manifest().key
    }

    /// How an image becomes a row of the cache, as its manifest has it.
    pub(crate) fn recipe(self) -> &'a Value {
        self.cache.recipe_as_written()
    }

    /// The taps whose rows are joined.
    pub(crate) fn taps(self) -> &'a [Tap] {
        self.taps
    }

    /// The taps with the shapes of their rows.
    pub(super) fn tap_rows(self) -> Vec<TapRows<'a>> {
        let shapes = &self.cache.manifest().shapes;
        self.taps.iter().map(|tap| TapRows { tap, shape: &shapes[tap] }).collect()
    }

    /// The channels of each tap in a row of a head's input, with the number of positions that each has there.
    pub(crate) fn channels(self) -> Vec<(usize, usize)> {
        let of_tap = |tap: TapRows<'_>| (tap.shape[0], tap.pooled_len() / tap.shape[0]);
        self.tap_rows().into_iter().map(of_tap).collect()
    }

    /// The number of elements in a row of a head's input.
    pub(crate) fn row_len(self) -> usize {
        self.tap_rows().into_iter().map(TapRows::pooled_len).sum()
    }

    /// The memory that the rows of a split take, as it is recorded beside them; `None` if it is not.
    pub(crate) fn recorded_sizes(self, split: SplitName) -> Option<Sizes> {
        let files = ViewFiles::of(self, split).ok()?;
        files.recorded_sizes(&self.cache.split_at(split, self.taps).ok()?, self.row_len())
    }

    /// The name, without its ending, of the files of the pooled view of a split: the split's name for the cache's
    /// last tap, and for others with the taps' names.
    pub(super) fn view_name(self, split: SplitName) -> String {
        if self.taps == std::slice::from_ref(self.cache.default_tap()) {
            return split.to_string();
        }
        let taps: Vec<String> =
            self.taps.iter().map(|tap| tap.to_string().replace(':', "-")).collect();
        format!("{split}-{}", taps.join("+"))
    }

    /// The names of the classes; a label is an index into them.
    pub(crate) fn class_names(self) -> &'a [String] {
        &self.cache.manifest().class_names
    }

    /// The shape of a head with these hidden layers on these features, whose inputs are normalised over the taps'
    /// channels or not.
    pub(crate) fn head_shape(self, hidden: HiddenLayers, normalises_inputs: bool) -> HeadShape {
        let shape = HeadShape::new(self.row_len(), hidden, self.class_names().len());
        let positions = self.channels().first().and_then(|&(_, it)| NonZeroUsize::new(it));
        match positions {
            Some(positions) if normalises_inputs => shape.with_input_norm(positions),
            _ => shape,
        }
    }

    /// Checks that heads of this configuration can be trained on these features.
    ///
    /// # Errors
    /// If the parts of a head's form do not fit each other, its inputs are normalised over channels and these have more
    /// positions in one tap than in another, or rows are to be mixed that a teacher gives probabilities.
    pub(crate) fn check(self, config: &TrainConfig) -> Result<(), Error> {
        config.check()?;
        let channels = self.channels();
        let differ = channels.windows(2).any(|pair| pair[0].1 != pair[1].1);
        if config.arch.normalises_inputs() && differ {
            let taps = self.taps.iter().map(Tap::to_string).collect();
            return Err(Error::Config(ConfigError::PositionsDiffer { arch: config.arch, taps }));
        }
        if config.mixup != 0.0 && self.teacher().is_some() {
            return Err(Error::Config(ConfigError::MixupWithTeacher { mixup: config.mixup }));
        }
        Ok(())
    }

    /// Rows of a split; `None` if there is no such split.
    pub(crate) fn rows(self, split: SplitName) -> Option<usize> {
        self.cache.manifest().splits.get(&split).map(|split| split.rows)
    }

    /// Number of images of a split: rows that are not those of distorted copies.
    ///
    /// # Errors
    /// If there is no such split.
    pub(crate) fn images(self, split: SplitName) -> Result<usize, Error> {
        Ok(self.cache.split(split)?.image_count())
    }

    /// Number of distorted copies of each image of a split.
    ///
    /// # Errors
    /// If there is no such split.
    pub(crate) fn views(self, split: SplitName) -> Result<u32, Error> {
        let split = self.cache.split(split)?;
        Ok((split.rows() / split.image_count().max(1)).saturating_sub(1) as u32)
    }

    /// Whether there is such a split, with labels.
    pub(crate) fn is_labelled(self, split: SplitName) -> bool {
        let split = self.cache.manifest().splits.get(&split);
        split.is_some_and(|split| split.labels.is_some())
    }

    /// The labels of a split, which must have some: indices into the class names.
    pub(crate) fn labels(self, split: SplitName) -> Result<Vec<i64>, Error> {
        Ok(self.cache.split(split)?.labels_required()?)
    }

    /// The sample ids of a split, in row order.
    pub(crate) fn ids(self, split: SplitName) -> Result<Ids, Error> {
        Ok(self.cache.split(split)?.ids()?)
    }

    /// The cache's manifest, to be shown.
    pub(crate) fn manifest_json(self) -> String {
        self.cache.manifest().to_text()
    }
}

/// Taps by the names that a cache has for them: torchvision's names (`features.22`) are resolved if the
/// cache's network is known.
pub fn taps_of(cache: &Cache, taps: &[Tap]) -> Vec<Tap> {
    let network = Network::named(&cache.manifest().inputs.recipe.network).ok();
    let resolve = |tap: &Tap| {
        let layer = network.and_then(|network| Some((network, network.layer(&tap.layer).ok()?)));
        let layer = layer.map(|(network, layer)| network.layer_name(layer));
        Tap { layer: layer.unwrap_or_else(|| tap.layer.clone()), pooling: tap.pooling }
    };
    taps.iter().map(resolve).collect()
}

/// Number of distorted copies of each training image that a manifest records; 0 if the text is not a manifest's.
pub(crate) fn training_copies_of(manifest_json: &str) -> u32 {
    let manifest: Value = serde_json::from_str(manifest_json).unwrap_or_default();
    let count = manifest.pointer("/inputs/views/count").cloned().unwrap_or_default();
    serde_json::from_value::<ViewCounts>(count).map_or(0, |counts| counts.train)
}

/// The dataset that a manifest records, and whether its images are turned as the camera recorded; `None` if the
/// text is not a manifest's.
pub(crate) fn dataset_of(manifest_json: &str) -> Option<(RecordedDataset, Orientation)> {
    #[derive(Deserialize)]
    struct Manifest {
        inputs: Inputs,
        #[serde(default)]
        source: SourceFlags,
        #[serde(default)]
        skipped: Option<SkippedImages>,
    }
    #[derive(Deserialize)]
    struct Inputs {
        dataset: DatasetInputs,
        /// Manifests of 1.x have no recipe.
        #[serde(default)]
        recipe: Value,
    }
    let Manifest { inputs, source, skipped } = serde_json::from_str(manifest_json).ok()?;
    let orientation = inputs.recipe.pointer("/image/orientation").cloned().unwrap_or_default();
    let skipped = skipped.map(|skipped| skipped.images).unwrap_or_default();
    let dataset = RecordedDataset { inputs: inputs.dataset, source, skipped };
    Some((dataset, serde_json::from_value(orientation).unwrap_or_default()))
}
