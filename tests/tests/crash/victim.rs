//! The programs that are killed, and what must hold of what they leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use end_to_end::{Digits, Workplace, finish, needed, path_from, vgg_extract, vgg_head};
use feature_cache::Layout;

use crate::contents::contents;

/// A program that makes something under a folder.
pub(crate) struct Victim {
    /// What it is called in the figures.
    pub(crate) name: &'static str,
    /// The folder that it is told to write under.
    pub(crate) out: PathBuf,
    /// What it leaves when nobody disturbs it.
    pub(crate) reference: BTreeMap<String, String>,
    /// The time that it takes then.
    pub(crate) takes: Duration,
    command: Box<dyn Fn(&Path) -> Command>,
    /// The file that says that the others are there; those written after it are [`Victim::later`].
    pub(crate) marker: &'static str,
    /// Whether it records in a `progress.json` how far it came.
    pub(crate) records: bool,
    later: &'static [&'static str],
    /// The words with which it takes up what is under the folder.
    resumes: fn(&Path) -> Option<String>,
    /// What else it makes, elsewhere.
    also_makes: Option<PathBuf>,
    _workplace: Workplace,
}

impl Victim {
    /// Extraction of `images` digits into a cache of this layout.
    pub(crate) fn extraction(images: usize, layout: Layout) -> Victim {
        let workplace = Workplace::empty();
        let train = Digits::first("train", images - images / 10);
        workplace.write_idx("digits", &train, &Digits::first("t10k", images / 10));
        let layout_flag = format!("--layout={layout}");
        let run = workplace.run("digits", &["--batch-size=16", "--size=48", &layout_flag]);
        let name = match layout {
            Layout::Dense => "extraction",
            Layout::Csr => "extraction as csr",
        };
        let victim =
            Victim::new(name, workplace, with_out(run), "manifest.json", &[], continued_rows);
        Victim { records: true, ..victim }
    }

    /// Conversion of the features of `images` digits to this layout.
    pub(crate) fn conversion(images: usize, layout: Layout) -> Victim {
        let workplace = Workplace::empty();
        let (train, test) = (Digits::first("train", images), Digits::first("t10k", 10));
        workplace.write_idx("digits", &train, &test);
        let (name, from) = match layout {
            Layout::Dense => ("conversion to dense", Layout::Csr),
            Layout::Csr => ("conversion to csr", Layout::Dense),
        };
        let cache = path_from(workplace.run("digits", &[&format!("--layout={from}")]));
        let mut convert = vgg_extract(["convert", &format!("--layout={layout}")]);
        convert.arg(&cache);
        let convert = with_out(convert);
        Victim::new(name, workplace, convert, "manifest.json", &[], converted_rows)
    }

    /// Training of one head for `epochs` epochs of `images` digits.
    pub(crate) fn training(images: usize, epochs: usize) -> Victim {
        let workplace = Workplace::empty();
        let (train, test) = (Digits::first("train", images), Digits::first("t10k", 10));
        workplace.write_idx("digits", &train, &test);
        let cache = workplace.extract();
        let train = workplace.train(&cache, &[&format!("--epochs={epochs}")]);
        let later = &["learning-curve.svg"];
        let victim =
            Victim::new("train", workplace, with_out(train), "summary.json", later, |_| None);
        Victim { also_makes: Some(cache.join("pooled")), ..victim }
    }

    /// A sweep over four heads in two passes, for `epochs` epochs of `images` digits.
    pub(crate) fn sweep(images: usize, epochs: usize) -> Victim {
        let workplace = Workplace::empty();
        let (train, test) = (Digits::first("train", images), Digits::first("t10k", 10));
        workplace.write_idx("digits", &train, &test);
        let cache = workplace.extract();
        let mut sweep = vgg_head(["sweep", "--threads=2", "--p=0,0.5", "--hidden=32,64"]);
        sweep.arg("--features").arg(&cache).args(["--seeds=1", &format!("--epochs={epochs}")]);
        let later = &["accuracy-vs-dropout.svg", "learning-curves.svg", "report.html"];
        let sweep = with_out(sweep);
        let victim = Victim::new("sweep", workplace, sweep, "summary.json", later, continued_heads);
        Victim { also_makes: Some(cache.join("pooled")), ..victim }
    }

    /// The import of VGG16's weights.
    pub(crate) fn import() -> Victim {
        let onnx = needed("artifacts/weights/vgg16-caffe.onnx");
        let import = move |out: &Path| {
            let mut command = vgg_extract(["import-weights", "--family=caffe"]);
            command.arg("--out").arg(out.join("vgg16.safetensors")).arg(&onnx);
            command
        };
        let import = Box::new(import);
        Victim::new("import-weights", Workplace::empty(), import, "vgg16.safetensors", &[], |_| {
            None
        })
    }

    fn new(
        name: &'static str,
        workplace: Workplace,
        command: Box<dyn Fn(&Path) -> Command>,
        marker: &'static str,
        later: &'static [&'static str],
        resumes: fn(&Path) -> Option<String>,
    ) -> Victim {
        let elsewhere = workplace.path("reference");
        let undisturbed = command(&elsewhere);
        let started = Instant::now();
        let finished = finish(undisturbed);
        let takes = started.elapsed();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let (out, reference) = (workplace.path("out"), contents(&elsewhere));
        Victim {
            name,
            out,
            reference,
            takes,
            command,
            marker,
            records: false,
            later,
            resumes,
            also_makes: None,
            _workplace: workplace,
        }
    }

    pub(crate) fn command(&self) -> Command {
        (self.command)(&self.out)
    }

    /// Removes what it made.
    pub(crate) fn forget(&self) {
        for folder in [Some(&self.out), self.also_makes.as_ref()].into_iter().flatten() {
            if folder.exists() {
                fs::remove_dir_all(folder).unwrap();
            }
        }
    }

    /// Whether there is something for readers.
    pub(crate) fn is_finished(&self) -> bool {
        let folders = durable::folders(&self.out).unwrap();
        [self.out.clone()].iter().chain(&folders).any(|folder| folder.join(self.marker).exists())
    }

    /// Asserts that a reader sees all of a result, as it must be, or nothing; likewise of each run
    /// of a sweep.
    pub(crate) fn assert_whole_or_absent(&self) {
        let found = contents(&self.out);
        for finished in found.keys().filter_map(|file| file.strip_suffix(self.marker)) {
            for (file, digest) in
                self.reference.iter().filter(|(file, _)| file.starts_with(finished))
            {
                let is_later = self.later.iter().any(|later| file.ends_with(later));
                assert!(
                    found.get(file) == Some(digest) || (is_later && !found.contains_key(file)),
                    "{}: {file} is not what it must be, though {finished}{} is there",
                    self.name,
                    self.marker
                );
            }
        }
    }

    /// Gives the command again, to its end, and asserts that it goes on where it stopped and leaves
    /// what an undisturbed one leaves.
    pub(crate) fn finish(&self) {
        let resumes = (self.resumes)(&self.out);
        let finished = finish(self.command());
        assert_eq!(finished.code, Some(0), "{finished:?}");
        if let Some(words) = resumes {
            assert!(finished.stderr.contains(&words), "no '{words}' in: {}", finished.stderr);
        }
        assert_eq!(contents(&self.out), self.reference, "{}", self.name);
    }

    /// Whether the command, given again, takes up work that was recorded.
    pub(crate) fn resumes(&self) -> bool {
        (self.resumes)(&self.out).is_some()
    }
}

/// The command with the folder to write under; the last of several `--out` counts.
fn with_out(command: Command) -> Box<dyn Fn(&Path) -> Command> {
    let program = command.get_program().to_owned();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    Box::new(move |out| {
        let mut command = Command::new(&program);
        command.args(&args).arg("--out").arg(out).env_remove("LD_LIBRARY_PATH");
        command
    })
}

fn continued_rows(out: &Path) -> Option<String> {
    let cache = durable::folders(out).unwrap().pop()?;
    let unfinished = feature_cache::unfinished(&cache);
    let (done, total) = (unfinished.rows_done, unfinished.rows_total);
    let words = format!("continuing: {done} of {total} images are there already");
    (done > 0 && !feature_cache::is_finished(&cache)).then_some(words)
}

fn converted_rows(out: &Path) -> Option<String> {
    let cache = durable::folders(out).unwrap().pop()?;
    let unfinished = feature_cache::unfinished(&cache);
    let (done, total) = (unfinished.rows_done, unfinished.rows_total);
    let words = format!("continuing: {done} of {total} rows are there already");
    (done > 0 && !feature_cache::is_finished(&cache)).then_some(words)
}

fn continued_heads(out: &Path) -> Option<String> {
    let sweep = durable::folders(out).unwrap().pop()?;
    let runs = durable::folders(&sweep.join("runs")).unwrap();
    let done = runs.iter().filter(|run| run.join("summary.json").exists()).count();
    let words = format!("continuing: {done} of 4 heads are there already");
    (1..4).contains(&done).then_some(words)
}
