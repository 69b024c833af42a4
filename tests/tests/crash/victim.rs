//! The programs that are killed, and the properties of the files that they leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use end_to_end::{
    Digits, INCOMPLETE, Workplace, caches_in, damaged_inside, files_in, finish, needed, path_from,
    vgg_extract, vgg_head,
};
use feature_cache::Layout;

use crate::contents::contents;

/// A program that writes a result under a folder.
pub(crate) struct Victim {
    /// Its name in the figures.
    pub(crate) name: &'static str,
    /// The folder under which it writes.
    pub(crate) out: PathBuf,
    /// The files that it leaves undisturbed.
    pub(crate) reference: BTreeMap<String, String>,
    /// The time that it takes undisturbed.
    pub(crate) takes: Duration,
    command: Box<dyn Fn(&Path) -> Command>,
    /// The file that marks the others as complete. Files written after it are [`Victim::later`].
    pub(crate) marker: &'static str,
    /// Whether it records its progress in a `progress.json`.
    pub(crate) records: bool,
    /// The exit code with which it ends.
    pub(crate) code: i32,
    later: &'static [&'static str],
    /// The message with which it continues the work under the folder; `None` if there is none to continue.
    resumes: fn(&Path) -> Option<String>,
    /// A folder elsewhere that it also writes.
    also_makes: Option<PathBuf>,
    /// A finished cache elsewhere, a copy of which lies in `out` from the beginning.
    given: Option<PathBuf>,
    workplace: Workplace,
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

    /// Likewise an extraction that takes the rows of every second digit from a cache of the other layout.
    pub(crate) fn extraction_with_reuse(images: usize, layout: Layout) -> Victim {
        let victim = Victim::extraction(images, layout);
        let (name, from) = match layout {
            Layout::Dense => ("extraction with reuse", Layout::Csr),
            Layout::Csr => ("extraction as csr with reuse", Layout::Dense),
        };
        let workplace = &victim.workplace;
        let train = Digits::first("train", images - images / 10).every_second();
        workplace.write_idx("half", &train, &Digits::first("t10k", images / 10).every_second());
        let layout_flag = format!("--layout={from}");
        let given = path_from(workplace.run("half", &["--size=48", &layout_flag]));
        let mut reference = victim.reference.clone();
        let name_of_given = Path::new(given.file_name().unwrap());
        reference.extend(contents(&given).into_iter().map(|(file, digest)| {
            (name_of_given.join(file).to_string_lossy().into_owned(), digest)
        }));
        let victim = Victim { name, reference, given: Some(given), ..victim };
        victim.forget();
        let finished = finish(victim.command());
        let taken = format!("{} of {images} rows taken from ", images / 2);
        assert!(finished.stderr.contains(&taken), "no '{taken}' in: {}", finished.stderr);
        victim.forget();
        victim
    }

    /// Extraction of `images` digits and three distorted copies of each of them that is for training.
    pub(crate) fn extraction_with_copies(images: usize, layout: Layout) -> Victim {
        let workplace = Workplace::empty();
        let train = Digits::first("train", images - images / 10);
        workplace.write_idx("digits", &train, &Digits::first("t10k", images / 10));
        let layout_flag = format!("--layout={layout}");
        let flags = ["--batch-size=16", "--size=48", "--views=3", &layout_flag];
        let run = with_out(workplace.run("digits", &flags));
        let name = match layout {
            Layout::Dense => "extraction with copies",
            Layout::Csr => "extraction with copies as csr",
        };
        let victim = Victim::new(name, workplace, run, "manifest.json", &[], continued_views);
        Victim { records: true, ..victim }
    }

    /// Extraction of `images` digits and two images that cannot be read, one of which is found when it is decoded, after
    /// others were computed: they are left out.
    pub(crate) fn extraction_of_bad_images(images: usize, layout: Layout) -> Victim {
        let workplace = Workplace::empty();
        let digits = Digits::first("train", images);
        for (index, (pixels, label)) in digits.pixels.chunks(784).zip(&digits.labels).enumerate() {
            let path = workplace.write(&format!("photos/{}/{index:03}.png", label % 2), b"");
            let image = image::GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap();
            image.save(path).unwrap();
        }
        workplace.write("photos/0/empty.png", b"");
        workplace.write("photos/1/010.bad.png", &damaged_inside(0));
        let layout = format!("--layout={layout}");
        let flags =
            ["--batch-size=8", "--size=48", "--on-error=skip", "--max-skipped=0.1", &layout];
        let run = with_out(workplace.run("photos", &flags));
        let name = "extraction with bad images";
        Victim::ending(INCOMPLETE, name, workplace, run, "manifest.json", &[], |_| None)
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

    /// A cross-validation with four folds, for `epochs` epochs of `images` digits of two classes.
    pub(crate) fn cross_validation(images: usize, epochs: usize) -> Victim {
        let workplace = Workplace::empty();
        let mut train = Digits::first("train", images);
        train.labels.iter_mut().for_each(|label| *label %= 2);
        let test = Digits { labels: vec![0; 10], ..Digits::first("t10k", 10) };
        workplace.write_idx("digits", &train, &test);
        let cache = workplace.extract();
        let mut cv = vgg_head(["cv", "--threads=2", "--hidden=32", "--folds=4"]);
        cv.arg("--features").arg(&cache).arg(format!("--epochs={epochs}"));
        let cv = with_out(cv);
        let victim = Victim::new("cv", workplace, cv, "summary.json", &[], continued_heads);
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
        Victim::ending(0, name, workplace, command, marker, later, resumes)
    }

    fn ending(
        code: i32,
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
        assert_eq!(finished.code, Some(code), "{finished:?}");
        let (out, reference) = (workplace.path("out"), contents(&elsewhere));
        Victim {
            name,
            out,
            reference,
            takes,
            command,
            marker,
            records: false,
            code,
            later,
            resumes,
            also_makes: None,
            given: None,
            workplace,
        }
    }

    pub(crate) fn command(&self) -> Command {
        (self.command)(&self.out)
    }

    /// Removes the files that it made, and restores the cache that was given.
    pub(crate) fn forget(&self) {
        for folder in [Some(&self.out), self.also_makes.as_ref()].into_iter().flatten() {
            if folder.exists() {
                fs::remove_dir_all(folder).unwrap();
            }
        }
        if let Some(given) = &self.given {
            let copy = self.out.join(given.file_name().unwrap());
            for file in files_in(given) {
                let to = copy.join(file.strip_prefix(given).unwrap());
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(file, to).unwrap();
            }
        }
    }

    /// Whether there is a finished result.
    pub(crate) fn is_finished(&self) -> bool {
        let mut folders = durable::folders(&self.out).unwrap();
        if let Some(given) = &self.given {
            folders.retain(|folder| folder.file_name() != given.file_name());
        }
        [self.out.clone()].iter().chain(&folders).any(|folder| folder.join(self.marker).exists())
    }

    /// Asserts that the result, and each run of a sweep, is whole and right, or absent.
    pub(crate) fn assert_whole_or_absent(&self) {
        let found = contents(&self.out);
        for finished in found.keys().filter_map(|file| file.strip_suffix(self.marker)) {
            for (file, digest) in
                self.reference.iter().filter(|(file, _)| file.starts_with(finished))
            {
                let is_later = self.later.iter().any(|later| file.ends_with(later));
                assert!(
                    found.get(file) == Some(digest) || (is_later && !found.contains_key(file)),
                    "{}: {file} is wrong, although {finished}{} is there",
                    self.name,
                    self.marker
                );
            }
        }
    }

    /// Gives the command again, to its end. Asserts that it continues where it stopped and leaves the same
    /// files as an undisturbed one.
    pub(crate) fn finish(&self) {
        let resumes = (self.resumes)(&self.out);
        let finished = finish(self.command());
        assert_eq!(finished.code, Some(self.code), "{finished:?}");
        if let Some(words) = resumes {
            assert!(finished.stderr.contains(&words), "no '{words}' in: {}", finished.stderr);
        }
        assert_eq!(contents(&self.out), self.reference, "{}", self.name);
    }

    /// Whether the command, given again, will continue recorded work.
    pub(crate) fn resumes(&self) -> bool {
        (self.resumes)(&self.out).is_some()
    }
}

/// The command with a folder to write under. If `--out` is given several times, the last one counts.
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
    let (done, total) = recorded_rows(out)?;
    Some(format!("continuing: {done} of {total} images already there"))
}

fn continued_views(out: &Path) -> Option<String> {
    let (done, total) = recorded_rows(out)?;
    Some(format!("continuing: {done} of {total} views already there"))
}

fn converted_rows(out: &Path) -> Option<String> {
    let (done, total) = recorded_rows(out)?;
    Some(format!("continuing: {done} of {total} rows already there"))
}

/// The number of rows that an unfinished cache has recorded, and that of all its rows; `None` if there is no
/// such cache, or it has none.
fn recorded_rows(out: &Path) -> Option<(usize, usize)> {
    let cache = caches_in(out).into_iter().find(|cache| !feature_cache::is_finished(cache))?;
    let unfinished = feature_cache::unfinished(&cache);
    (unfinished.rows_done > 0).then_some((unfinished.rows_done, unfinished.rows_total))
}

fn continued_heads(out: &Path) -> Option<String> {
    let sweep = durable::folders(out).unwrap().pop()?;
    let runs = durable::folders(&sweep.join("runs")).unwrap();
    let done = runs.iter().filter(|run| run.join("summary.json").exists()).count();
    let words = format!("continuing: {done} of 4 heads already there");
    (1..4).contains(&done).then_some(words)
}
