//! What the server logged: which traps were sprung with which rights, and what our statements were.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_tests::Cluster;

use crate::trap::OWNER;

/// One entry of the log, over all of its lines.
#[derive(Debug)]
struct Entry {
    session: String,
    program: String,
    database: String,
    text: String,
}

fn entries(log: &str) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::new();
    for line in log.lines() {
        let fields: Vec<&str> = line.splitn(5, '|').collect();
        let is_entry = fields.len() == 5 && fields[0].contains('.') && fields[4].contains(":  ");
        match (is_entry, out.last_mut()) {
            (true, _) => out.push(Entry {
                session: fields[0].to_owned(),
                program: fields[1].to_owned(),
                database: fields[2].to_owned(),
                text: fields[4].to_owned(),
            }),
            (false, Some(last)) => {
                last.text.push('\n');
                last.text.push_str(line);
            }
            (false, None) => {}
        }
    }
    out
}

/// How much was logged so far: what comes later is what a command did.
pub fn mark(cluster: &Cluster) -> usize {
    cluster.log().len()
}

/// Traps that were sprung since `mark` with rights other than the owner's, or than those of the role
/// that is made to load a dump, which are less.
pub fn sprung(cluster: &Cluster, mark: usize) -> Vec<String> {
    let log = cluster.log();
    let theirs = |trap: &&str| {
        let role = trap.rsplit_once(" as ").map_or("", |(_, role)| role);
        role == format!("{OWNER} super f") || role.starts_with("lifeboat_load_") && role.ends_with(" super f")
    };
    let traps = log[mark..].lines().filter_map(|line| line.split_once("LOG:  TRAP ").map(|(_, trap)| trap));
    let ours: BTreeSet<&str> = traps.filter(|trap| !theirs(trap)).collect();
    ours.into_iter().map(str::to_owned).collect()
}

/// Statements of ours since `mark` that the owner of `database` could hook: every one that is not
/// `COPY table`, `LOCK TABLE` or the like must mean the same in a database in which he never was.
/// There it is prepared, with the search path that it ran under.
pub fn hookable(cluster: &Cluster, mark: usize, database: &str) -> Vec<String> {
    let log = cluster.log();
    let mut sessions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in entries(&log[mark..]) {
        let ours = entry.program == "lifeboat" && entry.database == database;
        if let Some((_, sql)) = entry.text.split_once("statement: ").filter(|_| ours) {
            sessions.entry(entry.session).or_default().push(sql.to_owned());
        }
    }
    let mut wrong = Vec::new();
    let mut looked = 0;
    for statements in sessions.values() {
        if is_pg_dump(statements) {
            continue; // PostgreSQL's own, with PostgreSQL's own care
        }
        looked += 1;
        let mut path = "\"$user\", public".to_owned(); // what the owner may have set is worse
        for statement in statements {
            for sql in split(statement) {
                if let Some(set) = sql.strip_prefix("SET LOCAL search_path = ") {
                    path = set.to_owned();
                } else if sql.starts_with(ASKED) {
                    path = "pg_catalog, pg_temp".to_owned();
                }
                if path != "pg_catalog, pg_temp" && !is_first(&sql) {
                    wrong.push(format!("search_path {path}: {sql}"));
                }
                if !is_of_a_kind_that_is_not_planned(&sql) {
                    wrong.extend(not_alone(cluster, &sql));
                }
            }
        }
    }
    assert!(looked > 0, "nothing was asked in {database}");
    wrong
}

/// A session of ours sets its path when it connects, which no log shows; it asks for it first of all,
/// and refuses to go on where the answer is another one.
const ASKED: &str = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('search_path')";

fn is_pg_dump(statements: &[String]) -> bool {
    statements.first().is_some_and(|sql| sql == "SELECT pg_catalog.set_config('search_path', '', false);")
}

/// What may come before the search path is set: it names nothing.
fn is_first(sql: &str) -> bool {
    ["BEGIN", "SET ", "SAVEPOINT ", "ROLLBACK"].iter().any(|word| sql.starts_with(word)) || sql == "COMMIT"
}

/// Utility statements with one relation, whose name is qualified.
fn is_of_a_kind_that_is_not_planned(sql: &str) -> bool {
    is_first(sql)
        || sql.starts_with("COPY \"")
            && sql.contains("\".\"")
            && sql.contains(" TO STDOUT")
            && !sql.contains(" FROM ")
        || sql == "LOCK TABLE ONLY public.ir_attachment IN ROW EXCLUSIVE MODE"
}

/// What PostgreSQL says of the statement in a database in which nobody made anything.
fn not_alone(cluster: &Cluster, sql: &str) -> Option<String> {
    let prepare = format!("set search_path = pg_catalog, pg_temp; prepare alone as {sql};");
    cluster.try_psql("template1", &prepare).err().map(|said| format!("{said}: {sql}"))
}

/// The statements of one simple query; none of ours has a semicolon inside but in a name of COPY.
fn split(statement: &str) -> Vec<String> {
    if statement.starts_with("COPY ") {
        return vec![statement.to_owned()];
    }
    statement.split(';').map(|sql| sql.trim().to_owned()).filter(|sql| !sql.is_empty()).collect()
}
