//! Cross-validation on a small cache: what a fold's heads see, streamed rows, and failing disks.

use std::fs;
use std::path::Path;

use durable::faults::{Fault, inject};
use feature_cache::SplitName;

use super::{Fixture, GO_ON, RESOURCES, config, unheard, whole_row};
use crate::cross_validation::folds::{Division, Fold};
use crate::features::labelled::{LabelledSplit, Splits};
use crate::resources::{Memory, Resources};
use crate::{CrossValidation, Error, Folds, Groups, TrainConfig, cross_validate};

fn folds(folds: usize, repeats: usize) -> Folds {
    Folds { folds, repeats, groups: Groups::None }
}

fn run(
    fixture: &Fixture,
    root: &Path,
    folds: &Folds,
    resources: Resources,
) -> Result<CrossValidation, Error> {
    let heads = [0, 7].map(|seed| TrainConfig { seed, ..config() });
    cross_validate(fixture.features(), &heads, folds, resources, root, &mut unheard, &GO_ON)
}

fn rows_of(split: &LabelledSplit<'_>) -> Vec<Vec<f32>> {
    let rows: Vec<usize> = (0..split.features.rows()).collect();
    let mut buffer = None;
    let rows = split.features.read(&rows, &mut buffer).unwrap();
    rows.into_iter().map(|row| whole_row(row, 16)).collect()
}

/// Whether the rows are in memory or not, and dense or sparse.
#[test]
fn a_folds_splits_are_the_rows_outside_of_it_and_its_own() {
    for fixture in [Fixture::new(), Fixture::sparse()] {
        let features = fixture.features();
        let labels: Vec<Option<i64>> = (0..12).map(|row| Some(row % 2)).collect();
        let groups: Vec<u32> = (0..12).collect();
        let division = Division::new(&labels, 2, &groups, 3, 0).unwrap();
        let all = rows_of(&LabelledSplit::open(features, SplitName::Train, &mut unheard).unwrap());
        for number in 0..3 {
            let fold = Fold { folds: 3, fold: number + 1, repeat: 1, division: division.digest() };
            let features = features.outside_of(fold);
            let mut splits =
                Splits::of_fold(features, &division, number, false, &mut unheard).unwrap();
            for in_memory in [false, true] {
                let validation = splits.validation.as_mut().unwrap();
                for (split, own) in [(&mut splits.training, false), (validation, true)] {
                    split.features.keep_in_memory(in_memory, &mut unheard).unwrap();
                    let is_there = |row: &usize| (division.fold_of(*row) == Some(number)) == own;
                    let rows: Vec<usize> = (0..12).filter(is_there).collect();
                    assert_eq!(split.features.images(), rows.len());
                    let expected: Vec<_> = rows.iter().map(|&row| all[row].clone()).collect();
                    assert_eq!(rows_of(split), expected);
                    let labels: Vec<i64> = rows.iter().map(|&row| row as i64 % 2).collect();
                    assert_eq!(split.labels, labels);
                    assert_eq!(split.features.number(1), rows[1]);
                }
            }
            // With --keep, epochs are compared on the validation split.
            let splits = Splits::of_fold(features, &division, number, true, &mut unheard).unwrap();
            assert_eq!(splits.validation.unwrap().features.rows(), 6);
        }
    }
}

/// Heads whose rows are streamed are others, since rows are shuffled in windows, but no less is there.
#[test]
fn rows_of_folds_are_streamed_if_memory_is_short() {
    let rows = 1500;
    let fixture =
        Fixture::with_values(rows, |row, index| ((row * 64 + index) * 37 % 101) as f32 - 30.0);
    let mut streamed = 0;
    let heads = [config()];
    let resources = Resources { threads: 1, memory: Memory::Given(125_000) };
    let mut report = |event: crate::Event<'_>| {
        streamed += usize::from(matches!(event, crate::Event::Streaming { .. }));
    };
    let root = fixture.path("streamed");
    let found = cross_validate(
        fixture.features(),
        &heads,
        &folds(3, 1),
        resources,
        &root,
        &mut report,
        &GO_ON,
    );
    let found = found.unwrap();
    assert_eq!(streamed, 3, "each fold");
    let out_of_fold = found.out_of_fold().unwrap();
    assert_eq!(out_of_fold.rows, (0..rows).collect::<Vec<_>>());
    let sums = out_of_fold.probabilities.chunks(2).map(|row| row.iter().sum::<f64>());
    assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-9));
}

#[test]
fn repeats_are_averaged_and_their_spread_is_said() {
    let fixture = Fixture::new();
    let once = run(&fixture, &fixture.path("once"), &folds(3, 1), RESOURCES).unwrap();
    let twice = run(&fixture, &fixture.path("twice"), &folds(3, 2), RESOURCES).unwrap();
    assert_eq!((once.results().len(), twice.results().len()), (3, 6));
    assert_eq!(once.results(), &twice.results()[..3], "the first repeat is the same");
    assert_eq!(once.summary().label_sd, None);
    assert!(twice.summary().label_sd.is_some_and(|sd| sd > 0.0));
    let [once, twice] = [once, twice].map(|found| found.out_of_fold().unwrap());
    assert!(once.label_sd.iter().all(|sd| sd.is_nan()));
    assert_eq!(twice.folds.len(), 24);
    // From the mean of both and the first, the second follows, and with it the spread.
    for image in 0..12 {
        let label = once.labels[image] as usize;
        let [first, mean] = [&once, &twice].map(|it| it.of(image)[label]);
        let second = 2.0 * mean - first;
        let sd = (first - second).abs() / 2f64.sqrt();
        assert!((twice.label_sd[image] - sd).abs() < 1e-7, "{image}");
    }
}

#[test]
fn whatever_fails_it_is_continued_to_the_same_results() {
    let fixture = Fixture::new();
    let files = ["oof.npz", "results.csv", "oof.parquet"];
    let contents =
        |found: &CrossValidation| files.map(|file| fs::read(found.folder().join(file)).unwrap());
    let cv = |root: &Path| run(&fixture, root, &folds(2, 1), RESOURCES);
    let reference = cv(&fixture.path("reference")).unwrap();
    let root = fixture.path("cv");
    for fault in [Fault::FullDisk, Fault::DeviceError, Fault::PowerCut] {
        for index in 0.. {
            let (found, struck) = inject(fault, index, || cv(&root));
            assert_eq!(struck, found.is_err(), "{fault:?} {index}");
            if let Err(error) = found {
                let Error::File(error) = error else { panic!("{fault:?} {index}: {error}") };
                assert!(error.path.starts_with(fixture.root.path()), "{error}");
            }
            let (again, _) = inject(Fault::ShortWrite, usize::MAX, || cv(&root));
            let again = again.unwrap();
            assert_eq!(again.summary(), reference.summary(), "{fault:?} {index}");
            assert!(contents(&again) == contents(&reference), "{fault:?} {index}");
            fs::remove_dir_all(&root).unwrap();
            if !struck {
                break;
            }
        }
    }
}
