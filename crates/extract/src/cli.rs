//! The command line: its flags, and what each command prints.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use extract::{Error, ExtractConfig, extract};
use feature_cache::{
    Cache, Dtype, Found, Garbage, Verification, Why, find_garbage, keys_referred_to, unfinished,
};
use terminal::{
    HumanBytes, JsonPath, Progress, Table, positive, print, print_path, println, say, up_to,
};
use vgg16::{Accuracy, Backend, Device, Family, InputSize};

/// Where caches are made unless `--out` says otherwise.
const FEATURES: &str = "artifacts/features";
/// Where `vgg-head` makes runs.
const RUNS: &str = "artifacts/runs";
/// Where `vgg-head` makes sweeps.
const SWEEPS: &str = "artifacts/sweeps";

/// Runs VGG16's convolutions once over a dataset and caches the features.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Extract the features of every split; prints the cache's folder
    Run(RunArgs),
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
    /// Show caches that are unfinished or that no run and no sweep refers to; --yes removes them
    Gc(GcArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    #[arg(long, default_value = "data/mnist", help = dataset_help())]
    dataset: PathBuf,
    /// Weights, as import-weights makes them
    #[arg(long, default_value = "artifacts/weights/vgg16-caffe.safetensors")]
    weights: PathBuf,
    /// Size that images are brought to, in pixels: one side, or HEIGHTxWIDTH; 32 or more
    #[arg(long, default_value = "96")]
    size: InputSize,
    /// Resize filter: bilinear with half-pixel centres
    #[arg(long, default_value = "bilinear", value_parser = ["bilinear"])]
    resize: String,
    /// Element type of the features: f32, or f16 for half the size
    #[arg(long, default_value = "f32")]
    dtype: Dtype,
    /// Most images of each split, taken from all classes in proportion; for training, at least one of
    /// every class
    #[arg(long, value_parser = positive)]
    limit: Option<usize>,
    /// Fraction of the training images that become the validation split, but never a class's last
    /// one; where the dataset has a folder val/, that is the validation split, and this is 0
    #[arg(long, default_value = "1/6", value_parser = fraction)]
    val_fraction: f64,
    /// Seed of the validation split and of the subset that --limit takes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Images a forward pass [default: what suits the size]
    #[arg(long, value_parser = up_to(4096))]
    batch_size: Option<usize>,
    /// Threads that compute [default: all cores]
    #[arg(long, value_parser = up_to(1024))]
    threads: Option<usize>,
    /// Implementation of the forward pass [default: the fastest on the device]
    #[arg(long)]
    backend: Option<BackendName>,
    /// How exact winograd is: fast (features within 5e-5 of the largest) or exact (5e-6)
    #[arg(long, default_value = "fast")]
    accuracy: Accuracy,
    /// Where it runs: cpu or cuda
    #[arg(long, default_value_t = Device::Cpu)]
    device: Device,
    #[command(flatten)]
    out: OutArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BackendName {
    /// This project's kernels, on the processor
    Winograd,
    /// libtorch
    Torch,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// An .onnx file, or a .safetensors file with torchvision's names
    file: PathBuf,
    /// Where the weights come from, which fixes how images are prepared for them
    #[arg(long, value_parser = families())]
    family: Family,
    /// The file to write [default: artifacts/weights/vgg16-FAMILY.safetensors]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The help of `--dataset`: the forms of datasets that are read.
fn dataset_help() -> String {
    format!(
        "Dataset: {}. Splits may also be called training, valid, validation and testing, in any case. \
         Hidden files and what systems make (@eaDir, #recycle, lost+found, __MACOSX, …) are passed over",
        dataset::form_descriptions()
    )
}

/// The names of the families, with their descriptions for the help.
fn families() -> impl TypedValueParser<Value = Family> {
    let names =
        Family::ALL.map(|family| PossibleValue::new(family.name()).help(family.description()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Family>())
}

#[derive(Debug, Args)]
struct CacheArgs {
    /// The cache's folder [default: the newest one]
    #[arg(long)]
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
    /// Keep to caches of one kind
    #[arg(long)]
    only: Option<Only>,
    /// Remove them; without this flag they are only shown
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Without a manifest; and what killed programs left in finished ones
    Unfinished,
    /// Finished, but no run and no sweep refers to them
    Unreferenced,
}

#[derive(Debug, Args)]
struct OutArgs {
    /// Folder under which caches are made
    #[arg(long, default_value = FEATURES)]
    out: PathBuf,
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Run(args) => run(args),
            Command::ImportWeights(args) => import_weights(args),
            Command::Verify(args) => verify(&args.folder()?),
            Command::Inspect { cache, json } => inspect(&cache.open()?, json),
            Command::Status(args) => status(&args.out),
            Command::Gc(args) => gc(&args),
        }
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

impl GcArgs {
    /// Keys of the caches that runs and sweeps refer to.
    fn referred_to(&self) -> Result<BTreeSet<String>, Error> {
        let mut keys = BTreeSet::new();
        for root in [&self.runs, &self.sweeps] {
            if !root.exists() {
                say(format!("there is no folder {}: nothing in it needs a cache", root.display()));
            }
            keys.extend(keys_referred_to(root)?);
        }
        Ok(keys)
    }
}

fn run(args: RunArgs) -> Result<(), Error> {
    terminal::catch_interrupts();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let extraction = extract(&ExtractConfig {
        dataset: args.dataset,
        weights: args.weights,
        size: args.size,
        dtype: args.dtype,
        limit: args.limit,
        val_fraction: args.val_fraction,
        seed: args.seed,
        batch_size: args.batch_size,
        threads: args.threads.unwrap_or(cores),
        backend: match args.backend {
            Some(BackendName::Winograd) => Backend::Winograd(args.accuracy),
            Some(BackendName::Torch) => Backend::Torch,
            None => match args.device.fastest_backend() {
                Backend::Winograd(_) => Backend::Winograd(args.accuracy),
                Backend::Torch => Backend::Torch,
            },
        },
        device: args.device,
        out: args.out.out,
    })?;
    let folder = extraction.cache.folder();
    let seconds = extraction.elapsed.as_secs_f64();
    let images_per_s = (extraction.images > 0).then(|| extraction.images as f64 / seconds);
    match images_per_s {
        Some(rate) => say(format!("{} images in {seconds:.1} s: {rate:.1}/s", extraction.images)),
        None => say("nothing to do: these features are cached already"),
    }
    if args.json {
        let json = serde_json::json!({
            "features": JsonPath(folder),
            "key": extraction.cache.manifest().key,
            "images": extraction.images,
            "seconds": seconds,
            "images_per_s": images_per_s,
        });
        println!("{json:#}");
    } else {
        print_path(folder);
    }
    Ok(())
}

fn import_weights(args: ImportArgs) -> Result<(), Error> {
    let out = args.out.unwrap_or_else(|| {
        Path::new("artifacts/weights").join(format!("vgg16-{}.safetensors", args.family))
    });
    let weights = vgg16::import_weights(&args.file, args.family)?;
    if weights.write(&out)? {
        say(format!("family {}, digest {}", args.family, weights.digest()));
    } else {
        say("nothing to do: these weights are imported already");
    }
    print_path(&out);
    Ok(())
}

fn verify(folder: &Path) -> Result<(), Error> {
    const MIB: u64 = 1 << 20;
    let progress: Mutex<Option<Progress>> = Mutex::new(None);
    let Verification { files, bytes } = Cache::verify(folder, |done, total| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let progress =
            progress.get_or_insert_with(|| Progress::new("verify", "MiB", total / MIB, 0));
        progress.update(done / MIB, "");
    })?;
    if let Some(progress) = progress.into_inner().unwrap_or_else(PoisonError::into_inner) {
        progress.finish(bytes / MIB, "");
    }
    println!(
        "{}: {files} files, {}, every digest as recorded",
        folder.display(),
        HumanBytes(bytes),
    );
    Ok(())
}

fn inspect(cache: &Cache, json: bool) -> Result<(), Error> {
    let manifest = cache.manifest();
    if json {
        let json = serde_json::to_string_pretty(manifest).expect("it was read from JSON");
        println!("{json}");
        return Ok(());
    }
    let inputs = &manifest.inputs;
    let [channels, height, width] = manifest.feature_shape;
    println!("{}", cache.folder().display());
    println!("dataset   {} ({})", inputs.dataset.name, inputs.dataset.path);
    println!("weights   {} {}", inputs.weights.family, inputs.weights.digest);
    println!(
        "network   {} to {}, {}x{} px, {}, {}",
        inputs.backbone, inputs.cut, inputs.height, inputs.width, inputs.resize, inputs.numerics
    );
    println!(
        "features  {channels}x{height}x{width} {}, {}",
        inputs.dtype,
        HumanBytes(cache.bytes())
    );
    println!("classes   {}\n", manifest.class_names.join(", "));
    let mut table = Table::new(["split", "rows", "labels"]);
    for (name, split) in &manifest.splits {
        let labels = if split.labels.is_some() { "yes" } else { "no" };
        table.row([name.to_string(), split.rows.to_string(), labels.to_string()]);
    }
    print!("{table}");
    Ok(())
}

fn status(out: &Path) -> Result<(), Error> {
    let mut table = Table::new(["cache", "rows", "done", "size", "age"]);
    for folder in feature_cache::folders(out)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let size = HumanBytes(size_of(&folder)?).to_string();
        let age = age_of(&folder);
        match Cache::open(&folder) {
            Ok(cache) => {
                let rows: usize = cache.manifest().splits.values().map(|split| split.rows).sum();
                table.row([name, rows.to_string(), "complete".to_owned(), size, age]);
            }
            Err(feature_cache::Error::NoManifest { .. }) => {
                let found = unfinished(&folder);
                let rows = match found.rows_total {
                    0 => "?".to_owned(),
                    total => total.to_string(),
                };
                table.row([name, rows, format!("{} %", found.percent()), size, age]);
            }
            Err(error) => {
                say(format!("{name}: {error}"));
                table.row([name, "?".to_owned(), "damaged".to_owned(), size, age]);
            }
        }
    }
    print!("{table}");
    Ok(())
}

fn gc(args: &GcArgs) -> Result<(), Error> {
    let referred_to = match args.only {
        Some(Only::Unfinished) => None,
        _ => Some(args.referred_to()?),
    };
    let Found { mut garbage, left_alone } = find_garbage(&args.out.out, referred_to.as_ref())?;
    if args.only == Some(Only::Unreferenced) {
        garbage.retain(|found| found.why == Why::Unreferenced);
    }
    for error in left_alone {
        say(format!("left alone: {error}"));
    }
    if garbage.is_empty() {
        say("nothing to remove");
        return Ok(());
    }
    let mut sizes = Vec::new();
    for Garbage { path, why } in &garbage {
        let size = size_of(path)?;
        println!("{}  {}  {why}", path.display(), HumanBytes(size));
        sizes.push(size);
    }
    if !args.yes {
        let bytes = HumanBytes(sizes.iter().sum());
        say(format!("{bytes} would be freed; add --yes to remove them"));
        return Ok(());
    }
    let mut freed = 0;
    for (found, size) in garbage.iter().zip(sizes) {
        match found.remove() {
            Ok(()) => freed += size,
            // Somebody has begun to work there since it was listed.
            Err(error @ feature_cache::Error::Held { .. }) => say(format!("left alone: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    say(format!("{} freed", HumanBytes(freed)));
    Ok(())
}

/// Bytes that a file, or the files in a folder, occupy; a file of which only a part was written counts
/// with that part.
fn size_of(path: &Path) -> Result<u64, Error> {
    let at = || durable::Error::at("look at", path);
    let metadata = std::fs::symlink_metadata(path).map_err(at())?;
    if !metadata.is_dir() {
        return Ok(occupied(&metadata));
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(path).map_err(at())? {
        bytes += size_of(&entry.map_err(at())?.path())?;
    }
    Ok(bytes)
}

#[cfg(unix)]
fn occupied(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // `st_blocks` counts 512-byte units whatever the file system's own blocks are.
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn occupied(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}

/// The time since a folder last changed, for people.
fn age_of(folder: &Path) -> String {
    let modified = std::fs::metadata(folder).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    age.map_or_else(|| "?".to_owned(), |age| terminal::HumanDuration(age).to_string())
}

/// A fraction from 0 up to, but without, 1: `0.2` or `1/6`.
fn fraction(text: &str) -> Result<f64, String> {
    let number = match text.split_once('/') {
        Some((above, below)) => above.parse::<f64>().ok().zip(below.parse::<f64>().ok()),
        None => text.parse().ok().map(|number| (number, 1.0)),
    };
    let fraction = number.map(|(above, below)| above / below);
    let fraction = fraction.filter(|fraction| (0.0..1.0).contains(fraction));
    fraction.ok_or_else(|| format!("'{text}' is no fraction from 0 up to 1, such as 0.2 or 1/6"))
}
