//! Tests of `vgg-classify run`: that it computes what stage 1 and 2 compute, and what it reads, writes and
//! refuses.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use assert_cmd::Command;
use backbone::{ExtractorConfig, Weights};
use classify::{Classifier, Error, Model, WeightsFile, classify_all};
use dataset::{Decoding, Images};
use end_to_end::{
    BAD_INPUT, Digits, Finished, USAGE, Workplace, assert_refused, finish, path_from, peak_of,
    root, vgg_classify, vgg_head, weights,
};
use feature_cache::{Cache, SplitName};
use head::{Run, Sweep, for_each_row, softmax};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::Value;

/// `vgg-classify run` with the head of a run, on these images.
fn classify<P: AsRef<Path>>(
    run: &Path,
    images: impl IntoIterator<Item = P>,
    more: &[&str],
) -> Command {
    let mut command = vgg_classify(["run", "--threads=2"]);
    command.arg("--weights").arg(weights()).arg("--run").arg(run).args(more);
    for image in images {
        command.arg(image.as_ref());
    }
    command
}

/// The objects that `--format json` printed, by file.
fn objects(finished: &Finished) -> Vec<Value> {
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn probabilities(object: &Value, class_names: &[String]) -> Vec<f64> {
    class_names.iter().map(|name| object["probabilities"][name].as_f64().unwrap()).collect()
}

/// The logits of a split by the ids of its rows, as `vgg-head predict` computes them.
fn predicted(run: &Run, cache: &Cache, split: SplitName) -> HashMap<String, Vec<f32>> {
    let mut rows = HashMap::new();
    for_each_row(run, cache, split, 2, &mut |_| (), |id, logits| {
        rows.insert(id.to_owned(), logits.to_vec());
    })
    .unwrap();
    rows
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// A head trained on digits, with its cache.
struct Place {
    workplace: Workplace,
    cache: PathBuf,
    run: PathBuf,
}

impl Place {
    fn new(flags: &[&str]) -> Place {
        Place::with_tests(40, flags)
    }

    fn with_tests(count: usize, flags: &[&str]) -> Place {
        let workplace = Workplace::empty();
        workplace.write_idx("digits", &Digits::first("train", 60), &Digits::first("t10k", count));
        let cache = path_from(workplace.run("digits", flags));
        let taps: Vec<&str> =
            flags.iter().filter_map(|flag| flag.strip_prefix("--taps=")).collect();
        let tap = taps.first().map(|taps| format!("--tap={taps}"));
        let flags: Vec<&str> = ["--epochs=3"].into_iter().chain(tap.as_deref()).collect();
        let run = path_from(workplace.train(&cache, &flags));
        Place { workplace, cache, run }
    }

    fn model(&self) -> Model {
        let run = Run::open(&self.run).unwrap();
        Model::of_run(&run, &WeightsFile::At(weights())).unwrap()
    }
}

/// The logits of an image's features do not depend on whether a cache lies between.
#[test]
fn the_logits_of_200_digits_are_those_of_predict() {
    let place = Place::with_tests(200, &[]);
    let (run, cache) = (Run::open(&place.run).unwrap(), Cache::open(&place.cache).unwrap());
    let expected = predicted(&run, &cache, SplitName::Test);
    let images = Images::find(&[place.workplace.path("digits")], Some("test")).unwrap();
    let model = place.model();
    for (batch_size, threads) in [(64, 2), (7, 1), (1, 2)] {
        let config = ExtractorConfig { batch_size, threads };
        let mut classifier = Classifier::new(&model, &config).unwrap();
        let mut count = 0;
        let stop = AtomicBool::new(false);
        classify_all::<Error>(&mut classifier, &images, threads, false, &stop, |batch| {
            for classified in batch {
                let logits = &classified.scores.unwrap().logits;
                let row = &expected[&classified.index.to_string()];
                assert_eq!(bits(&logits[0]), bits(row), "{}", classified.index);
                count += 1;
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(count, 200);
    }
    // The program prints the same numbers.
    let digits = place.workplace.path("digits");
    let finished = finish(classify(&place.run, [&digits], &["--split=test", "--format=json"]));
    let objects = objects(&finished);
    assert_eq!(objects.len(), 200);
    let mut right = 0;
    for (index, object) in objects.iter().enumerate() {
        let logits = &expected[&index.to_string()];
        assert_eq!(probabilities(object, model.class_names()), softmax(logits), "{object}");
        let file = object["file"].as_str().unwrap();
        assert!(file.ends_with(&format!("digits/t10k-images-idx3-ubyte:{index}")), "{file}");
        right += usize::from(object["label"] == object["predicted"]);
    }
    let says = format!("{right} right of 200 with a label");
    assert!(finished.stderr.contains(&says), "{}", finished.stderr);
    // Accuracy is that of `evaluate`.
    let mut evaluate = vgg_head(["evaluate", "--json"]);
    evaluate.arg("--run").arg(&place.run);
    let json: Value = serde_json::from_str(&finish(evaluate).stdout).unwrap();
    assert_eq!(json["top1"].as_f64().unwrap(), right as f64 / 200.0);
}

/// JPEGs of all kinds that can be read, in two class folders.
fn write_jpegs(workplace: &Workplace, count: usize) {
    let folder = root().join("crates/dataset/tests/corpus/jpeg");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let golden = |path: &Path| PathBuf::from(format!("{}.ppm", path.display()));
    let jpegs = paths.iter().filter(|path| {
        path.extension().is_some_and(|ending| ending == "jpg") && golden(path).exists()
    });
    let mut written = 0;
    for (index, path) in jpegs.take(count).enumerate() {
        let class = ["cat", "dog"][index % 2];
        let name = path.file_name().unwrap().to_str().unwrap();
        workplace.write(&format!("pets/{class}/{name}"), &fs::read(path).unwrap());
        written += 1;
    }
    assert_eq!(written, count);
}

#[test]
fn the_logits_of_50_jpegs_are_those_of_predict() {
    let workplace = Workplace::empty();
    write_jpegs(&workplace, 50);
    let flags: [&[&str]; 3] = [
        &["--size=48"],
        &["--size=32x40", "--dtype=f16"],
        &["--taps=conv4_3:avg,pool4,conv5_3", "--accuracy=exact"],
    ];
    for flags in flags {
        let cache = path_from(workplace.run("pets", flags));
        let tap = flags.iter().find_map(|flag| flag.strip_prefix("--taps="));
        let tap = tap.map(|taps| format!("--tap={taps}"));
        let run =
            path_from(workplace.train(&cache, &tap.iter().map(String::as_str).collect::<Vec<_>>()));
        let (run, cache) = (Run::open(&run).unwrap(), Cache::open(&cache).unwrap());
        let mut expected = predicted(&run, &cache, SplitName::Train);
        expected.extend(predicted(&run, &cache, SplitName::Val));
        let names = cache.manifest().class_names.clone();
        let finished = finish(classify(run.folder(), [workplace.path("pets")], &["--format=json"]));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let objects = objects(&finished);
        assert_eq!(objects.len(), 50);
        for object in objects {
            let file = Path::new(object["file"].as_str().unwrap());
            let id = file.strip_prefix(workplace.path("pets")).unwrap().to_str().unwrap();
            assert_eq!(probabilities(&object, &names), softmax(&expected[id]), "{flags:?} {id}");
            assert_eq!(object["label"], id.split_once('/').unwrap().0);
        }
    }
}

/// A subset of the taps of a cache is computed alone, and gives the same numbers.
#[test]
fn a_head_on_one_of_several_taps() {
    let workplace = Workplace::new();
    let cache = path_from(workplace.run("digits", &["--taps=conv3_3:max,conv4_3:avg,conv5_3"]));
    for tap in ["conv5_3", "conv4_3:avg", "conv3_3:max", "conv5_3,conv3_3:max"] {
        let run = path_from(workplace.train(&cache, &[&format!("--tap={tap}")]));
        let (run, cache) = (Run::open(&run).unwrap(), Cache::open(&cache).unwrap());
        let expected = predicted(&run, &cache, SplitName::Test);
        let flags = ["--split=test", "--format=json"];
        let finished = finish(classify(run.folder(), [workplace.path("digits")], &flags));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        for (index, object) in objects(&finished).iter().enumerate() {
            let names = &cache.manifest().class_names;
            assert_eq!(
                probabilities(object, names),
                softmax(&expected[&index.to_string()]),
                "{tap}"
            );
        }
    }
}

/// Every kind of broken image that `dataset` knows is named, and all others are classified.
#[test]
fn unreadable_images_stop_nothing() {
    let place = Place::new(&[]);
    let corpus = root().join("crates/dataset/tests/corpus");
    let is_golden = |path: &Path| path.to_str().unwrap().ends_with(".ppm.ppm");
    let mut images = Vec::new();
    for form in ["bmp", "gif", "jpeg", "png", "pnm", "tiff", "webp"] {
        let mut folder: Vec<PathBuf> =
            fs::read_dir(corpus.join(form)).unwrap().map(|entry| entry.unwrap().path()).collect();
        folder.retain(|path| !is_golden(path) && path.is_file());
        folder.sort();
        images.extend(folder);
    }
    let list = images.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n");
    let list = place.workplace.write("images.csv", format!("path\n{list}\n").as_bytes());
    let absent = place.workplace.path("absent.png");
    let text = place.workplace.write("notes.txt", b"not an image");
    let arguments = [&list, &absent, &text];
    let finished = finish(classify(&place.run, arguments, &["--format=json"]));
    assert_eq!(finished.code, Some(BAD_INPUT));
    let classified: Vec<Value> = objects(&finished);
    let named: Vec<&str> =
        finished.stderr.lines().filter_map(|line| line.strip_prefix("not classified: ")).collect();
    assert_eq!(classified.len() + named.len(), images.len() + 2);
    let unreadable = |path: &PathBuf| {
        let images = Images::find(std::slice::from_ref(path), None).unwrap();
        images.image(0, Decoding::default()).is_err()
    };
    for path in images.iter().chain([&absent, &text]) {
        let path_text = path.display().to_string();
        // The path is said once.
        let is_named = named.iter().any(|line| {
            let after = line.strip_prefix(&path_text);
            after.is_some_and(|rest| rest.starts_with([':', ' ']) && !rest.contains(&path_text))
        });
        let is_classified = classified.iter().any(|object| object["file"] == path_text.as_str());
        assert_eq!((is_named, is_classified), (unreadable(path), !unreadable(path)), "{path_text}");
    }
    assert!(named.len() > 30, "{}", named.len());
    let says = format!("could not classify {} of {} images", named.len(), images.len() + 2);
    assert!(finished.stderr.contains(&says), "{}", finished.stderr);
}

/// Folders, lists and single files, with and without labels.
#[test]
fn labels_are_folders_and_columns() {
    let place = Place::new(&[]);
    let png = fs::read(root().join("tests/fixtures/colour.png")).unwrap();
    let workplace = &place.workplace;
    for name in ["loose/a.png", "loose/deep/b.png", "test/7/c.png", "test/strange/d.png"] {
        workplace.write(&format!("photos/{name}"), &png);
    }
    workplace.write("photos/e 100%.png", &png);
    let list = "image,split,target\nphotos/loose/a.png,test,7\nphotos/e 100%.png,test,\n";
    let list = workplace.write("list.csv", list.as_bytes());
    let alone = workplace.path("photos/e 100%.png");
    let labels = |arguments: &[&Path], more: &[&str]| -> Vec<(String, Value)> {
        let more: Vec<&str> = ["--format=json"].into_iter().chain(more.iter().copied()).collect();
        let finished = finish(classify(&place.run, arguments, &more));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let prefix = format!("{}/", workplace.path("").display());
        let prefix = prefix.replace("//", "/");
        objects(&finished)
            .into_iter()
            .map(|object| {
                let file = object["file"].as_str().unwrap();
                (file.replacen(&prefix, "", 1), object["label"].clone())
            })
            .collect()
    };
    let some = |file: &str, label: &str| (file.to_owned(), Value::from(label));
    let none = |file: &str| (file.to_owned(), Value::Null);
    let photos = workplace.path("photos");
    let test = [some("photos/test/7/c.png", "7"), some("photos/test/strange/d.png", "strange")];
    let others = [
        none("photos/e 100%.png"),
        some("photos/loose/a.png", "loose"),
        some("photos/loose/deep/b.png", "loose"),
    ];
    assert_eq!(labels(&[&photos], &[]), [&test[..], &others[..]].concat());
    assert_eq!(labels(&[&photos], &["--split=test"]), [&test[..], &others[..]].concat());
    assert_eq!(labels(&[&list], &[]), [some("photos/loose/a.png", "7"), none("photos/e 100%.png")]);
    assert_eq!(
        labels(&[&alone, &alone], &[]),
        [none("photos/e 100%.png"), none("photos/e 100%.png")]
    );
    // Kaggle's digits, with and without labels.
    let digits = Digits::first("t10k", 3);
    let train = workplace.write("kaggle/train.csv", digits.csv(true).as_bytes());
    let test = workplace.write("kaggle/test.csv", digits.csv(false).as_bytes());
    let of = |name: &str, label: Option<usize>| -> Vec<(String, Value)> {
        let label =
            |row: usize| label.map_or(Value::Null, |_| Value::from(digits.labels[row].to_string()));
        (0..3).map(|row| (format!("kaggle/{name}.csv:{row}"), label(row))).collect()
    };
    assert_eq!(labels(&[&train], &[]), of("train", Some(0)));
    assert_eq!(labels(&[&test], &[]), of("test", None));
    assert_eq!(labels(&[&workplace.path("kaggle")], &["--split=test"]), of("test", None));
    // The numbers of a digit are the same from every form.
    let idx = finish(classify(
        &place.run,
        [workplace.path("digits")],
        &["--split=test", "--format=json"],
    ));
    let csv = finish(classify(&place.run, [&test], &["--format=json"]));
    for (a, b) in objects(&csv).iter().zip(objects(&idx)) {
        assert_eq!(a["probabilities"], b["probabilities"]);
    }
}

#[test]
fn every_form_of_output_has_the_same_numbers() {
    let place = Place::new(&[]);
    let digits = place.workplace.path("digits");
    let run = |flags: &[&str]| {
        let more: Vec<&str> = ["--split=test"].into_iter().chain(flags.iter().copied()).collect();
        let finished = finish(classify(&place.run, [&digits], &more));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished
    };
    let json = objects(&run(&["--format=json"]));
    let names = Run::open(&place.run).unwrap().class_names().unwrap();
    let csv = run(&["--format=csv"]).stdout;
    let mut lines = csv.lines();
    let header: Vec<String> = ["file", "label", "predicted"]
        .map(str::to_owned)
        .into_iter()
        .chain(names.iter().map(|name| format!("p_{name}")))
        .collect();
    assert_eq!(lines.next().unwrap(), header.join(","));
    let out = place.workplace.path("out/results.parquet");
    let flag = format!("--out={}", out.display());
    assert_eq!(run(&["--format=parquet", &flag]).stdout, "");
    let reader = SerializedFileReader::new(fs::File::open(&out).unwrap()).unwrap();
    let columns: Vec<String> = {
        let schema = reader.metadata().file_metadata().schema_descr();
        schema.columns().iter().map(|column| column.name().to_owned()).collect()
    };
    assert_eq!(columns, header);
    let mut rows = reader.get_row_iter(None).unwrap();
    for object in &json {
        let fields: Vec<&str> = lines.next().unwrap().split(',').collect();
        let row = rows.next().unwrap().unwrap();
        let expected = probabilities(object, &names);
        for (index, key) in ["file", "label", "predicted"].into_iter().enumerate() {
            assert_eq!(object[key], fields[index]);
            assert_eq!(object[key], row.get_string(index).unwrap().as_str());
        }
        for (class, &probability) in expected.iter().enumerate() {
            assert_eq!(fields[3 + class].parse::<f64>().unwrap(), probability);
            assert_eq!(row.get_double(3 + class).unwrap(), probability);
        }
    }
    assert!(lines.next().is_none() && rows.next().is_none());
    // The table has the three most probable classes.
    let table = run(&[]).stdout;
    assert_eq!(table.lines().count(), 2 + json.len());
    for (line, object) in table.lines().skip(2).zip(&json) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            (words[0], words[1]),
            (object["file"].as_str().unwrap(), object["predicted"].as_str().unwrap())
        );
        assert_eq!(words.len(), 1 + 3 * 3, "{line}");
    }
    let one = run(&["--top=1"]).stdout;
    assert_eq!(one.lines().last().unwrap().split_whitespace().count(), 1 + 3);
}

#[test]
fn a_sweep_averages_the_heads_of_its_chosen_setting() {
    let place = Place::new(&[]);
    let mut sweep = vgg_head(["sweep", "--p=0,0.5", "--seeds=3", "--epochs=2"]);
    sweep.arg("--features").arg(&place.cache).arg("--out").arg(place.workplace.path("sweeps"));
    let sweep = path_from(sweep);
    let runs = Sweep::open(&sweep).unwrap().chosen_runs().unwrap();
    assert_eq!(runs.len(), 3);
    let cache = Cache::open(&place.cache).unwrap();
    let rows: Vec<_> = runs.iter().map(|run| predicted(run, &cache, SplitName::Test)).collect();
    let mut command = vgg_classify(["run", "--split=test", "--format=json"]);
    command.arg("--weights").arg(weights()).arg("--sweep").arg(&sweep);
    let finished = finish({
        command.arg(place.workplace.path("digits"));
        command
    });
    let names = cache.manifest().class_names.clone();
    for (index, object) in objects(&finished).iter().enumerate() {
        let found = probabilities(object, &names);
        let heads: Vec<Vec<f64>> =
            rows.iter().map(|rows| softmax(&rows[&index.to_string()])).collect();
        for (class, &found) in found.iter().enumerate() {
            let mean = heads.iter().map(|head| head[class]).sum::<f64>() / 3.0;
            assert!((found - mean).abs() < 1e-15, "{found} {mean}");
        }
    }
    assert_eq!(objects(&finished).len(), 40);
}

#[test]
fn weights_are_those_that_the_head_was_trained_on_or_refused() {
    let place = Place::new(&[]);
    let image = root().join("tests/fixtures/colour.png");
    // Found by their digest, whatever their name, beside others.
    let found = place.workplace.path("found");
    let folder = found.join("artifacts/weights");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(weights(), folder.join("some-name.safetensors")).unwrap();
    fs::write(folder.join("broken.safetensors"), b"broken").unwrap();
    let run_in = |folder: &Path| {
        let mut command = vgg_classify(["run", "--threads=2", "--format=json"]);
        command.current_dir(folder).arg("--run").arg(&place.run).arg(&image);
        command
    };
    let named = finish(classify(&place.run, [&image], &["--format=json"]));
    assert_eq!(finish(run_in(&found)).stdout, named.stdout);
    let digest = place.model().recipe().weights.digest.to_string();
    let elsewhere = place.workplace.path("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let says = ["artifacts/weights", &digest, "import-weights", "--weights"];
    assert_refused(run_in(&elsewhere), BAD_INPUT, &says);
    // Other weights, made by a change of one number. Both digests are named.
    let known = Weights::read(&weights()).unwrap();
    let mut convolutions = known.convolutions().to_vec();
    convolutions[5].bias[0] += 1.0;
    let others = Weights::of(known.network(), known.family(), convolutions);
    let path = elsewhere.join("artifacts/weights/other.safetensors");
    others.write(&path).unwrap();
    let both = [digest.as_str(), &others.id().digest.to_string()];
    assert_refused(run_in(&elsewhere), BAD_INPUT, &both);
    let mut command = run_in(&elsewhere);
    command.arg("--weights").arg(&path);
    assert_refused(command, BAD_INPUT, &both);
    // Damaged weights.
    let other = place.workplace.path("other.safetensors");
    let mut bytes = fs::read(weights()).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header + 3] ^= 0x80;
    fs::write(&other, &bytes).unwrap();
    let mut command = vgg_classify(["run"]);
    command.arg("--run").arg(&place.run).arg("--weights").arg(&other).arg(&image);
    let refused = finish(command);
    assert_eq!(refused.code, Some(BAD_INPUT), "{refused:?}");
    assert!(refused.stderr.contains(&digest), "{}", refused.stderr);
}

#[test]
fn runs_that_do_not_say_how_an_image_becomes_features() {
    let place = Place::new(&[]);
    let image = root().join("tests/fixtures/colour.png");
    let config = place.run.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let change = |change: &dyn Fn(&mut Value)| {
        let mut json: Value = serde_json::from_str(&text).unwrap();
        change(&mut json);
        fs::write(&config, json.to_string()).unwrap();
    };
    let command = || classify(&place.run, [&image], &[]);
    // Formats before 1.4.
    change(&|json| json["recipe"] = Value::Null);
    assert_refused(
        command(),
        BAD_INPUT,
        &["did not record how", "just extract", "just train-head"],
    );
    change(&|json| json["recipe"]["image"]["fit"] = "sideways".into());
    assert_refused(command(), BAD_INPUT, &["its recipe is not one", "sideways"]);
    change(&|json| json["taps"] = serde_json::json!(["pool3"]));
    assert_refused(command(), BAD_INPUT, &["the tap pool3", "does not have"]);
    change(&|json| json["recipe"]["network"] = "vgg99".into());
    assert_refused(command(), BAD_INPUT, &["vgg99"]);
    change(&|json| json["recipe"]["numerics"] = "winograd0-fast".into());
    assert_refused(command(), BAD_INPUT, &["winograd0-fast"]);
    // A head of other classes or sizes than its run says.
    change(&|json| drop(json["class_names"].as_array_mut().unwrap().pop()));
    assert_refused(command(), BAD_INPUT, &["10 outputs", "9"]);
    change(&|json| json["shape"]["classes"] = 9.into());
    assert_refused(command(), BAD_INPUT, &["fc3.weight", "shape"]);
    change(&|json| json["recipe"]["image"]["height"] = 64.into());
    assert_refused(command(), BAD_INPUT, &["takes rows of 512 numbers", "1024"]);
    // A run of format 1.4 has no names of classes: they are those of its features.
    change(&|json| drop(json.as_object_mut().unwrap().remove("class_names")));
    assert_eq!(finish(command()).code, Some(0));
    // The command that trained it adds them.
    let trained = path_from(place.workplace.train(&place.cache, &["--epochs=3"]));
    assert_eq!(trained, place.run);
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    change(&|json| drop(json.as_object_mut().unwrap().remove("class_names")));
    fs::rename(&place.cache, place.workplace.path("moved")).unwrap();
    assert_refused(command(), BAD_INPUT, &["names of its classes", "vgg-head train"]);
}

/// Beside a list's text and the paths in it, an image takes no memory once it is classified.
#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_depend_on_the_number_of_images() {
    let place = Place::new(&[]);
    let image = root().join("tests/fixtures/colour.png");
    let of = |count: usize| {
        let text = format!("path\n{}", format!("{}\n", image.display()).repeat(count));
        let list = place.workplace.write(&format!("{count}.csv"), text.as_bytes());
        peak_of(&classify(&place.run, [&list], &["--format=csv", "--batch-size=64"]))
    };
    let (few, many) = (of(200), of(4000));
    // A decoded image has 4 KB, its features 8 KB.
    let per_image = (many - few) / 3800.0;
    assert!(per_image < 1024.0, "{per_image} bytes for each further image");
}

#[test]
fn wrong_flags() {
    let place = Place::new(&[]);
    let image = root().join("tests/fixtures/colour.png");
    for (flags, says) in [
        (&["--format=xml"][..], "xml"),
        (&["--top=0"], "0"),
        (&["--split=all"], "all"),
        (&["--model=m.safetensors"], "--model"),
        (&["--top=2", "--format=csv"], "--top applies to --format=table only"),
        (&["--split=test"], "--split=test: none of these is a dataset with parts"),
    ] {
        assert_refused(classify(&place.run, [&image], flags), USAGE, &[says]);
    }
    assert_refused(classify::<&Path>(&place.run, [], &[]), USAGE, &["IMAGE"]);
    let empty = place.workplace.path("empty");
    fs::create_dir(&empty).unwrap();
    assert_refused(classify(&place.run, [&empty], &[]), BAD_INPUT, &["empty", "no images"]);
    let list = place.workplace.write("names.csv", b"name,colour\na,red\n");
    assert_refused(
        classify(&place.run, [&list], &[]),
        BAD_INPUT,
        &["names.csv", "name, colour", "path"],
    );
    // A target that cannot be written is seen before anything is computed, and nothing is left there.
    let out = format!("--out={}", image.join("results.csv").display());
    let finished = finish(classify(&place.run, [&image], &["--format=csv", &out]));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("colour.png"), "{}", finished.stderr);
}
