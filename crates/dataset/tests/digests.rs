//! The digests of small datasets of every form, as fixed values: caches are found by them.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;

use dataset::Source;

/// The digest of a dataset of these files.
fn digest_of(files: &[(&str, &[u8])]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    Source::find(folder.path()).unwrap().digest().unwrap().to_string()
}

#[test]
fn idx_files_keep_their_digest() {
    let train = [("train-images-idx3-ubyte", &b"one"[..]), ("train-labels-idx1-ubyte", b"two")];
    let test = [("t10k-images.idx3-ubyte.gz", &b"three"[..]), ("t10k-labels-idx1-ubyte", b"four")];
    assert_eq!(
        [digest_of(&train), digest_of(&[train, test].concat())],
        [
            "5e4ab4705fecb4b65fb8f936729b3161812545a3e36ea57fc6a2a13ef95b299f",
            "421151a58e91608744cf7178952658a32032a5ebaa65aa0758caae1d27eed55e"
        ]
    );
}

#[test]
fn kaggle_csvs_keep_their_digest() {
    let train = ("train.csv", &b"label,pixel0\n0,7\n"[..]);
    let test = ("test.csv", &b"pixel0\n7\n"[..]);
    assert_eq!(
        [digest_of(&[train]), digest_of(&[train, test])],
        [
            "cf5389a1320911012757c0f3f72b41b602f204dea82ba247a6c00b8d84c67473",
            "c89e38a03fbe3317fefd7a12dc7b732fadbf011958c868063f22dcc6f6ffd79a"
        ]
    );
}

#[test]
fn class_folders_keep_their_digest() {
    let plain = [("cat-b/1.png", &b"one"[..]), ("cat/deep/1.JPG", b"two"), ("dog/1.gif", b"three")];
    let split = [
        ("Training/cat/1.png", &b"one"[..]),
        ("Training/dog/2.png", b"two"),
        ("valid/dog/3.png", b"three"),
        ("TEST/4.png", b"four"),
    ];
    assert_eq!(
        [digest_of(&plain), digest_of(&split)],
        [
            "edd5c1d2882b56c1cb3be28b2eda3fef6b08effac3e30a8b66fa3bbc26d1ebf4",
            "0fe9b60d63735df4101e819baeb4e28eb7c1734beedcd6890cfbafac64db6932"
        ]
    );
}

#[test]
fn image_lists_keep_their_digest() {
    let images = [("a.png", &b"one"[..]), ("b.png", b"two"), ("c.png", b"three")];
    let plain = ("list.csv", &b"path,label\na.png,x\nb.png,y\nc.png,x\n"[..]);
    let split =
        ("list.csv", &b"path,label,split\nc.png,10,train\na.png,9,train\nb.png,,test\n"[..]);
    let digest = |list| digest_of(&[&images[..], &[list]].concat());
    assert_eq!(
        [digest(plain), digest(split)],
        [
            "973f2e1cebed2ed0096b29b39e9e5834f1743d8b2005ab42f9501f3b4e85aa46",
            "dd99c9f3c4fbf4362601ba0597495d44424dc322c360359cdc15843525dd6920"
        ]
    );
}
