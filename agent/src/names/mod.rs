//! Names and identifiers as types that cannot contain a wrong value.

pub mod typed;
pub mod wal;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::shown::is_control;
use crate::error::{Error, Kind, Result};

/// The end of the names of databases that a restore is filling.
pub const INCOMPLETE_SUFFIX: &str = "__lifeboat_incomplete";
/// The end of the names of filestores that a restore is filling.
pub const STAGING_SUFFIX: &str = ".lifeboat-incomplete";

macro_rules! text_name {
    ($name:ident, $what:literal, $doc:literal) => {
        text_name!($name(String), $what, $doc);
    };
    ($name:ident($text:ty), $what:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name($text);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                match Self::rule(text) {
                    None => Ok(Self(text.into())),
                    Some(why) => {
                        Err(Error::new(Kind::Usage, format!("{} {:?} {why}", $what, truncated(text))))
                    }
                }
            }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }
    };
}

text_name!(
    InstanceName,
    "instance name",
    "One PostgreSQL cluster plus its Odoo data directory: 1-64 of `a-z 0-9 . _ -`, starting with a letter or digit; part of keys."
);
text_name!(
    TenantName,
    "tenant name",
    "One Odoo database: any PostgreSQL database name (1-63 bytes) without control characters or `/`, and not `.` or `..`."
);
text_name!(
    ReleaseId,
    "release ID",
    "What the pipeline calls a release: 1-200 characters with a letter or digit among them, without control characters and without blanks at its ends. Two IDs are the same if their bytes are."
);
text_name!(
    HoldName,
    "name of a hold",
    "What people call a hold: 1-64 of `a-z 0-9 . _ -`, starting with a letter or digit; part of keys."
);
text_name!(
    SnapshotId(Arc<str>),
    "snapshot ID",
    "`<UTC second>-<kind>-<8 hex digits>`, as in `20261120T015812Z-dump-4f3a9c1e`: sorts by time, part of keys. \
     Clones share their memory: filestores name hundreds of others."
);

/// A count with its noun: `1 file`, `7 files`. `one` is the singular; the plural takes an s.
pub fn counted(count: impl TryInto<u64>, one: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// A word for a shell: quoted where needed.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// A path for a shell.
pub fn shell_path(path: &std::path::Path) -> String {
    shell_word(&path.display().to_string())
}

fn truncated(text: &str) -> String {
    text.chars().take(100).collect()
}

fn plain(text: &str, extra: &str, most: usize) -> Option<&'static str> {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
    (!first || !rest || text.len() > most).then_some("has a character or a length that is not allowed")
}

fn lower_plain(text: &str) -> Option<&'static str> {
    if text.chars().any(|c| c.is_ascii_uppercase()) {
        return Some("must be lower case, of a-z 0-9 . _ -");
    }
    plain(text, "._-", 64)
}

impl InstanceName {
    fn rule(text: &str) -> Option<&'static str> {
        lower_plain(text)
    }
}

impl HoldName {
    fn rule(text: &str) -> Option<&'static str> {
        lower_plain(text)
    }
}

impl TenantName {
    fn rule(text: &str) -> Option<&'static str> {
        match text {
            "" => Some("is empty"),
            "." | ".." => Some("is a directory name"),
            _ if text.len() > 63 => Some("is longer than PostgreSQL's 63 bytes"),
            _ if text.contains('/') => Some("contains a slash"),
            _ if text.chars().any(char::is_control) => Some("contains a control character"),
            _ => None,
        }
    }
}

/// Longest release ID, in characters.
const RELEASE_CHARS_MAX: usize = 200;
/// Letters and digits of a folder's name that a person recognises.
const SLUG_CHARS_MAX: usize = 40;

impl ReleaseId {
    fn rule(text: &str) -> Option<&'static str> {
        match text {
            "" => Some("is empty"),
            _ if text.chars().count() > RELEASE_CHARS_MAX => Some("is longer than 200 characters"),
            _ if text.chars().any(|c| c.is_control() || is_control(c)) => {
                Some("contains a control character, or one that hides or turns text")
            }
            _ if text.trim() != text => Some("begins or ends with a blank"),
            _ if !text.chars().any(char::is_alphanumeric) => Some("has neither a letter nor a digit"),
            _ => None,
        }
    }

    /// Whether it can be a name in a key as it is: 1-128 of `A-Z a-z 0-9 . _ + : @ -`, starting with a letter
    /// or digit.
    pub fn is_plain(&self) -> bool {
        plain(&self.0, "._+:@-", 128).is_none()
    }

    /// Its lower-case letters and digits of ASCII, at most 40, with `-` in place of others.
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        for c in self.0.chars().map(|c| c.to_ascii_lowercase()) {
            match c {
                _ if c.is_ascii_alphanumeric() => slug.push(c),
                _ if slug.is_empty() || slug.ends_with('-') => {}
                _ => slug.push('-'),
            }
            if slug.len() == SLUG_CHARS_MAX {
                break;
            }
        }
        slug.trim_end_matches('-').to_owned()
    }
}

impl SnapshotId {
    fn rule(text: &str) -> Option<&'static str> {
        let fine = text.len() <= 48
            && text.len() > 26
            && text.as_bytes()[8] == b'T'
            && text.as_bytes()[15] == b'Z'
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "TZ-".contains(c));
        (!fine).then_some("does not have the form <UTC second>-<kind>-<8 hex digits>")
    }

    /// A new identifier for a snapshot of this kind begun at this time. The hex digits are the microseconds
    /// (5) and 12 random bits (3), so that IDs of one kind sort by time within a second, too.
    pub fn new(begun: Timestamp, kind: &str) -> SnapshotId {
        let time = begun.strftime("%Y%m%dT%H%M%SZ");
        let micros = begun.as_microsecond().rem_euclid(1_000_000);
        SnapshotId(format!("{time}-{kind}-{micros:05x}{}", &random_hex(2)[..3]).into())
    }

    /// The kind in the ID, for instance `dump`. The manifest decides.
    pub fn kind(&self) -> &str {
        self.0[17..].rsplit_once('-').map_or("", |(kind, _)| kind)
    }

    /// The day that its work began, `20261120`.
    pub fn day(&self) -> &str {
        &self.0[..8]
    }
}

/// `bytes` bytes from the operating system's generator, as lower-case hex.
pub fn random_hex(bytes: usize) -> String {
    let mut raw = vec![0u8; bytes];
    getrandom::fill(&mut raw).expect("the operating system gives random bytes");
    raw.iter().map(|b| format!("{b:02x}")).collect()
}

/// A position in the WAL; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = Error;
    fn from_str(text: &str) -> Result<Lsn> {
        let parsed = text.split_once('/').and_then(|(high, low)| {
            let fits = |s: &str| !s.is_empty() && s.len() <= 8 && s.bytes().all(|b| b.is_ascii_hexdigit());
            (fits(high) && fits(low)).then_some(())?;
            Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?)
        });
        parsed.map(Lsn).ok_or_else(|| {
            Error::new(Kind::Usage, format!("{:?} is not an LSN such as 2/A7000000", truncated(text)))
        })
    }
}

impl TryFrom<String> for Lsn {
    type Error = Error;
    fn try_from(text: String) -> Result<Lsn> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

/// A number of bytes for people: `812 B`, `4.2 MiB`.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_could_leave_their_place_in_a_key() {
        for bad in ["", ".", "..", "a/b", "a\nb", &"x".repeat(64)] {
            assert!(bad.parse::<TenantName>().is_err(), "{bad:?}");
        }
        for bad in ["", ".x", "A", "a/b", "a b"] {
            assert!(bad.parse::<InstanceName>().is_err() && bad.parse::<HoldName>().is_err(), "{bad:?}");
        }
        assert!("shop é 1".parse::<TenantName>().is_ok());
        assert!("2026.11.20-rc1+b7".parse::<ReleaseId>().is_ok());
    }

    #[test]
    fn a_release_may_be_called_almost_anything() {
        let plain = ["2026.11.20-rc1+b7", "v1:a@b", &"x".repeat(128)];
        let other = ["feature/12 sale", "../../x", "Größe 2", "発売", ".1", "a\u{301}", &"é".repeat(200)];
        for good in plain {
            assert!(good.parse::<ReleaseId>().unwrap().is_plain(), "{good}");
        }
        for good in other {
            assert!(!good.parse::<ReleaseId>().unwrap().is_plain(), "{good}");
        }
        for bad in ["", " ", " a", "a ", "a\u{a0}", "a\nb", "a\tb", "a\u{202e}b", "../..", &"x".repeat(201)] {
            assert!(bad.parse::<ReleaseId>().is_err(), "{bad:?}");
        }
        let slug = |text: &str| text.parse::<ReleaseId>().unwrap().slug();
        assert_eq!(slug("Feature/12  Sale!"), "feature-12-sale");
        assert_eq!((slug("発売"), slug("../x")), (String::new(), "x".to_owned()));
        assert_eq!(slug(&"ab/".repeat(50)).len(), 40);
    }

    #[test]
    fn snapshot_ids_round_trip_and_refuse_paths() {
        let id = SnapshotId::new(Timestamp::UNIX_EPOCH, "filestore");
        assert_eq!(id.as_str().parse::<SnapshotId>().unwrap(), id);
        assert!(id.as_str().starts_with("19700101T000000Z-filestore-"));
        assert_eq!((id.kind(), id.day()), ("filestore", "19700101"));
        assert!("20261120T015812Z-../../../etc/pw".parse::<SnapshotId>().is_err());
    }

    #[test]
    fn lsn_round_trips() {
        assert_eq!("2/A7000000".parse::<Lsn>().unwrap(), Lsn(0x2_A700_0000));
        assert_eq!(Lsn(0x2_A700_0000).to_string(), "2/A7000000");
        for bad in ["", "/", "2/", "+2/0", "123456789/0", "2/G"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
