//! The plan for making a restored directory production: what is put back, and what the server then does.

use std::fmt::{Display, Formatter};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::archive::base::CONTROL_FILE;
use crate::config::Config;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::control::{self, CONTROL_BYTES};
use crate::postgres::server_command;
use crate::recovery::instance::aside::{
    ASIDE_DIR, AUTO_FILE, CONF_FILE, NAMES, Note, Subscription, head, is_ours,
};
use crate::recovery::instance::conf::Conf;
use crate::recovery::instance::settings::PORT;
use crate::recovery::instance::takeover::{Aside, Takeover, takeover};
use crate::recovery::instance::{MARKER_FILE, delta, tree};

/// Longest `PG_VERSION`.
const VERSION_BYTES_MAX: u64 = 64;

/// What will be done; `Display` gives the text that a person confirms.
#[derive(Clone, Debug, Serialize)]
pub struct ProductionPlan {
    /// The directory.
    pub data_dir: PathBuf,
    /// Whether it is started as a copy first; not if an earlier try did that.
    pub opens: bool,
    /// Files that are put back.
    pub puts_back: Vec<String>,
    /// What the server then does.
    pub takeover: Takeover,
    /// Subscriptions that stay disabled.
    pub disabled_subscriptions: Vec<Subscription>,
    /// Its owner, if we are root.
    pub owner: Option<(u32, u32)>,
    /// The major version.
    pub major: u32,
}

/// Checks a directory that was restored as a copy and has recovered.
///
/// # Errors
/// `Refused` if it is not one, if a server runs on it, or if its configuration names another directory.
pub fn plan(config: &Config, dir: &Path) -> Result<ProductionPlan> {
    let data_dir = find(dir)?;
    let shown = data_dir.display();
    let refused = |what: String| Error::new(Kind::Refused, what).effect("nothing was changed");
    let dir = tree::open(&data_dir)?;
    let failed = |e| Error::file("look at", &data_dir, e);
    let lies = |name: &str| dir.look(Path::new(name)).map(|found| found.is_some()).map_err(failed);
    let Some(note) = Note::read(&dir)? else {
        return Err(refused(format!(
            "{shown} is not a copy: {ASIDE_DIR} contains no configuration of production"
        ))
        .next(
            "if it is already production, there is nothing to do; otherwise this version of Lifeboat did not \
                restore it as a copy",
        ));
    };
    if lies(MARKER_FILE)? {
        return Err(refused(format!("the restore of {shown} is not complete"))
            .next("run the same restore again: it continues"));
    }
    delta::check_stopped(&dir)?;
    let bytes = dir.read(Path::new(CONTROL_FILE), CONTROL_BYTES as u64)?;
    let is_recovering = control::parse(&bytes).is_none_or(|control| control.is_recovering);
    if is_recovering || lies("recovery.signal")? {
        let pg_ctl = |action| server_command::pg_ctl(config.postgres.bin_dir.as_deref(), &data_dir, action);
        let host = Some(data_dir.display().to_string()); // its socket is there, whoever starts it
        let options = PostgresOptions { host, port: PORT, ..PostgresOptions::from(&config.postgres) };
        return Err(refused(format!("{shown} has not recovered to its target")).next(format!(
            "start it: {}; if it is paused and its data is right: {} -c 'SELECT pg_wal_replay_resume()'; when it accepts \
             writes, stop it: {}",
            pg_ctl("start"),
            server_command::psql(&options),
            pg_ctl("stop")
        )));
    }
    let puts_back = NAMES.iter().filter(|name| lies(&format!("{ASIDE_DIR}/{name}")).unwrap_or(false));
    let puts_back: Vec<String> = puts_back.map(|name| (*name).to_owned()).collect();
    // An earlier try was interrupted after it put production's configuration back: continue without a server.
    let opens = is_ours(&head(&dir, CONF_FILE)?);
    if puts_back.iter().any(|name| name == CONF_FILE) && !opens && lies(CONF_FILE)? {
        return Err(refused(format!("somebody replaced the copy's {CONF_FILE} in {shown}")).next(format!(
            "to keep the new file, remove {}; otherwise remove the new file",
            data_dir.join(ASIDE_DIR).display()
        )));
    }
    let conf = Conf::read(&Aside(&dir), &[CONF_FILE, AUTO_FILE]);
    let mut takeover = takeover(&conf, &data_dir, true)?;
    if opens && !puts_back.iter().any(|name| name == CONF_FILE) {
        takeover.does = vec![
            "uses the configuration from your configuration management: it was outside the data directory"
                .to_owned(),
        ];
        takeover
            .warnings
            .push("start it with that configuration, and check its data_directory first".to_owned());
    }
    let (owner, major) = (owner(&dir)?, major(&dir)?);
    Ok(ProductionPlan {
        opens,
        puts_back,
        takeover,
        disabled_subscriptions: note.disabled_subscriptions,
        owner,
        major,
        data_dir,
    })
}

/// The directory itself, whatever links lead to it.
pub(super) fn find(dir: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(dir).map_err(|e| Error::file("find", dir, e))?;
    tree::itself(&absolute)?.ok_or_else(|| {
        Error::file("find", dir, std::io::ErrorKind::NotFound.into())
            .effect("nothing was changed")
            .next("pass the data directory of a restored copy")
    })
}

/// Its owner, if we are root: the file's owner, because the directory is ours while we work in it.
pub(super) fn owner(dir: &Dir) -> Result<Option<(u32, u32)>> {
    let meta = dir.look(Path::new(CONTROL_FILE)).map_err(|e| Error::file("look at", dir.path(), e))?;
    let meta = meta.filter(|meta| rustix::process::geteuid().is_root() && meta.uid() != 0);
    Ok(meta.map(|meta| (meta.uid(), meta.gid())))
}

/// Its major version.
pub(super) fn major(dir: &Dir) -> Result<u32> {
    Ok(dir.read_text(Path::new("PG_VERSION"), VERSION_BYTES_MAX)?.trim().parse().unwrap_or(0))
}

impl Display for ProductionPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "make {} production", self.data_dir.display())?;
        match self.opens {
            true => writeln!(
                f,
                "  first       it is started once more as a copy, to disable subscriptions, and stopped"
            )?,
            false => writeln!(f, "  continues   an earlier run that was interrupted")?,
        }
        writeln!(f, "  puts back   {}", self.puts_back.join(", "))?;
        write!(f, "  THEN, at its next start, it{}", self.takeover)?;
        for subscription in &self.disabled_subscriptions {
            write!(
                f,
                "\n  disabled    (stays disabled) subscription {} in {}",
                subscription.name, subscription.database
            )?;
        }
        write!(
            f,
            "\n  WARNING     stop production's old server for good before you start this one: never run both"
        )
    }
}
