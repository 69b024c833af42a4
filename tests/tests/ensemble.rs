//! Tests of ensembles and of calibrated runs: together they are evaluated, used for predictions, and exported as one.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Digits, USAGE, Workplace, assert_refused, finish, path_from, vgg_classify, vgg_head,
    weights,
};
use feature_cache::{Cache, SplitName};
use head::{Average, Run, for_each_row, softmax};
use serde_json::{Value, json};

const ROWS: usize = 60;

/// Features of three classes that no head tells apart without mistakes.
fn cache(workplace: &Workplace, names: [&str; 3], seed: u64) -> PathBuf {
    let split = |(split, start): (SplitName, f32)| {
        let labels = (0..ROWS as i64).map(|row| row % 3).collect();
        let number = |i: usize| {
            let (row, channel) = (i / 12, i / 4 % 3);
            // Some rows look like those of another class.
            let of_label = channel == (row + usize::from(row % 7 == 3)) % 3;
            (i as f32 * start).sin().abs() + if of_label { 1.0 } else { 0.0 }
        };
        (split, Some(labels), (0..ROWS * 12).map(number).collect())
    };
    let splits = [(SplitName::Train, 1.0), (SplitName::Val, 2.0), (SplitName::Test, 3.0)];
    workplace.write_cache(&names.map(str::to_owned), seed, splits.map(split))
}

fn train(workplace: &Workplace, cache: &Path, more: &[&str]) -> PathBuf {
    let flags = [&["--epochs=30", "--lr=0.01", "--p=0.2", "--hidden=16"], more].concat();
    path_from(workplace.train(cache, &flags))
}

fn with_runs(command: Command, runs: &[&PathBuf], more: &[&str]) -> Command {
    let mut command = command;
    for run in runs {
        command.arg("--run").arg(run);
    }
    command.args(more);
    command
}

fn json_of(command: Command) -> Value {
    let finished = finish(command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

fn evaluated(runs: &[&PathBuf], more: &[&str]) -> Value {
    json_of(with_runs(vgg_head(["evaluate", "--json"]), runs, more))
}

/// The logits of a run's head on a split.
fn logits(run: &Path, split: SplitName) -> Vec<Vec<f32>> {
    let run = Run::open(run).unwrap();
    let cache = Cache::open(&run.config().features).unwrap();
    let mut rows = Vec::new();
    for_each_row(&run, &cache, split, 1, &mut |_| (), |_, row| rows.push(row.to_vec())).unwrap();
    rows
}

/// Loss and hits of probabilities for the labels of the rows.
fn measured(probabilities: &[Vec<f64>]) -> (f64, usize) {
    let (mut loss, mut right) = (0.0, 0);
    for (row, probabilities) in probabilities.iter().enumerate() {
        loss -= probabilities[row % 3].ln() / ROWS as f64;
        let most = probabilities.iter().copied().fold(f64::MIN, f64::max);
        right += usize::from(probabilities[row % 3] == most);
    }
    (loss, right)
}

#[test]
fn heads_of_several_runs_are_averaged() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace, ["a", "b", "c"], 0);
    let a = train(&workplace, &cache, &["--seed=0"]);
    let b = train(&workplace, &cache, &["--seed=1"]);
    // Of another shape.
    let c = train(&workplace, &cache, &["--seed=0", "--hidden=24"]);
    let runs = [&a, &b, &c];
    let of_runs = runs.map(|run| logits(run, SplitName::Test));
    let mean = |numbers: [f64; 3]| numbers.iter().sum::<f64>() / 3.0;
    let by_probabilities: Vec<Vec<f64>> = (0..ROWS)
        .map(|row| {
            let heads = of_runs.each_ref().map(|rows| softmax(&rows[row]));
            (0..3).map(|class| mean(heads.each_ref().map(|head| head[class]))).collect()
        })
        .collect();
    let by_logits: Vec<Vec<f64>> = (0..ROWS)
        .map(|row| {
            let logit = |class: usize| mean(of_runs.each_ref().map(|it| it[row][class].into()));
            softmax(&[0, 1, 2].map(|class| logit(class) as f32))
        })
        .collect();
    let mut losses = Vec::new();
    for (average, expected) in [("probabilities", by_probabilities), ("logits", by_logits)] {
        let flag = format!("--average={average}");
        let found = evaluated(&runs, &[&flag]);
        let (loss, right) = measured(&expected);
        assert!((found["loss"].as_f64().unwrap() - loss).abs() < 1e-6, "{found} {loss}");
        assert_eq!(found["top1"], json!(right as f64 / ROWS as f64), "{average}");
        losses.push(loss);

        let out = workplace.path("predictions.csv");
        let out_flag = format!("--out={}", out.display());
        path_from(with_runs(vgg_head(["predict"]), &runs, &[&flag, &out_flag]));
        let names = ["a", "b", "c"];
        let lines = expected.iter().enumerate().map(|(row, probabilities)| {
            let most = probabilities.iter().copied().fold(f64::MIN, f64::max);
            let class = probabilities.iter().position(|it| *it == most).unwrap();
            format!("{},{}\n", row + 1, names[class])
        });
        let expected = "ImageId,Label\n".to_owned() + &lines.collect::<String>();
        assert_eq!(fs::read_to_string(&out).unwrap(), expected, "{average}");
    }
    assert!((losses[0] - losses[1]).abs() > 1e-6, "the averages differ: {losses:?}");

    // 'ensemble' shows the same beside each of them.
    let mut command = vgg_head(["ensemble", "--split=test", "--json"]);
    command.args(runs);
    let compared = json_of(command);
    assert_eq!(compared["ensemble"], evaluated(&runs, &[]));
    for (at, run) in runs.into_iter().enumerate() {
        assert_eq!(compared["runs"][at]["evaluation"], evaluated(&[run], &[]));
        assert_eq!(compared["runs"][at]["run"], json!(run));
    }
    let mut command = vgg_head(["ensemble"]);
    let table = finish({
        command.args(runs);
        command
    });
    let val = evaluated(&runs, &["--split=val"]);
    let top1 = format!("{:.2} %", 100.0 * val["top1"].as_f64().unwrap());
    let last = table.stdout.lines().last().unwrap();
    assert!(last.starts_with("together") && last.contains(&top1), "{}", table.stdout);
    // Without a name for the file, it is beside the first run's own.
    let file = path_from(with_runs(vgg_head(["predict"]), &runs, &[]));
    assert_eq!(file, a.join("ensemble-submission.csv"));
}

#[test]
fn a_sweep_shows_its_seeds_together() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace, ["a", "b", "c"], 0);
    let mut command = vgg_head(["sweep", "--p=0.3", "--seeds=3", "--epochs=5", "--lr=0.01"]);
    command.arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
    let finished = finish(command);
    let sweep = PathBuf::from(finished.stdout.lines().last().unwrap());
    let mut command = vgg_head(["evaluate", "--json", "--sweep"]);
    command.arg(&sweep);
    let top1 = json_of(command)["top1"].as_f64().unwrap();
    let summary: Value =
        serde_json::from_slice(&fs::read(sweep.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["ensemble"], json!(top1));
    let percent = format!("{:.2} %", 100.0 * top1);
    let says = format!("over 3 seeds, {percent} of their ensemble");
    assert!(finished.stdout.contains(&says), "{}", finished.stdout);
    let report = fs::read_to_string(sweep.join("report.html")).unwrap();
    let says = format!("<dt>Test top-1, seeds together</dt><dd>{percent}</dd>");
    assert!(report.contains(&says), "{says}");
}

#[test]
fn runs_that_do_not_belong_together_are_refused() {
    let workplace = Workplace::empty();
    let features = cache(&workplace, ["a", "b", "c"], 0);
    let a = train(&workplace, &features, &[]);
    let of_others = train(&workplace, &cache(&workplace, ["a", "b", "c"], 1), &[]);
    let of_other_classes = train(&workplace, &cache(&workplace, ["a", "b", "d"], 2), &[]);
    // A sweep in the place of a run is named with the flag that takes it.
    let mut command = vgg_head(["sweep", "--p=0.5", "--seeds=1", "--lr=0.01"]);
    command.arg("--features").arg(&features).arg("--out").arg(workplace.path("sweeps"));
    let sweep = path_from(command);
    let says = [
        format!("{} is a sweep; give --sweep={}", sweep.display(), sweep.display()),
        format!(
            "or name one of its runs, which are the folders in {}",
            sweep.join("runs").display()
        ),
    ];
    let says = says.each_ref().map(String::as_str);
    for words in [&["evaluate", "--run"][..], &["predict", "--run"], &["ensemble"]] {
        let mut command = vgg_head(words);
        command.arg(&sweep);
        assert_refused(command, BAD_INPUT, &says);
    }
    assert_refused(vgg_head(["ensemble"]), USAGE, &["RUN"]);
    let copy = workplace.path("copy");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(&a).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let names = |run: &Path| [&a, run].map(|run| run.display().to_string()).to_vec();
    for (other, code, says) in [
        (&of_others, BAD_INPUT, "were trained on other features"),
        (&of_other_classes, BAD_INPUT, "class 2 is 'c' in one and 'd' in the other"),
        (&copy, USAGE, "name each run of an ensemble once"),
    ] {
        let names = names(other);
        let says = [says, names[0].as_str(), names[1].as_str()];
        for command in ["ensemble", "evaluate", "predict"] {
            assert_refused(with_runs(vgg_head([command]), &[&a, other], &[]), code, &says);
        }
        let mut export = vgg_classify(["export"]);
        export.arg("--out").arg(workplace.path("model")).arg("--weights").arg(weights());
        assert_refused(with_runs(export, &[&a, other], &[]), code, &says);
    }
    assert_refused(vgg_head(["ensemble"]), USAGE, &["RUN"]);
    let with_sweep = with_runs(vgg_head(["ensemble", "--sweep=sweeps/a", "b"]), &[], &[]);
    assert_refused(with_sweep, USAGE, &["RUN", "--sweep"]);
    let says = ["there is no average 'median'; expected probabilities, logits"];
    assert_refused(with_runs(vgg_head(["ensemble", "--average=median"]), &[&a], &[]), USAGE, &says);
    // What a run records of its features is not what its key says.
    let wider = train(&workplace, &features, &["--hidden=24"]);
    let config = wider.join("config.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["recipe"]["numerics"] = json!("torch-2.13-cpu");
    fs::write(&config, json.to_string()).unwrap();
    let mut export = vgg_classify(["export"]);
    export.arg("--out").arg(workplace.path("model")).arg("--weights").arg(weights());
    let says = ["but another recipe or other classes", wider.to_str().unwrap()];
    assert_refused(with_runs(export, &[&a, &wider], &[]), BAD_INPUT, &says);
}

#[test]
fn a_temperature_is_found_kept_and_used() {
    let workplace = Workplace::empty();
    let features = cache(&workplace, ["a", "b", "c"], 0);
    let run = train(&workplace, &features, &[]);
    let plain = evaluated(&[&run], &["--split=val"]);
    let before = logits(&run, SplitName::Test);
    let again = train(&workplace, &features, &["--calibrate"]);
    assert_eq!(again, run, "the head is the same");
    let read = || -> Value {
        serde_json::from_slice(&fs::read(run.join("calibration.json")).unwrap()).unwrap()
    };
    let kept = read();
    let number = |name: &str| kept[name].as_f64().unwrap();
    assert!((number("log_loss_before") - plain["loss"].as_f64().unwrap()).abs() < 1e-12);
    assert!(number("log_loss") < number("log_loss_before"), "{kept}");
    let temperature = number("temperature");
    assert!((temperature - 1.0).abs() > 1e-3, "{kept}");
    for (before, after) in
        before.iter().flatten().zip(logits(&run, SplitName::Test).iter().flatten())
    {
        assert!((f64::from(*before) / temperature - f64::from(*after)).abs() < 1e-4);
    }
    let calibrated = evaluated(&[&run], &["--split=val"]);
    assert!((calibrated["loss"].as_f64().unwrap() - number("log_loss")).abs() < 1e-6);
    assert_eq!(calibrated["top1"], plain["top1"]);
    // 'evaluate' finds the same, and says it.
    fs::remove_file(run.join("calibration.json")).unwrap();
    let finished = finish(with_runs(vgg_head(["evaluate", "--calibrate"]), &[&run], &[]));
    assert!(
        finished.stderr.contains(&format!("temperature {temperature:.4}; log loss on 60 rows"))
    );
    assert_eq!(read(), kept);
    // 'sweep' calibrates all seeds of the setting that it has chosen, and no others.
    let mut command = vgg_head(["sweep", "--p=0,0.5", "--seeds=2", "--calibrate", "--lr=0.01"]);
    command.arg("--features").arg(&features).arg("--out").arg(workplace.path("sweeps"));
    let sweep = path_from(command);
    let runs = fs::read_dir(sweep.join("runs")).unwrap();
    let calibrated =
        runs.filter(|it| it.as_ref().unwrap().path().join("calibration.json").exists());
    assert_eq!(calibrated.count(), 2);
    // Their ensemble is one of calibrated heads.
    let of_sweep = || -> Value {
        let ensemble = fs::read(sweep.join("summary.json")).unwrap();
        serde_json::from_slice::<Value>(&ensemble).unwrap()["ensemble"].clone()
    };
    let mut command = vgg_head(["evaluate", "--json", "--sweep"]);
    command.arg(&sweep);
    assert_eq!(of_sweep(), json_of(command)["top1"]);
    let mistakes = fs::read_to_string(sweep.join("evaluation.json")).unwrap();
    fs::remove_file(sweep.join("evaluation.json")).unwrap();
    let mut command = vgg_head(["report", "--sweep"]);
    command.arg(&sweep);
    path_from(command);
    assert_eq!(fs::read_to_string(sweep.join("evaluation.json")).unwrap(), mistakes);

    let file = run.join("calibration.json");
    let evaluate = |json: Value, says: &str| {
        fs::write(&file, json.to_string()).unwrap();
        let path = file.display().to_string();
        assert_refused(with_runs(vgg_head(["evaluate"]), &[&run], &[]), BAD_INPUT, &[says, &path]);
    };
    let changed = |name: &str, value: Value| {
        let mut json = kept.clone();
        json[name] = value;
        json
    };
    let other = "0".repeat(64);
    evaluate(changed("head_digest", json!(other)), "it is that of another head");
    evaluate(changed("temperature", json!(0.0)), "its temperature is 0, expected a number above 0");
    evaluate(changed("temperature", json!("warm")), "damaged or was not written by vgg-head");
    evaluate(changed("format", json!({"major": 2, "minor": 0})), "has format 2.0");
}

#[test]
fn without_validation_there_is_no_temperature() {
    let workplace = Workplace::empty();
    let labels: Vec<i64> = (0..6).map(|row| row % 2).collect();
    let train = (SplitName::Train, Some(labels), vec![1.0; 72]);
    let cache = workplace.write_cache(&["a", "b"].map(str::to_owned), 0, [train]);
    let says =
        ["has no validation split, by which --calibrate finds the temperature", "--val-fraction"];
    assert_refused(workplace.train(&cache, &["--calibrate"]), BAD_INPUT, &says);
    let run = path_from(workplace.train(&cache, &[]));
    assert_refused(
        with_runs(vgg_head(["evaluate", "--calibrate"]), &[&run], &[]),
        BAD_INPUT,
        &says,
    );
}

/// A model of two calibrated runs, as a file of each form, by probabilities and by logits.
#[test]
fn an_exported_ensemble_classifies_as_its_runs() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 60), &Digits::first("t10k", 12));
    let cache = workplace.extract();
    let [a, b] = ["--seed=0", "--seed=1"]
        .map(|seed| path_from(workplace.train(&cache, &["--epochs=3", "--calibrate", seed])));
    let digits = workplace.path("digits");
    let classified = |command: Command| {
        let mut command = command;
        command.args(["--format=json", "--split=test"]).arg(&digits);
        let finished = finish(command);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    let mut outputs = Vec::new();
    for average in ["probabilities", "logits"] {
        let flag = format!("--average={average}");
        let of_runs = |command: &str| {
            let mut command = with_runs(vgg_classify([command]), &[&a, &b], &[&flag]);
            command.arg("--weights").arg(weights());
            command
        };
        let out = workplace.path(average);
        let mut export = of_runs("export");
        export.arg("--out").arg(&out);
        let model = path_from(export);
        let by_runs = classified(of_runs("run"));
        let mut command = vgg_classify(["run", "--model"]);
        command.arg(&model);
        assert_eq!(classified(command), by_runs, "{average}");
        // Only a file that earlier versions would read wrongly is of a new format.
        let again = workplace.path("again");
        let mut export = vgg_classify(["export", "--model"]);
        export.arg(&model).arg("--out").arg(&again);
        path_from(export);
        let bytes = fs::read(&model).unwrap();
        assert!(fs::read(&again).unwrap() == bytes);
        let header = String::from_utf8_lossy(&bytes[8..4096]).into_owned();
        assert_eq!(header.contains("logits"), average == "logits", "{header}");

        // Probabilities are those of the features in the cache.
        let [of_a, of_b] = [&a, &b].map(|run| logits(run, SplitName::Test));
        for (row, line) in by_runs.lines().enumerate() {
            let line: Value = serde_json::from_str(line).unwrap();
            let mean: Vec<f64> = match average {
                "logits" => {
                    let sums = of_a[row].iter().zip(&of_b[row]);
                    softmax(&sums.map(|(a, b)| (a + b) / 2.0).collect::<Vec<f32>>())
                }
                _ => {
                    let [a, b] = [&of_a, &of_b].map(|rows| softmax(&rows[row]));
                    a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect()
                }
            };
            for (class, expected) in mean.iter().enumerate() {
                let found = line["probabilities"][class.to_string()].as_f64().unwrap();
                assert!((found - expected).abs() < 1e-6, "{average}: {found} {expected}");
            }
        }
        // ONNX Runtime has the same results, or the export is refused.
        let onnx = workplace.path(&format!("{average}.onnx"));
        let mut export = of_runs("export");
        export
            .args(["--format=onnx", "--head-only", "--out"])
            .arg(onnx)
            .current_dir(end_to_end::root());
        let finished = finish(export);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stderr.contains("has the results of our forward pass"), "{finished:?}");
        outputs.push(by_runs);
    }
    assert_ne!(outputs[0], outputs[1]);
}

/// One model of a head without hidden layers, one with them, and one on two taps, as a file of each form.
#[test]
fn heads_of_different_shapes_and_taps_are_one_model() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 60), &Digits::first("t10k", 12));
    let cache = path_from(workplace.run("digits", &["--taps=conv4_3:avg,conv5_3"]));
    let run = |flags: &[&str]| {
        path_from(workplace.train(&cache, &[&["--epochs=3", "--p=0.1"], flags].concat()))
    };
    let linear = run(&["--arch=linear", "--tap=conv4_3:avg"]);
    let fastai = run(&["--arch=fastai", "--hidden=16", "--tap=conv5_3", "--calibrate"]);
    let joined = run(&["--arch=fastai", "--hidden=16", "--tap=conv5_3,conv4_3:avg"]);
    let runs = [&linear, &fastai, &joined];
    let of_heads = runs.map(|run| logits(run, SplitName::Test));
    for average in [Average::Probabilities, Average::Logits] {
        let of_runs = |command: &str, more: &[&str]| {
            let flag = format!("--average={average}");
            let mut command = with_runs(vgg_classify([command]), &runs, &[&flag]);
            command.arg("--weights").arg(weights()).args(more);
            command
        };
        let digits = workplace.path("digits");
        let maps = format!("--heatmap={}", workplace.path(&format!("maps-{average}")).display());
        let mut command = of_runs("run", &["--format=json", "--split=test", &maps]);
        let by_runs = finish({
            command.arg(&digits);
            command
        });
        assert_eq!(by_runs.code, Some(0), "{by_runs:?}");
        for (row, line) in by_runs.stdout.lines().enumerate() {
            let line: Value = serde_json::from_str(line).unwrap();
            let of_row = of_heads.each_ref().map(|rows| rows[row].as_slice());
            for (class, expected) in average.probabilities(&of_row).into_iter().enumerate() {
                // The last bit may be lost where JSON is read.
                let found = line["probabilities"][class.to_string()].as_f64().unwrap();
                assert!((found - expected).abs() <= f64::EPSILON * expected, "{found} {expected}");
            }
        }
        assert_eq!(by_runs.stdout.lines().count(), 12);

        let model = workplace.path(&format!("{average}.safetensors"));
        path_from(of_runs("export", &["--out", model.to_str().unwrap()]));
        let (_, header) =
            safetensors::SafeTensors::read_metadata(&fs::read(&model).unwrap()).unwrap();
        let entry = &header.metadata().as_ref().unwrap()["vgg-classify"];
        let record = &serde_json::from_str::<Value>(entry).unwrap()["record"];
        assert_eq!(record["format"], json!({ "major": 4, "minor": 0 }));
        let taps = [json!(["conv4_3:avg"]), json!(["conv5_3"]), json!(["conv5_3", "conv4_3:avg"])];
        assert_eq!([0, 1, 2].map(|head| record["heads"][head]["taps"].clone()), taps);
        let mut command = vgg_classify(["run", "--format=json", "--split=test", "--model"]);
        command.arg(&model).arg(&digits);
        assert_eq!(finish(command).stdout, by_runs.stdout, "{average}");

        for flags in [&["--head-only"][..], &[]] {
            let onnx = workplace.path("model.onnx");
            let flags = [&["--format=onnx", "--out", onnx.to_str().unwrap()], flags].concat();
            let mut export = of_runs("export", &flags);
            export.current_dir(end_to_end::root());
            let finished = finish(export);
            assert_eq!(finished.code, Some(0), "{finished:?}");
            let says = "has the results of our forward pass";
            assert!(finished.stderr.contains(says), "{finished:?}");
        }
    }
}
