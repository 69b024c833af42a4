//! Snapshots of `--help`, on which scripts and people rely.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use end_to_end::{finish, vgg_classify, vgg_extract, vgg_head};

#[test]
fn help_of_every_command() {
    for (program, commands) in [
        (
            "vgg-extract",
            &[
                "run",
                "convert",
                "export-features",
                "inspect-dataset",
                "import-weights",
                "verify",
                "inspect",
                "status",
                "gc",
            ][..],
        ),
        ("vgg-head", &["train", "sweep", "cv", "issues", "report", "evaluate", "predict"]),
        ("vgg-classify", &["run", "export", "serve"]),
    ] {
        for command in [""].iter().chain(commands) {
            let args = [*command, "--help"].into_iter().filter(|arg| !arg.is_empty());
            let finished = finish(match program {
                "vgg-extract" => vgg_extract(args),
                "vgg-head" => vgg_head(args),
                _ => vgg_classify(args),
            });
            assert_eq!(finished.code, Some(0));
            let name = format!("{program} {command}").trim().replace(' ', "-");
            insta::assert_snapshot!(name, finished.stdout);
        }
    }
}
