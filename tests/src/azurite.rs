//! Azure's blob storage as Microsoft's own emulator azurite serves it: signatures, SAS permissions,
//! conditions and pages are checked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::emulator::{self, Emulator};

/// The container that is there from the start.
pub const CONTAINER: &str = "lifeboat";
/// The storage account.
pub const ACCOUNT: &str = "acme";
const KEY: &[u8] = b"the key of a storage account of a test, which is 64 bytes long..";
/// The version of the service whose SAS are made here.
const VERSION: &str = "2020-08-04";
/// Names the program; `azurite-blob` on the PATH does as well.
const VARIABLE: &str = "TEST_AZURITE";

/// A running azurite with one account and one container. Stopped when dropped.
pub struct Azurite {
    emulator: Emulator,
    _dir: TempDir,
}

impl Azurite {
    /// Starts it; the error says why it cannot.
    pub fn start() -> Result<Azurite, String> {
        let program = emulator::find(VARIABLE, "azurite-blob", "azurite of npm")?;
        let dir = tempfile::Builder::new().prefix("lbaz-").tempdir().unwrap();
        let emulator = Emulator::start(|port| {
            let mut command = Command::new(&program);
            command
                .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
                .args(["--silent", "--inMemoryPersistence", "--disableTelemetry"])
                .current_dir(dir.path())
                .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", Azurite::key()));
            command
        });
        let azurite = Azurite { emulator, _dir: dir };
        let container = format!("/{ACCOUNT}/{CONTAINER}?restype=container&{}", account_sas("rwdlc"));
        let answer = azurite.send("PUT", &container);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        Ok(azurite)
    }

    /// Where it listens, with the account: `http://127.0.0.1:<port>/acme`.
    pub fn endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.emulator.address)
    }

    /// The account's key.
    pub fn key() -> String {
        Base64::encode_string(KEY)
    }

    /// A repository address in its container.
    pub fn url(&self, prefix: &str) -> String {
        format!("az://{CONTAINER}/{prefix}")
    }

    /// The account's connection string.
    pub fn connection_string(&self) -> String {
        let (endpoint, key) = (self.endpoint(), Azurite::key());
        format!(
            "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={endpoint};"
        )
    }

    /// A SAS token for the container with these permissions (`rwl`), as `az storage container generate-sas`
    /// makes.
    pub fn sas(&self, permissions: &str) -> String {
        self.sas_until(permissions, "2099-01-01T00:00:00Z")
    }

    /// [`Azurite::sas`] with an end (`2026-11-28T15:00:00Z`).
    pub fn sas_until(&self, permissions: &str, end: &str) -> String {
        let resource = format!("/blob/{ACCOUNT}/{CONTAINER}");
        let lines = [permissions, "", end, &resource, "", "", "", VERSION, "c", "", "", "", "", "", ""];
        let signature = sign(&lines.join("\n"));
        format!("sp={permissions}&se={}&sv={VERSION}&sr=c&sig={signature}", end.replace(':', "%3A"))
    }

    /// Sends a request without a body; gives the whole answer.
    fn send(&self, method: &str, target: &str) -> String {
        let address = self.emulator.address;
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nx-ms-version: {VERSION}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// A SAS token of the whole account.
fn account_sas(permissions: &str) -> String {
    let end = "2099-01-01T00:00:00Z";
    let lines = [ACCOUNT, permissions, "b", "sco", "", end, "", "", VERSION, ""];
    let signature = sign(&lines.join("\n"));
    format!("sv={VERSION}&ss=b&srt=sco&sp={permissions}&se={}&sig={signature}", end.replace(':', "%3A"))
}

/// The signature of a text by the account's key (HMAC-SHA256, RFC 2104), as it stands in a URL.
fn sign(text: &str) -> String {
    let pad = |with: u8| KEY.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
    Base64::encode_string(&outer).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
