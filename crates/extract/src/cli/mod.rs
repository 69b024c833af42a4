//! The command line: its flags, and a file for each kind of command.

mod caches;
mod convert;
mod export;
mod gc;
mod import;
mod inspect_dataset;
mod run;
mod size;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use backbone::{Accuracy, Device, ImageSize, Network};
use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use dataset::{ColumnNames, SourceConfig};
use extract::{Error, ExportFormat, ExportPool, OnError, Scan};
use feature_cache::{Cache, Layout};
use recipe::{Augmentation, Decode, Dtype, Family, Fit, Orientation, ResizeFilter, Tap, from_name};
use strum::{IntoEnumIterator, VariantNames};
use terminal::{Failure, Success, positive, up_to};

/// Where caches are made unless `--out` says otherwise.
const FEATURES: &str = "artifacts/features";
/// Where `vgg-head` makes runs.
const RUNS: &str = "artifacts/runs";
/// Where `vgg-head` makes sweeps.
const SWEEPS: &str = "artifacts/sweeps";
/// Where `vgg-head` makes cross-validations.
const CROSS_VALIDATIONS: &str = "artifacts/cv";

/// Runs the convolutions of a VGG network once over a dataset and caches the features.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Extract the features of every split; prints the cache's folder
    #[command(alias = "extract")]
    Run(Box<RunArgs>),
    /// Store the features of a cache in the other layout, bit for bit; prints the new cache's folder
    Convert(ConvertArgs),
    /// Show what a dataset holds, without running a network, and everything that would stop an extraction:
    /// its form, its splits, images per class, sizes, and every image that cannot be read
    InspectDataset(InspectDatasetArgs),
    /// Write the features of a cache as one file for other tools; prints its path
    ExportFeatures(ExportArgs),
    /// Make a weights file from another program's
    ImportWeights(ImportArgs),
    /// Check the digest of every file of a cache
    Verify(CacheArgs),
    /// Show what a cache holds and what it was made from
    Inspect {
        #[command(flatten)]
        cache: CacheArgs,
        /// Print the manifest as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the caches, finished and unfinished
    Status(OutArgs),
    /// Show caches that are unfinished or that no run, sweep or cross-validation refers to; --yes removes them
    Gc(GcArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    #[arg(long, default_value = "data/mnist", help = dataset_help())]
    dataset: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
    /// Weights, as import-weights makes them
    #[arg(long, default_value = "artifacts/weights/vgg16-caffe.safetensors")]
    weights: PathBuf,
    /// Size that images are brought to, in pixels: one side, or HEIGHTxWIDTH; 32 or more
    #[arg(long, default_value = "96")]
    size: ImageSize,
    /// How images of another aspect ratio are brought to that size: stretch scales height and width
    /// independently; crop scales the shorter side to that size and cuts out the centre, as torchvision does; pad
    /// scales the longer side to it and fills the rest with --pad-colour
    #[arg(long, default_value = "stretch", value_parser = named::<Fit>())]
    fit: Fit,
    /// With --fit=pad, the colour of what the image leaves free: R,G,B, 0 to 255 [default: 0,0,0]
    #[arg(long, value_parser = colour, alias = "pad-color")]
    pad_colour: Option<[u8; 3]>,
    /// Resize filter: bilinear, bicubic, lanczos or nearest, with the antialiasing and the numbers of PIL
    #[arg(long, default_value = "bilinear", value_parser = named::<ResizeFilter>())]
    resize: ResizeFilter,
    /// Whether images are turned as the camera recorded (exif) or used as they are stored (ignore); images that
    /// are plain pixels, such as MNIST's, have no orientation [default: exif for image files]
    #[arg(long, value_parser = named::<Orientation>())]
    orientation: Option<Orientation>,
    /// How much of a JPEG is decoded: full, every pixel; or fast, at 1/2, 1/4 or 1/8 of its size where that
    /// is at least twice --size, which is faster for large photographs and changes features a little
    #[arg(long, default_value = "full", value_parser = named::<Decode>())]
    decode: Decode,
    /// Layers whose outputs are kept, separated by commas: the paper's names (conv4_3, pool4) or
    /// torchvision's (features.22, numbered without BatchNorm). A pooling may follow a colon: conv4_3:avg or conv4_3:max keeps
    /// one number per channel [default: the last convolution, conv5_3 of VGG16]
    #[arg(long, value_delimiter = ',')]
    taps: Vec<Tap>,
    #[command(flatten)]
    views: ViewArgs,
    /// Element type of the features: f32, or f16 for half the size
    #[arg(long, default_value = "f32", value_parser = dtype)]
    dtype: Dtype,
    /// How features are stored: dense, every number in one .npy array per tap; or csr, only those that are
    /// not zero, in three arrays that scipy.sparse.csr_matrix takes
    #[arg(long, default_value = "dense", value_parser = named::<Layout>())]
    layout: Layout,
    /// Largest number of images of each split, taken from all classes in proportion; for training, at least one
    /// of every class
    #[arg(long, value_parser = positive)]
    limit: Option<usize>,
    #[command(flatten)]
    split: SplitArgs,
    /// Seed of the splits that fractions take and of the subset that --limit takes
    #[arg(long, default_value = "0", value_parser = terminal::seed)]
    seed: u64,
    /// What is done about images that cannot be read, or that a list names and that are not there: stop names all that
    /// a look at headers and ends of files finds, before the first forward pass; skip leaves them out, lists them in
    /// the cache's skipped.csv, and ends with exit code 4
    #[arg(long, default_value = "stop", value_parser = named::<OnError>())]
    on_error: OnError,
    /// With --on-error=skip, the largest fraction of the dataset's images that may be left out; more stop the run
    /// [default: 0.01]
    #[arg(long, value_parser = fraction)]
    max_skipped: Option<f64>,
    /// How images are looked at before the first forward pass: ends, the headers and ends of their files; or full,
    /// all of them are decoded as well
    #[arg(long, default_value = "ends", value_parser = named::<Scan>())]
    scan: Scan,
    /// Batch size: images per forward pass [default: one that suits --size and --device]
    #[arg(long, value_parser = up_to(4096))]
    batch_size: Option<usize>,
    /// Threads that compute [default: all cores]
    #[arg(long, value_parser = up_to(1024))]
    threads: Option<usize>,
    /// Implementation of the forward pass [default: the fastest on the device]
    #[arg(long)]
    backend: Option<BackendName>,
    /// How exact winograd is: fast (features within 5e-5 of the largest) or exact (5e-6)
    /// [default: fast]
    #[arg(long)]
    accuracy: Option<Accuracy>,
    /// Device of the forward pass: cpu, or cuda for an NVIDIA card with libtorch
    #[arg(long, default_value = "cpu", value_parser = named::<Device>())]
    device: Device,
    #[command(flatten)]
    out: OutArgs,
    /// Read every file of the dataset; otherwise, files whose size, times and inode are those that an
    /// earlier command recorded in OUT/.file-digests are taken as unchanged
    #[arg(long)]
    rehash: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Flags on distorted copies.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("copies").multiple(true))]
struct ViewArgs {
    /// Number of distorted copies of each training image, which are cached beside the image itself and trained on
    /// like others [default: none]
    #[arg(long, value_parser = up_to(1000), group = "copies")]
    views: Option<usize>,
    /// Number of distorted copies of each validation image, over which --tta of 'vgg-head evaluate' averages; heads are
    /// validated on the images alone [default: none]
    #[arg(long, value_parser = up_to(1000), group = "copies")]
    val_views: Option<usize>,
    /// Number of distorted copies of each test image, over which --tta averages [default: none]
    #[arg(long, value_parser = up_to(1000), group = "copies")]
    test_views: Option<usize>,
    /// How they are distorted: digits or photos, fast.ai's settings, or a list such as rotation=8,shift=0.1 of
    /// rotation, shear (largest angles in degrees), shift, shift-x, shift-y, zoom (largest changes as fractions), flip
    /// (horizontal, vertical, both), crop (smallest area), brightness, contrast (largest changes of the factor 1),
    /// channel-shift (levels), erase (probability) and fill (nearest, black) [default: photos for image files, digits
    /// for plain pixels]
    #[arg(long, requires = "copies")]
    augment: Option<Augment>,
    /// Seed of the distortions
    #[arg(long, default_value = "0", value_parser = terminal::seed, requires = "copies")]
    augment_seed: u64,
    /// Write a picture of eight images with all their views, as a PNG file, and extract nothing: of training images, or
    /// without --views of validation or test images
    #[arg(long, value_name = "FILE.png", requires = "copies", value_parser = png_file())]
    preview: Option<PathBuf>,
}

/// The value of `--augment`.
#[derive(Debug, Clone)]
struct Augment {
    augmentation: Augmentation,
    /// Whether it is a form of the setting for digits.
    of_digits: bool,
}

impl FromStr for Augment {
    type Err = String;

    fn from_str(text: &str) -> Result<Augment, String> {
        let of_digits = text.split(',').any(|word| word.trim() == "digits");
        Ok(Augment { augmentation: text.parse()?, of_digits })
    }
}

/// Flags on how a dataset is read.
#[derive(Debug, Args)]
struct SourceArgs {
    /// Form of the dataset [default: recognised]
    #[arg(long, value_parser = PossibleValuesParser::new(dataset::form_names()))]
    form: Option<String>,
    /// Names of columns of lists and tables of images, such as path=file,label=breed,split=fold,group=patient
    /// [default: found by the usual names]. All images of a group are in one split
    #[arg(long)]
    columns: Option<ColumnNames>,
    /// Name of the column of groups, such as patients or videos, each of which is kept in one split; the same as
    /// --columns group=NAME
    #[arg(long)]
    group: Option<String>,
    /// Folder to which the paths of a list or of metadata are relative, where they may lack the images' ending; only
    /// for these forms [default: the list's own]
    #[arg(long)]
    images: Option<PathBuf>,
}

impl SourceArgs {
    /// # Errors
    /// If two columns are named as that of the groups.
    fn config(&self) -> Result<SourceConfig, Error> {
        let mut columns = self.columns.clone().unwrap_or_default();
        match (&self.group, &columns.group) {
            (Some(group), Some(column)) if group != column => {
                let (group, column) = (group.clone(), column.clone());
                return Err(Error::TwoGroups { group, column });
            }
            (Some(group), _) => columns.group = Some(group.clone()),
            (None, _) => {}
        }
        Ok(SourceConfig { form: self.form.clone(), columns, images: self.images.clone() })
    }
}

/// Flags on how a dataset is split, but for the seed, which inspecting a dataset uses for less.
#[derive(Debug, Args)]
struct SplitArgs {
    /// Fraction of the training images that become the validation split, but never a class's last one; if the
    /// dataset has a validation split of its own, that one is used instead [default: 1/6]
    #[arg(long, value_parser = fraction)]
    val_fraction: Option<f64>,
    /// Fraction of the training images that become the test split, likewise; it is the same for every
    /// --val-fraction [default: 0]
    #[arg(long, value_parser = fraction)]
    test_fraction: Option<f64>,
    /// Keep images with the same bytes in one split, as those of a group
    #[arg(long)]
    dedupe: bool,
    /// Allow classes with a single training image where a fraction takes a split; it stays in training, and the split
    /// has none of that class
    #[arg(long)]
    allow_single_images: bool,
}

impl InspectDatasetArgs {
    /// The dataset's folder or file.
    fn path(&self) -> &Path {
        let path = self.path.as_deref().or(self.dataset.as_deref());
        path.expect("one of them is required")
    }
}

#[derive(Debug, Args)]
struct InspectDatasetArgs {
    /// The dataset's folder or file
    #[arg(required_unless_present = "dataset")]
    path: Option<PathBuf>,
    /// The same, as `run` takes it
    #[arg(long, hide = true, conflicts_with = "path")]
    dataset: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    split: SplitArgs,
    /// Seed of the splits that fractions take
    #[arg(long, default_value = "0", value_parser = terminal::seed)]
    seed: u64,
    /// Folder whose remembered digests of files are used, so that files that have not changed since are not read again:
    /// that of the extraction
    #[arg(long, default_value = FEATURES)]
    out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BackendName {
    /// This project's kernels, on the processor
    Winograd,
    /// libtorch, on the processor or on CUDA; in programs that were built with the feature torch
    Torch,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// A file of PyTorch, Keras, ONNX, safetensors or NumPy [without it: list the files that are read]
    file: Option<PathBuf>,
    /// Origin of the weights, which fixes how images are preprocessed for them [default: that of the
    /// published weights that these are recognised as]
    #[arg(long, value_parser = families(), requires = "file")]
    family: Option<Family>,
    /// The network, with or without BatchNorm [default: recognised from the file]
    #[arg(long, value_parser = networks(), requires = "file")]
    network: Option<&'static Network>,
    /// The file to write [default: artifacts/weights/NETWORK-FAMILY.safetensors]
    #[arg(long, requires = "file")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ConvertArgs {
    /// The cache's folder
    cache: PathBuf,
    /// The layout that the new cache has: dense or csr
    #[arg(long, value_parser = named::<Layout>())]
    layout: Layout,
    /// Folder under which the new cache is made [default: the one that CACHE lies in]
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    cache: CacheArgs,
    /// npz, for NumPy and scikit-learn; parquet, for pandas; or safetensors [default: that of the ending of TO, or npz]
    #[arg(long, value_parser = named::<ExportFormat>())]
    format: Option<ExportFormat>,
    /// How the maps of an image become one vector: avg or max keeps one number per channel; flatten keeps
    /// all numbers
    #[arg(long, default_value = "avg", value_parser = named::<ExportPool>())]
    pool: ExportPool,
    /// The file to write [default: beside the cache, with its name]
    #[arg(long)]
    to: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CacheArgs {
    /// The cache's folder [default: the newest one in OUT]
    #[arg(long, conflicts_with = "out")]
    features: Option<PathBuf>,
    #[command(flatten)]
    out: OutArgs,
}

#[derive(Debug, Args)]
struct GcArgs {
    #[command(flatten)]
    out: OutArgs,
    /// Folder whose runs refer to caches
    #[arg(long, default_value = RUNS)]
    runs: PathBuf,
    /// Folder whose sweeps refer to caches
    #[arg(long, default_value = SWEEPS)]
    sweeps: PathBuf,
    /// Folder whose cross-validations refer to caches
    #[arg(long, default_value = CROSS_VALIDATIONS)]
    cv: PathBuf,
    /// Consider caches of one kind only
    #[arg(long)]
    only: Option<Only>,
    /// Remove them; without this flag they are only shown
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Caches without a manifest, and files that killed programs left in finished ones
    Unfinished,
    /// Finished caches to which no run, sweep or cross-validation refers
    Unreferenced,
}

#[derive(Debug, Args)]
struct OutArgs {
    /// Folder under which caches are made
    #[arg(long, default_value = FEATURES)]
    out: PathBuf,
}

impl Cli {
    pub(crate) fn run(self) -> Result<Success, Error> {
        let done = match self.command {
            Command::Run(args) => return run::run(*args),
            Command::InspectDataset(args) => inspect_dataset::run(&args),
            Command::Convert(args) => convert::run(&args),
            Command::ExportFeatures(args) => export::run(&args),
            Command::ImportWeights(args) => import::import_weights(args),
            Command::Verify(args) => caches::verify(&args.folder()?),
            Command::Inspect { cache, json } => caches::inspect(&cache.open()?, json),
            Command::Status(args) => caches::status(&args.out),
            Command::Gc(args) => gc::gc(&args),
        };
        done.map(Success::from)
    }
}

impl CacheArgs {
    fn folder(&self) -> Result<PathBuf, Error> {
        match &self.features {
            Some(folder) => Ok(folder.clone()),
            None => Ok(feature_cache::newest(&self.out.out)?),
        }
    }

    fn open(&self) -> Result<Cache, Error> {
        Ok(Cache::open(&self.folder()?)?)
    }
}

/// The kind of failure, from which the exit code follows.
pub(crate) fn failure(error: &Error) -> Failure {
    use backbone::Error as Backbone;
    match error {
        Error::Interrupted { .. }
        | Error::ExportStopped { .. }
        | Error::Dataset(dataset::Error::Stopped) => Failure::Interrupted,
        Error::Taps { .. }
        | Error::AccuracyOfTorch
        | Error::PadColour { .. }
        | Error::MaxSkipped
        | Error::Fractions { .. }
        | Error::TwoGroups { .. }
        | Error::OtherWeightsThere { .. }
        | Error::Backbone(Backbone::WithoutTorch | Backbone::NoCuda | Backbone::WinogradOnCuda) => {
            Failure::Usage
        }
        #[cfg(feature = "torch")]
        Error::Backbone(Backbone::Torch(_)) => Failure::Internal,
        Error::Backbone(Backbone::File(error)) | Error::File(error) if error.is_wrong_path() => {
            Failure::BadInput
        }
        Error::Backbone(Backbone::File(_) | Backbone::Winograd(_))
        | Error::File(_)
        | Error::NoRoom { .. }
        | Error::Threads { .. } => Failure::Internal,
        Error::Cache(error) if !error.is_bad_input() => Failure::Internal,
        Error::Dataset(_)
        | Error::DatasetStops { .. }
        | Error::BadImages { .. }
        | Error::TooManyBad { .. }
        | Error::Image { .. }
        | Error::NothingToPreview { .. }
        | Error::Backbone(_)
        | Error::Cache(_) => Failure::BadInput,
    }
}

/// The help of `--dataset`: the forms of datasets that are read.
fn dataset_help() -> String {
    format!(
        "Dataset: {}. Splits may also be called training, valid, validation and testing, in any case. \
         Hidden files and what systems make (@eaDir, #recycle, lost+found, __MACOSX, …) are passed over",
        dataset::form_descriptions()
    )
}

/// An element type, also by NumPy's names.
fn dtype(name: &str) -> Result<Dtype, String> {
    from_name("dtype", name)
}

/// The path of a PNG file that is to be written.
fn png_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        let is_png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
        is_png
            .then_some(path)
            .ok_or("expected a name that ends with .png, since the picture is a PNG file")
    })
}

/// A colour as R,G,B.
fn colour(text: &str) -> Result<[u8; 3], String> {
    let channels: Result<Vec<u8>, _> =
        text.split(',').map(|channel| channel.trim().parse()).collect();
    channels.ok().and_then(|channels| channels.try_into().ok()).ok_or_else(|| {
        format!("'{text}' is not a colour; expected red, green and blue from 0 to 255, such as 124,116,104")
    })
}

/// The values of an enumeration, by their names.
fn named<T>() -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = strum::ParseError> + VariantNames + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(T::VARIANTS).try_map(|name| name.parse::<T>())
}

/// The names of the families, with their descriptions for the help.
fn families() -> impl TypedValueParser<Value = Family> {
    let names = Family::iter()
        .map(|family| PossibleValue::new(<&str>::from(family)).help(family.description()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Family>())
}

/// The names of the networks.
fn networks() -> impl TypedValueParser<Value = &'static Network> {
    let names = backbone::NETWORKS.each_ref().map(|network| network.name);
    PossibleValuesParser::new(names).try_map(|name| Network::named(&name))
}

/// A fraction, 0 ≤ x < 1: `0.2` or `1/6`.
fn fraction(text: &str) -> Result<f64, String> {
    let number = match text.split_once('/') {
        Some((above, below)) => above.parse::<f64>().ok().zip(below.parse::<f64>().ok()),
        None => text.parse().ok().map(|number| (number, 1.0)),
    };
    let fraction = number.map(|(above, below)| above / below);
    let fraction = fraction.filter(|fraction| (0.0..1.0).contains(fraction));
    fraction.ok_or_else(|| {
        format!("'{text}' is not a fraction; expected 0 <= x < 1, such as 0.2 or 1/6")
    })
}
