//! Reads a credentials file: lines `name = value`, nothing else.

use std::fmt;
use std::path::Path;

use crate::disk;
use crate::error::{Error, Kind, Result};

/// What errors call it.
const WHAT: &str = "credentials file";
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Keys to a store. Debug shows no secret.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Credentials {
    /// S3's access key, or Azure's account name.
    pub(super) id: String,
    /// The secret that belongs to it.
    pub(super) secret: String,
    /// S3's session token, for temporary credentials.
    pub(super) token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ***)", self.id)
    }
}

/// Refuses a file that others can read or change.
pub(super) fn check_private(path: &Path) -> Result<()> {
    disk::check_secret(WHAT, path).map_err(|e| e.with_kind(Kind::Config))
}

/// Reads the file. Names are those of the AWS tools, with or without `aws_` before them, and
/// `account_name`, `account_key` for Azure.
pub(super) fn read(path: &Path) -> Result<Credentials> {
    let text = disk::read_secret_text(WHAT, path, FILE_BYTES_MAX).map_err(|e| e.with_kind(Kind::Config))?;
    parse(&text, &path.display().to_string())
}

fn parse(text: &str, file: &str) -> Result<Credentials> {
    let mut found = Credentials::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        // A section's name and comments: files of the AWS tools have them.
        if line.is_empty() || line.starts_with(['#', ';', '[']) {
            continue;
        }
        // The line itself is never shown: it may be a secret.
        let wrong =
            |why: &str| Error::new(Kind::Config, format!("credentials file {file}, line {number}: {why}"));
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("is not of the form name = value"))?;
        let value = value.trim().trim_matches('"').to_owned();
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("the value is empty or has a character that no key has"));
        }
        let name = name.trim().to_ascii_lowercase();
        let slot = match name.strip_prefix("aws_").unwrap_or(&name) {
            "access_key_id" | "account_name" => &mut found.id,
            "secret_access_key" | "account_key" => &mut found.secret,
            "session_token" => found.token.get_or_insert_default(),
            _ => {
                return Err(wrong(
                    "the name is none of access_key_id, secret_access_key, session_token, account_name and account_key",
                ));
            }
        };
        if !slot.is_empty() {
            return Err(wrong("this was given before"));
        }
        *slot = value;
    }
    if found.id.is_empty() || found.secret.is_empty() {
        return Err(Error::new(
            Kind::Config,
            format!("credentials file {file} lacks access_key_id or secret_access_key"),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn reads_what_the_aws_tools_write() {
        let found = parse(
            "[default]\naws_access_key_id = A\n# x\nsecret_access_key=\"s/+=\"\nsession_token = t\n",
            "f",
        );
        let found = found.unwrap();
        assert_eq!((found.id.as_str(), found.secret.as_str()), ("A", "s/+="));
        assert_eq!(found.token.as_deref(), Some("t"));
        assert!(!format!("{found:?}").contains("s/+="));
    }

    #[test]
    fn errors_name_the_line_and_never_its_text() {
        for bad in
            ["hunter2", "access_key_id = a\naccess_key_id = hunter2", "secret = hunter2", "access_key_id="]
        {
            let error = parse(bad, "/etc/keys").unwrap_err();
            assert!(error.what().contains("/etc/keys, line "), "{error}");
            assert!(!error.what().contains("hunter2"), "{error}");
        }
        assert!(parse("access_key_id = a\n", "f").is_err());
    }

    #[test]
    fn an_open_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        disk::write_new_durable(&path, b"access_key_id = a\nsecret_access_key = b\n").unwrap();
        assert!(read(&path).is_ok());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.next_text().unwrap().starts_with("chmod 6"));
        assert_eq!(read(&dir.path().join("absent")).unwrap_err().kind(), Kind::Config);
    }
}
