//! Verifies the checksum of every page of the recovered cluster, with PostgreSQL's own `pg_checksums`.
//!
//! The server is stopped for it. Before recovery, pages of a base backup may be torn, and WAL replaces them:
//! so this stage comes after it. Then a server of the drill is started on the directory.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat::error::{Error, Result};
use lifeboat::names::counted;
use lifeboat::postgres::session::column;

use crate::drill::stage::{Stage, Stop};
use crate::place::Room;
use crate::place::local::site::Site;
use crate::process;
use crate::report::Report;
use crate::report::finding::{Finding, State};

/// The part of a drill that verifies page checksums.
pub const PAGES: &str = "page checksums";
const LIMIT: Duration = Duration::from_secs(2 * 86_400);
/// Damaged files that become findings of their own.
const NAMED_MAX: usize = 20;

/// Every page of the data directory.
pub struct Pages<'a> {
    /// Where it is.
    pub site: &'a mut Site,
}

impl Stage for Pages<'_> {
    const NAME: &'static str = "pages";
    const STOP: Stop = Stop::ByItself;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let site = self.site;
        site.stop_restored().await?;
        let mut check = site.program("pg_checksums");
        check.arg("--check").arg("-D").arg(site.pg());
        let ended = process::run(&mut check, LIMIT).await?;
        let bad = bad_files(&ended.stderr);
        if let Err(e) = site.start().await {
            // What is damaged is damaged, also where no server can say its name any more.
            for (file, blocks) in bad.iter().take(NAMED_MAX) {
                report.findings.push(Finding::new(
                    PAGES,
                    State::Failed,
                    wrong(&format!("file {file}"), blocks),
                ));
            }
            return Err(e);
        }
        if ended.stderr.contains("data checksums are not enabled") {
            let what = "production's cluster has no page checksums: bit rot in a page can only be seen by amcheck. \
                        Switch them on with pg_checksums --enable";
            report.findings.push(Finding::new(PAGES, State::NotRun, what));
            return Ok(((), "not checked: the cluster has no checksums".to_owned()));
        }
        let number = |name: &str| {
            let line = ended.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|text| text.trim().parse::<u64>().ok())
        };
        let found = report.integrity.get_or_insert_default();
        (found.page_files, found.pages) = (number("Files scanned"), number("Blocks scanned"));
        found.bad_pages = number("Bad checksums");
        let (files, pages) = (found.page_files.unwrap_or_default(), found.pages.unwrap_or_default());
        let what = format!("{} in {}", counted(pages, "page"), counted(files, "file"));
        if bad.is_empty() {
            if !ended.is_success() {
                let why = format!("pg_checksums ended with {}: {}", ended.how(), ended.last_words());
                report.findings.push(Finding::new(PAGES, State::Unknown, why));
                return Ok(((), format!("pg_checksums ended with {}", ended.how())));
            }
            report.findings.push(Finding::new(PAGES, State::Done, format!("{what} are right")));
            return Ok(((), format!("{what}, 0 wrong; the server now runs {}", site.network())));
        }
        for (file, blocks) in bad.iter().take(NAMED_MAX) {
            let (database, relation) = whose(&site.room, file).await;
            let what = wrong(&format!("{relation} (file {file})"), blocks);
            let mut finding = Finding::new(PAGES, State::Failed, what);
            finding.tenant = database
                .filter(|name| report.tenants.iter().any(|part| part.tenant.as_str() == name))
                .and_then(|name| name.parse().ok());
            report.findings.push(finding);
        }
        let count: usize = bad.values().map(Vec::len).sum();
        Ok(((), format!("{what}: {count} wrong, in {}", counted(bad.len(), "file"))))
    }
}

fn wrong(place: &str, blocks: &[u32]) -> String {
    format!(
        "{place}: {} with a wrong checksum, the first is block {}",
        counted(blocks.len(), "page"),
        blocks.first().copied().unwrap_or_default()
    )
}

/// The blocks with wrong checksums, by file as it is named below the data directory.
fn bad_files(stderr: &str) -> BTreeMap<String, Vec<u32>> {
    let mut bad: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for line in stderr.lines() {
        let Some((_, rest)) = line.split_once("checksum verification failed in file \"") else { continue };
        let Some((path, rest)) = rest.split_once("\", block ") else { continue };
        let block = rest.split(':').next().and_then(|block| block.parse().ok()).unwrap_or_default();
        let below = ["/base/", "/global/", "/pg_tblspc/"].iter().filter_map(|dir| path.rfind(dir)).max();
        bad.entry(path[below.map_or(0, |at| at + 1)..].to_owned()).or_default().push(block);
    }
    bad
}

/// The database of a file, and the name of its relation; the database too in that name.
async fn whose(room: &Room, file: &str) -> (Option<String>, String) {
    let parts: Vec<&str> = file.split('/').collect();
    let node = |name: &str| {
        let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or_default()
    };
    let (tablespace, database, node) = match parts.as_slice() {
        ["base", database, name] => (0, node(database), node(name)),
        ["pg_tblspc", space, _, database, name] => (node(space), node(database), node(name)),
        ["global", name] => (1664, 0, node(name)),
        _ => return (None, "an unknown relation".to_owned()),
    };
    let named = async {
        let mut session = room.connect_superuser("postgres").await?;
        let what = "find whose file it is";
        let sql = format!("SELECT max(datname::text) FROM pg_catalog.pg_database WHERE oid = {database}");
        let name: Option<String> = column(&session.row(what, sql).await?, 0)?;
        session.close().await;
        let mut session = room.connect_superuser(name.as_deref().unwrap_or("postgres")).await?;
        let sql = format!("SELECT pg_catalog.pg_filenode_relation({tablespace}, {node})::regclass::text");
        let relation: Option<String> = column(&session.row(what, sql).await?, 0)?;
        session.close().await;
        Ok::<_, Error>((name, relation))
    };
    match named.await {
        Ok((database, Some(relation))) => {
            let of = database.as_ref().map_or_else(String::new, |name| format!(" of database {name}"));
            (database, format!("{relation}{of}"))
        }
        Ok((database, None)) => (database, "a relation that is dropped".to_owned()),
        Err(_) => (None, "a relation whose name cannot be read".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_pages_are_counted_by_file() {
        let line = |file: &str, block: u32| {
            format!(
                "pg_checksums: error: checksum verification failed in file \"/base/x/pg/{file}\", block {block}: \
                     calculated checksum AB but block contains CD\n"
            )
        };
        let all = [line("base/5/16385.1", 3), line("base/5/16385.1", 4), line("global/1260", 0)].concat();
        let bad = bad_files(&all);
        assert_eq!(bad.keys().collect::<Vec<_>>(), ["base/5/16385.1", "global/1260"]);
        assert_eq!(bad["base/5/16385.1"], [3, 4]);
        assert!(bad_files("pg_checksums: error: data checksums are not enabled in cluster\n").is_empty());
    }
}
