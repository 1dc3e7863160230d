//! Users of this machine, as /etc/passwd lists them.

use std::path::Path;

use crate::error::Result;

/// Largest list that is read.
const PASSWD_BYTES_MAX: u64 = 16 << 20;

/// User and group number of a user; `None` where there is no user of this name.
pub fn user_named(name: &str) -> Result<Option<(u32, u32)>> {
    let found = |fields: &[&str]| {
        let number = |field: usize| fields.get(field)?.parse().ok();
        (fields.first() == Some(&name)).then(|| number(2).zip(number(3)))?
    };
    each(found)
}

/// The name of a user; `None` where it is listed elsewhere (LDAP) or nowhere.
pub fn user_name(uid: u32) -> Result<Option<String>> {
    let uid = uid.to_string();
    each(|fields: &[&str]| (fields.get(2) == Some(&uid.as_str())).then(|| fields[0].to_owned()))
}

fn each<T>(found: impl Fn(&[&str]) -> Option<T>) -> Result<Option<T>> {
    let passwd = super::read_text(Path::new("/etc/passwd"), PASSWD_BYTES_MAX)?;
    Ok(passwd.lines().find_map(|line| found(&line.split(':').collect::<Vec<_>>())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_always_there() {
        assert_eq!(user_named("root").unwrap(), Some((0, 0)));
        assert_eq!(user_name(0).unwrap().as_deref(), Some("root"));
        assert_eq!(
            (user_named("no one of this name").unwrap(), user_name(u32::MAX - 7).unwrap()),
            (None, None)
        );
    }
}
