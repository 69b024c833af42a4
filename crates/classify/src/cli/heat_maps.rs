//! The folder of heat maps.

use std::path::{Path, PathBuf};

use classify::Error;
use durable::{File, Temporary};

/// Largest number of bytes of an image's name in the name of its file.
const MAX_NAME: usize = 100;

/// A folder into which a PNG file is written for each image.
pub(super) struct HeatMaps {
    folder: PathBuf,
    /// Digits of the images' numbers.
    digits: usize,
}

impl HeatMaps {
    /// Makes the folder for this many images, and checks that it can be written.
    pub(super) fn begin(folder: &Path, images: usize) -> Result<HeatMaps, Error> {
        durable::make_folder(folder)?;
        let attempt = Temporary::beside(&folder.join("heat-map.png"));
        File::create(attempt.path()).map_err(durable::Error::at("write into", folder))?;
        let digits = images.saturating_sub(1).to_string().len();
        Ok(HeatMaps { folder: folder.to_path_buf(), digits })
    }

    /// Writes the heat map of the image of this number and name.
    pub(super) fn write(&self, index: usize, name: &str, png: &[u8]) -> Result<(), Error> {
        Ok(durable::replace(&self.folder.join(file_name(index, self.digits, name)), png)?)
    }
}

/// A file's name for an image: its number, which no other image has, and what of the last part of its own name
/// is safe in any folder and shell.
fn file_name(index: usize, digits: usize, name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let safe = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    let last: String = last.chars().map(|c| if safe(c) { c } else { '_' }).collect();
    // The end has what tells images apart.
    let mut start = last.len().saturating_sub(MAX_NAME);
    while !last.is_char_boundary(start) {
        start += 1;
    }
    format!("{index:0digits$}-{}.png", &last[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_short() {
        for (name, expected) in [
            ("photos/cat/a b.jpg", "07-a_b.jpg.png"),
            ("t10k-images-idx3-ubyte:5", "07-t10k-images-idx3-ubyte_5.png"),
            ("a/..", "07-...png"),
            ("", "07-.png"),
            ("$(rm -rf *)%0A\u{202e}", "07-__rm_-rf____0A_.png"),
            ("猫/猫.png", "07-猫.png.png"),
        ] {
            assert_eq!(file_name(7, 2, name), expected);
        }
        let long = file_name(1, 1, &"猫".repeat(300));
        assert_eq!(long, format!("1-{}.png", "猫".repeat(33)));
    }
}
