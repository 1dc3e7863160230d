//! What the target server has and can create. It is read before anything is fetched and changes nothing:
//! what is not in a catalog is tried in a transaction that is rolled back.

use std::collections::{BTreeMap, BTreeSet};

use super::needs::{Needs, Probe};
use crate::error::{Kind, Result};
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};

/// The server, as seen by the role that restores.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// As in `150010`.
    pub version_num: u32,
    /// The role.
    pub us: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether it may create databases.
    pub createdb: bool,
    /// Whether it may create roles.
    pub createrole: bool,
    /// Roles, and whether we may give objects to each and still change them afterwards.
    pub roles: BTreeMap<String, bool>,
    /// Tablespaces.
    pub tablespaces: BTreeMap<String, Tablespace>,
    /// Extensions that can be created, and in which version.
    pub extensions: BTreeMap<String, Offer>,
    /// Access methods that every database of the server has.
    pub access_methods: BTreeSet<String>,
    /// Needed libraries that do not exist on the server; empty if we may not look for files.
    pub missing_libraries: BTreeSet<String>,
    /// `shared_preload_libraries`; `None` if we may not read it.
    pub preloaded: Option<String>,
    /// Collations that the dump names and the server lacks.
    pub missing_collations: BTreeSet<String>,
    /// Probes that failed, and what the server said.
    pub failed: Vec<(Probe, String)>,
}

/// A tablespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tablespace {
    /// Whether we may create objects in it.
    pub may_use: bool,
    /// Whether we may let another role do so.
    pub may_grant: bool,
}

/// An extension that the server offers.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The version that would be created.
    pub version: String,
    /// Whether only a superuser may create it.
    pub superusers: bool,
}

impl Target {
    /// Reads what the server has. `encoding` is the tenant's.
    ///
    /// # Errors
    /// Those of the session.
    pub async fn look(session: &mut Session, needs: &Needs, encoding: &str) -> Result<Target> {
        let what = "read what the server has";
        let us = "SELECT rolname::text, rolsuper, rolsuper OR rolcreatedb, rolsuper OR rolcreaterole, \
                  getdatabaseencoding()::text FROM pg_roles WHERE rolname = current_user";
        let row = session.row(what, us).await?;
        let mut out = Target {
            version_num: session.version_num(),
            us: column(&row, 0)?,
            superuser: column(&row, 1)?,
            createdb: column(&row, 2)?,
            createrole: column(&row, 3)?,
            ..Target::default()
        };
        let same_encoding = column::<String>(&row, 4)? == encoding;
        // Giving an object away needs membership in the new owner; changing it afterwards needs its rights.
        let option = if out.version_num >= 160_000 { "SET" } else { "MEMBER" };
        let roles = format!(
            "SELECT rolname::text, pg_has_role(oid, '{option}') AND pg_has_role(oid, 'USAGE') FROM pg_roles"
        );
        for row in session.rows(what, roles).await? {
            out.roles.insert(column(&row, 0)?, column(&row, 1)?);
        }
        let tablespaces = "SELECT spcname::text, has_tablespace_privilege(oid, 'CREATE'), \
                           has_tablespace_privilege(oid, 'CREATE WITH GRANT OPTION') FROM pg_tablespace";
        for row in session.rows(what, tablespaces).await? {
            let found = Tablespace { may_use: column(&row, 1)?, may_grant: column(&row, 2)? };
            out.tablespaces.insert(column(&row, 0)?, found);
        }
        let extensions = "SELECT e.name::text, e.default_version::text, coalesce(v.superuser AND NOT v.trusted, false) \
                          FROM pg_available_extensions e LEFT JOIN pg_available_extension_versions v \
                          ON v.name = e.name AND v.version = e.default_version";
        for row in session.rows(what, extensions).await? {
            let version = column::<Option<String>>(&row, 1)?.unwrap_or_default();
            out.extensions.insert(column(&row, 0)?, Offer { version, superusers: column(&row, 2)? });
        }
        let methods = "SELECT amname::text FROM pg_am WHERE oid < 16384";
        for row in session.rows(what, methods).await? {
            out.access_methods.insert(column(&row, 0)?);
        }
        let preloaded = "SELECT setting::text FROM pg_settings WHERE name = 'shared_preload_libraries'";
        out.preloaded = session.rows(what, preloaded).await?.first().map(|row| column(row, 0)).transpose()?;
        if out.superuser {
            out.look_for_libraries(session, needs).await?;
        }
        out.look_for_collations(session, needs, encoding).await?;
        for probe in needs.probes.iter().filter(|probe| same_encoding || !probe.of_encoding) {
            if let Some(said) = tried(session, &probe.sql).await? {
                out.failed.push((probe.clone(), said));
            }
        }
        Ok(out)
    }

    /// Languages that an unprivileged role may use after their extensions were created.
    pub fn languages(&self) -> BTreeSet<String> {
        let offered = self.extensions.keys().filter(|name| name.starts_with("pl") && !name.ends_with('u'));
        offered.cloned().chain(["sql".to_owned(), "plpgsql".to_owned()]).collect()
    }

    /// Whether the library's file exists where PostgreSQL would search for it. It is not loaded.
    async fn look_for_libraries(&mut self, session: &mut Session, needs: &Needs) -> Result<()> {
        let wanted: BTreeSet<&String> = needs.libraries.keys().chain(needs.loaded.keys()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let what = "search for libraries of the server";
        let sql = "SELECT (SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'), current_setting('dynamic_library_path')";
        let row = session.row(what, sql).await?;
        let (dir, path): (String, String) = (column(&row, 0)?, column(&row, 1)?);
        for library in wanted {
            let files = files_of(library, &dir, &path);
            let files: Vec<String> = files.iter().map(|file| literal(file)).collect();
            let sql = format!(
                "SELECT coalesce(bool_or((pg_stat_file(file, true)).size IS NOT NULL), false) FROM unnest(ARRAY[{}]) file",
                files.join(", ")
            );
            let there = match session.row(what, sql).await {
                Ok(row) => column(&row, 0)?,
                Err(e) if e.kind() == Kind::Postgres => false, // its user may not list that directory
                Err(e) => return Err(e),
            };
            if !there {
                self.missing_libraries.insert(library.clone());
            }
        }
        Ok(())
    }

    /// A collation that only the operating system has counts if we may import it into the new database.
    async fn look_for_collations(
        &mut self,
        session: &mut Session,
        needs: &Needs,
        encoding: &str,
    ) -> Result<()> {
        for name in &needs.collations {
            let has = format!(
                "SELECT EXISTS (SELECT FROM pg_collation WHERE collnamespace = 'pg_catalog'::regnamespace \
                 AND collname = {} AND collencoding IN (-1, pg_char_to_encoding({})))",
                literal(name),
                literal(encoding)
            );
            if column(&session.row("search for a collation", has).await?, 0)? {
                continue;
            }
            let icu = name.strip_suffix("-x-icu");
            let options = match icu {
                Some(locale) => format!("provider = icu, locale = {}", literal(locale)),
                None => format!("provider = libc, locale = {}", literal(name)),
            };
            let sql = format!("CREATE COLLATION pg_temp.lifeboat_probe ({options})");
            if !self.superuser || tried(session, &sql).await?.is_some() {
                self.missing_collations.insert(name.clone());
            }
        }
        Ok(())
    }
}

/// The files that PostgreSQL would load for a library, with `$libdir` and its search path.
fn files_of(library: &str, dir: &str, path: &str) -> Vec<String> {
    let places: Vec<String> = match library.contains('/') {
        true => vec![library.to_owned()],
        false => path.split(':').map(|place| format!("{place}/{library}")).collect(),
    };
    let places = places.into_iter().map(|place| match place.strip_prefix("$libdir") {
        Some(rest) => format!("{dir}{rest}"),
        None => place,
    });
    places.flat_map(|place| ["", ".so", ".dylib"].map(|suffix| format!("{place}{suffix}"))).collect()
}

/// The server's objection; `None` if it can be created or we may not try.
async fn tried(session: &mut Session, sql: &str) -> Result<Option<String>> {
    let what = "try what the server can create";
    session.execute(what, "BEGIN").await?;
    let made = session.execute(what, sql).await;
    session.execute(what, "ROLLBACK").await?;
    match made {
        Ok(_) => Ok(None),
        Err(e) if e.kind() == Kind::Postgres => Ok(Some(e.causes().join("; "))),
        Err(e) if e.kind() == Kind::Denied => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_looked_for_where_postgresql_looks_for_it() {
        let files = |library| files_of(library, "/usr/lib/pg", "/opt/ours:$libdir");
        assert_eq!(files("$libdir/plugins/x")[1], "/usr/lib/pg/plugins/x.so");
        assert_eq!(files("/srv/y.so")[0], "/srv/y.so");
        assert_eq!((files("z")[1].as_str(), files("z")[4].as_str()), ("/opt/ours/z.so", "/usr/lib/pg/z.so"));
    }
}
