//! The filestore that is measured: blobs named by their SHA-1, of sizes and content as a real one
//! has them, from a seed.

use std::fs::{self, File, FileTimes};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lifeboat_tests::Cluster;
use lifeboat_tests::filestore::{Filestore, Seeded, make_dir, store_fname};

use crate::options::Options;

/// The tenant's name.
pub const TENANT: &str = "bench";
/// Spread of the sizes (of their logarithm): the median is a quarter of the mean, one file in a
/// thousand is over forty times the mean.
const SIGMA: f64 = 1.6;
/// Nothing is larger: Odoo refuses uploads over 128 MiB, few people try.
const LARGEST: f64 = 48e6;
/// The files are this old: nobody writes to them any more.
const AGE: Duration = Duration::from_secs(90 * 86_400);

/// A filestore on disk.
pub struct Source {
    /// Odoo's data directory.
    pub data_dir: PathBuf,
    /// How many files.
    pub files: u64,
    /// All their bytes.
    pub bytes: u64,
    /// Each name and size, in the format of `COPY`.
    rows: PathBuf,
}

impl Source {
    /// The filestore of these options; made unless the last run left it.
    pub fn make(options: &Options) -> Source {
        let data_dir = options.work.join("odoo");
        let filestore = Filestore::of(&data_dir, TENANT);
        let rows = options.work.join("rows");
        let made = options.work.join("made");
        let wanted = format!("{} {} {} {}", options.files, options.mean_bytes, options.tiny, options.seed);
        let there = fs::read_to_string(&made).unwrap_or_default();
        let there = there.split_once('\n').filter(|(what, _)| *what == wanted);
        if let Some((_, bytes)) = there {
            return Source { data_dir, files: options.files, bytes: bytes.parse().unwrap(), rows };
        }
        let _ = fs::remove_dir_all(&data_dir);
        make_dir(filestore.dir());
        for two in 0..=255 {
            make_dir(&filestore.dir().join(format!("{two:02x}")));
        }
        let mut random = Seeded::new(options.seed);
        let sizes = sizes(options, &mut random);
        let mut list = BufWriter::new(File::create(&rows).unwrap());
        let mut bytes = 0;
        let modified = FileTimes::new().set_modified(SystemTime::now() - AGE);
        for size in sizes {
            let content = content(&mut random, size);
            let name = store_fname(&content);
            let mut file = File::create(filestore.path(&name)).unwrap();
            file.write_all(&content).unwrap();
            file.set_times(modified).unwrap();
            writeln!(list, "{name}\t{}\t{name}\t{}", content.len(), &name[3..]).unwrap();
            bytes += content.len() as u64;
        }
        list.flush().unwrap();
        fs::write(&made, format!("{wanted}\n{bytes}")).unwrap();
        Source { data_dir, files: options.files, bytes, rows }
    }

    /// Its folder.
    pub fn dir(&self) -> PathBuf {
        Filestore::of(&self.data_dir, TENANT).dir().to_owned()
    }

    /// Creates the database that names the files: as little of Odoo as makes it a tenant, so that
    /// dumping and restoring it costs next to nothing beside the filestore.
    pub fn create_database(&self, cluster: &Cluster) {
        cluster.create_db(TENANT);
        let columns = "name, file_size, store_fname, checksum";
        let sql = format!(
            "create table ir_module_module (id serial primary key, name varchar not null, state varchar, latest_version varchar);
             create table ir_config_parameter (id serial primary key, key varchar not null, value text);
             create table ir_attachment (id serial primary key, name varchar not null, type varchar default 'binary', \
               res_model varchar, res_field varchar, res_id int, file_size int, store_fname varchar, checksum varchar(40), \
               url varchar, mimetype varchar, public bool, db_datas bytea);
             insert into ir_module_module (name, state, latest_version) values ('base', 'installed', '17.0.1.3');
             insert into ir_config_parameter (key, value) values ('database.uuid', '2f1c6a52-7d5b-11ef-9a51-0242ac120002');
             \\copy ir_attachment ({columns}) from '{}'
             create index on ir_attachment (store_fname);",
            self.rows.display()
        );
        cluster.psql(TENANT, &sql);
        cluster.psql(TENANT, "vacuum analyze");
    }

    /// How many files and bytes a restored copy has; must be ours.
    ///
    /// # Panics
    /// When they are not, or a file is not what its name says.
    pub fn check(&self, copy: &Path) {
        let (mut files, mut bytes) = (0, 0);
        for dir in fs::read_dir(copy).unwrap() {
            let dir = dir.unwrap();
            if dir.file_name() == "checklist" {
                continue;
            }
            for file in fs::read_dir(dir.path()).unwrap() {
                let path = file.unwrap().path();
                let content = fs::read(&path).unwrap();
                assert!(path.ends_with(store_fname(&content)), "{} came back damaged", path.display());
                files += 1;
                bytes += content.len() as u64;
            }
        }
        assert_eq!((files, bytes), (self.files, self.bytes), "not all came back to {}", copy.display());
    }
}

/// Log-normal sizes, scaled so that their sum is what is wanted.
fn sizes(options: &Options, random: &mut Seeded) -> Vec<usize> {
    if options.tiny {
        return (0..options.files).map(|_| 100 + random.below(400) as usize).collect();
    }
    let raw: Vec<f64> = (0..options.files).map(|_| (SIGMA * normal(random)).exp()).collect();
    let wanted = (options.files * options.mean_bytes) as f64;
    let scale = wanted / raw.iter().sum::<f64>();
    raw.iter().map(|size| (size * scale).clamp(64.0, LARGEST) as usize).collect()
}

/// A normally distributed number (Box and Muller).
fn normal(random: &mut Seeded) -> f64 {
    let mut unit = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let (radius, turn) = (1.0 - unit(), unit());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
}

/// Half of the files are images, which do not compress; a third are PDFs, which do in parts; the
/// rest is text: exports, web assets, mails. Together zstd leaves some 70 %.
fn content(random: &mut Seeded, bytes: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(bytes + 16);
    match random.below(20) {
        0..=8 => {
            content.extend_from_slice(b"\x89PNG\r\n\x1a\n");
            content.extend(random.noise(bytes));
        }
        9..=14 => {
            content.extend_from_slice(b"%PDF-1.7\n");
            while content.len() < bytes {
                content.extend(random.text(1_000 + random.clone().below(8_000) as usize));
                content.extend(random.noise(1_000 + random.clone().below(12_000) as usize));
            }
        }
        _ => content.extend(random.text(bytes)),
    }
    content.truncate(bytes);
    content
}
