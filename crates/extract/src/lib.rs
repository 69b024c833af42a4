//! Stage 1: run a backbone once over every split and cache the features.
//!
//! In: an [`ExtractConfig`]. Out: a finished cache. The invariants: memory is bounded by the batch,
//! whatever the number of images; decoding, the forward pass and writing overlap; a cache that
//! exists is never computed again, one that was begun is continued, and the row of an image that another
//! cache of the same recipe has is taken from there. Nothing is printed: what happens is reported as
//! [`Event`]s.

mod config;
mod convert;
mod error;
mod event;
mod export;
mod extraction;
mod inspection;
mod known_faults;
mod pipeline;
mod preview;
mod row_writer;
mod rows;
mod screening;

pub use config::{ExtractConfig, OnError, Scan, ViewConfig};
pub use convert::{Conversion, ConversionEvent, convert};
pub use error::Error;
pub use event::Event;
pub use export::{ExportFormat, ExportPool, Exported, export_features};
pub use extraction::{Extraction, extract};
pub use inspection::{InspectConfig, InspectedSplit, Inspection, inspect_dataset};
pub use preview::{PREVIEW_BYTES, Preview, write_preview};
