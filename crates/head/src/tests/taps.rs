//! Heads on one tap of several, or on several joined.

use feature_cache::SplitName;
use recipe::Tap;

use super::{Fixture, GO_ON, RESOURCES, config, unheard, whole_row};
use crate::error::ConfigError;
use crate::features::pooled::PooledSplit;
use crate::{Error, Features, evaluate, train};

fn taps(names: &[&str]) -> Vec<Tap> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn fixture() -> Fixture {
    Fixture::of_taps(&["conv4_3:avg", "conv5_3", "pool5"], &[vec![5], vec![4, 4, 2], vec![4, 2, 1]])
}

/// A convolution's maps are pooled, and all else is joined as it is.
#[test]
fn rows_are_pooled_and_joined() {
    let fixture = fixture();
    for (names, file, row_len) in [
        (vec![], "train.npy", 8),
        (vec!["pool5"], "train.npy", 8),
        (vec!["conv5_3"], "train-conv5_3.npy", 8),
        (vec!["conv4_3:avg"], "train-conv4_3-avg.npy", 5),
        (vec!["conv4_3:avg", "conv5_3"], "train-conv4_3-avg+conv5_3.npy", 13),
    ] {
        let taps = taps(&names);
        let features = Features::at(&fixture.cache, &taps).unwrap();
        let pooled = PooledSplit::open(features, SplitName::Train, &mut unheard).unwrap();
        assert!(fixture.pooled().join(file).exists(), "{file}");
        assert_eq!((features.row_len(), pooled.rows()), (row_len, 12));

        let whole = fixture.cache.split_at(SplitName::Train, features.taps()).unwrap();
        let mut row = vec![0.0; whole.row_len()];
        whole.read_row(7, &mut row).unwrap();
        let mut buffer = None;
        let found = whole_row(pooled.read(&[7], &mut buffer).unwrap()[0], row_len);
        let mut expected = Vec::new();
        let mut rest = row.as_slice();
        for tap in features.taps() {
            let shape = fixture.cache.shape(tap).unwrap();
            let numbers;
            (numbers, rest) = rest.split_at(shape.iter().product());
            if tap.layer == "conv5_3" {
                for map in numbers.chunks(8) {
                    for pair in map.chunks(4) {
                        expected.push(pair.iter().copied().fold(f32::MIN, f32::max));
                    }
                }
            } else {
                expected.extend(numbers);
            }
        }
        assert_eq!(found, expected, "{names:?}");
    }
}

#[test]
fn a_head_is_evaluated_on_the_taps_that_it_was_trained_on() {
    let fixture = fixture();
    let runs = fixture.path("runs");
    let mut ids = Vec::new();
    for names in [
        vec![],
        vec!["conv4_3:avg"],
        vec!["conv4_3:avg", "conv5_3"],
        vec!["conv5_3", "conv4_3:avg"],
    ] {
        let taps = taps(&names);
        let features = Features::at(&fixture.cache, &taps).unwrap();
        let run = train(features, &config(), RESOURCES, &runs, &mut unheard, &GO_ON).unwrap();
        assert_eq!(run.config().taps, features.taps());
        assert_eq!(run.config().recipe.as_ref(), Some(features.recipe()));
        let last = run.summary().unwrap().last;
        let found = evaluate(&run, &fixture.cache, SplitName::Val, 1, &mut unheard).unwrap();
        assert_eq!(Some(found.top1), last.val_top1, "{names:?}");
        ids.push(run.config().id());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "other taps, other heads");
    // torchvision's names are those of VGG16's layers.
    let named = crate::taps_of(&fixture.cache, &taps(&["features.22:avg", "conv5_3", "other"]));
    assert_eq!(named, taps(&["conv4_3:avg", "conv5_3", "other"]));
    let twice = taps(&["conv5_3", "conv5_3"]);
    let error = Features::at(&fixture.cache, &twice).unwrap_err();
    assert!(matches!(error, Error::Config(ConfigError::TapTwice { .. })), "{error}");
    let absent = taps(&["pool4"]);
    let error = Features::at(&fixture.cache, &absent).unwrap_err();
    assert!(matches!(error, Error::Cache(feature_cache::Error::NoTap { .. })), "{error}");
}
