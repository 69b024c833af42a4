//! `vgg-classify`: stage 3 on the command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli: cli::Cli = terminal::parse();
    terminal::run("vgg-classify", || cli.run(), cli::failure)
}
