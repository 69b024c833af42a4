//! The command `cv`.

use std::path::PathBuf;

use clap::Args;
use head::{
    ConfigError, CrossValidation, Error, Features, FoldMeasure, Folds, Groups, List, TrainConfig,
    cross_validate, taps_of,
};
use plural::counted;
use terminal::{JsonPath, Table, print_path, println};

use super::CROSS_VALIDATIONS;
use super::events::Teller;
use super::results::{dropout_of, form_of, percent, print_json, spread};
use super::train::TrainArgs;
use super::values::{folds, seeds};

#[derive(Debug, Args)]
#[command(mut_arg("out", |out| out
    .default_value(CROSS_VALIDATIONS)
    .help("Folder under which cross-validations are made")))]
#[command(mut_arg("calibrate", |calibrate| calibrate.hide(true)))]
pub(super) struct CvArgs {
    /// Number of folds, into which the training split is divided by class
    #[arg(long, default_value = "5", value_parser = folds)]
    folds: usize,
    /// Divide so many times, each time into other folds and with seeds that are higher by 1; the probabilities are
    /// averaged
    #[arg(long, default_value = "1", value_parser = terminal::up_to(1000))]
    repeats: usize,
    /// Several heads for each fold, whose probabilities are averaged: number of seeds, counted from 0, or a list
    /// [default: the one of --seed]
    #[arg(long, value_parser = seeds, conflicts_with = "seed")]
    seeds: Option<List<u64>>,
    /// A CSV file with the columns id and group: images of a group stay in one fold; or none [default: the groups of
    /// the dataset, if it has some]
    #[arg(long, value_name = "FILE|none")]
    group: Option<PathBuf>,
    #[command(flatten)]
    train: TrainArgs,
}

pub(super) fn run(args: CvArgs) -> Result<(), Error> {
    let CvArgs { folds, repeats, seeds, group, train } = args;
    if train.common.calibrate {
        return Err(Error::Config(ConfigError::NothingToCalibrate));
    }
    let stop = terminal::catch_interrupts();
    let cache = train.common.open()?;
    let config = train.config(&cache)?;
    let heads: Vec<TrainConfig> = match seeds {
        Some(List(seeds)) => {
            seeds.into_iter().map(|seed| TrainConfig { seed, ..config.clone() }).collect()
        }
        None => vec![config],
    };
    let groups = match group {
        Some(word) if word.as_os_str() == "none" => Groups::None,
        Some(file) => Groups::File(file),
        None => Groups::OfDataset,
    };
    let taps = taps_of(&cache, &train.common.tap);
    let features = Features::at(&cache, &taps)?;
    let corrections = train.common.corrections(features)?;
    let features = features.corrected(corrections.as_ref());
    let folds = Folds { folds, repeats, groups };
    let resources = train.common.resources();
    let mut teller = Teller::new();
    let found = cross_validate(
        features,
        &heads,
        &folds,
        resources,
        &train.out,
        &mut teller.listener(),
        stop,
    )?;
    print_cross_validation(&found, train.common.json);
    Ok(())
}

fn print_cross_validation(found: &CrossValidation, json: bool) {
    let (config, summary) = (found.config(), found.summary());
    if json {
        print_json(&serde_json::json!({
            "cv": JsonPath(found.folder()),
            "config": config,
            "summary": summary,
            "results": found.results(),
        }));
        return;
    }
    let head = &config.heads[0];
    println!(
        "{}, {}, {}, {}{}{}, on {}\n",
        form_of(head),
        dropout_of(head),
        counted(head.epochs, "epoch"),
        counted(config.folds, "fold"),
        match config.divisions.len() {
            1 => String::new(),
            repeats => format!(", {}", counted(repeats, "repeat")),
        },
        match config.heads.len() {
            1 => String::new(),
            seeds => format!(", {}", counted(seeds, "seed")),
        },
        config.features.display()
    );
    let mut table = Table::new(["", "mean", "± sd over folds"]);
    for FoldMeasure { name, mean, sd } in &summary.measures {
        let is_number = ["log_loss", "auroc", "calibration_error"].contains(&name.as_str());
        let name = match name.as_str() {
            "top1" => "top-1".to_owned(),
            "top5" => "top-5".to_owned(),
            "macro_f1" => "macro F1".to_owned(),
            "auroc" => "AUROC".to_owned(),
            name => name.replace('_', " "),
        };
        let number = |value: f64| format!("{value:.4}");
        if is_number {
            let sd = sd.map_or_else(|| "–".to_owned(), number);
            table.row([name, number(*mean), sd]);
        } else {
            table.row([name, percent(*mean), spread(*sd)]);
        }
    }
    println!("{table}");
    println!(
        "out of fold: top-1 {} on {}{}",
        percent(summary.oof_top1),
        counted(summary.rows, "training image"),
        summary.label_sd.map_or_else(String::new, |sd| format!(
            "; the probability of the label varies by {sd:.4} (sd) over the repeats"
        ))
    );
    println!("probabilities: {}\n", found.folder().join("oof.npz").display());
    print_path(found.folder());
}
