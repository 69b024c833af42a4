//! A sample report with made-up numbers and images.
//!
//!     cargo run -p report --example sample -- report.html [settings]
//!
//! The two plots are also written as files of their own beside the page. The default is 15 settings of two
//! architectures.

use std::path::PathBuf;
use std::{env, fs};

use report::{
    Chosen, Confusion, EpochMetrics, HeadResult, Hidden, MeanSd, Misclassified, Report, Setting,
    Sweep, Thumbnail, TrainedHead,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or("no path is given; expected: sample PATH [settings]")?;
    let path = PathBuf::from(path);
    let settings = arguments.next().map_or(Ok(15), |count| count.parse())?;
    let report = sample(settings)?;
    fs::write(&path, report::report_html(&report))?;
    let plots = [
        ("accuracy-vs-dropout.svg", report::accuracy_vs_dropout_svg(&report.sweep)),
        ("learning-curves.svg", report::learning_curves_svg(&report.sweep.curves())),
    ];
    for (name, svg) in plots {
        fs::write(path.with_file_name(name), svg)?;
    }
    println!("{}", path.display());
    Ok(())
}

/// A made-up sweep of this number of settings with three seeds each.
fn sample(settings: usize) -> Result<Report, Box<dyn std::error::Error>> {
    let rates = [0.0, 0.2, 0.4, 0.6, 0.8];
    let archs = [("fastai", 128), ("keras", 256), ("fastai", 512)];
    let mut noise = Noise(1);
    let mut heads = Vec::new();
    for index in 0..settings {
        let p = rates[index % rates.len()];
        let (arch, hidden) = archs[index / rates.len() % archs.len()];
        // The learning rate changes after all dropout rates and architectures.
        let learning_rate = 0.001 * (1 + index / (rates.len() * archs.len())) as f64;
        let setting = Setting {
            arch: arch.to_owned(),
            hidden: hidden.into(),
            p,
            learning_rate,
            schedule: "constant".to_owned(),
            weight_decay: 0.0,
            label_smoothing: 0.0,
            mixup: 0.0,
            form: String::new(),
        };
        for seed in 0..3 {
            let run = format!("{}-{hidden}-lr{learning_rate}-p{p}-{seed}", setting.arch);
            let epochs = epochs(&setting, &mut noise);
            let last = *epochs.last().ok_or("there are twelve epochs")?;
            let result = HeadResult {
                arch: setting.arch.clone(),
                hidden: setting.hidden.clone(),
                p,
                learning_rate,
                schedule: setting.schedule.clone(),
                weight_decay: setting.weight_decay,
                label_smoothing: setting.label_smoothing,
                mixup: setting.mixup,
                form: setting.form.clone(),
                seed,
                epochs: epochs.len(),
                kept_epoch: None,
                train_loss: last.train_loss,
                train_top1: last.train_top1,
                val_loss: last.val_loss,
                val_top1: last.val_top1,
                run,
            };
            heads.push(TrainedHead { result, epochs });
        }
    }
    Ok(Report {
        title: "Sweep over dropout (made-up data)".into(),
        command: "just sweep p=0,0.2,0.4,0.6,0.8 seeds=3 arch=fastai,keras hidden=128,256,512 \
                  features=artifacts/features/made-up-64px-0123abcd"
            .into(),
        sweep: Sweep { chosen: chosen(&heads), heads },
        baselines: Vec::new(),
        trained_on: None,
        confusion: Some(confusion(&mut noise)),
        misclassified: Misclassified::Images(mistakes(&mut noise)?),
        manifest_json: MANIFEST.into(),
        program: format!("the report crate's sample {}", env!("CARGO_PKG_VERSION")),
    })
}

fn epochs(setting: &Setting, noise: &mut Noise) -> Vec<EpochMetrics> {
    let width = match setting.hidden {
        Hidden::Two(width) => width as f64,
        Hidden::Layers(_) => 0.0,
    };
    let wide = width / 512.0;
    let best = 0.978 + 0.008 * wide - 0.05 * (setting.p - 0.45 - 0.1 * wide).powi(2);
    let best = best + 0.0012 * noise.next() - 0.002 * (setting.learning_rate * 1000.0 - 1.0);
    let epoch = |epoch: usize| {
        let rise = (-(epoch as f64) / 2.2).exp();
        let val_top1 = best - 0.05 * rise + 0.0006 * noise.next();
        let train_top1 = 0.998 - 0.1 * setting.p - 0.12 * rise + 0.0006 * noise.next();
        EpochMetrics {
            epoch,
            train_loss: 0.012 + 0.3 * setting.p + 0.9 * rise,
            train_top1,
            val_loss: Some(3.2 * (1.0 - val_top1) + 0.02 * (1.0 - setting.p) * epoch as f64 / 12.0),
            val_top1: Some(val_top1),
            learning_rate: setting.learning_rate,
            seconds: 1.0,
        }
    };
    (1..=12).map(epoch).collect()
}

/// The setting with the highest mean, and a test result that is a little lower.
fn chosen(heads: &[TrainedHead]) -> Option<Chosen> {
    let ranking = report::ranking(heads);
    let best = ranking.first()?;
    let val = best.val_top1()?;
    Some(Chosen {
        setting: best.setting.clone(),
        test: Some(MeanSd { mean: val.mean - 0.0017, ..val }),
        ensemble: Some(val.mean),
        val,
        best_run: best.best()?.result.run.clone(),
    })
}

fn confusion(noise: &mut Noise) -> Confusion {
    let count = |label: usize, predicted: usize, noise: &mut Noise| match label.abs_diff(predicted)
    {
        0 => 960 + (20.0 * noise.next()) as usize,
        distance => (9.0 * noise.next().abs().powi(4) * distance as f64) as usize,
    };
    Confusion {
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        counts: (0..10)
            .map(|label| (0..10).map(|predicted| count(label, predicted, noise)).collect())
            .collect(),
        of: "the chosen setting's best head on the test split".into(),
    }
}

/// Images of rings and bars with noise, named after digits.
fn mistakes(noise: &mut Noise) -> Result<Vec<Thumbnail>, report::PngError> {
    let side = 28;
    let thumbnail = |index: usize| {
        let radius = 5.0 + 4.0 * noise.next().abs();
        let pixels: Vec<u8> = (0..side * side)
            .map(|pixel| {
                let (x, y) = ((pixel % side) as f64 - 13.5, (pixel / side) as f64 - 13.5);
                let ring = (-((x * 1.3).hypot(y) - radius).powi(2) / 2.5).exp();
                let bar = if index.is_multiple_of(2) {
                    (-x * x / 2.5 - (y / 10.0).powi(8)).exp()
                } else {
                    0.0
                };
                (255.0 * (ring + bar).min(1.0) * (0.85 + 0.15 * noise.next().abs())) as u8
            })
            .collect();
        Ok(Thumbnail {
            png: report::encode_png(side, side, 1, &pixels)?,
            id: format!("made-up/{:05}", 7919 * (index + 1) % 10_000),
            label: (index * 7 % 10).to_string(),
            predicted: ((index * 7 + 1 + index % 5) % 10).to_string(),
            probability: 0.9996 - 0.013 * index as f64,
        })
    };
    (0..12).map(thumbnail).collect()
}

/// A sequence of numbers between -1 and 1, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 30) as f64 - 1.0
    }
}

const MANIFEST: &str = r#"{
  "note": "made up: no such cache exists",
  "format_version": 1,
  "key": "0123abcd",
  "dataset": { "name": "made-up", "class_names": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] },
  "input_size": 64,
  "resize": "triangle",
  "cut_layer": "features.28",
  "dtype": "float32",
  "splits": {
    "train": { "shape": [50000, 512, 4, 4] },
    "val": { "shape": [10000, 512, 4, 4] },
    "test": { "shape": [10000, 512, 4, 4] }
  }
}"#;
