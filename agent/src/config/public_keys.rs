//! Public keys in a configuration.

/// Checks that a text is a recipient that archives can be encrypted to.
pub fn recipient(text: &str) -> Result<String, String> {
    let ssh = text.starts_with("ssh-");
    let fine = match ssh {
        true => text.parse::<age::ssh::Recipient>().is_ok(),
        false => text.parse::<age::x25519::Recipient>().is_ok(),
    };
    fine.then(|| text.to_owned()).ok_or_else(|| "is not a valid recipient".to_owned())
}

/// Checks that a text is a public key that signatures can be checked with.
pub(super) fn trusted_key(text: &str) -> Result<String, String> {
    match ssh_key::PublicKey::from_openssh(text) {
        Ok(key) if key.algorithm() == ssh_key::Algorithm::Ed25519 => Ok(text.to_owned()),
        Ok(key) => Err(format!("is a key of type {}; only Ed25519 keys are accepted here", key.algorithm())),
        Err(error) => Err(format!("is not a public key ({error})")),
    }
}
