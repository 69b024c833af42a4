//! Man pages and completions of a program, made from its flags by a hidden command.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Arg, Command, ValueHint, value_parser};
use clap_complete::Shell;

/// The hidden command that writes them.
const NAME: &str = "documents";
const FOLDER: &str = "FOLDER";

/// The shells for which there are completions.
const SHELLS: [Shell; 4] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell];

/// The command that writes them into a folder.
pub(crate) fn command() -> Command {
    let folder = Arg::new(FOLDER)
        .required(true)
        .value_parser(value_parser!(std::path::PathBuf))
        .value_hint(ValueHint::DirPath)
        .help("The folder to write to");
    Command::new(NAME)
        .about("Write man pages and completions for Bash, Zsh, fish and PowerShell")
        .hide(true)
        .arg(folder)
}

/// The folder that the user gave with that command; `None` if it is another command.
pub(crate) fn folder(matches: &clap::ArgMatches) -> Option<&Path> {
    let matches = matches.subcommand_matches(NAME)?;
    matches.get_one::<std::path::PathBuf>(FOLDER).map(|folder| folder.as_path())
}

/// Writes `man/NAME.1` for the program and for each of its commands, and its completions into `completions/`.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(program: &Command, folder: &Path) -> io::Result<()> {
    let [man, completions] = ["man", "completions"].map(|name| folder.join(name));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(program.clone(), &man)?;
    for shell in SHELLS {
        let name = program.get_name().to_owned();
        clap_complete::generate_to(shell, &mut program.clone(), name, &completions)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_and_each_shell_a_file() {
        let program = Command::new("vgg-example")
            .subcommand(Command::new("run").about("Run it").arg(Arg::new("size").long("size")))
            .subcommand(command());
        let folder = std::env::temp_dir().join(format!("documents-{}", std::process::id()));
        write(&program, &folder).unwrap();
        let page = fs::read_to_string(folder.join("man/vgg-example-run.1")).unwrap();
        assert!(page.contains("Run it") && page.contains("\\-\\-size"), "{page}");
        assert!(folder.join("man/vgg-example.1").is_file());
        assert!(!folder.join("man/vgg-example-documents.1").exists());
        for name in ["vgg-example.bash", "_vgg-example", "vgg-example.fish", "_vgg-example.ps1"] {
            let text = fs::read_to_string(folder.join("completions").join(name)).unwrap();
            assert!(text.contains("--size") || text.contains("-l size"), "{name}: {text}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
