//! What a person must fill in by hand after a restore of a configuration: the secrets, of which only keyed
//! digests are stored.

use serde::Serialize;
use serde_json::Value;

use crate::archive::keyed::PLACEHOLDER;
use crate::archive::manifest::Manifest;
use crate::clock;

/// Hex digits after the placeholder's beginning.
const DIGITS: usize = 64;
/// Longest line that is shown.
const LINE_CHARS_MAX: usize = 120;

/// A place with a digest in place of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ByHand {
    /// The file in the restored directory.
    pub path: String,
    /// Its line, counted from 1; 0 where all of it is a secret, or a Secret of Kubernetes.
    pub line: usize,
    /// The line without the digest, or the names that are needed.
    pub what: String,
}

/// The places of one restored file, by its path and content.
pub(super) fn by_hand(path: &str, content: &[u8]) -> Vec<ByHand> {
    let at = |line, what| ByHand { path: path.to_owned(), line, what };
    if path.starts_with("secrets/") {
        return vec![at(0, secret(content))];
    }
    let Ok(text) = std::str::from_utf8(content) else { return Vec::new() };
    if text.starts_with(PLACEHOLDER) && text.lines().count() == 1 {
        return vec![at(0, "the whole file".to_owned())];
    }
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains(PLACEHOLDER));
    lines.map(|(number, line)| at(number + 1, shortened(line))).collect()
}

/// The line with `(secret)` in place of each digest.
fn shortened(line: &str) -> String {
    let mut parts = line.trim().split(PLACEHOLDER);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("(secret)");
        out.push_str(part.get(DIGITS..).unwrap_or_default());
    }
    out.chars().take(LINE_CHARS_MAX).collect()
}

/// `Secret odoo of namespace prod, type Opaque: keys password, user`.
fn secret(content: &[u8]) -> String {
    let value: Value = serde_json::from_slice(content).unwrap_or_default();
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let keys: Vec<&str> =
        value["keys"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    format!(
        "Secret {} of namespace {}, type {}: keys {}",
        text("name"),
        text("namespace"),
        text("type"),
        keys.join(", ")
    )
}

/// The text of README.txt.
pub(super) fn text(manifest: &Manifest, by_hand: &[ByHand]) -> String {
    let release = manifest.release.as_ref().map_or(String::new(), |release| format!(" of release {release}"));
    let mut out = format!(
        "Configuration{release}, captured at {}\nby lifeboat as snapshot {}.\n\n\
         files/        files of the host, by their paths\n\
         kubernetes/   objects: kubectl apply -f kubernetes/NAMESPACE\n\
         helm/         values of Helm releases: helm upgrade -f helm/NAMESPACE/RELEASE/values.json\n\
         secrets/      names of Secrets and their keys; not for kubectl\n\
         artifacts/    what was attached, byte for byte\n\n\
         Secrets are not in it: only keyed digests of them are stored, {PLACEHOLDER}...\n\
         Put the secrets in these places before you use the files:\n\n",
        clock::text(manifest.point),
        manifest.id
    );
    for place in by_hand {
        match place.line {
            0 => out.push_str(&format!("  {}: {}\n", place.path, place.what)),
            line => out.push_str(&format!("  {} line {line}: {}\n", place.path, place.what)),
        }
    }
    if by_hand.is_empty() {
        out.push_str("  (none)\n");
    }
    let left_out = manifest.config().map_or(&[] as &[_], |facts| facts.left_out.as_slice());
    if !left_out.is_empty() {
        out.push_str("\nThese were configured, but could not be captured:\n\n");
        left_out.iter().for_each(|left| out.push_str(&format!("  {left}\n")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_secret_is_named_without_its_digest() {
        let digest = format!("{PLACEHOLDER}{}", "a".repeat(DIGITS));
        let conf = format!("[options]\ndb_host = db\ndb_password = {digest}\n");
        let found = by_hand("files/etc/odoo.conf", conf.as_bytes());
        let what = "db_password = (secret)".to_owned();
        assert_eq!(found, [ByHand { path: "files/etc/odoo.conf".to_owned(), line: 3, what }]);
        let args = format!("  \"--x={digest}\", \"{digest}\"");
        assert_eq!(by_hand("kubernetes/x", args.as_bytes())[0].what, "\"--x=(secret)\", \"(secret)\"");
        assert_eq!(by_hand("files/key", format!("{digest}\n").as_bytes())[0].what, "the whole file");
        let secret = format!(
            "{{\"name\":\"odoo\",\"namespace\":\"prod\",\"type\":\"Opaque\",\"keys\":{{\"password\":\"{digest}\"}}}}"
        );
        let found = by_hand("secrets/prod/odoo.json", secret.as_bytes());
        assert_eq!(found[0].what, "Secret odoo of namespace prod, type Opaque: keys password");
        assert!(by_hand("files/logo.png", b"\xff").is_empty());
    }
}
