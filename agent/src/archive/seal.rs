//! Encryption with age: recipients encrypt, identities decrypt. A host that backs up has only recipients.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use age::secrecy::SecretString;

use crate::disk;
use crate::error::{Error, Kind, Result};

/// Largest identity or recipients file that is read.
const KEY_FILE_BYTES_MAX: u64 = 1 << 20;
/// Largest header of an age file: hundreds of recipients.
const HEADER_BYTES_MAX: u64 = 64 << 10;

/// A writer that encrypts: finish it, or the object is truncated.
pub type Sealed<W> = age::stream::StreamWriter<W>;
/// A reader that decrypts; seekable where its input is.
pub type Opened<R> = age::stream::StreamReader<BufReader<Headed<R>>>;

#[derive(Clone)]
enum Recipient {
    Age(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

/// Everyone who can decrypt what is written; never empty.
#[derive(Clone)]
pub struct Recipients(Vec<(String, Recipient)>);

impl Recipients {
    /// Reads `age1…` and `ssh-ed25519 …`/`ssh-rsa …` lines; blank lines and `#` comments are skipped.
    ///
    /// # Errors
    /// `Config` naming the line that is not a recipient, or when there is no recipient at all. A secret key
    /// given by mistake is refused without being repeated.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Recipients> {
        let mut recipients = Vec::new();
        for line in lines {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.contains("SECRET") || line.contains("PRIVATE") {
                return Err(Error::new(Kind::Config, "a secret key was given as a recipient")
                    .effect("the production host must not hold identities; nothing was done")
                    .next("use the recipient that age-keygen -y IDENTITY prints; move the identity off this host"));
            }
            let recipient = if line.starts_with("ssh-") {
                age::ssh::Recipient::from_str(line).map(Recipient::Ssh).map_err(|e| format!("{e:?}"))
            } else {
                age::x25519::Recipient::from_str(line).map(Recipient::Age).map_err(str::to_owned)
            };
            let recipient = recipient.map_err(|e| {
                Error::new(Kind::Config, format!("{line:?} is not an age or ssh recipient ({e})"))
                    .next("a recipient looks like age1… (age-keygen prints one) or ssh-ed25519 …")
            })?;
            recipients.push((line.to_owned(), recipient));
        }
        if recipients.is_empty() {
            return Err(Error::new(Kind::Config, "no recipient is configured")
                .effect("nothing can be encrypted, so nothing was backed up")
                .next("set seal.recipients or seal.recipients_file in the configuration"));
        }
        let recipients = Recipients(recipients);
        let mut header = Vec::new();
        recipients.seal(&mut header)?;
        if header.len() as u64 > HEADER_BYTES_MAX {
            let many = recipients.0.len();
            return Err(Error::new(Kind::Config, format!("there are too many recipients ({many})"))
                .because(format!(
                    "each object would begin with {} bytes for them; {HEADER_BYTES_MAX} is the limit",
                    header.len()
                ))
                .effect("nothing was backed up")
                .next("leave out recipients in seal.recipients and seal.recipients_file; age keys take the least space"));
        }
        Ok(recipients)
    }

    /// The recipients of a configuration: those listed and those of the file.
    pub fn load(listed: &[String], file: Option<&Path>) -> Result<Recipients> {
        let text = file.map(|f| disk::read_text(f, KEY_FILE_BYTES_MAX)).transpose()?.unwrap_or_default();
        Recipients::parse(listed.iter().map(String::as_str).chain(text.lines()))
    }

    /// These and more; one that is there already is not added twice.
    ///
    /// # Errors
    /// As for [`Recipients::parse`].
    pub fn and(&self, more: &[String]) -> Result<Recipients> {
        let is_new = |text: &&String| !self.texts().any(|there| there == text.trim());
        Recipients::parse(self.texts().chain(more.iter().filter(is_new).map(String::as_str)))
    }

    /// The public keys as configured.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(text, _)| text.as_str())
    }

    /// A writer that encrypts to all recipients. [`Sealed::finish`] must be called; after an error, abandon
    /// the object and never continue in the middle.
    pub fn seal<W: Write>(&self, output: W) -> Result<Sealed<W>> {
        let all = self.0.iter().map(|(_, recipient)| match recipient {
            Recipient::Age(r) => r as &dyn age::Recipient,
            Recipient::Ssh(r) => r as &dyn age::Recipient,
        });
        age::Encryptor::with_recipients(all)
            .map_err(|e| Error::new(Kind::Config, "these recipients cannot be combined").because(e))?
            .wrap_output(output)
            .map_err(|e| Error::carried(Kind::Io, "cannot begin an encrypted object", e))
    }
}

/// The secret keys; only restore and drill hosts have them.
#[derive(Clone)]
pub struct Identities {
    keys: std::sync::Arc<Vec<Box<dyn age::Identity + Send + Sync>>>,
    files: Vec<PathBuf>,
}

#[derive(Clone)]
struct Passphrase(Option<SecretString>);

impl age::Callbacks for Passphrase {
    fn display_message(&self, _: &str) {}
    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }
    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }
    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        self.0.clone()
    }
}

impl Identities {
    /// Reads age identity files, passphrase-protected age files (binary or armored) and ssh private keys.
    /// `passphrase` is asked at most once per file, and only for a file that needs it.
    ///
    /// # Errors
    /// `Identity` naming the file: absent, open to others, malformed, or a wrong passphrase.
    pub fn load(files: &[PathBuf], passphrase: &dyn Fn(&Path) -> Option<String>) -> Result<Identities> {
        let mut keys = Vec::new();
        for file in files {
            keys.extend(load_file(file, passphrase).map_err(|e| {
                let e = e.with_kind(Kind::Identity).effect("nothing was read or changed");
                match e.next_text().is_some() {
                    true => e,
                    false => e.next("pass the right file with --identity, or set seal.identity_files"),
                }
            })?);
        }
        Ok(Identities { keys: keys.into(), files: files.to_vec() })
    }

    /// Whether there is no identity.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A reader that decrypts `input`. Its output is not checked before its end: read to the end before you
    /// publish anything. `name` is the object's, for errors.
    ///
    /// # Errors
    /// `Identity` when none of ours decrypts it, `Integrity` when it is not an age file.
    pub fn open<R: Read>(&self, name: &str, input: R) -> Result<Opened<R>> {
        if self.keys.is_empty() {
            return Err(Error::new(Kind::Identity, format!("{name} is encrypted and no identity was given"))
                .effect("nothing was read or changed")
                .next("pass the identity file with --identity FILE (runbooks/restore-tenant.md says where it is kept)"));
        }
        let after_header = Arc::new(AtomicBool::new(false));
        let input = Headed { input, passed: 0, after_header: after_header.clone() };
        let input = BufReader::with_capacity(128 << 10, input);
        let ours = self.keys.iter().map(|key| key.as_ref() as &dyn age::Identity);
        let decryptor = age::Decryptor::new_buffered(input).map_err(|e| damaged(name, e))?;
        after_header.store(true, Ordering::Relaxed);
        decryptor.decrypt(ours).map_err(|e| match e {
            age::DecryptError::NoMatchingKeys => {
                let files: Vec<_> = self.files.iter().map(|f| f.display().to_string()).collect();
                Error::new(Kind::Identity, format!("no identity in {} can decrypt {name}", files.join(", ")))
                    .effect("nothing was read or changed")
                    .next("find the identity of one of its recipients: lifeboat show SNAPSHOT lists them")
            }
            e => damaged(name, e),
        })
    }
}

/// An age file of which no endless header is read: the library gathers lines in memory, however long.
pub struct Headed<R> {
    input: R,
    passed: u64,
    after_header: Arc<AtomicBool>,
}

impl<R: Read> Read for Headed<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.passed > HEADER_BYTES_MAX && !self.after_header.load(Ordering::Relaxed) {
            return Err(std::io::Error::other(format!(
                "its header has no end within {HEADER_BYTES_MAX} bytes"
            )));
        }
        let read = self.input.read(buf)?;
        self.passed = self.passed.saturating_add(read as u64);
        Ok(read)
    }
}

impl<R: Seek> Seek for Headed<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.input.seek(to)
    }
}

fn damaged(name: &str, e: age::DecryptError) -> Error {
    // Not in age's own words: it looks for translations in files, and panics where it may not read them.
    let what = format!("{name} is not an intact age file");
    let why = match e {
        // It may be the store that failed, not the file.
        age::DecryptError::Io(e) => return Error::carried(Kind::Integrity, what, e),
        age::DecryptError::UnknownFormat => "its version of the age format is unknown".to_owned(),
        age::DecryptError::InvalidHeader | age::DecryptError::InvalidMac => "its header is wrong".to_owned(),
        _ => "it cannot be decrypted".to_owned(),
    };
    Error::new(Kind::Integrity, what).because(why)
}

type Keys = Vec<Box<dyn age::Identity + Send + Sync>>;

fn load_file(file: &Path, passphrase: &dyn Fn(&Path) -> Option<String>) -> Result<Keys> {
    let data = disk::read_secret("identity file", file, KEY_FILE_BYTES_MAX)?;
    let bad = |why: String| {
        Error::new(Kind::Identity, format!("{} is not a usable identity file", file.display())).because(why)
    };
    let ask = || Passphrase(passphrase(file).map(SecretString::from));
    if data.starts_with(b"-----BEGIN") && !data.starts_with(b"-----BEGIN AGE") {
        let key = age::ssh::Identity::from_buffer(data.as_slice(), Some(file.display().to_string()))
            .map_err(|e| bad(e.to_string()))?;
        return Ok(vec![match key {
            age::ssh::Identity::Unencrypted(_) => Box::new(key),
            // Without callbacks that answer, an encrypted key would match nothing, without an error.
            age::ssh::Identity::Encrypted(key) => {
                let Passphrase(Some(secret)) = ask() else {
                    return Err(bad("it needs a passphrase and none was given".into()));
                };
                let key = key.decrypt(secret).map_err(|e| bad(e.to_string()))?;
                Box::new(age::ssh::Identity::from(key))
            }
            age::ssh::Identity::Unsupported(_) => {
                return Err(bad("this kind of ssh key is not supported".into()));
            }
        }]);
    }
    if data.starts_with(b"age-encryption.org/") || data.starts_with(b"-----BEGIN AGE") {
        let Some(secret) = passphrase(file) else {
            return Err(bad("it needs a passphrase and none was given".into()));
        };
        let secret = age::scrypt::Identity::new(SecretString::from(secret));
        let armored = age::armor::ArmoredReader::new(data.as_slice());
        let mut plain = Vec::new();
        age::Decryptor::new(armored)
            .and_then(|d| d.decrypt(std::iter::once(&secret as &dyn age::Identity)))
            .map_err(|e| bad(format!("the passphrase is wrong ({e})")))?
            .take(KEY_FILE_BYTES_MAX)
            .read_to_end(&mut plain)
            .map_err(|e| bad(e.to_string()))?;
        return native(plain.as_slice()).map_err(bad);
    }
    native(data.as_slice()).map_err(bad)
}

fn native(data: impl BufRead) -> Result<Keys, String> {
    let keys = age::IdentityFile::from_buffer(data)
        .map_err(|e| e.to_string())?
        .into_identities()
        .map_err(|e| e.to_string())?;
    if keys.is_empty() {
        return Err("it contains no identity".into());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret;

    fn identity_file(dir: &Path, name: &str) -> (PathBuf, String) {
        let key = age::x25519::Identity::generate();
        let path = dir.join(name);
        disk::write_new_durable(&path, key.to_string().expose_secret().as_bytes()).unwrap();
        (path, key.to_public().to_string())
    }

    fn sealed(recipients: &[&str]) -> Vec<u8> {
        let recipients = Recipients::parse(recipients.iter().copied()).unwrap();
        let mut writer = recipients.seal(Vec::new()).unwrap();
        writer.write_all(b"secret").unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn every_recipient_opens_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let (one, one_public) = identity_file(dir.path(), "one");
        let (two, two_public) = identity_file(dir.path(), "two");
        let (other, _) = identity_file(dir.path(), "other");
        let object = sealed(&[&one_public, "# escrow", &two_public]);
        for file in [one, two] {
            let ours = Identities::load(&[file], &|_| None).unwrap();
            let mut text = String::new();
            ours.open("x", object.as_slice()).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "secret");
        }
        let wrong = Identities::load(&[other], &|_| None).unwrap();
        assert_eq!(wrong.open("x", object.as_slice()).err().unwrap().kind(), Kind::Identity);
        let none = Identities::load(&[], &|_| None).unwrap();
        assert_eq!(none.open("x", object.as_slice()).err().unwrap().kind(), Kind::Identity);
    }

    #[test]
    fn an_endless_header_is_not_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let (file, public) = identity_file(dir.path(), "one");
        let ours = Identities::load(&[file], &|_| None).unwrap();
        let object = sealed(&[&public]);
        let first_line = object.split_inclusive(|byte| *byte == b'\n').next().unwrap();
        let stanza = b"-> X25519 a line of forty-eight characters or so\n".as_slice();
        for (begins, repeated) in
            [(b"".as_slice(), b"\0".as_slice()), (first_line, stanza), (first_line, b"x")]
        {
            let endless = begins.chain(Endless(repeated, 0)).take(1 << 40);
            let e = ours.open("x", endless).err().unwrap();
            assert_eq!(e.kind(), Kind::Integrity, "{e:?}");
        }
        // What is not the header may be longer.
        let recipients = Recipients::parse([public.as_str()]).unwrap();
        let mut writer = recipients.seal(Vec::new()).unwrap();
        std::io::copy(&mut std::io::repeat(7).take(3 << 20), &mut writer).unwrap();
        let object = writer.finish().unwrap();
        let mut opened = ours.open("x", object.as_slice()).unwrap();
        assert_eq!(std::io::copy(&mut opened, &mut std::io::sink()).unwrap(), 3 << 20);
    }

    /// The same bytes again and again.
    struct Endless(&'static [u8], usize);

    impl Read for Endless {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            for byte in &mut *buf {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(buf.len())
        }
    }

    #[test]
    fn an_open_identity_file_and_a_secret_among_recipients_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (file, _) = identity_file(dir.path(), "one");
        let text = disk::read_text(&file, 1000).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Identities::load(&[file], &|_| None).err().unwrap().kind(), Kind::Identity);
        let refused = Recipients::parse([text.as_str()]).err().unwrap();
        assert!(!format!("{refused:?}").contains(&text), "the secret is not repeated");
        assert!(Recipients::parse([]).is_err());
        assert!(Recipients::parse(["age1nonsense"]).is_err());
        let (_, public) = identity_file(dir.path(), "two");
        assert!(Recipients::parse([public.as_str(); 500]).is_ok());
        assert!(Recipients::parse([public.as_str(); 1_000]).is_err(), "nobody could read what is written");
    }

    #[test]
    fn a_passphrase_protected_identity_opens_with_the_passphrase_only() {
        let dir = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        let mut recipient = age::scrypt::Recipient::new(SecretString::from("right"));
        recipient.set_work_factor(4);
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
        let mut writer = encryptor.wrap_output(Vec::new()).unwrap();
        writer.write_all(key.to_string().expose_secret().as_bytes()).unwrap();
        let path = dir.path().join("protected");
        disk::write_new_durable(&path, &writer.finish().unwrap()).unwrap();
        let object = sealed(&[&key.to_public().to_string()]);
        let files = [path];
        let ours = Identities::load(&files, &|_| Some("right".into())).unwrap();
        assert!(ours.open("x", object.as_slice()).is_ok());
        assert!(Identities::load(&files, &|_| Some("wrong".into())).is_err());
        assert!(Identities::load(&files, &|_| None).is_err());
    }
}
