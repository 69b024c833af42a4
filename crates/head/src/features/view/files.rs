//! The files of a view, their headers, and the record of what they were made from.

use std::io::Read;
use std::path::{Path, PathBuf};

use durable::{Digest, Stamp};
use feature_cache::{Layout, NPY_HEADER, SplitName, SplitReader, npy_header};
use serde::{Deserialize, Serialize};

use super::open_file;
use crate::error::Error;
use crate::features::cache::Features;
use crate::features::rows::{Sizes, has_narrow_columns};

/// Bytes of an element of `data` and of a dense row.
pub(super) const VALUE: usize = size_of::<f32>();
/// Bytes of an element of `indptr`.
pub(super) const POINTER: usize = size_of::<u64>();

/// The files of a split's view.
#[derive(Debug, Clone)]
pub(crate) struct ViewFiles {
    pub(super) dense: PathBuf,
    /// `data`, `indices`, `indptr`.
    pub(super) csr: [PathBuf; 3],
    pub(super) record: PathBuf,
}

/// `<split>.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) features_digest: Digest,
    pub(super) layout: Layout,
    /// Numbers that are not 0.
    pub(super) elements: u64,
    /// The most of them in a block of [`BLOCK_ROWS`] rows.
    pub(super) largest_block: u64,
    /// In the order of [`ViewFiles::arrays`].
    pub(super) arrays: Vec<ArrayRecord>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ArrayRecord {
    pub(super) digest: Digest,
    /// The array's when its digest was last found right.
    pub(super) stamp: Option<Stamp>,
}

impl ViewFiles {
    /// The files of the view of a split.
    ///
    /// # Errors
    /// If a link leads out of the cache's folder: the view lies beside the features, not where a link in
    /// their folder leads.
    pub(crate) fn of(features: Features<'_>, split: SplitName) -> Result<ViewFiles, Error> {
        let name = features.view_name(split);
        let file = |ending: &str| features.cache.pooled_file(&format!("{name}.{ending}"));
        Ok(ViewFiles {
            dense: file("npy")?,
            csr: [file("data.npy")?, file("indices.npy")?, file("indptr.npy")?],
            record: file("json")?,
        })
    }

    pub(super) fn arrays(&self, layout: Layout) -> &[PathBuf] {
        match layout {
            Layout::Dense => std::slice::from_ref(&self.dense),
            Layout::Csr => &self.csr,
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.record.parent().expect("the view lies in a folder of the cache")
    }

    /// The first array of the view, to be named to the user.
    pub(crate) fn first(&self, layout: Layout) -> &Path {
        &self.arrays(layout)[0]
    }

    /// The record, if it is of the features of this digest.
    pub(super) fn read_record(&self, features_digest: Digest) -> Option<Record> {
        let mut text = Vec::new();
        open_file(&self.record)?.read_to_end(&mut text).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        let arrays = self.arrays(record.layout).len();
        let fits = record.features_digest == features_digest && record.arrays.len() == arrays;
        fits.then_some(record)
    }

    /// The sizes of the rows as they are recorded; `None` if there is no view of these features.
    pub(crate) fn recorded_sizes(&self, split: &SplitReader<'_>, row_len: usize) -> Option<Sizes> {
        let record = self.read_record(split.features_digest())?;
        let Record { layout, elements, largest_block, .. } = record;
        Some(Sizes::new(layout, (split.rows(), row_len), elements, largest_block))
    }

    pub(super) fn write_record(&self, record: &Record) -> Result<(), durable::Error> {
        let text = serde_json::to_vec_pretty(record).expect("strings and numbers serialise");
        durable::replace(&self.record, &text)
    }

    /// Removes the record, so that the view is made again when it is opened next.
    pub(crate) fn forget(&self) {
        // Where it cannot be removed, the user learns of the damage again.
        let _ = durable::remove(&self.record);
    }
}

/// The headers of a view's arrays and the bytes of each.
pub(super) fn headers(
    layout: Layout,
    (rows, row_len): (usize, usize),
    elements: usize,
) -> Vec<Header> {
    let header = |descriptor, shape: &[usize], size: usize| {
        let numbers = shape.iter().fold(1u64, |all, &len| all.saturating_mul(len as u64));
        let bytes = numbers.saturating_mul(size as u64).saturating_add(NPY_HEADER as u64);
        Header { text: npy_header(descriptor, shape), file_len: bytes }
    };
    match layout {
        Layout::Dense => vec![header("<f4", &[rows, row_len], VALUE)],
        Layout::Csr => {
            let indices = if has_narrow_columns(row_len) {
                header("<u2", &[elements], size_of::<u16>())
            } else {
                header("<i4", &[elements], size_of::<i32>())
            };
            vec![header("<f4", &[elements], VALUE), indices, header("<i8", &[rows + 1], POINTER)]
        }
    }
}

pub(super) struct Header {
    pub(super) text: [u8; NPY_HEADER],
    /// Bytes of the whole file.
    pub(super) file_len: u64,
}
