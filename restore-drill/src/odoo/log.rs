//! Odoo's log: the line that says why.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use lifeboat::disk;

/// How much of the end is read.
const TAIL_BYTES: u64 = 256 * 1024;
const LINE_CHARS_MAX: usize = 300;

/// The log of a running Odoo.
#[derive(Clone, Debug)]
pub struct Log(PathBuf);

impl Log {
    /// The log at this path.
    pub fn at(path: &Path) -> Log {
        Log(path.to_owned())
    }

    /// How long it is now, for [`Log::since`].
    pub fn bytes(&self) -> u64 {
        disk::metadata(&self.0).ok().flatten().map_or(0, |meta| meta.len())
    }

    /// What was written after `from`, at most the end of it; empty where it cannot be read.
    pub fn since(&self, from: u64) -> String {
        let read = || -> Option<Vec<u8>> {
            let mut file = disk::open(&self.0).ok()?;
            file.seek(SeekFrom::Start(from.max(self.bytes().saturating_sub(TAIL_BYTES)))).ok()?;
            let mut end = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut end).ok()?;
            Some(end)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// The line that says best what went wrong, for a message.
    pub fn cause(&self) -> String {
        cause(&self.since(0)).unwrap_or_else(|| "Odoo's log is empty".to_owned())
    }
}

/// The last exception of a traceback, else the last error, else the last line.
fn cause(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = |is: &dyn Fn(&str) -> bool| lines.iter().rev().find(|line| is(line)).copied();
    let found = last(&is_exception).or_else(|| last(&is_error)).or_else(|| lines.last().copied())?;
    Some(without_prefix(found).chars().take(LINE_CHARS_MAX).collect())
}

/// `psycopg2.errors.UndefinedTable: relation … does not exist`: it stands at the beginning of a line.
fn is_exception(line: &str) -> bool {
    let name = line.split(": ").next().unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '.' || c == '_');
    let ends = ["Error", "Exception", "Warning", "Exit", "Interrupt"];
    let of_psycopg = name.starts_with("psycopg2.errors.");
    is_name && (of_psycopg || ends.iter().any(|end| last.ends_with(end)))
}

fn is_error(line: &str) -> bool {
    [" ERROR ", " CRITICAL "].iter().any(|level| line.contains(level)) || line.contains("error: ")
}

/// Without `2026-11-30 11:20:01,123 4711 ERROR drill odoo.modules.registry: `.
fn without_prefix(line: &str) -> &str {
    let words: Vec<&str> = line.splitn(7, ' ').collect();
    match words[..] {
        [day, _, pid, _, _, logger, rest]
            if day.len() == 10 && pid.parse::<u32>().is_ok() && logger.ends_with(':') =>
        {
            rest
        }
        _ => line,
    }
}

/// The constraint that a duplicate key violates, if the log speaks of one: Odoo's own message does not always
/// name it.
pub fn duplicate_key(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| line.contains("duplicate key value violates"))?;
    let at = line.find("duplicate key value violates")?;
    Some(line[at..].trim().chars().take(LINE_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_one_line_and_not_the_last_of_a_thousand() {
        let log = "2026-11-30 11:20:01,123 4711 INFO drill odoo.modules.loading: loading 1 modules...\n\
            2026-11-30 11:20:02,123 4711 CRITICAL drill odoo.modules.registry: Failed to load registry\n\
            Traceback (most recent call last):\n  File \"x.py\", line 3, in f\n    g()\n\
            psycopg2.errors.UndefinedColumn: column res_company.foo does not exist\nLINE 1: SELECT foo\n\n\
            2026-11-30 11:20:02,200 4711 INFO drill werkzeug: 127.0.0.1 \"GET / HTTP/1.1\" 500 -\n";
        let of = |log: &str| cause(log).unwrap();
        assert_eq!(of(log), "psycopg2.errors.UndefinedColumn: column res_company.foo does not exist");
        let without: String = log
            .lines()
            .filter(|line| !line.starts_with("psycopg2"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(of(&without), "Failed to load registry");
        assert_eq!(
            of("usage: odoo-bin\nodoo-bin: error: no such option: --x\n"),
            "odoo-bin: error: no such option: --x"
        );
        assert_eq!(of("hello\n\n"), "hello");
        assert_eq!(
            of("ModuleNotFoundError: No module named 'lxml'\n"),
            "ModuleNotFoundError: No module named 'lxml'"
        );
        assert_eq!((cause(""), of(&"x".repeat(5000)).len()), (None, LINE_CHARS_MAX));
        let key = "ERROR: duplicate key value violates unique constraint \"sale_order_pkey\"\nDETAIL: Key";
        assert_eq!(
            duplicate_key(key).unwrap(),
            "duplicate key value violates unique constraint \"sale_order_pkey\""
        );
    }
}
