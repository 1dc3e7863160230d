//! Work in order on several threads: batches go out to whoever is free and come back in the
//! order in which they were made, with a bound on how many are under way.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

/// Batches in progress; limits memory and how far a slow batch lets the others run ahead.
const BATCHES_MAX: usize = 48;

type Slot<T> = Receiver<T>;
/// A batch and where its result goes.
type Order<B, T> = (B, SyncSender<T>);

/// Makes batches. Sending fails when whoever takes the results has gone.
pub struct Maker<B, T> {
    work: SyncSender<Order<B, T>>,
    order: SyncSender<Slot<T>>,
}

/// Takes batches to work on; one shared by all workers.
pub struct Work<B, T>(Arc<Mutex<Receiver<Order<B, T>>>>);

/// Gives results in the order of the batches.
pub struct Results<T>(Receiver<Slot<T>>);

/// The three ends.
pub fn channel<B, T>() -> (Maker<B, T>, Work<B, T>, Results<T>) {
    bounded(BATCHES_MAX)
}

/// The three ends, with at most so many batches waiting.
pub fn bounded<B, T>(waiting_max: usize) -> (Maker<B, T>, Work<B, T>, Results<T>) {
    let (work, works) = sync_channel(waiting_max);
    let (order, results) = sync_channel(BATCHES_MAX);
    (Maker { work, order }, Work(Arc::new(Mutex::new(works))), Results(results))
}

impl<B, T> Maker<B, T> {
    /// Sends a batch; `false` when nobody takes results any more.
    pub fn send(&self, batch: B) -> bool {
        let (done, slot) = sync_channel(1);
        self.order.send(slot).is_ok() && self.work.send((batch, done)).is_ok()
    }
}

impl<B, T> Clone for Work<B, T> {
    fn clone(&self) -> Self {
        Work(self.0.clone())
    }
}

impl<B, T> Work<B, T> {
    /// The next batch and where its result goes; `None` when there are no more.
    pub fn take(&self) -> Option<Order<B, T>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).recv().ok()
    }
}

impl<T> Results<T> {
    /// The result of the next batch. `None` at the end; `Some(None)` when its worker died.
    pub fn next(&self) -> Option<Option<T>> {
        let slot = self.0.recv().ok()?;
        Some(slot.recv().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_batches() {
        let (maker, work, results) = channel::<u64, u64>();
        std::thread::scope(|scope| {
            scope.spawn(move || (0..500).all(|n| maker.send(n)));
            for _ in 0..3 {
                let work = work.clone();
                scope.spawn(move || {
                    while let Some((n, done)) = work.take() {
                        std::hint::black_box((0..(n * 7919) % 10_000).sum::<u64>());
                        let _ = done.send(n);
                    }
                });
            }
            drop(work);
            let all: Vec<u64> = std::iter::from_fn(|| results.next()).flatten().collect();
            assert_eq!(all, (0..500).collect::<Vec<_>>());
        });
    }
}
