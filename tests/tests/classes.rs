//! The classes that a dataset must have, whatever its form: two or more, and each of them in training.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;

use end_to_end::forms::{self, samples};
use end_to_end::{BAD_INPUT, Workplace, assert_refused, caches_in, finish, path_from, vgg_extract};
use feature_cache::{Cache, SplitName};

/// All forms in which a training split may have labels.
const FORMS: [&str; 9] = [
    "idx",
    "kaggle",
    "competition",
    "image-folder",
    "parquet",
    "image-list",
    "arrays",
    "webdataset",
    "class-folders",
];

/// What the inspection of a dataset says would stop an extraction.
fn stops(workplace: &Workplace, dataset: &str, form: &str) -> Vec<String> {
    let mut inspect = vgg_extract(["inspect-dataset", "--json", "--val-fraction=0.25"]);
    inspect.arg(workplace.path(dataset)).arg("--out").arg(workplace.path("features"));
    let finished = finish(inspect);
    let json: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(json["form"], form);
    let stops: Vec<String> = serde_json::from_value(json["stops"].clone()).unwrap();
    assert_eq!(finished.code, Some(if stops.is_empty() { 0 } else { BAD_INPUT }), "{finished:?}");
    stops
}

#[test]
fn one_class_only_is_refused_in_every_form() {
    for form in FORMS {
        let workplace = Workplace::empty();
        let set = forms::write(&workplace, form, "set", &samples(&[1; 8], &[1, 1]));
        let says =
            ["all training images of ", "set are of one class, '1'; a head needs two", "add"];
        for more in [&["--val-fraction=0.25"][..], &["--val-fraction=0"], &["--limit=3"]] {
            assert_refused(workplace.run(&set, more), BAD_INPUT, &says);
            assert!(caches_in(&workplace.path("features")).is_empty(), "{form}");
        }
        let stops = stops(&workplace, &set, form);
        assert_eq!(stops.len(), 1, "{form}: {stops:?}");
        assert!(says.iter().all(|text| stops[0].contains(text)), "{form}: {stops:?}");
    }
}

/// Where a limit would leave one class, the limit is named.
#[test]
fn a_limit_below_the_number_of_classes_is_refused_in_every_form() {
    for form in FORMS {
        let workplace = Workplace::empty();
        let set = forms::write(&workplace, form, "set", &samples(&[0, 1, 0, 1, 0, 1], &[1, 0]));
        let flags = ["--val-fraction=0.25", "--limit=1"];
        let says = ["--limit 1 is too small for ", "set: ", "give --limit 2 or more"];
        assert_refused(workplace.run(&set, &flags), BAD_INPUT, &says);
        assert!(caches_in(&workplace.path("features")).is_empty(), "{form}");
        assert_eq!(stops(&workplace, &set, form), [""; 0], "{form}");
    }
}

#[test]
fn a_class_that_is_only_in_test_is_refused_in_every_form() {
    for form in FORMS {
        let workplace = Workplace::empty();
        let set = forms::write(&workplace, form, "set", &samples(&[0, 1, 0, 1], &[1, 2, 0, 2]));
        let says: &[&str] = match form {
            "idx" | "kaggle" | "arrays" => {
                &["set: test has 2 images of 1 class without training images: 2 (the first is 1)"]
            }
            "parquet" => &["set: test has 2 images of 1 class", "2 (the first is test.parquet/1)"],
            "webdataset" => {
                &["test-0.tar: the member '005.pgm' has the label '2'", "training image"]
            }
            "class-folders" => &["set/test/2 is a class that", "train lacks"],
            _ => &[".csv: line 7, column 'label': found '2', expected the label of a training row"],
        };
        for more in [&["--val-fraction=0.25"][..], &["--val-fraction=0", "--limit=2"]] {
            assert_refused(workplace.run(&set, more), BAD_INPUT, says);
            assert!(caches_in(&workplace.path("features")).is_empty(), "{form}");
        }
        let stops = stops(&workplace, &set, form);
        assert!(stops[0].contains(says[0]), "{form}: {stops:?}");
    }
}

/// Files of each form are found whether their names are in upper or lower case.
#[test]
fn names_in_capitals_are_found_in_every_form() {
    for form in FORMS {
        let workplace = Workplace::empty();
        let all = samples(&[0, 1, 0, 1, 0, 1, 0, 1], &[1, 0]);
        let small = forms::write(&workplace, form, "small", &all);
        let large = forms::write(&workplace, form, "large", &all);
        let mut names = Vec::new();
        for file in end_to_end::files_in(&workplace.path(&large)) {
            // Not the images that a list names.
            let name = file.file_name().unwrap().to_str().unwrap();
            if form == "class-folders" || !name.ends_with(".pgm") {
                let capitals = name.to_uppercase();
                fs::rename(&file, file.with_file_name(&capitals)).unwrap();
                names.push(capitals);
            }
        }
        assert!(!names.is_empty());
        assert_eq!(stops(&workplace, &large, form), [""; 0], "{form}: {names:?}");
        let [small, large] = [small, large].map(|set| {
            Cache::open(&path_from(workplace.run(&set, &["--val-fraction=0.25"]))).unwrap()
        });
        for split in SplitName::ALL {
            let labels = |cache: &Cache| cache.split(split).unwrap().labels_required().unwrap();
            assert_eq!(labels(&small), labels(&large), "{form}");
        }
    }
}

/// Which forms are lists, whose images may lie elsewhere.
#[test]
fn a_folder_of_images_is_refused_where_it_does_not_apply() {
    for form in FORMS {
        let workplace = Workplace::empty();
        let set = forms::write(&workplace, form, "set", &samples(&[0, 1, 0, 1], &[1, 0]));
        let images = format!("--images={}", workplace.path("set").display());
        let flags = [images.as_str(), "--val-fraction=0"];
        if matches!(form, "image-list" | "image-folder") {
            path_from(workplace.run(&set, &flags));
        } else {
            let read_as =
                format!("is read as {form}, whose images are not looked for in --images ");
            let says = ["set ", &read_as, "omit --images"];
            assert_refused(workplace.run(&set, &flags), BAD_INPUT, &says);
            let mut inspect = vgg_extract(["inspect-dataset", &images]);
            inspect.arg(workplace.path(&set));
            assert_refused(inspect, BAD_INPUT, &says);
        }
        let nowhere = format!("--images={}", workplace.path("nowhere").display());
        let says = ["--images ", "nowhere is not a folder"];
        assert_refused(workplace.run(&set, &[&nowhere]), BAD_INPUT, &says);
        assert!(
            form == "image-list"
                || form == "image-folder"
                || caches_in(&workplace.path("features")).is_empty()
        );
    }
}
