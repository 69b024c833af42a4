//! Caches of several taps: an array for each, read alone or joined.

use feature_cache::{Cache, CacheWriter, SplitName, Started};
use recipe::Tap;

use crate::common::{features, files, spec_of_two_taps, write_cache_of};

fn tap(text: &str) -> Tap {
    text.parse().unwrap()
}

#[test]
fn rows_of_taps_are_read_alone_or_joined() {
    let root = tempfile::tempdir().unwrap();
    let cache = write_cache_of(root.path(), spec_of_two_taps()).unwrap();
    Cache::verify(cache.folder(), |_, _| ()).unwrap();
    assert_eq!(*cache.default_tap(), tap("conv5_3"));
    assert_eq!(*cache.shape(&tap("conv4_3:avg")).unwrap(), [3]);
    for row in 0..5 {
        // Halves hold these numbers exactly.
        let whole = features(row);
        let pooled = &whole[..3];
        for (taps, expected) in [
            (vec!["conv5_3"], whole.clone()),
            (vec!["conv4_3:avg"], pooled.to_vec()),
            (vec!["conv4_3:avg", "conv5_3"], [pooled, &whole].concat()),
            (vec!["conv5_3", "conv4_3:avg"], [&whole, pooled].concat()),
        ] {
            let taps: Vec<Tap> = taps.into_iter().map(tap).collect();
            let split = cache.split_at(SplitName::Train, &taps).unwrap();
            let mut values = vec![0.0; split.row_len()];
            split.read_row(row, &mut values).unwrap();
            assert_eq!(values, expected, "{taps:?}");
            split.release_row(row);
            split.read_row(row, &mut values).unwrap();
            assert_eq!(values, expected, "{taps:?}");
        }
    }
    let joined = cache.split_at(SplitName::Test, &[tap("conv4_3:avg"), tap("conv5_3")]).unwrap();
    let alone = cache.split(SplitName::Test).unwrap();
    assert_ne!(joined.features_digest(), alone.features_digest());
    joined.verify_features().unwrap();
    let error = cache.split_at(SplitName::Test, &[tap("pool4")]).unwrap_err().to_string();
    assert!(error.contains("no features of pool4; it has conv4_3:avg,conv5_3"), "{error}");
}

/// Rows that one of the arrays lost are computed again, for all of them.
#[test]
fn a_damaged_array_is_begun_again_with_the_others() {
    let undisturbed = tempfile::tempdir().unwrap();
    let cache = write_cache_of(undisturbed.path(), spec_of_two_taps()).unwrap();
    let reference = files(cache.folder());
    for damaged in ["features-conv4_3-avg.npy", "features-conv5_3.npy"] {
        let root = tempfile::tempdir().unwrap();
        let start = || match CacheWriter::start(root.path(), spec_of_two_taps()).unwrap() {
            Started::Unfinished(writer) => *writer,
            Started::Complete(_) => panic!("the cache is not finished"),
        };
        let mut writer = start();
        let folder = writer.folder().to_path_buf();
        let mut train = writer.split(SplitName::Train).unwrap();
        train.append(&[&features(0)[..3], &features(0)]).unwrap();
        train.checkpoint().unwrap();
        drop(writer);

        let path = folder.join("train").join(damaged);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[128] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let mut writer = start();
        assert_eq!(writer.split(SplitName::Train).unwrap().rows_done(), 0);
        drop(writer);
        let cache = write_cache_of(root.path(), spec_of_two_taps()).unwrap();
        assert_eq!(files(cache.folder()), reference);
    }
}

/// The first row that one of the taps cannot hold ends all of them.
#[test]
fn taps_end_at_the_same_row() {
    let rows = |bad: usize, row_len: usize| {
        let rows = (0..5).flat_map(move |row| features(row)[..row_len].to_vec());
        rows.enumerate().map(|(at, value)| if at == bad { 1e9 } else { value }).collect::<Vec<_>>()
    };
    for (bad_pooled, bad_map, sound) in [(3 * 3 + 1, usize::MAX, 3), (4 * 3, 2 * 8 + 5, 2)] {
        let root = tempfile::tempdir().unwrap();
        let Started::Unfinished(mut writer) =
            CacheWriter::start(root.path(), spec_of_two_taps()).unwrap()
        else {
            panic!("the folder is new")
        };
        let mut train = writer.split(SplitName::Train).unwrap();
        let error = train.append(&[&rows(bad_pooled, 3), &rows(bad_map, 8)]).unwrap_err();
        let says = format!("row {sound} of train (sample \"digit {sound}\")");
        assert!(error.to_string().contains(&says), "{error}");
        assert_eq!(train.rows_done(), sound);
    }
}
