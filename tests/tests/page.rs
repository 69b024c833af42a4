//! `vgg-classify serve` with clients that others wrote: a browser, in which its page is used, and `tritonclient`.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use end_to_end::{
    Digits, Workplace, finish, needed, path_from, root, vgg_classify, vgg_head, weights,
};
use serde_json::Value;

/// A server that ends with the test.
struct Served {
    process: Child,
    url: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server of a head that reads most digits.
fn serve(run: &Path) -> Served {
    let mut command = vgg_classify(["serve", "--port=0", "--threads=2"]);
    command.arg("--run").arg(run).arg("--weights").arg(weights());
    let mut process = Command::new(command.get_program())
        .args(command.get_args())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
    Served { process, url: url.trim().to_owned() }
}

/// A run on enough digits that it reads most.
fn good_run(workplace: &Workplace) -> PathBuf {
    workplace.write_idx("many", &Digits::first("train", 3000), &Digits::first("t10k", 300));
    let cache = path_from(workplace.run("many", &["--size=64"]));
    path_from(workplace.train(&cache, &["--epochs=10"]))
}

fn python(script: &str, arguments: &[&str]) -> Output {
    Command::new(needed("artifacts/page-venv/bin/python"))
        .arg(root().join("tests/fixtures").join(script))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_browser_draws_drops_and_asks_why() {
    let workplace = Workplace::empty();
    let served = serve(&good_run(&workplace));
    let pictures = workplace.path("pictures");
    let output = python("use_page.py", &[&served.url, "--pictures", pictures.to_str().unwrap()]);
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    let measured: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(measured["right"].as_u64().unwrap() >= 8, "{said}");
    for picture in ["light-draw", "dark-draw", "phone-draw", "light-drop", "light-test"] {
        assert!(pictures.join(format!("{picture}.png")).metadata().unwrap().len() > 10_000);
    }
}

/// The client's probabilities are those that `predict` computes from the features of the same digits.
#[test]
fn tritonclient_classifies() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    let run = path_from(workplace.train(&cache, &["--epochs=2"]));
    let served = serve(&run);
    let address = served.url.trim_start_matches("http://").trim_end_matches('/');
    let name = run.file_name().unwrap().to_str().unwrap();
    let output = python("use_protocol.py", &[address, name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: [Vec<Vec<f32>>; 2] = serde_json::from_slice(&output.stdout).unwrap();
    let [probabilities, logits] = found;

    let submission = finish({
        let mut command = vgg_head(["predict", "--split=test"]);
        command.arg("--run").arg(&run).arg("--out").arg(workplace.path("submission.csv"));
        command
    });
    assert_eq!(submission.code, Some(0), "{submission:?}");
    let text = std::fs::read_to_string(workplace.path("submission.csv")).unwrap();
    let predicted = text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned());
    for ((row, logits), predicted) in probabilities.iter().zip(&logits).zip(predicted) {
        let largest = |row: &[f32]| (0..10).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        assert_eq!(largest(row).to_string(), predicted);
        assert_eq!(largest(row), largest(logits));
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
