//! Every command of README.md and GUIDE.md is run, in the order of the text, in a copy of the project with small data.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use end_to_end::{Digits, Workplace, files_in, needed, python, root, vgg_extract};
use image::{ImageFormat, Rgb, RgbImage};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Commands that are not run here, by their beginnings, with the reason.
const ELSEWHERE: [(&str, &str); 6] = [
    ("cargo install", "fetches from the network"),
    ("pip install", "fetches from the network"),
    ("just test", "runs this test"),
    ("just bench", "measures, and needs the peers"),
    ("just extract backend=torch", "tests/tests/pipeline.rs with the feature torch"),
    ("just extract device=cuda", "needs a card"),
];

/// Placeholders of the documents, and what they are replaced by: the newest of a folder.
const NEWEST: [(&str, &str); 3] = [
    ("artifacts/features/CACHE", "artifacts/features"),
    ("artifacts/runs/ID", "artifacts/runs"),
    ("artifacts/sweeps/ID", "artifacts/sweeps"),
];

/// A copy of the project, in which its recipes find built programs, weights and small data.
struct Project {
    workplace: Workplace,
}

impl Project {
    fn new() -> Project {
        // The programs are built when one of them is asked for.
        drop(vgg_extract(["--version"]));
        let project = Project { workplace: Workplace::empty() };
        for name in ["justfile", "docs"] {
            symlink(root().join(name), project.path(name)).unwrap();
        }
        // Scripts find the project by their own place, so they are copied.
        for name in ["run", "demo.py"] {
            let script = fs::read_to_string(root().join("scripts").join(name)).unwrap();
            // The demo on fewer digits.
            let script = script.replace("DIGITS = 3000", "DIGITS = 40");
            project.workplace.write(&format!("scripts/{name}"), script.as_bytes());
        }
        make_executable(&project.path("scripts/run"));
        // The set-up was run before the tests.
        project.workplace.write("scripts/setup/__main__.py", b"");
        project.workplace.write("bin/cargo", b"#!/bin/sh\n");
        make_executable(&project.path("bin/cargo"));
        fs::create_dir_all(project.path("artifacts/weights")).unwrap();
        for name in ["vgg16-caffe.safetensors", "vgg16-caffe.onnx"] {
            let file = format!("artifacts/weights/{name}");
            symlink(needed(&file).canonicalize().unwrap(), project.path(&file)).unwrap();
        }
        let (train, test) = (Digits::first("train", 120), Digits::first("t10k", 40));
        project.workplace.write_idx("data/mnist", &train, &test);
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workplace.path(name)
    }

    /// A command with its placeholders replaced.
    fn filled(&self, command: &str) -> String {
        let mut command =
            command.replace(" PATH", " photos").replace(" FILE", " vgg16-mine.safetensors");
        for (placeholder, folder) in NEWEST {
            if command.contains(placeholder) {
                let newest = newest(&self.path(folder)).unwrap_or_else(|| {
                    panic!("'{command}' needs something in {folder}, and no command made it")
                });
                let name = newest.file_name().unwrap().to_str().unwrap();
                command = command.replace(placeholder, &format!("{folder}/{name}"));
                for best in ["/runs/BEST", "/runs/…"] {
                    if command.contains(best) {
                        let run = newest_in_order(&newest.join("runs"));
                        let name = run.file_name().unwrap().to_str().unwrap();
                        command = command.replace(best, &format!("/runs/{name}"));
                    }
                }
            }
        }
        command
    }

    /// Runs a command as in a terminal at the project's folder.
    fn run(&self, command: &str) {
        let command = self.filled(command);
        let target = std::env::current_exe().unwrap();
        let target = target.ancestors().nth(3).unwrap();
        // With the Python in which the tools are that the documents install.
        let (bin, venv) = (self.path("bin"), needed("artifacts/venv/bin"));
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", bin.display(), venv.canonicalize().unwrap().display());
        let mut shell = Command::new("bash");
        shell
            .args(["-euc", &command])
            .current_dir(self.path(""))
            .env("PATH", path)
            .env("CARGO_TARGET_DIR", target)
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::null());
        if command.starts_with("just serve") {
            return serve(shell, &command);
        }
        let output = shell.output().unwrap();
        assert!(
            output.status.success(),
            "'{command}' ends with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs all commands of a document.
    fn run_all(&self, document: &str) -> BTreeSet<&'static str> {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let commands = commands(&text);
        assert!(commands.len() > 20, "{document}: {commands:?}");
        let mut elsewhere = BTreeSet::new();
        for command in commands {
            match ELSEWHERE.iter().find(|(start, _)| command.starts_with(start)) {
                Some((start, _)) => drop(elsewhere.insert(*start)),
                None => self.run(&command),
            }
        }
        elsewhere
    }
}

fn make_executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Starts the server, waits for the address that it prints, and stops it as Ctrl-C does.
fn serve(mut shell: Command, command: &str) {
    // A group of its own, which has all processes that the recipe starts.
    shell.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = shell.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let text = format!("'{command}' prints '{}'", line.trim());
    let group = format!("-{}", server.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    let output = server.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(line.contains("http://127.0.0.1:"), "{text}; {said}");
}

/// The folder or file that was made last; `None` if there is none.
fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap());
    let entries = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    let path = |entry: fs::DirEntry| (entry.metadata().unwrap().modified().unwrap(), entry.path());
    entries.map(path).max().map(|(_, path)| path)
}

fn newest_in_order(folder: &Path) -> PathBuf {
    newest(folder).unwrap_or_else(|| panic!("{} is empty", folder.display()))
}

/// The commands of a document: the lines of its blocks of shell, and commands within its sentences. A sentence may also
/// mention a recipe by its name alone, which then must exist.
fn commands(text: &str) -> Vec<String> {
    const PROGRAMS: [&str; 4] = ["just ", "scripts/run ", "python3 ", "git lfs "];
    let mut commands = Vec::new();
    let mut block: Option<bool> = None;
    // A command within a sentence may be broken between two lines.
    let mut sentence = String::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(language) = line.strip_prefix("```") {
            block = match block {
                None => Some(language == "sh"),
                Some(_) => None,
            };
            continue;
        }
        match block {
            Some(true) => {
                let command = line.split(" #").next().unwrap().trim();
                if !command.is_empty() && !command.starts_with('#') {
                    commands.push(command.to_owned());
                }
            }
            Some(false) => {}
            None if line.is_empty() => sentence.clear(),
            None => {
                sentence.push_str(line);
                let parts: Vec<&str> = sentence.split('`').collect();
                let is_open = parts.len().is_multiple_of(2);
                let spans = parts.iter().skip(1).step_by(2);
                let closed = (parts.len() - 1) / 2;
                for span in spans.take(closed) {
                    match span.split_once(' ') {
                        // The mention of a recipe.
                        Some(("just", name)) if is_recipe(name) => {
                            commands.push(format!("just --show {name}"));
                        }
                        _ if PROGRAMS.iter().any(|program| span.starts_with(program)) => {
                            commands.push((*span).to_owned());
                        }
                        _ => {}
                    }
                }
                sentence =
                    if is_open { format!("`{} ", parts.last().unwrap()) } else { " ".to_owned() };
            }
        }
    }
    commands
}

fn is_recipe(name: &str) -> bool {
    name.starts_with(char::is_alphabetic) && name.chars().all(|c| c.is_alphabetic() || c == '-')
}

#[test]
fn commands_are_found() {
    let text = "Give `just a b=c`, or `vgg-head`,\nor `just\nd`. Or `just e f=g`.\n\n```sh\njust e   # why\n\n# a remark\njust f\n```\n\
                ```text\njust g\n```\n   ```sh\n   just h\n   ```\n";
    assert_eq!(
        commands(text),
        ["just a b=c", "just --show d", "just e f=g", "just e", "just f", "just h"]
    );
}

/// A small picture of a kind, of which no two are the same.
fn picture(kind: usize, number: usize) -> RgbImage {
    RgbImage::from_fn(60, 40, |x, y| {
        let wave = (f64::from(x) / (3.0 + 4.0 * kind as f64)).sin() + (f64::from(y) / 5.0).cos();
        let level = (127.0 + 50.0 * wave) as u8;
        Rgb([level, (number * 37 % 251) as u8, if kind == 0 { level } else { 255 - level }])
    })
}

impl Project {
    fn write_picture(&self, path: &str, kind: usize, number: usize) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture(kind, number).save_with_format(path, ImageFormat::Png).unwrap();
    }

    /// Makes JPEG files of those pictures that are called so.
    fn encode_jpegs(&self) {
        let code = "import sys\nfrom pathlib import Path\nfrom PIL import Image\n\
                    for path in Path(sys.argv[1]).rglob('*.jpg'):\n    Image.open(path).save(path, 'JPEG')";
        assert!(python(["-c", code]).arg(self.path("")).output().unwrap().status.success());
    }

    /// A zip archive of a folder, as `python3 -m zipfile` makes it.
    fn zip(&self, folder: &str, archive: &str) {
        let mut zip = Command::new("bash");
        let names = "python3 -m zipfile -c";
        let command = format!("cd {folder} && {names} ../{archive} * && cd .. && rm -r {folder}");
        assert!(
            zip.args(["-euc", &command]).current_dir(self.path("")).status().unwrap().success()
        );
    }

    /// What the documents' commands read.
    fn write_inputs(&self) {
        let photos = ["cat", "dog"];
        for (kind, class) in photos.into_iter().enumerate() {
            for number in 0..10 {
                self.write_picture(&format!("photos/{class}/{number}.jpg"), kind, number);
            }
            for number in 10..12 {
                self.write_picture(&format!("new/{class}-{number}.jpg"), kind, number);
                self.write_picture(&format!("holiday/{class}/{number}.png"), kind, number);
            }
        }
        self.write_picture("photo.jpg", 0, 99);
        self.workplace.write("images.csv", b"path,label\nnew/cat-10.jpg,cat\nnew/dog-11.jpg,dog\n");
        // Kaggle's digits.
        let (train, test) = (Digits::first("train", 60), Digits::first("t10k", 5));
        let write = |name: &str, text: String| drop(self.workplace.write(name, text.as_bytes()));
        write("digit-recognizer.in/train.csv", train.csv(true));
        write("digit-recognizer.in/test.csv", test.csv(false));
        let rows: String = (1..=5).map(|id| format!("{id},0\n")).collect();
        write("digit-recognizer.in/sample_submission.csv", format!("ImageId,Label\n{rows}"));
        self.zip("digit-recognizer.in", "digit-recognizer.zip");
        // Kaggle's dogs, with a column for each class.
        let (mut labels, mut sample) = ("id,breed\n".to_owned(), "id,beagle,husky\n".to_owned());
        for number in 0..12 {
            let breed = ["beagle", "husky"][number % 2];
            self.write_picture(&format!("dogs.in/train/{number:03}.jpg"), number % 2, number);
            labels += &format!("{number:03},{breed}\n");
        }
        for number in [7, 5] {
            self.write_picture(&format!("dogs.in/test/t{number}.jpg"), number % 2, 50 + number);
            sample += &format!("t{number},0.5,0.5\n");
        }
        self.encode_jpegs();
        write("dogs.in/labels.csv", labels);
        write("dogs.in/sample_submission.csv", sample);
        self.zip("dogs.in", "dog-breed-identification.zip");
        // Lists.
        let (mut birds, mut scans) =
            ("picture,species\n".to_owned(), "path,label,patient\n".to_owned());
        for number in 0..24 {
            let kind = number % 2;
            self.write_picture(&format!("pictures/{number}.png"), kind, number);
            birds += &format!("{number}.png,{}\n", ["tit", "wren"][kind]);
            self.write_picture(&format!("scans/{number}.png"), kind, 100 + number);
            scans += &format!("scans/{number}.png,{},{}\n", ["ill", "well"][kind], number / 4);
        }
        write("lists/birds.csv", birds);
        write("scans.csv", scans);
        // Without a mark.
        write("corrections.csv", "id,action,label\n".to_owned());
        self.write_weights();
    }

    /// Weights with torchvision's names, which are not any known ones.
    fn write_weights(&self) {
        let bytes = fs::read(needed("artifacts/weights/vgg16-caffe.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let changed: BTreeMap<String, (Vec<usize>, Vec<u8>)> = tensors
            .tensors()
            .into_iter()
            .map(|(name, tensor)| {
                let numbers = tensor.data().as_chunks::<4>().0.iter();
                let scaled =
                    numbers.flat_map(|bytes| (0.5 * f32::from_le_bytes(*bytes)).to_le_bytes());
                (name, (tensor.shape().to_vec(), scaled.collect()))
            })
            .collect();
        let views = changed.iter().map(|(name, (shape, bytes))| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        fs::File::create(self.path("vgg16-mine.safetensors")).unwrap().write_all(&bytes).unwrap();
    }
}

/// The messages in the guide's questions are those of the programs; `…` stands for what differs.
#[test]
fn messages_are_as_they_are_printed() {
    let mut sources = String::new();
    for path in files_in(&root().join("crates")) {
        if path.extension().is_some_and(|ending| ending == "rs") {
            // Literals may be broken between lines.
            let text = fs::read_to_string(path).unwrap();
            let mut parts = text.split("\\\n");
            sources.push_str(parts.next().unwrap());
            parts.for_each(|part| sources.push_str(part.trim_start()));
        }
    }
    // clap's words are in none of them.
    sources.push_str("unexpected argument 'size=64' found");
    let guide = fs::read_to_string(root().join("GUIDE.md")).unwrap().replace('\n', " ");
    let messages: Vec<&str> =
        guide.split("**`").skip(1).filter_map(|rest| Some(rest.split_once("`**")?.0)).collect();
    assert!(messages.len() >= 6, "{messages:?}");
    for message in messages {
        for part in message.split('…').map(|part| part.trim_matches([' ', '\'', ','])) {
            assert!(sources.contains(part), "no program prints '{part}' of '{message}'");
        }
    }
}

#[test]
fn every_command_of_the_documents_runs() {
    let mut elsewhere = BTreeSet::new();
    for document in ["GUIDE.md", "README.md"] {
        let project = Project::new();
        project.write_inputs();
        elsewhere.extend(project.run_all(document));
        if document == "GUIDE.md" {
            let submission = fs::read_to_string(project.path("submission.csv")).unwrap();
            assert!(submission.starts_with("ImageId,Label\n1,"), "{submission}");
            assert_eq!(submission.lines().count(), 6);
            let dogs = fs::read_to_string(project.path("dogs.csv")).unwrap();
            let ids: Vec<&str> = dogs.lines().map(|line| line.split(',').next().unwrap()).collect();
            assert_eq!(ids, ["id", "t7", "t5"]);
        }
    }
    // A command that is no longer in the documents needs no exception.
    for (start, _) in ELSEWHERE {
        assert!(elsewhere.contains(start), "no document has the command '{start}'");
    }
}
