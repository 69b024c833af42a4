//! The on-disk contract between feature extraction and head training.
//!
//! In (writing): rows of features in row order, with their ids, labels and the digests of their images. Out
//! (reading): memory maps of the same rows. The invariants: a folder with a manifest is complete and
//! describes itself; a folder without one is unfinished work, to be resumed, never read; equal keys mean
//! equal features, in whichever layout. Plain NumPy can read every array in it.
//!
//! ```text
//! <dataset>-<size>px-<key>/
//!   manifest.json          written last, by rename
//!   train/features.npy     (N, C, H, W) or (N, C), float32 or float16, C order; of several taps
//!                          features-<layer>.npy or features-<layer>-<pooling>.npy, one for each
//!   train/labels.npy       (N,) int64; absent for unlabelled splits
//!   train/ids.txt          one sample id per line, row order
//!   train/images.b3        the digest of each row's image, 32 bytes each; absent if they are not known
//!   val/…  test/…
//!   skipped.csv            images that were left out, since they cannot be read; absent if there are none
//!   progress.json, .lock   only while it is being written
//!   pooled/                training's view of the features; may be removed at any time
//! ```
//!
//! In the layout `csr` the folder's name ends with `-csr`, and `features.npy` is replaced by
//! `features.data.npy`, `features.indices.npy` and `features.indptr.npy`. Of several writers each has files of
//! its own: `features.0-of-2.npy`, `progress.0-of-2.json`, `.lock.0-of-2`.

mod annotations;
mod convert;
mod error;
mod files;
mod finite;
mod garbage;
mod ids;
mod images;
mod key;
mod layout;
mod locks;
mod manifest;
mod npy;
mod progress;
mod reader;
mod reuse;
mod shard;
mod skipped;
mod spec;
mod writer;

pub use convert::Converted;
pub use error::Error;
pub use garbage::{Found, Garbage, Why, find_garbage, keys_referred_to};
pub use ids::Ids;
pub use images::Images;
pub use key::CacheKey;
pub use layout::Layout;
pub use manifest::{
    DatasetInputs, FORMAT, FileEntry, Inputs, Manifest, Part, PartFiles, SourceFlags, Split,
    SplitName,
};
pub use npy::{NPY_HEADER, npy_header};
pub use progress::{Unfinished, unfinished};
pub use reader::{Cache, SplitReader, Verification, is_finished, newest};
pub use reuse::{Checking, RowSources, Skipped};
pub use shard::Shard;
pub use skipped::{SkippedImage, SkippedImages};
pub use spec::{CacheSpec, SplitRows, SplitSpec};
pub use writer::{CacheWriter, SplitWriter, Started};
