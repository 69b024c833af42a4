//! Every file of the corpus is decoded to PIL's pixels, or refused by name (`corpus/make_corpus.py`).

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use dataset::{Error, Image, Source, SplitConfig};

/// The forms, and how many files of each there are at least: a corpus that is not there proves
/// nothing.
const FORMS: [(&str, usize); 7] =
    [("bmp", 1), ("gif", 1), ("jpeg", 1), ("png", 1), ("pnm", 1), ("tiff", 1), ("webp", 1)];

/// Files that PIL reads and we refuse, by how their paths begin, with what the message says.
const REFUSED: [(&str, &str); 0] = [];

/// Files that PIL refuses and we read, by how their paths begin, with the reason.
const READ: [(&str, &str); 0] = [];

/// Files whose numbers may differ from PIL's by so much, by how their paths begin, with the reason.
const ROUNDED: [(&str, u8, &str); 0] = [];

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

fn files(form: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(corpus().join(form)).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !is_golden(path));
    files.sort();
    files
}

fn is_golden(path: &Path) -> bool {
    let stem = Path::new(path.file_stem().unwrap());
    path.extension().is_some_and(|extension| extension == "ppm") && stem.extension().is_some()
}

/// PIL's pixels of a file: height, width, and RGB; `None` if PIL refuses it.
fn golden(path: &Path) -> Option<(usize, usize, Vec<u8>)> {
    let mut name = path.as_os_str().to_owned();
    name.push(".ppm");
    let bytes = fs::read(name).ok()?;
    let lines: Vec<&[u8]> = bytes.splitn(4, |&byte| byte == b'\n').collect();
    let [b"P6", size, b"255", pixels] = lines[..] else { panic!("{} is not a P6", path.display()) };
    let (width, height) = std::str::from_utf8(size).unwrap().split_once(' ').unwrap();
    Some((height.parse().unwrap(), width.parse().unwrap(), pixels.to_vec()))
}

/// What the file at `path` is decoded to, as users' files are: in a folder of images.
fn decode(path: &Path) -> Result<(usize, usize, Vec<u8>), Error> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("class")).unwrap();
    let ending = path.extension().unwrap().to_str().unwrap();
    // PAM and PFM are forms of PNM, but their endings are not looked for.
    let ending = if ["pam", "pfm"].contains(&ending) { "pnm" } else { ending };
    fs::copy(path, folder.path().join("class/image").with_extension(ending)).unwrap();
    let all = SplitConfig { val_fraction: 0.0, limit: None, seed: 0 };
    let dataset = Source::find(folder.path()).unwrap().load(&all).unwrap();
    let Image { height, width, channels, pixels } = dataset.train.image(0)?;
    assert_eq!(pixels.len(), height * width * channels);
    let rgb = match channels {
        1 => pixels.iter().flat_map(|&gray| [gray; 3]).collect(),
        _ => pixels.into_owned(),
    };
    Ok((height, width, rgb))
}

/// The entry of a table whose path the file's begins with.
fn entry<'t, T>(table: &'t [T], path: impl Fn(&T) -> &str, name: &str) -> Option<&'t T> {
    table.iter().find(|entry| name.starts_with(path(entry)))
}

/// What is wrong with how a file is decoded.
fn fault(path: &Path, name: &str) -> Option<String> {
    let found = decode(path).map_err(|error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    });
    let refused = entry(&REFUSED, |entry| entry.0, name);
    match (golden(path), found) {
        (None, Ok(_)) if entry(&READ, |entry| entry.0, name).is_none() => {
            Some("PIL refuses it, we read it".to_owned())
        }
        (None, _) => None,
        (Some(_), Err(error)) => match refused {
            Some((_, says)) if error.contains(says) => None,
            _ => Some(format!("refused: {error}")),
        },
        (Some(_), Ok(_)) if refused.is_some() => Some("it is read, not refused".to_owned()),
        (Some(golden), Ok(found)) => {
            if (golden.0, golden.1) != (found.0, found.1) {
                return Some(format!(
                    "{}x{} pixels instead of {}x{}",
                    found.0, found.1, golden.0, golden.1
                ));
            }
            let differences = golden.2.iter().zip(&found.2).map(|(a, b)| a.abs_diff(*b));
            let worst = differences.clone().max().unwrap();
            let most = entry(&ROUNDED, |entry| entry.0, name).map_or(0, |entry| entry.1);
            let sum: f64 = differences.map(f64::from).sum();
            (worst > most).then(|| {
                format!("differs by {worst}, {:.2} on average", sum / golden.2.len() as f64)
            })
        }
    }
}

#[test]
fn pixels_are_those_of_pil() {
    let mut faults = Vec::new();
    for (form, least) in FORMS {
        let files = files(form);
        assert!(files.len() >= least, "{form}: {} files", files.len());
        for path in files {
            let name = format!("{form}/{}", path.file_name().unwrap().to_str().unwrap());
            faults.extend(fault(&path, &name).map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} files:\n{}", faults.len(), faults.join("\n"));
}

/// Each line of the tables stands for a file: nothing is excused that is not there.
#[test]
fn every_exception_is_needed() {
    let names: Vec<String> = FORMS
        .iter()
        .flat_map(|(form, _)| files(form).into_iter().map(move |path| (form, path)))
        .map(|(form, path)| format!("{form}/{}", path.file_name().unwrap().to_str().unwrap()))
        .collect();
    let prefixes = REFUSED.iter().map(|entry| entry.0);
    let prefixes = prefixes.chain(READ.iter().map(|entry| entry.0));
    for prefix in prefixes.chain(ROUNDED.iter().map(|entry| entry.0)) {
        assert!(names.iter().any(|name| name.starts_with(prefix)), "{prefix}");
    }
}
