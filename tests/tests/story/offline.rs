//! Months later an auditor gets the evidence and the public key, and has neither the repository nor a
//! network.

use std::path::Path;

use lifeboat_tests::program::can_cut_the_network;
use lifeboat_tests::verifiers::{self, Verifier};
use lifeboat_tests::{Program, skip};

use crate::shop::Shop;
use crate::{IMAGE_2, R1, R2};

/// Our own program, a Python program, a JavaScript program and OpenSSL believe both releases, and none
/// believes a record of which one character was changed.
pub fn assert_verifies(shop: &Shop) {
    let is_cut = can_cut_the_network();
    if !is_cut {
        skip::announce(module_path!(), "the network cannot be taken from a program: verified with it");
    }
    let cut = |verifier: Verifier| if is_cut { verifier.offline() } else { verifier };
    let mut others = vec![("openssl", cut(verifiers::openssl()))];
    for (name, made) in [("Python", verifiers::securesystemslib()), ("JavaScript", verifiers::sigstore())] {
        match made {
            Ok(verifier) => others.push((name, cut(verifier))),
            Err(why) => skip::announce(module_path!(), &why),
        }
    }
    let chain = shop.run(&["evidence", "list", "--json"]).run().ok().json();
    assert_eq!(chain["checkpoints"].as_array().unwrap().len(), 2, "{chain:#}");
    for release in [R1, R2] {
        let dir = shop.site.path(&format!("for-the-auditor-{release}"));
        shop.run(&["evidence", "export", "--release", release]).arg(&dir).run().ok();
        let ours = |more: &[&str]| {
            let verify = ["evidence", "verify", "checkpoint.json", "--key", "public-key.pem"];
            let program = Program::lifeboat().cwd(&dir).args(verify).args(more.to_vec());
            if is_cut { program.without_network() } else { program }
        };
        let verified = ours(&["--json"]).run().ok().json();
        assert_eq!(verified["checkpoint"]["release"]["id"], release);
        for (name, verifier) in &others {
            let outcome = verifier.run(&dir).ok();
            let says = if *name == "openssl" { "Verified OK" } else { release };
            assert!(outcome.stdout.contains(says), "{name}: {outcome}");
        }
        if release == R2 {
            assert_eq!(verified["checkpoint"]["release"]["image"], IMAGE_2);
            assert_eq!(verified["checkpoint"]["previous"]["release"], R1);
            alter(&dir);
            assert_ne!(ours(&[]).run().code, Some(0), "an altered record");
            for (name, verifier) in &others {
                assert_ne!(verifier.run(&dir).code, Some(0), "{name} believes an altered record");
            }
        }
    }
}

/// Changes one character of what is signed.
fn alter(dir: &Path) {
    let file = dir.join("checkpoint.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let at = text.find("\"payload\": \"").unwrap() + 500;
    let new = if &text[at..=at] == "A" { "B" } else { "A" };
    std::fs::write(&file, format!("{}{new}{}", &text[..at], &text[at + 1..])).unwrap();
}
