//! Reports changes in directories, as the kernel sees them (inotify(7)).

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::beneath::Dir;
use crate::error::{Error, Kind, Result};

/// About 250 events at a time.
const BUFFER_BYTES: usize = 16 << 10;
/// Buffers that nobody has read yet. When they are full, the kernel's own queue fills, and then overflows.
const BUFFERS_WAITING_MAX: usize = 16;

/// Adds directories to the watch, from any thread.
#[derive(Clone)]
pub struct Adder(Arc<OwnedFd>);

/// Watches directories, each by a number.
pub struct Watcher {
    adder: Adder,
    /// A watch that reports nothing except its own removal: that ends the thread.
    end: i32,
    events: mpsc::Receiver<Result<Vec<Event>>>,
    reader: Option<JoinHandle<()>>,
}

/// The result for one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is watched, under this number; the same one when it is added again.
    Watched(i32),
    /// The kernel watches no more of them for this user (fs.inotify.max_user_watches).
    LimitReached,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file was closed after writing, or was renamed to this name.
    File(i32, String),
    /// A directory was created or moved here.
    DirCreated(i32, String),
    /// A directory was removed or moved away.
    DirRemoved(i32, String),
    /// The number belongs to no directory any more.
    Unwatched(i32),
    /// The kernel dropped events: anything may have happened.
    Overflow,
}

impl Watcher {
    /// A watcher without directories.
    ///
    /// # Errors
    /// `Io` where the kernel allows no more (fs.inotify.max_user_instances).
    pub fn new() -> Result<Watcher> {
        let failed = |e: std::io::Error| Error::new(Kind::Io, "cannot watch directories").because(e);
        let fd = Arc::new(inotify::init(CreateFlags::CLOEXEC).map_err(|e| failed(e.into()))?);
        let end = inotify::add_watch(&fd, "/", WatchFlags::DELETE_SELF).map_err(|e| failed(e.into()))?;
        let (sender, events) = mpsc::channel(BUFFERS_WAITING_MAX);
        let source = fd.clone();
        let reader = std::thread::Builder::new().name("watch".to_owned());
        let reader = reader.spawn(move || read_all(&source, end, &sender)).map_err(failed)?;
        Ok(Watcher { adder: Adder(fd), end, events, reader: Some(reader) })
    }

    /// The handle that adds directories.
    pub fn adder(&self) -> &Adder {
        &self.adder
    }

    /// Waits for events. Cancel-safe.
    ///
    /// # Errors
    /// Where the kernel reports nothing any more.
    pub async fn events(&mut self) -> Result<Vec<Event>> {
        let gone = || Err(Error::new(Kind::Internal, "the thread that watches directories ended"));
        self.events.recv().await.unwrap_or_else(gone)
    }
}

impl Adder {
    /// Watches `dir`, but not its subdirectories. By its handle: a path may lead elsewhere by now.
    ///
    /// # Errors
    /// `Denied` or `Io`, naming it.
    pub fn add(&self, dir: &Dir) -> Result<Added> {
        let events = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        let exactly_this = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
        match inotify::add_watch(&self.0, exactly_this, events) {
            Ok(number) => Ok(Added::Watched(number)),
            Err(Errno::NOSPC) => Ok(Added::LimitReached),
            Err(e) => Err(Error::file("watch", dir.path(), e.into())),
        }
    }

    /// Stops watching it.
    pub fn remove(&self, number: i32) {
        let _ = inotify::remove_watch(&self.0, number); // an error means that it is already removed
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.events.close();
        self.adder.remove(self.end);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join(); // a panic of it was already reported
        }
    }
}

/// Reads until nobody takes the events.
fn read_all(fd: &OwnedFd, end: i32, sender: &mpsc::Sender<Result<Vec<Event>>>) {
    let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
    let mut reader = inotify::Reader::new(fd, &mut buffer);
    let mut events = Vec::new();
    loop {
        match reader.next().map(|event| read(&event)) {
            Ok(Some(Event::Unwatched(number))) if number == end => return,
            Ok(event) => events.extend(event),
            Err(Errno::INTR) => continue,
            Err(e) => {
                let e =
                    Error::new(Kind::Io, "cannot read file system events").because(std::io::Error::from(e));
                let _ = sender.blocking_send(Err(e)); // that nobody takes it is no error
                return;
            }
        }
        let told = reader.is_buffer_empty() && !events.is_empty();
        if told && sender.blocking_send(Ok(std::mem::take(&mut events))).is_err() {
            return;
        }
    }
}

fn read(event: &inotify::Event<'_>) -> Option<Event> {
    let flags = event.events();
    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        return Some(Event::Overflow);
    }
    if flags.contains(ReadFlags::IGNORED) {
        return Some(Event::Unwatched(event.wd()));
    }
    // A name that is not UTF-8 is not one of Odoo's.
    let name = OsStr::from_bytes(event.file_name()?.to_bytes()).to_str()?.to_owned();
    let came = flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
    match flags.contains(ReadFlags::ISDIR) {
        true if came => Some(Event::DirCreated(event.wd(), name)),
        true => Some(Event::DirRemoved(event.wd(), name)),
        false if flags.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) => {
            Some(Event::File(event.wd(), name))
        }
        false => None, // a file that is still being written, or was removed
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // the test creates files directly
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn files_count_when_they_are_closed_and_directories_when_they_come() {
        let dir = tempfile::tempdir().unwrap();
        let mut watcher = Watcher::new().unwrap();
        let handle = Dir::open(dir.path()).unwrap();
        let Added::Watched(number) = watcher.adder().add(&handle).unwrap() else { panic!("not watched") };
        drop(handle); // or the directory stays until it is closed
        fs::write(dir.path().join("a"), "1").unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
        fs::remove_file(dir.path().join("b")).unwrap();
        fs::remove_dir(dir.path().join("d")).unwrap();
        fs::remove_dir(dir.path()).unwrap();
        let file = |name: &str| Event::File(number, name.to_owned());
        let (came, went) = (Event::DirCreated(number, "d".into()), Event::DirRemoved(number, "d".into()));
        let expected = [file("a"), came, file("b"), went, Event::Unwatched(number)];
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            seen.extend(watcher.events().await.unwrap());
        }
        assert_eq!(seen, expected);
    }
}
