//! A program at a terminal of its own, and somebody who types there.

use std::fs::File;
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::Program;
use crate::children::{self, Gathering};

/// How long a program may take until it says what is waited for.
const LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to its end, a restore with all that belongs to it.
const END_LIMIT: Duration = Duration::from_secs(240);
/// How long the last words may take through the terminal.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A program that runs at a terminal. Killed when dropped.
pub struct AtTerminal {
    child: Child,
    keyboard: File,
    screen: Gathering,
}

impl AtTerminal {
    /// Starts a program whose standard input, output and error, and `/dev/tty`, are a terminal.
    pub fn start(program: Program) -> AtTerminal {
        let pty = nix::pty::openpty(None, None).unwrap();
        let slave = File::from(pty.slave);
        let mut command = program.in_session("--ctty").command();
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        let child = command.stderr(Stdio::from(slave)).spawn().unwrap();
        let keyboard = File::from(pty.master);
        let screen = children::collect(keyboard.try_clone().unwrap());
        AtTerminal { child, keyboard, screen }
    }

    /// All that was on the screen so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.so_far()).into_owned()
    }

    /// Waits until this is on the screen, then types.
    #[track_caller]
    pub fn answer(&mut self, question: &str, answer: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.screen().contains(question) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{question:?}: {ended:?}\n{}",
                self.screen()
            );
            std::thread::sleep(children::POLL);
        }
        // what is typed while the program turns the echo off is thrown away, as of a person
        std::thread::sleep(Duration::from_millis(300));
        self.keyboard.write_all(answer.as_bytes()).unwrap();
    }

    /// Waits for its end: the exit code, and all that was on the screen.
    #[track_caller]
    pub fn finish(mut self) -> (Option<i32>, String) {
        let Some(status) = children::wait(&mut self.child, END_LIMIT) else {
            panic!("it still runs after {END_LIMIT:?}: {}", self.screen());
        };
        let _ = self.screen.all(LAST_WORDS);
        (status.code(), self.screen())
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
