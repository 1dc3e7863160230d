//! Which files of filestores the repository already holds: following checks this before it stores one. SQLite
//! in the state directory; if it is lost, files are stored once more and nothing else happens.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row, Sqlite};

use crate::catalog::sqlite::{self, BUSY_LIMIT, Tables, json};
use crate::disk;
use crate::error::{Error, Result};
use crate::names::{SnapshotId, TenantName};

const TABLES: Tables = Tables {
    create: &[
        "CREATE TABLE IF NOT EXISTS home (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT",
        // For a batch, each tenant that had the file. Empty where an older program stored the batch: it did
        // not record the tenant, and the file counts for every tenant.
        "CREATE TABLE IF NOT EXISTS file (shard TEXT NOT NULL, path TEXT NOT NULL, tenant TEXT NOT NULL, \
     home INTEGER NOT NULL, PRIMARY KEY (shard, path, tenant)) STRICT, WITHOUT ROWID",
    ],
    empty: &["DELETE FROM file", "DELETE FROM home"],
};

/// The opened catalog of one repository.
pub struct Held {
    connection: SqliteConnection,
    file: String,
}

impl Held {
    /// Opens the file; creates it where it does not exist or is damaged, and empties it where it is of
    /// another repository.
    ///
    /// # Errors
    /// `Io` where SQLite cannot open or use it.
    pub async fn open(file: &Path, repository: &str) -> Result<Held> {
        let opened = sqlite::open(file, repository, &TABLES).await.map_err(|e| e.effect(EFFECT));
        Ok(Held { connection: opened?, file: file.display().to_string() })
    }

    /// Records that `home` holds these files of `tenant`.
    pub async fn add(&mut self, tenant: &TenantName, home: &SnapshotId, paths: &[&str]) -> Result<()> {
        let list = json(&paths)?;
        let failed = |e| wrong(&self.file, e);
        let mut all = self.connection.begin().await.map_err(failed)?;
        sqlx::query("INSERT OR IGNORE INTO home (id) VALUES (?1)")
            .bind(home.as_str())
            .execute(&mut *all)
            .await
            .map_err(failed)?;
        sqlx::query(
            "INSERT OR REPLACE INTO file SELECT substr(value, 1, instr(value, '/') - 1), value, ?2, \
             (SELECT number FROM home WHERE id = ?3) FROM json_each(?1)",
        )
        .bind(list)
        .bind(tenant.as_str())
        .bind(home.as_str())
        .execute(&mut *all)
        .await
        .map_err(failed)?;
        all.commit().await.map_err(failed)
    }

    /// Removes files that only snapshots hold that are no longer in `whole`, and these snapshots where they
    /// are not even in `listed`. A snapshot that is listed but not whole is kept: `lifeboat verify` reports
    /// it.
    pub async fn keep_only(&mut self, listed: &[SnapshotId], whole: &[SnapshotId]) -> Result<()> {
        let text = |ids: &[SnapshotId]| json(&ids.iter().map(SnapshotId::as_str).collect::<Vec<_>>());
        let (listed, whole) = (text(listed)?, text(whole)?);
        let gone = "DELETE FROM file WHERE home NOT IN \
                    (SELECT number FROM home WHERE id IN (SELECT value FROM json_each(?1)))";
        self.execute(sqlx::query(gone).bind(whole)).await?;
        let gone = "DELETE FROM home WHERE id NOT IN (SELECT value FROM json_each(?1))";
        self.execute(sqlx::query(gone).bind(listed)).await
    }

    /// Forgets files that only these snapshots hold: they turned out to be damaged or gone.
    pub async fn forget(&mut self, homes: &[SnapshotId]) -> Result<()> {
        let homes = json(&homes.iter().map(SnapshotId::as_str).collect::<Vec<_>>())?;
        let gone = "DELETE FROM file WHERE home IN \
                    (SELECT number FROM home WHERE id IN (SELECT value FROM json_each(?1)))";
        self.execute(sqlx::query(gone).bind(homes)).await
    }

    /// The snapshots and batches in which some file was found. Nothing is created or changed; empty where
    /// there is no such file, or it is of another repository.
    ///
    /// # Errors
    /// `Io` where SQLite cannot open or use it.
    pub async fn homes(file: &Path, repository: &str) -> Result<BTreeSet<SnapshotId>> {
        let sql = "SELECT id, id FROM home WHERE EXISTS (SELECT 1 FROM about WHERE repository = ?1)";
        let homes = Held::asked(file, sqlx::query(sql).bind(repository)).await?;
        Ok(homes.into_iter().filter_map(|(id, _)| id.parse().ok()).collect())
    }

    /// Where the files `names` of a tenant are held; nothing is created or changed, as above.
    ///
    /// # Errors
    /// `Io` where SQLite cannot open or use it.
    pub async fn of_tenant(
        file: &Path,
        repository: &str,
        tenant: &TenantName,
        names: &HashSet<String>,
    ) -> Result<Vec<(String, SnapshotId)>> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let sql = "SELECT f.path, h.id FROM json_each(?1) AS j JOIN file AS f \
                   ON f.shard = substr(j.value, 1, instr(j.value, '/') - 1) AND f.path = j.value AND f.tenant = ?2 \
                   JOIN home AS h ON h.number = f.home WHERE EXISTS (SELECT 1 FROM about WHERE repository = ?3)";
        let query = sqlx::query(sql).bind(json(&names)?).bind(tenant.as_str()).bind(repository);
        let homes = Held::asked(file, query).await?;
        Ok(homes.into_iter().filter_map(|(path, id)| Some((path, id.parse().ok()?))).collect())
    }

    async fn asked<'q>(
        file: &Path,
        query: sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<Vec<(String, String)>> {
        if disk::metadata(file)?.is_none() {
            return Ok(Vec::new());
        }
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(BUSY_LIMIT);
        let file = file.display().to_string();
        let failed = |e| wrong(&file, e);
        let mut connection = options.connect().await.map_err(failed)?;
        let rows = query.fetch_all(&mut connection).await.map_err(failed)?;
        let pair = |row: &sqlx::sqlite::SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(pair).collect::<std::result::Result<_, _>>().map_err(failed)
    }

    /// The files of one folder (`3f`) that need not be stored, each with its tenant, or an empty one for all
    /// tenants.
    pub async fn of_shard(&mut self, shard: &str) -> Result<HashSet<(String, String)>> {
        let query = sqlx::query("SELECT tenant, path FROM file WHERE shard = ?1").bind(shard);
        self.pairs(query).await
    }

    /// Those of `paths` that need not be stored, each with its tenant, or an empty one for all tenants.
    pub async fn of(&mut self, paths: &[&str]) -> Result<HashSet<(String, String)>> {
        let sql = "SELECT f.tenant, f.path FROM json_each(?1) AS j JOIN file AS f \
                   ON f.shard = substr(j.value, 1, instr(j.value, '/') - 1) AND f.path = j.value";
        let query = sqlx::query(sql).bind(json(&paths)?);
        self.pairs(query).await
    }

    async fn pairs<'q>(
        &mut self,
        query: sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<HashSet<(String, String)>> {
        let rows = query.fetch_all(&mut self.connection).await.map_err(|e| wrong(&self.file, e))?;
        let pair = |row: &sqlx::sqlite::SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(pair).collect::<std::result::Result<_, _>>().map_err(|e| wrong(&self.file, e))
    }

    async fn execute<'q>(
        &mut self,
        query: sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<()> {
        query.execute(&mut self.connection).await.map(drop).map_err(|e| wrong(&self.file, e))
    }
}

/// Whether such an answer contains a tenant's file.
pub fn holds(held: &HashSet<(String, String)>, tenant: &TenantName, path: &str) -> bool {
    let of = |tenant: &str| held.contains(&(tenant.to_owned(), path.to_owned()));
    of("") || of(tenant.as_str())
}

/// What it means that the file cannot be used.
const EFFECT: &str =
    "it is not known which files the repository holds, so new files are not stored as they come";

fn wrong(file: &str, e: sqlx::Error) -> Error {
    sqlite::wrong(file, e).effect(EFFECT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3f/3fa0000000000000000000000000000000000000";
    const B: &str = "3f/3fb0000000000000000000000000000000000000";

    #[tokio::test]
    async fn what_is_held_is_known_until_its_home_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("held.sqlite");
        let (one, two): (TenantName, TenantName) = ("shop".parse().unwrap(), "mill".parse().unwrap());
        let backup: SnapshotId = "20261120T015812Z-filestore-4f3a9c1e".parse().unwrap();
        let batch: SnapshotId = "20261121T015812Z-arrivals-4f3a9c1e".parse().unwrap();
        let mut held = Held::open(&file, "r1").await.unwrap();
        held.add(&one, &backup, &[A]).await.unwrap();
        held.add(&two, &batch, &[B]).await.unwrap();
        let all = held.of(&[A, B]).await.unwrap();
        assert_eq!(all, held.of_shard("3f").await.unwrap());
        assert!(holds(&all, &one, A) && !holds(&all, &two, A), "a backup is one tenant's");
        assert!(holds(&all, &two, B) && !holds(&all, &one, B), "so is what a batch holds of him");
        let old = "INSERT INTO file SELECT '3f', ?1, '', number FROM home WHERE id = ?2";
        held.execute(sqlx::query(old).bind(B).bind(batch.as_str())).await.unwrap();
        let all = held.of(&[A, B]).await.unwrap();
        assert!(holds(&all, &one, B) && holds(&all, &two, B), "batches of older programs serve all");
        assert_eq!(Held::homes(&file, "r1").await.unwrap().len(), 2);
        held.keep_only(&[backup.clone(), batch.clone()], std::slice::from_ref(&backup)).await.unwrap();
        assert_eq!(
            Held::homes(&file, "r1").await.unwrap().len(),
            2,
            "a batch without a manifest stays known"
        );
        assert!(Held::homes(&file, "r2").await.unwrap().is_empty());
        let left = held.of(&[A, B]).await.unwrap();
        assert!(holds(&left, &one, A) && !holds(&left, &two, B));
        let names = [A, B].map(str::to_owned).into();
        let of_one = Held::of_tenant(&file, "r1", &one, &names).await.unwrap();
        assert_eq!(of_one, [(A.to_owned(), backup.clone())]);
        assert!(Held::of_tenant(&file, "r1", &two, &names).await.unwrap().is_empty());
        held.keep_only(std::slice::from_ref(&backup), std::slice::from_ref(&backup)).await.unwrap();
        assert_eq!(Held::homes(&file, "r1").await.unwrap(), BTreeSet::from([backup]));
        drop(held);
        let mut other = Held::open(&file, "r2").await.unwrap();
        assert!(other.of(&[A, B]).await.unwrap().is_empty(), "another repository holds nothing");
        drop(other);
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(5_000).unwrap();
        assert!(Held::open(&file, "r2").await.unwrap().of(&[A]).await.unwrap().is_empty());
    }
}
