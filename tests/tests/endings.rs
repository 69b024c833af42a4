//! Tests of programs that fail, or whose output nobody reads. They never end with the standard text of a
//! panic, an abort or a hang.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use end_to_end::{Workplace, vgg_extract};

fn misbehave(how: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_misbehave"));
    command.arg(how).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ended(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_panic_on_any_thread_is_reported_once_and_ends_with_1() {
    for how in ["panic", "rayon", "scoped", "pipeline", "unnoticed"] {
        let (code, stdout, stderr) = ended(&mut misbehave(how));
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{how}: {stderr}");
        assert_eq!(stderr.matches("misbehave: internal error: ").count(), 1, "{how}: {stderr}");
        assert_eq!(stderr.matches("Please report it with the command line").count(), 1, "{stderr}");
        assert!(stderr.contains("as told") && stderr.contains("misbehave.rs"), "{how}: {stderr}");
    }
    assert_eq!(ended(&mut misbehave("")).0, Some(0));
}

#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    let mut child = misbehave("print").spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "line 0\n");
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), stderr), (Some(0), Vec::new()));
}

#[test]
fn messages_that_nobody_reads_do_not_stop_the_work() {
    let mut child = misbehave("say").spawn().unwrap();
    drop(child.stderr.take());
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), stdout), (Some(0), b"done\n".to_vec()));
    let mut child = misbehave("rayon").spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn results_that_cannot_be_written_are_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let (code, _, stderr) = ended(misbehave("print").stdout(full));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("could not write to standard output: No space left"), "{stderr}");
}

#[test]
fn closed_streams_are_no_panic() {
    let script = r#""$0" status --out "$1" >&- 2>&-"#;
    let program = vgg_extract(["status"]).get_program().to_owned();
    let folder = Workplace::empty().path("features");
    let status = Command::new("sh").args(["-c", script]).arg(&program).arg(&folder).status();
    assert_eq!(status.unwrap().code(), Some(0));
    let script = r#""$0" status --out "$1" 2>&1 | head -c 0"#;
    let (code, stdout, stderr) =
        ended(Command::new("sh").args(["-c", script]).arg(&program).arg(&folder));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn escape_sequences_from_a_file_do_not_reach_the_terminal() {
    let (code, _, stderr) = ended(&mut misbehave("hostile-error"));
    assert_eq!(code, Some(3));
    assert_eq!(stderr, "misbehave: error: class '\\u{1b}[2Jcat\\u{7}'\n");
}
