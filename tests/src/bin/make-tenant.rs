//! `make-tenant`: creates the small Odoo-shaped tenant on a server that runs already, for the demo.

use std::process::{Command, ExitCode};
use std::time::Duration;

use lifeboat_tests::children;
use lifeboat_tests::tenant::{self, Tenant};

const USAGE: &str =
    "usage: make-tenant --host SOCKETDIR --port P --user U --database NAME --data-dir DIR [--seed N]

Creates the database NAME and DIR/filestore/NAME: a small tenant in the shape of Odoo 17, made up.
The password, where one is needed, comes from PGPASSWORD or ~/.pgpass. psql must be in PATH.";
/// How long one script may take.
const SCRIPT_LIMIT: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    match make(std::env::args().skip(1).collect()) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("make-tenant: {problem}");
            ExitCode::from(2)
        }
    }
}

fn make(mut args: Vec<String>) -> Result<String, String> {
    let host = take(&mut args, "--host")?;
    let port = take(&mut args, "--port")?;
    let user = take(&mut args, "--user")?;
    let name = take(&mut args, "--database")?;
    let data_dir = take(&mut args, "--data-dir")?;
    let seed =
        if args.iter().any(|arg| arg == "--seed") { take(&mut args, "--seed")? } else { "1".to_owned() };
    let seed = seed.parse().map_err(|_| format!("--seed {seed} is not a number\n{USAGE}"))?;
    if let Some(unknown) = args.first() {
        return Err(format!("unknown argument {unknown}\n{USAGE}"));
    }

    let data_dir = std::path::absolute(&data_dir).map_err(|e| format!("--data-dir {data_dir}: {e}"))?;
    let tenant = Tenant { name, data_dir };
    tenant::build(&tenant, seed, &mut |database, sql| {
        let mut psql = Command::new("psql");
        psql.args([
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            &host,
            "-p",
            &port,
            "-U",
            &user,
            "-d",
            database,
            "-f",
            "-",
        ]);
        let done = children::finish(psql, sql.as_bytes().to_vec(), SCRIPT_LIMIT);
        if !done.status.success() {
            eprintln!(
                "make-tenant: psql on {database}: {}",
                String::from_utf8_lossy(&done.stderr).trim_end()
            );
            std::process::exit(1);
        }
        String::from_utf8_lossy(&done.stdout).into_owned()
    });
    let files = tenant.filestore().files();
    let bytes: u64 = files.values().sum();
    let dir = tenant.filestore().dir().display().to_string();
    Ok(format!("database {}, {} files ({} kB) in {dir}", tenant.name, files.len(), bytes / 1000))
}

fn take(args: &mut Vec<String>, flag: &str) -> Result<String, String> {
    let at = args.iter().position(|arg| arg == flag).filter(|at| at + 1 < args.len());
    let at = at.ok_or_else(|| format!("{flag} is missing\n{USAGE}"))?;
    args.remove(at);
    Ok(args.remove(at))
}
