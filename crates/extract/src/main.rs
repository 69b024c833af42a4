//! `vgg-extract`: stage 1 on the command line.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    terminal::run("vgg-extract", || cli.run(), cli::failure)
}
