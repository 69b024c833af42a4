//! `vgg-classify`: stage 3 on the command line.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    terminal::run("vgg-classify", || cli.run(), cli::failure)
}
