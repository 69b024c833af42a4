//! Messages about what newcomers type: they name what is there and what to do, and no flag that the program lacks.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, USAGE, Workplace, assert_refused, files_in, finish, peak_and_code, vgg_classify,
    vgg_extract, vgg_head, weights,
};

const PIXELS: &[u8] = b"P5 2 2 255\n\x07\x08\x09\x0a";

fn inspect(workplace: &Workplace, path: &str, more: &[&str]) -> Command {
    let mut command = vgg_extract(["inspect-dataset"]);
    command.arg(workplace.path(path)).args(more).arg("--out").arg(workplace.path("features"));
    command
}

fn refused(workplace: &Workplace, path: &str, more: &[&str], says: &[&str]) {
    assert_refused(inspect(workplace, path, more), BAD_INPUT, says);
}

/// Images `0.pgm` to `5.pgm` and a list of this name with this header, whose fields are a name and a class.
fn list(workplace: &Workplace, folder: &str, list: &str, header: &str, name: fn(usize) -> String) {
    let mut text = format!("{header}\n");
    for number in 0..6 {
        workplace.write(&format!("{folder}/{number}.pgm"), PIXELS);
        text += &format!("{},{}\n", name(number), ["cat", "dog"][number % 2]);
    }
    workplace.write(&format!("{folder}/{list}"), text.as_bytes());
}

#[test]
fn tables_that_are_no_lists_are_described() {
    let workplace = Workplace::empty();
    list(&workplace, "ids", "all.csv", "id,label", |number| number.to_string());
    let says = ["found the columns id, label", "if 'id' has the names of images", "--images DIR"];
    refused(&workplace, "ids/all.csv", &[], &says);
    refused(&workplace, "ids", &[], &[&["holds no dataset", "Of all.csv, "][..], &says].concat());
    list(&workplace, "odd", "set.csv", "img_x,klass", |number| format!("{number}.pgm"));
    let says = ["found the columns img_x, klass", "--columns path=NAME,label=NAME"];
    refused(&workplace, "odd/set.csv", &[], &says);
    refused(&workplace, "odd", &[], &[&["holds no dataset", "Of set.csv, "][..], &says].concat());
    // Both advices lead somewhere.
    let folder = format!("--images={}", workplace.path("ids").display());
    for (path, flag) in
        [("ids/all.csv", &*folder), ("odd/set.csv", "--columns=path=img_x,label=klass")]
    {
        assert_eq!(finish(inspect(&workplace, path, &[flag])).code, Some(0), "{path}");
    }
    // A column that is not there.
    list(&workplace, "set", "set.csv", "path,label", |number| format!("{number}.pgm"));
    let says = ["there is no column 'hose' (found the columns path, label)"];
    refused(&workplace, "set/set.csv", &["--group=hose"], &says);
}

#[test]
fn classifying_advises_no_flag_that_it_lacks() {
    let workplace = Workplace::new();
    let run = workplace.train(&workplace.extract(), &["--epochs=1"]);
    let run = end_to_end::path_from(run);
    let classify = |path: &str| {
        let mut command = vgg_classify(["run", "--run"]);
        command.arg(&run).arg("--weights").arg(weights()).arg(workplace.path(path));
        command
    };
    list(&workplace, "ids", "all.csv", "id,label", |number| number.to_string());
    list(&workplace, "odd", "set.csv", "img_x,klass", |number| format!("{number}.pgm"));
    for path in ["ids/all.csv", "odd/set.csv"] {
        assert_refused(classify(path), BAD_INPUT, &["a column path", "rename the columns"]);
        let stderr = finish(classify(path)).stderr;
        assert!(!stderr.contains("--images") && !stderr.contains("--columns"), "{stderr}");
    }
    workplace.write("away/list.csv", b"path\n../../x.png\n");
    assert_refused(classify("away/list.csv"), BAD_INPUT, &["within the folder of the list, or"]);
    assert!(!finish(classify("away/list.csv")).stderr.contains("--images"));
    // A path is said once.
    workplace.write("photos/bad.png", b"\x89PNG\r\n\x1a\nno chunk at all");
    workplace.write("photos/good.pgm", PIXELS);
    let finished = finish(classify("photos"));
    let line = finished.stderr.lines().find(|line| line.starts_with("not classified")).unwrap();
    assert_eq!(line.matches("bad.png").count(), 1, "{line}");
    assert!(line.contains("bad.png cannot be decoded"), "{line}");
}

#[test]
fn folders_that_are_empty_or_packed_are_called_so() {
    let workplace = Workplace::empty();
    fs::create_dir(workplace.path("empty")).unwrap();
    refused(&workplace, "empty", &[], &["empty is an empty folder; expected a dataset"]);
    for (name, command) in [
        ("photos.zip", "unzip"),
        ("photos.tar.gz", "tar -xzf"),
        ("photos.TGZ", "tar -xzf"),
        ("photos.tar.xz", "tar -xJf"),
    ] {
        let path = format!("alone/{name}");
        workplace.write(&path, b"PK");
        let says = [name, "is an archive that is not read as it is; unpack it with", command];
        refused(&workplace, &path, &[], &says);
        refused(&workplace, "alone", &[], &says);
        fs::remove_file(workplace.path(&path)).unwrap();
    }
    let nowhere = inspect(&workplace, "nowhere", &[]);
    assert_refused(nowhere, BAD_INPUT, &["there is no dataset folder or file", "of your own"]);
    let stderr = finish(inspect(&workplace, "nowhere", &[])).stderr;
    assert!(!stderr.contains("--dataset"), "{stderr}");
}

#[test]
fn labels_that_look_like_trained_ones_are_said() {
    let workplace = Workplace::empty();
    for (trained, other, shown) in [
        ("cat", "Cat", "'Cat', and that of the training class is 'cat'"),
        ("7", "07", "'07', and that of the training class is '7'"),
        (
            "cafe\u{301}",
            "caf\u{e9}",
            "'caf\\u{e9}', and that of the training class is 'cafe\\u{301}'",
        ),
    ] {
        let mut text = "path,label,split\n".to_owned();
        for number in 0..4 {
            workplace.write(&format!("set/{number}.pgm"), PIXELS);
            text += &format!("{number}.pgm,{},train\n", [trained, "1"][number % 2]);
        }
        workplace.write("set/4.pgm", PIXELS);
        text += &format!("4.pgm,{other},val\n");
        workplace.write("set/list.csv", text.as_bytes());
        let says = ["expected the label of a training row. The two names look alike: this one is"];
        assert_refused(workplace.run("set/list.csv", &[]), BAD_INPUT, &[says[0], shown]);
    }
}

#[test]
fn patterns_and_flags_that_cannot_be_are_explained() {
    let workplace = Workplace::empty();
    let says = ["{000..a}.tar has braces with dots that are no sequence, which goes from a number"];
    refused(&workplace, "train-{000..a}.tar", &[], &says);
    for mut command in [
        vgg_extract(["run", "--seed", "-1"]),
        vgg_extract(["inspect-dataset", "x", "--seed", "-1"]),
        vgg_head(["train", "--seed", "-1"]),
    ] {
        command.current_dir(workplace.path(""));
        let says = ["'-1'", "--seed", "expected a whole number, 0 or more"];
        assert_refused(command, USAGE, &says);
    }
    // A fraction is shown as it is written.
    for class in ["cat", "dog"] {
        workplace.write(&format!("pair/{class}/1.pgm"), PIXELS);
        workplace.write(&format!("pair/{class}/2.pgm"), PIXELS);
    }
    let finished = finish(workplace.run("pair", &["--val-fraction=1/9"]));
    let stderr = finished.stderr;
    assert!(stderr.contains("--val-fraction 1/9") && !stderr.contains("0.1111"), "{stderr}");
}

#[test]
fn what_is_given_in_the_place_of_something_else_is_said() {
    let workplace = Workplace::new();
    // A list without labels, which can be classified.
    workplace.write("nolabel/0.pgm", PIXELS);
    workplace.write("nolabel/list.csv", b"image\n0.pgm\n");
    let says = ["found the columns image", "a column of labels is missing", "vgg-classify takes"];
    refused(&workplace, "nolabel/list.csv", &[], &says);
    // Another program's weights.
    let zip = workplace.write("weights.pth", b"PK\x03\x04");
    let mut run = workplace.run("digits", &[]);
    run.arg("--weights").arg(&zip);
    let says = ["weights.pth is a file of the form PyTorch", "vgg-extract import-weights FILE"];
    assert_refused(run, BAD_INPUT, &says);
    // The key that other recipes take.
    let mut inspect = vgg_extract(["inspect-dataset", "--val-fraction=0"]);
    inspect.arg("--dataset").arg(workplace.path("digits")).args(["--out", "/nowhere"]);
    assert_eq!(finish(inspect).code, Some(0));
    // The help that is advised has the flags.
    for class in ["cat", "dog"] {
        workplace.write(&format!("pair/{class}/1.pgm"), PIXELS);
        workplace.write(&format!("pair/{class}/2.pgm"), PIXELS);
    }
    let wrong = finish(workplace.run("pair", &["--val-fraction=0.5", "--test-fraction=0.5"]));
    assert!(wrong.stderr.contains("try 'vgg-extract run --help'"), "{wrong:?}");
}

/// Only the decoder finds them, after the first rows were written.
#[test]
fn images_that_are_found_bad_late_are_said_in_words() {
    let workplace = Workplace::empty();
    for number in 0..3 {
        for class in ["cat", "dog"] {
            workplace.write(&format!("set/{class}/{number}.pgm"), PIXELS);
        }
    }
    let at = Path::new(env!("CARGO_MANIFEST_DIR"));
    let whole =
        fs::read(at.join("../crates/dataset/tests/forms/image-folder/flat-csv/0.png")).unwrap();
    let mut bytes = whole;
    let data = bytes.windows(4).position(|window| window == b"IDAT").unwrap();
    bytes[data + 8] ^= 0x55;
    workplace.write("set/cat/9.png", &bytes);
    let says = [
        "(counted from 0) of train stops the extraction",
        "--on-error=skip leaves such images out",
        "set/cat/9.png cannot be decoded",
        "the checksum of its chunk IDAT is wrong",
    ];
    let run = || workplace.run("set", &["--val-fraction=0"]);
    assert_refused(run(), BAD_INPUT, &says);
    let stderr = finish(run()).stderr;
    assert!(!stderr.contains("ChunkType") && !stderr.contains('{'), "{stderr}");
}

#[test]
fn images_of_high_dynamic_range_are_said_not_to_be_read() {
    let workplace = Workplace::empty();
    for class in ["cat", "dog"] {
        for name in ["1.pgm", "2.pgm"] {
            workplace.write(&format!("set/{class}/{name}"), PIXELS);
        }
        workplace.write(&format!("set/{class}/sky.hdr"), b"#?RADIANCE\n");
    }
    workplace.write("set/dog/sky.exr", b"\x76\x2f\x31\x01");
    let finished = finish(inspect(&workplace, "set", &["--val-fraction=0"]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let says =
        ".exr (1), .hdr (2) (HDR images are not read, since a network takes 8 bits per channel";
    assert!(finished.stdout.contains(says), "{}", finished.stdout);
}

/// What is refused leaves nothing but the digests of the files that were read; and what would fill the memory does not.
#[test]
#[cfg(target_os = "linux")]
fn decompression_bombs_take_little_memory_and_leave_nothing() {
    let workplace = Workplace::empty();
    for class in ["cat", "dog"] {
        workplace.write(&format!("photos/{class}/1.pgm"), PIXELS);
    }
    workplace.write("photos/cat/bomb.png", &png_of_60000());
    let mut text = b"label".to_vec();
    (0..784).for_each(|pixel| text.extend(format!(",pixel{pixel}").bytes()));
    let row = format!("\n1{}", ",0".repeat(784));
    text.extend(row.repeat(100_000).bytes());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gz, &text).unwrap();
    workplace.write("digits/train.csv.gz", &gz.finish().unwrap());
    drop(text);
    for (dataset, says) in [
        ("photos", "photos/cat/bomb.png has 60000x60000 pixels"),
        ("digits", "decompresses to more than"),
    ] {
        let run = || workplace.run(dataset, &["--val-fraction=0"]);
        assert_refused(run(), BAD_INPUT, &[says]);
        let (peak, code) = peak_and_code(&run());
        assert_eq!(code, Some(BAD_INPUT));
        assert!(peak < 400e6, "{dataset}: {peak} bytes");
    }
    let left = files_in(&workplace.path("features"));
    let digests = workplace.path("features/.file-digests");
    assert!(left.iter().all(|path| path.starts_with(&digests)), "{left:?}");
}

/// A PNG of one colour, whose rows would take 3.6 GB.
fn png_of_60000() -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..2000 {
        std::io::Write::write_all(&mut encoder, &[0; 60_001]).unwrap();
    }
    let pixels = encoder.finish().unwrap();
    let side = 60_000u32.to_be_bytes();
    let header = [&side[..], &side, &[8, 0, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in [(b"IHDR", &header), (b"IDAT", &pixels), (b"IEND", &Vec::new())] {
        let mut sum = flate2::Crc::new();
        sum.update(kind);
        sum.update(content);
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(kind);
        bytes.extend(content);
        bytes.extend(sum.sum().to_be_bytes());
    }
    bytes
}
