//! Reads a credentials file: lines `name = value`, nothing else.

use std::fmt;
use std::path::Path;

use crate::disk;
use crate::error::{Error, Kind, Result};

/// Its name in errors.
const WHAT: &str = "credentials file";
/// The largest file of credentials.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Prefixes that a name may have, as in the files and variables of the clouds' own tools.
const PREFIXES: [&str; 2] = ["aws_", "azure_storage_"];

/// The content of such a file. Debug shows no secret.
pub(super) struct Credentials {
    file: String,
    found: Vec<(&'static str, String)>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.found.iter().map(|(name, _)| *name).collect();
        write!(f, "Credentials({}: {})", self.file, names.join(", "))
    }
}

/// The whole text of a private file; one that others can read or change is refused.
pub(super) fn read_text(path: &Path) -> Result<String> {
    disk::read_secret_text(WHAT, path, FILE_BYTES_MAX).map_err(|e| {
        e.with_kind(Kind::Config)
            .next("create this file with the store's credentials (docs/repositories.md), or correct repository.credentials_file")
    })
}

impl Credentials {
    /// Reads the file, which may contain these names, with or without the prefix of the cloud's tools.
    pub(super) fn read(path: &Path, names: &[&'static str]) -> Result<Credentials> {
        Credentials::parse(&read_text(path)?, &path.display().to_string(), names)
    }

    fn parse(text: &str, file: &str, names: &[&'static str]) -> Result<Credentials> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            // Section names and comments: files of the AWS tools have them.
            if line.is_empty() || line.starts_with(['#', ';', '[']) {
                continue;
            }
            // The line itself is never shown: it may be a secret.
            let wrong = |why: &str| Error::new(Kind::Config, format!("{WHAT} {file}, line {number}: {why}"));
            let (name, value) =
                line.split_once('=').ok_or_else(|| wrong("the line must have the form name = value"))?;
            let value = value.trim().trim_matches('"').to_owned();
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(wrong("the value is empty or has a character that is not allowed"));
            }
            let name = name.trim().to_ascii_lowercase();
            let bare = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
            let Some(name) = names.iter().find(|known| **known == bare) else {
                return Err(wrong(&format!("the name must be one of {}", names.join(", "))));
            };
            if found.iter().any(|(known, _)| known == name) {
                return Err(wrong("this name was already given"));
            }
            found.push((name, value));
        }
        Ok(Credentials { file: file.to_owned(), found })
    }

    /// The value of this name.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.found.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    /// The error for a file in which something is missing or wrong.
    pub(super) fn wrong(&self, why: &str) -> Error {
        Error::new(Kind::Config, format!("{WHAT} {}: {why}", self.file))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NAMES: &[&str] = &["access_key_id", "secret_access_key", "sas_token"];

    fn parse(text: &str) -> Result<Credentials> {
        Credentials::parse(text, "/etc/keys", NAMES)
    }

    #[test]
    fn reads_what_the_clouds_tools_write() {
        let found = parse(
            "[default]\naws_access_key_id = A\n# x\nsecret_access_key=\"s/+=\"\nAZURE_STORAGE_SAS_TOKEN=?sv=1&sig=x\n",
        );
        let found = found.unwrap();
        let get = |name| found.get(name);
        assert_eq!(get("access_key_id").as_deref(), Some("A"));
        assert_eq!(get("secret_access_key").as_deref(), Some("s/+="));
        assert_eq!(get("sas_token").as_deref(), Some("?sv=1&sig=x"));
        assert!(!format!("{found:?}").contains("s/+="));
    }

    #[test]
    fn errors_name_the_line_and_never_its_text() {
        for bad in
            ["hunter2", "access_key_id = a\naccess_key_id = hunter2", "secret = hunter2", "access_key_id="]
        {
            let error = parse(bad).unwrap_err();
            assert!(error.what().contains("/etc/keys, line "), "{error}");
            assert!(!error.what().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_open_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let read = |path: &Path| Credentials::read(path, NAMES);
        disk::write_new_durable(&path, b"access_key_id = a\nsecret_access_key = b\n").unwrap();
        assert!(read(&path).is_ok());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.next_text().unwrap().starts_with("chmod 6"));
        assert_eq!(read(&dir.path().join("absent")).unwrap_err().kind(), Kind::Config);
    }
}
