//! What is said about a folder or file that is no dataset of a known form: what it may be, and what to do.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::files::{is_data, is_table};
use crate::folder::Folder;
use crate::forms::columns_of_table;
use crate::{Error, FormError};

/// Endings of archives, each with the command that unpacks one.
const ARCHIVES: [(&str, &str); 9] = [
    (".zip", "unzip FILE -d FOLDER"),
    (".tar.gz", "tar -xzf FILE"),
    (".tgz", "tar -xzf FILE"),
    (".tar.bz2", "tar -xjf FILE"),
    (".tar.xz", "tar -xJf FILE"),
    (".tar.zst", "tar --zstd -xf FILE"),
    (".7z", "7z x FILE"),
    (".rar", "unrar x FILE"),
    (".tar.lz4", "lz4 -d FILE"),
];

/// Most tables of which the columns are named.
const MAX_TABLES: usize = 3;

/// The error about `path`, which is no dataset of a known form.
pub(crate) fn error(path: &Path) -> Error {
    let path = path.to_path_buf();
    if let Some(command) = command_for(&path) {
        return Error::Form(FormError::Archive { path, command });
    }
    let Ok(folder) = Folder::list(&path) else {
        let (found, hint) = (Vec::new(), String::new());
        return Error::Form(FormError::UnknownForm { path, found, hint });
    };
    if folder.folders.is_empty() && folder.files.is_empty() {
        return Error::Form(FormError::Empty { path });
    }
    let files: Vec<PathBuf> = folder.files.iter().map(|name| path.join(name)).collect();
    if let ([], [archive]) = (&folder.folders[..], &files[..])
        && let Some(command) = command_for(archive)
    {
        return Error::Form(FormError::Archive { path: archive.clone(), command });
    }
    let tables = folder.files.iter().filter(|name| is_table(name)).map(|name| path.join(name));
    let hints = tables.filter_map(|table| columns_of_table(&table)).take(MAX_TABLES);
    let hint = hints.map(|hint| format!(". {hint}")).collect();
    Error::Form(FormError::UnknownForm {
        found: folder.unused(&HashSet::new(), is_data),
        path,
        hint,
    })
}

/// The command that unpacks the archive at `path`; `None` if it has not the name of one.
fn command_for(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let (_, command) =
        ARCHIVES.iter().find(|(ending, _)| name.ends_with(ending) && path.is_file())?;
    Some(command.replace("FILE", &path.display().to_string()))
}
