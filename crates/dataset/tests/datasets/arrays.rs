//! Which arrays of NumPy are read as images, and how.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use dataset::{Dataset, Decoding, Error, FormError, Images, PackedError, Source, SplitConfig};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const ALL: SplitConfig = SplitConfig {
    val_fraction: 0.0,
    test_fraction: 0.0,
    dedupe: false,
    allow_single_images: false,
    limit: None,
    seed: 0,
};

/// A `.npy` file of this element type and shape.
fn npy(descriptor: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let header =
        format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let len = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), elements].concat()
}

/// Two gray images of 2×2 and two RGB images of 1×1.
fn gray() -> Vec<u8> {
    npy("|u1", "(2, 2, 2)", &[0, 1, 2, 3, 4, 5, 6, 7])
}

fn npz(method: CompressionMethod, arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn medmnist(method: CompressionMethod) -> Vec<u8> {
    npz(
        method,
        &[
            ("val_images", npy("|u1", "(1, 2, 2)", &[9; 4])),
            ("val_labels", npy("<i8", "(1, 1)", &1i64.to_le_bytes())),
            ("train_images", gray()),
            ("train_labels", npy("|u1", "(2, 1)", &[1, 0])),
            ("test_images", npy("|u1", "(1, 1, 1, 3)", &[10, 20, 30])),
            ("note", npy("<U3", "()", b"")),
        ],
    )
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn pixels(split: &dataset::Split) -> Vec<Vec<u8>> {
    (0..split.len()).map(|row| split.image(row).unwrap().pixels.into_owned()).collect()
}

fn refused(name: &str, bytes: &[u8], says: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let error = load(&write(&folder, name, bytes)).unwrap_err().to_string();
    for text in says {
        assert!(error.contains(text), "'{text}' is not in: {error}");
    }
}

fn load(path: &Path) -> Result<Dataset, Error> {
    Source::find(path)?.load(&ALL)
}

#[test]
fn medmnist_is_read_compressed_or_not() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder, "pathmnist.npz", &medmnist(method));
        let source = Source::find(&path).unwrap();
        assert_eq!((source.form(), source.name().as_str()), ("arrays", "pathmnist"));
        let half = SplitConfig { val_fraction: 0.5, ..ALL };
        let dataset = source.load(&half).unwrap();
        assert_eq!(dataset.class_names, ["0", "1"]);
        assert_eq!(pixels(&dataset.train), [vec![0, 1, 2, 3], vec![4, 5, 6, 7]]);
        assert_eq!(dataset.train.labels().unwrap().collect::<Vec<_>>(), [1, 0]);
        assert_eq!(dataset.val.labels().unwrap().collect::<Vec<_>>(), [1]);
        assert!(dataset.test.labels().is_none());
        let image = dataset.test.image(0).unwrap();
        assert_eq!((image.height, image.width, image.channels), (1, 1, 3));
        // The folder is enough.
        let in_folder = Source::find(folder.path()).unwrap();
        assert_eq!(in_folder.digest().unwrap(), source.digest().unwrap());
        // Images of equal pixels have the digest that they have in an IDX file.
        let idx = tempfile::tempdir().unwrap();
        let images = b"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x02\x04\x05\x06\x07";
        write(&idx, "train-images-idx3-ubyte", images);
        write(&idx, "train-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\0");
        assert_eq!(load(idx.path()).unwrap().train.digest(0), dataset.train.digest(1));

        let images = Images::find(&[path], Some("train")).unwrap();
        assert_eq!((images.len(), images.label(0)), (2, Some("1")));
        assert_eq!(*images.image(1, Decoding::default()).unwrap().pixels, [4, 5, 6, 7]);
        assert!(images.name(1).ends_with("pathmnist.npz:1"));
    }
}

#[test]
fn arrays_that_change_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = medmnist(CompressionMethod::Stored);
    let path = write(&folder, "a.npz", &bytes);
    let dataset = load(&path).unwrap();
    let at = bytes.windows(8).position(|window| window == [0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
    let mut changed = bytes;
    changed[at] = 99;
    // In place, so that an open file sees it.
    fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&changed).unwrap();
    assert!(matches!(dataset.train.image(0), Err(Error::Changed { .. })));
    assert!(dataset.train.image(1).is_ok());
}

#[test]
fn files_beside_each_other_and_other_names_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let images = write(&folder, "X_train.npy", &gray());
    write(&folder, "y_train.npy", &npy("<u2", "(2,)", &[3, 0, 1, 0]));
    for path in [&images, folder.path()] {
        let dataset = load(path).unwrap();
        assert_eq!(dataset.train.labels().unwrap().collect::<Vec<_>>(), [3, 1]);
        assert_eq!(dataset.class_names.len(), 4);
        assert_eq!(pixels(&dataset.train)[1], [4, 5, 6, 7]);
    }
    let keras = [
        ("x_train", gray()),
        ("y_train", npy("|u1", "(2,)", &[0, 1])),
        ("x_test", gray()),
        ("y_test", npy("|u1", "(2,)", &[1, 0])),
    ];
    let path = write(&folder, "mnist.npz", &npz(CompressionMethod::Deflated, &keras));
    let dataset = load(&path).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len(), dataset.val.len()), (2, 2, 0));
    // Without labels, to be classified.
    let alone = write(&folder, "any.npy", &gray());
    let images = Images::find(std::slice::from_ref(&alone), None).unwrap();
    assert_eq!((images.len(), images.label(0)), (2, None));
    assert!(images.name(1).ends_with("any.npy:1"), "{}", images.name(1));
    assert!(matches!(load(&alone), Err(Error::Packed(PackedError::NoArrays { .. }))));
    let two = write(&folder, "second.npz", &npz(CompressionMethod::Deflated, &keras));
    let error = Source::find(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Form(FormError::TwoFiles { .. })), "{error} {two:?}");
}

/// As `np.savez_compressed` stores those of a dataset that is sorted by class.
#[test]
fn sorted_labels_may_compress_to_nothing() {
    let count = 200_000usize;
    let labels = (0..count).flat_map(|row| ((row / 100_000) as i64).to_le_bytes());
    let labels = npy("<i8", "(200000,)", &labels.collect::<Vec<u8>>());
    let images = npy("|u1", "(200000, 1, 1)", &vec![7; count]);
    let bytes = npz(CompressionMethod::Deflated, &[("images", images.clone()), ("labels", labels)]);
    assert!(bytes.len() < 16_000);
    let folder = tempfile::tempdir().unwrap();
    let dataset = load(&write(&folder, "a.npz", &bytes)).unwrap();
    assert_eq!(dataset.train.label(count - 1), Some(1));
    // More of them than there are images are not decompressed.
    let more = npy("<i8", "(9000000000,)", &[]);
    let more = npz(CompressionMethod::Deflated, &[("images", images), ("labels", more)]);
    refused("a.npz", &more, &["has 200000 images", "has 9000000000 labels"]);
}

#[test]
fn one_rgb_image_is_not_taken_for_gray_ones() {
    let folder = tempfile::tempdir().unwrap();
    let find = |shape: &str| {
        let path = write(&folder, "photo.npy", &npy("|u1", shape, &[1; 24]));
        Images::find(&[path], None)
    };
    let error = find("(4, 2, 3)").unwrap_err().to_string();
    for text in ["photo.npy", "has the shape [4, 2, 3], which one RGB image has", "[1, H, W, 3]"] {
        assert!(error.contains(text), "{error}");
    }
    for (shape, count, channels) in
        [("(1, 4, 2, 3)", 1, 3), ("(4, 2, 3, 1)", 4, 1), ("(2, 3, 4)", 2, 1)]
    {
        let images = find(shape).unwrap();
        let image = images.image(0, Decoding::default()).unwrap();
        assert_eq!((images.len(), image.channels), (count, channels), "{shape}");
    }
}

#[test]
fn other_arrays_are_refused_by_what_they_are() {
    let of = |images: Vec<u8>, labels: Vec<u8>| {
        npz(CompressionMethod::Stored, &[("images", images), ("labels", labels)])
    };
    let labels = || npy("|u1", "(2,)", &[0, 1]);
    let images = |bytes: Vec<u8>, says: &[&str]| refused("a.npz", &of(bytes, labels()), says);
    images(
        npy("<f4", "(2, 1, 1)", &[0; 8]),
        &["a.npz: the array 'images' has elements of the type float32; expected uint8"],
    );
    images(npy("|O", "(2, 1, 1)", b"cos\nsystem\n"), &["'images' has Python objects", "pickle"]);
    images(npy("|u1", "(2, 3, 4, 4)", &[0; 96]), &["has the shape [2, 3, 4, 4]; expected uint8"]);
    images(npy("|u1", "(2, 2, 2)", &[0; 7]), &["7 bytes of elements instead of 8"]);
    images(npy("|u1", "(99999999999, 99999, 99999)", &[]), &["99999x99999 pixels"]);
    images(npy("|u1", "(0, 2, 2)", &[]), &["holds no images"]);
    images(b"PK".to_vec(), &["has no .npy header"]);
    images(npy("|u1", "(-2, 2, 2)", &[0; 8]), &["a header that is not a plain array's"]);
    let fortran = String::from_utf8_lossy(&gray()[10..]).replace("False", "True ");
    let fortran = [&gray()[..10], fortran.as_bytes()].concat();
    images(fortran, &["is in Fortran order; expected C order"]);
    let labels = |bytes: Vec<u8>, says: &[&str]| refused("a.npz", &of(gray(), bytes), says);
    labels(
        npy("<f8", "(2,)", &[0; 16]),
        &["'labels' has elements of the type float64", "integers or texts"],
    );
    labels(npy("|u1", "(2, 14)", &[0; 28]), &["'labels' has the shape [2, 14]"]);
    labels(npy("|u1", "(3,)", &[0; 3]), &["has 2 images", "has 3 labels"]);
    labels(
        npy("<i2", "(2,)", &[1, 0, 0xff, 0xff]),
        &["has -1 in row 1 (counted from 0); expected class numbers"],
    );
    labels(npy("<u4", "(2,)", &[0, 0, 1, 0, 0, 0, 0, 0]), &["has 65536 in row 0"]);
    refused(
        "a.npz",
        &npz(CompressionMethod::Stored, &[("images", gray())]),
        &["'images' has no labels beside it"],
    );
    refused(
        "a.npz",
        &npz(CompressionMethod::Stored, &[("weights", gray())]),
        &[
            "has the arrays weights (uint8 [2, 2, 2]); expected images, uint8 [N, H, W]",
            "train_images and train_labels, x_train and y_train, images and labels, x and y, data and labels, data \
             and targets, arr_0 and arr_1;",
        ],
    );
    refused("a.npz", b"version https://git-lfs", &["a.npz is not a whole archive"]);
    let zeros = npy("|u1", "(2, 2048, 2048)", &vec![0; 8 << 20]);
    refused(
        "a.npz",
        &npz(CompressionMethod::Deflated, &[("images", zeros), ("labels", gray())]),
        &["has 8388608 bytes, from", "np.savez"],
    );
}

/// Arrays that are not read, and all that there is to choose from.
#[test]
fn arrays_that_may_be_several_things_are_listed() {
    let labels = || npy("<i8", "(2,)", &[0; 16]);
    let archive = |arrays: &[(&str, Vec<u8>)]| npz(CompressionMethod::Stored, arrays);
    let both = archive(&[("photos", gray()), ("more", gray()), ("species", labels())]);
    refused(
        "a.npz",
        &both,
        &["the arrays photos (uint8 [2, 2, 2]), more (uint8 [2, 2, 2]), species (int64 [2]);"],
    );
    let two = archive(&[("photos", gray()), ("species", labels()), ("sex", labels())]);
    refused("a.npz", &two, &["species (int64 [2]), sex (int64 [2]);"]);
    let other = archive(&[
        ("photos", gray()),
        ("species", npy("<i8", "(3,)", &[0; 24])),
        ("objects", npy("|O", "(2,)", b"cos\nsystem\n")),
        ("record", b"no array".to_vec()),
    ]);
    refused(
        "a.npz",
        &other,
        &["species (int64 [3]), objects (no plain array), record (no plain array);"],
    );
    // To be classified, they need no labels.
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "a.npz", &other);
    let images = Images::find(&[path], None).unwrap();
    assert_eq!((images.len(), images.label(0)), (2, None));
}

#[test]
fn labels_that_are_texts_are_checked() {
    let of = |descriptor: &str, elements: &[u8]| {
        let labels = npy(descriptor, "(2,)", elements);
        npz(CompressionMethod::Deflated, &[("images", gray()), ("labels", labels)])
    };
    let folder = tempfile::tempdir().unwrap();
    let load_of = |bytes: &[u8]| load(&write(&folder, "a.npz", bytes)).unwrap().class_names;
    assert_eq!(load_of(&of("|S3", b"no\0yes")), ["no", "yes"]);
    assert_eq!(load_of(&of("<U1", b"b\0\0\0a\0\0\0")), ["a", "b"]);
    assert_eq!(load_of(&of(">U1", b"\0\0\0b\0\0\0a")), ["a", "b"]);
    // Numbers are in numerical order.
    assert_eq!(load_of(&of("|S2", b"109\0")), ["9", "10"]);
    refused("a.npz", &of("|S3", b"yes\0\0\0"), &["'labels' has no text in row 1 (counted from 0)"]);
    refused("a.npz", &of("|S1", b"a\xff"), &["'labels' has bytes that are no text in row 1"]);
    refused("a.npz", &of("<U1", b"a\0\0\0\0\0\0\x7f"), &["bytes that are no text in row 1"]);
    refused(
        "a.npz",
        &of("|S2000", &[b'a'; 4000]),
        &["has texts of 2000 bytes; expected texts of 1 to 255"],
    );
    let val = npy("<U2", "(1,)", b"B\0\0\0\0\0\0\0");
    let split = npz(
        CompressionMethod::Stored,
        &[
            ("train_images", gray()),
            ("train_labels", npy("<U1", "(2,)", b"b\0\0\0a\0\0\0")),
            ("val_images", npy("|u1", "(1, 2, 2)", &[9; 4])),
            ("val_labels", val),
        ],
    );
    let says = [
        "the array 'val_labels' has 'B' in row 0 (counted from 0), expected the label of a training image",
        "The two names look alike: this one is 'B', and that of the training class is 'b'",
    ];
    refused("a.npz", &split, &says);
}

#[test]
fn a_truncated_archive_is_refused_wherever_it_ends() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let whole = medmnist(method);
        for len in (0..whole.len()).step_by(7) {
            let folder = tempfile::tempdir().unwrap();
            let result = load(&write(&folder, "a.npz", &whole[..len]));
            assert!(result.is_err(), "{len} bytes");
        }
    }
}
