//! The token that Azure DevOps sends with each check.

use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::disk::read_secret_text;
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;

/// The shortest token that nobody guesses.
const CHARS_MIN: usize = 32;
const BYTES_MAX: u64 = 4_096;

/// Only a digest of the token, under a key of this run.
pub struct Token(Hmac<Sha256>, Vec<u8>);

impl Token {
    /// Reads it from its private file; blanks at its ends are not part of it.
    ///
    /// # Errors
    /// `Config` where others can read the file, or the token is short.
    pub fn read(file: &Path) -> Result<Token> {
        let text = read_secret_text("token of checks", file, BYTES_MAX)?;
        let token = text.trim();
        if token.chars().count() < CHARS_MIN || token.contains(char::is_whitespace) {
            return Err(Error::new(
                Kind::Config,
                format!("{} has no token of at least {CHARS_MIN} characters without blanks", file.display()),
            )
            .next(format!("openssl rand -hex 32 > {}", file.display())));
        }
        Token::new(token)
    }

    /// A token.
    pub fn new(token: &str) -> Result<Token> {
        let key = Hmac::<Sha256>::new_from_slice(random_hex(32).as_bytes())
            .map_err(|e| Error::new(Kind::Internal, "cannot make a key of HMAC").because(e))?;
        let digest = key.clone().chain_update(token).finalize().into_bytes().to_vec();
        Ok(Token(key, digest))
    }

    /// Whether this is it. The time it takes tells nothing about the token: digests under an unknown key are
    /// compared, and in constant time.
    pub fn is(&self, given: &str) -> bool {
        self.0.clone().chain_update(given).verify_slice(&self.1).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_the_token() {
        let token = Token::new("0123456789abcdef0123456789abcdef").unwrap();
        assert!(token.is("0123456789abcdef0123456789abcdef"));
        for other in ["", "0123456789abcdef0123456789abcdeF", "0123456789abcdef0123456789abcdef0", " "] {
            assert!(!token.is(other), "{other:?}");
        }
    }
}
