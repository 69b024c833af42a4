//! Killed at random moments, over and over: each time the same command goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use feature_cache::Layout;

use crate::torture;
use crate::victim::Victim;

/// Most work that a kill may cost.
const MOST_LOST: Duration = Duration::from_secs(30);

/// How often each program is killed.
fn kills() -> usize {
    torture().unwrap_or(2)
}

/// Numbers between 0 and 1 that are spread evenly, whatever their count: the golden ratio's
/// multiples (a Weyl sequence).
fn moment(index: usize) -> f64 {
    (index as f64 * 0.618_033_988_749_895).fract()
}

/// Gives the command over and over, each time killed at another moment of the time that it takes
/// when left alone. Where it came to its end, the result is compared and the next begins anew.
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

/// The time since what is unfinished under `out` was last recorded in its `progress.json`, or since
/// the program started.
fn unrecorded(out: &Path, started: SystemTime) -> Duration {
    let folders = durable::folders(out).unwrap();
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
