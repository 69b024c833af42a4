//! Images that cannot be read: named before anything is computed, or left out so that what is there is, byte for byte,
//! what the same dataset without them gives.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use end_to_end::{
    BAD_INPUT, Digits, Finished, INCOMPLETE, Workplace, assert_refused, caches_in, damaged_inside,
    files_in, finish, forms, path_from, root, vgg_extract, vgg_head,
};
use feature_cache::{Cache, Manifest, SplitName};
use image::GrayImage;

/// Whole images of the corpus.
fn picture(name: &str) -> Vec<u8> {
    fs::read(root().join("crates/dataset/tests/corpus").join(name)).unwrap()
}

/// Writes digits as `FOLDER/CLASS/NUMBER.png`; the paths within the folder.
fn write_digits(workplace: &Workplace, folder: &str, digits: &Digits) -> Vec<String> {
    let images = digits.pixels.chunks(784).zip(&digits.labels).enumerate();
    let write = |(number, (pixels, label)): (usize, (&[u8], &u8))| {
        let name = format!("{}/{number:03}.png", label % 3);
        let path = workplace.write(&format!("{folder}/{name}"), b"");
        GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap().save(path).unwrap();
        name
    };
    images.map(write).collect()
}

/// Images that a look at their ends finds to be bad, and one that is only found when it is decoded.
fn early() -> Vec<Vec<u8>> {
    let png = picture("../orientation/1.png");
    vec![Vec::new(), png[..png.len() / 2].to_vec()]
}

fn late() -> Vec<Vec<u8>> {
    (0..2).map(damaged_inside).collect()
}

/// A dataset in `photos/` with these bad images among 60 good ones, and the same without them in `good/`. The names of
/// the bad ones, in byte order.
fn dataset(workplace: &Workplace, bad: &[Vec<u8>]) -> Vec<String> {
    let digits = Digits::first("train", 60);
    for folder in ["photos/train", "good/train"] {
        write_digits(workplace, folder, &digits);
    }
    let test = Digits::first("t10k", 9);
    for folder in ["photos/test", "good/test"] {
        write_digits(workplace, folder, &test);
    }
    let mut names = Vec::new();
    for (number, bytes) in bad.iter().enumerate() {
        // Before the first one, among the others, and in another split.
        let name =
            ["train/0/00.png", "train/1/0300.png", "test/2/000.png", "train/2/9.png"][number];
        workplace.write(&format!("photos/{name}"), bytes);
        names.push(name.to_owned());
    }
    names.sort();
    names
}

fn manifest(cache: &Path) -> Manifest {
    Cache::open(cache).unwrap().manifest().clone()
}

/// The content of all files but the manifest and the list of skipped images.
fn contents(cache: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = files_in(cache);
    files.retain(|path| !path.ends_with("manifest.json") && !path.ends_with("skipped.csv"));
    files.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path.strip_prefix(cache).unwrap().to_path_buf(), bytes)
    };
    files.into_iter().map(read).collect()
}

/// The end of an extraction that leaves images out: its cache.
fn incomplete(finished: &Finished) -> PathBuf {
    assert_eq!(finished.code, Some(INCOMPLETE), "{finished:?}");
    PathBuf::from(finished.stdout.lines().last().unwrap())
}

#[test]
fn all_bad_images_are_named_before_anything_is_computed() {
    let workplace = Workplace::empty();
    let jpeg = picture("jpeg/quality-95.jpg");
    let progressive = picture("jpeg/progressive.jpg");
    for (number, class) in ["cat", "dog", "cat", "dog"].into_iter().enumerate() {
        workplace.write(&format!("photos/{class}/{number}.jpg"), &jpeg);
    }
    // A PNG is read whatever it is called, and what is missing after all rows are there is not missed.
    workplace.write("photos/cat/png.jpg", &picture("../orientation/1.png"));
    workplace.write("photos/cat/no-end.jpg", &jpeg[..jpeg.len() - 2]);
    let cache = path_from(workplace.run("photos", &["--val-fraction=0"]));
    assert_eq!(manifest(&cache).splits[&SplitName::Train].rows, 6);
    fs::remove_dir_all(workplace.path("features")).unwrap();

    workplace.write("photos/cat/empty.jpg", b"");
    workplace.write("photos/cat/text.jpg", b"a text, not an image");
    workplace.write("photos/dog/cut.jpg", &progressive[..progressive.len() / 2]);
    let png = picture("../orientation/1.png");
    workplace.write("photos/dog/cut.png", &png[..png.len() - 20]);
    workplace.write("photos/dog/bomb.pgm", b"P5 70000 70000 255\n");
    let says = [
        "5 of 11 images in",
        "photos cannot be read; replace or remove them, or give --on-error=skip",
        "image 2 of train: ",
        "photos/cat/empty.jpg is empty",
        "photos/cat/text.jpg begins with 'a text, not ",
        "photos/dog/cut.jpg cannot be decoded; it may be truncated",
        "photos/dog/cut.png cannot be decoded",
        "photos/dog/bomb.pgm has 70000x70000 pixels",
    ];
    for _ in 0..2 {
        assert_refused(workplace.run("photos", &[]), BAD_INPUT, &says);
        assert!(caches_in(&workplace.path("features")).is_empty());
    }
    let finished = finish(workplace.run("photos", &["--on-error=skip"]));
    assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
    let said = "5 of 11 images in";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
    assert!(finished.stderr.contains("more than --max-skipped=0.01 allows"), "{finished:?}");
    assert!(caches_in(&workplace.path("features")).is_empty());
    let mut inspect = vgg_extract(["inspect-dataset", "--json"]);
    inspect.arg(workplace.path("photos"));
    let finished = finish(inspect);
    assert_eq!(finished.code, Some(BAD_INPUT));
    let found: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(found["stops"].as_array().unwrap().len(), 5, "{found}");
}

/// Bad images at any place, found early or late.
#[test]
fn what_is_left_is_what_the_dataset_without_bad_images_gives() {
    for (bad, is_late) in [
        (early(), false),
        (late(), true),
        ([early(), late()].concat(), true),
        ([late(), early()].concat(), true),
    ] {
        let workplace = Workplace::empty();
        let names = dataset(&workplace, &bad);
        let skip = ["--on-error=skip", "--max-skipped=0.1", "--batch-size=8"];
        let first = finish(workplace.run("photos", &skip));
        let cache = incomplete(&first);
        let good = path_from(workplace.run_apart("good", &[]));
        assert!(contents(&cache) == contents(&good), "{}", first.stderr);

        // They are listed, in words and for programs.
        let manifest = manifest(&cache);
        let skipped: Vec<&str> =
            manifest.skipped_images().iter().map(|skipped| &*skipped.id).collect();
        let mut expected = names.clone();
        // The parts follow each other.
        expected.sort_by_key(|name| name.starts_with("test"));
        assert_eq!(skipped, expected);
        let table = fs::read_to_string(cache.join("skipped.csv")).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!((lines.len(), lines[0]), (names.len() + 1, "split,id,reason"));
        for (line, name) in lines[1..].iter().zip(&expected) {
            let (split, _) = name.split_once('/').unwrap();
            assert!(line.starts_with(&format!("{split},{name},")), "{line}");
        }
        let said = format!("{} images left out that cannot be read: ", names.len());
        assert!(first.stderr.contains(&said), "{}", first.stderr);
        assert_eq!(first.stderr.contains("it is left out"), is_late, "{}", first.stderr);
        // No work was lost: each row was computed once.
        let taken = first.stderr.contains("rows taken from");
        assert!(!taken || is_late, "{}", first.stderr);
        let images = first.stderr.lines().rev().find(|line| line.contains(" images in ")).unwrap();
        assert!(images.split_whitespace().next().unwrap().parse::<usize>().unwrap() <= 69);
        // The plan with the bad images is gone.
        assert_eq!(caches_in(&workplace.path("features")), std::slice::from_ref(&cache));

        // Given again, the command finds the cache, and says what it lacks.
        let again = finish(workplace.run("photos", &skip));
        assert_eq!(incomplete(&again), cache);
        assert!(again.stderr.contains("nothing to do") && again.stderr.contains(&said));
        // So it does with nothing remembered.
        fs::remove_dir_all(workplace.path("features/.file-digests")).unwrap();
        let again = finish(workplace.run("photos", &skip));
        assert_eq!(incomplete(&again), cache);
        assert_eq!(caches_in(&workplace.path("features")), std::slice::from_ref(&cache));
        // Who does not allow it is refused, with the list.
        let stop = finish(workplace.run("photos", &[]));
        assert_eq!(stop.code, Some(BAD_INPUT), "{stop:?}");
        for name in &names {
            assert!(stop.stderr.contains(&format!("photos/{name} ")), "{name}: {}", stop.stderr);
        }
        let says = ["cannot be read, more than --max-skipped=0.01 allows"];
        assert_refused(workplace.run("photos", &["--on-error=skip"]), BAD_INPUT, &says);
        assert_eq!(caches_in(&workplace.path("features")), std::slice::from_ref(&cache));

        let mut verify = vgg_extract(["verify"]);
        verify.arg("--features").arg(&cache);
        assert_eq!(finish(verify).code, Some(0));
        let mut inspect = vgg_extract(["inspect"]);
        inspect.arg("--features").arg(&cache);
        let said = format!("skipped   {} images (skipped.csv)", names.len());
        assert!(finish(inspect).stdout.contains(&said));
        // In the other layout, they are still listed.
        let mut convert = vgg_extract(["convert", "--layout=csr"]);
        convert.arg(&cache);
        assert_eq!(self::manifest(&path_from(convert)).skipped, manifest.skipped);
    }
}

#[test]
fn a_full_scan_finds_what_the_ends_do_not_show() {
    let workplace = Workplace::empty();
    let names = dataset(&workplace, &late());
    let says = ["2 of 71 images in", &names[0], &names[1], "cannot be decoded"];
    assert_refused(workplace.run("photos", &["--scan=full"]), BAD_INPUT, &says);
    assert!(caches_in(&workplace.path("features")).is_empty());
    // Those that the ends show are named with the others.
    workplace.write("photos/test/1/empty.png", b"");
    let says = ["3 of 72 images in", &names[0], &names[1], "empty.png is empty"];
    assert_refused(workplace.run_apart("photos", &["--scan=full"]), BAD_INPUT, &says);
    fs::remove_file(workplace.path("photos/test/1/empty.png")).unwrap();
    let skip = ["--scan=full", "--on-error=skip", "--max-skipped=0.1"];
    let finished = finish(workplace.run("photos", &skip));
    let cache = incomplete(&finished);
    assert!(!finished.stderr.contains("it is left out"), "{}", finished.stderr);
    let good = path_from(workplace.run_apart("good", &[]));
    assert!(contents(&cache) == contents(&good));
    // Of a limited extraction, the images that it needs are decoded.
    let limited = ["--scan=full", "--on-error=skip", "--max-skipped=0.1", "--limit=6"];
    let finished = finish(workplace.run("photos", &limited));
    assert!(matches!(finished.code, Some(0 | INCOMPLETE)), "{finished:?}");
    // Whole datasets are as before.
    let full = path_from(workplace.run_apart("good", &["--scan=full", "--on-error=skip"]));
    assert!(contents(&full) == contents(&good) && manifest(&full) == manifest(&good));
}

/// With a limit, the images that are taken do not depend on what earlier extractions found.
#[test]
fn a_limited_extraction_takes_the_same_images_whatever_is_remembered() {
    let workplace = Workplace::empty();
    dataset(&workplace, &late());
    let skip = ["--on-error=skip", "--max-skipped=0.1"];
    let limited = |seed: u64, out: &str| {
        let flags = ["--limit=6".to_owned(), format!("--seed={seed}")];
        let out = format!("--out={}", workplace.path(out).display());
        let words: Vec<&str> =
            skip.iter().copied().chain(flags.iter().map(String::as_str)).collect();
        let mut command = workplace.run("photos", &words);
        command.arg(out);
        finish(command)
    };
    let all = finish(workplace.run("photos", &skip));
    incomplete(&all);
    let (mut with, mut without) = (0, 0);
    for seed in 0..5 {
        let remembering = limited(seed, "features");
        let anew = limited(seed, &format!("elsewhere-{seed}"));
        assert_eq!(remembering.code, anew.code, "{remembering:?} {anew:?}");
        let folder = |finished: &Finished| PathBuf::from(finished.stdout.lines().last().unwrap());
        let [cache, other] = [&remembering, &anew].map(folder);
        assert_eq!(cache.file_name(), other.file_name());
        assert!(contents(&cache) == contents(&other), "seed {seed}");
        match remembering.code {
            Some(INCOMPLETE) => with += 1,
            _ => without += 1,
        }
    }
    assert!(with > 0 && without > 0, "both occur: {with}, {without}");
}

#[test]
fn a_class_or_a_split_without_any_image_that_can_be_read_is_refused() {
    let workplace = Workplace::empty();
    dataset(&workplace, &[]);
    workplace.write("photos/train/rare/1.png", b"");
    let skip = |more: &[&str]| {
        workplace.run("photos", &[&["--on-error=skip", "--max-skipped=0.5"], more].concat())
    };
    let says = ["no image of the class 'rare' can be read"];
    assert_refused(skip(&[]), BAD_INPUT, &says);
    fs::remove_dir_all(workplace.path("photos/train/rare")).unwrap();
    for path in files_in(&workplace.path("photos/test")) {
        fs::write(path, b"").unwrap();
    }
    assert_refused(skip(&[]), BAD_INPUT, &["no image of the split test can be read"]);
    assert!(caches_in(&workplace.path("features")).is_empty());
}

/// A file that the system cannot read is no bad image, nor is a link to nowhere in a folder.
#[test]
#[cfg(target_os = "linux")]
fn what_is_wrong_with_the_system_is_never_left_out() {
    use std::os::unix::fs::symlink;
    let workplace = Workplace::empty();
    dataset(&workplace, &[]);
    let skip = ["--on-error=skip", "--max-skipped=0.5"];
    let link = workplace.path("photos/train/0/link.png");
    symlink("nowhere.png", &link).unwrap();
    assert_refused(workplace.run("photos", &skip), BAD_INPUT, &["link.png is a symbolic link"]);
    // A file that can be opened, and gives an I/O error when it is read.
    fs::remove_file(&link).unwrap();
    symlink("/proc/self/mem", &link).unwrap();
    let says = ["could not read ", "photos/train/0/link.png", "Input/output error"];
    assert_refused(workplace.run("photos", &skip), BAD_INPUT, &says);
    let names = files_in(&workplace.path("photos/train"));
    let row = |path: &PathBuf| {
        let label = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        format!("{},{label}\n", path.display())
    };
    let list =
        format!("path,label\n{}{},0\n", names.iter().map(row).collect::<String>(), link.display());
    workplace.write("list.csv", list.as_bytes());
    assert_refused(workplace.run("list.csv", &skip), BAD_INPUT, &says);
    assert!(caches_in(&workplace.path("features")).is_empty());
}

/// A dataset of 60 training and 9 test images, whose table is one of these files; with `missing`, some of the images
/// that it names are not there. Of each missing one, its path in the dataset and the line that names it.
fn listed(workplace: &Workplace, folder: &str, table: &str, missing: bool) -> Vec<(String, usize)> {
    let [train, test] =
        [("train", 60), ("t10k", 9)].map(|(file, count)| Digits::first(file, count));
    let separator = if table.ends_with(".tsv") { '\t' } else { ',' };
    let is_competition = table == "labels.csv";
    let path = match table {
        "metadata.csv" => "file_name",
        _ if is_competition => "id",
        _ => "path",
    };
    let (mut text, mut gone, mut line) = (format!("{path},label,split\n"), Vec::new(), 1);
    for (split, digits) in [("train", &train), ("test", &test)] {
        for (number, (pixels, label)) in digits.pixels.chunks(784).zip(&digits.labels).enumerate() {
            // A competition's images lie in train/, and are listed without their endings.
            let (within, listed) = match is_competition {
                true => (format!("train/{split}-{number}.png"), format!("{split}-{number}")),
                false => {
                    (format!("images/{split}-{number}.png"), format!("images/{split}-{number}.png"))
                }
            };
            let mut row = |listed: &str| {
                line += 1;
                text.push_str(&format!("{listed},{},{split}\n", label % 3));
                line
            };
            // Before the first image and among the others, and in another split.
            if missing && matches!((split, number), ("train", 0 | 30) | ("test", 5)) {
                let name = format!("gone-{split}-{number}");
                let at = row(&listed.replace(&format!("{split}-{number}"), &name));
                let id = match is_competition {
                    true => format!("train/{name}"),
                    false => format!("images/{name}.png"),
                };
                gone.push((id, at));
            }
            row(&listed);
            let file = workplace.write(&format!("{folder}/{within}"), b"");
            GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap().save(file).unwrap();
        }
    }
    let text = text.replace(',', &separator.to_string());
    workplace.write(&format!("{folder}/{table}"), text.as_bytes());
    gone
}

/// Rows of lists without files are named, all of them, or left out like images that cannot be read.
#[test]
fn missing_images_of_a_list_are_named_or_left_out() {
    for table in ["list.csv", "list.tsv", "metadata.csv", "labels.csv"] {
        let workplace = Workplace::empty();
        let gone = listed(&workplace, "set", table, true);
        listed(&workplace, "good", table, false);
        let mut says = vec!["3 of 72 images in ".to_owned(), "or give --on-error=skip".to_owned()];
        says.extend(gone.iter().map(|(id, line)| {
            format!(
                "set/{id} is not there; {table} names it in line {line}: add it, remove the row"
            )
        }));
        let says: Vec<&str> = says.iter().map(String::as_str).collect();
        assert_refused(workplace.run("set", &[]), BAD_INPUT, &says);
        let finished = finish(workplace.run("set", &["--on-error=skip"]));
        assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
        let more = "cannot be read, more than --max-skipped=0.01 allows";
        assert!(finished.stderr.contains(more), "{}", finished.stderr);
        let mut inspect = vgg_extract(["inspect-dataset", "--json"]);
        inspect.arg(workplace.path("set"));
        let inspected = finish(inspect);
        assert_eq!(inspected.code, Some(BAD_INPUT), "{inspected:?}");
        let found: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
        let stops = found["stops"].as_array().unwrap();
        assert_eq!(stops.len(), 3, "{found}");
        for (stop, (id, line)) in stops.iter().zip(&gone) {
            let stop = stop.as_str().unwrap();
            assert!(stop.contains(&format!("{table}: line {line}: there is no file ")), "{stop}");
            assert!(stop.contains(&format!("set/{id}; expected the path of an image")), "{stop}");
        }
        assert!(caches_in(&workplace.path("features")).is_empty());

        let skip = ["--on-error=skip", "--max-skipped=0.1"];
        let first = finish(workplace.run("set", &skip));
        let cache = incomplete(&first);
        let good = path_from(workplace.run_apart("good", &[]));
        assert!(contents(&cache) == contents(&good), "{}", first.stderr);
        assert!(first.stderr.contains("3 images left out that cannot be read: "));
        let manifest = self::manifest(&cache);
        let lines = fs::read_to_string(cache.join("skipped.csv")).unwrap();
        let lines: Vec<&str> = lines.lines().skip(1).collect();
        assert_eq!((manifest.skipped_images().len(), lines.len()), (3, 3));
        for ((skipped, line), (id, at)) in manifest.skipped_images().iter().zip(lines).zip(&gone) {
            assert_eq!(&skipped.id, id);
            assert!(
                skipped
                    .reason
                    .starts_with(&format!("is not there; {table} names it in line {at}:"))
            );
            assert!(line.starts_with(&format!("{},{id},", skipped.part)), "{line}");
        }
        // Found again, and by the head's report: the same images are missing.
        assert_eq!(incomplete(&finish(workplace.run("set", &skip))), cache);
        let images = head::images_of(
            &(&manifest).into(),
            SplitName::Train,
            &workplace.path("features"),
            &AtomicBool::new(false),
        );
        assert_eq!(images.unwrap().len(), manifest.splits[&SplitName::Train].rows);
        // Once one of them is there, the dataset is another one, and so is the cache.
        let (id, _) = &gone[1];
        let ending = if id.ends_with(".png") { "" } else { ".png" };
        let file = workplace.path(&format!("set/{id}{ending}"));
        fs::write(&file, picture("../orientation/1.png")).unwrap();
        let two = incomplete(&finish(workplace.run("set", &skip)));
        assert_ne!(two, cache);
        assert_eq!(self::manifest(&two).skipped_images().len(), 2);
        assert_refused(workplace.run("set", &[]), BAD_INPUT, &["2 of 72 images in "]);
        // And when it has gone again, the first cache is found.
        fs::remove_file(&file).unwrap();
        assert_eq!(incomplete(&finish(workplace.run("set", &skip))), cache);
    }
}

/// Of very many, the first ones are named and the others counted; the inspection names all.
#[test]
fn a_list_of_images_that_are_elsewhere_is_refused() {
    let workplace = Workplace::empty();
    let rows: String = (0..1100).map(|row| format!("images/{row}.png,{}\n", row % 2)).collect();
    workplace.write("list.csv", format!("path,label\n{rows}").as_bytes());
    let says = [
        "1100 of 1100 images in ",
        "images/999.png is not there; list.csv names it in line 1001: ",
        "give the folder to which paths are relative with --images",
        "and 100 more; 'vgg-extract inspect-dataset --json' names all",
    ];
    let finished = finish(workplace.run("list.csv", &[]));
    assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
    for text in says {
        assert!(finished.stderr.contains(text), "'{text}' is not in: {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("images/1000.png"), "{}", finished.stderr);
    let skip = ["--on-error=skip", "--max-skipped=0.99"];
    assert_refused(workplace.run("list.csv", &skip), BAD_INPUT, &["1100 of 1100 images in "]);
    assert!(caches_in(&workplace.path("features")).is_empty());
    let mut inspect = vgg_extract(["inspect-dataset", "--json"]);
    inspect.arg(workplace.path("list.csv"));
    let found: serde_json::Value = serde_json::from_str(&finish(inspect).stdout).unwrap();
    assert_eq!(found["stops"].as_array().unwrap().len(), 1100);
}

/// The page and the report show the images of their rows, whatever was left out, grouped or taken as a test split.
#[test]
fn the_reports_images_are_those_of_their_rows() {
    let workplace = Workplace::empty();
    let digits = Digits::first("train", 90);
    let names = write_digits(&workplace, "set/pictures", &digits);
    let mut table = "file,kind,who,path\n".to_owned();
    for (number, name) in names.iter().enumerate() {
        table.push_str(&format!("{name},{},p{},x\n", digits.labels[number] % 3, number / 2));
    }
    // Two that are bad, early and late, and the copy of a good one.
    workplace.write("set/pictures/0/bad.png", b"");
    workplace.write("set/pictures/0/worse.png", &damaged_inside(3));
    fs::copy(
        workplace.path(&format!("set/pictures/{}", names[7])),
        workplace.path("set/pictures/0/copy.png"),
    )
    .unwrap();
    let label = digits.labels[7] % 3;
    table.push_str(&format!("0/bad.png,0,q,x\n0/worse.png,0,q,x\n0/copy.png,{label},q,x\n"));
    workplace.write("list.csv", table.as_bytes());
    let images = format!("--images={}", workplace.path("set/pictures").display());
    let flags = [
        &images,
        "--form=image-list",
        "--columns=path=file,label=kind",
        "--group=who",
        "--test-fraction=0.3",
        "--val-fraction=0.2",
        "--dedupe",
        "--on-error=skip",
        "--max-skipped=0.1",
    ];
    let cache = incomplete(&finish(workplace.run("list.csv", &flags)));
    let recorded = manifest(&cache);
    assert!(recorded.source.is_some() && recorded.skipped_images().len() == 2);

    let mut sweep = vgg_head(["sweep", "--p=0.9", "--seeds=1", "--threads=2", "--epochs=1"]);
    sweep.arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
    let html = fs::read_to_string(path_from(sweep).join("report.html")).unwrap();
    assert!(html.contains("data:image/png;base64,"), "misclassified digits are shown");
    assert!(!html.contains("The images are not shown"), "{html}");

    // Row by row, they are the images whose digests the cache has.
    let cache = Cache::open(&cache).unwrap();
    for name in SplitName::ALL {
        let split = cache.split(name).unwrap();
        let caches = cache.folder().parent().unwrap();
        let images =
            head::images_of(&cache.manifest().into(), name, caches, &AtomicBool::new(false))
                .unwrap();
        let digests: Vec<_> = (0..images.len()).map(|row| images.digest(row)).collect();
        assert!(split.images().unwrap().unwrap().iter().eq(digests));
        assert!(split.ids().unwrap().iter().eq(images.ids()));
        assert!(images.len() > 5, "{name}");
    }
}

/// Images in archives are looked at as those in files of their own.
#[test]
fn bad_images_in_an_archive_are_found_before_anything_is_computed() {
    let workplace = Workplace::empty();
    let digits = Digits::first("train", 40);
    let names = write_digits(&workplace, "photos", &digits);
    workplace.write("photos/0/empty.png", b"");
    let cut = fs::read(workplace.path(&format!("photos/{}", names[0]))).unwrap();
    workplace.write("photos/1/cut.png", &cut[..cut.len() / 2]);
    let mut files = files_in(&workplace.path("photos"));
    files.sort();
    let members = files.iter().flat_map(|path| {
        let name = path.strip_prefix(workplace.path("photos")).unwrap();
        let class = name.iter().next().unwrap().to_str().unwrap().as_bytes().to_vec();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [(text(name), fs::read(path).unwrap()), (text(&name.with_extension("cls")), class)]
    });
    workplace.write("set.tar", &forms::tar(members));
    let says = ["2 of 42 images in", "0/empty.png is empty", "1/cut.png cannot be decoded"];
    assert_refused(workplace.run("set.tar", &[]), BAD_INPUT, &says);
    assert!(caches_in(&workplace.path("features")).is_empty());
    let skip = ["--on-error=skip", "--max-skipped=0.1"];
    let cache = incomplete(&finish(workplace.run("set.tar", &skip)));
    let ids: Vec<String> =
        manifest(&cache).skipped_images().iter().map(|skipped| skipped.id.clone()).collect();
    assert_eq!(ids, ["set.tar/0/empty.png", "set.tar/1/cut.png"]);
    // Found again.
    let again = finish(workplace.run("set.tar", &skip));
    assert!(again.stderr.contains("nothing to do"), "{again:?}");
    assert_eq!(incomplete(&again), cache);
}
