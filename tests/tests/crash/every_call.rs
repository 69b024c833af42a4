//! Killed exactly where it hurts: at each call that changes files, the last rename and those around
//! it among them, and again at the same call after going on.
//!
//! `fixtures/kill_at.c`, preloaded into the programs, counts the calls.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::torture;
use crate::victim::Victim;

const SIGKILL: i32 = 9;

/// The library that kills.
struct Killer {
    folder: tempfile::TempDir,
    library: PathBuf,
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
        Killer { folder, library }
    }

    /// Runs the victim undisturbed and returns its calls: a name and a path each.
    fn calls_of(&self, victim: &Victim) -> Vec<String> {
        victim.forget();
        let log = self.folder.path().join("calls");
        let mut command = victim.command();
        command.env("LD_PRELOAD", &self.library).env("KILL_LOG", &log);
        assert!(command.output().unwrap().status.success());
        fs::read_to_string(log).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    /// Runs the victim to its call of this number; whether it came to it.
    fn kill(&self, victim: &Victim, call: usize) -> bool {
        let mut command = victim.command();
        command.env("LD_PRELOAD", &self.library).env("KILL_AT", call.to_string());
        let output = command.output().unwrap();
        let killed = output.status.signal() == Some(SIGKILL);
        assert!(killed || output.status.success(), "{output:?}");
        killed
    }
}

/// Numbers of the calls to be killed at: all of them, or three, two of which are the rename that
/// makes the result visible and the call behind it.
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
    let calls = killer.calls_of(victim);
    let mut killed_at: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut killed, mut resumed, mut whole) = (0, 0, 0);
    let chosen = chosen(&calls, victim.marker);
    for &call in &chosen {
        victim.forget();
        for _ in 0..2 {
            if killer.kill(victim, call) {
                killed += 1;
                *killed_at.entry(calls[call - 1].split(' ').next().unwrap()).or_default() += 1;
            }
            victim.assert_whole_or_absent();
        }
        resumed += usize::from(victim.resumes());
        whole += usize::from(victim.is_finished());
        victim.finish();
    }
    // With a flush every two seconds, a slow run has some calls more than a fast one.
    assert!(killed > chosen.len() * 3 / 4, "{killed} kills at {} calls", chosen.len());
    let kinds: Vec<String> =
        killed_at.iter().map(|(name, count)| format!("{count} at {name}")).collect();
    println!(
        "{}, {} of {} calls that change files: killed {killed} times ({}); {whole} times the result \
         was whole already, {resumed} times work was continued, always to the same digests",
        victim.name,
        chosen.len(),
        calls.len(),
        kinds.join(", "),
    );
}

#[test]
fn extraction_killed_at_every_call() {
    kill_at_every_call(&Victim::extraction(60));
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
fn import_killed_at_every_call() {
    kill_at_every_call(&Victim::import());
}
