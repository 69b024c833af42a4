//! The memory of a whole extraction, per image: listing and digesting the files, splitting them, finding rows in
//! other caches, computing and writing; and the same per row, if images have distorted copies. Alone in its file, and one
//! test at a time, since what the whole process allocates is counted.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![allow(unsafe_code)] // An allocator cannot be written without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backbone::{Accuracy, Backend, Compute, Device};
use dataset::{FileDigests, Source};
use extract::{Event, ExtractConfig, Extraction, OnError, Scan, ViewConfig, extract};
use recipe::{Decode, Dtype, Fit, Orientation, ResizeFilter, ViewCounts};

/// Most bytes per image, digests and paths included.
const BYTES_PER_IMAGE: usize = 64;
/// Images of the smaller dataset: several times as many as are digested at a time.
const FEW: usize = 3 << 12;
/// Images of the larger one.
const MANY: usize = 5 * FEW;
/// Most bytes per row of images with distorted copies. A row's features have 256, and so have the pixels of an image.
const BYTES_PER_ROW: usize = 64;
/// Images of the smaller dataset with copies, and of the larger one.
const WITH_COPIES: [usize; 2] = [1 << 12, 3 << 12];

/// The test that is running.
static ALONE: Mutex<()> = Mutex::new(());

#[global_allocator]
static COUNTING: Counting = Counting { live: AtomicUsize::new(0), most: AtomicUsize::new(0) };

/// The system's allocator with counters, in bytes.
struct Counting {
    live: AtomicUsize,
    /// The most that were allocated at one time since the last call of [`Counting::take_most`].
    most: AtomicUsize,
}

impl Counting {
    fn grow(&self, bytes: usize) {
        let live = self.live.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.most.fetch_max(live, Ordering::Relaxed);
    }

    fn shrink(&self, bytes: usize) {
        self.live.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn take_most(&self) -> usize {
        self.most.swap(self.live.load(Ordering::Relaxed), Ordering::Relaxed)
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator. Counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.shrink(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    // What grows in place or is moved by the operating system is not there twice.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.grow(size.saturating_sub(layout.size()));
        self.shrink(layout.size().saturating_sub(size));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// The most bytes that were allocated at one time in each phase.
type Phases = BTreeMap<String, usize>;

/// The canonical weights file that `just setup` makes.
fn weights() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("artifacts/weights/vgg16-caffe.safetensors");
    assert!(path.exists(), "{} is missing: run 'just setup'", path.display());
    path
}

/// Writes square gray images of `side` pixels, at least 4, all of them different, in ten class folders.
fn write_images(folder: &Path, images: usize, side: usize) {
    for class in 0..10 {
        fs::create_dir_all(folder.join(format!("train/{class}"))).unwrap();
    }
    for number in 0..images {
        let mut bytes = format!("P5 {side} {side} 255\n").into_bytes();
        let pixels = bytes.len() + side * side;
        bytes.extend((number as u128).to_le_bytes());
        bytes.resize(pixels, 0);
        let name = format!("train/{}/img_{number:06}.pgm", number % 10);
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// With so many distorted copies of each training image; 0 for none.
fn config(dataset: &Path, out: &Path, seed: u64, copies: u32) -> ExtractConfig {
    let count = ViewCounts::of_training(copies);
    let views = ViewConfig { count, augmentation: None, are_digits: false, seed: 0 };
    ExtractConfig {
        dataset: dataset.to_path_buf(),
        source: dataset::SourceConfig::default(),
        weights: weights(),
        size: "32".parse().unwrap(),
        fit: Fit::Stretch,
        pad_colour: None,
        resize: ResizeFilter::Bilinear,
        orientation: Some(Orientation::Ignore),
        decode: Decode::Full,
        // The first layer alone, so that the images take little time.
        taps: vec!["conv1_1:avg".parse().unwrap()],
        views: (copies > 0).then_some(views),
        dtype: Dtype::F32,
        layout: feature_cache::Layout::Dense,
        limit: None,
        val_fraction: Some(0.25),
        test_fraction: None,
        dedupe: false,
        allow_single_images: false,
        on_error: OnError::Stop,
        max_skipped: ExtractConfig::MAX_SKIPPED,
        scan: Scan::Ends,
        seed,
        batch_size: Some(64),
        threads: 2,
        compute: Compute { backend: Backend::Winograd(Accuracy::default()), device: Device::Cpu },
        out: out.to_path_buf(),
        rehash: false,
    }
}

/// Extracts; the phases are named after `name` and the events that begin them.
fn extracted(name: &str, config: &ExtractConfig, phases: &mut Phases) -> Extraction {
    let mut phase = format!("{name}: weights");
    let mut end = |next: &str| {
        let most =
            phases.entry(std::mem::replace(&mut phase, format!("{name}: {next}"))).or_default();
        *most = COUNTING.take_most().max(*most);
    };
    COUNTING.take_most();
    let mut report = |event: Event<'_>| {
        end(match event {
            Event::Digested { .. } => "look-up",
            Event::Started { .. } => "search for rows",
            Event::Checking { .. } => "check of rows",
            Event::Ready { .. } | Event::Written { .. } => "rows",
            Event::SplitEnded { .. } => "end of a split",
            _ => "other",
        });
    };
    let extraction = extract(config, &mut report, &AtomicBool::new(false)).unwrap();
    end("");
    extraction
}

/// The phases of extractions of so many images.
fn phases_of(images: usize) -> Phases {
    let folder = tempfile::tempdir().unwrap();
    let [photos, out] = ["photos", "features"].map(|name| folder.path().join(name));
    write_images(&photos, images, 4);
    let mut phases = Phases::new();
    let mut measured = |name: &str, before: usize| {
        phases.insert(name.into(), COUNTING.take_most() - before);
    };
    // Apart from the weights, which would hide it.
    for name in ["files that are new", "files that are remembered"] {
        let before = COUNTING.live.load(Ordering::Relaxed);
        COUNTING.take_most();
        let source = Source::find(&photos).unwrap();
        measured(&format!("{name}: listing"), before);
        let mut files = FileDigests::under(&out, &source);
        source.digest_with(&mut files, &AtomicBool::new(false)).unwrap();
        measured(&format!("{name}: digests"), before);
        // From then on they are remembered.
        std::thread::sleep(Duration::from_millis(2100));
    }
    let first = extracted("all are computed", &config(&photos, &out, 0, 0), &mut phases);
    assert_eq!((first.images, first.rows_taken), (images, 0));
    let again = extracted("all are there", &config(&photos, &out, 0, 0), &mut phases);
    assert_eq!((again.images, again.rows_taken), (0, 0));
    // Of another split.
    let taken = extracted("all are taken", &config(&photos, &out, 1, 0), &mut phases);
    assert_eq!((taken.images, taken.rows_taken), (0, images));
    phases
}

/// The phases of extractions of so many images with a distorted copy of each training image, and with another one.
fn phases_with_copies(images: usize) -> Phases {
    let folder = tempfile::tempdir().unwrap();
    let [photos, out] = ["photos", "features"].map(|name| folder.path().join(name));
    write_images(&photos, images, 16);
    let mut phases = Phases::new();
    // A quarter of the images is for validation.
    let copies = images - images / 4;
    let mut of_copies =
        |name: &str, copies: u32| extracted(name, &config(&photos, &out, 0, copies), &mut phases);
    let first = of_copies("1 copy", 1);
    assert_eq!((first.images, first.rows_taken), (images + copies, 0));
    let second = of_copies("2 copies", 2);
    assert_eq!((second.images, second.rows_taken), (copies, images + copies));
    let again = of_copies("2 copies that are there", 2);
    assert_eq!((again.images, again.rows_taken), (0, 0));
    phases
}

/// For each phase, how many bytes an image more takes, from two sizes of dataset.
fn per_image([few, many]: [usize; 2], phases_of: fn(usize) -> Phases) -> BTreeMap<String, f64> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // One thread, since each has a buffer for the bytes that it hashes.
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let [of_few, of_many] = threads.install(|| [few, many].map(phases_of));
    assert!(of_few.keys().eq(of_many.keys()), "{of_few:?} {of_many:?}");
    let per_image = |(phase, of_few): (String, usize)| {
        let more = of_many[&phase] as f64 - of_few as f64;
        (phase, more / (many - few) as f64)
    };
    of_few.into_iter().map(per_image).collect()
}

#[test]
fn an_image_takes_few_bytes_in_every_phase() {
    let mut most = 0.0f64;
    for (phase, per_image) in per_image([FEW, MANY], phases_of) {
        eprintln!("{per_image:5.1} bytes per image: {phase}");
        assert!(per_image <= BYTES_PER_IMAGE as f64, "{phase}: {per_image} bytes per image");
        most = most.max(per_image);
    }
    // The paths are in memory, so less would be an error of measurement.
    assert!(most > 22.0, "{most} bytes per image");
}

/// Neither the features nor the pixels of a copy stay in memory.
#[test]
fn a_distorted_copy_takes_few_bytes_in_every_phase() {
    let mut most = 0.0f64;
    for (phase, per_image) in per_image(WITH_COPIES, phases_with_copies) {
        let copies = if phase.starts_with("1 copy") { 1.0 } else { 2.0 };
        // Three quarters of the images have copies.
        let per_row = per_image / (1.0 + 0.75 * copies);
        eprintln!("{per_row:5.1} bytes per row: {phase}");
        assert!(per_row <= BYTES_PER_ROW as f64, "{phase}: {per_row} bytes per row");
        most = most.max(per_row);
    }
    // Digests are in memory, so less would be an error of measurement.
    assert!(most > 8.0, "{most} bytes per row");
}
