//! Tests of the page in headless Chromium: it runs without a console error, its table sorts, its images
//! load, it follows light and dark mode, and it fits a phone; marks on the page of issues become corrections. If there is no Chromium and it cannot be
//! installed, they are skipped and print the reason.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use report::{
    Chosen, Confusion, EpochMetrics, HeadResult, IssueSection, IssuesReport, MarkedImage, MeanSd,
    Misclassified, Report, Sweep, Thumbnail, TrainedHead,
};
use serde_json::{Value, json};

/// The time limit for Chromium. It starts in a second or two, and takes much longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn the_page_works_in_a_browser() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let html = report::report_html(&sample());
    let page = write("page.html", &html);
    let probe = format!("<script>{{\n{}\n}}</script>", include_str!("probe.js"));
    let probed = write("probed.html", &(html.clone() + &probe));
    let phone = write("phone.html", PHONE);

    // The page itself.
    let browser = Browser { chromium, folder: folder.path() };
    assert_eq!(browser.open(&page, &[]).console, Vec::<String>::new());
    // An error on the console is noticed.
    let broken = write("broken.html", &(html + "<script>missing()</script>"));
    let console = browser.open(&broken, &[]).console;
    assert!(console.len() == 1 && console[0].contains("missing is not defined"), "{console:?}");

    // The plots as files of their own, which are XML and so must be well-formed.
    let report = sample();
    let plots = [
        ("accuracy.svg", report::accuracy_vs_dropout_svg(&report.sweep)),
        ("curves.svg", report::learning_curves_svg(&report.sweep.curves())),
    ];
    for (name, svg) in plots {
        let document = browser.open(&write(name, &svg), &[]).document;
        assert!(!document.contains("parsererror") && document.contains("&lt;img"), "{document}");
    }
    let unclosed =
        browser.open(&write("unclosed.svg", "<svg xmlns='http://www.w3.org/2000/svg'><g>"), &[]);
    assert!(unclosed.document.contains("parsererror"), "{}", unclosed.document);

    // A copy with the probe, which clicks on it, in light mode on a desktop.
    let light = browser.probe(&probed, &["--blink-settings=preferredColorScheme=1"]);
    assert_eq!(light["tables"], 2);
    let top1 = ["99.00 ± 0.14", "97.40 ± 0.14", "97.20 ± 0.14", "9.90 ± 0.14", "diverged"];
    let ascending = ["9.90 ± 0.14", "97.20 ± 0.14", "97.40 ± 0.14", "99.00 ± 0.14", "diverged"];
    assert_eq!(light["first"], json!({ "top1": top1, "sorted": ["descending"] }));
    assert_eq!(light["ascending"], json!({ "top1": ascending, "sorted": ["ascending"] }));
    let by_p = ["0", "0.05", "0.2", "0.5", "0.5"];
    assert_eq!(light["by_p"], json!({ "p": by_p, "sorted": ["ascending"] }));
    let by_p = ["0.5", "0.5", "0.2", "0.05", "0"];
    assert_eq!(light["by_p_descending"], json!({ "p": by_p, "sorted": ["descending"] }));
    let by_arch = [HOSTILE, "arch-2", "arch-2", "arch-2", "arch-10\u{a0}chosen"];
    assert_eq!(light["by_arch"], json!({ "arch": by_arch, "sorted": ["ascending"] }));
    assert_eq!(light["focusable"], true);
    assert_eq!(light["images"], json!([4, 6]));
    assert!(light["alts"][0].as_str().unwrap().contains(HOSTILE), "{}", light["alts"]);
    assert_eq!(light["overflow"], 0);
    assert_eq!(light["plots"], json!(["plot wide", "plot wide"]));
    assert_eq!(light["cut_texts"], json!([]));
    // These are the page's script and the probe's. No input became a script.
    assert_eq!(light["scripts"], 2);

    // Dark mode.
    let dark = browser.probe(&probed, &["--blink-settings=preferredColorScheme=0"]);
    assert_eq!(
        (&light["paper"], &light["ink"]),
        (&json!("rgb(255, 255, 255)"), &json!("rgb(27, 31, 36)"))
    );
    assert_eq!(
        (&dark["paper"], &dark["ink"]),
        (&json!("rgb(20, 23, 27)"), &json!("rgb(231, 234, 238)"))
    );

    // A phone, with all details open.
    let phone = browser.probe(&phone, &[]);
    assert_eq!((&phone["width"], &phone["overflow"]), (&json!(360), &json!(0)));
    assert_eq!(phone["plots"], json!(["plot narrow", "plot narrow"]));
    assert_eq!(phone["cut_texts"], json!([]));
    assert_eq!(phone["first"], light["first"]);
}

/// An image with the label cat.
fn marked_image(id: &str, suggested: &str) -> MarkedImage {
    MarkedImage {
        png: report::encode_png(1, 2, 1, &[0, 255]).ok(),
        id: id.into(),
        label: "cat".into(),
        suggested: suggested.into(),
        text: "0.1 %".into(),
        beside: None,
    }
}

#[test]
fn marks_become_corrections_in_a_browser() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let image = marked_image;
    let section = |images| IssueSection { heading: HOSTILE.into(), note: HOSTILE.into(), images };
    let first = format!("a,\"b\" {HOSTILE}");
    let page = report::issues_html(&IssuesReport {
        title: "Images".into(),
        key: "k".into(),
        class_names: vec!["cat".into(), HOSTILE.into()],
        sections: vec![
            section(vec![image(&first, HOSTILE), image("b", "cat"), image("c", "cat")]),
            section(vec![image(&first, HOSTILE)]),
        ],
        ..IssuesReport::default()
    });
    let probe = format!("<script>{{\n{}\n}}</script>", include_str!("probe_issues.js"));
    let path = folder.path().join("issues.html");
    fs::write(&path, page + &probe).unwrap();
    let seen = Browser { chromium, folder: folder.path() }.probe(&path, &[]);
    let none = [false; 4];
    let count = "No image is marked";
    assert_eq!(seen["before"], json!({ "count": count, "disabled": true, "classes": none }));
    let shown = [true, false, false, true];
    let count = "Marked images: 3";
    assert_eq!(seen["marked"], json!({ "count": count, "disabled": false, "classes": shown }));
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let id = quoted(&first);
    let csv = format!("id,action,label\n{id},label,{}\nb,drop,\nc,fine,\n", quoted(HOSTILE));
    assert_eq!(seen["csv"], csv);
    let count = "Marked images: 3; without a class: 1";
    assert_eq!(seen["unknown"], json!({ "count": count, "disabled": true, "classes": shown }));
    assert_eq!(seen["again"], "label", "an image that is there twice has one mark");
    let csv = format!("id,action,label\n{id},label,cat\nb,drop,\n");
    assert_eq!(seen["second"], csv);
    assert_eq!(seen["saved"], csv.len());
    assert_eq!((&seen["overflow"], &seen["scripts"]), (&json!(0), &json!(2)));
}

/// The corrections of an earlier page are kept, also where this one has no card for them, and "fine" keeps them too.
#[test]
fn earlier_corrections_are_marks_in_a_browser() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let images = vec![marked_image("a", "dog"), marked_image("b", "dog"), marked_image("c", "dog")];
    let label = |id: &str| (id.to_owned(), Some("dog".to_owned()));
    let page = report::issues_html(&IssuesReport {
        class_names: vec!["cat".into(), "dog".into()],
        corrections: vec![label("a"), label("b"), ("gone".into(), None)],
        sections: vec![IssueSection { images, ..IssueSection::default() }],
        ..IssuesReport::default()
    });
    let probe = format!("<script>{{\n{}\n}}</script>", include_str!("probe_earlier_issues.js"));
    let path = folder.path().join("issues.html");
    fs::write(&path, page + &probe).unwrap();
    let seen = Browser { chromium, folder: folder.path() }.probe(&path, &[]);
    assert_eq!(seen["before"], "id,action,label\na,label,dog\nb,label,dog\ngone,drop,\n");
    assert_eq!(seen["after"], "id,action,label\na,label,dog\ngone,drop,\nc,fine,\n");
}

/// A page with a frame as wide as a phone, since a window cannot be so narrow.
const PHONE: &str = "<!doctype html><meta charset=utf-8><title>phone</title>\
    <iframe src=probed.html style='width:360px;height:700px;border:0'></iframe>\
    <script>addEventListener('message', event => document.body.dataset.seen = event.data)</script>";

/// A hostile name, which a folder of images might have.
const HOSTILE: &str = "<img src=x onerror=\"missing()\"> & 'co'</td></script>";

fn sample() -> Report {
    let head = |arch: &str, p: f64, seed: u64, top1: f64| {
        let epoch = |epoch: usize| EpochMetrics {
            epoch,
            train_loss: 0.9 / epoch as f64,
            train_top1: 0.9,
            val_loss: Some(0.01 / epoch as f64),
            val_top1: Some(top1 - 0.02 * (4 - epoch) as f64),
            learning_rate: 1e-3,
            seconds: 1.0,
        };
        let last = epoch(4);
        let result = HeadResult {
            arch: arch.into(),
            hidden: 128.into(),
            p,
            learning_rate: 1e-3,
            schedule: "constant".into(),
            weight_decay: 0.0,
            label_smoothing: 0.0,
            mixup: 0.0,
            form: String::new(),
            seed,
            epochs: 4,
            kept_epoch: Some(4),
            train_loss: last.train_loss,
            train_top1: last.train_top1,
            val_loss: last.val_loss,
            val_top1: last.val_top1,
            run: format!("{arch}/{p}/{seed}"),
        };
        TrainedHead { result, epochs: (1..=4).map(epoch).collect() }
    };
    let settings = [
        ("arch-2", 0.5, 0.972),
        ("arch-2", 0.05, 0.974),
        ("arch-10", 0.2, 0.990),
        (HOSTILE, 0.0, 0.099),
        ("arch-2", 0.5, f64::NAN),
    ];
    let mut heads: Vec<TrainedHead> = settings
        .iter()
        .flat_map(|&(arch, p, top1)| {
            [head(arch, p, 0, top1 - 0.001), head(arch, p, 1, top1 + 0.001)]
        })
        .collect();
    // The heads that diverged have a setting of their own.
    heads[8].result.learning_rate = 10.0;
    heads[9].result.learning_rate = 10.0;
    let chosen = Chosen {
        setting: heads[4].result.setting(),
        val: MeanSd { mean: 0.99, sd: Some(0.0014), seeds: 2 },
        test: Some(MeanSd { mean: 0.987, sd: Some(0.002), seeds: 2 }),
        ensemble: Some(0.99),
        best_run: heads[5].result.run.clone(),
    };
    let thumbnail = |png: Vec<u8>| Thumbnail {
        png,
        id: format!("{}/{HOSTILE}.png", "folder".repeat(20)),
        label: HOSTILE.into(),
        predicted: "b".repeat(60),
        probability: 0.999,
    };
    let gray = report::encode_png(3, 4, 1, &[0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 220]);
    let colour = report::encode_png(1, 6, 3, &[200; 18]);
    let names = ["a class with quite a long name", HOSTILE].into_iter().cycle();
    Report {
        title: format!("A page for the test {HOSTILE}"),
        command: format!("vgg-head sweep --out={}", "a/long/path/".repeat(20)),
        sweep: Sweep { heads, chosen: Some(chosen) },
        baselines: Vec::new(),
        trained_on: Some(format!("each image and 5 distorted copies of it {HOSTILE}")),
        confusion: Some(Confusion {
            class_names: names.take(40).map(Into::into).collect(),
            counts: (0..40).map(|label| (0..40).map(|class| label * class % 7).collect()).collect(),
            of: format!("the best head, {}", "whose description is long, ".repeat(5)),
        }),
        misclassified: Misclassified::Images(vec![
            thumbnail(gray.unwrap()),
            thumbnail(colour.unwrap()),
        ]),
        manifest_json: format!("{{ \"digest\": \"{}\", \"x\": \"{HOSTILE}\" }}", "0".repeat(300)),
        program: "the report crate's test".into(),
    }
}

/// The browser's path; `None` if there is none, after the reason is printed.
fn chromium() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chromium.sh");
    let output = Command::new("sh").arg(script).output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()));
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    println!("skipped: {}", reason.lines().last().unwrap_or("no chromium"));
    None
}

struct Browser<'a> {
    chromium: PathBuf,
    folder: &'a Path,
}

struct Visit {
    /// The document after its scripts ran.
    document: String,
    /// The console's messages.
    console: Vec<String>,
}

impl Browser<'_> {
    fn open(&self, page: &Path, flags: &[&str]) -> Visit {
        let profile = tempfile::tempdir_in(self.folder).unwrap();
        let (stdout, stderr) = (profile.path().join("stdout"), profile.path().join("stderr"));
        let mut process = Command::new(&self.chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--enable-logging=stderr",
                "--window-size=1200,900",
                "--virtual-time-budget=5000",
                "--dump-dom",
            ])
            .args(flags)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("file://{}", page.display()))
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                process.kill().unwrap();
                process.wait().unwrap();
                panic!("chromium has not ended after {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let log = String::from_utf8_lossy(&fs::read(stderr).unwrap()).into_owned();
        assert!(status.success(), "chromium ended with {status}:\n{log}");
        let console =
            log.lines().filter(|line| line.contains(":CONSOLE")).map(Into::into).collect();
        Visit { document: fs::read_to_string(stdout).unwrap(), console }
    }

    /// The observations of the probe in this page.
    fn probe(&self, page: &Path, flags: &[&str]) -> Value {
        let Visit { document, console } = self.open(page, flags);
        assert_eq!(console, Vec::<String>::new());
        let (_, rest) = document.split_once("data-seen=\"").expect("the probe ran to its end");
        let (seen, _) = rest.split_once('"').unwrap();
        let seen = seen.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
        let seen = seen.replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
        serde_json::from_str(&seen).unwrap()
    }
}
