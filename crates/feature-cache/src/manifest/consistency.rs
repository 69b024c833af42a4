//! Whether a manifest makes sense: its digest guards against damage, not against malice.

use durable::Format;
use plural::counted;
use recipe::{Dtype, Tap};
use serde_json::Value;

use super::{Manifest, Part, Split, SplitName};
use crate::images::DIGEST_BYTES;
use crate::{CacheKey, SkippedImage};

/// Largest valid row of features, in bytes: that of the first layer for an image of 4096 px.
const MAX_ROW_BYTES: usize = 4 << 30;

impl Manifest {
    /// A contradiction in the manifest; `None` if there is none. `inputs` are its inputs, including fields that
    /// this version does not know.
    pub(super) fn contradiction(&self, inputs: Value) -> Option<String> {
        // That of 1.0 depends on the program that printed it.
        let has_canonical_key = self.format != Format { major: 1, minor: 0 };
        let key = CacheKey::of(inputs);
        if has_canonical_key && self.key != key {
            return Some(format!("its key is {}, but that of its inputs is {key}", self.key));
        }
        let (taps, dtype) = (&self.inputs.recipe.taps, self.inputs.recipe.dtype);
        if self.inputs.views.as_ref().is_some_and(|views| views.count.are_none()) {
            return Some("it has views, and says that there are none".to_owned());
        }
        if let Some(found) = self.tap_contradiction() {
            return Some(found);
        }
        if self.inputs.dataset.skipped != SkippedImage::digest_of(self.skipped_images()) {
            return Some(
                "the images that it lists as skipped are not those of its inputs".to_owned(),
            );
        }
        for (name, split) in &self.splits {
            let per_image = self.inputs.rows_per_image(*name);
            if !split.rows.is_multiple_of(per_image) {
                let rows = counted(split.rows, "row");
                return Some(format!(
                    "the {name} split has {rows}, where every image has {per_image}"
                ));
            }
            for tap in taps {
                let Some(row_bytes) = row_bytes(&self.shapes[tap], dtype) else {
                    return Some(format!("features of shape {:?}", self.shapes[tap]));
                };
                let parts = &split.features[tap];
                let found = split.part_contradiction(*name, parts, row_bytes);
                let found = found.or_else(|| self.layout_contradiction(parts));
                if found.is_some() {
                    return found;
                }
            }
            if let Some(images) = &split.images
                && split.rows.checked_mul(DIGEST_BYTES) != usize::try_from(images.bytes).ok()
            {
                let (bytes, rows) = (images.bytes, split.rows);
                return Some(format!(
                    "{:?} has {bytes} bytes, where {rows} digests of images have {DIGEST_BYTES} each",
                    images.file
                ));
            }
        }
        None
    }

    /// Likewise, about parts whose files are not those of the layout.
    fn layout_contradiction(&self, parts: &[Part]) -> Option<String> {
        let other = parts.iter().find(|part| part.files.layout() != self.layout)?;
        Some(format!("{:?} is not of the layout {}", other.files.name(), self.layout))
    }

    /// A contradiction between the taps that recipe, shapes and splits name, which must be the same.
    fn tap_contradiction(&self) -> Option<String> {
        let taps = &self.inputs.recipe.taps;
        let join = |taps: &mut dyn Iterator<Item = &Tap>| {
            taps.map(Tap::to_string).collect::<Vec<_>>().join(", ")
        };
        if taps.is_empty() || (1..taps.len()).any(|at| taps[..at].contains(&taps[at])) {
            return Some(format!("the taps [{}]", join(&mut taps.iter())));
        }
        let differ = |what: &str, found: &mut dyn ExactSizeIterator<Item = &Tap>| {
            let mut found: Vec<&Tap> = found.collect();
            let mut expected: Vec<&Tap> = taps.iter().collect();
            found.sort();
            expected.sort();
            (found != expected).then(|| {
                let (found, expected) =
                    (join(&mut found.into_iter()), join(&mut expected.into_iter()));
                format!("{what} of the taps [{found}], where the recipe has [{expected}]")
            })
        };
        let shapes = differ("it has shapes", &mut self.shapes.keys());
        shapes.or_else(|| {
            self.splits.iter().find_map(|(name, split)| {
                differ(&format!("the {name} split has features"), &mut split.features.keys())
            })
        })
    }
}

impl Split {
    fn part_contradiction(
        &self,
        name: SplitName,
        parts: &[Part],
        row_bytes: usize,
    ) -> Option<String> {
        let mut rows = 0usize;
        for Part { files, first_row, rows: rows_of_part } in parts {
            if *first_row != rows {
                return Some(format!(
                    "{:?} begins with row {first_row} of the {name} split, where row {rows} is due",
                    files.name()
                ));
            }
            rows = rows.saturating_add(*rows_of_part);
        }
        if rows != self.rows {
            return Some(format!(
                "the {name} split has {}, its files have {rows}",
                counted(self.rows, "row")
            ));
        }
        if rows.checked_mul(row_bytes).is_none() {
            return Some(format!(
                "the {name} split has {} of {row_bytes} bytes",
                counted(rows, "row")
            ));
        }
        None
    }
}

/// The size of a row of features of this shape, in bytes; `None` if it is not a valid shape.
pub(crate) fn row_bytes(shape: &[usize], dtype: Dtype) -> Option<usize> {
    if !matches!(shape.len(), 1 | 3) {
        return None;
    }
    let numbers = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    let bytes = numbers.and_then(|numbers| numbers.checked_mul(dtype.bytes()));
    bytes.filter(|bytes| (1..=MAX_ROW_BYTES).contains(bytes))
}
