//! Which stored objects and manifests this host has read and found to be what was signed. Until an object is
//! written again, which its mark shows, a checkpoint need not read it again. SQLite in the state directory;
//! if it is lost, objects are read once more and nothing else happens.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::archive::digest::Sha256;
use crate::archive::manifest::Object;
use crate::catalog::sqlite::{self, Tables, json, wrong};
use crate::error::Result;
use crate::names::SnapshotId;
use crate::store::ObjectInfo;

const TABLES: Tables = Tables {
    create: &[
        "CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, mark TEXT NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS manifest (id TEXT PRIMARY KEY, mark TEXT NOT NULL, believed TEXT NOT NULL) STRICT",
    ],
    empty: &["DELETE FROM object", "DELETE FROM manifest"],
};

/// What a manifest says that was read, and whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Believed {
    /// The digest of its bytes.
    pub manifest_sha256: Sha256,
    /// The objects that it lists.
    pub objects: Vec<Object>,
}

/// The opened catalog of one repository.
pub struct Proven {
    connection: SqliteConnection,
    file: String,
}

/// What of a listing shows that an object was not written again; `None` where the store does not say.
pub fn mark(info: &ObjectInfo) -> Option<String> {
    let etag = info.etag.as_deref()?;
    Some(format!("{} {} {etag}", info.bytes, info.modified.as_microsecond()))
}

impl Proven {
    /// Opens the file; creates it where it does not exist or is damaged, and empties it where it is of
    /// another repository.
    ///
    /// # Errors
    /// `Io` where SQLite cannot open or use it.
    pub async fn open(file: &Path, repository: &str) -> Result<Proven> {
        let connection = sqlite::open(file, repository, &TABLES).await?;
        Ok(Proven { connection, file: file.display().to_string() })
    }

    /// The keys of those that were proven and have not been written since.
    pub async fn unchanged(&mut self, objects: &[(String, String)]) -> Result<HashSet<String>> {
        let sql = "SELECT o.key FROM json_each(?1) AS j JOIN object AS o \
                   ON o.key = j.value ->> 0 AND o.mark = j.value ->> 1";
        let query = sqlx::query(sql).bind(json(&objects)?);
        let rows = query.fetch_all(&mut self.connection).await.map_err(|e| wrong(&self.file, e))?;
        let key = |row: &sqlx::sqlite::SqliteRow| row.try_get(0);
        rows.iter().map(key).collect::<std::result::Result<_, _>>().map_err(|e| wrong(&self.file, e))
    }

    /// Records objects, each with its mark, that were read and found to be right.
    pub async fn add(&mut self, objects: &[(String, String)]) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO object SELECT value ->> 0, value ->> 1 FROM json_each(?1)";
        self.execute(sqlx::query(sql).bind(json(&objects)?)).await
    }

    /// Forgets objects that turned out to be damaged.
    pub async fn forget(&mut self, keys: &[String]) -> Result<()> {
        let sql = "DELETE FROM object WHERE key IN (SELECT value FROM json_each(?1))";
        self.execute(sqlx::query(sql).bind(json(&keys)?)).await
    }

    /// What the manifests of these snapshots say, each given with its mark, where they were read and have not
    /// been written since.
    pub async fn believed(
        &mut self,
        marks: &HashMap<SnapshotId, String>,
    ) -> Result<HashMap<SnapshotId, Believed>> {
        let marks: Vec<(&str, &str)> = marks.iter().map(|(id, mark)| (id.as_str(), mark.as_str())).collect();
        let sql = "SELECT m.id, m.believed FROM json_each(?1) AS j JOIN manifest AS m \
                   ON m.id = j.value ->> 0 AND m.mark = j.value ->> 1";
        let query = sqlx::query(sql).bind(json(&marks)?);
        let rows = query.fetch_all(&mut self.connection).await.map_err(|e| wrong(&self.file, e))?;
        let mut found = HashMap::new();
        for row in rows {
            let read = || Ok((row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?));
            let (id, text) = read().map_err(|e| wrong(&self.file, e))?;
            // One that cannot be read is read from the repository again.
            if let (Ok(id), Ok(believed)) = (id.parse(), serde_json::from_str(&text)) {
                found.insert(id, believed);
            }
        }
        Ok(found)
    }

    /// Records manifests, each with the mark that it had before it was read.
    pub async fn believe(&mut self, read: &[(&SnapshotId, &String, Believed)]) -> Result<()> {
        let row = |(id, mark, believed): &(&SnapshotId, &String, Believed)| {
            Ok((id.as_str().to_owned(), (*mark).clone(), json(believed)?))
        };
        let rows = read.iter().map(row).collect::<Result<Vec<_>>>()?;
        let sql = "INSERT OR REPLACE INTO manifest \
                   SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)";
        self.execute(sqlx::query(sql).bind(json(&rows)?)).await
    }

    async fn execute<'q>(
        &mut self,
        query: sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<()> {
        query.execute(&mut self.connection).await.map(drop).map_err(|e| wrong(&self.file, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;

    #[tokio::test]
    async fn a_manifest_counts_until_it_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("proven.sqlite");
        let id: SnapshotId = "20261120T015812Z-filestore-4f3a9c1e".parse().unwrap();
        let object =
            Object { name: "packs/0".to_owned(), bytes: 7, sha256: Sha256::of(b"0"), frames: Vec::new() };
        let believed = Believed { manifest_sha256: Sha256::of(b"manifest"), objects: vec![object] };
        let of = |mark: &str| HashMap::from([(id.clone(), mark.to_owned())]);
        let mut proven = Proven::open(&file, "one").await.unwrap();
        assert!(proven.believed(&of("1")).await.unwrap().is_empty());
        proven.believe(&[(&id, &"1".to_owned(), believed.clone())]).await.unwrap();
        assert_eq!(proven.believed(&of("1")).await.unwrap().get(&id), Some(&believed));
        assert!(proven.believed(&of("2")).await.unwrap().is_empty(), "it was written again");
        drop(proven);
        let mut other = Proven::open(&file, "two").await.unwrap();
        assert!(other.believed(&of("1")).await.unwrap().is_empty(), "of another repository");
    }

    #[tokio::test]
    async fn an_object_counts_until_it_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("proven.sqlite");
        let of = |mark: &str| vec![("a".to_owned(), mark.to_owned()), ("b".to_owned(), "1".to_owned())];
        let mut proven = Proven::open(&file, "one").await.unwrap();
        assert!(proven.unchanged(&of("1")).await.unwrap().is_empty());
        proven.add(&of("1")).await.unwrap();
        assert_eq!(proven.unchanged(&of("1")).await.unwrap().len(), 2);
        assert_eq!(proven.unchanged(&of("2")).await.unwrap(), HashSet::from(["b".to_owned()]));
        proven.forget(&["b".to_owned()]).await.unwrap();
        assert_eq!(proven.unchanged(&of("1")).await.unwrap(), HashSet::from(["a".to_owned()]));
        drop(proven);
        let mut other = Proven::open(&file, "two").await.unwrap();
        assert!(other.unchanged(&of("1")).await.unwrap().is_empty(), "of another repository");
        drop(other);
        for tail in ["-wal", "-shm", ""] {
            disk::remove_file(Path::new(&format!("{}{tail}", file.display()))).unwrap();
        }
        disk::replace_durable(&file, b"not SQLite, but long enough to be looked at as if it were a database")
            .unwrap();
        let mut again = Proven::open(&file, "two").await.unwrap();
        assert!(again.unchanged(&of("1")).await.unwrap().is_empty());
    }
}
