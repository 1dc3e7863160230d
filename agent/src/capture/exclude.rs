//! The patterns of `configuration.exclude`: `*` stands for any text, `?` for one character.

/// Whether a path is left out: a pattern with a slash is compared with the whole path, another one with each
/// name in it.
pub(super) fn is_excluded(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.contains('/') {
        true => fits(pattern, path),
        false => path.split('/').any(|name| !name.is_empty() && fits(pattern, name)),
    })
}

/// Whether the text is what the pattern says. Takes time in proportion to both lengths.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_a_name_or_of_the_whole_path() {
        let out = |pattern: &str, path: &str| is_excluded(&[pattern.to_owned()], path);
        assert!(out("*.pyc", "/etc/odoo/a/x.pyc") && !out("*.pyc", "/etc/odoo/x.py"));
        assert!(out(".git", "/srv/addons/.git/config"));
        assert!(out("/srv/*/cache/*", "/srv/a/cache/x/y") && !out("/srv/cache", "/srv/cached"));
        assert!(out("?.conf", "/a.conf") && !out("?.conf", "/ab.conf"));
        assert!(out("kubernetes/*/job-*", "kubernetes/prod/job-x.json"));
        assert!(!out("", "/x") && out("*", "/x"));
    }
}
