//! The command `issues`.

use std::path::PathBuf;

use clap::Args;
use feature_cache::Cache;
use head::{
    ConfusedClasses, CrossValidation, Error, ImageIssue, Issues, IssuesConfig, find_issues,
    newest_cross_validation,
};
use plural::counted;
use terminal::{JsonPath, Table, print_path, println};

use super::CROSS_VALIDATIONS;
use super::events::Teller;
use super::results::{percent, print_json};

/// Most rows of a printed table.
const PRINTED: usize = 10;

#[derive(Debug, Args)]
pub(super) struct IssuesArgs {
    /// The cross-validation's folder [default: the newest in artifacts/cv]
    #[arg(long)]
    cv: Option<PathBuf>,
    /// The cache with the features, if it has moved since
    #[arg(long)]
    features: Option<PathBuf>,
    /// Nearest images by whose distance outliers and near duplicates are found; 0 leaves them out. Every image is
    /// compared with every other one
    #[arg(long, default_value = "10", value_name = "K", value_parser = neighbours)]
    neighbours: usize,
    /// Most images of each kind on the page
    #[arg(long, default_value = "200", value_name = "IMAGES", value_parser = terminal::up_to(100_000))]
    shown: usize,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Folder for issues.csv, confused.csv and issues.html [default: the cross-validation's]
    #[arg(long)]
    out: Option<PathBuf>,
}

fn neighbours(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|&count: &usize| count <= 1000);
    count.ok_or_else(|| format!("expected a number of images from 0 to 1000, got '{text}'"))
}

pub(super) fn run(args: IssuesArgs) -> Result<(), Error> {
    let IssuesArgs { cv, features, neighbours, shown, json, out } = args;
    let folder = match cv {
        Some(folder) => folder,
        None => newest_cross_validation(CROSS_VALIDATIONS.as_ref())?,
    };
    let found = CrossValidation::open(&folder)?;
    let cache = Cache::open(&features.unwrap_or_else(|| found.config().features.clone()))?;
    let out = out.unwrap_or(folder);
    let config = IssuesConfig { neighbours, shown };
    let issues = find_issues(&found, &cache, config, &out, &mut Teller::new().listener())?;
    if json {
        print_issues_as_json(&issues);
    } else {
        print_issues(&issues);
    }
    Ok(())
}

fn print_issues_as_json(issues: &Issues) {
    let of = |is_of: fn(&ImageIssue) -> bool| -> Vec<&ImageIssue> {
        issues.images.iter().filter(|&image| is_of(image)).collect()
    };
    print_json(&serde_json::json!({
        "images": issues.images.len(),
        "label_issues": of(|image| image.label_issue),
        "outliers": of(|image| image.outlier == Some(true)),
        "near_duplicates": of(|image| image.near_duplicate == Some(true)),
        "confused": issues.confused,
        "table": JsonPath(&issues.table),
        "confused_table": JsonPath(&issues.confused_table),
        "page": JsonPath(&issues.page),
    }));
}

fn print_issues(issues: &Issues) {
    let all = issues.images.len();
    let count =
        |is_of: fn(&ImageIssue) -> bool| issues.images.iter().filter(|&it| is_of(it)).count();
    let labels = count(|image| image.label_issue);
    println!("labels that are probably wrong: {labels} of {}\n", counted(all, "training image"));
    if labels > 0 {
        let mut table = Table::new(["id", "label", "probably", "the label has"]);
        for image in issues.images.iter().take(labels.min(PRINTED)) {
            let ImageIssue { id, label, suggested, self_confidence, .. } = image;
            let confidence = percent(*self_confidence);
            table.row([id.clone(), label.clone(), suggested.clone(), confidence]);
        }
        println!("{table}");
    }
    if !issues.confused.is_empty() {
        let mut table = Table::new(["label", "probably", "images"]);
        for ConfusedClasses { label, likely, images } in issues.confused.iter().take(PRINTED) {
            table.row([label.clone(), likely.clone(), images.to_string()]);
        }
        println!("{table}");
        println!("all confused classes: {}\n", issues.confused_table.display());
    }
    if issues.images.first().is_some_and(|image| image.outlier.is_some()) {
        let outliers = count(|image| image.outlier == Some(true));
        let duplicates = count(|image| image.near_duplicate == Some(true));
        println!("{}, {}\n", counted(outliers, "outlier"), counted(duplicates, "near duplicate"));
    }
    println!("table: {}", issues.table.display());
    print_path(&issues.page);
}
