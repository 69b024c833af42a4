//! Distortions beside those of Keras and torchvision (`tests/distorting/make_goldens.py`), and what is drawn.

use std::path::Path;

use recipe::{Family, Fit, ImageForm, Recipe};
use safetensors::SafeTensors;

use super::*;
use crate::{Pixels, Preprocessor};

const HEIGHT: usize = 48;
const WIDTH: usize = 48;

fn goldens() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/distorting/goldens.safetensors");
    std::fs::read(path).unwrap()
}

fn tensor<'a>(file: &SafeTensors<'a>, name: &str) -> &'a [u8] {
    file.tensor(name).unwrap().data()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn preprocessor(form: ImageForm) -> Preprocessor {
    Preprocessor::new(Family::Caffe, form)
}

fn form(height: usize, width: usize) -> ImageForm {
    ImageForm { height, width, ..Recipe::example().image }
}

/// The image that the network is shown, as `[height, width, 3]`, 0 to 255.
fn distorted(form: ImageForm, image: Pixels<'_>, distortion: Option<&Distortion>) -> Vec<f32> {
    let preprocessor = preprocessor(form);
    let mut input = vec![0.0; preprocessor.len()];
    match distortion {
        Some(distortion) => preprocessor.apply_distorted(image, distortion, &mut input),
        None => preprocessor.apply(image, &mut input),
    }
    let channels = preprocessor.channels();
    let plane = form.height * form.width;
    let mut shown = vec![0.0; input.len()];
    for (index, channel) in channels.iter().enumerate() {
        for at in 0..plane {
            shown[at * 3 + channel.colour] =
                (input[index * plane + at] - channel.shift) / channel.scale;
        }
    }
    shown
}

/// The largest difference of two images `[height, width, 3]`, but for so many pixels at each edge.
fn largest_difference(a: &[f32], b: &[f32], edge: usize) -> f32 {
    assert_eq!(a.len(), HEIGHT * WIDTH * 3);
    let inner = |index: usize| {
        let (row, column) = (index / 3 / WIDTH, index / 3 % WIDTH);
        (edge..HEIGHT - edge).contains(&row) && (edge..WIDTH - edge).contains(&column)
    };
    let pairs = a.iter().zip(b).enumerate().filter(|(index, _)| inner(*index));
    pairs.map(|(_, (a, b))| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn distortions_are_those_of_keras_and_torchvision() {
    let file = goldens();
    let file = SafeTensors::deserialize(&file).unwrap();
    let image = Pixels { height: HEIGHT, width: WIDTH, channels: 3, bytes: tensor(&file, "image") };
    const NONE: Distortion = Distortion::NONE;
    let black = Fill::Black;
    let cases = [
        ("keras_rotation", 0, Distortion { rotation: -20_f64.to_radians(), ..NONE }),
        ("keras_shift", 0, Distortion { shift: [-0.2, 0.1], ..NONE }),
        ("keras_shear", 0, Distortion { shear: 17_f64.to_radians(), ..NONE }),
        ("keras_zoom", 0, Distortion { zoom: [1.2, 0.8], ..NONE }),
        (
            "keras_all",
            0,
            Distortion {
                rotation: 12_f64.to_radians(),
                shift: [0.1, 0.05],
                shear: 9_f64.to_radians(),
                zoom: [0.9, 1.1],
                ..NONE
            },
        ),
        ("keras_flips", 0, Distortion { flip: [true, true], ..NONE }),
        // torchvision blends the pixels at the image's own edge with black.
        (
            "torchvision_rotation",
            12,
            Distortion { rotation: -20_f64.to_radians(), fill: black, ..NONE },
        ),
        (
            "torchvision_shift",
            0,
            Distortion { shift: [4.0 / 48.0, -7.0 / 48.0], fill: black, ..NONE },
        ),
        ("torchvision_brightness", 0, Distortion { brightness: 1.3, ..NONE }),
        ("torchvision_contrast", 0, Distortion { contrast: 0.6, ..NONE }),
        (
            // torchvision does not look beyond what is cut out.
            "torchvision_crop",
            2,
            Distortion {
                // 24 of 48 rows from the fifth, 36 of 48 columns from the seventh.
                crop: Some(Cut { area: 0.375, ratio: 0.5 / 0.75, at: [5.0 / 24.0, 7.0 / 12.0] }),
                ..NONE
            },
        ),
        ("torchvision_flip", 0, Distortion { flip: [false, true], ..NONE }),
    ];
    for (name, edge, distortion) in &cases {
        let found = distorted(form(HEIGHT, WIDTH), image, Some(distortion));
        let expected = floats(tensor(&file, name));
        let difference = largest_difference(&found, &expected, *edge);
        assert!(difference < 0.02, "{name}: {difference}");
    }
    let elsewhere = ["image", "keras_brightness", "torchvision_erase", "torchvision_erase_box"];
    let elsewhere = [&elsewhere[..], &CHANNEL_SHIFTS.map(|(name, _)| name)].concat();
    assert_eq!(file.len(), cases.len() + elsewhere.len(), "every golden has a case");
}

/// Goldens of channel shifts, and by how many levels.
const CHANNEL_SHIFTS: [(&str, f32); 2] =
    [("keras_channel_shift", 30.0), ("keras_channel_shift_down", -30.0)];

/// Keras cuts levels to the darkest and the brightest of the image, where ours are cut to 0 and 255.
#[test]
fn channel_shifts_are_those_of_keras_but_for_the_bounds() {
    let file = goldens();
    let file = SafeTensors::deserialize(&file).unwrap();
    let bytes = tensor(&file, "image");
    let image = Pixels { height: HEIGHT, width: WIDTH, channels: 3, bytes };
    let [darkest, brightest] =
        [bytes.iter().min(), bytes.iter().max()].map(|it| (*it.unwrap()).into());
    for (name, channel_shift) in CHANNEL_SHIFTS {
        let distortion = Distortion { channel_shift, ..Distortion::NONE };
        let found = distorted(form(HEIGHT, WIDTH), image, Some(&distortion));
        let expected = floats(tensor(&file, name));
        let cut: Vec<f32> = found.iter().map(|level| level.clamp(darkest, brightest)).collect();
        let difference = largest_difference(&cut, &expected, 0);
        assert!(difference < 0.02, "{name}: {difference}");
        // Which makes a difference in this image.
        let difference = largest_difference(&found, &expected, 0);
        let bound = (255.0 - brightest).min(darkest);
        assert!(difference > bound - 0.02, "{name}: {difference}");
    }
}

/// Keras rounds the levels down to whole numbers, where ours stay as they are.
#[test]
fn brightness_is_that_of_keras_but_for_whole_levels() {
    let file = goldens();
    let file = SafeTensors::deserialize(&file).unwrap();
    let image = Pixels { height: HEIGHT, width: WIDTH, channels: 3, bytes: tensor(&file, "image") };
    let distortion = Distortion { brightness: 1.3, ..Distortion::NONE };
    let found = distorted(form(HEIGHT, WIDTH), image, Some(&distortion));
    let expected = floats(tensor(&file, "keras_brightness"));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((-0.001..1.001).contains(&(found - expected)), "{found} {expected}");
    }
}

/// torchvision's `RandomErasing` after `Normalize`: where it erases, and the mean colour.
#[test]
fn what_is_erased_is_what_torchvision_erases() {
    let file = goldens();
    let file = SafeTensors::deserialize(&file).unwrap();
    let image = Pixels { height: HEIGHT, width: WIDTH, channels: 3, bytes: tensor(&file, "image") };
    let erased_box = tensor(&file, "torchvision_erase_box");
    let [top, left, height, width] = std::array::from_fn(|index| usize::from(erased_box[index]));
    // The area and the ratio from which torchvision computed height and width.
    let (area, ratio) = (0.2_f64, 1.6_f64);
    let [free_down, free_across] =
        [area * ratio, area / ratio].map(|square| 48.0 - 48.0 * square.sqrt());
    let at = [top as f64 / free_down, left as f64 / free_across];
    let erased = Some(Cut { area, ratio, at });
    let preprocessor = Preprocessor::new(Family::Torchvision, form(HEIGHT, WIDTH));
    let mut found = vec![0.0; preprocessor.len()];
    preprocessor.apply_distorted(image, &Distortion { erased, ..Distortion::NONE }, &mut found);
    let expected = floats(tensor(&file, "torchvision_erase"));
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let (row, column) = (at / WIDTH % HEIGHT, at % WIDTH);
        assert!((found - expected).abs() < 1e-4, "{row}, {column}: {found} {expected}");
        let inside = (top..top + height).contains(&row) && (left..left + width).contains(&column);
        assert_eq!(*found == 0.0, inside, "{row}, {column}");
    }
}

/// The digests of what the network is shown for a few images, with every distortion in use, in every family, form and
/// number of channels. Rows on disk depend on them, and they are the same on every machine.
#[test]
fn distorted_images_stay_as_they_are_to_the_last_bit() {
    let ranges: Augmentation =
        "rotation=20,shift-x=0.1,shift-y=0.2,shear=15,zoom=0.3,flip=both,crop=0.4,\
         brightness=0.4,contrast=0.5,channel-shift=30,erase=1"
            .parse()
            .unwrap();
    let bytes: Vec<u8> = (0..90 * 150 * 3_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 26) as u8 * 2 + (at / 450) as u8)
        .collect();
    let [colour, gray] = [3, 1].map(|channels| Pixels {
        height: 90,
        width: 150,
        channels,
        bytes: &bytes[..90 * 150 * channels],
    });
    let (fill, pad_colour) = (Fill::Black, Some([9, 200, 77]));
    let cases = [
        // Enlarged, reduced, and reduced to less than a half, where blocks of pixels are averaged.
        (Family::Caffe, form(224, 224), colour, ranges.clone()),
        (Family::CaffeRgb, form(64, 96), colour, ranges.clone()),
        (Family::Torchvision, form(32, 32), colour, ranges.clone()),
        (Family::Torchvision, form(64, 64), gray, Augmentation { fill, ..ranges.clone() }),
        // Without cutting out, `fit` counts.
        (
            Family::Caffe,
            ImageForm { fit: Fit::Crop, ..form(96, 64) },
            gray,
            Augmentation { crop: 1.0, ..ranges.clone() },
        ),
        (
            Family::CaffeRgb,
            ImageForm { fit: Fit::Pad, pad_colour, ..form(64, 48) },
            colour,
            Augmentation { crop: 1.0, fill, ..ranges },
        ),
    ];
    let mut flips = [[false; 2]; 2];
    let digests: Vec<String> = cases
        .into_iter()
        .map(|(family, form, image, ranges)| {
            let preprocessor = Preprocessor::new(family, form);
            let mut input = vec![0.0; preprocessor.len()];
            let mut hasher = blake3::Hasher::new();
            for view in 0..8_u32 {
                let distortion = Distortion::draw(&ranges, &view.to_le_bytes());
                assert!(distortion.erased.is_some());
                for (seen, flip) in flips.iter_mut().zip(distortion.flip) {
                    seen[usize::from(flip)] = true;
                }
                preprocessor.apply_distorted(image, &distortion, &mut input);
                input.iter().for_each(|value| {
                    hasher.update(&value.to_le_bytes());
                });
            }
            hasher.finalize().to_hex()[..16].to_owned()
        })
        .collect();
    assert_eq!(flips, [[true; 2]; 2]);
    let expected = [
        "e4b5273b23b63c1f",
        "3c74f2904746c5a3",
        "e94a6ee8690dc450",
        "fca2de913a827498",
        "14e862c357a0c7ff",
        "b6174f0e6867cfcc",
    ];
    assert_eq!(digests, expected);
}

/// Without distortion a view is the image as it is preprocessed: the same where it is enlarged, and nearly so where it
/// is reduced, which is done otherwise.
#[test]
fn a_view_without_distortion_is_the_image() {
    let file = goldens();
    let file = SafeTensors::deserialize(&file).unwrap();
    let bytes = tensor(&file, "image");
    let gray: Vec<u8> = bytes.iter().step_by(3).copied().collect();
    for fit in [Fit::Stretch, Fit::Crop, Fit::Pad] {
        for (height, width, mean) in
            [(96, 112, 0.001), (64, 64, 0.001), (32, 32, 3.0), (33, 47, 3.0)]
        {
            let pad_colour = (fit == Fit::Pad).then_some([9, 200, 77]);
            let form = ImageForm { fit, pad_colour, ..form(height, width) };
            for (channels, bytes) in [(3, bytes), (1, &gray)] {
                let image = Pixels { height: HEIGHT, width: WIDTH, channels, bytes };
                let plain = distorted(form, image, None);
                let view = distorted(form, image, Some(&Distortion::NONE));
                let sum: f32 = plain.iter().zip(&view).map(|(a, b)| (a - b).abs()).sum();
                let difference = sum / plain.len() as f32;
                assert!(difference < mean, "{fit}, {height}x{width}, {channels}: {difference}");
            }
        }
    }
}

#[test]
fn every_pixel_counts_where_an_image_is_reduced() {
    // Stripes of one pixel are gray from afar.
    let (height, width) = (400, 600);
    let bytes: Vec<u8> = (0..height * width).map(|at| [0, 255][at % 2]).collect();
    let image = Pixels { height, width, channels: 1, bytes: &bytes };
    let turned = Distortion { rotation: 0.3, ..Distortion::NONE };
    for distortion in [&Distortion::NONE, &turned] {
        let shown = distorted(form(32, 32), image, Some(distortion));
        let middle = &shown[(16 * 32 + 8) * 3..(16 * 32 + 24) * 3];
        assert!(middle.iter().all(|level| (120.0..=135.0).contains(level)), "{middle:?}");
    }
}

#[test]
fn what_is_erased_becomes_the_mean_colour() {
    let bytes = vec![255; 40 * 40];
    let image = Pixels { height: 40, width: 40, channels: 1, bytes: &bytes };
    let erased = Some(Cut { area: 0.25, ratio: 1.0, at: [1.0, 0.5] });
    let preprocessor = preprocessor(form(40, 40));
    let mut input = vec![0.0; preprocessor.len()];
    preprocessor.apply_distorted(image, &Distortion { erased, ..Distortion::NONE }, &mut input);
    for (at, value) in input.iter().enumerate() {
        let (row, column) = (at % 1600 / 40, at % 40);
        let inside = row >= 20 && (10..30).contains(&column);
        assert_eq!(*value == 0.0, inside, "{row}, {column}");
    }
}

#[test]
fn draws_stay_within_their_ranges_and_depend_on_the_bytes_alone() {
    let ranges: Augmentation =
        "rotation=10,shift-x=0.1,shift-y=0.2,shear=5,zoom=0.3,flip=both,crop=0.5,\
         brightness=0.4,contrast=2,channel-shift=20,erase=0.25,fill=black"
            .parse()
            .unwrap();
    let drawn: Vec<Distortion> =
        (0..4000_u32).map(|view| Distortion::draw(&ranges, &view.to_le_bytes())).collect();
    assert_eq!(drawn[7], Distortion::draw(&ranges, &7_u32.to_le_bytes()));
    let check = |name: &str, least: f64, most: f64, of: &dyn Fn(&Distortion) -> f64| {
        let (mut sum, mut low, mut high) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        for distortion in &drawn {
            let value = of(distortion);
            assert!((least..=most).contains(&value), "{name}: {value}");
            (sum, low, high) = (sum + value, low.min(value), high.max(value));
        }
        let range = most - least;
        assert!(low < least + range * 0.01 && high > most - range * 0.01, "{name}: {low} {high}");
        let mean = sum / drawn.len() as f64;
        assert!((mean - (least + most) / 2.0).abs() < range * 0.03, "{name}: {mean}");
    };
    let turn = 10_f64.to_radians();
    check("rotation", -turn, turn, &|it| it.rotation);
    check("shift down", -0.2, 0.2, &|it| it.shift[0]);
    check("shift across", -0.1, 0.1, &|it| it.shift[1]);
    check("shear", -turn / 2.0, turn / 2.0, &|it| it.shear);
    check("zoom down", 0.7, 1.3, &|it| it.zoom[0]);
    check("zoom across", 0.7, 1.3, &|it| it.zoom[1]);
    check("flip down", 0.0, 1.0, &|it| f64::from(u8::from(it.flip[0])));
    check("flip across", 0.0, 1.0, &|it| f64::from(u8::from(it.flip[1])));
    check("crop", 0.5, 1.0, &|it| it.crop.unwrap().area);
    check("brightness", 0.6, 1.4, &|it| it.brightness.into());
    check("contrast", 0.0, 3.0, &|it| it.contrast.into());
    check("channel shift", -20.0, 20.0, &|it| it.channel_shift.into());
    let erased = drawn.iter().filter_map(|it| it.erased).count() as f64 / 4000.0;
    assert!((erased - 0.25).abs() < 0.03, "{erased}");
    assert!(drawn.iter().all(|it| it.fill == Fill::Black));
    // A range of 0 leaves the other draws as they are.
    let fewer = Augmentation { rotation: 0.0, crop: 1.0, erase: 0.0, ..ranges };
    let draw = Distortion::draw(&fewer, &7_u32.to_le_bytes());
    assert_eq!(draw, Distortion { rotation: 0.0, crop: None, erased: None, ..drawn[7].clone() });
}

/// Rows on disk depend on these numbers, which may never change.
#[test]
fn draws_stay_as_they_are() {
    let drawn = Distortion::draw(&Augmentation::digits(), b"bytes");
    let text = format!("{:?} {:?} {:?} {:?}", drawn.rotation, drawn.shift, drawn.shear, drawn.zoom);
    assert_eq!(
        text,
        "0.019170482532547075 [0.032983376823873284, 0.057507221702639846] -0.2141748832651416 [1.0355433125032572, 0.9383783420530399]"
    );
}

#[test]
fn rectangles_lie_inside() {
    for (area, ratio) in [(0.5, 1.0), (1.0, 4.0 / 3.0), (0.33, 3.3), (1.0, 0.75)] {
        for at in [0.0, 0.3, 1.0] {
            let [rows, columns] = Cut { area, ratio, at: [at, 1.0 - at] }.of([40.0, 56.0]);
            assert!(rows[0] >= 0.0 && rows[0] + rows[1] <= 40.0 + 1e-9, "{rows:?}");
            assert!(columns[0] >= 0.0 && columns[0] + columns[1] <= 56.0 + 1e-9, "{columns:?}");
        }
    }
}
