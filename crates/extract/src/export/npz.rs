//! NumPy's archive, not compressed: `np.load(FILE)` reads it without pickle.

use std::io::Write;

use feature_cache::npy_header;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Failed, Rows, Sink, Table, write_floats};

/// Writes `features` `[N, D]`, `labels` `[N]` (int64, −1 without a label), `ids` and `splits` `[N]`, and
/// `class_names`, all three of text. If there are distorted copies, also `views` `[N]` (int64): 0 for an image itself.
pub(super) fn write(sink: Sink, table: &Table<'_>, rows: Rows<'_>) -> Result<Sink, Failed> {
    let mut archive = ZipWriter::new_stream(sink);
    let count = table.rows.len();

    begin(&mut archive, "features", "<f4", &[count, table.width])?;
    rows.each(|vector| Ok(write_floats(&mut archive, vector)?))?;

    begin(&mut archive, "labels", "<i8", &[count])?;
    for row in &table.rows {
        archive.write_all(&row.label.unwrap_or(-1).to_le_bytes())?;
    }
    if table.has_views {
        begin(&mut archive, "views", "<i8", &[count])?;
        for row in &table.rows {
            archive.write_all(&row.view.to_le_bytes())?;
        }
    }
    texts(&mut archive, "ids", table.rows.iter().map(|row| row.id))?;
    texts(&mut archive, "splits", table.rows.iter().map(|row| row.split.as_str()))?;
    texts(&mut archive, "class_names", table.class_names.iter().map(String::as_str))?;
    Ok(archive.finish().map_err(std::io::Error::from)?.into_inner())
}

/// Begins an array of the archive.
fn begin<W: Write + std::io::Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    descriptor: &str,
    shape: &[usize],
) -> std::io::Result<()> {
    // 4 GiB are not enough for some features.
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    archive.start_file(format!("{name}.npy"), options)?;
    archive.write_all(&npy_header(descriptor, shape))
}

/// Writes an array of text: NumPy's `<U`, UTF-32 padded to the longest with zeros.
fn texts<'a, W: Write + std::io::Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    texts: impl Iterator<Item = &'a str> + Clone,
) -> std::io::Result<()> {
    let longest = texts.clone().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    begin(archive, name, &format!("<U{longest}"), &[texts.clone().count()])?;
    for text in texts {
        let padded = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(longest);
        let bytes: Vec<u8> = padded.flat_map(u32::to_le_bytes).collect();
        archive.write_all(&bytes)?;
    }
    Ok(())
}
