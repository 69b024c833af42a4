//! Files that are written piece by piece.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::faults;
use crate::operation::Operation;

/// A file that is written piece by piece.
///
/// After a failed write or flush, all further operations on it fail. The kernel may have dropped the
/// bytes written since the last flush, and another flush would then succeed although they are not on the
/// disk. To continue, open the file again and repeat what had not been flushed.
#[derive(Debug)]
pub struct File {
    file: fs::File,
    failed: bool,
    /// The offset of the first byte that was not flushed.
    #[cfg(feature = "faults")]
    unsynced: Option<u64>,
}

impl File {
    /// Creates an empty file. Anything of that name is removed first: a leftover, or a link that leads
    /// elsewhere.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: &Path) -> io::Result<File> {
        faults::before(Operation::Create)?;
        if path.symlink_metadata().is_ok() {
            fs::remove_file(path)?;
        }
        let file = fs::File::options().read(true).write(true).create_new(true).open(path)?;
        Ok(File::new(file))
    }

    /// Opens an existing file, to read its content and to write at its end.
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

    /// The size in bytes.
    ///
    /// # Errors
    /// If the operating system does not tell it.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Flushes everything to the disk.
    ///
    /// # Errors
    /// If the flush fails. None of the bytes written since the last flush are then safe.
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

    /// Discards the bytes that were not flushed, as a failed flush may and a power cut does.
    #[cfg(feature = "faults")]
    fn lose_unsynced(&mut self) -> io::Result<()> {
        let end = self.file.stream_position()?;
        let start = self.file.seek(SeekFrom::Start(self.unsynced.unwrap_or(end)))?;
        self.file.write_all(&vec![0; (end - start) as usize])
    }

    fn usable(&self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("a write or flush failed earlier; open the file again"));
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
        // The caller repeats an interrupted write.
        self.failed = matches!(&written, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        written
    }

    /// Does nothing, since writes are not buffered.
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
