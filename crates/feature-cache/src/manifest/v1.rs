//! Manifests of format 1.x: one network, one tap, and the fields of the recipe one by one.

use std::collections::BTreeMap;

use durable::{Digest, Format};
use recipe::{
    Decode, Dtype, Family, Fit, ImageForm, Orientation, Pooling, Recipe, ResizeFilter, Tap,
    TapShape, WeightsId,
};
use serde::Deserialize;
use serde_json::json;

use super::text::read_format;
use super::{DatasetInputs, FileEntry, Part, SplitName};
use crate::{CacheKey, Layout};

/// The one network of 1.x.
const BACKBONE: &str = "vgg16";
/// Its one tap, as 1.x called it: torchvision's name of the ReLU after conv5_3.
const CUT: &str = "features.29";

/// The content of `manifest.json`.
#[derive(Deserialize)]
pub(super) struct Manifest {
    #[serde(alias = "format_version", deserialize_with = "read_format")]
    format: Format,
    program: String,
    key: CacheKey,
    inputs: Inputs,
    class_names: Vec<String>,
    feature_shape: [usize; 3],
    splits: BTreeMap<SplitName, Split>,
}

#[derive(Deserialize)]
struct Inputs {
    dataset: DatasetInputs,
    weights: Weights,
    backbone: String,
    cut: String,
    height: usize,
    width: usize,
    resize: ResizeFilter,
    numerics: String,
    augmentation: Option<String>,
    dtype: Dtype,
}

#[derive(Deserialize)]
struct Weights {
    digest: Digest,
    family: Family,
}

#[derive(Deserialize)]
struct Split {
    rows: usize,
    features: Vec<Part>,
    labels: Option<FileEntry>,
    ids: FileEntry,
}

/// That tap in this version's form.
fn tap() -> Tap {
    Tap { layer: "conv5_3".into(), pooling: Pooling::None }
}

impl Manifest {
    /// The manifest in this version's form, with the format and key of the file.
    ///
    /// # Errors
    /// If it has a value that no program of 1.x wrote. The text names it.
    pub(super) fn upgrade(self) -> Result<super::Manifest, String> {
        let inputs = self.inputs.upgrade()?;
        let shape: TapShape = self.feature_shape.into();
        let splits = self.splits.into_iter().map(|(name, split)| {
            let Split { rows, features, labels, ids } = split;
            let features = [(tap(), features)].into();
            (name, super::Split { rows, features, labels, ids, images: None })
        });
        Ok(super::Manifest {
            format: self.format,
            program: self.program,
            key: self.key,
            inputs,
            layout: Layout::Dense,
            reading: None,
            source: None,
            skipped: None,
            class_names: self.class_names,
            shapes: [(tap(), shape)].into(),
            splits: splits.collect(),
        })
    }
}

impl Inputs {
    fn upgrade(self) -> Result<super::Inputs, String> {
        if (self.backbone.as_str(), self.cut.as_str()) != (BACKBONE, CUT) {
            return Err(format!(
                "features of {} at {}, where this format had only {BACKBONE} at {CUT}",
                self.backbone, self.cut
            ));
        }
        if let Some(augmentation) = self.augmentation {
            return Err(format!(
                "images distorted by {augmentation:?}, which this format never had"
            ));
        }
        let Weights { digest, family } = self.weights;
        let recipe = Recipe {
            network: self.backbone,
            weights: WeightsId { digest, family },
            image: ImageForm {
                height: self.height,
                width: self.width,
                fit: Fit::Stretch,
                pad_colour: None,
                resize: self.resize,
                orientation: Orientation::Ignore,
                decode: Decode::Full,
            },
            taps: vec![tap()],
            numerics: self.numerics,
            dtype: self.dtype,
        };
        Ok(super::Inputs { recipe, dataset: self.dataset, views: None })
    }
}

/// The key that 1.1 gave to a cache of these inputs; `None` if it had no such cache.
pub(super) fn key_of_1_1(inputs: &super::Inputs) -> Option<CacheKey> {
    let Recipe { network, weights, image, taps, numerics, dtype } = &inputs.recipe;
    let ImageForm { height, width, fit, pad_colour: _, resize, orientation, decode } = image;
    let as_then = network == BACKBONE
        && *taps == [tap()]
        && (*fit, *orientation) == (Fit::Stretch, Orientation::Ignore)
        && (*resize, *decode) == (ResizeFilter::Bilinear, Decode::Full)
        && inputs.views.is_none();
    as_then.then(|| {
        CacheKey::of(json!({
            "dataset": inputs.dataset,
            "weights": weights,
            "backbone": network,
            "cut": CUT,
            "height": height,
            "width": width,
            "resize": resize,
            "numerics": numerics,
            "dtype": dtype,
        }))
    })
}
