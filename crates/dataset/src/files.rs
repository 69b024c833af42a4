//! Recognition of data files by their names: images, tables, IDX files.

use std::ffi::OsStr;
use std::path::Path;

/// Endings of image files, in lower case. Browsers save JPEG files as .jfif, and Windows also knows .jpe and
/// .pjpeg.
pub(crate) const IMAGE_ENDINGS: [&str; 15] = [
    "jpg", "jpeg", "png", "jfif", "jpe", "pjpeg", "bmp", "gif", "webp", "tif", "tiff", "pbm",
    "pgm", "ppm", "pnm",
];

/// Endings of tables, in lower case.
const TABLE_ENDINGS: [&str; 4] = ["csv", "tsv", "csv.gz", "tsv.gz"];

/// Endings of files that hold many images, in lower case.
const ARCHIVE_ENDINGS: [&str; 4] = ["tar", "npz", "npy", "parquet"];

/// Whether a file has the name of an image.
pub(crate) fn is_image(name: &OsStr) -> bool {
    let ending = Path::new(name).extension().unwrap_or_default().to_ascii_lowercase();
    IMAGE_ENDINGS.iter().any(|known| ending == *known)
}

/// Whether a file has the name of a table in text, compressed or not.
pub(crate) fn is_table(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_lowercase();
    TABLE_ENDINGS.iter().any(|ending| {
        name.strip_suffix(ending).is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'))
    })
}

/// Whether a file has the name of a file of images or labels.
pub(crate) fn is_data(name: &OsStr) -> bool {
    let lower = name.to_ascii_lowercase();
    let ending = Path::new(&lower).extension().unwrap_or_default();
    is_image(name)
        || is_table(name)
        || ARCHIVE_ENDINGS.iter().any(|known| ending == *known)
        || lower.to_string_lossy().contains("-ubyte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_endings() {
        for name in ["a.tar", "a.NPZ", "a.npy", "a.parquet"] {
            assert!(is_data(name.as_ref()) && !is_table(name.as_ref()), "{name}");
        }
        for name in ["a.jpg", "a.JPEG", "a.jfif", "a.b.tiff"] {
            assert!(is_image(name.as_ref()) && is_data(name.as_ref()), "{name}");
        }
        for name in ["a.csv", "a.TSV", "a.csv.gz", "a.b.Tsv.GZ"] {
            assert!(is_table(name.as_ref()) && is_data(name.as_ref()), "{name}");
        }
        for name in ["jpg", "a.heic", "csv", ".csv", "csv.gz", "a.gz", "a.csv.zip", "acsv"] {
            assert!(!is_image(name.as_ref()) && !is_table(name.as_ref()), "{name}");
        }
    }
}
