//! What a restore prints: a tenant's own text in it is bounded and escaped, its rows and its code are not in
//! it; counted words agree with their numbers; and a printed command has everything that was typed.

use std::fs;
use std::path::Path;

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Outcome, small_tenant};

use crate::restore;

/// Of what is a tenant's nothing may be in any output.
const SECRETS: [&str; 4] = ["secret-query", "secret-detail", "secret-context", "secret-row"];

#[track_caller]
fn assert_clean(outcome: &Outcome) {
    for stream in [&outcome.stdout, &outcome.stderr] {
        for secret in SECRETS {
            assert!(!stream.contains(secret), "{secret}: {stream:?}");
        }
        let bad = |c: &char| c.is_control() && !"\n\t".contains(*c) || ('\u{202a}'..='\u{202e}').contains(c);
        assert_eq!(stream.chars().find(bad), None, "{stream:?}");
        assert!(stream.lines().all(|line| line.chars().count() < 3000), "{stream:?}");
        assert!(stream.lines().all(|line| !line.starts_with("error[forged]")), "{stream:?}");
    }
}

/// A function that an index calls raises what a tenant likes, with rows and code around it; and names of
/// objects do the same.
#[test]
fn what_a_tenant_wrote_is_bounded_and_escaped_and_his_rows_and_code_are_not_told() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 71);
    cluster.psql(
        "shop",
        "create table public.pay (iban text); insert into public.pay values ('secret-row'); \
         create function public.bad(text) returns text language plpgsql immutable as $f$ begin \
           if current_setting('lifeboat.made', true) is distinct from 'yes' then \
             raise exception using message = E'boom\\u001b[2J\\r\\nerror[forged]: all is well \\u202e' || repeat('x', 20000), \
               detail = 'secret-detail ' || $1, hint = E'ask \\u001b]0;me'; \
           end if; return $1; end $f$; \
         set lifeboat.made = 'yes'; create index bad_pay on public.pay (public.bad(iban)); reset lifeboat.made; \
         create function public.worse(text) returns text language plpgsql immutable as $f$ begin \
           if current_setting('lifeboat.made', true) is distinct from 'yes' then \
             execute 'select ''secret-query'' from no_such_table_secret' || E'\\n-- secret-context'; \
           end if; return $1; end $f$; \
         set lifeboat.made = 'yes'; create index worse_pay on public.pay (public.worse(iban)); reset lifeboat.made; \
         create table public.once (iban text primary key); insert into public.once values ('secret-row'); \
         create table public.twice (iban text); insert into public.twice values ('secret-row'), ('secret-row'); \
         alter table public.twice add constraint twice_refers foreign key (iban) references public.once; \
         alter table public.once disable trigger all; update public.once set iban = 'other'; \
         do $d$ begin execute format('create function public.%I() returns trigger language c as %L, %L', \
           E'name\\u001b[31m\\nerror[forged]: x', '$libdir/tcn', 'triggered_change_notification'); end $d$",
    );
    site.back_up(&["--kind", "dump"]);
    let args = ["--tenant", "shop", "--as", "copy", "--no-neutralize"];
    let strict = restore(&site, &args).run().exits(13);
    assert_clean(&strict);
    let partial = restore(&site, &args).arg("--partial").run().exits(3);
    assert_clean(&partial);
    for said in
        ["boom\\u{1b}[2J", "name\\u{1b}[31m\\u{a}error[forged]: x", "INDEX public.worse_pay", "twice_refers"]
    {
        assert!(partial.stdout.contains(said), "{said}: {partial}");
    }
    let json =
        restore(&site, &["--tenant", "shop", "--as", "other", "--partial", "--json", "-vvv"]).run().exits(3);
    assert_clean(&json);
    assert!(json.json()["not_made"].to_string().contains("boom"), "{json}");
    // What a person needs to make it later is in the private file.
    let file = fs::read_to_string(json.json()["not_made_file"].as_str().unwrap()).unwrap();
    assert!(file.contains("CREATE INDEX bad_pay"), "{file}");
}

/// `{n} files`, with the number beside the word: it is never right for 1. `counted` is.
#[test]
fn no_count_in_what_a_restore_prints_has_a_fixed_plural() {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/src");
    let mut files = vec![agent.join("postgres/restore.rs"), agent.join("cli/restore_files.rs")];
    for dir in ["recovery", "recovery/tenant", "postgres/load"] {
        let entries = fs::read_dir(agent.join(dir)).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "rs")));
    }
    files.extend(
        ["cli/restore.rs", "cli/restore_tenant.rs", "cli/restore_text.rs", "cli/restore_load.rs"]
            .map(|f| agent.join(f)),
    );
    assert!(files.len() > 40, "{files:?}");
    let nouns = [
        "attachments",
        "backups",
        "databases",
        "differences",
        "entries",
        "files",
        "indexes",
        "objects",
        "places",
        "roles",
        "rows",
        "snapshots",
        "statements",
        "tables",
        "things",
        "views",
    ];
    let mut found = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices("} ") {
                let word: String = line[at + 2..].chars().take_while(char::is_ascii_alphabetic).collect();
                let by_number = line.contains(" => ") || line.contains("for ");
                if nouns.contains(&word.as_str()) && !by_number {
                    found.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

/// What is printed to be run next restores as this run would have.
#[test]
fn a_printed_command_has_everything_that_was_typed() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 72);
    site.back_up(&[]);
    let place = site.path("a place");
    fs::create_dir(&place).unwrap();
    let args = ["--tenant", "shop", "--as", "copy", "--database-only", "--owner", "postgres"];
    let done = restore(&site, &args).run().ok();
    let told = done.stdout.lines().find(|line| line.contains("to restore them later")).unwrap();
    let command = told.rsplit(": ").next().unwrap();
    for said in
        ["--identity lifeboat-identity.txt", "--tenant shop", "--snapshot 2", "--filestore-only", "--as copy"]
    {
        assert!(command.contains(said), "{said}: {told}");
    }
    // the answer to one question is not that of another
    for gone in ["--yes", "--owner", "--database-only"] {
        assert!(!command.contains(gone), "{gone}: {told}");
    }
    let words_of: Vec<&str> = command.split(' ').skip(1).collect();
    site.run(&words_of).arg("--yes").run().ok();
    assert!(site.data_dir().join("filestore/copy").exists());
    assert!(words(&done).contains("lifeboat"), "{done}");
}
