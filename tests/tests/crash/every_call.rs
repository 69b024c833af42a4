//! Tests with a kill at each call that changes files, including the last rename and the calls around it,
//! and another kill at the same call after the command was given again.
//!
//! `fixtures/kill_at.c`, preloaded into the programs, counts the calls.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use end_to_end::{Workplace, files_in, is_hidden, path_from};
use feature_cache::Layout;

use crate::torture;
use crate::victim::Victim;

const SIGKILL: i32 = 9;

/// The library that kills.
struct Killer {
    library: PathBuf,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Killer {
    fn new() -> Killer {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("kill_at.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kill_at.c");
        let compiled = Command::new("cc")
            .args(["-std=c11", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status()
            .expect("a C compiler called 'cc' must be installed, as Rust itself needs one to link");
        assert!(compiled.success(), "{} must compile", source.display());
        Killer { library, log: folder.path().join("calls"), _folder: folder }
    }

    /// Runs a program to its call of this number, or to its end if that is 0. Returns its calls, each
    /// with a name and a path, and whether it was killed at the last.
    /// It may end with `code`.
    fn run(&self, mut command: assert_cmd::Command, call: usize, code: i32) -> (Vec<String>, bool) {
        fs::write(&self.log, "").unwrap();
        command.env("LD_PRELOAD", &self.library).env("KILL_LOG", &self.log);
        let output = command.env("KILL_AT", call.to_string()).output().unwrap();
        let killed = output.status.signal() == Some(SIGKILL);
        assert!(killed || output.status.code() == Some(code), "{output:?}");
        let calls = fs::read_to_string(&self.log).unwrap();
        (calls.lines().map(ToOwned::to_owned).collect(), killed)
    }
}

/// The numbers of the calls at which to kill: all of them, or three, including the rename that makes the
/// result visible and the call after it.
fn chosen(calls: &[String], marker: &str) -> Vec<usize> {
    let puts_in_place = |call: &String| call.starts_with("rename ") && call.ends_with(marker);
    let last_rename = 1 + calls.iter().rposition(puts_in_place).expect("results are put in place");
    match torture() {
        Some(_) => (1..=calls.len()).collect(),
        None => vec![calls.len() / 2, last_rename, last_rename + 1],
    }
}

fn kill_at_every_call(victim: &Victim) {
    let killer = Killer::new();
    let (calls, _) = killer.run(victim.command(), 0, victim.code);
    let chosen = chosen(&calls, victim.marker);
    // At the second kill at the same number, the program has progressed further.
    let times = if torture().is_some() { 2 } else { 1 };
    let mut killed_at: BTreeMap<String, usize> = BTreeMap::new();
    let (mut first, mut again, mut resumed, mut whole) = (0, 0, 0, 0);
    for (index, &call) in chosen.iter().enumerate() {
        victim.forget();
        for time in 0..times {
            let (mut calls, mut killed) = killer.run(victim.command(), call, victim.code);
            if !killed && times == 1 {
                // The run that was counted was held up and made more calls than this one, which has ended.
                victim.forget();
                let call = self::chosen(&calls, victim.marker)[index];
                (calls, killed) = killer.run(victim.command(), call, victim.code);
            }
            if killed {
                *if time == 0 { &mut first } else { &mut again } += 1;
                let (name, _) = calls.last().unwrap().split_once(' ').unwrap();
                *killed_at.entry(name.to_owned()).or_default() += 1;
            }
            victim.assert_whole_or_absent();
        }
        resumed += usize::from(victim.resumes());
        whole += usize::from(victim.is_finished());
        victim.finish();
    }
    // Progress is recorded at intervals of time, so a run on a busy machine has some more calls.
    assert!(first > chosen.len() * 3 / 4, "{first} kills at {} calls", chosen.len());
    let kinds: Vec<String> =
        killed_at.iter().map(|(name, count)| format!("{name} {count}")).collect();
    println!(
        "{}: killed at {first} of {} calls that change files, then again {again} times ({}); \
         {resumed} times work was continued, {whole} times the result was there, always with the \
         same digests",
        victim.name,
        calls.len(),
        kinds.join(", "),
    );
}

#[test]
fn extraction_killed_at_every_call() {
    for layout in Layout::ALL {
        kill_at_every_call(&Victim::extraction(60, layout));
    }
}

#[test]
fn extraction_with_reuse_killed_at_every_call() {
    for layout in Layout::ALL {
        kill_at_every_call(&Victim::extraction_with_reuse(60, layout));
    }
}

#[test]
fn extraction_with_copies_killed_at_every_call() {
    for layout in Layout::ALL {
        kill_at_every_call(&Victim::extraction_with_copies(20, layout));
    }
}

/// The images that are left are those of an undisturbed extraction, and the plan that had the bad ones is gone.
#[test]
fn extraction_of_bad_images_killed_at_every_call() {
    for layout in Layout::ALL {
        kill_at_every_call(&Victim::extraction_of_bad_images(60, layout));
    }
}

#[test]
fn conversion_killed_at_every_call() {
    for layout in Layout::ALL {
        kill_at_every_call(&Victim::conversion(60, layout));
    }
}

/// The digests of a dataset's files are remembered before the extraction begins, and by one that has nothing
/// else to do.
#[test]
fn remembering_killed_at_every_call() {
    let workplace = Workplace::new();
    let run = || workplace.run("digits", &[]);
    let cache = path_from(run());
    // Files that were just written are not remembered.
    let settle = || std::thread::sleep(Duration::from_millis(2100));
    settle();
    let folder = workplace.path("features/.file-digests");
    let remembered = || files_in(&folder).into_iter().find(|path| !is_hidden(path));
    assert_eq!(path_from(run()), cache);
    let index = remembered().expect("the digests are remembered");
    let old = fs::read(&index).unwrap();
    let images =
        fs::File::options().write(true).open(workplace.path("digits/t10k-images-idx3-ubyte"));
    images.unwrap().set_modified(SystemTime::now() - Duration::from_secs(1_000_000)).unwrap();
    settle();
    let killer = Killer::new();
    let (calls, _) = killer.run(run(), 0, 0);
    let new = fs::read(&index).unwrap();
    assert!(new != old && calls.len() >= 5, "{calls:?}");
    let (mut olds, mut news) = (0, 0);
    for there in [Some(&old), None] {
        for call in 1..=calls.len() {
            fs::remove_dir_all(&folder).unwrap();
            if let Some(bytes) = there {
                fs::create_dir(&folder).unwrap();
                fs::write(&index, bytes).unwrap();
            }
            let (calls, killed) = killer.run(run(), call, 0);
            assert!(killed, "{calls:?}");
            match remembered().map(|path| fs::read(path).unwrap()) {
                found if found.as_ref() == there => olds += 1,
                Some(found) if found == new => news += 1,
                found => panic!("killed at {:?}, it left {found:?}", calls.last()),
            }
            assert_eq!(path_from(run()), cache);
            assert!(fs::read(&index).unwrap() == new);
        }
    }
    println!("remembering: {olds} times the old digests were there, {news} times the new ones");
    assert!(olds > 0 && news > 0);
}

#[test]
fn training_killed_at_every_call() {
    kill_at_every_call(&Victim::training(60, 3));
}

#[test]
fn sweep_killed_at_every_call() {
    kill_at_every_call(&Victim::sweep(60, 3));
}

#[test]
fn cross_validation_killed_at_every_call() {
    kill_at_every_call(&Victim::cross_validation(60, 2));
}

#[test]
fn import_killed_at_every_call() {
    kill_at_every_call(&Victim::import());
}
