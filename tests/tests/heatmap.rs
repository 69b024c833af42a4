//! Heat maps of `vgg-classify run`, on real digits in the corners of larger images.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Digits, Workplace, assert_refused, files_in, finish, path_from, vgg_classify,
    weights,
};
use image::{GrayImage, RgbImage};

/// Exit code if a file cannot be written.
const INTERNAL: i32 = 1;
/// Side of the images in pixels, of which a digit takes 28 x 28 in a corner.
const SIDE: u32 = 96;
/// The corners as (right, bottom).
const CORNERS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

/// The left and the upper side of a corner's digit.
fn origin((right, bottom): (bool, bool)) -> [u32; 2] {
    [right, bottom].map(|far| if far { SIDE - 32 } else { 4 })
}

/// Writes digits of the classes 0 and 1 into one corner each, or into every corner:
/// `folder/<label>/<index>-<corner>.png`.
fn write_corners(workplace: &Workplace, folder: &str, digits: &Digits, every: bool) {
    let images = digits.pixels.chunks(784).zip(&digits.labels).enumerate();
    for (index, (pixels, label)) in images.filter(|(_, (_, label))| **label < 2) {
        let digit = GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap();
        for corner in (0..4).filter(|&corner| every || corner == index % 4) {
            let [left, top] = origin(CORNERS[corner]).map(i64::from);
            let mut canvas = GrayImage::new(SIDE, SIDE);
            image::imageops::replace(&mut canvas, &digit, left, top);
            let path = workplace.write(&format!("{folder}/{label}/{index:03}-{corner}.png"), b"");
            canvas.save(path).unwrap();
        }
    }
}

/// A workplace with a head trained on digits in corners, those of the classes among the first `digits`, and its
/// run.
fn trained(taps: &str, digits: usize) -> (Workplace, PathBuf) {
    let workplace = Workplace::empty();
    write_corners(&workplace, "corners", &Digits::first("train", digits), true);
    write_corners(&workplace, "new", &Digits::first("t10k", 160), false);
    let size = format!("--size={SIDE}");
    let cache = path_from(workplace.run("corners", &[&size, "--taps", taps]));
    let run = path_from(workplace.train(&cache, &["--epochs=10", "--p=0.2"]));
    (workplace, run)
}

fn classify(run: &Path, images: &Path, more: &[&str]) -> Command {
    let mut command = vgg_classify(["run", "--threads=2", "--format=csv"]);
    command.arg("--run").arg(run).arg("--weights").arg(weights()).arg(images).args(more);
    command
}

/// The centre of the hot pixels, which are yellow, as (x, y).
fn centre_of_heat(picture: &RgbImage) -> [f64; 2] {
    let (mut sum, mut centre) = (0.0, [0.0; 2]);
    for (x, y, pixel) in picture.enumerate_pixels() {
        // Grey adds the same to all channels, and less than the upper quarter of the colours has more blue.
        let heat = f64::from(pixel[0]) - f64::from(pixel[2]);
        if heat > 0.0 {
            sum += heat;
            centre[0] += heat * f64::from(x);
            centre[1] += heat * f64::from(y);
        }
    }
    centre.map(|total| total / sum)
}

#[test]
fn heat_lies_where_the_digit_is() {
    let (workplace, run) = trained("conv5_3", 240);
    let (new, maps) = (workplace.path("new"), workplace.path("maps"));
    // A file that cannot be read has no heat map, and all others have theirs.
    workplace.write("new/0/zz broken.png", b"not an image");
    let images: Vec<String> = {
        let mut files = files_in(&new);
        files.sort();
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        files.iter().map(name).collect()
    };
    let plain = finish(classify(&run, &new, &[]));
    // Batches do not matter.
    let drawn =
        finish(classify(&run, &new, &["--batch-size=3", "--heatmap", maps.to_str().unwrap()]));
    assert_eq!(drawn.code, Some(BAD_INPUT), "{drawn:?}");
    assert!(drawn.stderr.contains("zz broken.png"), "{drawn:?}");
    assert_eq!(drawn.stdout, plain.stdout, "the numbers are the same to the last digit");
    let lines = drawn.stdout.lines().skip(1);
    let right = lines.clone().filter(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        fields[1] == fields[2]
    });
    let (right, all) = (right.count(), lines.clone().count());
    assert!(right * 10 >= all * 8, "{right} of {all} are right");

    let mut found: Vec<PathBuf> = files_in(&maps);
    found.sort();
    let expected: Vec<PathBuf> = images
        .iter()
        .enumerate()
        .filter(|(_, name)| !name.contains("broken"))
        .map(|(index, name)| maps.join(format!("{index:02}-{name}.png")))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), all);
    // A ring is recognised by what is there. A stroke may be recognised by what is not.
    let zeros =
        images.iter().filter(|name| !name.contains("broken")).zip(&found).zip(lines.clone());
    let zeros = zeros.filter(|(_, line)| line.split(',').nth(2) == Some("0"));
    let (mut in_corner, mut drawn) = (0, 0);
    for ((name, path), _) in zeros {
        let corner: usize = name.strip_suffix(".png").unwrap()[4..].parse().unwrap();
        let middle = origin(CORNERS[corner]).map(|start| f64::from(start + 14));
        let centre = centre_of_heat(&image::open(path).unwrap().into_rgb8());
        let near = |(centre, middle): (f64, f64)| (centre - middle).abs() < f64::from(SIDE) / 4.0;
        in_corner += usize::from(centre.into_iter().zip(middle).all(near));
        drawn += 1;
    }
    assert!(drawn >= 8 && in_corner * 10 >= drawn * 8, "{in_corner} of {drawn} are in the corner");
    for path in &found {
        assert_eq!(image::image_dimensions(path).unwrap(), (SIDE, SIDE));
    }
    // The colours stand for something only if they differ from image to image.
    let bytes: Vec<Vec<u8>> = found.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(bytes.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn what_cannot_be_drawn_is_refused_before_anything_is_computed() {
    let (workplace, run) = trained("conv4_3:avg,conv5_3:max", 50);
    let new = workplace.path("new");
    let maps = workplace.path("maps");
    let draw =
        |run: &Path, folder: &Path| classify(run, &new, &["--heatmap", folder.to_str().unwrap()]);
    let says = ["pooled to a number per channel", "--taps conv5_3", "train a head"];
    assert_refused(draw(&run, &maps), BAD_INPUT, &says);
    assert!(!maps.exists());
    // Without heat maps, the same model classifies.
    assert_eq!(finish(classify(&run, &new, &[])).code, Some(0));

    let size = format!("--size={SIDE}");
    let cache = path_from(workplace.run("corners", &[&size, "--taps=conv5_3"]));
    let run = path_from(workplace.train(&cache, &["--epochs=1"]));
    let file = workplace.write("a file", b"");
    let says = ["could not make the folder", file.to_str().unwrap()];
    assert_refused(draw(&run, &file), INTERNAL, &says);
    assert_refused(
        draw(&run, &file.join("maps")),
        INTERNAL,
        &["could not make the folder", "a file"],
    );
}
