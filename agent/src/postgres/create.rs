//! A database for a restore: created hidden and marked, published in one transaction at the end.

use crate::error::{Error, Kind, Result};
use crate::postgres::database::{DatabaseProperties, Grant};
use crate::postgres::quote::{ident, literal};
use crate::postgres::safe_settings::TABLE_WAIT;
use crate::postgres::session::Session;

/// Creates the empty database that a restore fills. Before it is published it is a template and
/// closed to PUBLIC, so that no Odoo lists or opens it, and its comment is `marker`.
///
/// # Errors
/// `Refused` if the name is taken; `Postgres` if this cluster cannot create such a database
/// (unknown locale or provider).
pub async fn create_restore_database(
    session: &mut Session,
    name: &str,
    owner: Option<&str>,
    properties: &DatabaseProperties,
    marker: &str,
) -> Result<()> {
    let statement = create_statement(name, owner, properties, session.version_num() / 10_000)?;
    session.allow(TABLE_WAIT).await?; // it may wait for a checkpoint
    if crate::postgres::database::database_exists(session, name).await? {
        return Err(Error::new(Kind::Refused, format!("database {name:?} already exists"))
            .effect("a restore never overwrites")
            .next("choose another name"));
    }
    let what = format!("create database {name:?}");
    session.execute(&what, statement).await.map_err(|e| {
        e.next(
            "install the source's locale on the database server: compare `locale -a` with the manifest's \
             encoding and collation",
        )
    })?;
    // If this process dies between here and the comment, an empty database with the unfinished name
    // remains, and a second run refuses to touch it: rare, harmless, and reported.
    let quoted = ident(name);
    let close = format!(
        "COMMENT ON DATABASE {quoted} IS {}; REVOKE ALL ON DATABASE {quoted} FROM PUBLIC",
        literal(marker)
    );
    session.execute(&what, close).await?;
    Ok(())
}

/// `CREATE DATABASE` with the source's encoding and locale, in the syntax of this server's major version.
pub fn create_statement(
    name: &str,
    owner: Option<&str>,
    properties: &DatabaseProperties,
    server_major: u32,
) -> Result<String> {
    let mut sql = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        ident(name),
        literal(&properties.encoding),
        literal(&properties.collate),
        literal(&properties.ctype)
    );
    let locale = properties.locale.as_deref();
    let (since, clause) = match (properties.locale_provider.as_str(), locale) {
        ("libc", _) if server_major >= 15 => (15, " LOCALE_PROVIDER libc".to_owned()),
        ("libc", _) => (0, String::new()),
        ("icu", Some(locale)) => (15, format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(locale))),
        ("builtin", Some(locale)) => {
            (17, format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", literal(locale)))
        }
        (other, _) => {
            return Err(Error::new(
                Kind::Postgres,
                format!("the source's locale provider {other:?} is unknown"),
            )
            .next("install a newer version of lifeboat, which may know it"));
        }
    };
    let rules = properties.icu_rules.as_deref();
    let since = if rules.is_some() { since.max(16) } else { since };
    if server_major < since {
        return Err(Error::new(
            Kind::Postgres,
            format!(
                "PostgreSQL {server_major} cannot have a database with the source's locale provider {:?}",
                properties.locale_provider
            ),
        )
        .effect("nothing was created: texts would sort and index differently")
        .next(format!("restore into PostgreSQL {since} or newer")));
    }
    sql.push_str(&clause);
    if let Some(rules) = rules {
        sql.push_str(&format!(" ICU_RULES {}", literal(rules)));
    }
    if let Some(tablespace) = &properties.tablespace {
        sql.push_str(&format!(" TABLESPACE {}", ident(tablespace)));
    }
    if let Some(owner) = owner {
        sql.push_str(&format!(" OWNER {}", ident(owner)));
    }
    sql.push_str(" IS_TEMPLATE true");
    Ok(sql)
}

/// The properties that a restored database gets when it is published.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The owner; `None` leaves it as it was created.
    pub owner: Option<String>,
    /// The privileges; `None` is PostgreSQL's default: PUBLIC may connect and create temporary tables.
    pub grants: Option<Vec<Grant>>,
    /// -1 is unlimited.
    pub connection_limit: Option<i32>,
    /// The comment, if it gets one.
    pub comment: Option<String>,
}

/// Gives a finished database its name, in one transaction: afterwards it exists and is open, or (after any
/// error) it is still hidden under its old name.
///
/// # Errors
/// `Postgres` if the final name is taken or a session is connected to the database.
pub async fn publish_database(
    session: &mut Session,
    incomplete: &str,
    name: &str,
    publication: &Publication,
) -> Result<()> {
    let what = format!("publish database {incomplete:?} as {name:?}");
    let statements = publish_statements(incomplete, name, publication).join("; ");
    let done = session.execute(&what, format!("BEGIN; {statements}; COMMIT")).await;
    if let Err(e) = done {
        let _ = session.execute("roll back", "ROLLBACK").await; // the first error is the one to report
        return Err(e.effect(format!("the restored data is still in the hidden database {incomplete:?}")));
    }
    Ok(())
}

fn publish_statements(incomplete: &str, name: &str, publication: &Publication) -> Vec<String> {
    let (from, to) = (ident(incomplete), ident(name));
    let mut out = vec![format!("ALTER DATABASE {from} RENAME TO {to}")];
    if let Some(owner) = &publication.owner {
        out.push(format!("ALTER DATABASE {to} OWNER TO {}", ident(owner)));
    }
    match &publication.grants {
        None => out.push(format!("GRANT CONNECT, TEMPORARY ON DATABASE {to} TO PUBLIC")),
        Some(grants) => out.extend(grants.iter().filter_map(|grant| grant_statement(&to, grant))),
    }
    if let Some(limit) = publication.connection_limit {
        out.push(format!("ALTER DATABASE {to} CONNECTION LIMIT {limit}"));
    }
    let comment = publication.comment.as_deref().map_or("NULL".to_owned(), literal);
    out.push(format!("COMMENT ON DATABASE {to} IS {comment}"));
    out.push(format!("ALTER DATABASE {to} IS_TEMPLATE false"));
    out
}

/// The statements that turn the privileges `have` on a quoted database into `want`; none if they are the
/// same. The owner keeps its own.
pub(super) fn rights_statements(
    database: &str,
    owner: &str,
    have: &Option<Vec<Grant>>,
    want: &Option<Vec<Grant>>,
) -> Vec<String> {
    if have == want {
        return Vec::new();
    }
    let others = |grants: &Option<Vec<Grant>>| -> Vec<Grant> {
        let public =
            |privilege: &str| Grant { role: None, privilege: privilege.to_owned(), grantable: false };
        let all = grants.clone().unwrap_or_else(|| vec![public("CONNECT"), public("TEMPORARY")]);
        all.into_iter().filter(|grant| grant.role.as_deref() != Some(owner)).collect()
    };
    let roles: std::collections::BTreeSet<_> = others(have).into_iter().map(|grant| grant.role).collect();
    let revoke = roles.into_iter().map(|role| {
        let role = role.as_deref().map_or("PUBLIC".into(), ident);
        format!("REVOKE ALL ON DATABASE {database} FROM {role} CASCADE")
    });
    revoke.chain(others(want).iter().filter_map(|grant| grant_statement(database, grant))).collect()
}

fn grant_statement(database: &str, grant: &Grant) -> Option<String> {
    // The privileges come from a manifest: only these three exist for databases.
    let privilege = ["CONNECT", "CREATE", "TEMPORARY"].into_iter().find(|known| *known == grant.privilege)?;
    let role = grant.role.as_deref().map_or("PUBLIC".into(), ident);
    let option = if grant.grantable && grant.role.is_some() { " WITH GRANT OPTION" } else { "" };
    Some(format!("GRANT {privilege} ON DATABASE {database} TO {role}{option}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(provider: &str, locale: Option<&str>) -> DatabaseProperties {
        DatabaseProperties {
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "fr_FR.UTF-8".into(),
            locale_provider: provider.into(),
            locale: locale.map(str::to_owned),
            icu_rules: None,
            tablespace: None,
            owner: "odoo".into(),
            connection_limit: -1,
            grants: None,
            settings: Vec::new(),
        }
    }

    #[test]
    fn a_database_is_created_as_its_source_or_not_at_all() {
        let libc = properties("libc", None);
        assert_eq!(
            create_statement("a\"b", Some("odoo"), &libc, 14).unwrap(),
            "CREATE DATABASE \"a\"\"b\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'fr_FR.UTF-8' OWNER \"odoo\" IS_TEMPLATE true"
        );
        assert!(create_statement("a", None, &libc, 15).unwrap().contains(" LOCALE_PROVIDER libc "));
        let placed = DatabaseProperties { tablespace: Some("north".into()), ..libc };
        assert!(create_statement("a", None, &placed, 15).unwrap().contains(" TABLESPACE \"north\" "));
        let mut icu = properties("icu", Some("de-AT"));
        assert!(
            create_statement("a", None, &icu, 15).unwrap().contains("LOCALE_PROVIDER icu ICU_LOCALE 'de-AT'")
        );
        let error = create_statement("a", None, &icu, 14).unwrap_err();
        assert!(error.next_text().unwrap().contains("PostgreSQL 15"));
        icu.icu_rules = Some("&V << w".into());
        assert!(create_statement("a", None, &icu, 15).is_err());
        assert!(create_statement("a", None, &icu, 16).unwrap().contains("ICU_RULES '&V << w'"));
        let builtin = properties("builtin", Some("C.UTF-8"));
        assert!(create_statement("a", None, &builtin, 16).is_err());
        assert!(create_statement("a", None, &builtin, 17).is_ok());
        assert!(create_statement("a", None, &properties("future", None), 18).is_err());
    }

    #[test]
    fn publishing_renames_first_and_opens_last() {
        let grant = |role: Option<&str>, privilege: &str| Grant {
            role: role.map(str::to_owned),
            privilege: privilege.into(),
            grantable: true,
        };
        let publication = Publication {
            owner: Some("odoo".into()),
            grants: Some(vec![
                grant(None, "CONNECT"),
                grant(Some("bi"), "CONNECT"),
                grant(None, "ALL; DROP"),
            ]),
            connection_limit: Some(50),
            comment: None,
        };
        assert_eq!(
            publish_statements("x.incomplete", "x", &publication),
            [
                "ALTER DATABASE \"x.incomplete\" RENAME TO \"x\"",
                "ALTER DATABASE \"x\" OWNER TO \"odoo\"",
                "GRANT CONNECT ON DATABASE \"x\" TO PUBLIC",
                "GRANT CONNECT ON DATABASE \"x\" TO \"bi\" WITH GRANT OPTION",
                "ALTER DATABASE \"x\" CONNECTION LIMIT 50",
                "COMMENT ON DATABASE \"x\" IS NULL",
                "ALTER DATABASE \"x\" IS_TEMPLATE false",
            ]
        );
    }
}
