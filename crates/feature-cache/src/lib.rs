//! The on-disk contract between feature extraction and head training.
//!
//! In (writing): rows of features in row order, with their ids and labels. Out (reading): memory
//! maps of the same rows. The invariants: a folder with a manifest is complete and describes
//! itself; a folder without one is unfinished work, to be resumed, never read; equal keys mean
//! equal features. Plain NumPy can read every array in it.
//!
//! ```text
//! <dataset>-<size>px-<key>/
//!   manifest.json          written last, by rename
//!   train/features.npy     (N, C, H, W) or (N, C), float32 or float16, C order; of several taps
//!                          features-<layer>.npy or features-<layer>-<pooling>.npy, one for each
//!   train/labels.npy       (N,) int64; absent for unlabelled splits
//!   train/ids.txt          one sample id per line, row order
//!   val/…  test/…
//!   progress.json, .lock   only while it is being written
//!   pooled/                training's view of the features; may be removed at any time
//! ```

mod error;
mod files;
mod finite;
mod garbage;
mod ids;
mod key;
mod manifest;
mod npy;
mod reader;
mod spec;
mod writer;

pub use error::Error;
pub use garbage::{Found, Garbage, Why, find_garbage, keys_referred_to};
pub use ids::Ids;
pub use key::CacheKey;
pub use manifest::{DatasetInputs, FORMAT, FileEntry, Inputs, Manifest, Part, Split, SplitName};
pub use npy::ArrayWriter;
pub use reader::{Cache, SplitReader, Verification, is_finished, newest};
pub use spec::{CacheSpec, SplitSpec};
pub use writer::{CacheWriter, SplitWriter, Started, Unfinished, unfinished};
