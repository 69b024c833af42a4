//! The command line: its flags, and a file for each command.

mod export;
mod heat_maps;
mod output;
mod run;
mod serve;

use std::net::IpAddr;
use std::path::PathBuf;

use backbone::{Compute, ExtractorConfig, suitable_batch_size};
use clap::{Args, Parser, Subcommand, ValueEnum};
use classify::{Error, Model, WeightsFile};
use head::{Average, Ensemble, Run, Sweep, newest_run};
use terminal::{Failure, positive, up_to};

/// Where `vgg-head` makes runs.
const RUNS: &str = "artifacts/runs";
/// Where `vgg-extract` puts weights.
const WEIGHTS: &str = "artifacts/weights";

/// Classifies images with trained heads.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Classify images; prints the most probable classes of each
    #[command(alias = "classify")]
    Run(RunArgs),
    /// Write a model as one file, which --model takes on any machine; prints the file
    Export(ExportArgs),
    /// Serve a model as a page to draw digits and drop images on, and to programs; prints its address
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
struct ModelArgs {
    /// The run whose head is used; given several times, the heads are averaged [default: the newest in
    /// artifacts/runs]
    #[arg(long, value_name = "RUN", conflicts_with_all = ["sweep", "model"])]
    run: Vec<PathBuf>,
    /// A sweep instead: the heads of all seeds of its chosen setting are averaged
    #[arg(long, conflicts_with = "model")]
    sweep: Option<PathBuf>,
    /// What of several heads is averaged: probabilities or logits [default: probabilities, or what --model says]
    #[arg(long, conflicts_with = "model", value_parser = average)]
    average: Option<Average>,
    /// A file that export wrote instead
    #[arg(long)]
    model: Option<PathBuf>,
    /// The weights of the network [default: the file in artifacts/weights with the digest that the run
    /// records]
    #[arg(long, conflicts_with = "model")]
    weights: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Image files, folders, lists of images (CSV files with a column path, text files with a path in each line), files with
    /// Kaggle's digits, or datasets
    #[arg(required = true, value_name = "IMAGE|FOLDER|CSV")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// With --format=table, the number of classes printed for each image [default: 3]
    #[arg(long, value_parser = positive)]
    top: Option<usize>,
    /// Of datasets with parts, the one that is classified: train, val or test [default: all]
    #[arg(long, value_parser = ["train", "val", "test"])]
    split: Option<String>,
    /// Form of the output: a table, or with the probability of every class as csv, json (an object per
    /// line) or parquet
    #[arg(long, default_value = "table")]
    format: OutputForm,
    /// The file to write [default: standard output]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Also write for each image a PNG file into this folder: the image in grey, and in colour what in it
    /// speaks for the class found (Grad-CAM). Files are numbered as the images, from 0
    #[arg(long, value_name = "DIR")]
    heatmap: Option<PathBuf>,
    /// Batch size: images per forward pass [default: one that suits the recipe's size]
    #[arg(long, value_parser = up_to(4096))]
    batch_size: Option<usize>,
    /// Threads that compute [default: all cores]
    #[arg(long, value_parser = up_to(1024))]
    threads: Option<usize>,
}

/// Default number of classes printed for each image.
const TOP: usize = 3;

/// Forms of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputForm {
    Table,
    Csv,
    Json,
    Parquet,
}

#[derive(Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The file to write
    #[arg(long)]
    out: PathBuf,
    /// Form of the file: safetensors, which --model takes, or onnx, which other programs run. An ONNX model
    /// takes uint8 images [N, height, width, 3] of the recipe's size and gives probabilities and logits
    #[arg(long, default_value = "safetensors")]
    format: ModelForm,
    /// With --format=onnx: take images of any size, which the model resizes as the recipe says. Runtimes
    /// need Resize of ONNX's operators 18, with antialias
    #[arg(long)]
    any_size: bool,
    /// With --format=onnx: leave the network out, and take the features of the taps instead of images, as
    /// a cache has them: float32 [N, C, H, W], or [N, C] if they are pooled
    #[arg(long, conflicts_with = "any_size")]
    head_only: bool,
}

/// Forms of a model's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModelForm {
    Safetensors,
    Onnx,
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The port; 0 takes a free one
    #[arg(long, default_value = "7860")]
    port: u16,
    /// The address to listen at; others than this machine can connect only if it is not a loopback address
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    bind: IpAddr,
    /// A name of this machine that clients may use beside its addresses; may be given several times
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Seconds that a client may take to send a request, and that a connection may be idle
    #[arg(long, default_value = "30", value_parser = up_to(3600))]
    timeout: usize,
    /// Batch size: most images per forward pass [default: one that suits the recipe's size]
    #[arg(long, value_parser = up_to(4096))]
    batch_size: Option<usize>,
    /// Threads that compute [default: all cores]
    #[arg(long, value_parser = up_to(1024))]
    threads: Option<usize>,
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Run(args) => run::run(args),
            Command::Export(args) => export::run(&args),
            Command::Serve(args) => serve::run(&args),
        }
    }
}

impl ModelArgs {
    fn read(&self) -> Result<Model, Error> {
        self.read_with_runs().map(|(model, _)| model)
    }

    /// The model, and the runs whose heads it has; `None` of a model file.
    fn read_with_runs(&self) -> Result<(Model, Option<Ensemble>), Error> {
        if let Some(path) = &self.model {
            return Ok((Model::read(path)?, None));
        }
        let weights = match &self.weights {
            Some(path) => WeightsFile::At(path.clone()),
            None => WeightsFile::In(WEIGHTS.into()),
        };
        let runs = match &self.sweep {
            Some(folder) => Sweep::open(folder)?.chosen_runs()?,
            None if self.run.is_empty() => vec![Run::open(&newest_run(RUNS.as_ref())?)?],
            None => {
                self.run.iter().map(|run| Run::open(run)).collect::<Result<_, head::Error>>()?
            }
        };
        let ensemble = Ensemble::new(runs, self.average.unwrap_or_default())?;
        let model = Model::of_ensemble(&ensemble, &weights)?;
        Ok((model, Some(ensemble)))
    }
}

/// What of several heads is averaged.
fn average(text: &str) -> Result<Average, String> {
    recipe::from_name("average", text)
}

/// The resources of a classifier for up to so many images. Says if its features are not quite those that the heads
/// were trained on.
fn extractor_config(
    model: &Model,
    batch_size: Option<usize>,
    threads: Option<usize>,
    images: usize,
) -> Result<ExtractorConfig, Error> {
    let recipe = model.computed_recipe()?;
    let former = &model.recipe().numerics;
    if *former != recipe.numerics {
        terminal::say(format!(
            "note: the heads were trained on features of {former}; those of {}, which are computed now, differ \
             in their last digits",
            recipe.numerics,
        ));
    }
    let device = Compute::with_numerics(&recipe.numerics)?.device;
    let suitable = || suitable_batch_size(device, recipe.image.height, recipe.image.width);
    Ok(ExtractorConfig {
        batch_size: batch_size.unwrap_or_else(suitable).min(images),
        threads: threads.unwrap_or_else(cores),
    })
}

/// Number of threads if no flag gives it.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The kind of failure, from which the exit code follows.
pub(crate) fn failure(error: &Error) -> Failure {
    use backbone::Error as Backbone;
    match error {
        Error::Interrupted { .. } => Failure::Interrupted,
        Error::Cut { .. } => Failure::Interrupted,
        Error::NoImages
        | Error::NoParts { .. }
        | Error::NotTable
        | Error::Head(head::Error::Ensemble(head::EnsembleError::RunTwice { .. }))
        | Error::NotOnnx { .. }
        | Error::OnnxResizing { .. }
        | Error::Listen { .. } => Failure::Usage,
        #[cfg(feature = "torch")]
        Error::Backbone(Backbone::Torch(_)) => Failure::Internal,
        Error::Backbone(Backbone::File(error)) | Error::File(error) if error.is_wrong_path() => {
            Failure::BadInput
        }
        Error::Backbone(Backbone::File(_) | Backbone::Winograd(_))
        | Error::File(_)
        | Error::Parquet(_)
        | Error::Csv(_)
        | Error::OnnxRefused { .. }
        | Error::OnnxDiffers { .. }
        | Error::Threads { .. }
        | Error::Runtime { .. } => Failure::Internal,
        Error::Dataset(_)
        | Error::Backbone(_)
        | Error::Head(_)
        | Error::NoMaps
        | Error::NoRecipe { .. }
        | Error::Recipe { .. }
        | Error::Contradiction { .. }
        | Error::DamagedModel { .. }
        | Error::OtherFormat { .. }
        | Error::Unreadable { .. } => Failure::BadInput,
    }
}
