//! One engine for several loops that run at the same time: whatever they ask for in one go becomes one call.
//!
//! Each loop has a seat, which is an engine to it. The host has the real one: it waits until every loop has asked for a turn or
//! is gone, then asks for all turns at once, and hands the replies out. What only counts or renders is answered at once. A loop
//! that is busy elsewhere (a command that takes its time) holds the others up once, and no longer than their turns took the last
//! time; after that nobody waits for it, and its own turn comes with the next call.

use crate::engine::wire::Fault;
use crate::engine::{Answer, Engine, EngineError, Sink};
use crate::protocol::turn::{Delta, EngineInfo, Rendered, Reply, ScoreRequest, Scores, Stop, TurnRequest};
use crate::units::Tokens;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::mem::take;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long loops that have asked wait for one that has not: as long as the last call took, for then going twice costs no more
/// than waiting, within these bounds. Most commands end in the lower one.
const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(10);
/// How long an engine may take to end a call that nobody wants any more. Then it is given up.
const CANCELLED: Duration = Duration::from_millis(300);
/// How long a seat that is told to stop waits for what there is of its turn.
const GRACE: Duration = Duration::from_millis(200);

/// An engine's end of the seats.
pub struct Host<'e> {
    engine: &'e mut dyn Engine,
    asked: mpsc::UnboundedReceiver<Asked>,
    /// Seats that are not gone.
    here: BTreeSet<usize>,
    /// Those that missed the last call, and have not asked since.
    late: BTreeSet<usize>,
    /// Turns that wait for the next call.
    turns: Vec<Turn>,
    /// When they go without the others.
    until: Instant,
    patience: Duration,
}

/// A loop's end: an engine that is shared.
pub struct Seat {
    number: usize,
    asks: mpsc::UnboundedSender<Asked>,
}

/// What is asked of the host, each with the place of its answer.
enum Asked {
    Ready(Pieces, CancellationToken, Place<EngineInfo>),
    Turn(Turn),
    Count(String, Place<Tokens>),
    Render(Box<TurnRequest>, Place<Option<Rendered>>),
    Score(Box<ScoreRequest>, Pieces, CancellationToken, Place<Option<Scores>>),
    Gone(usize),
}

type Pieces = mpsc::UnboundedSender<Delta>;
type Place<T> = oneshot::Sender<Result<T, EngineError>>;

/// A turn that a loop waits for.
struct Turn {
    seat: usize,
    request: TurnRequest,
    listener: Listener,
}

/// Who waits for a turn.
struct Listener {
    pieces: Pieces,
    cancel: CancellationToken,
    place: Place<Reply>,
}

impl Listener {
    /// Resolves when nobody wants the turn any more.
    async fn gone(&mut self) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.place.closed() => {}
        }
    }
}

/// Gives so many loops a seat at an engine. Nothing is done before [`Host::serve`] runs, and that runs beside the loops.
pub fn seats(engine: &mut dyn Engine, count: usize) -> (Host<'_>, Vec<Seat>) {
    let (asks, asked) = mpsc::unbounded_channel();
    let seats = (0..count).map(|number| Seat { number, asks: asks.clone() }).collect();
    let (here, late) = ((0..count).collect(), BTreeSet::new());
    (Host { engine, asked, here, late, turns: Vec::new(), until: Instant::now(), patience: LONG }, seats)
}

impl Host<'_> {
    /// Serves until all seats are gone.
    pub async fn serve(mut self) {
        while !self.here.is_empty() {
            let waiting = !self.turns.is_empty();
            tokio::select! {
                biased;
                Some(asked) = self.asked.recv() => self.take(asked).await,
                () = sleep_until(self.until), if waiting => {}
            }
            self.turns.retain(|turn| !turn.listener.place.is_closed());
            if !self.turns.is_empty() && (Instant::now() >= self.until || self.is_complete()) {
                let start = Instant::now();
                self.late = self.here.iter().copied().filter(|seat| !self.has_asked(*seat)).collect();
                self.call().await;
                self.patience = start.elapsed().clamp(SHORT, LONG);
            }
        }
    }

    /// Whether all have asked who are waited for.
    fn is_complete(&self) -> bool {
        self.here.difference(&self.late).all(|seat| self.has_asked(*seat))
    }

    fn has_asked(&self, seat: usize) -> bool {
        self.turns.iter().any(|turn| turn.seat == seat)
    }

    /// Does what takes no turn, and lets turns wait.
    async fn take(&mut self, asked: Asked) {
        match asked {
            Asked::Gone(seat) => {
                self.here.remove(&seat);
                self.late.remove(&seat);
            }
            Asked::Turn(turn) => {
                self.late.remove(&turn.seat);
                if self.turns.is_empty() {
                    self.until = Instant::now() + self.patience;
                }
                self.turns.push(turn);
            }
            // Whoever asked may have left meanwhile: then nobody hears the answer, here and below.
            Asked::Count(text, place) => drop(place.send(self.engine.count(&text).await)),
            Asked::Render(request, place) => drop(place.send(self.engine.render(&request).await)),
            Asked::Ready(pieces, cancel, place) => {
                let mut sink = |delta| drop(pieces.send(delta));
                drop(place.send(self.engine.ready(&mut sink, &cancel).await));
            }
            Asked::Score(request, pieces, cancel, place) => {
                let mut sink = |delta| drop(pieces.send(delta));
                drop(place.send(self.engine.score(&request, &mut sink, &cancel).await));
            }
        }
    }

    /// Asks for the turns that wait, in the order of the seats. The call ends early when nobody wants any of them.
    async fn call(&mut self) {
        let mut turns = take(&mut self.turns);
        turns.sort_by_key(|turn| turn.seat);
        let (requests, mut listeners): (Vec<_>, Vec<_>) = turns.into_iter().map(|turn| (turn.request, turn.listener)).unzip();
        let cancel = CancellationToken::new();
        let pieces = listeners.first().map(|listener| listener.pieces.clone());
        let answer = {
            let mut sink = |delta| {
                if let Some(pieces) = &pieces {
                    let _ = pieces.send(delta);
                }
            };
            let deserted = async {
                join_all(listeners.iter_mut().map(Listener::gone)).await;
                cancel.cancel();
                sleep(CANCELLED).await;
            };
            tokio::select! {
                biased;
                answer = ask(self.engine, self.here.len(), &requests, &mut sink, &cancel) => answer,
                () = deserted => return,
            }
        };
        match answer {
            Ok(replies) => {
                for (listener, reply) in listeners.into_iter().zip(replies) {
                    let _ = listener.place.send(Ok(reply));
                }
            }
            // These are one conversation's: whose, each finds out for itself.
            Err(EngineError::Overflow { .. } | EngineError::Template { .. }) if requests.len() > 1 => {
                self.one_by_one(requests, listeners).await;
            }
            Err(error) => {
                let fault = Fault::from(error);
                for listener in listeners {
                    let _ = listener.place.send(Err(fault.clone().into()));
                }
            }
        }
    }

    async fn one_by_one(&mut self, requests: Vec<TurnRequest>, listeners: Vec<Listener>) {
        for (request, listener) in requests.into_iter().zip(listeners) {
            let mut sink = |delta: Delta| drop(listener.pieces.send(delta));
            let reply = self.engine.turn(&request, &mut sink, &listener.cancel).await;
            let _ = listener.place.send(reply);
        }
    }
}

/// Asks an engine for turns. The last loop of all has it to itself, and hears what is written as it comes.
async fn ask(
    engine: &mut dyn Engine,
    loops: usize,
    requests: &[TurnRequest],
    sink: Sink<'_>,
    cancel: &CancellationToken,
) -> Result<Vec<Reply>, EngineError> {
    match requests {
        [request] if loops == 1 => engine.turn(request, sink, cancel).await.map(|reply| vec![reply]),
        _ => engine.turns(requests, sink, cancel).await,
    }
}

impl Seat {
    /// Asks the host, passes on what it says meanwhile, and gives its answer. `None`: it was cancelled, and no answer came soon.
    async fn ask<T>(
        &mut self,
        asked: impl FnOnce(Pieces, Place<T>) -> Asked,
        sink: Sink<'_>,
        cancel: &CancellationToken,
    ) -> Result<Option<T>, EngineError> {
        let gone = || EngineError::Lost { reason: "nobody serves this seat any more".into() };
        let (pieces, mut said) = mpsc::unbounded_channel();
        let (place, mut answer) = oneshot::channel();
        self.asks.send(asked(pieces, place)).map_err(|_| gone())?;
        let mut given_up = Box::pin(async {
            cancel.cancelled().await;
            sleep(GRACE).await;
        });
        loop {
            tokio::select! {
                biased;
                Some(delta) = said.recv() => sink(delta),
                answer = &mut answer => return answer.unwrap_or_else(|_| Err(gone())).map(Some),
                () = &mut given_up => return Ok(None),
            }
        }
    }
}

impl Engine for Seat {
    fn ready<'a>(&'a mut self, sink: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, EngineInfo> {
        Box::pin(async move {
            let info = self.ask(|pieces, place| Asked::Ready(pieces, cancel.clone(), place), sink, cancel).await?;
            info.ok_or_else(|| EngineError::Unavailable("cancelled".into()))
        })
    }

    fn turn<'a>(&'a mut self, request: &'a TurnRequest, sink: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, Reply> {
        Box::pin(async move {
            let (seat, request) = (self.number, request.clone());
            let asked = |pieces, place| {
                let listener = Listener { pieces, cancel: cancel.clone(), place };
                Asked::Turn(Turn { seat, request, listener })
            };
            let reply = self.ask(asked, sink, cancel).await?;
            Ok(reply.unwrap_or(Reply { stop: Stop::Cancelled, ..Reply::default() }))
        })
    }

    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens> {
        Box::pin(async move {
            let asked = |_, place| Asked::Count(text.to_owned(), place);
            let never = CancellationToken::new();
            Ok(self.ask(asked, &mut |_| {}, &never).await?.unwrap_or_default())
        })
    }

    fn render<'a>(&'a mut self, request: &'a TurnRequest) -> Answer<'a, Option<Rendered>> {
        Box::pin(async move {
            let asked = |_, place| Asked::Render(Box::new(request.clone()), place);
            let never = CancellationToken::new();
            Ok(self.ask(asked, &mut |_| {}, &never).await?.flatten())
        })
    }

    fn score<'a>(
        &'a mut self,
        request: &'a ScoreRequest,
        sink: Sink<'a>,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Option<Scores>> {
        Box::pin(async move {
            let asked = |pieces, place| Asked::Score(Box::new(request.clone()), pieces, cancel.clone(), place);
            Ok(self.ask(asked, sink, cancel).await?.flatten())
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // The host may be gone itself.
        let _ = self.asks.send(Asked::Gone(self.number));
    }
}

#[cfg(test)]
mod tests;
