//! Results on standard output: tables for people, JSON for programs.

use std::path::Path;

use feature_cache::{Cache, SplitName};
use head::{
    Activation, BaselineResult, Calibration, Ensemble, Error, Estimate, Evaluation, Lesson, MeanSd,
    Run, Setting, Sweep, TeacherRecord, TrainConfig, TrainingViews,
};
use plural::counted;
use terminal::{JsonPath, Table, print, print_path, println};

/// The text in place of a number that does not exist.
const NONE: &str = "–";

/// What heads were trained on, as far as it is to be said beside their results.
#[derive(Default)]
pub(super) struct Trained {
    views: Option<TrainingViews>,
    /// Number of heads.
    heads: usize,
    /// Their teachers, each once, with the number of heads that have it.
    teachers: Vec<(TeacherRecord, usize)>,
}

impl Trained {
    /// Of the heads of runs on the features of a cache.
    pub(super) fn of(ensemble: &Ensemble, cache: &Cache) -> Trained {
        let copies = cache.manifest().inputs.view_count(SplitName::Train);
        let configs = || ensemble.runs().iter().map(Run::config);
        let mut teachers: Vec<(TeacherRecord, usize)> = Vec::new();
        for teacher in configs().filter_map(|config| config.teacher.as_ref()) {
            match teachers.iter_mut().find(|(known, _)| known == teacher) {
                Some((_, heads)) => *heads += 1,
                None => teachers.push((teacher.clone(), 1)),
            }
        }
        Trained {
            views: TrainingViews::of(copies, configs().map(|config| &config.train)),
            heads: ensemble.runs().len(),
            teachers,
        }
    }

    /// Of the heads of a sweep.
    pub(super) fn of_sweep(sweep: &Sweep, cache: &Cache) -> Trained {
        let copies = cache.manifest().inputs.view_count(SplitName::Train);
        let heads = sweep.heads().len();
        Trained {
            views: TrainingViews::of(copies, sweep.heads()),
            heads,
            teachers: sweep.teacher().map(|teacher| (teacher.clone(), heads)).into_iter().collect(),
        }
    }

    fn say(&self) {
        if let Some(views) = &self.views {
            println!("trained on {views}");
        }
        for (teacher, heads) in &self.teachers {
            let some = if *heads < self.heads {
                format!("{heads} of {} ", counted(self.heads, "head"))
            } else {
                String::new()
            };
            let also = match teacher.lesson() {
                Lesson::PseudoLabels { .. } => "also on ",
                Lesson::Distillation { .. } => "",
            };
            println!("{some}trained {also}{teacher}");
        }
    }
}

/// Prints a trained head's metrics and its run's folder; `cache` has the features.
pub(super) fn print_run(run: &Run, cache: &Cache, json: bool) -> Result<(), Error> {
    let summary = run.summary()?;
    if json {
        let mut json = serde_json::json!({
            "run": JsonPath(run.folder()),
            "config": run.config(),
            "summary": summary,
        });
        if let Some(calibration) = run.calibration()? {
            json["calibration"] = serde_json::json!(calibration);
        }
        print_json(&json);
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
    println!(
        "{}, {}, {}, {:.2} s per epoch, on {}\n",
        form_of(config),
        dropout_of(config),
        epochs,
        summary.seconds_per_epoch,
        cache.folder().display()
    );
    println!("{table}");
    Trained::of(&Ensemble::of(run.clone()), cache).say();
    print_path(run.folder());
    Ok(())
}

/// The architecture of a head, and the parts of its form that are not the architecture's own.
pub(super) fn form_of(config: &TrainConfig) -> String {
    let mut form = config.arch.to_string();
    if config.hidden != config.arch.hidden() {
        form += &format!(", hidden {}", config.hidden);
    }
    match config.activation {
        Activation::Relu => {}
        Activation::Identity => form += ", no activation",
        activation => form += &format!(", {activation}"),
    }
    if !config.batch_norm {
        form += ", no BatchNorm";
    }
    form
}

/// The dropout of a head, as it was given.
pub(super) fn dropout_of(config: &TrainConfig) -> String {
    match &config.dropout {
        Some(dropout) => format!("dropout {dropout}"),
        None => format!("p = {}", config.p),
    }
}

/// A run's temperature and what it brings, for people.
pub(super) fn calibration_line(calibration: &Calibration) -> String {
    let Calibration { temperature, rows, log_loss_before, log_loss, .. } = calibration;
    let rows = counted(*rows, "row");
    if log_loss < log_loss_before {
        return format!(
            "temperature {temperature:.4}; log loss on {rows} of validation {log_loss_before:.4} without it, \
             {log_loss:.4} with it"
        );
    }
    format!(
        "temperature 1: no other has a smaller log loss on {rows} of validation than {log_loss:.4}"
    )
}

/// Prints a sweep's settings, best first, baselines after them, and its folder.
pub(super) fn print_sweep(
    sweep: &Sweep,
    trained: &Trained,
    baselines: &[BaselineResult],
    report: &Path,
    json: bool,
) {
    if json {
        let mut json = serde_json::json!({
            "sweep": JsonPath(sweep.folder()),
            "features": JsonPath(sweep.features()),
            "summary": sweep.summary(),
            "results": sweep.results(),
            "report": JsonPath(report),
        });
        if !baselines.is_empty() {
            json["baselines"] = serde_json::json!(baselines);
        }
        print_json(&json);
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
    for BaselineResult { name, val_top1 } in baselines {
        let mut row = vec![name.clone()];
        row.extend((0..options.len() + 3).map(|_| NONE.to_owned()));
        row.extend([percent(*val_top1), NONE.to_owned(), NONE.to_owned()]);
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
            "chosen by validation: {chosen}; test top-1 {}{} over {}{}",
            percent(test.mean),
            test.sd.map_or_else(String::new, |sd| format!(" ± {}", percent(sd))),
            counted(test.seeds, "seed"),
            summary.ensemble.map_or_else(String::new, |top1| {
                format!(", {} of their ensemble", percent(top1))
            }),
        ),
        None => println!("chosen by validation: {chosen}; the test split has no labels"),
    }
    trained.say();
    println!("report: {}\n", report.display());
    print_path(sweep.folder());
}

/// An option of training with its name in tables.
type Named = (&'static str, fn(&Setting) -> String);

/// The options that have a column only if settings differ in them.
const OPTIONS: [Named; 5] = [
    (
        "form",
        |setting| {
            if setting.form.is_empty() { "default".to_owned() } else { setting.form.clone() }
        },
    ),
    ("schedule", |setting| setting.schedule.clone()),
    ("weight decay", |setting| setting.weight_decay.to_string()),
    ("label smoothing", |setting| setting.label_smoothing.to_string()),
    ("mixup", |setting| setting.mixup.to_string()),
];

/// The options in which the settings differ.
fn options_that_differ(ranking: &[(Setting, MeanSd)]) -> Vec<Named> {
    let differ = |(_, option): &Named| {
        ranking.windows(2).any(|pair| option(&pair[0].0) != option(&pair[1].0))
    };
    OPTIONS.into_iter().filter(differ).collect()
}

/// Prints how several runs do together, and each alone.
pub(super) fn print_ensemble(
    ensemble: &Ensemble,
    together: &Evaluation,
    alone: &[Evaluation],
    json: bool,
) {
    let folders = || ensemble.runs().iter().map(Run::folder);
    if json {
        let runs = folders().zip(alone).map(|(folder, evaluation)| {
            serde_json::json!({ "run": JsonPath(folder), "evaluation": evaluation })
        });
        print_json(&serde_json::json!({
            "average": ensemble.average(),
            "ensemble": together,
            "runs": runs.collect::<Vec<_>>(),
        }));
        return;
    }
    let Evaluation { split, rows, .. } = together;
    println!(
        "{split} split, {}; the average of {}{}\n",
        counted(*rows, "row"),
        ensemble.average(),
        over_copies(ensemble)
    );
    let mut table = Table::new(["", "top-1", "log loss", "calibration error"]);
    let mut row = |name: String, values: [f64; 3]| {
        let [top1, loss, error] = values;
        table.row([name, percent(top1), format!("{loss:.4}"), format!("{error:.4}")]);
    };
    let values = |it: &Evaluation| [it.top1, it.loss, it.metrics.calibration_error.value];
    let mut sums = [0.0; 3];
    for (folder, evaluation) in folders().zip(alone) {
        sums.iter_mut().zip(values(evaluation)).for_each(|(sum, value)| *sum += value);
        row(folder.display().to_string(), values(evaluation));
    }
    row("mean of the runs".to_owned(), sums.map(|sum| sum / alone.len() as f64));
    row("together".to_owned(), values(together));
    print!("{table}");
}

/// The words for test-time augmentation, if there is one.
fn over_copies(ensemble: &Ensemble) -> String {
    match ensemble.tta() {
        0 => String::new(),
        1 => ", over each image and a distorted copy".to_owned(),
        copies => format!(", over each image and {copies} distorted copies"),
    }
}

/// Prints the accuracy of heads, as [`print_evaluation`], or as JSON.
pub(super) fn print_evaluated(
    ensemble: &Ensemble,
    trained: &Trained,
    evaluation: &Evaluation,
    json: bool,
) {
    if json {
        let mut json = serde_json::json!(evaluation);
        if ensemble.tta() > 0 {
            json["tta"] = serde_json::json!(ensemble.tta());
        }
        if let Some(views) = &trained.views {
            json["trained_on"] = serde_json::json!(views);
        }
        if !trained.teachers.is_empty() {
            let teachers: Vec<_> = trained.teachers.iter().map(|(teacher, _)| teacher).collect();
            json["teachers"] = serde_json::json!(teachers);
        }
        print_json(&json);
        return;
    }
    print_measures(&ensemble.name(), &over_copies(ensemble), trained, evaluation);
}

/// Prints the accuracy of a classifier, its confusion matrix, and precision and recall of each class.
pub(super) fn print_evaluation(name: &str, evaluation: &Evaluation) {
    print_measures(name, "", &Trained::default(), evaluation);
}

/// Likewise, with words on the rows, and with what the classifier was trained on.
fn print_measures(name: &str, rows: &str, trained: &Trained, evaluation: &Evaluation) {
    println!(
        "{name}: {} top-1 {} on {}{rows}, loss {:.4}",
        evaluation.split,
        percent(evaluation.top1),
        counted(evaluation.rows, "row"),
        evaluation.loss
    );
    trained.say();
    println!("");
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
