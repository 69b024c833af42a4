//! The corpus's files, and datasets of some of them.

use std::fs;
use std::path::{Path, PathBuf};

use dataset::{Dataset, Image, Source, SplitConfig};

/// The folder of the corpus: a folder for each form, made by `make_corpus.py`.
pub(crate) fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

/// The image files of a form, without the pixels beside them (`FILE.ppm`).
pub(crate) fn files(form: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(corpus().join(form)).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let stem = Path::new(path.file_stem().unwrap());
        path.extension().unwrap() != "ppm" || stem.extension().is_none()
    });
    files.sort();
    files
}

/// A file's name, with an ending that is taken for an image's.
pub(crate) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    // PAM and PFM are relatives of PNM, but nobody looks for their endings.
    name.replace(".pam", ".pnm").replace(".pfm", ".pnm")
}

/// A dataset of these files, all of one class.
pub(crate) fn dataset_of(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("class")).unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join("class").join(name), bytes).unwrap();
    }
    let all = SplitConfig::default();
    let dataset = Source::find(folder.path()).unwrap().load(&all).unwrap();
    (folder, dataset)
}

/// The pixels in a P6 file: height, width, and RGB; `None` if there is no such file.
pub(crate) fn pixels_of_ppm(path: &Path) -> Option<(usize, usize, Vec<u8>)> {
    let bytes = fs::read(path).ok()?;
    let lines: Vec<&[u8]> = bytes.splitn(4, |&byte| byte == b'\n').collect();
    let [b"P6", size, b"255", pixels] = lines[..] else { panic!("{} is not a P6", path.display()) };
    let (width, height) = std::str::from_utf8(size).unwrap().split_once(' ').unwrap();
    Some((height.parse().unwrap(), width.parse().unwrap(), pixels.to_vec()))
}

/// Height, width and RGB of an image, three equal numbers for a gray pixel.
pub(crate) fn rgb(image: Image<'_>) -> (usize, usize, Vec<u8>) {
    let Image { height, width, channels, pixels, .. } = image;
    assert_eq!(pixels.len(), height * width * channels);
    let rgb = match channels {
        1 => pixels.iter().flat_map(|&gray| [gray; 3]).collect(),
        _ => pixels.into_owned(),
    };
    (height, width, rgb)
}
