//! `vgg-extract`: stage 1 on the command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli: cli::Cli = terminal::parse();
    terminal::run("vgg-extract", || cli.run(), cli::failure)
}
