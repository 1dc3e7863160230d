//! The five runbooks of releases, that of holds and that of a full repository, on a machine that
//! docs/installation.md set up: every command as it stands, in the situation that the page is for.

use lifeboat_tests::checkpointed::{NOW, copies};
use lifeboat_tests::program::workspace_root;

use crate::installation::{IDENTITY_GOES, KEEP_IT, PAGE};
use crate::page::{can_make_a_machine, commands, on_a_machine};
use crate::runbook::Runbook;

/// The pipeline's call. The release has no addons here, so the migration is approved, too.
const CHECKPOINT: &str = "sudo -u lifeboat lifeboat checkpoint --release 2026.11.20 --approved-by anna \
    --migration-approved-by jonas";

/// A third tenant, a plan for drills.
const BEFORE: &str = r#"
sudo -u odoo sh -c "cd; make-tenant --host /run/postgresql --port 5432 --user odoo --database retail_south --data-dir /var/lib/odoo/.local/share/Odoo --seed 3"
printf '%s\n' 'config = "/etc/lifeboat/restore.toml"' 'tenant = "retail_north"' >/etc/lifeboat/drill.toml
(cd / && sudo -u lifeboat lifeboat backup)
"#;

/// SQL as the superuser.
fn sql(database: &str, text: &str) -> String {
    format!("psql -d {database} -Xq -v ON_ERROR_STOP=1 <<'SQL' || echo WRONG sql\n{text}\nSQL\n")
}

/// What the installation page says about the key of drills.
fn drill_key() -> String {
    let page = std::fs::read_to_string(workspace_root().join(PAGE)).unwrap();
    let (_, after) = page.split_once("**A report counts only if a trusted key signed it**").unwrap();
    after.split("```").nth(1).unwrap().strip_prefix("text").unwrap().to_owned()
}

/// Something must be in the output of a command; `what` is another shell command.
fn shows(what: &str, words: &str) -> String {
    format!(
        "{what} >/tmp/shown 2>&1\ngrep -F -- '{words}' /tmp/shown || {{ echo 'WRONG: not shown: {words}'; cat /tmp/shown; }}\n"
    )
}

fn orders(prefix: &str, count: u32) -> String {
    sql(
        "retail_north",
        &copies(
            "sale_order",
            "true",
            count,
            NOW,
            &format!("'name', '{prefix}-' || i, 'state', 'sale', 'amount_total', 10.10"),
        ),
    )
}

/// The identity, as restore-tenant.md says: `cat` has nothing to wait for.
fn identity() -> String {
    let page = commands("runbooks/restore-tenant.md");
    let lines: Vec<&str> = page.lines().take_while(|line| !line.starts_with("lifeboat ")).collect();
    lines.join("\n").replace("cat > id.txt", "cat /root/password-manager > id.txt") + "\nset +e\n"
}

#[test]
fn the_runbooks_of_releases_work_on_the_machine_of_the_installation() {
    if !can_make_a_machine() {
        return;
    }
    let set_up = commands(PAGE).replace(IDENTITY_GOES, &format!("{KEEP_IT}\n{IDENTITY_GOES}"));
    let script = [
        set_up,
        identity(),
        BEFORE.to_owned(),
        blocked(),
        bad_release(),
        failed_migration(),
        found_late(),
        cohort(),
        legal_hold(),
        repository_full(),
        "exit 0\n".to_owned(),
    ];
    let done = on_a_machine(&script.concat()).ok();
    println!("{done}");
    let wrong: Vec<&str> = done.stdout.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let runs = done.stdout.lines().filter(|line| line.starts_with("=== ") && line.contains(".md ")).count();
    assert!(runs > 25, "only {runs} commands were run");
}

/// Each gate blocks in turn, and its section helps.
fn blocked() -> String {
    let mut page = Runbook::open("checkpoint-blocked.md");
    let gate_blocks = |gate: &str| {
        let command = format!(
            "cd /\n{CHECKPOINT} >/tmp/gates 2>&1\n[ $? = 19 ] || echo 'WRONG: {gate} does not block'\n"
        );
        command + &shows(&format!("grep -E '^  {gate} +(FAILED|UNKNOWN)' /tmp/gates"), gate)
    };
    let script = [
        gate_blocks("drill"),
        drill_key(),
        page.run("checkpoint --release 2026.11.20 --dry-run", 19),
        page.run_with(
            "restore-drill run",
            0,
            &[("restore-drill run", "LIFEBOAT_SEAL_IDENTITY_FILES=/run/lifeboat-restore/id.txt restore-drill run")],
        ),
        page.run("restore-drill show latest", 0),
        page.run("restore-drill checks", 0),
        // An object of the newest base backup rots.
        "rotten=$(ls -d /srv/lifeboat/repository/instances/production/snapshots/*-base-* | tail -1)\n\
         rotten=$(ls $rotten/packs/* | head -1); cp -p $rotten /tmp/whole\n\
         printf X | dd of=$rotten bs=1 seek=300 conv=notrunc status=none\n"
            .to_owned(),
        gate_blocks("chain"),
        page.run("lifeboat verify", 10),
        page.run("backup --kind base --full", 0),
        "cp -p /tmp/whole $rotten\n".to_owned(),
        page.run("lifeboat verify", 0),
        // A row names a file that nobody has.
        sql(
            "shop",
            &copies("ir_attachment", "store_fname is not null", 1, NOW, "'name', 'lost', 'store_fname', 'ab/' || repeat('ab', 20)"),
        ),
        gate_blocks("filestore"),
        page.run("lifeboat backup", 3),
        sql("shop", "delete from ir_attachment where name = 'lost'"),
        "(cd / && sudo -u lifeboat lifeboat backup --tenant shop)\n".to_owned(),
        // The agent is dead.
        "pkill -KILL -u lifeboat -f 'lifeboat .* agent' || echo WRONG: no agent\n".to_owned(),
        gate_blocks("agent"),
        page.run("systemctl status lifeboat-agent", 3),
        page.run("systemctl start lifeboat-agent", 0),
        "for try in $(seq 100); do [ \"$(psql -d postgres -XAtc 'select count(*) from pg_stat_replication')\" != 0 ] && break; sleep 0.1; done\n".to_owned(),
        page.run("wal status", 0),
        page.run("lifeboat doctor", 0),
        page.run("wal status", 0),
        page.run("lifeboat doctor", 0),
        page.run("backup --kind base", 0),
        page.run("backup --kind base", 0),
        // Month-end closing, and payments fail.
        "cp /etc/lifeboat/lifeboat.toml /tmp/open.toml\n\
         printf '[freeze.now]\\nfrom = \"2020-01-01T00:00\"\\nto = \"2050-01-01T00:00\"\\n' >>/etc/lifeboat/lifeboat.toml\n"
            .to_owned(),
        gate_blocks("freeze"),
        page.run("--tier emergency", 0),
        "cp /tmp/open.toml /etc/lifeboat/lifeboat.toml\n".to_owned(),
        // The pipeline again: nothing blocks.
        format!("{CHECKPOINT} || echo 'WRONG: the checkpoint is blocked'\n"),
    ];
    page.assert_done();
    script.concat()
}

/// The release writes wrong prices; the schema is compatible.
fn bad_release() -> String {
    let mut page = Runbook::open("bad-release.md");
    let script = [
        orders("SO-A", 3),
        page.run("rollback plan --release 2026.11.20", 0),
        shows(
            "sudo -u lifeboat lifeboat rollback plan --release 2026.11.20",
            "image: tables and modules are as they were",
        ),
        page.run_with("release watch", 0, &[("--for 30min", "--for 2s")]),
        page.run("rollback plan --release 2026.11.20 --json > /tmp/rollback-plan.json", 0),
        shows("cat /tmp/rollback-plan.json", "\"way\":"),
    ];
    page.assert_done();
    script.concat()
}

/// A migration ended in the middle.
fn failed_migration() -> String {
    let mut page = Runbook::open("failed-migration.md");
    let script = [
        sql(
            "retail_north",
            "alter table sale_order drop column client_order_ref; drop table mail_mail cascade",
        ),
        page.run("rollback plan --release 2026.11.20", 0),
        shows(
            "sudo -u lifeboat lifeboat rollback plan --release 2026.11.20",
            "the database goes back to the point",
        ),
        page.run("lifeboat restore --release", 0),
        page.run("lifeboat promote", 0),
        page.run("lifeboat backup --tenant retail_north", 0),
        shows("psql -d retail_north -XAtc \"select to_regclass('mail_mail')\"", "mail_mail"),
        shows("psql -d retail_north -XAtc \"select count(*) from sale_order where name like 'SO-A-%'\"", "0"),
    ];
    page.assert_done();
    script.concat()
}

/// Prices are 0, and people worked for hours.
fn found_late() -> String {
    let mut page = Runbook::open("bad-release-found-late.md");
    let new = "psql -d retail_north -XAtc \"select count(*) from sale_order where name like 'SO-B-%'\"";
    let script = [
        sql("retail_north", "update product_template set list_price = 0"),
        orders("SO-B", 4),
        page.run("rollback plan --release 2026.11.20 --tenant retail_north", 0),
        shows("sudo -u lifeboat lifeboat rollback plan --release 2026.11.20", "4 sale orders, 4 confirmed, 40.40 EUR"),
        "cd /run/lifeboat-restore\n".to_owned(),
        page.run("lifeboat restore --release", 0),
        page.run("--dry-run", 0),
        page.run("rollback salvage", 0),
        shows("cat retail_north_after_2026.11.20/sale-orders.jsonl", "SO-B-4"),
        page.run("lifeboat promote", 0),
        shows(new, "0"),
        // There is no Odoo on this machine: `reenter real::` enters documents into a real one.
        "(umask 077; echo secret >/run/odoo-password)\n".to_owned(),
        page.run("reenter --release 2026.11.20", 7),
        page.run("reenter --release 2026.11.20", 7),
        page.run("lifeboat backup --tenant retail_north", 0),
        // Somebody exports once more, after the promotion.
        "cd /run/lifeboat-restore && mv retail_north_after_2026.11.20 first\n\
         kept=$(psql -d postgres -XAtc \"select datname from pg_database where datname like 'retail_north.replaced-%' order by oid desc limit 1\")\n"
            .to_owned(),
        page.run_with("psql -d postgres", 0, &[("'ALTER DATABASE \"retail_north.replaced-20261128T021500Z\" ALLOW_CONNECTIONS true'", "\"ALTER DATABASE \\\"$kept\\\" ALLOW_CONNECTIONS true\"")]),
        page.run_with("--from retail_north.replaced-", 0, &[("retail_north.replaced-20261128T021500Z", "$kept")]),
        shows("diff first/sale-orders.jsonl retail_north_after_2026.11.20/sale-orders.jsonl && echo same", "same"),
    ];
    page.assert_done();
    script.concat()
}

/// A wave of two tenants goes back; the third stays.
fn cohort() -> String {
    let mut page = Runbook::open("cohort-rollback.md");
    let digest = "pg_dump -d shop -U postgres --data-only | grep -v '^.restrict\\|^.unrestrict' | sha256sum";
    let script = [
        format!("cat >>/etc/lifeboat/lifeboat.toml <<'TOML'\n{}TOML\n", page.toml()),
        sql("retail_north", "alter table product_template drop column weight"),
        sql("retail_south", "alter table product_template drop column weight"),
        format!("before=$({digest})\n"),
        page.run("--cohort wave1", 0),
        page.run("--tenant retail_north --tenant retail_south", 0),
        // Step 5: the steps of the plan, for each of them.
        "sudo -u lifeboat lifeboat rollback plan --release 2026.11.20 --cohort wave1 >/tmp/plan\n\
         sed -n 's/^ *\\(lifeboat .*\\)/\\1/p' /tmp/plan >/tmp/steps; cat /tmp/steps; cd /run/lifeboat-restore; rm -r retail_*\n\
         [ $(wc -l </tmp/steps) = 6 ] || echo WRONG: not six commands\n\
         while read -r line; do\n\
             case $line in *' restore '*) line=\"$line --yes\";; *' promote '*) line=\"$line --yes-replace ${line##* }\";; esac\n\
             $line </dev/null || echo \"WRONG: $line ends with $?\"\n\
         done </tmp/steps\ncd /\n"
            .to_owned(),
        page.run("lifeboat status", 0),
        page.run_with("release watch", 0, &[("--for 30min", "--for 2s")]),
        sql("retail_north", "select weight from product_template"),
        sql("retail_south", "select weight from product_template"),
        format!("[ \"$before\" = \"$({digest})\" ] || echo WRONG: shop was touched\n"),
    ];
    page.assert_done();
    script.concat()
}

/// Lawyers want the data of a tenant, of a month, and of the time before the release.
fn legal_hold() -> String {
    let mut page = Runbook::open("legal-hold.md");
    let script = [
        "printf '[class.all]\\ntenants = [\"*\"]\\nwindow = \"1d\"\\n' >>/etc/lifeboat/lifeboat.toml\ncd /\n"
            .to_owned(),
        page.run("lifeboat list --tenant", 0),
        page.run("lifeboat window", 0),
        page.run("hold add case-114 --tenant", 0),
        page.run("hold add case-114-november", 0),
        page.run("hold add case-114-release", 0),
        page.run("hold list", 0),
        page.run("expire --dry-run", 0),
        shows("sudo -u lifeboat lifeboat expire --dry-run", "hold case-114-release"),
        page.run("expire --yes", 0),
        page.run("hold remove case-114", 0),
        page.run("hold list --all", 0),
        shows("sudo -u lifeboat lifeboat hold list --all", "by anna: settled, letter of 3 March"),
    ];
    page.assert_done();
    script.concat()
}

/// Nobody deletes by hand: what may go is announced, and what stays has its reason.
fn repository_full() -> String {
    let mut page = Runbook::open("repository-full.md");
    let script = [
        page.run("wal status", 0),
        page.run("expire --dry-run", 0),
        page.run("expire --yes --max-percent 80", 0),
        page.run("lifeboat backup", 0),
        page.run("lifeboat status", 0),
        page.run("expire --dry-run --as-of", 0),
        page.run("policy check", 0),
    ];
    page.assert_done();
    script.concat()
}
