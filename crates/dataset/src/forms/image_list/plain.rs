//! Plain lists of images to be classified: text files with a path in each line, as `ls` and `find` write them.
//!
//! Paths are absolute, or relative to the list's folder. Blank lines are passed over.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::sheet::without_mark;
use crate::files::is_image;
use crate::images::Group;
use crate::{Error, gzip, image_files};

/// Most bytes of a list's first line.
const MAX_LINE: u64 = 1 << 16;

/// The images of the list at `path`, of which none needs to be there; `None` if it is not a text file whose first line
/// is the path of an image.
///
/// # Errors
/// If the list cannot be read.
pub(super) fn images(path: &Path) -> Result<Option<Group>, Error> {
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("txt")) {
        return Ok(None);
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let first = paths_in(&gzip::read_start(path, MAX_LINE)?).next().map(|first| folder.join(first));
    if first.is_none_or(|first| !is_image(first.as_os_str()) && !first.is_file()) {
        return Ok(None);
    }
    let text = gzip::read(path)?;
    Ok(Some(Group {
        origin: path.to_path_buf(),
        part: None,
        images: image_files::samples(folder, paths_in(&text).collect(), None).images,
        class_names: Vec::new(),
        labels: None,
    }))
}

/// The paths in the lines of a text.
fn paths_in(text: &[u8]) -> impl Iterator<Item = &Path> {
    let lines = without_mark(text).split(|byte| b"\r\n".contains(byte)).map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(|line| Path::new(OsStr::from_bytes(line)))
}
