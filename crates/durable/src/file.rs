//! A file that is being written, piece by piece.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::faults;
use crate::operation::Operation;

/// A file that is being written.
///
/// After a failed write or flush it refuses to go on: the kernel may have dropped what was written
/// since the last flush, and another flush would then succeed although nothing of it is on the
/// disk. Whoever goes on must open the file again and write again what was not flushed before.
#[derive(Debug)]
pub struct File {
    file: fs::File,
    failed: bool,
    /// Where the first byte lies that no flush has covered.
    #[cfg(feature = "faults")]
    unsynced: Option<u64>,
}

impl File {
    /// Makes an empty file in the place of whatever has that name: a leftover, or a link that leads
    /// elsewhere.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(path: &Path) -> io::Result<File> {
        faults::before(Operation::Create)?;
        if path.symlink_metadata().is_ok() {
            fs::remove_file(path)?;
        }
        let file = fs::File::options().read(true).write(true).create_new(true).open(path)?;
        Ok(File::new(file))
    }

    /// Opens a file that is there, to read what it has and to write the rest.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> io::Result<File> {
        Ok(File::new(fs::File::options().read(true).write(true).open(path)?))
    }

    fn new(file: fs::File) -> File {
        File {
            file,
            failed: false,
            #[cfg(feature = "faults")]
            unsynced: None,
        }
    }

    /// Runs `write` on the file, for operations other than writing at the end, such as setting its size.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write_with<E: From<io::Error>>(
        &mut self,
        write: impl FnOnce(&fs::File) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin_write()?;
        let written = faults::before(Operation::Write).map_err(E::from);
        let written = written.and_then(|()| write(&self.file));
        self.failed = written.is_err();
        written
    }

    /// Size in bytes.
    ///
    /// # Errors
    /// If it cannot be found out.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Flushes everything to the disk.
    ///
    /// # Errors
    /// If that fails: nothing that was written since the last flush is then safe.
    pub fn sync(&mut self) -> io::Result<()> {
        self.usable()?;
        let synced = faults::sync(|| self.file.sync_all());
        self.failed = synced.is_err();
        #[cfg(feature = "faults")]
        match &synced {
            Ok(()) => self.unsynced = None,
            Err(_) => self.lose_unsynced()?,
        }
        synced
    }

    /// A failed flush may do this, and a power cut does: the disk keeps what it had.
    #[cfg(feature = "faults")]
    fn lose_unsynced(&mut self) -> io::Result<()> {
        let end = self.file.stream_position()?;
        let start = self.file.seek(SeekFrom::Start(self.unsynced.unwrap_or(end)))?;
        self.file.write_all(&vec![0; (end - start) as usize])
    }

    fn usable(&self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("writing it failed before; it must be opened again"));
        }
        Ok(())
    }

    fn begin_write(&mut self) -> io::Result<()> {
        #[cfg(feature = "faults")]
        if self.unsynced.is_none() {
            self.unsynced = Some(self.file.stream_position()?);
        }
        self.usable()
    }
}

#[cfg(feature = "faults")]
impl Drop for File {
    fn drop(&mut self) {
        if faults::power_is_out() {
            self.lose_unsynced().expect("a test can write its own files");
        }
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin_write()?;
        let written =
            faults::before_write(bytes.len()).and_then(|len| self.file.write(&bytes[..len]));
        // An interrupted write is tried again by whoever called it.
        self.failed = matches!(&written, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        written
    }

    /// Nothing to do: writes are not buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for File {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes)
    }
}

impl Seek for File {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}
