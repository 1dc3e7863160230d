//! An error as a person reads it at 3 a.m.: the same form in both programs.

use super::Error;
use super::shown::printable;

impl Error {
    /// Those of its five parts that exist: what, effect, causes, next, safe. `runnable` completes the
    /// commands in the next step so that they run as printed.
    pub fn text(&self, runnable: impl Fn(&str) -> String) -> String {
        let mut text = format!("error[{}]: {}\n", self.kind().slug(), lines(self.what(), "  "));
        let mut part = |name: &str, said: &str| {
            text.push_str(&format!("  {name:<8}{}\n", lines(said, "          ")));
        };
        self.effect_text().into_iter().for_each(|said| part("effect:", said));
        for (i, cause) in self.causes().iter().enumerate() {
            part(if i == 0 { "cause:" } else { "" }, cause);
        }
        if let Some(said) = self.next_text() {
            part("next:", &runnable(said));
        }
        self.safe_text().into_iter().for_each(|said| part("safe:", said));
        text
    }
}

/// Keeps the shape of the message whatever a server or a file name put into it: further lines are indented,
/// and control characters cannot reach the terminal.
fn lines(text: &str, indent: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| printable(line.trim_end()))
        .collect::<Vec<_>>()
        .join(&format!("\n{indent}"))
}

#[cfg(test)]
mod tests {
    use crate::error::{Error, Kind};

    #[test]
    fn an_error_has_its_five_parts_once_each() {
        let cause = std::io::Error::other("HTTP 403 AccessDenied\nrequest \u{1b}[31m7");
        let error = Error::new(Kind::Denied, "put packs/000000.tar.zst.age")
            .because(cause)
            .effect("the snapshot was not stored")
            .next("lifeboat doctor")
            .safe("running again is safe")
            .context("back up tenant retail_north");
        let expected = "error[denied]: back up tenant retail_north\n  \
              effect: the snapshot was not stored\n  \
              cause:  put packs/000000.tar.zst.age\n          \
                      HTTP 403 AccessDenied\n          \
                      request \\u{1b}[31m7\n  \
              next:   sudo lifeboat doctor\n  \
              safe:   running again is safe\n";
        assert_eq!(error.text(|next| format!("sudo {next}")), expected);
        assert_eq!(Error::new(Kind::Io, "x").text(str::to_owned), "error[io]: x\n");
    }
}
