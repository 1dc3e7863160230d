//! Which names say that their value is a secret.

/// A name with one of these words has a secret value.
const SECRET: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "secret",
    "secrets",
    "token",
    "tokens",
    "key",
    "keys",
    "credential",
    "credentials",
    "sig",
    "signature",
];
/// A name that contains one of these has one, too, however it is written.
const SECRET_WITHIN: &[&str] =
    &["password", "passwd", "passphrase", "secret", "apikey", "privatekey", "accesskey", "authtoken"];
/// A name that ends with one of these words only says where a secret is, or how it looks.
const HARMLESS_END: &[&str] = &[
    "file",
    "filename",
    "files",
    "path",
    "dir",
    "directory",
    "name",
    "names",
    "ref",
    "refs",
    "enabled",
    "length",
    "min",
    "max",
    "ttl",
    "timeout",
    "expiry",
    "type",
    "size",
];
/// A name with one of these words is about something public, or about a secret that is elsewhere.
const HARMLESS: &[&str] = &["public", "pub", "trusted", "existing", "pull"];
/// Values that say that there is none.
const NONE: &[&str] = &["", "false", "true", "none", "null", "~", "\"\"", "''"];

/// Whether the value of this name is a secret: `db_password`, `smtpPassword`, `ADMIN_PASSWD`, `api.token`.
pub fn is_secret(name: &str) -> bool {
    let words = words(name);
    !is_harmless(&words) && has_secret_word(&words)
}

/// Whether the value of this name only says where a secret is: `secretName`, `secretKeyRef`, `key_file`.
pub fn is_reference(name: &str) -> bool {
    let words = words(name);
    is_harmless(&words) && has_secret_word(&words)
}

fn is_harmless(words: &[String]) -> bool {
    let ends = words.last().is_some_and(|word| HARMLESS_END.contains(&word.as_str()));
    ends || words.iter().any(|word| HARMLESS.contains(&word.as_str()))
}

fn has_secret_word(words: &[String]) -> bool {
    let joined = words.concat();
    words.iter().any(|word| SECRET.contains(&word.as_str()))
        || SECRET_WITHIN.iter().any(|part| joined.contains(part))
}

/// Whether this value is the absence of one: such values stay.
pub fn is_none(value: &str) -> bool {
    NONE.contains(&value.trim().to_ascii_lowercase().as_str())
}

/// The words of a name, in lower case: split at signs and where a capital letter begins a word.
fn words(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).map(|at| chars[at]);
        let next_is_lower = chars.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = c.is_uppercase() && before.is_some_and(|before| !before.is_uppercase() || next_is_lower);
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_however_they_are_written() {
        for name in [
            "db_password",
            "admin_passwd",
            "smtp_password",
            "PGPASSWORD",
            "DB_PASS",
            "clientSecret",
            "APIKey",
            "aws_secret_access_key",
            "authToken",
            "x-api-key",
            "tls.key",
            "proxy.admin.token",
            "password",
            "smtppassword",
            "encryption.keys",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "db_host",
            "db_name",
            "workers",
            "secretName",
            "secret_key_ref",
            "key_file",
            "password_min_length",
            "existingSecret",
            "public_key",
            "keyboard",
            "monkey",
            "passthrough",
            "compass",
            "tokenizer",
            "",
        ] {
            assert!(!is_secret(name), "{name}");
        }
        assert!(
            is_reference("secretName") && is_reference("secretKeyRef") && is_reference("imagePullSecrets")
        );
        assert!(!is_reference("password") && !is_reference("name"));
        assert!(is_none("False") && is_none(" ") && !is_none("x"));
    }
}
