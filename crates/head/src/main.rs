//! `vgg-head`: stage 2 on the command line.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    terminal::run("vgg-head", || cli.run(), cli::failure)
}
