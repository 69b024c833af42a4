//! Recognition of data files by their names: images, tables, IDX files.

use std::ffi::OsStr;
use std::path::Path;

/// Endings of image files, in lower case.
pub(crate) const IMAGE_ENDINGS: [&str; 12] =
    ["jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff", "pbm", "pgm", "ppm", "pnm"];

/// Whether a file has the name of an image.
pub(crate) fn is_image(name: &OsStr) -> bool {
    let ending = Path::new(name).extension().unwrap_or_default().to_ascii_lowercase();
    IMAGE_ENDINGS.iter().any(|known| ending == *known)
}

/// Whether a file has the name of a table.
pub(crate) fn is_csv(name: &OsStr) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"))
}

/// Whether a file has the name of a file of images or labels.
pub(crate) fn is_data(name: &OsStr) -> bool {
    let lower = name.to_ascii_lowercase();
    is_image(name) || is_csv(name) || lower.to_string_lossy().contains("-ubyte")
}
