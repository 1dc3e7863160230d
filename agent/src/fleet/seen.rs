//! What this host saw of an instance when it last looked, in a file of its state directory: all that a status
//! and a plan of expire follow from, so that neither needs the repository.
//!
//! The lists of snapshots that others need are most of it: a filestore of a year names hundreds. They are
//! kept as runs of numbers. A file counts for the same program, place and trusted keys: it begins with a
//! digest of these. What is damaged, or of another program, counts as never looked at.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::archive::digest::Sha256;
use crate::archive::manifest::{Facts, Manifest};
use crate::catalog::manifests;
use crate::catalog::state::StateDir;
use crate::clock::Timestamp;
use crate::config::{self, Config};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::reach::StoredWal;
use crate::inventory::{Inventory, Look, Part, Snapshot};
use crate::names::{SnapshotId, bytes_text};
use crate::program::version::{COMMIT, VERSION};
use crate::repository::snapshots::Trust;
use crate::repository::tombstones::announcers;
use crate::retention::phases::Pending;
use crate::retention::stock::Stock;

/// The most that is kept of an instance: some 500,000 snapshots.
const BYTES_MAX: u64 = 1 << 30;

/// What was seen of an instance.
#[derive(Debug)]
pub struct Seen {
    /// When, and where.
    pub look: Looked,
    /// Its snapshots and its WAL: what a status follows from.
    pub inventory: Inventory,
    /// What a plan of expire follows from.
    pub for_plan: ForPlan,
}

/// A look.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Looked {
    /// When, by the clock of this host.
    pub at: Timestamp,
    /// The repository's ID.
    pub repository: String,
}

/// What a plan of expire follows from.
#[derive(Debug, Serialize, Deserialize)]
pub struct ForPlan {
    /// What is stored.
    pub stock: Stock,
    /// What earlier runs of expire announced.
    pub pending: Vec<Pending>,
    /// What is not known besides: tombstones that do not count, and whose clock is right.
    pub not_known: Vec<String>,
}

/// Snapshots, by their places in a list of names: first place and count of each run.
type Runs = Vec<(u32, u32)>;

/// The first line after the digest. One with a [`PlanLine`] follows, and the first frame ends, with its
/// checksum. The second has a line with an [`InventoryLine`], and two for each snapshot that is believed.
#[derive(Serialize, Deserialize)]
struct Head {
    look: Looked,
    /// Each snapshot that is named anywhere.
    names: Vec<SnapshotId>,
}

#[derive(Serialize, Deserialize)]
struct PlanLine {
    for_plan: ForPlan,
    /// What each item of the stock needs.
    needs: Vec<Runs>,
}

#[derive(Serialize, Deserialize)]
struct InventoryLine {
    url: String,
    not_believed: Vec<NotBelieved>,
    wal: Result<StoredWal, String>,
}

/// A snapshot that counts for nothing.
#[derive(Serialize, Deserialize)]
struct NotBelieved {
    id: SnapshotId,
    /// Why, and whether it could be read at all; `None` of one without a manifest.
    why: Option<(bool, String)>,
}

/// The line before each manifest.
#[derive(Serialize, Deserialize)]
struct About {
    stored_at: Timestamp,
    stored_bytes: u64,
    held_in: BTreeSet<SnapshotId>,
    misses_unnamed: bool,
    /// The lists of a filestore, which its manifest lacks here.
    index_chain: Runs,
    sources: Runs,
}

/// Which instance of which repository.
fn place(config: &Config) -> String {
    let config::Repository { url, endpoint, region, virtual_hosted, .. } = &config.repository;
    format!("{url}\n{endpoint:?}\n{region:?}\n{virtual_hosted}\n{}\n", config.instance)
}

/// Where it is kept. Instances of several repositories may have the same name.
fn file(config: &Config) -> PathBuf {
    let place = Sha256::of(place(config).as_bytes()).to_string();
    StateDir::seen_file_of(&config.state_dir, &config.instance, &place[..16])
}

/// What a file must begin with.
fn key(config: &Config) -> Result<Sha256> {
    let trusted = match Trust::keys(&config.signing.trusted_keys)? {
        Trust::Keys(keys) => keys.digest().to_string(),
        Trust::Anyone => String::new(),
    };
    let announcers = announcers(config)?.digest();
    let key = format!("{VERSION}\n{COMMIT}\n{trusted}\n{announcers}\n{}", place(config));
    Ok(Sha256::of(key.as_bytes()))
}

/// What a status follows from. Blocking.
///
/// # Errors
/// Why it is not known: this host must look again.
pub fn inventory(config: &Config) -> Result<(Looked, Inventory)> {
    let mut lines = Lines::open(config)?;
    lines.inventory(config).map_err(look_again)
}

/// What a plan follows from. Blocking.
///
/// # Errors
/// As [`inventory`].
pub fn for_plan(config: &Config) -> Result<(Looked, ForPlan)> {
    let mut lines = Lines::open(config)?;
    lines.for_plan().map_err(look_again)
}

fn look_again(e: Error) -> Error {
    Error::new(Kind::Io, "what this host saw of it cannot be read: run lifeboat fleet look").because(e)
}

/// A file that is read.
struct Lines {
    file: PathBuf,
    input: BufReader<Take<zstd::Decoder<'static, BufReader<File>>>>,
    line: Vec<u8>,
}

impl Lines {
    fn open(config: &Config) -> Result<Lines> {
        let (file, key) = (file(config), key(config)?);
        let not_seen = |what: &str| Error::new(Kind::NotFound, format!("{what}: run lifeboat fleet look"));
        let stored = disk::open(&file).map_err(|e| match e.kind() {
            Kind::NotFound => not_seen("this host has not looked at it"),
            _ => look_again(e),
        })?;
        let decoder = zstd::Decoder::new(stored).map_err(|e| look_again(Error::file("read", &file, e)))?;
        let input = BufReader::with_capacity(256 << 10, decoder.take(BYTES_MAX));
        let mut lines = Lines { file, input, line: Vec::new() };
        if !lines.next().map_err(look_again)? {
            return Err(look_again(lines.damaged()));
        }
        match lines.line.trim_ascii_end() == key.to_string().as_bytes() {
            true => Ok(lines),
            false => Err(not_seen("lifeboat or the trusted keys changed since this host looked at it")),
        }
    }

    /// Whether there is one more.
    fn next(&mut self) -> Result<bool> {
        self.line.clear();
        let read = self.input.read_until(b'\n', &mut self.line);
        Ok(read.map_err(|e| Error::file("read", &self.file, e))? > 0)
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.line).map_err(|e| self.damaged().because(e))
    }

    fn damaged(&self) -> Error {
        Error::new(Kind::Io, format!("{} is damaged", self.file.display()))
    }

    fn head(&mut self) -> Result<Head> {
        self.next()?;
        self.json()
    }

    fn for_plan(&mut self) -> Result<(Looked, ForPlan)> {
        let Head { look, names } = self.head()?;
        self.next()?;
        let PlanLine { mut for_plan, needs } = self.json()?;
        self.next()?; // the checksum of these lines comes after them
        if for_plan.stock.items.len() != needs.len() {
            return Err(self.damaged());
        }
        for (item, needs) in for_plan.stock.items.iter_mut().zip(&needs) {
            item.needs = self.named(needs, &names)?;
        }
        Ok((look, for_plan))
    }

    fn inventory(&mut self, config: &Config) -> Result<(Looked, Inventory)> {
        let Head { look, names } = self.head()?;
        self.next()?;
        self.next()?;
        let InventoryLine { url, not_believed, wal } = self.json()?;
        let mut snapshots: Vec<_> = not_believed.into_iter().map(NotBelieved::look).collect();
        while self.next()? {
            let About { stored_at, stored_bytes, held_in, misses_unnamed, index_chain, sources } =
                self.json()?;
            self.next()?;
            let mut manifest = Manifest::reread(&self.line)?;
            if let Facts::Filestore(filestore) = &mut manifest.facts {
                filestore.index_chain = self.named(&index_chain, &names)?;
                filestore.sources = self.named(&sources, &names)?;
            }
            let snapshot = Snapshot { manifest, stored_bytes, held_in, misses_unnamed, stored_at };
            snapshots.push((snapshot.manifest.id.clone(), Look::Believed(Box::new(snapshot))));
        }
        snapshots.sort_by(|(a, _), (b, _)| a.cmp(b));
        let wal = match wal {
            Ok(wal) => Part::Found(wal),
            Err(why) => Part::CouldNotLook(Error::new(Kind::Unreachable, why)),
        };
        Ok((look, Inventory { instance: config.instance.clone(), repository: url, snapshots, wal }))
    }

    /// The snapshots of these runs.
    fn named<T: FromIterator<SnapshotId>>(&self, runs: &Runs, names: &[SnapshotId]) -> Result<T> {
        let range = |(first, count): &(u32, u32)| {
            let first = *first as usize;
            names.get(first..first + *count as usize)
        };
        let ranges = runs.iter().map(range).collect::<Option<Vec<_>>>().ok_or_else(|| self.damaged())?;
        Ok(ranges.into_iter().flatten().cloned().collect())
    }
}

impl NotBelieved {
    fn look(self) -> (SnapshotId, Look) {
        let look = match self.why {
            None => Look::Unfinished,
            Some((true, why)) => Look::NotBelieved(Error::new(Kind::Integrity, why)),
            Some((false, why)) => Look::NotRead(Error::new(Kind::Unreachable, why)),
        };
        (self.id, look)
    }
}

/// Numbers for names.
#[derive(Default)]
struct Names {
    places: HashMap<SnapshotId, u32>,
    names: Vec<SnapshotId>,
}

impl Names {
    fn place(&mut self, id: &SnapshotId) -> u32 {
        if let Some(place) = self.places.get(id) {
            return *place;
        }
        let place = self.names.len() as u32;
        self.names.push(id.clone());
        self.places.insert(id.clone(), place);
        place
    }
}

fn runs(places: impl IntoIterator<Item = u32>) -> Runs {
    let mut runs = Runs::new();
    for place in places {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == place => *count += 1,
            _ => runs.push((place, 1)),
        }
    }
    runs
}

/// Keeps what was seen, in place of what was seen before. Blocking.
///
/// # Errors
/// Those of the file system.
pub fn write(config: &Config, seen: Seen) -> Result<()> {
    let (file, key) = (file(config), key(config)?);
    let Seen { look, inventory, for_plan } = seen;
    let mut names = Names::default();
    // In the order of the snapshots of a tenant: what these need is then one run, or a few.
    let mut believed: Vec<Snapshot> = Vec::new();
    let mut not_believed = Vec::new();
    for (id, look) in inventory.snapshots {
        let why = match look {
            Look::Believed(snapshot) => {
                believed.push(*snapshot);
                continue;
            }
            Look::Unfinished => None,
            Look::NotBelieved(e) => Some((true, e.what().to_owned())),
            Look::NotRead(e) => Some((false, e.what().to_owned())),
        };
        not_believed.push(NotBelieved { id, why });
    }
    believed.sort_by_cached_key(|Snapshot { manifest, .. }| {
        (manifest.tenant.clone(), manifest.kind(), manifest.id.clone())
    });
    for one in &believed {
        names.place(&one.manifest.id);
    }
    let mut lines = Vec::new();
    for Snapshot { mut manifest, stored_bytes, held_in, misses_unnamed, stored_at } in believed {
        let (mut index_chain, mut sources) = (Runs::new(), Runs::new());
        if let Facts::Filestore(filestore) = &mut manifest.facts {
            index_chain = runs(filestore.index_chain.drain(..).map(|id| names.place(&id)));
            sources = runs(filestore.sources.drain(..).map(|id| names.place(&id)));
        }
        let about = About { stored_at, stored_bytes, held_in, misses_unnamed, index_chain, sources };
        lines.extend([to_line(&about)?, to_line(&manifest)?]);
    }
    let mut needs = Vec::with_capacity(for_plan.stock.items.len());
    for item in &for_plan.stock.items {
        // In the order of their numbers: those of one tenant and kind follow each other.
        let mut places: Vec<u32> = item.needs.iter().map(|id| names.place(id)).collect();
        places.sort_unstable();
        needs.push(runs(places));
    }
    let wal = match inventory.wal {
        Part::Found(wal) => Ok(wal),
        Part::CouldNotLook(e) => Err(e.what().to_owned()),
        Part::NotAsked => Err("it was not asked for".to_owned()),
    };
    let first = [
        format!("{key}\n").into_bytes(),
        to_line(&Head { look, names: names.names })?,
        to_line(&PlanLine { for_plan, needs })?,
    ];
    let inventory = to_line(&InventoryLine { url: inventory.repository, not_believed, wal })?;
    let bytes: usize = first.iter().chain(&lines).map(Vec::len).sum();
    if bytes + inventory.len() > BYTES_MAX as usize {
        let most = bytes_text(BYTES_MAX);
        return Err(Error::new(
            Kind::Io,
            format!("what is known of it takes more than {most} and is not kept"),
        ));
    }
    let failed = |e| Error::file("write", &file, e);
    let mut frames = frame(&first).map_err(failed)?;
    lines.insert(0, inventory);
    frames.extend(frame(&lines).map_err(failed)?);
    manifests::replace(&file, &frames)
}

fn frame(lines: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let mut out = zstd::Encoder::new(Vec::new(), 1)?;
    out.include_checksum(true)?;
    lines.iter().try_for_each(|line| out.write_all(line))?;
    out.finish()
}

fn to_line(value: &impl Serialize) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(value);
    let mut line = json.map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
    line.push(b'\n');
    Ok(line)
}
