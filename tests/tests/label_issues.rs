//! `vgg-head issues`: wrong labels of real digits are found, shown, and corrected.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{BAD_INPUT, Digits, Workplace, assert_refused, finish, path_from, root, vgg_head};
use head::CrossValidation;
use serde_json::{Value, json};

/// Digits whose labels are made wrong.
const WRONG: [usize; 6] = [5, 40, 77, 101, 130, 188];
/// A digit that is there twice, nearly: of the copy, one pixel differs.
const COPIED: (usize, usize) = (30, 31);

fn cv(workplace: &Workplace, features: &Path, more: &[&str]) -> Command {
    let mut command = vgg_head(["cv", "--threads=2", "--folds=4", "--epochs=30", "--p=0.2"]);
    command.arg("--features").arg(features).arg("--out").arg(workplace.path("cv")).args(more);
    command
}

fn issues(folder: &Path, more: &[&str]) -> Command {
    let mut command = vgg_head(["issues", "--cv"]);
    command.arg(folder).args(more);
    command
}

/// The rows of `issues.csv`, by the names of the columns.
fn table(folder: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(folder.join("issues.csv")).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn wrong_labels_are_found_and_corrected() {
    let workplace = Workplace::empty();
    let mut digits = Digits::first("train", 200);
    let (from, to) = COPIED;
    let mut copy = digits.pixels[from * 784..][..784].to_vec();
    copy[0] ^= 1;
    digits.pixels[to * 784..][..784].copy_from_slice(&copy);
    digits.labels[to] = digits.labels[from];
    let right = digits.labels.clone();
    WRONG.iter().for_each(|&row| digits.labels[row] = (digits.labels[row] + 5) % 10);
    workplace.write_idx("digits", &digits, &Digits::first("t10k", 20));
    let features = path_from(workplace.run("digits", &["--val-fraction=0", "--size=48"]));
    let folder = path_from(cv(&workplace, &features, &[]));

    let finished = finish(issues(&folder, &["--json", "--neighbours=5"]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let json: Value = serde_json::from_str(&finished.stdout).unwrap();
    let found = json["label_issues"].as_array().unwrap();
    let table = table(&folder);
    assert_eq!(
        table[0].join(","),
        "id,label,suggested,self_confidence,label_issue,outlier_score,outlier,nearest,\
        distance,near_duplicate"
    );
    assert_eq!(table.len(), 201);
    // Those that confident learning finds come first, and in both parts the least probable label.
    let (first, rest) = table[1..].split_at(found.len());
    assert!(first.iter().all(|row| row[4] == "true") && rest.iter().all(|row| row[4] == "false"));
    for part in [first, rest] {
        let confidences: Vec<f64> = part.iter().map(|row| row[3].parse().unwrap()).collect();
        assert!(confidences.is_sorted());
    }
    let listed: Vec<usize> = table[1..].iter().map(|row| row[0].parse().unwrap()).collect();
    let among_first = WRONG.iter().filter(|&row| listed[..20].contains(row)).count();
    assert!(among_first >= 5, "{among_first} of {}: {listed:?}", WRONG.len());
    let suggested =
        |row: usize| table[1..].iter().find(|it| it[0] == row.to_string()).unwrap()[2].clone();
    let proposed = WRONG.iter().filter(|&&row| suggested(row) == right[row].to_string()).count();
    assert!(proposed >= 4, "{proposed}");
    // The digit and its copy are each other's nearest.
    let row = table[1..].iter().find(|row| row[0] == from.to_string()).unwrap();
    assert_eq!((&*row[7], &*row[9]), (&*to.to_string(), "true"), "{row:?}");

    let page = fs::read_to_string(json["page"].as_str().unwrap()).unwrap();
    assert!(page.contains("data-id=\"5\"") && page.contains("Near duplicates"));
    assert!(page.matches("data:image/png;base64,iVBOR").count() >= found.len());
    assert!(!page.contains("not shown"), "the images are there");
    let confused = fs::read_to_string(json["confused_table"].as_str().unwrap()).unwrap();
    let rows = json["confused"].as_array().unwrap().iter().map(|row| {
        let of = |column: &str| row[column].to_string().replace('"', "");
        format!("{},{},{}\n", of("label"), of("likely"), of("images"))
    });
    assert_eq!(confused, "label,likely,images\n".to_owned() + &rows.collect::<String>());
    let text = finish(issues(&folder, &[]));
    assert!(text.stdout.contains("labels that are probably wrong"), "{text:?}");
    assert_eq!(text.stdout.lines().last().map(PathBuf::from), Some(folder.join("issues.html")));

    // Without neighbours, and without the dataset.
    fs::rename(workplace.path("digits"), workplace.path("moved")).unwrap();
    let out = workplace.path("elsewhere");
    let flag = format!("--out={}", out.display());
    let few = finish(issues(&folder, &["--neighbours=0", "--shown=3", &flag]));
    assert_eq!(few.code, Some(0), "{few:?}");
    let page = fs::read_to_string(out.join("issues.html")).unwrap();
    assert!(page.contains("Some images are not shown: ") && !page.contains("Outliers"));
    assert_eq!(page.matches("data-id=").count(), 3.min(found.len()));
    assert!(fs::read_to_string(out.join("issues.csv")).unwrap().contains(",,,,\n"));

    // With the right labels, the list has none of these images.
    let corrections: String =
        WRONG.iter().map(|&row| format!("{row},label,{}\n", right[row])).collect();
    let file =
        workplace.write("corrections.csv", format!("id,action,label\n{corrections}").as_bytes());
    let corrections = format!("--corrections={}", file.display());
    let corrected = path_from(cv(&workplace, &features, &[&corrections, "--group=none"]));
    let after = finish(issues(&corrected, &["--json", "--neighbours=0"]));
    let after: Value = serde_json::from_str(&after.stdout).unwrap();
    let after = after["label_issues"].as_array().unwrap();
    for row in WRONG {
        let id = Value::from(row.to_string());
        assert!(after.iter().all(|issue| issue["id"] != id), "{row}");
    }
    // The page begins with them.
    let page = fs::read_to_string(corrected.join("issues.html")).unwrap();
    let (row, label) = (WRONG[0], right[WRONG[0]]);
    assert!(page.contains(&format!("[&quot;{row}&quot;,&quot;label&quot;,&quot;{label}&quot;]")));

    // Features of another dataset are refused.
    workplace.write_idx("others", &Digits::first("train", 30), &Digits::first("t10k", 3));
    let others = path_from(workplace.run("others", &["--size=48"]));
    let other = format!("--features={}", others.display());
    assert_refused(issues(&folder, &[&other]), BAD_INPUT, &["was trained on the features"]);
}

#[test]
fn damaged_probabilities_are_refused() {
    let workplace = Workplace::empty();
    let names = ["cat", "dog"].map(str::to_owned);
    let labels = (0..20).map(|row| row % 2).collect();
    let features = (0..240).map(|index| (index as f32).sin().abs()).collect();
    let train = (feature_cache::SplitName::Train, Some(labels), features);
    let cache = workplace.write_cache(&names, 0, [train]);
    let folder = path_from(cv(&workplace, &cache, &["--epochs=1"]));
    let path = folder.join("oof.npz");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let says = ["oof.npz", "its bytes are not those that were written", "vgg-head cv"];
    assert_refused(issues(&folder, &[]), BAD_INPUT, &says);
    // The same command makes them again.
    path_from(cv(&workplace, &cache, &["--epochs=1"]));
    assert_eq!(finish(issues(&folder, &[])).code, Some(0));
}

/// `fixtures/formats/cv/VERSION` holds a cross-validation as that version wrote it, without its runs.
#[test]
fn cross_validations_of_every_format_are_read() {
    let fixtures = root().join("tests/fixtures/formats/cv");
    let (rows, repeats) = (60, 2);
    // That of 1.8 has options of training that 1.7 does not have.
    for (version, minor, mixup) in [("1.7", 7, 0.0), ("1.8", 8, 0.2)] {
        let folder = fixtures.join(version);
        let config: Value =
            serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["format"], json!({ "major": 1, "minor": minor }));
        let found = CrossValidation::open(&folder).unwrap();
        let out_of_fold = found.out_of_fold().unwrap();
        assert_eq!(
            (found.config().divisions.len(), found.results().len()),
            (repeats, 5 * repeats),
            "{version}"
        );
        assert_eq!((out_of_fold.rows.len(), found.summary().rows), (rows, rows), "{version}");
        assert_eq!(out_of_fold.folds.len(), rows * repeats);
        assert_eq!(found.summary().measures[0].name, "top1");
        assert!(found.summary().label_sd.is_some_and(|sd| sd > 0.0));
        assert_eq!(found.config().heads[0].mixup, mixup, "{version}");
    }
    // One of a later major version is refused with what to do.
    let workplace = Workplace::empty();
    for file in ["config.json", "summary.json", "results.csv", "oof.npz"] {
        let bytes = fs::read(fixtures.join("1.7").join(file)).unwrap();
        let later = String::from_utf8_lossy(&bytes).replace("\"major\": 1", "\"major\": 2");
        let bytes = if file.ends_with(".json") { later.into_bytes() } else { bytes };
        workplace.write(&format!("cv/{file}"), &bytes);
    }
    let says = ["has format 2.", "reads 1.x"];
    assert_refused(issues(&workplace.path("cv"), &[]), BAD_INPUT, &says);
}
