//! A program that fails in the way given by its argument, for tests of `terminal::run`.

use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;

use rayon::prelude::*;
use terminal::{Failure, println, say};

fn main() -> ExitCode {
    let how = std::env::args().nth(1).unwrap_or_default();
    terminal::run("misbehave", || misbehave(&how), |_| Failure::BadInput)
}

#[allow(clippy::panic)] // The argument asks for it.
fn misbehave(how: &str) -> Result<(), std::io::Error> {
    match how {
        "panic" => panic!("as told"),
        "rayon" => (0..1000).into_par_iter().for_each(|number| assert!(number > 999, "as told")),
        "scoped" => thread::scope(|scope| {
            scope.spawn(|| panic!("as told"));
            scope.spawn(|| panic!("as told"));
        }),
        // The other end of the channel is dropped with the thread.
        "pipeline" => {
            let (send, receive) = channel::<()>();
            let worker = thread::spawn(move || {
                let _send = send;
                panic!("as told");
            });
            while receive.recv().is_ok() {}
            let _ = worker.join();
        }
        "unnoticed" => {
            let worker = thread::spawn(|| panic!("as told"));
            while !worker.is_finished() {
                thread::yield_now();
            }
        }
        "print" => (0..100_000).for_each(|line| println!("line {line}")),
        "say" => {
            (0..100_000).for_each(|line| say(format!("line {line}")));
            println!("done");
        }
        "hostile-error" => return Err(std::io::Error::other("class '\u{1b}[2Jcat\u{7}'")),
        _ => println!("nothing went wrong"),
    }
    Ok(())
}
