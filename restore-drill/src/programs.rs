//! Where the PostgreSQL programs of one major version are on this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat::error::{Error, Kind, Result};

use crate::process;

const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// The directory with `initdb` and `postgres` of this major version: `bin_dir` where given, else
/// the places of Debian and Red Hat packages, else the PATH. Each is asked for its version.
///
/// # Errors
/// [`Kind::Config`] where `bin_dir` holds another version, [`Kind::NotFound`] where none is found.
pub async fn find(major: u32, bin_dir: Option<&Path>) -> Result<PathBuf> {
    if let Some(dir) = bin_dir {
        return match major_of(dir).await {
            Some(found) if found == major => Ok(dir.to_owned()),
            Some(found) => {
                let what = format!("{} holds PostgreSQL {found}, the snapshot needs {major}", dir.display());
                Err(Error::new(Kind::Config, what).next("correct [postgres] bin_dir in the plan"))
            }
            None => {
                let what = format!("{} holds no program postgres that runs", dir.display());
                Err(Error::new(Kind::Config, what).next("correct [postgres] bin_dir in the plan"))
            }
        };
    }
    let mut candidates =
        vec![format!("/usr/lib/postgresql/{major}/bin").into(), format!("/usr/pgsql-{major}/bin").into()];
    candidates.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    for dir in candidates.into_iter().filter(|dir: &PathBuf| dir.join("initdb").exists()) {
        if major_of(&dir).await == Some(major) {
            return Ok(dir);
        }
    }
    Err(Error::new(
        Kind::NotFound,
        format!("the server programs of PostgreSQL {major} are not on this machine"),
    )
    .effect("nothing was restored")
    .next(format!("install postgresql-{major}, or name its directory in the plan: [postgres] bin_dir")))
}

/// The major version of the `postgres` in this directory.
async fn major_of(dir: &Path) -> Option<u32> {
    let mut command = process::command(&dir.join("postgres"));
    let ended = process::run(command.arg("--version"), VERSION_LIMIT).await.ok()?;
    major_in(&ended.stdout)
}

/// `postgres (PostgreSQL) 15.20 (Debian ...)`, `17beta2`, `18devel`.
fn major_in(said: &str) -> Option<u32> {
    let version = said.split_once("(PostgreSQL) ")?.1;
    let digits = version.chars().take_while(char::is_ascii_digit).collect::<String>();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors_are_read_from_what_postgres_says() {
        assert_eq!(major_in("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(major_in("postgres (PostgreSQL) 18devel"), Some(18));
        assert_eq!(major_in("postgres 15"), None);
    }

    #[tokio::test]
    async fn a_directory_without_the_version_is_an_error_with_the_next_step() {
        let error = find(99, None).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.next_text().unwrap().contains("postgresql-99"));
        assert_eq!(find(15, Some(Path::new("/nonexistent"))).await.unwrap_err().kind(), Kind::Config);
    }
}
