//! Tests with repeated kills at random moments, after each of which the same command continues.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use end_to_end::caches_in;
use feature_cache::Layout;

use crate::torture;
use crate::victim::Victim;

/// The largest loss of work by a kill.
const MOST_LOST: Duration = Duration::from_secs(30);

/// The number of kills of each program.
fn kills() -> usize {
    torture().unwrap_or(2)
}

/// A sequence of numbers between 0 and 1 that is evenly spread at any length: multiples of the golden
/// ratio (a Weyl sequence).
fn moment(index: usize) -> f64 {
    (index as f64 * 0.618_033_988_749_895).fract()
}

/// Gives the command repeatedly, each time with a kill at another moment of the time that it takes
/// undisturbed. If it reaches its end, the result is compared and the next command starts anew.
fn kill_over_and_over(victim: &Victim) {
    let mut whole = victim.takes;
    let (mut killed, mut resumed, mut ended) = (0, 0, 0);
    let mut most_lost = Duration::ZERO;
    for index in 1.. {
        let from_nothing = !victim.out.exists();
        let command = victim.command();
        let started = SystemTime::now();
        let mut child = Command::new(command.get_program())
            .args(command.get_args())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = whole.mul_f64(moment(index));
        std::thread::sleep(before);
        let has_ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        victim.assert_whole_or_absent();
        if has_ended {
            ended += 1;
            victim.finish();
            victim.forget();
            if from_nothing {
                whole = whole.min(before);
            }
        } else {
            killed += 1;
            resumed += usize::from(victim.resumes());
            if victim.records {
                most_lost = most_lost.max(unrecorded(&victim.out, started));
            }
        }
        if killed == kills() {
            break;
        }
        assert!(index < 20 * kills(), "the program ends before it can be killed");
    }
    victim.finish();
    assert!(most_lost < MOST_LOST, "{most_lost:?} of work were lost");
    let lost = if victim.records {
        format!("; at most {:.1} s were lost", most_lost.as_secs_f64())
    } else {
        String::new()
    };
    println!(
        "{}: killed {killed} times at random; {resumed} times work was continued, {ended} times the \
         end came first, always with the same digests{lost}",
        victim.name,
    );
}

/// The time since the last record of progress in a `progress.json` under `out`, or since the program
/// started.
fn unrecorded(out: &Path, started: SystemTime) -> Duration {
    let folders = caches_in(out);
    let Some(folder) = folders.iter().find(|folder| !feature_cache::is_finished(folder)) else {
        return Duration::ZERO;
    };
    let recorded = fs::metadata(folder.join("progress.json")).and_then(|file| file.modified());
    let recorded = recorded.map_or(started, |recorded| recorded.max(started));
    recorded.elapsed().unwrap_or_default()
}

#[test]
fn extraction_killed_at_random() {
    let images = if torture().is_some() { 3000 } else { 400 };
    for layout in Layout::ALL {
        kill_over_and_over(&Victim::extraction(images, layout));
    }
}

#[test]
fn training_killed_at_random() {
    kill_over_and_over(&Victim::training(600, 300));
}

#[test]
fn sweep_killed_at_random() {
    kill_over_and_over(&Victim::sweep(600, 100));
}

#[test]
fn import_killed_at_random() {
    kill_over_and_over(&Victim::import());
}
