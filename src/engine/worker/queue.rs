//! The work that waits for the model, first come first served.
//!
//! A client has one piece of work open at a time, so that serving them in order of arrival is fair: between two turns of
//! one client every other that waits has its own. Counting and rendering take milliseconds and go before what waits and is
//! long, turns and scores.

use crate::engine::wire::Response;
use crate::protocol::turn::{ScoreRequest, TurnRequest};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// What the model is asked to do.
pub enum Work {
    Turn(TurnRequest),
    /// Several that begin alike.
    Turns(Vec<TurnRequest>),
    Score(ScoreRequest),
    Count(String),
    Render(TurnRequest),
}

impl Work {
    /// Whether it computes: then it may take minutes, and can be cancelled.
    pub fn is_long(&self) -> bool {
        matches!(self, Self::Turn(_) | Self::Turns(_) | Self::Score(_))
    }
}

/// A piece of work on its way to the model.
pub struct Job {
    ticket: u64,
    pub work: Work,
    pub cancel: Arc<AtomicBool>,
    /// Unbounded: the model never waits for a client, and a turn's output is small.
    pub answers: mpsc::UnboundedSender<Response>,
}

/// What the model's thread is to do.
pub enum Next {
    Job(Job),
    /// There has been nothing for a while.
    Rest,
    Closed,
}

/// How busy the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub running: bool,
    pub waiting: usize,
    /// Jobs begun since the start.
    pub begun: u64,
}

/// The jobs of all clients.
pub struct Queue {
    line: Mutex<Line>,
    bell: Condvar,
    /// How many errands are open.
    open: watch::Sender<usize>,
}

#[derive(Default)]
struct Line {
    quick: VecDeque<Job>,
    long: VecDeque<Job>,
    tickets: u64,
    running: bool,
    begun: u64,
    closed: bool,
}

impl Queue {
    pub fn new() -> Self {
        Self { line: Mutex::default(), bell: Condvar::new(), open: watch::Sender::new(0) }
    }

    /// Puts work in the queue. Its answers come to the errand; who drops that gives the work up.
    pub fn admit(&self, work: Work) -> Errand {
        let (answers, responses) = mpsc::unbounded_channel();
        let cancel = Arc::new(AtomicBool::new(false));
        let mut line = self.line();
        line.tickets += 1;
        let ticket = line.tickets;
        let is_long = work.is_long();
        let jobs = if is_long { &mut line.long } else { &mut line.quick };
        jobs.push_back(Job { ticket, work, cancel: cancel.clone(), answers });
        drop(line);
        self.bell.notify_one();
        self.open.send_modify(|open| *open += 1);
        Errand { ticket, is_long, cancel, responses }
    }

    /// Ends an errand: its job leaves the queue, or is cancelled when it runs already.
    pub fn dismiss(&self, errand: &Errand) {
        self.withdraw(errand);
        errand.cancel.store(true, Ordering::Relaxed);
        self.open.send_modify(|open| *open -= 1);
    }

    /// Takes a job out of the queue; false when it was begun already.
    pub fn withdraw(&self, errand: &Errand) -> bool {
        let mut line = self.line();
        let jobs = if errand.is_long { &mut line.long } else { &mut line.quick };
        let found = jobs.iter().position(|job| job.ticket == errand.ticket);
        found.is_some_and(|at| jobs.remove(at).is_some())
    }

    /// Says that someone wanted the model, without work for it.
    pub fn touch(&self) {
        self.open.send_modify(|_| {});
    }

    /// How many errands are open; changes with every one that begins or ends.
    pub fn open(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    pub fn load(&self) -> Load {
        let line = self.line();
        Load { running: line.running, waiting: line.quick.len() + line.long.len(), begun: line.begun }
    }

    /// Says that the job is done, before its client can know: who then asks finds the model free.
    pub fn finish(&self) {
        self.line().running = false;
    }

    /// Waits for the next job; with a limit no longer than that.
    pub fn next(&self, limit: Option<Duration>) -> Next {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut line = self.line();
        loop {
            if line.closed {
                return Next::Closed;
            }
            if let Some(job) = line.quick.pop_front().or_else(|| line.long.pop_front()) {
                line.running = true;
                line.begun += 1;
                return Next::Job(job);
            }
            let Some(until) = until else {
                line = self.bell.wait(line).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Rest;
            }
            line = self.bell.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether something else than resting is to be done.
    pub fn is_wanted(&self) -> bool {
        let line = self.line();
        line.closed || !line.quick.is_empty() || !line.long.is_empty()
    }

    /// Lets no job begin any more.
    pub fn close(&self) {
        self.line().closed = true;
        self.bell.notify_all();
    }

    /// Nothing that runs under the lock can leave the line half changed.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's end of a job.
pub struct Errand {
    ticket: u64,
    pub is_long: bool,
    cancel: Arc<AtomicBool>,
    responses: mpsc::UnboundedReceiver<Response>,
}

impl Errand {
    /// The next thing that the model says to it; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Response> {
        self.responses.recv().await
    }

    /// Asks the model to end it.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}
