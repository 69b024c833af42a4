//! `vgg-head`: stage 2 on the command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli: cli::Cli = terminal::parse();
    terminal::run("vgg-head", || cli.run(), cli::failure)
}
