//! The identities of a command: which files, and where their passphrase comes from.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::print;
use crate::archive::seal::Identities;
use crate::config::{Config, Inputs};
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Largest passphrase that is read.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// The identities of `--identity`, else of `seal.identity_files`; none where neither names a
/// file. A passphrase comes from `seal.passphrase_file`, else `$LIFEBOAT_PASSPHRASE`, else a
/// person at the terminal; it is asked for only where a file needs it. Blocks while it asks.
///
/// # Errors
/// `Identity` naming the file; that of the passphrase file where it cannot be read.
pub fn identities(flags: &[PathBuf], config: &Config) -> Result<Identities> {
    let files = if flags.is_empty() { config.seal.identity_files.as_slice() } else { flags };
    load(files, &|file| find(file, config))
}

fn load(files: &[PathBuf], find: &dyn Fn(&Path) -> Result<Option<String>>) -> Result<Identities> {
    let failed = RefCell::new(None);
    let passphrase = |file: &Path| {
        find(file).unwrap_or_else(|e| {
            *failed.borrow_mut() = Some(e);
            None
        })
    };
    let loaded = Identities::load(files, &passphrase);
    match failed.into_inner() {
        Some(e) => Err(e.with_kind(Kind::Identity)),
        None => loaded,
    }
}

/// The files of [`identities`], opened once, so that what is wrong with them is known now; for a child, which
/// can ask nobody for a passphrase.
///
/// # Errors
/// Those of [`identities`]; `Identity` where a passphrase is neither in a file nor in the environment.
pub fn unattended(flags: &[PathBuf], config: &Config) -> Result<Vec<PathBuf>> {
    let files = if flags.is_empty() { config.seal.identity_files.as_slice() } else { flags };
    load(files, &|file| {
        stored_passphrase(config)?.ok_or_else(|| nobody_to_ask(file, "nobody is asked")).map(Some)
    })?;
    Ok(files.to_vec())
}

fn find(identity: &Path, config: &Config) -> Result<Option<String>> {
    if let Some(text) = stored_passphrase(config)? {
        return Ok(Some(text));
    }
    match disk::open(Path::new("/dev/tty")) {
        Ok(terminal) => Ok(ask(identity, &terminal)),
        Err(_) => Err(nobody_to_ask(identity, "there is no terminal to ask at")
            .next("set seal.passphrase_file or $LIFEBOAT_PASSPHRASE, or run it at a terminal")),
    }
}

/// The one of the file, else of the environment.
fn stored_passphrase(config: &Config) -> Result<Option<String>> {
    if let Some(file) = &config.seal.passphrase_file {
        let text = disk::read_secret_text("passphrase file", file, PASSPHRASE_BYTES_MAX)?;
        return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Inputs::from_process().variable("LIFEBOAT_PASSPHRASE")
}

fn nobody_to_ask(identity: &Path, why: &str) -> Error {
    let what = format!("{} needs a passphrase, and {why}", identity.display());
    Error::new(Kind::Identity, what)
        .effect("nothing was read or changed")
        .next("set seal.passphrase_file or $LIFEBOAT_PASSPHRASE")
}

/// Asks at the terminal; `None` where the person gave up.
fn ask(identity: &Path, terminal: &File) -> Option<String> {
    print::err(&format!("passphrase of {} (not shown; Ctrl-C gives up):", identity.display()));
    let silent = Silent::new(terminal)?;
    let mut keyboard = terminal;
    let mut typed = Vec::new();
    let mut byte = [0];
    let ended = loop {
        match keyboard.read(&mut byte) {
            Ok(1) => {}
            _ => break false,
        }
        match byte[0] {
            b'\r' | b'\n' => break true,
            3 | 4 => break false, // Ctrl-C, Ctrl-D
            8 | 127 => pop_char(&mut typed),
            21 => typed.clear(), // Ctrl-U
            other if (typed.len() as u64) < PASSPHRASE_BYTES_MAX => typed.push(other),
            _ => break false,
        }
    };
    drop(silent);
    String::from_utf8(typed).ok().filter(|text| ended && !text.is_empty())
}

fn pop_char(typed: &mut Vec<u8>) {
    while typed.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {} // the rest of one UTF-8 character
}

/// A terminal that shows nothing of what is typed, until dropped. It sends no signals meanwhile:
/// a program that a signal ends would leave it silent.
struct Silent<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Silent<'_> {
    fn new(terminal: &File) -> Option<Silent<'_>> {
        let before = tcgetattr(terminal).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(terminal, OptionalActions::Flush, &quiet).ok()?;
        Some(Silent { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // nothing better can be done where even this fails
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backspace_takes_one_character() {
        let mut typed = "aé".as_bytes().to_vec();
        pop_char(&mut typed);
        assert_eq!(typed, b"a");
        pop_char(&mut typed);
        pop_char(&mut typed);
        assert!(typed.is_empty());
    }

    #[test]
    fn a_passphrase_file_opens_a_protected_identity_and_one_that_is_gone_is_named() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        let mut recipient = age::scrypt::Recipient::new(age::secrecy::SecretString::from("right"));
        recipient.set_work_factor(4);
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
        let mut writer = encryptor.wrap_output(Vec::new()).unwrap();
        writer.write_all(age::secrecy::ExposeSecret::expose_secret(&key.to_string()).as_bytes()).unwrap();
        let identity = dir.path().join("identity");
        disk::write_new_durable(&identity, &writer.finish().unwrap()).unwrap();
        let file = dir.path().join("passphrase");
        disk::write_new_durable(&file, b"right\n").unwrap();
        let text = format!(
            "instance = \"prod\"\n[repository]\nurl = \"/r\"\n[seal]\nidentity_files = [{identity:?}]\npassphrase_file = {file:?}\n"
        );
        let config = Config::parse(&dir.path().join("lifeboat.toml"), &text, &Inputs::default()).unwrap();
        assert!(!identities(&[], &config).unwrap().is_empty());
        disk::remove_file(&file).unwrap();
        let error = identities(&[], &config).err().unwrap();
        assert_eq!(error.kind(), Kind::Identity);
        assert!(error.what().contains("passphrase"), "{error:?}");
    }
}
