//! A sweep's plots and its report: collected here, drawn by the `report` crate.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use dataset::{Source, SplitConfig};
use feature_cache::{Cache, DatasetInputs, SplitName};
use report::{
    Chosen, Confusion, Curve, Epoch, Misclassified, Report, ResultRow, Thumbnail,
    accuracy_vs_dropout_svg, encode_png, learning_curves_svg, report_html,
};

use crate::{EpochMetrics, Error, Prediction, Run, Setting, Sweep, TrainConfig, evaluate, predict};

/// Misclassified images shown.
const THUMBNAILS: usize = 24;
/// Longest side of an image shown, in pixels: twice its size on the page, for dense screens.
const THUMBNAIL_SIDE: usize = 192;

/// Writes a finished sweep's plots and its report into its folder and returns the report's path.
///
/// # Errors
/// If a run or the cache cannot be read, or a file cannot be written. Images that cannot be shown,
/// because the dataset has moved, are no error: the report says so.
pub fn write_report(sweep: &Sweep) -> Result<PathBuf, Error> {
    let cache = Cache::open(sweep.features())?;
    let drawn = drawn_sweep(sweep)?;
    let best = sweep.best_run()?;
    let test = cache.manifest().splits.get(&SplitName::Test);
    let split = match test {
        Some(split) if split.labels.is_some() => SplitName::Test,
        _ => SplitName::Val,
    };
    let evaluation = evaluate(&best, &cache, split)?;
    let setting = sweep.summary().setting;
    let report = Report {
        title: format!("Dropout sweep on {}", cache.manifest().inputs.dataset.name),
        command: command(sweep),
        confusion: evaluation.confusion.map(|counts| Confusion {
            class_names: evaluation.class_names,
            counts,
            of: format!("the best head ({}, p {}) on the {split} split", setting.arch, setting.p),
        }),
        misclassified: misclassified(&best, &cache, split)?,
        manifest_json: serde_json::to_string_pretty(cache.manifest())
            .expect("it was read from JSON"),
        program: format!("vgg-head {}", env!("CARGO_PKG_VERSION")),
        sweep: drawn,
    };
    let folder = sweep.folder();
    let accuracy = accuracy_vs_dropout_svg(&report.sweep);
    durable::replace(&folder.join("accuracy-vs-dropout.svg"), accuracy.as_bytes())?;
    let curves = learning_curves_svg(&report.sweep.curves());
    durable::replace(&folder.join("learning-curves.svg"), curves.as_bytes())?;
    let path = folder.join("report.html");
    durable::replace(&path, report_html(&report).as_bytes())?;
    Ok(path)
}

/// Writes a run's learning curve into its folder.
///
/// # Errors
/// If the run has no metrics, or the file cannot be written.
pub fn write_learning_curve(run: &Run) -> Result<(), Error> {
    let TrainConfig { arch, p, .. } = run.config().train;
    let epochs = run.metrics()?.iter().map(epoch).collect();
    let curve = learning_curves_svg(&[Curve::single(format!("{arch}, p {p}"), epochs)]);
    Ok(durable::replace(&run.folder().join("learning-curve.svg"), curve.as_bytes())?)
}

fn drawn_sweep(sweep: &Sweep) -> Result<report::Sweep, Error> {
    let mut rows = Vec::new();
    for result in sweep.results() {
        let epochs = if result.has_diverged() {
            // Its run has no metrics.
            vec![Epoch {
                epoch: result.epochs,
                train_loss: f64::NAN,
                train_top1: f64::NAN,
                val_loss: Some(f64::NAN),
                val_top1: Some(f64::NAN),
            }]
        } else {
            sweep.run(result)?.metrics()?.iter().map(epoch).collect()
        };
        rows.push(ResultRow {
            setting: drawn_setting(result.setting()),
            seed: result.seed,
            epochs,
            run: result.run.clone(),
        });
    }
    let summary = sweep.summary();
    let chosen = Chosen {
        setting: drawn_setting(summary.setting),
        val_top1: summary.val,
        test_top1: summary.test,
    };
    Ok(report::Sweep { rows, chosen: Some(chosen) })
}

fn drawn_setting(setting: Setting) -> report::Setting {
    let Setting { arch, hidden, p, learning_rate } = setting;
    report::Setting { arch: arch.to_string(), hidden, learning_rate, p }
}

fn epoch(metrics: &EpochMetrics) -> Epoch {
    let EpochMetrics { epoch, train_loss, train_top1, val_loss, val_top1, .. } = *metrics;
    Epoch { epoch, train_loss, train_top1, val_loss, val_top1 }
}

/// The rows that the head is surest about and wrong, with their images if the dataset is still
/// where, and what, it was.
fn misclassified(run: &Run, cache: &Cache, split: SplitName) -> Result<Misclassified, Error> {
    let labels = cache.split(split)?.labels_required()?;
    let predictions = predict(run, cache, split)?;
    let rows = predictions.iter().zip(&labels).enumerate();
    let mut wrong: Vec<(usize, &Prediction, i64)> = rows
        .filter(|(_, (prediction, label))| prediction.class as i64 != **label)
        .map(|(row, (prediction, label))| (row, prediction, *label))
        .collect();
    wrong.sort_by(|(_, a, _), (_, b, _)| b.probability.total_cmp(&a.probability));
    wrong.truncate(THUMBNAILS);
    let images = match images_of(&cache.manifest().inputs.dataset, split) {
        Ok(images) if images.len() == predictions.len() => images,
        Ok(_) => {
            return Ok(Misclassified::NotShown(
                "The images are not shown: there are other rows than in the features.".to_owned(),
            ));
        }
        Err(why) => return Ok(Misclassified::NotShown(why)),
    };
    let class_names = &cache.manifest().class_names;
    let mut thumbnails = Vec::new();
    for (row, prediction, label) in wrong {
        let image = match images.image(row) {
            Ok(image) => image.fitted(THUMBNAIL_SIDE),
            Err(why) => return Ok(Misclassified::NotShown(not_shown(why))),
        };
        let png = encode_png(image.height, image.width, image.channels, &image.pixels);
        thumbnails.push(Thumbnail {
            png: png.expect("a decoded image has as many bytes as its size says"),
            id: prediction.id.clone(),
            label: class_names[label as usize].clone(),
            predicted: prediction.name.clone(),
            probability: prediction.probability,
        });
    }
    Ok(Misclassified::Images(thumbnails))
}

/// The images of a split, read again from the dataset that the manifest records.
///
/// # Errors
/// Why they cannot be: a sentence for the report.
fn images_of(inputs: &DatasetInputs, split: SplitName) -> Result<dataset::Split, String> {
    let source = Source::find(Path::new(&inputs.path)).map_err(not_shown)?;
    if source.digest().map_err(not_shown)? != inputs.digest {
        return Err(not_shown(format!(
            "the files in {} are not those that the features were made from, or are read differently now",
            inputs.path
        )));
    }
    let DatasetInputs { val_fraction, limit, seed, .. } = *inputs;
    let dataset = source.load(&SplitConfig { val_fraction, limit, seed }).map_err(not_shown)?;
    Ok(match split {
        SplitName::Train => dataset.train,
        SplitName::Val => dataset.val,
        SplitName::Test => dataset.test,
    })
}

fn not_shown(why: impl Display) -> String {
    format!("The images are not shown: {why}.")
}

/// A command line that makes the sweep again.
fn command(sweep: &Sweep) -> String {
    let list = |values: Vec<String>| {
        let mut different: Vec<String> = Vec::new();
        for value in values {
            if !different.contains(&value) {
                different.push(value);
            }
        }
        different.join(",")
    };
    let of =
        |value: fn(&crate::TrainConfig) -> String| list(sweep.heads().iter().map(value).collect());
    let mut words = vec![
        "vgg-head sweep".to_owned(),
        quoted(format!("--features={}", sweep.features().display())),
        format!("--arch={}", of(|head| head.arch.to_string())),
        format!("--p={}", of(|head| head.p.to_string())),
        format!("--lr={}", of(|head| head.learning_rate.to_string())),
    ];
    let seeds = of(|head| head.seed.to_string());
    // A single number would be a count.
    let seeds = if seeds == "0" { "1".to_owned() } else { seeds };
    words.push(format!("--seeds={seeds}"));
    if sweep.heads().iter().any(|head| head.hidden != head.arch.hidden()) {
        words.push(format!("--hidden={}", of(|head| head.hidden.to_string())));
    }
    if let Some(head) = sweep.heads().first() {
        words.push(format!("--epochs={}", head.epochs));
        words.push(format!("--batch-size={}", head.batch_size));
        words.push(format!("--schedule={}", head.schedule));
    }
    words.join(" ")
}

/// A word of a command line as a POSIX shell reads it: the path comes from a file, and people copy
/// commands.
fn quoted(word: String) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=/.,:+@%".contains(c);
    if word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_end_the_command() {
        assert_eq!(quoted("--features=a/b-96px".into()), "--features=a/b-96px");
        assert_eq!(quoted("a b; rm -r ~".into()), "'a b; rm -r ~'");
        assert_eq!(quoted("it's $(x)".into()), r"'it'\''s $(x)'");
    }
}
