//! The environment of a child process: built for each kind of child, from what that kind needs.
//!
//! Our own environment may contain keys of the store and the passphrase of an identity, and everybody who
//! runs as a child's user, or runs code in it, can read the child's. So nothing is inherited: a child gets
//! the variables listed here for its kind, and those that its command sets by name.

use std::ffi::{OsStr, OsString};
use std::process::Command;

/// The kind of child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// This program, for work that decrypts nothing: scheduled backups, WAL that is pushed.
    Lifeboat,
    /// This program, where it decrypts: WAL that is fetched ahead.
    LifeboatThatOpens,
    /// A program of PostgreSQL: its command sets the variables of its connection.
    Program,
    /// kubectl: where its own configuration or its pod's account is, and the way out. No credentials of ours.
    Kubectl,
    /// A scratch server: it gets nothing of our environment, whoever runs it; its commands copy what they
    /// need out of a directory.
    ScratchServer,
    /// A server as our own user, which may call us to fetch WAL.
    Server,
    /// A server as another user. Secrets that it needs must be in files that this user can read: code of
    /// tenants may run there.
    ServerOfAnother,
}

/// Where programs and temporary files are; language and time zone.
const EVERYBODYS: [&str; 6] = ["PATH", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH"];
/// The user: files of a user are below the home directory.
const OF_THE_USER: [&str; 4] = ["HOME", "USER", "LOGNAME", "SHELL"];
/// How the store is reached.
const WAY_TO_THE_STORE: [&str; 6] =
    ["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];
/// The part of it that is not secret.
const PLACE_OF_THE_STORE: [&str; 6] = [
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_ACCOUNT_NAME",
];
/// The credentials of clouds, and where a machine or a pod gets its own.
const CREDENTIALS: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
const CREDENTIALS_BY_NAME: [&str; 4] = ["IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET"];
/// Our own variables: the configuration contains no secret, so only one of them does.
const OURS: &str = "LIFEBOAT_";
const PASSPHRASE: &str = "LIFEBOAT_PASSPHRASE";
/// Where kubectl finds its cluster, and in a pod the server.
const KUBECTLS: [&str; 2] = ["KUBECONFIG", "KUBERNETES_"];
/// Those of libpq: passwords, where no file is configured.
const LIBPQS: &str = "PG";
const DEBUGGING: [&str; 2] = ["RUST_BACKTRACE", "LLVM_PROFILE_FILE"];

/// Gives the command the environment of this kind; variables that it sets by name are kept.
pub fn clean(command: &mut Command, child: Child) {
    let set: Vec<(OsString, OsString)> =
        command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    let ours = std::env::vars_os().filter(|(name, value)| may_have(child, name, value));
    command.env_clear().envs(ours).envs(set);
}

fn may_have(child: Child, name: &OsStr, value: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let among = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
    if among(&EVERYBODYS) || name.starts_with("LC_") {
        return true;
    }
    let way = among(&WAY_TO_THE_STORE);
    let credentials = CREDENTIALS.iter().any(|begin| name.starts_with(begin)) || among(&CREDENTIALS_BY_NAME);
    let passphrase = name == PASSPHRASE;
    let ours = name.starts_with(OURS) && !passphrase;
    let user = among(&OF_THE_USER) || among(&DEBUGGING);
    match child {
        Child::Lifeboat => user || way || credentials || ours || name.starts_with(LIBPQS),
        Child::LifeboatThatOpens => user || way || credentials || ours || passphrase,
        Child::Program => among(&OF_THE_USER),
        Child::Kubectl => among(&OF_THE_USER) || way || KUBECTLS.iter().any(|begin| name.starts_with(begin)),
        Child::ScratchServer => false,
        Child::Server => user || way || credentials || ours || passphrase,
        // A proxy's URL may contain a password.
        Child::ServerOfAnother => {
            let holds_password = value.as_encoded_bytes().contains(&b'@');
            ours || among(&PLACE_OF_THE_STORE) || (way && !holds_password)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_gets_what_it_needs_and_no_secret_that_it_does_not() {
        use Child::*;
        let all = [Lifeboat, LifeboatThatOpens, Program, Kubectl, ScratchServer, Server, ServerOfAnother];
        let who = |name: &str| {
            let may = |child: &Child| may_have(*child, OsStr::new(name), OsStr::new("http://u:p@proxy"));
            all.into_iter().filter(may).collect::<Vec<_>>()
        };
        assert_eq!((who("PATH"), who("TZ"), who("LC_ALL")), (all.to_vec(), all.to_vec(), all.to_vec()));
        assert_eq!(who("HOME"), [Lifeboat, LifeboatThatOpens, Program, Kubectl, Server]);
        assert_eq!((who("KUBECONFIG"), who("KUBERNETES_SERVICE_HOST")), (vec![Kubectl], vec![Kubectl]));
        assert_eq!(who("LIFEBOAT_PASSPHRASE"), [LifeboatThatOpens, Server]);
        for secret in
            ["AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET", "GOOGLE_SERVICE_ACCOUNT_KEY", "IDENTITY_HEADER"]
        {
            assert_eq!(who(secret), [Lifeboat, LifeboatThatOpens, Server], "{secret}");
        }
        assert_eq!(who("LIFEBOAT_REPOSITORY_URL"), [Lifeboat, LifeboatThatOpens, Server, ServerOfAnother]);
        assert_eq!(who("AWS_REGION"), [Lifeboat, LifeboatThatOpens, Server, ServerOfAnother]);
        assert_eq!(
            who("HTTPS_PROXY"),
            [Lifeboat, LifeboatThatOpens, Kubectl, Server],
            "with a password in it"
        );
        assert_eq!(who("PGPASSWORD"), [Lifeboat], "a program is told its own");
        for foreign in [
            "NOTIFY_SOCKET",
            "CREDENTIALS_DIRECTORY",
            "VAULT_TOKEN",
            "SSH_AUTH_SOCK",
            "LD_PRELOAD",
            "PYTHONPATH",
        ] {
            assert_eq!(who(foreign), [], "{foreign}");
        }
    }

    #[test]
    fn what_a_command_sets_stays() {
        let mut command = Command::new("x");
        command.env("PGHOST", "here").env("PATH", "/only/this").env_remove("HOME");
        clean(&mut command, Child::Program);
        clean(&mut command, Child::Program);
        let set = |name: &str| {
            command.get_envs().find(|(n, _)| *n == name).and_then(|(_, v)| v).map(OsStr::to_owned)
        };
        assert_eq!(set("PGHOST").as_deref(), Some(OsStr::new("here")));
        assert_eq!(set("PATH").as_deref(), Some(OsStr::new("/only/this")));
    }
}
