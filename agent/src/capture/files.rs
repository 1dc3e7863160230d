//! Captures files of this host: read once, secrets replaced.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::exclude::is_excluded;
use super::item::{Captured, ITEM_BYTES_MAX, Item, path_of, stop_if_cancelled};
use super::redact::Redactor;
use super::walk::{FoundFile, walk};
use super::words::is_secret;
use crate::archive::keyed::DigestKey;
use crate::archive::manifest::ENTRIES_MAX;
use crate::error::Result;

/// Files that are secrets as a whole although their names do not say so.
const SECRET_FILES: &[&str] =
    &[".pgpass", "pgpass", ".netrc", ".htpasswd", "htpasswd", "id_rsa", "id_ed25519"];
/// Ends of names of files that hold keys, and may not be text.
const SECRET_ENDS: &[&str] = &[".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx"];

/// Adds what these paths hold. Blocking.
///
/// # Errors
/// `Config` where it is too much, `Interrupted`. What is wrong with single files is left out by name.
pub(super) fn capture(
    paths: &[PathBuf],
    exclude: &[String],
    key: &DigestKey,
    captured: &mut Captured,
    cancel: &CancellationToken,
) -> Result<()> {
    let skip = |path: &Path| is_excluded(exclude, &path.to_string_lossy());
    for path in paths {
        let walked = walk(path, ENTRIES_MAX, &skip)?;
        for (path, why) in walked.odd {
            captured.leave_out(path_of(&path), why);
        }
        for file in walked.files {
            stop_if_cancelled(cancel)?;
            match read(&file) {
                Ok((content, mode, mtime_ns)) => {
                    let path = path_of(&file.path);
                    let content = without_secrets(key, &path, &file.path, content);
                    captured.add(Item { path, content, mode, mtime_ns })?;
                }
                Err(why) => captured.leave_out(path_of(&file.path), why),
            }
        }
    }
    Ok(())
}

/// Content, mode and modification time; or why not.
fn read(file: &FoundFile) -> Result<(Vec<u8>, u32, i64), String> {
    let (opened, meta) = file.dir.open_file(&file.relative).map_err(|e| format!("it cannot be read: {e}"))?;
    if meta.len() > ITEM_BYTES_MAX {
        let most = ITEM_BYTES_MAX >> 20;
        return Err(format!("it is larger than {most} MiB; attach it with --attach"));
    }
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(opened, ITEM_BYTES_MAX + 1), &mut content)
        .map_err(|e| format!("it cannot be read: {e}"))?;
    if content.len() as u64 > ITEM_BYTES_MAX {
        return Err("it grew while it was read".to_owned());
    }
    let mtime_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
    Ok((content, meta.mode() & 0o777, mtime_ns))
}

/// The content with digests in place of secrets. What is no text stays as it is, unless its name says that
/// all of it is a secret.
fn without_secrets(key: &DigestKey, path: &str, source: &Path, content: Vec<u8>) -> Vec<u8> {
    let redactor = Redactor::new(key, path);
    let name = source.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let whole = SECRET_FILES.contains(&name.as_str())
        || SECRET_ENDS.iter().any(|end| name.ends_with(end))
        || is_secret(name.split_once('.').map_or(name.as_str(), |(stem, _)| stem)) && !name.ends_with(".pub");
    if whole && !content.is_empty() {
        return format!("{}\n", key.of_secret(path, "", &content).placeholder()).into_bytes();
    }
    match String::from_utf8(content) {
        Ok(text) => redactor.text(&text).into_bytes(),
        Err(binary) => binary.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::keyed::PLACEHOLDER;
    use crate::archive::signature::SigningKey;
    use crate::disk;

    #[test]
    fn files_are_captured_without_their_secrets_and_odd_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let write = |name: &str, content: &[u8]| disk::write_new_durable(&top.join(name), content).unwrap();
        write("odoo.conf", b"[options]\ndb_host = db\ndb_password = s3cr3t\n");
        write("api-token", b"s3cr3t");
        write("tls.key", b"\xff s3cr3t");
        write("logo.png", b"\x89PNG\xff\x00");
        write("new\nline", b"x");
        write("large.bin", &vec![0; ITEM_BYTES_MAX as usize + 1]);
        write("left.pyc", b"x");
        let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
        let capture = || {
            let mut captured = Captured::default();
            let paths = [top.clone(), top.join("odoo.conf"), top.join("gone")];
            capture(&paths, &["*.pyc".to_owned()], &key, &mut captured, &CancellationToken::new()).unwrap();
            captured.sorted()
        };
        let captured = capture();
        assert_eq!(captured, capture(), "the same twice");
        let name = |item: &Item| item.path.rsplit('/').next().unwrap().to_owned();
        let names: Vec<String> = captured.items.iter().map(name).collect();
        assert_eq!(names, ["api-token", "logo.png", "new%0Aline", "odoo.conf", "tls.key"]);
        for item in &captured.items {
            let text = String::from_utf8_lossy(&item.content).into_owned();
            assert!(!text.contains("s3cr3t"), "{text}");
        }
        assert!(captured.items[0].content.starts_with(PLACEHOLDER.as_bytes()));
        assert_eq!(captured.items[1].content, b"\x89PNG\xff\x00");
        let left: Vec<&str> =
            captured.left_out.iter().map(|left| left.path.rsplit('/').next().unwrap()).collect();
        assert_eq!(left, ["gone", "large.bin"]);
        let facts = captured.facts(&key);
        assert_eq!((facts.files, facts.objects), (5, 0));
    }
}
