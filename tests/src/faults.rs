//! What can go wrong between a program and object storage, planned by a test at run time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::children::POLL;

/// How many served requests are remembered.
const LOG_MAX: usize = 200_000;
/// How long a test waits for a request to meet its fault.
const FIRES_WITHIN: Duration = Duration::from_secs(60);

/// One request as it arrived, and how it was answered.
#[derive(Clone, Debug)]
pub struct Served {
    /// GET, PUT, ...
    pub method: String,
    /// `/bucket/key`, decoded.
    pub path: String,
    /// What followed the question mark, as sent.
    pub query: String,
    /// The status that was answered; none while it is under way, hung, or cut off.
    pub status: Option<u16>,
}

impl Served {
    /// Path and query in one, which a [`Fault`]'s text is looked for in.
    pub fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    fn matches(&self, method: &str, text: &str) -> bool {
        (method == "*" || method == self.method) && self.target().contains(text)
    }
}

type Pick = Arc<dyn Fn(u64) -> bool + Send + Sync>;
type Call = Arc<dyn Fn(&Served) + Send + Sync>;
/// Which keys of a listing.
pub(crate) type Keys = Arc<dyn Fn(&str) -> bool + Send + Sync>;
type Which = Arc<dyn Fn(&Served) -> bool + Send + Sync>;

/// What a fault does.
#[derive(Clone)]
pub(crate) enum Action {
    /// Answers this status; `landed`: after the server has done what was asked.
    Respond { status: u16, landed: bool },
    /// Answers this status and body: what the server behind cannot be brought to say.
    Answer { status: u16, body: &'static str },
    /// Never answers; `landed`: after the server has done what was asked.
    Hang { landed: bool },
    /// Drops the connection; `landed`: after the server has done what was asked.
    Drop { landed: bool },
    /// Drops the connection after this many bytes of the answer's body.
    CutAnswer(u64),
    /// Drops the connection after this many bytes of the request's body.
    CutRequest(u64),
    /// Flips the lowest bit of this byte of the answer's body.
    Flip(u64),
    /// Leaves keys, and folders, out of a listing.
    LeaveOut(Keys),
    /// Waits before anything is done.
    Delay(Duration),
    /// Lets bodies pass at this rate only, both ways.
    Slow { bytes_per_second: u64 },
    /// Runs a callback; `landed`: after the server has done what was asked, before it answers.
    Call { call: Call, landed: bool },
}

/// One planned fault: for which requests, for which of those, and what happens.
#[derive(Clone)]
pub struct Fault {
    requests: Requests,
    action: Action,
}

/// Requests that a fault is planned for. Made by [`on`].
#[derive(Clone)]
pub struct Requests {
    method: String,
    text: String,
    which: Which,
    pick: Pick,
}

/// Requests of this method (`*`: any) whose decoded path or query contains `text` (`""`: any).
pub fn on(method: &str, text: &str) -> Requests {
    Requests {
        method: method.to_owned(),
        text: text.to_owned(),
        which: Arc::new(|_| true),
        pick: Arc::new(|_| true),
    }
}

impl Requests {
    /// Only those of which the function says so.
    pub fn only(self, which: impl Fn(&Served) -> bool + Send + Sync + 'static) -> Requests {
        Requests { which: Arc::new(which), ..self }
    }

    fn are_meant(&self, served: &Served) -> bool {
        served.matches(&self.method, &self.text) && (self.which)(served)
    }

    /// Only the `n`th matching request, counted from 1 since the fault was planned.
    pub fn nth(self, n: u64) -> Requests {
        self.pick(move |i| i == n)
    }

    /// The first `n` matching requests.
    pub fn first(self, n: u64) -> Requests {
        self.pick(move |i| i <= n)
    }

    /// The `n`th matching request and all later ones.
    pub fn from(self, n: u64) -> Requests {
        self.pick(move |i| i >= n)
    }

    /// Those whose number (from 1) the function picks: for seeded schedules.
    pub fn pick(self, pick: impl Fn(u64) -> bool + Send + Sync + 'static) -> Requests {
        Requests { pick: Arc::new(pick), ..self }
    }

    /// Answers this status instead of doing what was asked.
    pub fn respond(self, status: u16) -> Fault {
        self.act(Action::Respond { status, landed: false })
    }

    /// Does what was asked, and answers this status all the same: fail after landing.
    pub fn land_and_respond(self, status: u16) -> Fault {
        self.act(Action::Respond { status, landed: true })
    }

    /// Answers this status and body instead of doing what was asked.
    pub fn answer(self, status: u16, body: &'static str) -> Fault {
        self.act(Action::Answer { status, body })
    }

    /// Never answers, and does nothing.
    pub fn hang(self) -> Fault {
        self.act(Action::Hang { landed: false })
    }

    /// Does what was asked and never answers.
    pub fn land_and_hang(self) -> Fault {
        self.act(Action::Hang { landed: true })
    }

    /// Drops the connection without an answer, and does nothing.
    pub fn drop_connection(self) -> Fault {
        self.act(Action::Drop { landed: false })
    }

    /// Does what was asked and drops the connection without an answer.
    pub fn land_and_drop_connection(self) -> Fault {
        self.act(Action::Drop { landed: true })
    }

    /// Drops the connection after `n` bytes of the answer's body.
    pub fn cut_answer(self, n: u64) -> Fault {
        self.act(Action::CutAnswer(n))
    }

    /// Drops the connection after `n` bytes of what is being uploaded.
    pub fn cut_upload(self, n: u64) -> Fault {
        self.act(Action::CutRequest(n))
    }

    /// Flips one bit of byte `n` of the answer's body, in transit.
    pub fn flip(self, n: u64) -> Fault {
        self.act(Action::Flip(n))
    }

    /// Leaves out of a listing what the function picks: keys, and folders (which end with `/`).
    pub fn leave_out(self, keys: impl Fn(&str) -> bool + Send + Sync + 'static) -> Fault {
        self.act(Action::LeaveOut(Arc::new(keys)))
    }

    /// Waits this long before anything is done.
    pub fn delay(self, time: Duration) -> Fault {
        self.act(Action::Delay(time))
    }

    /// Lets bodies pass at this rate, both ways.
    pub fn slow(self, bytes_per_second: u64) -> Fault {
        self.act(Action::Slow { bytes_per_second })
    }

    /// Runs this before anything is done, e.g. kills the program that asked.
    pub fn call(self, call: impl Fn(&Served) + Send + Sync + 'static) -> Fault {
        self.act(Action::Call { call: Arc::new(call), landed: false })
    }

    /// Runs this after what was asked is done and before it is answered.
    pub fn land_and_call(self, call: impl Fn(&Served) + Send + Sync + 'static) -> Fault {
        self.act(Action::Call { call: Arc::new(call), landed: true })
    }

    fn act(self, action: Action) -> Fault {
        Fault { requests: self, action }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({} {:?})", self.requests.method, self.requests.text)
    }
}

/// How often a planned fault matched and fired.
#[derive(Clone, Debug, Default)]
pub struct Planned(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    matched: AtomicU64,
    fired: AtomicU64,
}

impl Planned {
    /// How many requests it was for, fired or not.
    pub fn matched(&self) -> u64 {
        self.0.matched.load(Ordering::SeqCst)
    }

    /// How often it fired. A test of a fault that never fired proves nothing: assert on this.
    pub fn fired(&self) -> u64 {
        self.0.fired.load(Ordering::SeqCst)
    }

    /// Waits until it has fired.
    ///
    /// # Panics
    /// When it has not within a minute.
    #[track_caller]
    pub fn wait_fired(&self) {
        let deadline = Instant::now() + FIRES_WITHIN;
        while self.fired() == 0 {
            assert!(Instant::now() < deadline, "no request met the fault within {FIRES_WITHIN:?}");
            std::thread::sleep(POLL);
        }
    }
}

/// The faults of one server, and the log of what it was asked.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    faults: Vec<(Fault, Planned)>,
    log: Vec<Served>,
    ahead: Duration,
}

impl Faults {
    /// Plans a fault, from the next request on. Several may fire for one request, in this order.
    pub fn plan(&self, fault: Fault) -> Planned {
        let planned = Planned::default();
        self.0.lock().unwrap().faults.push((fault, planned.clone()));
        planned
    }

    /// Sets the server's clock ahead of the machine's, as its answers show it.
    pub fn set_clock(&self, ahead: Duration) {
        self.0.lock().unwrap().ahead = ahead;
    }

    /// The server's clock, where it was set ahead.
    pub(crate) fn clock(&self) -> Option<SystemTime> {
        let ahead = self.0.lock().unwrap().ahead;
        (!ahead.is_zero()).then(|| SystemTime::now() + ahead)
    }

    /// Forgets all planned faults; hung requests stay hung.
    pub fn clear(&self) {
        self.0.lock().unwrap().faults.clear();
    }

    /// What was asked so far, in order of arrival.
    pub fn log(&self) -> Vec<Served> {
        self.0.lock().unwrap().log.clone()
    }

    /// Forgets what was asked.
    pub fn clear_log(&self) {
        self.0.lock().unwrap().log.clear();
    }

    /// How many logged requests have this method (`*`: any) and contain this text.
    pub fn count(&self, method: &str, text: &str) -> usize {
        self.0.lock().unwrap().log.iter().filter(|served| served.matches(method, text)).count()
    }

    /// Notes an arriving request; returns its number in the log and what is to happen to it.
    pub(crate) fn arrived(&self, served: &Served) -> (usize, Vec<Action>) {
        let mut state = self.0.lock().unwrap();
        let mut actions = Vec::new();
        for (fault, planned) in &state.faults {
            if fault.requests.are_meant(served) {
                let number = planned.0.matched.fetch_add(1, Ordering::SeqCst) + 1;
                if (fault.requests.pick)(number) {
                    planned.0.fired.fetch_add(1, Ordering::SeqCst);
                    actions.push(fault.action.clone());
                }
            }
        }
        assert!(state.log.len() < LOG_MAX, "more than {LOG_MAX} requests: clear_log() now and then");
        state.log.push(served.clone());
        (state.log.len() - 1, actions)
    }

    /// Notes how a request was answered.
    pub(crate) fn answered(&self, number: usize, status: u16) {
        if let Some(served) = self.0.lock().unwrap().log.get_mut(number) {
            served.status = Some(status);
        }
    }
}
