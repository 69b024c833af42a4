//! The programs' arguments, and hints on those that are not understood.

use std::collections::BTreeSet;
use std::env;
use std::process;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Command, Error, Parser};

use crate::{documents, say};

/// Environment variable in which `scripts/run` names the recipe of `just` that starts the program.
const RECIPE: &str = "VGG_RECIPE";

/// Reads the program's arguments. If they are wrong, a message with a hint is printed, and the program ends with exit
/// code 2.
pub fn parse<C: Parser>() -> C {
    let words: Vec<String> =
        env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let recipe = env::var(RECIPE).ok();
    match parsed::<C>() {
        Ok(cli) => {
            for flag in repeated(&words, &C::command()) {
                say(format!("{flag} is given more than once; the last one counts"));
            }
            cli
        }
        Err(error) => {
            let error = explained(error, &C::command(), &words, recipe.as_deref());
            // What it prints must not be lost if it goes to a pipe that was closed.
            let _ = error.print();
            process::exit(error.exit_code());
        }
    }
}

/// The arguments. If man pages and completions are asked for, the program ends when they are written.
fn parsed<C: Parser>() -> Result<C, Error> {
    let matches =
        taking_negative_numbers(C::command()).subcommand(documents::command()).try_get_matches()?;
    if let Some(folder) = documents::folder(&matches) {
        match documents::write(&C::command(), folder) {
            Ok(()) => process::exit(0),
            Err(error) => {
                let message = format!("could not write to {}: {error}", folder.display());
                return Err(Error::raw(ErrorKind::Io, message));
            }
        }
    }
    C::from_arg_matches(&matches).map_err(|error| error.format(&mut C::command()))
}

/// The program, in which every flag takes a negative number as its value, so that what the flag expects is said of it,
/// as in `--seed -1`, and not that `-1` is no flag.
fn taking_negative_numbers(program: Command) -> Command {
    program.mut_subcommands(|command| {
        command.mut_args(|argument| match argument.get_action() {
            ArgAction::Set | ArgAction::Append if !argument.is_positional() => {
                argument.allow_negative_numbers(true)
            }
            _ => argument,
        })
    })
}

/// The flags that are given more than once, but for those of which all values count.
fn repeated<'w>(words: &'w [String], program: &Command) -> Vec<&'w str> {
    let command = words.first().and_then(|name| program.find_subcommand(name));
    let counts_all = |flag: &str| {
        let mut arguments = command.into_iter().flat_map(Command::get_arguments);
        let name = flag.split('=').next().and_then(|flag| flag.strip_prefix("--"));
        arguments.any(|argument| {
            argument.get_long() == name && matches!(argument.get_action(), ArgAction::Append)
        })
    };
    let flags = words.iter().take_while(|word| *word != "--");
    let flags = flags.filter(|word| word.starts_with("--") && !counts_all(word));
    let mut seen = BTreeSet::new();
    let mut repeated = Vec::new();
    for flag in flags.map(|word| word.split('=').next().unwrap_or_default()) {
        if !seen.insert(flag) && !repeated.contains(&flag) {
            repeated.push(flag);
        }
    }
    repeated
}

/// The error with a hint, and if `just` started the program, in its terms.
fn explained(mut error: Error, program: &Command, words: &[String], recipe: Option<&str>) -> Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return error };
    let command = words.first().and_then(|name| program.find_subcommand(name));
    let Some(hint) = hint(word, command, recipe) else { return error };
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    if let Some(recipe) = recipe {
        let usage = format!("Usage: just {recipe} [KEY=VALUE …]");
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage.into()));
    }
    error
}

/// A hint on a word that is not understood.
fn hint(word: &str, command: Option<&Command>, recipe: Option<&str>) -> Option<String> {
    let flags = || -> Vec<&str> {
        let arguments = command.into_iter().flat_map(Command::get_arguments);
        arguments
            .filter_map(|argument| argument.get_long())
            .filter(|name| *name != "help")
            .collect()
    };
    let keys = || {
        let keys: Vec<String> =
            flags().iter().map(|name| format!("{}=", name.replace('-', "_"))).collect();
        format!("the keys are {}", keys.join(" "))
    };
    let is_flag = |key: &str| flags().contains(&key.replace('_', "-").as_str());
    match (word.split_once('='), recipe) {
        // What `just` was given.
        (None, Some(_)) if word.starts_with("--") => Some(keys()),
        (Some((key, value)), Some(_)) if is_flag(&key.to_lowercase()) => {
            Some(format!("keys are in lower case: {}={value}", key.to_lowercase()))
        }
        (Some(_), Some(_)) => Some(keys()),
        (None, Some(_)) => {
            Some("expected KEY=VALUE, without spaces around =, such as threads=2".to_owned())
        }
        // What the program was given.
        (Some((key, value)), None) if is_flag(key) => {
            let flag = key.replace('_', "-");
            Some(format!("the program's flag is --{flag}={value}; key=value is for just"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn program() -> Command {
        let size = Arg::new("size").long("size");
        let batch = Arg::new("batch-size").long("batch-size");
        let tap = Arg::new("tap").long("tap").action(ArgAction::Append);
        Command::new("vgg-extract").subcommand(Command::new("run").args([size, batch, tap]))
    }

    fn message(words: &[&str], recipe: Option<&str>) -> String {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let all = ["vgg-extract".to_owned()].into_iter().chain(words.clone());
        let error = program().try_get_matches_from(all).unwrap_err();
        explained(error, &program(), &words, recipe).to_string()
    }

    #[test]
    fn hints_say_what_is_possible() {
        for (words, recipe, says) in [
            (&["run", "size=64"][..], None, &["tip: the program's flag is --size=64"][..]),
            (&["run", "batch_size=64"], None, &["--batch-size=64"]),
            (
                &["run", "--dropout=1"],
                Some("extract"),
                &[
                    "--dropout",
                    "the keys are size= batch_size= tap=",
                    "Usage: just extract [KEY=VALUE …]",
                ],
            ),
            (&["run", "SIZE=64"], Some("extract"), &["lower case: size=64"]),
            (
                &["run", "P=0.5"],
                Some("extract"),
                &["the keys are size= batch_size= tap=", "Usage: just extract [KEY=VALUE …]"],
            ),
            (&["run", "size"], Some("extract"), &["KEY=VALUE"]),
        ] {
            let found = message(words, recipe);
            for text in says {
                assert!(found.contains(text), "'{text}' is not in: {found}");
            }
            assert!(!found.contains("vgg-extract run [OPTIONS]") || recipe.is_none(), "{found}");
        }
        assert!(!message(&["run", "other=64"], None).contains("tip"));
    }

    #[test]
    fn negative_numbers_are_values() {
        let seed = Arg::new("seed").long("seed").value_parser(crate::seed);
        let program = Command::new("vgg").subcommand(Command::new("run").args([seed]));
        let parse = |words: [&str; 4]| {
            taking_negative_numbers(program.clone()).try_get_matches_from(words).map(|_| ())
        };
        let error = parse(["vgg", "run", "--seed", "-1"]).unwrap_err().to_string();
        assert!(error.contains("'-1'") && error.contains("--seed"), "{error}");
        assert!(error.contains("expected"), "{error}");
        parse(["vgg", "run", "--seed", "1"]).unwrap();
    }

    #[test]
    fn repeated_flags_are_found() {
        let words = "run --size=1 --json --tap=a --size 2 --json --tap b -- --a --a";
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        assert_eq!(repeated(&words, &program()), ["--size", "--json"]);
        assert_eq!(repeated(&["run".to_owned()], &program()), [""; 0]);
    }
}
