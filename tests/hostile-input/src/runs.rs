//! Parsers of runs and sweeps: configurations, summaries, tables and trained heads.
use std::path::Path;

use durable::Digest;
use feature_cache::SplitName;
use head::{
    CrossValidation, CvSummary, IssuesConfig, Run, Summary, Sweep, evaluate, find_issues, predict,
    submission, write_learning_curve, write_report,
};
use serde_json::{Value, json};

use crate::cache::small;
use crate::{parts, write};

/// Parses a run's `config.json`, `metrics.csv`, `summary.json` and `head.safetensors`.
pub(crate) fn run(folder: &Path, bytes: &[u8]) -> bool {
    write_run(folder, parts(bytes));
    let Ok(run) = Run::open(folder) else { return false };
    let _ = (run.summary(), run.metrics(), write_learning_curve(&run));
    let evaluated = evaluate(&run, small(), SplitName::Test, 1, &mut |_| ()).is_ok();
    let predictions = predict(&run, small(), SplitName::Test, 1, &mut |_| ());
    evaluated && predictions.is_ok_and(|predictions| submission(&predictions).is_ok())
}

/// Parses a sweep's `config.json`, `results.csv` and `summary.json`, and the files of its run `runs/a`.
pub(crate) fn sweep(folder: &Path, bytes: &[u8]) -> bool {
    write_sweep(folder, bytes);
    let Ok(sweep) = Sweep::open(folder) else { return false };
    let _ = (sweep.ranking(), sweep.best_run());
    for result in sweep.results() {
        let _ = sweep.run(result);
    }
    write_report(&sweep, 1, &mut |_| ()).is_ok()
}

/// Parses a sweep's `evaluation.json`. Its other files are whole.
pub(crate) fn evaluation(folder: &Path, bytes: &[u8]) -> bool {
    write_sweep(folder, include_bytes!("../../../fuzz/corpus/sweep/whole"));
    write(folder, "evaluation.json", bytes);
    let sweep = Sweep::open(folder).expect("the sweep is whole");
    write_report(&sweep, 1, &mut |_| ()).is_ok()
}

/// Parses a run's `calibration.json`, whose digest is that of the run's head. The run's other files are whole.
pub(crate) fn calibration(folder: &Path, bytes: &[u8]) -> bool {
    write_run(folder, parts(include_bytes!("../../../fuzz/corpus/run/whole")));
    let run = Run::open(folder).expect("the run is whole");
    let head = run.summary().expect("the run is whole").head_digest;
    let signed = serde_json::from_slice::<Value>(bytes).ok().and_then(|mut calibration| {
        *calibration.get_mut("head_digest")? = json!(head);
        serde_json::to_vec(&calibration).ok()
    });
    write(folder, "calibration.json", signed.as_deref().unwrap_or(bytes));
    run.calibration().is_ok_and(|found| found.is_some())
        && evaluate(&run, small(), SplitName::Test, 1, &mut |_| ()).is_ok()
}

/// Parses a cross-validation's `config.json`, `results.csv`, `summary.json` and `oof.npz`, whose digest is right.
pub(crate) fn cross_validation(folder: &Path, bytes: &[u8]) -> bool {
    let [config, results, summary, archive] = parts(bytes);
    write(folder, "config.json", &with_small_cache(config));
    write(folder, "results.csv", results);
    write(folder, "oof.npz", archive);
    let signed = serde_json::from_slice::<CvSummary>(summary).ok().map(|mut summary| {
        summary.oof_digest = Digest::of(archive);
        serde_json::to_vec(&summary).expect("a summary serialises")
    });
    write(folder, "summary.json", signed.as_deref().unwrap_or(summary));
    let Ok(found) = CrossValidation::open(folder) else { return false };
    let config = IssuesConfig { neighbours: 1, shown: 4 };
    find_issues(&found, small(), config, folder, &mut |_| ()).is_ok()
}

fn write_sweep(folder: &Path, bytes: &[u8]) {
    let [config, results, summary, run] = parts(bytes);
    write(folder, "config.json", &with_small_cache(config));
    write(folder, "results.csv", results);
    write(folder, "summary.json", summary);
    write_run(&folder.join("runs/a"), parts(run));
}

pub(crate) fn write_run(folder: &Path, [config, metrics, summary, head]: [&[u8]; 4]) {
    write(folder, "config.json", &with_small_cache(config));
    write(folder, "metrics.csv", metrics);
    write(folder, "head.safetensors", head);
    // The digest is that of the head, as the author of a hostile head would write it.
    let signed = serde_json::from_slice::<Summary>(summary).ok().map(|mut summary| {
        summary.head_digest = Digest::of(head);
        serde_json::to_vec(&summary).expect("a summary serialises")
    });
    write(folder, "summary.json", signed.as_deref().unwrap_or(summary));
}

/// A configuration in which features named `SMALL` are replaced with the small cache.
fn with_small_cache(config: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(config) else { return config.to_vec() };
    let folder = small().folder().display().to_string();
    text.replace("SMALL_KEY", &small().manifest().key.to_string())
        .replace("SMALL", &folder)
        .into_bytes()
}
