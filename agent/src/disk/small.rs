//! Small files below a directory of others: read and replaced as a whole.

use std::io::Write;
use std::path::Path;

use super::attributes::give_open;
use super::beneath::Dir;
use super::{read_whole, staged_path};
use crate::error::{Error, Kind, Result};

impl Dir {
    /// Reads a regular file of at most `bytes_max`.
    ///
    /// # Errors
    /// `NotFound` where there is none; an error also where it is a link or something else.
    pub fn read(&self, relative: &Path, bytes_max: u64) -> Result<Vec<u8>> {
        let shown = self.path().join(relative);
        let (file, _) = self.open_file(relative).map_err(|e| Error::file("open", &shown, e))?;
        read_whole(file, &shown, bytes_max)
    }

    /// [`Dir::read`] as UTF-8.
    pub fn read_text(&self, relative: &Path, bytes_max: u64) -> Result<String> {
        let not_text = |_| {
            let shown = self.path().join(relative);
            Error::new(Kind::Config, format!("{} is not UTF-8", shown.display()))
        };
        String::from_utf8(self.read(relative, bytes_max)?).map_err(not_text)
    }

    /// Replaces the content of a file, private and with this owner: after a crash it is the old one or the
    /// new one.
    pub fn replace_durable(&self, relative: &Path, data: &[u8], owner: Option<(u32, u32)>) -> Result<()> {
        let shown = self.path().join(relative);
        let write = || {
            let (dir, name) = self.split(relative)?;
            let staged = staged_path(Path::new(name));
            dir.remove_file(&staged)?;
            let mut file = dir.create_new(&staged)?;
            file.write_all(data)?;
            give_open(&file, 0o600, owner)?;
            file.sync_all()?;
            dir.rename(staged.as_os_str(), name)?;
            dir.sync()
        };
        write().map_err(|e| Error::file("write", &shown, e))
    }
}
