//! Every operation that writing a run or a sweep takes fails once in every way that a disk knows:
//! the error names the file, no file is torn, and the same call again ends in the same head.

use std::fs;
use std::path::{Path, PathBuf};

use durable::faults::{Fault, inject};

use super::{Fixture, GO_ON, RESOURCES, config, unheard};
use crate::{Error, Grid, Run, TrainConfig, sweep, train};

/// Asserts that a failure is the file system's, that it names a file under `root`, and how much room
/// is wanting if it is a full disk.
fn assert_names_a_file(error: Error, fault: Fault, root: &Path) {
    let (Error::File(error) | Error::Cache(feature_cache::Error::File(error))) = error else {
        panic!("{fault:?}: {error}")
    };
    assert!(!fault.is_harmless(), "{fault:?}: {error}");
    assert!(error.path.starts_with(root), "{error}");
    assert_eq!(error.is_out_of_space(), fault == Fault::FullDisk, "{error}");
    assert_eq!(error.to_string().contains("B more are needed"), fault == Fault::FullDisk);
}

/// Asserts that every file of the runs under `root` is whole, and that none is left over unless the
/// power was cut.
fn assert_none_is_torn(root: &Path, head: &[u8], fault: Fault) {
    for path in files_in(root) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if durable::is_leftover(&path) {
            assert_eq!(fault, Fault::PowerCut, "{} is left over", path.display());
            continue;
        }
        let run = path.parent().unwrap();
        match name {
            "config.json" if run.parent().unwrap().ends_with("runs") => {
                drop(Run::open(run).unwrap())
            }
            "metrics.csv" => assert_eq!(Run::open(run).unwrap().metrics().unwrap().len(), 1),
            "head.safetensors" => assert_eq!(fs::read(&path).unwrap().len(), head.len()),
            "summary.json" if run.parent().unwrap().ends_with("runs") => {
                drop(Run::open(run).unwrap().parameters().unwrap());
            }
            "config.json" | "summary.json" | "evaluation.json" => {
                serde_json::from_slice::<serde_json::Value>(&fs::read(&path).unwrap()).unwrap();
            }
            "results.csv" => assert!(fs::read_to_string(&path).unwrap().ends_with('\n')),
            other => panic!("{other} is not expected"),
        }
    }
}

/// Every file in a folder and the folders within it.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

fn head_of(run: &Path) -> Vec<u8> {
    fs::read(run.join("head.safetensors")).unwrap()
}

#[test]
fn whatever_fails_a_run_is_whole_or_trained_again() {
    // Their pooled features are in one array, or in three.
    for fixture in [Fixture::new(), Fixture::sparse()] {
        whatever_fails_a_run_of(&fixture);
    }
}

fn whatever_fails_a_run_of(fixture: &Fixture) {
    let train =
        |root: &Path| train(fixture.features(), &config(), RESOURCES, root, &mut unheard, &GO_ON);
    let reference = head_of(train(&fixture.path("reference")).unwrap().folder());
    let root = fixture.path("runs");
    let train = || train(&root);
    for fault in Fault::ALL {
        let mut refused = 0;
        for index in 0.. {
            for folder in [&root, &fixture.pooled()] {
                if folder.exists() {
                    fs::remove_dir_all(folder).unwrap();
                }
            }
            let (trained, struck) = inject(fault, index, train);
            if let Err(error) = trained {
                assert_names_a_file(error, fault, fixture.root.path());
                refused += 1;
            }
            assert_none_is_torn(&root, &reference, fault);
            for path in files_in(&fixture.pooled()) {
                let left_over = durable::is_leftover(&path);
                assert!(!left_over || fault == Fault::PowerCut, "{}", path.display());
            }
            let (run, _) = inject(Fault::ShortWrite, usize::MAX, train);
            assert_eq!(head_of(run.unwrap().folder()), reference, "{fault:?} {index}");
            if !struck {
                break;
            }
        }
        // A full disk lets nobody train, a device's one error only while the run is written: the
        // pooled features are made in memory instead.
        assert!(fault.is_harmless() || refused > 20, "{fault:?}: {refused} refused");
    }
}

#[test]
fn whatever_fails_a_sweep_is_continued_to_the_same_results() {
    let fixture = Fixture::new();
    let grid = Grid {
        hidden: vec![8.into()],
        ps: vec![0.0, 0.5],
        common: TrainConfig { batch_size: 4, ..TrainConfig::default() },
        ..Grid::default()
    };
    let sweep = |root: &PathBuf| {
        sweep(fixture.features(), &grid, false, RESOURCES, root, &mut unheard, &GO_ON)
    };
    let results = |folder: &Path| fs::read_to_string(folder.join("results.csv")).unwrap();
    let reference = sweep(&fixture.path("reference")).unwrap();
    let head = head_of(reference.best_run().unwrap().folder());
    let root = fixture.path("sweeps");
    for fault in [Fault::FullDisk, Fault::DeviceError, Fault::PowerCut] {
        for index in 0.. {
            let (swept, struck) = inject(fault, index, || sweep(&root));
            assert_eq!(struck, swept.is_err(), "{fault:?} {index}");
            if let Err(error) = swept {
                assert_names_a_file(error, fault, fixture.root.path());
            }
            assert_none_is_torn(&root, &head, fault);
            let (again, _) = inject(Fault::ShortWrite, usize::MAX, || sweep(&root));
            let again = again.unwrap();
            assert_eq!(again.summary(), reference.summary());
            assert_eq!(results(again.folder()), results(reference.folder()));
            assert_eq!(again.evaluation().unwrap(), reference.evaluation().unwrap());
            fs::remove_dir_all(&root).unwrap();
            if !struck {
                break;
            }
        }
    }
}
