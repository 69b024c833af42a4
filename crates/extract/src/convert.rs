//! From a finished cache to one of the other layout.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use feature_cache::{Cache, CacheWriter, Converted, Layout, Started, unfinished};

use crate::Error;
use crate::extraction::{check_room, room_needed};

/// The result of a conversion.
#[derive(Debug)]
pub struct Conversion {
    /// The finished cache.
    pub cache: Cache,
    /// Whether it was there already.
    pub was_there: bool,
}

/// Something that happened in a conversion.
#[derive(Debug, Clone, Copy)]
pub enum ConversionEvent<'a> {
    /// The new cache is begun, or continued.
    Started {
        /// Its folder.
        folder: &'a Path,
        /// Rows that an earlier conversion wrote.
        rows_before: usize,
        /// Rows that it will have.
        rows_total: usize,
    },
    /// Rows of a split were written.
    Converted(Converted),
}

/// Makes the cache under `out` that has the features of `cache` in this layout, or finds it. `report` is told
/// what happens; once `stop` is true, the conversion ends after the rows at hand.
///
/// # Errors
/// If `cache` is damaged, the disk lacks the room, or a stop was asked for; what was written is kept and
/// continued by the same call.
pub fn convert(
    cache: &Cache,
    layout: Layout,
    out: &Path,
    report: &mut dyn FnMut(ConversionEvent<'_>),
    stop: &AtomicBool,
) -> Result<Conversion, Error> {
    let writer = match CacheWriter::start(out, cache.spec(layout)?)? {
        Started::Complete(cache) => return Ok(Conversion { cache: *cache, was_there: true }),
        Started::Unfinished(writer) => *writer,
    };
    let (path, rows_total) = (writer.folder().to_path_buf(), writer.rows());
    let rows_before = writer.rows_done();
    report(ConversionEvent::Started { folder: &path, rows_before, rows_total });
    let needed = room_needed(&writer);
    check_room(out, needed)?;
    let mut converted = |rows| report(ConversionEvent::Converted(rows));
    match cache.convert(writer, &mut converted, stop).map_err(|error| error.needing(needed))? {
        Some(cache) => Ok(Conversion { cache, was_there: false }),
        None => {
            let rows_done = unfinished(&path).rows_done;
            Err(Error::Interrupted { path, rows_done, rows_total })
        }
    }
}
