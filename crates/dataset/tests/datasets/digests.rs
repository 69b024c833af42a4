//! The digests of small datasets of every form, as fixed values: caches are found by them.

use std::fs;
use std::path::Path;

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

/// The digest of one of the datasets in `forms/`, which other libraries wrote.
fn digest_at(path: &str) -> String {
    let forms = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forms"));
    Source::find(&forms.join(path)).unwrap().digest().unwrap().to_string()
}

#[test]
fn competitions_keep_their_digest() {
    let files = [
        ("labels.csv", &b"id,breed\na,pug\nb,beagle\n"[..]),
        ("train/a.png", b"one"),
        ("train/b.png", b"two"),
        ("test/c.png", b"three"),
    ];
    assert_eq!(
        [digest_of(&files[..3]), digest_of(&files)],
        [
            "f6523561ba3d18898afa88a7ecec207a882e7994322078e08a8b6f6711927028",
            "143dc9798e53762a97fbd9a2fa8db68330ae8a09b8d9fedecbbc2d26dab0be5a"
        ]
    );
}

#[test]
fn image_folders_keep_their_digest() {
    // It does not matter how the table is stored.
    for name in
        ["image-folder/splits-csv", "image-folder/splits-jsonl", "image-folder/splits-parquet"]
    {
        assert_eq!(
            digest_at(name),
            "7c1d248d7666aed1d3d8ca04ed008f5946eaebf641f940c42d05a57cd7837a36",
            "{name}"
        );
    }
}

#[test]
fn arrays_keep_their_digest() {
    let npy = |descriptor: &str, shape: &str, elements: &[u8]| {
        let header =
            format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let len = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), elements].concat()
    };
    let images = npy("|u1", "(2, 1, 1)", &[7, 8]);
    let labels = npy("|u1", "(2,)", &[0, 1]);
    let files = [("x_train.npy", &images[..]), ("y_train.npy", &labels), ("x_test.npy", &images)];
    assert_eq!(
        [digest_of(&files[..2]), digest_of(&files)],
        [
            "c2c213e769a5e530b5bdc72dd336542c6b703cf8f631d22e3abb5a09ba09da46",
            "121f6e7743f0004ca23603d124c4705b9b1079389fe15583843ee5fcc1899949"
        ]
    );
}

#[test]
fn archives_and_parquet_files_keep_their_digest() {
    let names = [
        "webdataset/flat",
        "webdataset/splits",
        "webdataset/flat/train-{000..001}.tar",
        "parquet/hub",
    ];
    assert_eq!(
        names.map(digest_at),
        [
            "3daca16099a1967f328ec9cbc56a01f30aa61ab0b98c3a8b79c828402d6bfaf8",
            "d1ad911756ca3406a4cc4b84110e3e806a0857c26b10e8124131c963758d4317",
            "c122748ec04836911bc924d51cd08720c2f0291d8fdc8b3062ca67028766b422",
            "7d0dfb561e400d40b3d32b887c93e09ec8421263fe6ba33642e014f3446945fe"
        ]
    );
}
