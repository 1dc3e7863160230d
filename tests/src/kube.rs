//! A real Kubernetes of a test's own, from the folder that `TEST_KUBE` names: its `up`, `image` and `down`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Outcome, Program};

/// How long one may take to start: a minute with a node, more on a busy machine.
const UP_LIMIT: Duration = Duration::from_secs(400);
/// How long an image may take.
const IMAGE_LIMIT: Duration = Duration::from_secs(400);

/// A cluster; ended when dropped.
pub struct Kube {
    folder: PathBuf,
    dir: TempDir,
    kubeconfig: PathBuf,
}

impl Kube {
    /// A control plane; `None` where `TEST_KUBE` is not set.
    pub fn start() -> Option<Kube> {
        Kube::up(&[])
    }

    /// One with a node: pods run. Only root can start it.
    pub fn with_node() -> Option<Kube> {
        Kube::up(&["--node"])
    }

    fn up(more: &[&str]) -> Option<Kube> {
        let folder = PathBuf::from(std::env::var_os("TEST_KUBE")?);
        // The path is part of a socket's: short, whatever TEST_TMP says.
        let dir = tempfile::Builder::new().prefix("lb-kube-").tempdir_in("/tmp").unwrap();
        let mut kube = Kube { folder, dir, kubeconfig: PathBuf::new() }; // from here on `down` runs
        let up = Program::at(kube.folder.join("up")).arg(kube.dir.path()).args(more.to_vec());
        let told = up.env("HOME", kube.dir.path()).limit(UP_LIMIT).run().ok().stdout;
        kube.kubeconfig = PathBuf::from(told.lines().last().unwrap().trim());
        Some(kube)
    }

    /// The matching kubectl.
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("bin/kubectl")
    }

    /// The kubeconfig of its administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The address at which pods reach this machine; only with a node.
    pub fn address(&self) -> String {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let (_, server) = text.split_once("https://").unwrap();
        server.split(':').next().unwrap().to_owned()
    }

    /// Gives the node an image: pods use it by this name and tag.
    pub fn image(&self, name: &str, root: &Path) {
        let image = Program::at(self.folder.join("image")).args([self.dir.path().as_os_str(), name.as_ref()]);
        image.arg(root).limit(IMAGE_LIMIT).run().ok();
    }

    /// kubectl with these words, and this text on standard input.
    pub fn try_kubectl(&self, args: &[&str], input: &str) -> Outcome {
        let kubectl = Program::at(self.program())
            .env("HOME", self.dir.path())
            .arg("--kubeconfig")
            .arg(&self.kubeconfig);
        kubectl.args(args.to_vec()).input(input).run()
    }

    /// The same, which must succeed; what it printed.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str], input: &str) -> String {
        self.try_kubectl(args, input).ok().stdout
    }
}

impl Drop for Kube {
    fn drop(&mut self) {
        let _ = std::process::Command::new(self.folder.join("down")).arg(self.dir.path()).output();
    }
}
