//! Several runs of the loop at the same time, on one engine.
//!
//! A loop does not know of the others: each has a seat at the engine (`engine/seats`), and whatever they ask for in one go is
//! generated side by side.

use crate::agent::approval::ByPolicy;
use crate::agent::drive::Driver;
use crate::agent::{Agent, Report, Task, Tools};
use crate::engine::seats::seats;
use crate::protocol::event::Event;
use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::FuturesUnordered;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// One of several runs.
pub struct Member {
    pub task: Task,
    /// Stops this run alone. That the agent's own cancel stops all of them is up to whoever makes it.
    pub stop: CancellationToken,
}

impl<T: Tools> Agent<T> {
    /// Runs a loop for each member, all to their ends. Every event reaches `sink` as [`Agent::work`] says, with its member's
    /// place in the list; `ended` hears of each run when it is over. Runs that the same replies brought to their end say `Event::Done`
    /// before `ended` hears of the first of them.
    pub async fn work_beside(
        &mut self,
        members: Vec<Member>,
        sink: &mut (dyn FnMut(usize, &Event) + Send),
        ended: &mut (dyn FnMut(usize, Report) + Send),
    ) {
        let (host, seats) = seats(self.engine.as_mut(), members.len());
        // One thread polls all loops, so nobody ever waits for the lock.
        let sink = Mutex::new(sink);
        let work = async |(at, (member, mut seat))| {
            let Member { task, stop } = member;
            let mut policy = ByPolicy(task.approval);
            let mut own = |event: &Event| (sink.lock().unwrap_or_else(PoisonError::into_inner))(at, event);
            let tools = Arc::clone(&self.toolbox);
            let driver = Driver { engine: &mut seat, tools, approver: &mut policy, sink: &mut own, cancel: &stop };
            (at, driver.work(task).await)
        };
        let mut loops: FuturesUnordered<_> = members.into_iter().zip(seats).enumerate().map(work).collect();
        let all = async {
            while let Some((at, report)) = loops.next().await {
                ended(at, report);
            }
        };
        join(all, host.serve()).await;
    }
}
