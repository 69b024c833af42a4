//! Support for the end-to-end tests: the programs, the real inputs, and small datasets made from them.

pub mod forms;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use assert_cmd::Command;
use durable::Digest;
use feature_cache::{
    Cache, CacheSpec, CacheWriter, DatasetInputs, Ids, Inputs, Layout, Manifest, SplitName,
    SplitSpec, Started,
};
use recipe::{Recipe, TapShape};
use tempfile::TempDir;

/// Exit code of bad input.
pub const BAD_INPUT: i32 = 3;
/// Exit code of wrong flags.
pub const USAGE: i32 = 2;
/// Exit code of a result that lacks what cannot be read, as the user allowed.
pub const INCOMPLETE: i32 = 4;

/// Environment variable that says that the programs are built, so that no test builds them.
pub const PROGRAMS_ARE_BUILT: &str = "PROGRAMS_ARE_BUILT";

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The canonical weights file that `just setup` makes.
///
/// # Panics
/// If it is not there.
pub fn weights() -> PathBuf {
    needed("artifacts/weights/vgg16-caffe.safetensors")
}

/// A file that `just setup` makes.
///
/// # Panics
/// If it is not there.
pub fn needed(path: &str) -> PathBuf {
    let path = root().join(path);
    assert!(path.exists(), "{} is missing: run 'just setup'", path.display());
    path
}

/// `vgg-extract` with these arguments.
pub fn vgg_extract<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    program("vgg-extract", args)
}

/// `vgg-head` with these arguments.
pub fn vgg_head<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    program("vgg-head", args)
}

/// `vgg-classify` with these arguments.
pub fn vgg_classify<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    program("vgg-classify", args)
}

/// The Python that `just setup numpy` makes, with these arguments.
///
/// # Panics
/// If it is not there.
pub fn python<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(needed("artifacts/venv/bin/python"));
    command.args(args);
    command
}

fn program<S: AsRef<std::ffi::OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Command {
    static BUILT: OnceLock<()> = OnceLock::new();
    // `cargo test` builds the libraries of other crates, but not their programs.
    BUILT.get_or_init(|| {
        if std::env::var_os(PROGRAMS_ARE_BUILT).is_some() {
            return;
        }
        let built = std::process::Command::new(env!("CARGO"))
            .args(["build", "--workspace", "--bins", "--quiet"])
            .args(cfg!(feature = "torch").then_some("--features=torch"))
            .current_dir(root())
            .status();
        assert!(built.is_ok_and(|status| status.success()), "the programs must build");
    });
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder = test.parent().and_then(Path::parent).expect("tests lie in target/debug/deps");
    let mut command = Command::new(folder.join(name));
    command.args(args).env_remove("LD_LIBRARY_PATH");
    command
}

/// A small model file as `vgg-classify` of that version wrote it: a head with eight hidden units on the means of
/// the first layer of VGG11, for digits of 32 px.
///
/// # Panics
/// If there is no such fixture.
pub fn model_fixture(version: &str) -> Vec<u8> {
    let name = format!("tests/fixtures/formats/models/{version}/vgg11-caffe-rgb.safetensors.gz");
    let file = fs::File::open(root().join(name)).expect("there is a fixture of the version");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("the fixture is whole");
    bytes
}

/// A program's output, with its exit code and both streams as text.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a program to its end, whether it succeeds or fails.
///
/// # Panics
/// If it cannot be started.
pub fn finish(mut command: Command) -> Finished {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    Finished {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Runs a program that must succeed, and returns the path in the last line of its output.
///
/// # Panics
/// If it fails.
pub fn path_from(command: Command) -> PathBuf {
    let finished = finish(command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    PathBuf::from(finished.stdout.lines().last().expect("a path is printed"))
}

/// The peak resident memory of a program in bytes, as the kernel counts it.
///
/// # Panics
/// If it cannot be started or fails.
pub fn peak_of(command: &Command) -> f64 {
    let (peak, code) = peak_and_code(command);
    assert_eq!(code, Some(0));
    peak
}

/// The same of a program that may fail, with its exit code.
///
/// # Panics
/// If it cannot be started.
pub fn peak_and_code(command: &Command) -> (f64, Option<i32>) {
    let mut program = std::process::Command::new(command.get_program());
    program.args(command.get_args()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = program.spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0;
    while child.try_wait().expect("it is a child").is_none() {
        let status = fs::read_to_string(&status).unwrap_or_default();
        if let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            peak = 1024.0
                * line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number of KiB");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    (peak, child.wait().expect("it is a child").code())
}

/// Asserts that a program fails with this exit code and a message that contains every text of `says`.
///
/// # Panics
/// If it does not.
pub fn assert_refused(command: Command, code: i32, says: &[&str]) {
    let finished = finish(command);
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!(finished.stdout, "", "only results go to standard output");
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    for text in says {
        assert!(finished.stderr.contains(text), "'{text}' is not in: {}", finished.stderr);
    }
}

/// Real digits: images `[N, 28, 28]` and labels `[N]` of one of MNIST's two files.
#[derive(Debug, Clone)]
pub struct Digits {
    /// `N × 784` bytes.
    pub pixels: Vec<u8>,
    /// One per digit.
    pub labels: Vec<u8>,
}

impl Digits {
    /// The first `count` digits of one of MNIST's files, `train` or `t10k`.
    ///
    /// # Panics
    /// If `just setup` was not run.
    pub fn first(file: &str, count: usize) -> Digits {
        let read = |kind: &str, header: usize, size: usize| {
            let path = needed(&format!("data/mnist/{file}-{kind}-ubyte"));
            let bytes = fs::read(path).expect("MNIST can be read");
            bytes[header..header + count * size].to_vec()
        };
        Digits { pixels: read("images-idx3", 16, 784), labels: read("labels-idx1", 8, 1) }
    }

    /// Every second one of the digits, from the first on.
    pub fn every_second(&self) -> Digits {
        Digits {
            pixels: self.pixels.chunks(784).step_by(2).flatten().copied().collect(),
            labels: self.labels.iter().step_by(2).copied().collect(),
        }
    }

    /// The digest that a cache keeps of the digit of this index: that of its height, width, number of
    /// channels, and pixels.
    pub fn digest(&self, index: usize) -> Digest {
        let mut bytes = b"dataset, pixels 1".to_vec();
        bytes.extend([28u64, 28, 1].iter().flat_map(|side| side.to_le_bytes()));
        bytes.extend(&self.pixels[784 * index..784 * (index + 1)]);
        Digest::of(&bytes)
    }

    /// The bytes of an IDX image file.
    pub fn idx_images(&self) -> Vec<u8> {
        let count = (self.pixels.len() / 784) as u32;
        let mut bytes = Vec::new();
        for number in [0x0803, count, 28, 28] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(&self.pixels);
        bytes
    }

    /// The bytes of an IDX label file.
    pub fn idx_labels(&self) -> Vec<u8> {
        let mut bytes = 0x0801u32.to_be_bytes().to_vec();
        bytes.extend((self.labels.len() as u32).to_be_bytes());
        bytes.extend(&self.labels);
        bytes
    }

    /// The text of a Kaggle CSV file, with or without labels.
    pub fn csv(&self, labelled: bool) -> String {
        let mut text = String::new();
        let columns = (0..784).map(|pixel| format!("pixel{pixel}"));
        let columns: Vec<String> =
            labelled.then(|| "label".to_owned()).into_iter().chain(columns).collect();
        text.push_str(&columns.join(","));
        text.push('\n');
        for (pixels, label) in self.pixels.chunks(784).zip(&self.labels) {
            let label = labelled.then(|| label.to_string());
            let fields: Vec<String> =
                label.into_iter().chain(pixels.iter().map(u8::to_string)).collect();
            text.push_str(&fields.join(","));
            text.push('\n');
        }
        text
    }
}

/// A temporary folder for a test, which is removed at its end. It may have a small dataset of real digits
/// in `digits/`: 30 for training and validation, 7 for test.
#[derive(Debug)]
pub struct Workplace {
    folder: TempDir,
}

impl Workplace {
    /// A folder with a small dataset as IDX files.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn new() -> Workplace {
        let workplace = Workplace::empty();
        workplace.write_idx("digits", &Digits::first("train", 30), &Digits::first("t10k", 7));
        workplace
    }

    /// A folder without a dataset.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn empty() -> Workplace {
        Workplace { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and creates its folder.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .and_then(|()| fs::File::create(&path)?.write_all(bytes))
            .expect("the test can write its own folder");
        path
    }

    /// Writes a dataset as the four IDX files.
    pub fn write_idx(&self, folder: &str, train: &Digits, test: &Digits) {
        for (file, digits) in [("train", train), ("t10k", test)] {
            self.write(&format!("{folder}/{file}-images-idx3-ubyte"), &digits.idx_images());
            self.write(&format!("{folder}/{file}-labels-idx1-ubyte"), &digits.idx_labels());
        }
    }

    /// `vgg-extract run` on a dataset in this folder, at the smallest size unless `more` has another. Small datasets
    /// may have a single image of a class.
    pub fn run(&self, dataset: &str, more: &[&str]) -> Command {
        let mut command = self.run_strictly(dataset, more);
        command.arg("--allow-single-images");
        command
    }

    /// Likewise, of a dataset that has several images of each class.
    pub fn run_strictly(&self, dataset: &str, more: &[&str]) -> Command {
        let mut command = vgg_extract(["run", "--threads=2"]);
        command.arg("--dataset").arg(self.path(dataset));
        command.arg("--weights").arg(weights());
        command.arg("--out").arg(self.path("features"));
        if !more.iter().any(|flag| flag.starts_with("--size")) {
            command.arg("--size=32");
        }
        command.args(more);
        command
    }

    /// Likewise, under a folder of its own, so that every image goes through the network: no row is taken
    /// from another cache.
    pub fn run_apart(&self, dataset: &str, more: &[&str]) -> Command {
        let out = self.path(&format!("apart/{dataset}{}", more.concat().replace('/', "-")));
        let mut command = self.run(dataset, more);
        command.arg("--out").arg(out);
        command
    }

    /// The features of the small dataset.
    pub fn extract(&self) -> PathBuf {
        path_from(self.run("digits", &[]))
    }

    /// A cache written through the library, with the labels and the features of each split. A row has
    /// 3×2×2 numbers. Each seed makes another cache.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_cache<const N: usize>(
        &self,
        class_names: &[String],
        seed: u64,
        splits: [(SplitName, Option<Vec<i64>>, Vec<f32>); N],
    ) -> PathBuf {
        self.write_cache_of(Recipe::example(), vec![vec![3, 2, 2]], class_names, seed, splits)
    }

    /// A cache written through the library, of any recipe, whose taps have rows of these shapes. The
    /// features are given row by row, and within a row tap by tap.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_cache_of<const N: usize>(
        &self,
        recipe: Recipe,
        shapes: Vec<TapShape>,
        class_names: &[String],
        seed: u64,
        splits: [(SplitName, Option<Vec<i64>>, Vec<f32>); N],
    ) -> PathBuf {
        let lens: Vec<usize> = shapes.iter().map(|shape| shape.iter().product()).collect();
        let row_len: usize = lens.iter().sum();
        let spec_of = |(split, labels, features): &(SplitName, Option<Vec<i64>>, Vec<f32>)| {
            let ids = Ids::new((0..features.len() / row_len).map(|row| row.to_string()));
            let ids = ids.expect("numbers are one line");
            (*split, Arc::new(SplitSpec { ids, labels: labels.clone(), images: None }) as _)
        };
        let dataset = DatasetInputs {
            name: String::new(),
            path: String::new(),
            digest: Digest::of(b"a dataset"),
            val_fraction: 0.0,
            test_fraction: 0.0,
            dedupe: false,
            skipped: None,
            limit: None,
            seed,
        };
        let spec = CacheSpec {
            inputs: Inputs { recipe, dataset, views: None },
            class_names: class_names.to_vec(),
            shapes,
            splits: splits.iter().map(spec_of).collect(),
            reading: None,
            layout: Layout::Dense,
            source: None,
            skipped: Vec::new(),
        };
        let started = CacheWriter::start(&self.path("features"), spec);
        let Started::Unfinished(mut writer) = started.expect("the folder can be written") else {
            panic!("the cache is there already")
        };
        let mut write = |split, features: &[f32]| {
            let mut writer = writer.split(split)?;
            for row in features.chunks_exact(row_len) {
                let mut rest = row;
                let mut rows = Vec::new();
                for &len in &lens {
                    rows.push(rest.split_off(..len).expect("a row has the numbers of all taps"));
                }
                writer.append(&rows)?;
            }
            writer.finish()
        };
        for (split, _, features) in &splits {
            write(*split, features).expect("the features can be written");
        }
        writer.finish().expect("the manifest can be written").folder().to_path_buf()
    }

    /// A cache such as another program might write, with six rows in a train and a val split: constant
    /// features, and classes and labels as given, even labels that this project's writer refuses.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn foreign_cache(&self, class_names: [&str; 2], labels: Option<[i64; 6]>) -> PathBuf {
        let written = labels.map(|_| vec![0; 6]);
        let split = |split| (split, written.clone(), vec![1.0; 6 * 12]);
        let splits = [SplitName::Train, SplitName::Val];
        let cache = self.write_cache(&class_names.map(str::to_owned), 0, splits.map(split));
        for (split, labels) in splits.into_iter().zip([labels; 2]) {
            let Some(labels) = labels else { continue };
            forge_file(&cache, &format!("{split}/labels.npy"), |bytes| {
                let start = bytes.len() - 6 * size_of::<i64>();
                bytes[start..].copy_from_slice(&labels.map(i64::to_le_bytes).concat());
            });
        }
        cache
    }

    /// `vgg-head train` on a cache.
    pub fn train(&self, cache: &Path, more: &[&str]) -> Command {
        let mut command = vgg_head(["train", "--threads=2"]);
        command.arg("--features").arg(cache).arg("--out").arg(self.path("runs")).args(more);
        command
    }
}

impl Default for Workplace {
    fn default() -> Workplace {
        Workplace::new()
    }
}

/// An image file that looks whole from its header to its end, and cannot be decoded: a PNG with a wrong checksum. Each
/// number gives other bytes.
pub fn damaged_inside(number: u32) -> Vec<u8> {
    let header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x1c\0\0\0\x1c\x08\0\0\0\0";
    [&header[..], &number.to_le_bytes(), b"\0\0\0\0IEND\xae\x42\x60\x82"].concat()
}

/// Changes a manifest and gives it the digest of its new content, as its author could.
///
/// # Panics
/// If there is no manifest.
pub fn forge_manifest(cache: &Path, change: impl FnOnce(&mut Manifest)) {
    let path = cache.join("manifest.json");
    let text = fs::read(&path).expect("the cache has a manifest");
    let mut manifest: Manifest = serde_json::from_slice(&text).expect("the manifest is whole");
    change(&mut manifest);
    fs::write(path, manifest.to_text()).expect("the test can write its own folder");
}

/// Changes the features or labels of a cache, and gives it the digests of their new content.
///
/// # Panics
/// If there is no such file.
pub fn forge_file(cache: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(cache.join(name)).expect("the cache has the file");
    change(&mut bytes);
    fs::write(cache.join(name), &bytes).expect("the test can write its own folder");
    let digest = Digest::of(&bytes);
    forge_manifest(cache, |manifest| {
        for split in manifest.splits.values_mut() {
            for entry in split.entries_mut().filter(|entry| entry.file == name) {
                entry.digest = digest;
            }
        }
    });
}

/// The caches under a folder, finished or not, by name; none if it is not there.
///
/// # Panics
/// If it cannot be listed.
pub fn caches_in(features: &Path) -> Vec<PathBuf> {
    let mut folders = durable::folders(features).expect("the folder can be listed");
    folders.retain(|folder| !is_hidden(folder));
    folders
}

/// Whether a file or folder is called like what programs keep for themselves, as the digests of files.
pub fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// All files in a folder and its subfolders; an empty list if the folder does not exist.
pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

/// All rows of a split, `[rows, C·H·W]`.
///
/// # Panics
/// If there is no such split.
pub fn rows_of(cache: &Cache, split: SplitName) -> Vec<Vec<f32>> {
    let split = cache.split(split).expect("the split is there");
    let row = |row| {
        let mut values = vec![0.0; split.row_len()];
        split.read_row(row, &mut values).expect("the features are sound");
        values
    };
    (0..split.rows()).map(row).collect()
}

/// Asserts that two lists of numbers differ by at most `tolerance` times the largest of the second list.
///
/// # Panics
/// If they do not.
pub fn assert_close(found: &[f32], golden: &[f32], tolerance: f32) {
    assert_eq!(found.len(), golden.len());
    let scale = golden.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let differences = found.iter().zip(golden).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0.0f32, f32::max);
    assert!(worst <= tolerance * scale, "{worst} > {tolerance} · {scale}");
}

/// Bytes that training of heads of 8 hidden units and two classes takes, on 2 threads, beside its rows of
/// 3 numbers.
pub fn memory_beside_rows(
    heads: usize,
    batch_size: usize,
    training_rows: usize,
    validation_rows: usize,
) -> usize {
    let shape = fused_head::HeadShape::new(3, 8, 2);
    let trainer = fused_head::Trainer::memory(shape, heads, batch_size, 2) as usize;
    // Each head as it is kept, and two copies of one of them on the way.
    let kept = (heads + 2) * 8 * (3 + 8 + 2) * size_of::<f32>();
    let labels = (training_rows + validation_rows) * size_of::<i64>();
    let order = training_rows * size_of::<usize>();
    // Of validation rows that are not in memory, a batch is.
    trainer + kept + labels + order + validation_rows.min(256) * ROW_IN_MEMORY
}

/// Bytes of a row of 3 numbers that are not 0.
pub const ROW_IN_MEMORY: usize = 3 * size_of::<f32>();
/// The same of a streamed row, with its number in the order of the file and in that of the epoch.
pub const STREAMED_ROW: usize = ROW_IN_MEMORY + 2 * size_of::<usize>();
