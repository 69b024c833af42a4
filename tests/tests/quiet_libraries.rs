//! A test that libraries print nothing, draw no progress, and use no global for stopping: they report
//! events and take a flag. Only the programs' own files use the terminal.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::Path;

use end_to_end::{files_in, root};

/// The quiet libraries, each with the files and folders of `src` that belong to its program.
const LIBRARIES: [(&str, &[&str]); 14] = [
    ("backbone", &[]),
    // It reads the streams of a process that it starts.
    ("classify", &["main.rs", "cli", "onnx_export/python.rs"]),
    ("dataset", &[]),
    ("durable", &[]),
    ("extract", &["main.rs", "cli"]),
    ("feature-cache", &[]),
    ("fused-head", &[]),
    ("head", &["main.rs", "cli"]),
    ("kernel-support", &["testing.rs"]),
    ("onnx", &[]),
    ("recipe", &[]),
    ("report", &[]),
    ("shuffle", &[]),
    ("winograd", &[]),
];

/// The names that libraries do not use.
const LOUD: [&str; 9] = [
    "terminal",
    "indicatif",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "dbg!",
    "stdout",
    "stderr",
];

/// The loud words in a program's text, except in comments.
fn loud_words(text: &str) -> Vec<&'static str> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let contains = |word: &str| {
        code.match_indices(word).any(|(at, _)| {
            let after = &code[at + word.len()..];
            !code[..at].ends_with(is_word) && !after.starts_with(is_word)
        })
    };
    LOUD.into_iter().filter(|word| contains(word)).collect()
}

#[test]
fn libraries_do_not_print() {
    for (library, of_the_program) in LIBRARIES {
        let src = root().join("crates").join(library).join("src");
        let is_library = |path: &Path| {
            let relative = path.strip_prefix(&src).unwrap();
            !of_the_program.iter().any(|program| relative.starts_with(program))
        };
        let rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
        let files = files_in(&src).into_iter().filter(|path| rust(path) && is_library(path));
        let files: Vec<_> = files.collect();
        assert!(files.iter().any(|path| path.ends_with("lib.rs")), "{library} has no library");
        for path in files {
            let loud = loud_words(&fs::read_to_string(&path).unwrap());
            assert!(loud.is_empty(), "{} has {loud:?}", path.display());
        }
    }
}

#[test]
fn loud_words_are_found_and_others_are_not() {
    assert_eq!(loud_words("use terminal::say;"), ["terminal"]);
    assert_eq!(loud_words("fn f() { std::println!(\"\") }"), ["println!"]);
    assert_eq!(loud_words("let _ = std::io::stderr().lock();"), ["stderr"]);
    assert_eq!(loud_words("// println!\nlet terminals = 1; // for a terminal"), [""; 0]);
}
