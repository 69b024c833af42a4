//! Results on standard output: tables for people, JSON for programs.

use std::path::Path;

use head::{Error, Estimate, Evaluation, MeanSd, Run, Setting, Sweep};
use plural::counted;
use terminal::{JsonPath, Table, print, print_path, println};

/// The text in place of a number that does not exist.
const NONE: &str = "–";

/// Prints a trained head's metrics and its run's folder; `features` is the cache's folder.
pub(super) fn print_run(run: &Run, features: &Path, json: bool) -> Result<(), Error> {
    let summary = run.summary()?;
    if json {
        print_json(&serde_json::json!({
            "run": JsonPath(run.folder()),
            "config": run.config(),
            "summary": summary,
        }));
        return Ok(());
    }
    let config = &run.config().train;
    let (last, kept) = (summary.last, summary.kept());
    let mut table = Table::new(["", "loss", "top-1"]);
    table.row(["train".to_owned(), format!("{:.4}", kept.train_loss), percent(kept.train_top1)]);
    if let (Some(loss), Some(top1)) = (kept.val_loss, kept.val_top1) {
        table.row(["val".to_owned(), format!("{loss:.4}"), percent(top1)]);
    }
    let mut epochs = counted(last.epoch, "epoch");
    if last.epoch < config.epochs {
        epochs += &format!(" of {}", config.epochs);
    }
    if kept.epoch < last.epoch {
        epochs += &format!(" (the head of epoch {} is kept)", kept.epoch);
    }
    let dropout = match &config.dropout {
        Some(dropout) => format!("dropout {dropout}"),
        None => format!("p = {}", config.p),
    };
    println!(
        "{}, {}, {}, {:.2} s per epoch, on {}\n",
        config.arch,
        dropout,
        epochs,
        summary.seconds_per_epoch,
        features.display()
    );
    println!("{table}");
    print_path(run.folder());
    Ok(())
}

/// Prints a sweep's settings, best first, and its folder.
pub(super) fn print_sweep(sweep: &Sweep, report: &Path, json: bool) {
    if json {
        print_json(&serde_json::json!({
            "sweep": JsonPath(sweep.folder()),
            "features": JsonPath(sweep.features()),
            "summary": sweep.summary(),
            "results": sweep.results(),
            "report": JsonPath(report),
        }));
        return;
    }
    let ranking = sweep.ranking();
    let options = options_that_differ(&ranking);
    let names = ["arch", "hidden", "lr"].into_iter().chain(options.iter().map(|(name, _)| *name));
    let mut table = Table::new(names.chain(["p", "val top-1", "± sd", "seeds"]));
    for (setting, val) in &ranking {
        let mut row = vec![
            setting.arch.clone(),
            setting.hidden.to_string(),
            setting.learning_rate.to_string(),
        ];
        row.extend(options.iter().map(|(_, option)| option(setting)));
        row.extend([
            setting.p.to_string(),
            if val.mean.is_nan() { "diverged".to_owned() } else { percent(val.mean) },
            spread(val.sd),
            val.seeds.to_string(),
        ]);
        table.row(row);
    }
    println!("{table}");
    let summary = sweep.summary();
    let mut chosen = summary.setting.arch.clone();
    for (name, option) in &options {
        chosen += &format!(", {name} {}", option(&summary.setting));
    }
    chosen += &format!(", p = {}", summary.setting.p);
    match &summary.test {
        Some(test) => println!(
            "chosen by validation: {chosen}; test top-1 {}{} over {}",
            percent(test.mean),
            test.sd.map_or_else(String::new, |sd| format!(" ± {}", percent(sd))),
            counted(test.seeds, "seed")
        ),
        None => println!("chosen by validation: {chosen}; the test split has no labels"),
    }
    println!("report: {}\n", report.display());
    print_path(sweep.folder());
}

/// An option of training with its name in tables.
type Named = (&'static str, fn(&Setting) -> String);

/// The options that have a column only if settings differ in them.
const OPTIONS: [Named; 4] = [
    (
        "form",
        |setting| {
            if setting.form.is_empty() { "default".to_owned() } else { setting.form.clone() }
        },
    ),
    ("schedule", |setting| setting.schedule.clone()),
    ("weight decay", |setting| setting.weight_decay.to_string()),
    ("label smoothing", |setting| setting.label_smoothing.to_string()),
];

/// The options in which the settings differ.
fn options_that_differ(ranking: &[(Setting, MeanSd)]) -> Vec<Named> {
    let differ = |(_, option): &Named| {
        ranking.windows(2).any(|pair| option(&pair[0].0) != option(&pair[1].0))
    };
    OPTIONS.into_iter().filter(differ).collect()
}

/// Prints the accuracy of a head, its confusion matrix, and precision and recall of each class.
pub(super) fn print_evaluation(run: &Run, evaluation: &Evaluation) {
    println!(
        "{}: {} top-1 {} on {}, loss {:.4}\n",
        run.folder().display(),
        evaluation.split,
        percent(evaluation.top1),
        counted(evaluation.rows, "row"),
        evaluation.loss
    );
    println!("{}", metrics_table(evaluation));
    let mut header = vec!["label \\ predicted".to_owned()];
    if evaluation.confusion.is_some() {
        header.extend(evaluation.class_names.iter().cloned());
    }
    header.extend(["recall".to_owned(), "precision".to_owned()]);
    let mut table = Table::new(header);
    for (label, class) in evaluation.classes.iter().enumerate() {
        let share = |share: Option<f64>| share.map_or_else(|| NONE.to_owned(), percent);
        let counts = evaluation.confusion.as_ref().map_or(&[][..], |matrix| &matrix[label]);
        let mut row = vec![class.name.clone()];
        row.extend(counts.iter().map(|&count| match count {
            0 => "·".to_owned(),
            count => count.to_string(),
        }));
        row.extend([share(class.recall), share(class.precision)]);
        table.row(row);
    }
    print!("{table}");
}

/// The measures with the intervals in which they lie in 95 % of bootstrap samples.
fn metrics_table(evaluation: &Evaluation) -> Table {
    let metrics = &evaluation.metrics;
    let mut table = Table::new(["", "", "95 % interval"]);
    let mut row = |name: &str, estimate: Option<Estimate>, print: fn(f64) -> String| {
        let Some(Estimate { value, low, high }) = estimate else { return };
        let interval =
            low.zip(high).map(|(low, high)| format!("{} to {}", print(low), print(high)));
        table.row([name.to_owned(), print(value), interval.unwrap_or_else(|| NONE.to_owned())]);
    };
    let number = |value: f64| format!("{value:.4}");
    row("top-1", Some(metrics.top1), percent);
    row("top-5", metrics.top5, percent);
    row("balanced accuracy", Some(metrics.balanced_accuracy), percent);
    row("macro F1", Some(metrics.macro_f1), percent);
    row("log loss", Some(metrics.log_loss), number);
    row("AUROC", metrics.auroc, number);
    row("calibration error", Some(metrics.calibration_error), number);
    table
}

/// Prints a value as JSON.
pub(super) fn print_json(value: &impl serde::Serialize) {
    let json = serde_json::to_string_pretty(value).expect("numbers and strings serialise");
    println!("{json}");
}

pub(super) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// A standard deviation. A single seed has none, nor have heads of which one diverged.
pub(super) fn spread(sd: Option<f64>) -> String {
    sd.filter(|sd| sd.is_finite()).map_or_else(|| NONE.to_owned(), percent)
}
