//! The digest of each row's image: what it is of, and that no image is decoded that has another.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use dataset::{Error, Source, Split, SplitConfig};
use durable::Digest;
use tempfile::TempDir;

const ALL: SplitConfig = SplitConfig {
    val_fraction: 0.0,
    test_fraction: 0.0,
    dedupe: false,
    allow_single_images: false,
    limit: None,
    seed: 0,
};

fn folder_of(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// A gray image of one pixel.
fn pixel(gray: u8) -> Vec<u8> {
    [&b"P5 1 1 255\n"[..], &[gray]].concat()
}

/// The digest of each row's image, by its id.
fn digests_of(split: &Split) -> Vec<(String, Digest)> {
    split.ids().zip(digests(split)).collect()
}

/// The digest of each row's image.
fn digests(split: &Split) -> Vec<Digest> {
    (0..split.len()).map(|row| split.digest(row)).collect()
}

#[test]
fn images_in_files_have_the_digests_of_their_bytes_however_they_are_split() {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for index in 0..24u8 {
        let part = ["train/cat", "train/dog", "val/dog", "test/cat"][usize::from(index % 4)];
        files.insert(format!("{part}/{index}.pgm"), pixel(index));
    }
    let as_slices = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let folder = folder_of(&as_slices.collect::<Vec<_>>());
    let assert_right = |path: &Path, config: &SplitConfig, rows: [usize; 3]| {
        let dataset = Source::find(path).unwrap().load(config).unwrap();
        let splits = [&dataset.train, &dataset.val, &dataset.test];
        assert_eq!(splits.map(Split::len), rows);
        for (id, digest) in splits.into_iter().flat_map(digests_of) {
            let bytes = files.iter().find(|(name, _)| name.ends_with(&id)).unwrap().1;
            assert_eq!(digest, Digest::of(bytes), "{id}");
        }
    };
    assert_right(folder.path(), &ALL, [12, 6, 6]);
    assert_right(folder.path(), &SplitConfig { limit: Some(3), ..ALL }, [3, 3, 3]);
    let train = folder.path().join("train");
    assert_right(&train, &SplitConfig { val_fraction: 0.25, seed: 7, ..ALL }, [9, 3, 0]);

    let mut list = "path,label,split\n".to_owned();
    for name in files.keys().rev() {
        let (split, class) = name.split_once('/').unwrap();
        let class = class.split_once('/').unwrap().0;
        list += &format!("{name},{class},{split}\n");
    }
    fs::write(folder.path().join("list.csv"), list).unwrap();
    assert_right(&folder.path().join("list.csv"), &ALL, [12, 6, 6]);
}

/// Of three digits of 2×2 pixels, the last two are for validation or test.
const DIGITS: [[u8; 4]; 3] = [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 9]];

fn idx(images: &[[u8; 4]]) -> Vec<u8> {
    let header = [0x0803, images.len() as u32, 2, 2].map(u32::to_be_bytes).concat();
    [header, images.concat()].concat()
}

fn idx_labels(count: u32) -> Vec<u8> {
    [0x0801u32.to_be_bytes().to_vec(), count.to_be_bytes().to_vec(), vec![1; count as usize]]
        .concat()
}

fn csv(images: &[[u8; 4]]) -> String {
    let mut text = "label,pixel0,pixel1,pixel2,pixel3\n".to_owned();
    for [a, b, c, d] in images {
        text += &format!("1,{a},{b},{c},{d}\n");
    }
    text
}

#[test]
fn a_digit_has_the_same_digest_in_every_file() {
    let in_idx = folder_of(&[
        ("train-images-idx3-ubyte", &idx(&DIGITS[..2])),
        ("train-labels-idx1-ubyte", &idx_labels(2)),
        ("t10k-images-idx3-ubyte", &idx(&DIGITS[2..])),
    ]);
    let in_csv = folder_of(&[("train.csv", csv(&DIGITS).as_bytes())]);
    let [in_idx, in_csv] =
        [&in_idx, &in_csv].map(|folder| Source::find(folder.path()).unwrap().load(&ALL).unwrap());
    let expected = DIGITS.map(|pixels| {
        let sizes = [2u64, 2, 1].map(u64::to_le_bytes).concat();
        Digest::of(&[&b"dataset, pixels 1"[..], &sizes, &pixels].concat())
    });
    assert_eq!(digests(&in_csv.train), expected);
    assert_eq!(digests(&in_idx.train), expected[..2]);
    assert_eq!(digests(&in_idx.test), expected[2..]);
    assert!(digests(&in_idx.val).is_empty());
}

/// The error at the only image of a dataset whose file `change` changes after it was digested.
fn error_after(change: impl FnOnce(&Path), bytes: &[u8]) -> (Error, String) {
    let folder = folder_of(&[("cat/1.pgm", bytes)]);
    let path = folder.path().join("cat/1.pgm");
    let dataset = Source::find(folder.path()).unwrap().load(&ALL).unwrap();
    dataset.train.image(0).unwrap();
    change(&path);
    (dataset.train.image(0).unwrap_err(), path.display().to_string())
}

#[test]
fn an_image_that_changed_after_it_was_digested_is_refused() {
    let changes: [fn(&Path); 3] = [
        |path| fs::write(path, pixel(8)).unwrap(),
        // It would decode to the same pixels.
        |path| fs::File::options().append(true).open(path).unwrap().write_all(b" ").unwrap(),
        |path| fs::write(path, b"").unwrap(),
    ];
    for change in changes {
        let (error, path) = error_after(change, &pixel(7));
        assert!(matches!(error, Error::Changed { .. }), "{error:?}");
        let says = error.to_string();
        assert!(says.contains(&path) && says.contains("give the same command again"), "{says}");
    }
    let (error, _) = error_after(|path| fs::remove_file(path).unwrap(), &pixel(7));
    assert!(matches!(error, Error::Read { .. }), "{error:?}");
}

/// It is not held in memory as a whole.
#[test]
fn so_is_a_large_image() {
    const SIDE: usize = 8200;
    let mut bytes = format!("P5 {SIDE} {SIDE} 255\n").into_bytes();
    bytes.resize(bytes.len() + SIDE * SIDE, 7);
    assert!(bytes.len() > 64 << 20);
    let change = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() = 8;
        fs::write(path, bytes).unwrap();
    };
    let (error, _) = error_after(change, &bytes);
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
}

#[test]
fn files_of_many_images_that_change_before_they_are_loaded_are_refused() {
    let idx = [
        ("train-images-idx3-ubyte", idx(&DIGITS)),
        ("train-labels-idx1-ubyte", idx_labels(3)),
        ("t10k-images-idx3-ubyte", idx(&DIGITS)),
    ];
    let csv = [("train.csv", csv(&DIGITS).into_bytes())];
    for files in [&idx[..], &csv] {
        for (changed, _) in files {
            let files: Vec<(&str, &[u8])> =
                files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
            let folder = folder_of(&files);
            let source = Source::find(folder.path()).unwrap();
            let digest = source.digest().unwrap();
            source.load(&ALL).unwrap();
            let path = folder.path().join(changed);
            let mut bytes = fs::read(&path).unwrap();
            // The last pixel or label, or the line's last digit.
            let last = bytes.iter().rposition(|&byte| byte != b'\n').unwrap();
            bytes[last] ^= 1;
            fs::write(&path, bytes).unwrap();
            match source.load(&ALL) {
                Err(Error::Changed { path: found }) => assert_eq!(found, path),
                other => panic!("{changed}: {other:?}"),
            }
            assert_eq!(source.digest().unwrap(), digest);
            Source::find(folder.path()).unwrap().load(&ALL).unwrap();
        }
    }
}
