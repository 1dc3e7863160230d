//! docs/installation.md, and the runbooks on the machine that it leaves: every command as it stands, with its
//! users, roles and modes.

use std::collections::BTreeSet;
use std::fs;

use lifeboat_tests::program::workspace_root;

use crate::page::{can_make_a_machine, commands, on_a_machine};

pub const PAGE: &str = "docs/installation.md";
/// The page's last command: until then the identity is here.
pub const IDENTITY_GOES: &str = "sudo rm -r /run/lifeboat-restore";
/// What a person does with the identity meanwhile.
pub const KEEP_IT: &str = "sudo cp /run/lifeboat-restore/id.txt /root/password-manager";

/// What the page's table says of files and directories: name, owner, mode.
fn promised_modes() -> Vec<[String; 3]> {
    let page = fs::read_to_string(workspace_root().join(PAGE)).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| /")?.split_once('|'));
    let modes: Vec<_> = rows
        .filter_map(|(path, rest)| {
            let (owner, mode) = rest.split('|').next()?.trim().split_once(' ')?;
            Some([format!("/{}", path.trim()), owner.to_owned(), mode.to_owned()])
        })
        .collect();
    assert!(modes.len() >= 6, "{modes:?}");
    modes
}

/// A line in the output, by which [`part`] finds what comes after it.
fn mark(name: &str) -> String {
    format!("\necho '=== {name}'\n")
}

fn part<'a>(printed: &'a str, name: &str) -> &'a str {
    let found = printed.split("=== ").find_map(|part| part.strip_prefix(&format!("{name}\n")));
    found.unwrap_or_else(|| panic!("no part {name} in {printed}"))
}

/// Closes Odoo's files again; what doctor advises is done, and doctor is content.
const CLOSED: &str = r"
setfacl -R -b /var/lib/odoo
sudo -u lifeboat lifeboat doctor >/tmp/closed || echo exit $?
cat /tmp/closed
eval $(sed -n 's/^ *next: sudo -u odoo setfacl/sudo -u odoo setfacl/p' /tmp/closed)
sudo -u lifeboat lifeboat doctor
find /var/lib/odoo/.local/share/Odoo/filestore/shop -mindepth 1 -exec chmod go= {} +
sudo -u lifeboat lifeboat doctor >/tmp/closed || echo exit $?
grep -A1 FAIL /tmp/closed
eval $(sed -n 's/^ *next: sudo -u odoo setfacl/sudo -u odoo setfacl/p' /tmp/closed)
";

/// A row, a moment, another row; all of it stored.
const SELLING: &str = r#"
sudo -u odoo psql -d retail_north -qc "CREATE TABLE till AS SELECT 'before' AS at"
sleep 0.1
sudo -u postgres psql -XAtc "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')" >/root/moment
sudo -u odoo psql -d retail_north -qc "INSERT INTO till VALUES ('after')"
stored() { sudo -u postgres psql -XAtc "SELECT coalesce(bool_or(flush_lsn >= pg_current_wal_insert_lsn()), false) FROM pg_stat_replication"; }
for try in $(seq 300); do [ "$(stored)" = f ] || break; sleep 0.1; done
"#;

/// The commands of a runbook: the identity is pasted, the time is one that there was.
fn runbook(name: &str) -> String {
    let text =
        commands(&format!("runbooks/{name}")).replace("cat > id.txt", "cat /root/password-manager > id.txt");
    // What happened before the page is opened: the database is gone, its files are not.
    let text = text.replace("sudo -u odoo mv", "dropdb --force retail_north\nsudo -u odoo mv");
    ["2026-11-20T14:03:00Z", "2026-11-20T01:58:00Z"]
        .iter()
        .fold(text, |text, time| text.replace(time, "$(cat /root/moment)"))
}

#[test]
fn a_bare_machine_is_set_up_as_the_page_says_and_the_runbooks_work_on_it() {
    if !can_make_a_machine() {
        return;
    }
    let paths: Vec<_> = promised_modes().into_iter().map(|[path, ..]| path).collect();
    let modes = format!("{}stat -c '%n %U 0%a' {}\n", mark("modes"), paths.join(" "));
    let before_it_goes = [&modes, KEEP_IT, &mark("rest"), IDENTITY_GOES].concat();
    let script = [
        &mark("page"),
        &commands(PAGE).replace(IDENTITY_GOES, &before_it_goes),
        &mark("closed"),
        CLOSED,
        &mark("tenant"),
        SELLING,
        &runbook("restore-tenant.md"),
        &mark("next backup"),
        "(cd / && sudo -u lifeboat lifeboat backup)\n",
        &mark("after tenant"),
        "psql -XAtc \"SELECT datname FROM pg_database WHERE datname ~ '^retail' ORDER BY datname COLLATE \\\"C\\\"\"\n",
        "psql -XAtc 'TABLE till' $(psql -XAtc \"SELECT datname FROM pg_database WHERE datname ~ '^retail_north_2'\")\n",
        "find /var/lib/odoo/.local/share/Odoo/filestore/retail_north -printf '%u %g\\n' | sort -u\n",
        "ls -A /run /var/lib/lifeboat-restore | grep -E 'lifeboat-restore|scratch-|[.]restore'\n",
        "find /var/lib/lifeboat ! -user lifeboat -o ! -group lifeboat\nexit\n",
        &mark("instance"),
        &runbook("restore-instance.md"),
        &mark("after instance"),
        "psql -XAt -h $(dirname /tmp/*/.s.PGSQL.5432) -d retail_north -c 'TABLE till' -c 'SELECT pg_is_in_recovery()'\n",
        "stat -c %U /srv/pg/back\n",
    ];
    let done = on_a_machine(&script.concat()).ok();
    println!("{done}");
    let printed = &done.stdout;

    let page = part(printed, "page");
    for line in ["lifeboat", "postgres", "(0 rows)"] {
        assert!(
            page.lines().any(|said| said == line),
            "a role, a role, no wrong line of pg_hba.conf: {line}"
        );
    }
    assert!(page.contains(" 0 failed") && !page.contains("FAIL"), "doctor has nothing to correct");
    for back in ["shop is restored as database shop_check", "shop is restored as database shop_now"] {
        assert!(page.contains(back), "{back}");
    }
    for [path, owner, mode] in promised_modes() {
        let says = format!("{path} {owner} {mode}");
        assert!(part(printed, "modes").lines().any(|line| line == says), "{says}");
    }

    let closed = part(printed, "closed");
    assert_eq!(closed.matches("exit 3").count(), 2, "closed files are failures");
    assert_eq!(closed.matches("FAIL  data directory").count(), 2, "{closed}");
    assert_eq!(closed.matches("sudo -u odoo setfacl -m u:lifeboat:x '/var/lib/odoo").count(), 1, "{closed}");
    assert!(closed.contains("some files of each were tried and can be read"), "{closed}");

    let tenant = part(printed, "tenant");
    for done in [
        "retail_north is restored as database retail_north_check",
        "is restored as database retail_north_live",
    ] {
        assert!(tenant.contains(done), "{done}");
    }
    let backup = part(printed, "next backup");
    let tenants: Vec<_> =
        backup.lines().filter_map(|line| line.strip_suffix(')')?.split_once("  (")).collect();
    let tenants: Vec<_> = tenants.into_iter().map(|(name, _)| name).collect();
    assert_eq!(tenants, ["retail_north", "shop"], "copies that root made are no tenants: {backup}");
    let after: Vec<_> = part(printed, "after tenant").lines().collect();
    let (replaced, copy) = ("retail_north.replaced-", "retail_north_2");
    assert!(after[1].starts_with(replaced) && after[2].starts_with(copy), "{after:?}");
    let expected =
        ["retail_north_check", "retail_north_parts", "before", "odoo odoo", "/var/lib/lifeboat-restore:"];
    assert_eq!(
        (after[0], &after[3..]),
        ("retail_north", &expected[..]),
        "what the agent reads is still its own"
    );

    assert_eq!(part(printed, "after instance"), "before\nt\npostgres\n");
}

#[test]
fn the_page_explains_every_line_of_doctor() {
    let page = fs::read_to_string(workspace_root().join(PAGE)).unwrap();
    let mut names = BTreeSet::new();
    let words = ["ok", "warn", "fail", "error", "not_checked"].map(|word| format!("Check::{word}(\""));
    let words = words.iter().map(String::as_str).chain(["NAME: &str = \"", "space(\""]);
    for source in fs::read_dir(workspace_root().join("agent/src/doctor")).unwrap() {
        let text = fs::read_to_string(source.unwrap().path()).unwrap();
        for before in words.clone() {
            names.extend(
                text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned),
            );
        }
    }
    assert!(names.len() > 14, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{PAGE} does not explain {missing:?}");
}
