//! A sweep's plots and its report. Their contents are collected here and drawn by the `report` crate.

use std::path::{Path, PathBuf};

use feature_cache::Cache;
use fused_head::Activation;
use recipe::Tap;
use report::{
    Confusion, EpochMetrics, Report, TrainedHead, accuracy_vs_dropout_svg, learning_curves_svg,
    report_html,
};

use crate::class_weights::ClassWeights;
use crate::config::{Arch, TrainConfig};
use crate::error::Error;
use crate::evaluate::evaluate_together;
use crate::event::Event;
use crate::features::cache::{Features, dataset_of, training_copies_of};
use crate::form::Fractions;
use crate::store::evaluation::TestEvaluation;
use crate::store::sweep::{CORRECTIONS, Sweep};
use crate::sweep::choice::{evaluation_of, split_of_mistakes};
use crate::sweep::thumbnails::misclassified;
use crate::teacher::TeacherRecord;
use crate::training_views::TrainingViews;

/// The file of a sweep's class weights, if they are not balanced.
const CLASS_WEIGHTS: &str = "class-weights.csv";

/// Writes a finished sweep's plots and its report into its folder and returns the report's path.
///
/// Everything but the images comes from the sweep's folder. Only if a version before format 1.3 made the
/// sweep, which kept no evaluation, its best head is evaluated once more, on this many threads, and
/// what that finds is kept.
///
/// # Errors
/// If a file of the sweep cannot be read or written, or if its features are needed and cannot be read.
/// Images that cannot be shown, because the dataset has moved, are not an error: the report says so.
pub fn write_report(
    sweep: &Sweep,
    threads: usize,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<PathBuf, Error> {
    let drawn = drawn(sweep)?;
    // A sweep without its best run is damaged, even if the page needs nothing of the run.
    sweep.best_run()?;
    let evaluation = match sweep.evaluation()? {
        Some(evaluation) => evaluation,
        None => evaluate_again(sweep, threads, report)?,
    };
    write_class_weights(sweep)?;
    let caches = sweep.features().parent().unwrap_or(Path::new("."));
    let setting = &sweep.summary().setting;
    let split = evaluation.split;
    let name = dataset_of(&evaluation.manifest)
        .map(|(dataset, _)| dataset.inputs.name)
        .unwrap_or_default();
    let page = Report {
        title: format!("Dropout sweep on {name}"),
        command: command(sweep),
        sweep: drawn,
        baselines: sweep.baselines()?,
        trained_on: trained_on(sweep, &evaluation),
        misclassified: misclassified(&evaluation, caches),
        confusion: evaluation.confusion.map(|counts| Confusion {
            class_names: evaluation.class_names,
            counts,
            of: format!("the best head ({}, p {}) on the {split} split", setting.arch, setting.p),
        }),
        manifest_json: evaluation.manifest,
        program: format!("vgg-head {}", env!("CARGO_PKG_VERSION")),
    };
    let folder = sweep.folder();
    let accuracy = accuracy_vs_dropout_svg(&page.sweep);
    durable::replace(&folder.join("accuracy-vs-dropout.svg"), accuracy.as_bytes())?;
    let curves = learning_curves_svg(&page.sweep.curves());
    durable::replace(&folder.join("learning-curves.svg"), curves.as_bytes())?;
    let path = folder.join("report.html");
    durable::replace(&path, report_html(&page).as_bytes())?;
    Ok(path)
}

/// What its heads were trained on beside the images and their labels; `None` if nothing.
fn trained_on(sweep: &Sweep, evaluation: &TestEvaluation) -> Option<String> {
    let copies = training_copies_of(&evaluation.manifest);
    let views = TrainingViews::of(copies, sweep.heads()).map(|views| views.to_string());
    let teacher = sweep.teacher().map(TeacherRecord::to_string);
    let words: Vec<String> = views.into_iter().chain(teacher).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Evaluates the best head of a sweep that has kept no evaluation, and keeps one.
fn evaluate_again(
    sweep: &Sweep,
    threads: usize,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<TestEvaluation, Error> {
    let cache = Cache::open(sweep.features())?;
    let best = sweep.best_run()?;
    let features = Features::at(&cache, &best.config().taps)?;
    let split = split_of_mistakes(features);
    report(Event::EvaluatingAgain { sweep: sweep.folder(), split });
    let evaluated =
        evaluate_together(std::slice::from_ref(&best), 0, features, split, threads, report)?;
    let evaluation = evaluation_of(evaluated, features, split);
    evaluation.write(sweep.folder())?;
    Ok(evaluation)
}

/// The sweep with the learning curves of its heads.
fn drawn(sweep: &Sweep) -> Result<report::Sweep, Error> {
    let mut heads = Vec::new();
    for result in sweep.results() {
        // The run of a head that diverged has no metrics.
        let epochs = if result.has_diverged() {
            vec![EpochMetrics::diverged(result.epochs)]
        } else {
            sweep.run(result)?.metrics()?
        };
        heads.push(TrainedHead { result: result.clone(), epochs });
    }
    Ok(report::Sweep { heads, chosen: Some(sweep.summary().clone()) })
}

/// Writes the class weights of a sweep, if they are not balanced, into its folder: its command names the file.
fn write_class_weights(sweep: &Sweep) -> Result<(), Error> {
    let Some(weights) = sweep.heads().first().and_then(|head| head.class_weights.as_ref()) else {
        return Ok(());
    };
    let path = sweep.folder().join(CLASS_WEIGHTS);
    match weights.to_csv(&sweep.best_run()?.class_names()?) {
        Some(Ok(csv)) => Ok(durable::replace(&path, &csv)?),
        Some(Err(source)) => Err(Error::Csv { path, source }),
        None => Ok(()),
    }
}

/// The values, each once, as a list.
fn list(values: Vec<String>) -> String {
    let mut different: Vec<String> = Vec::new();
    for value in values {
        if !different.contains(&value) {
            different.push(value);
        }
    }
    different.join(",")
}

/// The flag of the heads' dropout; `None` if architectures differ in it, which then are at their defaults.
fn dropout(heads: &[TrainConfig]) -> Option<String> {
    if heads.iter().any(|head| head.dropout.is_some()) {
        let lists = heads.iter().filter_map(|head| head.dropout.as_ref().map(Fractions::to_string));
        return Some(format!("--dropout={}", list(lists.collect())));
    }
    let of_arch = |arch: Arch| {
        list(heads.iter().filter(|head| head.arch == arch).map(|head| head.p.to_string()).collect())
    };
    let all = list(heads.iter().map(|head| head.p.to_string()).collect());
    heads.iter().all(|head| of_arch(head.arch) == all).then(|| format!("--p={all}"))
}

/// A command line that repeats the sweep.
fn command(sweep: &Sweep) -> String {
    let of = |value: fn(&TrainConfig) -> String| list(sweep.heads().iter().map(value).collect());
    let mut words = vec![
        "vgg-head sweep".to_owned(),
        quoted(format!("--features={}", sweep.features().display())),
        format!("--arch={}", of(|head| head.arch.to_string())),
        format!("--schedule={}", of(|head| head.schedule.to_string())),
    ];
    words.extend(dropout(sweep.heads()));
    let by_lr = sweep.heads().iter().filter(|head| head.schedule.own_rate().is_none());
    let learning_rates = list(by_lr.map(|head| head.learning_rate.to_string()).collect());
    if !learning_rates.is_empty() {
        words.push(format!("--lr={learning_rates}"));
    }
    if !sweep.taps().is_empty() {
        words.push(format!("--tap={}", list(sweep.taps().iter().map(Tap::to_string).collect())));
    }
    let seeds = of(|head| head.seed.to_string());
    // A single number would be a count.
    let seeds = if seeds == "0" { "1".to_owned() } else { seeds };
    words.push(format!("--seeds={seeds}"));
    // A linear head has no hidden layers, whatever the lists.
    let layered = || sweep.heads().iter().filter(|head| head.arch != Arch::Linear);
    if layered().any(|head| head.hidden != head.arch.hidden()) {
        words.push(format!(
            "--hidden={}",
            list(layered().map(|it| it.hidden.to_string()).collect())
        ));
    }
    let activations = list(layered().map(|head| head.activation.to_string()).collect());
    if !["", Activation::Relu.name()].contains(&activations.as_str()) {
        words.push(format!("--activation={activations}"));
    }
    let batch_norm = |head: &TrainConfig| if head.batch_norm { "on" } else { "off" }.to_owned();
    let batch_norms = list(layered().map(batch_norm).collect());
    if !["", "on"].contains(&batch_norms.as_str()) {
        words.push(format!("--batch-norm={batch_norms}"));
    }
    for (flag, values) in [
        ("weight-decay", of(|head| head.weight_decay.to_string())),
        ("label-smoothing", of(|head| head.label_smoothing.to_string())),
        ("mixup", of(|head| head.mixup.to_string())),
    ] {
        if values != "0" {
            words.push(format!("--{flag}={values}"));
        }
    }
    match sweep.heads().first().and_then(|head| head.class_weights.as_ref()) {
        Some(ClassWeights::Balanced) => words.push("--class-weight=balanced".to_owned()),
        Some(ClassWeights::Given(_)) => {
            let file = sweep.folder().join(CLASS_WEIGHTS);
            words.push(quoted(format!("--class-weight={}", file.display())));
        }
        None => {}
    }
    if sweep.corrections().is_some() {
        let file = sweep.folder().join(CORRECTIONS);
        words.push(quoted(format!("--corrections={}", file.display())));
    }
    if let Some(head) = sweep.heads().first() {
        words.push(format!("--epochs={}", head.epochs));
        words.push(format!("--batch-size={}", head.batch_size));
        if !head.keep.is_last() {
            words.push(format!("--keep={}", head.keep));
        }
        words.extend(head.patience.map(|epochs| format!("--patience={epochs}")));
        if !head.views_per_epoch.is_all() {
            words.push(format!("--views-per-epoch={}", head.views_per_epoch));
        }
    }
    words.extend(
        sweep.teacher().map(TeacherRecord::flags).unwrap_or_default().into_iter().map(quoted),
    );
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
