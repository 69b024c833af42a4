//! Inspections name everything that would stop an extraction, and write nothing.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::Path;

use end_to_end::forms::{self, pgm, samples};
use end_to_end::{BAD_INPUT, Workplace, damaged_inside, finish, vgg_extract};
use serde_json::Value;

/// What an inspection finds, which must not be a whole dataset.
fn inspected(workplace: &Workplace, dataset: &str, more: &[&str]) -> (Value, Vec<String>) {
    let mut inspect = vgg_extract(["inspect-dataset", "--json"]);
    inspect.arg(workplace.path(dataset)).arg("--out").arg(workplace.path("features")).args(more);
    let finished = finish(inspect);
    assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
    assert!(!workplace.path("features").exists(), "nothing is written");
    let json: Value = serde_json::from_str(&finished.stdout).unwrap();
    let stops = serde_json::from_value(json["stops"].clone()).unwrap();
    (json, stops)
}

/// Every file that cannot be read, with the images that cannot be decoded.
#[test]
#[cfg(target_os = "linux")]
fn every_file_that_cannot_be_read_is_listed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let workplace = Workplace::empty();
    let labels: Vec<u8> = (0..12).map(|number| number % 2).collect();
    forms::write(&workplace, "class-folders", "set", &samples(&labels, &[0, 1]));
    // A file that can be opened, and gives an I/O error when it is read.
    let mut names = vec!["train/0/000.pgm", "train/1/003.pgm", "test/0/012.pgm"];
    for name in &names {
        fs::remove_file(workplace.path(&format!("set/{name}"))).unwrap();
        symlink("/proc/self/mem", workplace.path(&format!("set/{name}"))).unwrap();
    }
    // One that may not be opened, unless by an administrator.
    let denied = workplace.path("set/train/0/004.pgm");
    fs::set_permissions(&denied, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::File::open(&denied).is_err() {
        names.push("train/0/004.pgm");
    }
    workplace.write("set/train/1/005.pgm", &damaged_inside(1));
    workplace.write("set/train/0/006.pgm", b"");
    let (json, stops) = inspected(&workplace, "set", &[]);
    for name in &names {
        let of_name: Vec<&String> = stops.iter().filter(|stop| stop.contains(name)).collect();
        assert_eq!(of_name.len(), 1, "{name}: {stops:?}");
        assert!(of_name[0].starts_with("could not read "), "{name}: {stops:?}");
        assert!(of_name[0].contains("os error"), "{name}: {stops:?}");
    }
    assert!(stops.iter().any(|stop| stop.contains("train/1/005.pgm cannot be decoded")));
    assert!(stops.iter().any(|stop| stop.contains("train/0/006.pgm is empty")));
    assert_eq!(stops.len(), names.len() + 2, "{stops:?}");
    let unreadable = |split: &str| json["splits"][split]["unreadable"].as_u64().unwrap();
    assert_eq!(
        unreadable("train") + unreadable("val") + unreadable("test"),
        names.len() as u64 + 2
    );
    // Of a form whose images have no files of their own.
    forms::write(&workplace, "idx", "digits", &samples(&labels, &[0, 1]));
    let names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"];
    for name in names {
        fs::remove_file(workplace.path(&format!("digits/{name}"))).unwrap();
        symlink("/proc/self/mem", workplace.path(&format!("digits/{name}"))).unwrap();
    }
    let (_, stops) = inspected(&workplace, "digits", &[]);
    assert_eq!(stops.len(), 3, "{stops:?}");
    for (stop, name) in stops.iter().zip(names) {
        assert!(stop.contains(name) && stop.contains("Input/output error"), "{stop}");
    }
}

/// What is wrong with the classes, with the split and with images is said at once.
#[test]
fn all_problems_are_listed_together() {
    let workplace = Workplace::empty();
    forms::write(&workplace, "class-folders", "set", &samples(&[7], &[]));
    workplace.write("set/train/7/bad.pgm", b"");
    let (json, stops) = inspected(&workplace, "set", &["--val-fraction=0.01"]);
    let [classes, split, image] = &stops[..] else { panic!("{stops:?}") };
    assert!(classes.contains("set are of one class, '7'"), "{classes}");
    assert!(split.contains("--val-fraction 0.01 takes none of the 2 training images"), "{split}");
    assert!(image.contains("bad.pgm is empty"), "{image}");
    assert_eq!(json["splits"]["train"]["images"], 2);
    forms::write(&workplace, "arrays", "arrays", &samples(&[3, 3], &[3, 1, 2]));
    let (json, stops) = inspected(&workplace, "arrays", &["--val-fraction=0"]);
    let [one, untrained] = &stops[..] else { panic!("{stops:?}") };
    assert!(one.contains("are of one class, '3'"), "{one}");
    let says = "test has 2 images of 2 classes without training images: 1, 2 (the first is 1)";
    assert!(untrained.contains(says), "{untrained}");
    assert_eq!(json["splits"]["test"]["images"], 3);
}

/// All files of many images that are damaged are named at once, by an inspection and by an extraction.
#[test]
fn every_damaged_archive_is_named() {
    let workplace = Workplace::empty();
    for (form, ending, whole, says) in [
        ("webdataset", "tar", "train-0.tar", "a whole archive"),
        ("parquet", "parquet", "train.parquet", "is not a whole Parquet file"),
    ] {
        forms::write(&workplace, form, form, &samples(&[0, 1, 0, 1], &[]));
        let whole = fs::read(workplace.path(&format!("{form}/{whole}"))).unwrap();
        for number in [1, 2, 3] {
            let bytes = if number == 2 { &whole } else { &whole[..whole.len() / 2] };
            workplace.write(&format!("{form}/train-more-{number}.{ending}"), bytes);
        }
        let (json, stops) = inspected(&workplace, form, &[]);
        // The whole ones are looked at.
        assert_eq!(json["splits"]["train"]["unreadable"], 0);
        let finished = finish(workplace.run(form, &[]));
        assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
        assert!(finished.stderr.contains("the dataset has 2 faults"), "{finished:?}");
        let lines = finished.stderr.lines().filter(|line| line.starts_with("  "));
        for lines in [stops, lines.map(str::to_owned).collect()] {
            let [first, third] = &lines[..] else { panic!("{lines:?}") };
            for (line, number) in [(first, 1), (third, 3)] {
                assert!(line.contains(&format!("train-more-{number}.{ending}")), "{line}");
                assert!(line.contains(says), "{line}");
            }
        }
        assert!(!workplace.path("features").exists(), "nothing is written");
    }
}

/// Every wrong row is named at once, with every image of the others that cannot be read, by an inspection; and every
/// wrong row by an extraction.
#[test]
fn every_wrong_row_is_named() {
    let workplace = Workplace::empty();
    for (name, image) in ["a", "b", "c", "d"].into_iter().zip([1, 2, 3, 4]) {
        workplace.write(&format!("list/{name}.pgm"), &pgm(image));
    }
    workplace.write("list/bad.pgm", b"");
    let rows = "path,label,split\na.pgm,x,train\nb.pgm,y,train\nbad.pgm,x,train\nc.pgm,,train\n\
                ../d.pgm,x,train\nb.pgm,y,train\nd.pgm,z,test\na.pgm,x\nc.pgm,x,somewhere\n";
    workplace.write("list/list.csv", rows.as_bytes());
    let wrong = [
        "line 5, column 'label'",
        "line 6, column 'path': found '../d.pgm'",
        "line 7: b.pgm is listed already, in line 3",
        "line 9 has 2 fields, expected 3",
        "line 10, column 'split': found 'somewhere'",
        "line 8, column 'label': found 'z'",
    ];
    every_line_is_named(&workplace, "list", &wrong, &["bad.pgm is empty"]);
    // Class folders.
    for name in
        ["train/x/a.pgm", "train/y/b.pgm", "train/stray.pgm", "test/z/c.pgm", "test/w/d.pgm"]
    {
        workplace.write(&format!("folders/{name}"), &pgm(name.len()));
    }
    workplace.write("folders/train/x/bad.pgm", b"");
    workplace.write("folders/train/empty/notes.txt", b"");
    let wrong = [
        "stray.pgm is not in a class folder",
        "the class folder",
        "test/w is a class that",
        "test/z is a class that",
    ];
    every_line_is_named(&workplace, "folders", &wrong, &["bad.pgm is empty"]);
    // Kaggle's digits.
    let mut digits = String::from("label,pixel0,pixel1,pixel2,pixel3\n");
    digits.push_str("0,1,2,3,4\n1,1,2,3,256\n1,1,2,3\n0,x,2,3,4\n1,1,2,3,4\n");
    workplace.write("digits/train.csv", digits.as_bytes());
    let wrong = ["line 3, column 'pixel3'", "line 4 has 4 fields", "line 5, column 'pixel0'"];
    every_line_is_named(&workplace, "digits", &wrong, &[]);
}

fn every_line_is_named(workplace: &Workplace, dataset: &str, wrong: &[&str], bad: &[&str]) {
    let (_, stops) = inspected(workplace, dataset, &["--val-fraction=0"]);
    assert_eq!(stops.len(), wrong.len() + bad.len(), "{stops:?}");
    for (stop, says) in stops.iter().zip(wrong.iter().chain(bad)) {
        assert!(stop.contains(says), "{says}: {stop}");
    }
    let finished = finish(workplace.run(dataset, &["--val-fraction=0"]));
    assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
    let lines: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(lines.len(), wrong.len(), "{finished:?}");
    for (line, says) in lines.iter().zip(wrong) {
        assert!(line.contains(says), "{says}: {line}");
    }
}

/// The modes in which files store their pixels, by PIL's distinctions.
#[test]
fn modes_are_counted() {
    let workplace = Workplace::empty();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/dataset/tests/corpus");
    let files = [
        ("bmp/1-bits.bmp", "1-bit palette"),
        ("bmp/32-bits-masks-8888-v4.bmp", "RGB with alpha"),
        ("gif/palette-of-64.gif", "palette"),
        ("jpeg/cmyk.jpg", "CMYK"),
        ("jpeg/gray.jpg", "gray"),
        ("jpeg/quality-95.jpg", "RGB"),
        ("png/gray-16-bits.png", "16-bit gray"),
        ("png/gray-alpha.png", "gray with alpha"),
        ("png/palette-4-bits.png", "4-bit palette"),
        ("png/rgba-16-bits.png", "16-bit RGB with alpha"),
        ("tiff/gray-1-bits.tif", "1-bit gray"),
        ("tiff/rgb-16-bits-ii.tif", "16-bit RGB"),
    ];
    for (file, _) in files {
        let bytes = fs::read(corpus.join(file)).unwrap();
        for class in ["a", "b"] {
            workplace.write(&format!("set/{class}/{}", file.replace('/', "-")), &bytes);
        }
    }
    let mut inspect = vgg_extract(["inspect-dataset", "--json", "--val-fraction=0"]);
    inspect.arg(workplace.path("set")).arg("--out").arg(workplace.path("features"));
    let finished = finish(inspect);
    let json: Value = serde_json::from_str(&finished.stdout).unwrap();
    for (_, mode) in files {
        assert_eq!(json["splits"]["train"]["modes"][mode], 2, "{mode}: {json}");
    }
}

/// A class of which no image can be in validation as well as in training.
#[test]
fn a_class_with_one_image_is_refused_where_a_split_is_taken() {
    let workplace = Workplace::empty();
    forms::write(&workplace, "class-folders", "set", &samples(&[0, 1, 0, 1, 0, 1, 0, 1, 2], &[]));
    let finished = finish(workplace.run_strictly("set", &[]));
    assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
    let says = "1 class with a single training image: 2 (the first is train/2/008.pgm), none of which --val-fraction can";
    assert!(finished.stderr.contains(says), "{finished:?}");
    // Digests are remembered, so that files are not read again.
    fs::remove_dir_all(workplace.path("features/.file-digests")).unwrap();
    fs::remove_dir(workplace.path("features")).expect("nothing else is written");
    let (_, stops) = inspected(&workplace, "set", &[]);
    assert!(stops.len() == 1 && stops[0].contains(says), "{stops:?}");
    for allowed in ["--val-fraction=0", "--allow-single-images"] {
        let mut inspect = vgg_extract(["inspect-dataset", allowed]);
        inspect.arg(workplace.path("set")).arg("--out").arg(workplace.path("features"));
        assert_eq!(finish(inspect).code, Some(0), "{allowed}");
    }
}
