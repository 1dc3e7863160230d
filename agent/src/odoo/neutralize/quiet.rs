//! Switches off the tenant's own triggers, rules and policies while we write into a copy, and restores
//! their state in the same transaction.
//!
//! The tenant's code must not notice the neutralizing: a trigger on `ir_mail_server` may report each
//! change to another system. The tables' owner may switch off user triggers and rules;
//! `session_replication_role` would need a superuser. What cannot be switched off (index expressions,
//! CHECK constraints, generated columns, defaults) runs with the rights of the session; so the session
//! has no more rights than the owner ([`crate::postgres::look`], rule 4).

use crate::error::Result;
use crate::postgres::session::{Session, column};

/// What to switch off on every table that the session owns: on all of them, because deleting a row
/// may cascade to any table. Each row gives the statement that switches off, and the one that restores
/// the state (`O` on, `R` on a replica only, `A` always).
const LOUD: &str = "\
    WITH ours AS (SELECT c.oid, n.nspname, c.relname, c.relforcerowsecurity \
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
      WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' \
        AND n.nspname <> 'information_schema' AND pg_has_role(c.relowner, 'USAGE')), \
    state(letter, word) AS (VALUES ('O', 'ENABLE'), ('R', 'ENABLE REPLICA'), ('A', 'ENABLE ALWAYS')) \
    SELECT format('ALTER TABLE ONLY %I.%I DISABLE TRIGGER %I', o.nspname, o.relname, t.tgname), \
      format('ALTER TABLE ONLY %I.%I %s TRIGGER %I', o.nspname, o.relname, s.word, t.tgname) \
    FROM ours o JOIN pg_trigger t ON t.tgrelid = o.oid JOIN state s ON s.letter = t.tgenabled::text \
    WHERE NOT t.tgisinternal \
    UNION ALL \
    SELECT format('ALTER TABLE ONLY %I.%I DISABLE RULE %I', o.nspname, o.relname, r.rulename), \
      format('ALTER TABLE ONLY %I.%I %s RULE %I', o.nspname, o.relname, s.word, r.rulename) \
    FROM ours o JOIN pg_rewrite r ON r.ev_class = o.oid JOIN state s ON s.letter = r.ev_enabled::text \
    UNION ALL \
    SELECT format('ALTER TABLE ONLY %I.%I NO FORCE ROW LEVEL SECURITY', o.nspname, o.relname), \
      format('ALTER TABLE ONLY %I.%I FORCE ROW LEVEL SECURITY', o.nspname, o.relname) \
    FROM ours o WHERE o.relforcerowsecurity ORDER BY 1";

/// What was switched off; [`Quiet::end`] switches it on again.
pub(super) struct Quiet(Vec<String>);

impl Quiet {
    /// Call it within a transaction; a rollback restores the state as well.
    pub async fn begin(session: &mut Session) -> Result<Quiet> {
        let what = "switch off triggers and rules";
        let (mut off, mut on) = (Vec::new(), Vec::new());
        for row in session.rows(what, LOUD).await? {
            off.push(column::<String>(&row, 0)?);
            on.push(column::<String>(&row, 1)?);
        }
        if !off.is_empty() {
            session.execute(what, off.join("; ")).await?;
        }
        Ok(Quiet(on))
    }

    /// Restores every state. Deferred constraints are checked first, because a table with pending checks
    /// cannot be altered.
    pub async fn end(self, session: &mut Session) -> Result<()> {
        let statements = [vec!["SET CONSTRAINTS ALL IMMEDIATE".to_owned()], self.0].concat();
        session.execute("switch triggers and rules on again", statements.join("; ")).await.map(|_| ())
    }
}
