//! `run`: an extraction with its progress.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::Path;

use backbone::{Accuracy, Backend, Compute};
use extract::{
    Error, Event, ExtractConfig, OnError, PREVIEW_BYTES, Preview, ViewConfig, extract,
    write_preview,
};
use feature_cache::{Layout, SplitName};
use plural::{counted, noun_for};
use recipe::{Fit, Tap, ViewCounts, Views};
use terminal::{
    HumanBytes, HumanCount, JsonPath, Progress, Success, print_path, println, say, with_causes,
};

use super::{BackendName, RunArgs, ViewArgs};

pub(super) fn run(args: RunArgs) -> Result<Success, Error> {
    let stop = terminal::catch_interrupts();
    let (json, preview) = (args.json, args.views.preview.clone());
    let config = config(args)?;
    if let Some(file) = preview {
        let mut shown = Shown { config: &config, progress: None };
        let preview = write_preview(&config, &file, &mut |event| shown.show(event), stop)?;
        print_preview(&preview, &file, json);
        return Ok(Success::Complete);
    }
    let mut shown = Shown { config: &config, progress: None };
    let extraction = extract(&config, &mut |event| shown.show(event), stop)?;
    let folder = extraction.cache.folder();
    let seconds = extraction.elapsed.as_secs_f64();
    let (images, rows_taken) = (extraction.images, extraction.rows_taken);
    let images_per_s = (images > 0).then(|| images as f64 / seconds);
    match images_per_s {
        Some(rate) => {
            say(format!("{} in {seconds:.1} s: {rate:.1}/s", counted(images, "image")));
        }
        None if rows_taken > 0 => {
            say(format!("{} taken in {seconds:.1} s", counted(rows_taken, "row")));
        }
        None => say("nothing to do: these features are cached already"),
    }
    let skipped = extraction.cache.manifest().skipped_images().len();
    if skipped > 0 {
        let table = folder.join("skipped.csv");
        say(format!(
            "{} left out that cannot be read: {} names them",
            counted(skipped, "image"),
            table.display()
        ));
    }
    if json {
        let json = serde_json::json!({
            "features": JsonPath(folder),
            "key": extraction.cache.manifest().key,
            "images": images,
            "skipped": skipped,
            "rows_taken": rows_taken,
            "seconds": seconds,
            "images_per_s": images_per_s,
        });
        println!("{json:#}");
    } else {
        print_path(folder);
    }
    Ok(if skipped > 0 { Success::Incomplete } else { Success::Complete })
}

/// Says what a preview shows, and prints its file.
fn print_preview(preview: &Preview, file: &Path, json: bool) {
    let Preview { split, images, copies, shown } = *preview;
    let images_of = counted(images, &format!("{} image", adjective(split)));
    say(format!("{images_of}, each with {} of it", distorted_copies(shown)));
    if shown < copies {
        say(format!(
            "warning: {} of each image are not shown, since a picture takes at most {}",
            distorted_copies(copies - shown),
            HumanBytes(PREVIEW_BYTES as u64)
        ));
    }
    if json {
        let json = serde_json::json!({
            "preview": JsonPath(file),
            "split": split,
            "images": images,
            "copies": copies,
            "copies_shown": shown,
        });
        println!("{json:#}");
    } else {
        print_path(file);
    }
}

/// A split's name before the noun "image".
fn adjective(split: SplitName) -> &'static str {
    match split {
        SplitName::Train => "training",
        SplitName::Val => "validation",
        SplitName::Test => "test",
    }
}

/// A number of distorted copies, in words.
fn distorted_copies(count: u32) -> String {
    match count {
        1 => "a distorted copy".to_owned(),
        count => format!("{count} distorted copies"),
    }
}

fn config(args: RunArgs) -> Result<ExtractConfig, Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if args.pad_colour.is_some() && args.fit != Fit::Pad {
        return Err(Error::PadColour { fit: args.fit });
    }
    if args.max_skipped.is_some() && args.on_error == OnError::Stop {
        return Err(Error::MaxSkipped);
    }
    let backend = match args.backend {
        Some(BackendName::Winograd) => Backend::Winograd(Accuracy::default()),
        Some(BackendName::Torch) => Backend::Torch,
        None => args.device.fastest_backend(),
    };
    let backend = match (backend, args.accuracy) {
        (Backend::Winograd(_), Some(accuracy)) => Backend::Winograd(accuracy),
        (Backend::Torch, Some(_)) => return Err(Error::AccuracyOfTorch),
        (backend, None) => backend,
    };
    Ok(ExtractConfig {
        dataset: args.dataset,
        source: args.source.config()?,
        weights: args.weights,
        size: args.size,
        fit: args.fit,
        pad_colour: args.pad_colour,
        resize: args.resize,
        orientation: args.orientation,
        decode: args.decode,
        taps: args.taps,
        views: args.views.config(),
        dtype: args.dtype,
        layout: args.layout,
        limit: args.limit,
        val_fraction: args.split.val_fraction,
        test_fraction: args.split.test_fraction,
        dedupe: args.split.dedupe,
        allow_single_images: args.split.allow_single_images,
        seed: args.seed,
        on_error: args.on_error,
        max_skipped: args.max_skipped.unwrap_or(ExtractConfig::MAX_SKIPPED),
        scan: args.scan,
        batch_size: args.batch_size,
        threads: args.threads.unwrap_or(cores),
        compute: Compute { backend, device: args.device },
        out: args.out.out,
        rehash: args.rehash,
    })
}

impl ViewArgs {
    fn config(self) -> Option<ViewConfig> {
        let number =
            |flag: Option<usize>| u32::try_from(flag.unwrap_or(0)).expect("the flags have a limit");
        let [train, val, test] = [self.views, self.val_views, self.test_views].map(number);
        let count = ViewCounts { train, val, test };
        if count.are_none() {
            return None;
        }
        let are_digits = self.augment.as_ref().is_some_and(|augment| augment.of_digits);
        let augmentation = self.augment.map(|augment| augment.augmentation);
        Some(ViewConfig { count, augmentation, are_digits, seed: self.augment_seed })
    }
}

/// The caches that rows are taken from, and what is left to compute.
fn reusing(folders: &BTreeMap<&Path, usize>, rows: usize, to_compute: usize) -> String {
    let from = match folders.keys().next() {
        Some(folder) if folders.len() == 1 => folder.display().to_string(),
        _ => format!("{} caches", folders.len()),
    };
    let noun = noun_for(&rows, "row");
    let [taken, rows, to_compute] =
        [rows - to_compute, rows, to_compute].map(|count| HumanCount(count as u64));
    format!("{taken} of {rows} {noun} taken from {from}, {to_compute} to compute")
}

/// The display of an extraction's events.
struct Shown<'a> {
    config: &'a ExtractConfig,
    /// The progress of the split whose features are being computed.
    progress: Option<Progress>,
}

impl Shown<'_> {
    fn show(&mut self, event: Event<'_>) {
        let config = self.config;
        match event {
            Event::Notice(notice) => say(notice.to_string()),
            Event::TurnsDigits { by } => {
                let (turn, them) = if by.len() == 1 { ("turns", "it") } else { ("turn", "them") };
                let by = by.join(" and ");
                say(format!(
                    "warning: {by} {turn} a 6 into a 9; if the images are digits, leave {them} out of --augment"
                ));
            }
            Event::Digested { files, read } => {
                if read < files {
                    let files = counted(files, "dataset file");
                    say(format!("{read} of {files} read; the others are unchanged"));
                }
            }
            Event::Decoded { images, total } => {
                let (images, total) = (images as u64, total as u64);
                let progress = self
                    .progress
                    .get_or_insert_with(|| Progress::new("decode", "images", total, 0));
                progress.update(images, "");
                if images == total
                    && let Some(progress) = self.progress.take()
                {
                    progress.finish(images, "");
                }
            }
            Event::FoundLate { cause } => {
                // The split begins anew.
                self.progress = None;
                // The row that it says will be another image's.
                let cause = cause.source().map(with_causes).unwrap_or_default();
                say(format!(
                    "{cause}; it is left out, and all images are decoded now to find others (--scan=full does so \
                     from the start)"
                ));
            }
            Event::Started { folder, recipe, views, rows_total, rows_before, feature_bytes } => {
                let taps: Vec<String> = recipe.taps.iter().map(Tap::to_string).collect();
                let rows = counted(rows_total, if views.is_some() { "view" } else { "image" });
                say(format!(
                    "{}: {rows} at {} px, {} of features of {} at {} as {}{}",
                    folder.display(),
                    config.size,
                    HumanBytes(feature_bytes),
                    recipe.network,
                    taps.join(", "),
                    config.dtype,
                    match config.layout {
                        Layout::Dense => "",
                        Layout::Csr => ", stored without their zeros",
                    },
                ));
                if let Some(Views { count, augmentation, .. }) = views {
                    let ViewCounts { train, val, test } = *count;
                    let of_splits =
                        [(train, SplitName::Train), (val, SplitName::Val), (test, SplitName::Test)];
                    for (count, split) in of_splits.into_iter().filter(|(count, _)| *count > 0) {
                        let (split, copies) = (adjective(split), distorted_copies(count));
                        say(format!("each {split} image and {copies} of it: {augmentation}"));
                    }
                }
                if rows_before > 0 {
                    say(format!("continuing: {rows_before} of {rows} already there"));
                }
            }
            Event::Checking { folder, bytes } => {
                let bytes = HumanBytes(bytes);
                say(format!(
                    "checking {bytes} of {}, which has rows of some images",
                    folder.display()
                ));
            }
            Event::Skipped { folder, cause } => {
                say(format!("no rows are taken from {}: {}", folder.display(), with_causes(cause)))
            }
            Event::Reusing { folders, rows, to_compute } => {
                say(reusing(folders, rows, to_compute));
            }
            Event::Ready { batch_size, elapsed } => say(format!(
                "{} with {}, batch size {batch_size}, ready after {:.1} s",
                config.compute.backend,
                counted(config.threads, "thread"),
                elapsed.as_secs_f64(),
            )),
            Event::SplitBeginsAgain { split } => {
                say(format!("{split}: its files are not as recorded; all of it is written again"));
            }
            Event::Written { split, rows_before, rows_done, rows_total } => {
                let progress = self.progress.get_or_insert_with(|| {
                    let (total, before) = (rows_total as u64, rows_before as u64);
                    Progress::new(&split.to_string(), "rows", total, before)
                });
                progress.update(rows_done as u64, "");
            }
            Event::SplitEnded { rows_done } => {
                if let Some(progress) = self.progress.take() {
                    progress.finish(rows_done as u64, "");
                }
            }
        }
    }
}
