//! Shows a job's [`Progress`]: a bar with rate and ETA on a terminal, a plain line now and then
//! elsewhere. A thread does it, so that a busy runtime cannot make it stall.

use std::ops::Deref;
use std::sync::PoisonError;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::bar::BAR;
use super::print;
use crate::clock;
use crate::names::bytes_text;
use crate::progress::{Progress, Snapshot};

const BAR_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing, not even notes.
    Quiet,
    /// Notes only.
    Notes,
    /// A line every ten seconds.
    Lines,
    /// A bar.
    Bar,
}

impl Mode {
    /// The way that fits flags and standard error.
    pub fn choose(quiet: bool, no_progress: bool, terminal: bool) -> Mode {
        match (quiet, no_progress, terminal) {
            (true, _, _) => Mode::Quiet,
            (_, true, _) => Mode::Notes,
            (_, _, true) => Mode::Bar,
            _ => Mode::Lines,
        }
    }
}

/// A job whose progress is on the screen until this is dropped. Give the job a clone of what it
/// derefs to.
pub struct Shown {
    progress: Progress,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Shown {
    /// Begins to show a job.
    pub fn start(mode: Mode, label: impl Into<String>, bytes_total: Option<u64>) -> Shown {
        let progress = Progress::new(label, bytes_total);
        let thread = (mode != Mode::Quiet).then(|| {
            let (stop, stopped) = channel();
            let shown = progress.clone();
            let every = if mode == Mode::Bar { BAR_EVERY } else { BAR_EVERY * 5 };
            let draw = move || {
                let mut screen = Screen::new(mode, &shown);
                while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    screen.draw(&shown);
                }
                screen.end(&shown);
            };
            (stop, std::thread::spawn(draw))
        });
        Shown { progress, thread }
    }

    /// Takes it off the screen, after the notes that are left.
    pub fn finish(self) {}
}

impl Deref for Shown {
    type Target = Progress;
    fn deref(&self) -> &Progress {
        &self.progress
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join(); // its panic was reported, and the job does not need it
        }
    }
}

struct Screen {
    bar: Option<ProgressBar>,
    lines: bool,
    begun: Instant,
    drawn: Instant,
    drawn_bytes: u64,
    any: bool,
    /// What the bar's style is for.
    total_known: bool,
    moved: bool,
}

impl Screen {
    fn new(mode: Mode, progress: &Progress) -> Screen {
        let now = progress.snapshot();
        let bar = (mode == Mode::Bar).then(|| {
            let bar = ProgressBar::with_draw_target(now.bytes_total, ProgressDrawTarget::hidden())
                .with_style(style(&now))
                .with_message(heading(&now));
            bar.set_draw_target(ProgressDrawTarget::stderr());
            *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
            bar
        });
        let begun = clock::instant();
        let (total_known, moved) = (now.bytes_total.is_some(), moved(&now));
        let lines = mode == Mode::Lines;
        Screen { bar, lines, begun, drawn: begun, drawn_bytes: 0, any: false, total_known, moved }
    }

    fn draw(&mut self, progress: &Progress) {
        progress.take_notes().iter().for_each(|note| print::err(note));
        let now = progress.snapshot();
        if let Some(bar) = &self.bar {
            if now.bytes_total.is_some() != self.total_known || moved(&now) != self.moved {
                (self.total_known, self.moved) = (now.bytes_total.is_some(), moved(&now));
                bar.set_style(style(&now));
            }
            if let Some(total) = now.bytes_total {
                bar.set_length(total);
            }
            bar.set_position(now.bytes);
            bar.set_message(heading(&now));
            bar.tick();
        }
        if self.lines && self.drawn.elapsed() >= LINE_EVERY {
            let rate = rate(now.bytes.saturating_sub(self.drawn_bytes), self.drawn.elapsed());
            print::err(&line(&now, rate));
            (self.drawn, self.drawn_bytes, self.any) = (clock::instant(), now.bytes, true);
        }
    }

    fn end(&mut self, progress: &Progress) {
        if let Some(bar) = self.bar.take() {
            *BAR.lock().unwrap_or_else(PoisonError::into_inner) = None;
            bar.finish_and_clear();
        }
        progress.take_notes().iter().for_each(|note| print::err(note));
        if self.any {
            let now = progress.snapshot();
            let took = self.begun.elapsed();
            let (done, rate) = (bytes_text(now.bytes), bytes_text(rate(now.bytes, took)));
            print::err(&format!("{}: {done} in {}, {rate}/s", now.label, clock::span_text(took)));
        }
    }
}

/// Whether every byte is where it should be. The stage names what follows; a rate of 0 or an ETA would be
/// wrong.
fn moved(now: &Snapshot) -> bool {
    now.bytes_total.is_some_and(|total| now.bytes >= total)
}

/// Without a known total there is nothing to fill a bar with.
fn template(now: &Snapshot) -> &'static str {
    match now.bytes_total {
        Some(_) if moved(now) => "{spinner} {msg}: {binary_bytes}, {elapsed} so far",
        Some(_) => {
            "{msg} [{bar:20}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, ETA {eta}"
        }
        None => "{spinner} {msg}: {binary_bytes}, {binary_bytes_per_sec}",
    }
}

fn style(now: &Snapshot) -> ProgressStyle {
    let style = ProgressStyle::with_template(template(now));
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

fn heading(now: &Snapshot) -> String {
    match now.stage.as_str() {
        "" => now.label.clone(),
        stage => format!("{} ({stage})", now.label),
    }
}

fn rate(bytes: u64, took: Duration) -> u64 {
    (bytes as f64 / took.as_secs_f64().max(0.001)) as u64
}

/// `backup retail_north (dump): 1.2 GiB of 3.4 GiB, 812 files, 85.0 MiB/s, ETA 26 s`.
fn line(now: &Snapshot, bytes_per_second: u64) -> String {
    let mut text = format!("{}: {}", heading(now), bytes_text(now.bytes));
    if let Some(total) = now.bytes_total {
        text.push_str(&format!(" of {}", bytes_text(total)));
    }
    if now.files > 0 {
        text.push_str(&format!(", {} files", now.files));
    }
    if moved(now) {
        return text;
    }
    text.push_str(&format!(", {}/s", bytes_text(bytes_per_second)));
    let left = now.bytes_total.map(|total| total.saturating_sub(now.bytes));
    if let (Some(left), true) = (left, bytes_per_second > 0) {
        text.push_str(&format!(
            ", ETA {}",
            clock::span_text(Duration::from_secs(left.div_ceil(bytes_per_second)))
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_still() {
        let mut now = Snapshot {
            label: "backup retail_north".into(),
            bytes: 1200 << 20,
            bytes_total: Some(3400 << 20),
            ..Snapshot::default()
        };
        let said = line(&now, 85 << 20);
        assert_eq!(said, "backup retail_north: 1.2 GiB of 3.3 GiB, 85.0 MiB/s, ETA 26 s");
        now.bytes_total = Some(1200 << 20);
        now.stage = "pg_restore, 120 of 507 entries".into();
        assert_eq!(line(&now, 0), "backup retail_north (pg_restore, 120 of 507 entries): 1.2 GiB of 1.2 GiB");
        now.bytes_total = None;
        (now.files, now.stage) = (3, "dump".into());
        assert_eq!(line(&now, 0), "backup retail_north (dump): 1.2 GiB, 3 files, 0 B/s");
    }

    #[test]
    fn flags_and_terminal_choose() {
        assert_eq!(Mode::choose(true, false, true), Mode::Quiet);
        assert_eq!(Mode::choose(false, true, true), Mode::Notes);
        assert_eq!(Mode::choose(false, false, true), Mode::Bar);
        assert_eq!(Mode::choose(false, false, false), Mode::Lines);
    }

    #[test]
    fn the_templates_are_sound_and_a_thread_ends_with_its_job() {
        for (bytes, bytes_total) in [(0, None), (0, Some(1)), (1, Some(1))] {
            let template = template(&Snapshot { bytes, bytes_total, ..Snapshot::default() });
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
        let shown = Shown::start(Mode::Notes, "job", None);
        shown.add_bytes(1);
        shown.finish();
    }
}
