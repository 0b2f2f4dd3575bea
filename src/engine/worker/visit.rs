//! One client's connection: what it asks, in order, and what it is told.
//!
//! A visit never waits for the model: it waits for whatever comes first, the model's answer, the client's next word, or
//! the end. A client that goes takes its work with it.

use crate::engine::wire::{Fault, LINE_LIMIT, Request, Response, State, Status, VERSION};
use crate::engine::worker::queue::{Errand, Work};
use crate::engine::worker::{House, Phase};
use crate::protocol::turn::{Delta, Reply, Stop};
use crate::rpc::{self, Lines, RpcError};
use crate::units::Bytes;
use std::future::pending;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

/// A client, while it is connected.
pub struct Visit {
    house: Arc<House>,
    phase: watch::Receiver<Phase>,
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    greeted: bool,
    open: Open,
}

/// What the client waits for.
enum Open {
    Nothing,
    /// The model, to be loaded.
    Load,
    Work(Errand),
}

/// Whether the visit goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Stay,
    Leave,
}

impl Visit {
    pub fn new(stream: UnixStream, house: Arc<House>) -> Self {
        let (reader, writer) = stream.into_split();
        let phase = house.phase.subscribe();
        Self { house, phase, lines: Lines::new(reader, LINE_LIMIT), writer, greeted: false, open: Open::Nothing }
    }

    /// Serves the client until it goes or the process ends. Gives the connection back, still open: whoever drops it
    /// decides when the client sees the end.
    pub async fn attend(mut self) -> Self {
        let ended = self.converse().await;
        if let Err(error) = ended {
            // Best effort: most often it is the connection itself that failed.
            let _ = self.say(Response::Error(Fault::Unavailable { reason: error.to_string() })).await;
        }
        self.settle();
        self
    }

    async fn converse(&mut self) -> Result<(), RpcError> {
        let stop = self.house.stop.clone();
        loop {
            // In this order: the reason why a load failed goes before the end that follows from it.
            let next = tokio::select! {
                biased;
                Ok(()) = self.phase.changed(), if !matches!(self.open, Open::Nothing) => self.follow_load().await?,
                response = self.open.next() => self.pass_on(response).await?,
                () = stop.cancelled() => self.farewell().await?,
                request = self.lines.next() => match request? {
                    Some(request) => self.take(request).await?,
                    None => Next::Leave,
                },
            };
            if next == Next::Leave {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, request: Request) -> Result<Next, RpcError> {
        if !self.greeted && !matches!(request, Request::Hello { .. }) {
            return self.refuse("a connection begins with hello").await;
        }
        match request {
            Request::Hello { version } if version != VERSION => {
                return self.refuse(&format!("the engine speaks version {VERSION}, not {version}")).await;
            }
            Request::Hello { .. } => {
                self.greeted = true;
                self.say(Response::Hello { version: VERSION, pid: std::process::id() }).await?;
            }
            Request::Cancel => self.cancel().await?,
            Request::Status => {
                let status = self.status();
                self.say(Response::Status(status)).await?;
            }
            Request::Stop => {
                self.say(Response::Stopping).await?;
                self.house.stop.cancel();
                return Ok(Next::Leave);
            }
            _ if !matches!(self.open, Open::Nothing) => return self.refuse("one request at a time").await,
            Request::Ready => {
                self.house.queue.touch();
                self.open = Open::Load;
                return self.follow_load().await;
            }
            Request::Turn(request) => return self.begin(Work::Turn(request)).await,
            Request::Turns { requests } => return self.begin(Work::Turns(requests)).await,
            Request::Score(request) => return self.begin(Work::Score(request)).await,
            Request::Count { text } => return self.begin(Work::Count(text)).await,
            Request::Render(request) => return self.begin(Work::Render(request)).await,
        }
        Ok(Next::Stay)
    }

    async fn begin(&mut self, work: Work) -> Result<Next, RpcError> {
        let load = self.house.queue.load();
        let waits = work.is_long() && (load.running || load.waiting > 0);
        self.open = Open::Work(self.house.queue.admit(work));
        if waits {
            self.say(Response::Delta(Delta::Notice { text: "the model is busy with another turn; waiting for it".into() }))
                .await?;
        }
        self.follow_load().await
    }

    /// Tells a client that waits how the load goes, and ends what waited for nothing else.
    async fn follow_load(&mut self) -> Result<Next, RpcError> {
        let phase = self.phase.borrow_and_update().clone();
        match (phase, &self.open) {
            (Phase::Loading { fraction }, _) => self.say(Response::Delta(Delta::Load { fraction })).await?,
            (Phase::Ready(info), Open::Load) => {
                self.settle();
                self.say(Response::Ready(info)).await?;
            }
            (Phase::Ready(_), _) => {}
            (Phase::Failed(fault), _) => {
                self.settle();
                self.say(Response::Error(fault)).await?;
                self.house.told.notify_one();
            }
        }
        Ok(Next::Stay)
    }

    async fn pass_on(&mut self, response: Option<Response>) -> Result<Next, RpcError> {
        // No more answers and no last one: the model's thread is gone, and the process will be.
        let Some(response) = response else { return Ok(Next::Leave) };
        if !matches!(response, Response::Delta(_)) {
            self.settle();
        }
        self.say(response).await?;
        Ok(Next::Stay)
    }

    /// Ends the client's turns or score: at once when it still waits, else as soon as the model looks up.
    async fn cancel(&mut self) -> Result<(), RpcError> {
        let Open::Work(errand) = &self.open else { return Ok(()) };
        if !errand.is_long {
            return Ok(());
        }
        if !self.house.queue.withdraw(errand) {
            errand.cancel();
            return Ok(());
        }
        self.settle();
        self.say(Response::Reply(Reply { stop: Stop::Cancelled, ..Reply::default() })).await
    }

    /// Says that the process ends, and that what is open will not be answered.
    async fn farewell(&mut self) -> Result<Next, RpcError> {
        if !matches!(self.open, Open::Nothing) {
            self.settle();
            self.say(Response::Error(Fault::Lost { reason: "it was stopped".into() })).await?;
        }
        self.say(Response::Leaving).await?;
        Ok(Next::Leave)
    }

    async fn refuse(&mut self, why: &str) -> Result<Next, RpcError> {
        self.say(Response::Error(Fault::Unavailable { reason: why.into() })).await?;
        Ok(Next::Leave)
    }

    async fn say(&mut self, response: Response) -> Result<(), RpcError> {
        rpc::write(&mut self.writer, &response).await
    }

    /// Closes what is open.
    fn settle(&mut self) {
        if let Open::Work(errand) = std::mem::replace(&mut self.open, Open::Nothing) {
            self.house.queue.dismiss(&errand);
        }
    }

    fn status(&self) -> Status {
        let load = self.house.queue.load();
        let path = self.house.options.model.clone();
        let unnamed = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (model, window, state) = match &*self.house.phase.borrow() {
            Phase::Loading { fraction } => (unnamed(), None, State::Loading { fraction: *fraction }),
            Phase::Failed(_) => (unnamed(), None, State::Failed),
            Phase::Ready(info) => (info.model.clone(), info.window, if load.running { State::Busy } else { State::Idle }),
        };
        Status {
            model,
            path,
            window,
            pid: std::process::id(),
            uptime_seconds: self.house.started.elapsed().as_secs(),
            requests: load.begun,
            state,
            waiting: load.waiting,
            rss: resident(),
        }
    }
}

impl Drop for Visit {
    /// A visit that is cut short takes its work with it.
    fn drop(&mut self) {
        self.settle();
    }
}

impl Open {
    /// The model's next answer; never where the model was asked nothing.
    async fn next(&mut self) -> Option<Response> {
        match self {
            Self::Work(errand) => errand.next().await,
            Self::Nothing | Self::Load => pending().await,
        }
    }
}

/// The resident memory of this process, where `/proc` tells it.
fn resident() -> Option<Bytes> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(Bytes(kib << 10))
}
