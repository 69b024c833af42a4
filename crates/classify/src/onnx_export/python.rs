//! A model's results in ONNX Runtime, which a Python has: a script in a process of its own.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

/// The script.
const SCRIPT: &str = include_str!("run_onnx.py");
/// Its exit code if there is no ONNX Runtime.
const ABSENT: i32 = 3;

/// Inputs by their names, each with its type as NumPy names it, its shape and its bytes.
pub(super) type Inputs = BTreeMap<String, (&'static str, Vec<usize>, Vec<u8>)>;

/// The output of the script.
#[derive(Deserialize)]
pub(super) struct Ran {
    /// The version of ONNX Runtime.
    pub(super) version: String,
    /// For each batch, `[n, classes]`.
    pub(super) probabilities: Vec<Vec<Vec<f64>>>,
}

/// Why there are no results.
pub(super) enum Fault {
    /// There is no ONNX Runtime. The text says where it was looked for.
    Absent(String),
    /// It refuses the model: the last line of what was said.
    Refused(String),
}

/// Runs the model on all batches, in the first Python that has ONNX Runtime.
pub(super) fn run<'a>(
    pythons: &[PathBuf],
    file: &Path,
    batches: impl Iterator<Item = &'a Inputs> + Clone,
) -> Result<Ran, Fault> {
    let mut reasons = Vec::new();
    for python in pythons {
        let output = match start(python, file, batches.clone()) {
            Ok(output) => output,
            Err(error) => {
                reasons.push(format!("{}: {error}", python.display()));
                continue;
            }
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing was said");
        if output.status.code() == Some(ABSENT) {
            reasons.push(last.to_owned());
        } else if output.status.success() {
            return serde_json::from_slice(&output.stdout)
                .map_err(|error| Fault::Refused(format!("its results cannot be read: {error}")));
        } else {
            return Err(Fault::Refused(last.to_owned()));
        }
    }
    Err(Fault::Absent(reasons.join("; ")))
}

/// Runs the script, with the batches as its standard input.
fn start<'a>(
    python: &Path,
    file: &Path,
    mut batches: impl Iterator<Item = &'a Inputs>,
) -> io::Result<Output> {
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A script that ends before it has read everything says why itself.
        let _ = batches.try_for_each(|batch| write(&mut stdin, batch));
    }
    child.wait_with_output()
}

/// Writes a batch as the script reads it.
fn write(to: &mut impl Write, batch: &Inputs) -> io::Result<()> {
    let header: BTreeMap<&String, Value> =
        batch.iter().map(|(name, (dtype, shape, _))| (name, json!([dtype, shape]))).collect();
    writeln!(to, "{}", serde_json::to_string(&header)?)?;
    batch.values().try_for_each(|(_, _, bytes)| to.write_all(bytes))
}
