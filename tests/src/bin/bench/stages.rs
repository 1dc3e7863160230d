//! The stages of a first backup, one by one, each over the same bytes, on one thread.
//!
//! CPU time is counted, not wall time, so that a neighbour does not count; but for the disk,
//! where waiting is what it costs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat::archive::blake3::block_links;
use lifeboat::archive::compress::{Compressor, Content};
use lifeboat::archive::pack::FRAME_BYTES;
use lifeboat::archive::seal::Recipients;
use sha2::{Digest, Sha256};

use crate::measured::{Cost, median, thread_cpu};

/// The default level, and restic's `auto`.
const LEVEL: i32 = 3;
/// As long as the blocks of a file of a gigabyte are.
const BLOCK_BYTES: u32 = 64 << 10;
/// How much goes into one file of the disk stage, as into a pack.
const PACK_BYTES: u64 = 64 << 20;
/// A recipient as good as any: nobody opens what is sealed here.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// What each stage costs in CPU seconds, and the disk in wall seconds, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stages {
    /// Walking, opening and reading, from the page cache.
    pub read: f64,
    /// SHA-256 of the content.
    pub sha256: f64,
    /// BLAKE3 of the content, in blocks.
    pub blake3: f64,
    /// SHA-1 of the content, as in its name.
    pub sha1: f64,
    /// zstd, in frames as packs have them.
    pub zstd: f64,
    /// age.
    pub age: f64,
    /// SHA-256 of what is stored.
    pub stored_sha256: f64,
    /// Writing and syncing files of the size of packs.
    pub write: f64,
    /// The same with the wait for the disk.
    pub write_wall: f64,
    /// What is stored of a byte.
    pub ratio: f64,
}

impl Stages {
    /// All CPU seconds.
    pub fn cpu(&self) -> f64 {
        self.read + self.sha256 + self.sha1 + self.zstd + self.age + self.stored_sha256 + self.write
    }

    /// The least wall time that these stages allow: all CPUs busy all the time, or the disk.
    pub fn least_wall(&self, cpus: usize) -> f64 {
        (self.cpu() / cpus as f64).max(self.write_wall)
    }

    /// Each stage's name and CPU seconds.
    pub fn rows(&self) -> [(&'static str, f64); 7] {
        [
            ("walk, open, read (page cache)", self.read),
            ("SHA-256 of the content", self.sha256),
            ("SHA-1 of the content", self.sha1),
            ("zstd, level 3, frames of 4 MiB", self.zstd),
            ("age", self.age),
            ("SHA-256 as stored", self.stored_sha256),
            ("write and fsync", self.write),
        ]
    }

    /// The medians, stage by stage.
    pub fn medians(all: &[Stages]) -> Stages {
        let of = |field: fn(&Stages) -> f64| median(all.iter().map(field));
        Stages {
            read: of(|s| s.read),
            sha256: of(|s| s.sha256),
            blake3: of(|s| s.blake3),
            sha1: of(|s| s.sha1),
            zstd: of(|s| s.zstd),
            age: of(|s| s.age),
            stored_sha256: of(|s| s.stored_sha256),
            write: of(|s| s.write),
            write_wall: of(|s| s.write_wall),
            ratio: of(|s| s.ratio),
        }
    }
}

/// Runs all stages over the files below `source`; what is written goes to `dir`, and goes.
pub fn measure(source: &Path, dir: &Path) -> Stages {
    rustix::fs::sync();
    std::fs::create_dir_all(dir).unwrap();
    let mut stages = Stages::default();
    let mut pipe = Pipe::new(dir);
    let (files, walked) = timed(|| walk(source));
    stages.read += walked;
    let mut frame = Vec::with_capacity(2 * FRAME_BYTES);
    let mut buffer = vec![0; FRAME_BYTES];
    for path in files {
        let (mut file, opened) = timed(|| File::open(path).unwrap());
        stages.read += opened;
        let (mut sha256, mut sha1) = (Sha256::new(), sha1::Sha1::new());
        loop {
            let (n, took) = timed(|| fill(&mut file, &mut buffer));
            stages.read += took;
            stages.sha256 += timed(|| sha256.update(&buffer[..n])).1;
            stages.sha1 += timed(|| sha1.update(&buffer[..n])).1;
            stages.blake3 += timed(|| block_links(&buffer[..n], FRAME_BYTES as u64, BLOCK_BYTES)).1;
            if frame.len() + n > FRAME_BYTES {
                pipe.frame(&mut stages, &mut frame);
            }
            frame.extend_from_slice(&buffer[..n]);
            if n < buffer.len() {
                break;
            }
        }
    }
    pipe.frame(&mut stages, &mut frame);
    pipe.end(&mut stages);
    std::fs::remove_dir_all(dir).unwrap();
    stages
}

/// From the frame onwards.
struct Pipe<'a> {
    dir: &'a Path,
    zstd: Compressor,
    recipients: Recipients,
    compressed: Vec<u8>,
    open: Option<(File, u64)>,
    packs: u64,
    plain_bytes: u64,
    stored_bytes: u64,
}

impl<'a> Pipe<'a> {
    fn new(dir: &'a Path) -> Pipe<'a> {
        Pipe {
            dir,
            zstd: Compressor::new(LEVEL, Content::Pages).unwrap(),
            recipients: Recipients::parse([RECIPIENT]).unwrap(),
            compressed: Vec::new(),
            open: None,
            packs: 0,
            plain_bytes: 0,
            stored_bytes: 0,
        }
    }

    fn frame(&mut self, stages: &mut Stages, frame: &mut Vec<u8>) {
        self.plain_bytes += frame.len() as u64;
        stages.zstd += timed(|| self.zstd.frame(frame, &mut self.compressed).unwrap()).1;
        frame.clear();
        // One seal a frame in place of one a pack: some microseconds more, the key exchange.
        let (sealed, took) = timed(|| {
            let mut seal = self.recipients.seal(Vec::with_capacity(self.compressed.len() + 4096)).unwrap();
            seal.write_all(&self.compressed).unwrap();
            seal.finish().unwrap()
        });
        stages.age += took;
        stages.stored_sha256 += timed(|| std::hint::black_box(Sha256::digest(&sealed))).1;
        self.stored_bytes += sealed.len() as u64;
        self.write(stages, &sealed).unwrap();
    }

    fn write(&mut self, stages: &mut Stages, data: &[u8]) -> io::Result<()> {
        let begun = Instant::now();
        let (done, took) = timed(|| {
            let (mut file, bytes) = match self.open.take() {
                Some(open) => open,
                None => {
                    self.packs += 1;
                    (File::create(self.dir.join(self.packs.to_string()))?, 0)
                }
            };
            file.write_all(data)?;
            match bytes + data.len() as u64 {
                full if full >= PACK_BYTES => file.sync_all()?,
                bytes => self.open = Some((file, bytes)),
            }
            Ok(())
        });
        stages.write += took;
        stages.write_wall += begun.elapsed().as_secs_f64();
        done
    }

    fn end(&mut self, stages: &mut Stages) {
        let begun = Instant::now();
        if let Some((file, _)) = self.open.take() {
            stages.write += timed(|| file.sync_all().unwrap()).1;
        }
        stages.write_wall += begun.elapsed().as_secs_f64();
        stages.ratio = self.stored_bytes as f64 / self.plain_bytes.max(1) as f64;
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before: Duration = thread_cpu();
    let done = work();
    (done, (thread_cpu() - before).as_secs_f64())
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(walk(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    files
}

fn fill(file: &mut File, buffer: &mut [u8]) -> usize {
    let mut n = 0;
    while n < buffer.len() {
        match file.read(&mut buffer[n..]).unwrap() {
            0 => break,
            more => n += more,
        }
    }
    n
}

/// What the composed backup reached of what the stages allow: by the clock, and by CPU time.
pub fn reached(stages: &Stages, composed: &Cost, cpus: usize) -> (f64, f64) {
    (stages.least_wall(cpus) / composed.wall, stages.cpu() / composed.cpu)
}
