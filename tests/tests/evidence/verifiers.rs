//! Tools of strangers verify what is exported, and refuse every sort of damage.

use std::fs;
use std::path::PathBuf;

use lifeboat_tests::skip;
use lifeboat_tests::verifiers::{self, Verifier};

use crate::Host;

/// An export of release `feature/1`, and a place for more.
struct Export {
    host: Host,
}

impl Export {
    fn new() -> Export {
        let host = Host::new();
        host.store("feature/1", |_| {});
        host.run(&["evidence", "export", "--release", "feature/1", "out"]).run().ok();
        Export { host }
    }

    fn dir(&self) -> PathBuf {
        self.host.path("out")
    }

    /// Runs a verifier over what is there, over each sort of damage, and over another key.
    fn tried(&self, verifier: &Verifier, says: &str) {
        let verified = verifier.run(&self.dir()).ok();
        assert!(verified.stdout.contains(says), "{verified}");
        let file = self.dir().join("checkpoint.json");
        let whole = fs::read_to_string(&file).unwrap();
        // One character in the middle of a field's base64.
        let altered = |name: &str| {
            let at = whole.find(&format!("\"{name}\": \"")).unwrap() + name.len() + 45;
            let new = if &whole[at..=at] == "A" { "B" } else { "A" };
            format!("{}{new}{}", &whole[..at], &whole[at + 1..])
        };
        let other_type = whole.replace("vnd.in-toto+json", "vnd.in-toto+jsom");
        for text in [altered("payload"), altered("sig"), other_type] {
            fs::write(&file, text).unwrap();
            let outcome = verifier.run(&self.dir());
            assert!(outcome.code != Some(0), "an altered file was verified: {outcome}");
        }
        fs::write(&file, whole).unwrap();
        let key = self.dir().join("public-key.pem");
        let ours = fs::read(&key).unwrap();
        fs::copy(Host::new().path(crate::PUBLIC_KEY), &key).unwrap();
        let outcome = verifier.run(&self.dir());
        assert!(outcome.code != Some(0), "another key verified it: {outcome}");
        fs::write(&key, ours).unwrap();
        verifier.run(&self.dir()).ok();
    }
}

#[test]
fn openssl_verifies_it() {
    let export = Export::new();
    export.tried(&verifiers::openssl(), "Verified OK");
    let read = |name: &str| fs::read(export.dir().join(name)).unwrap();
    assert_eq!(read("verified-statement.json"), read("statement.json"));
}

#[test]
fn securesystemslib_verifies_it() {
    match verifiers::securesystemslib() {
        Ok(verifier) => Export::new().tried(&verifier, "verified: feature/1"),
        Err(why) => skip!("{why}"),
    }
}

#[test]
fn sigstore_verifies_it() {
    match verifiers::sigstore() {
        Ok(verifier) => Export::new().tried(&verifier, "verified: feature/1"),
        Err(why) => skip!("{why}"),
    }
}
