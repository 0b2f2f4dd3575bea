//! Any OpenAI-compatible server as an engine: llama-server, vLLM, Ollama, LM Studio, a remote one.
//!
//! It sends the whole conversation, streams the answer, and says what went wrong in our terms. It does not retry what a
//! server has refused, with three exceptions: a server that is loading its model is asked again, one that does not know the
//! extended fields is asked without them, and one that reserves the answer's room beforehand is asked for an answer that
//! fits. A drop of the connection is the cancel: every server stops for it.

mod body;
mod chat;
mod http;
mod refusal;
mod sse;
mod window;

pub use crate::engine::endpoint::http::{is_local, shown};

use crate::engine::endpoint::body::Dialect;
use crate::engine::endpoint::chat::{Flow, Transcript};
use crate::engine::endpoint::http::{Http, Incoming};
use crate::engine::endpoint::refusal::{Known, Refusal};
use crate::engine::endpoint::sse::Decoder;
use crate::engine::words;
use crate::engine::{Answer, Engine, EngineError, Sink, estimate};
use crate::protocol::turn::{Delta, EngineInfo, Rendered, Reply, Stop, TurnRequest};
use crate::units::Tokens;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Between two questions to a server that is loading: doubled each time, from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The least room for an answer that is worth a turn.
const LEAST_ANSWER: Tokens = Tokens(256);

/// Where the server is, and as whom to ask it.
#[derive(Clone)]
pub struct EndpointSettings {
    /// With its `/v1`.
    pub url: String,
    /// `None`: the first one that the server lists.
    pub model: Option<String>,
    pub api_key: Option<String>,
}

/// A server as an engine.
pub struct Endpoint {
    http: Http,
    model: Option<String>,
    dialect: Dialect,
    /// What the server said about itself; asked again after it was lost, because another may have come in its place.
    info: Option<EngineInfo>,
}

impl Endpoint {
    /// Prepares a connection; the server is first asked in `ready`. Errors when the URL is none.
    pub fn new(settings: EndpointSettings) -> Result<Self, EngineError> {
        let http = Http::new(&settings.url, settings.api_key.as_deref())?;
        Ok(Self { http, model: settings.model, dialect: Dialect::Extended, info: None })
    }

    /// What the server is, from memory or from the server; waits while it loads.
    async fn info(&mut self, sink: Sink<'_>) -> Result<EngineInfo, EngineError> {
        let mut patience = Patience::default();
        loop {
            if let Some(info) = &self.info {
                return Ok(info.clone());
            }
            self.info = window::learn(&self.http, self.model.as_deref()).await?;
            if self.info.is_none() {
                patience.wait(sink).await;
            }
        }
    }

    async fn generate(
        &mut self,
        request: &TurnRequest,
        sink: Sink<'_>,
        cancel: &CancellationToken,
    ) -> Result<Reply, EngineError> {
        let clock = Clock(Instant::now());
        let prompt = estimate::prompt(request);
        let Some(opened) = cancel.run_until_cancelled(self.open(request, prompt, sink)).await else {
            return Ok(Transcript::new(Known { prompt, ..Known::default() }).cut(Stop::Cancelled, request, clock.ms()));
        };
        let (incoming, known) = opened?;
        let mut transcript = Transcript::new(known);
        let read = read(&self.http, incoming, &mut transcript, &clock, sink);
        match cancel.run_until_cancelled(read).await {
            None => Ok(transcript.cut(Stop::Cancelled, request, clock.ms())),
            Some(Ok(Flow::Repeats)) => Ok(transcript.cut(Stop::Repetition, request, clock.ms())),
            Some(Ok(Flow::More | Flow::Done)) => transcript.finish(request, clock.ms(), sink),
            Some(Err(error)) => Err(error),
        }
    }

    /// Sends the request until it is answered: without the extras once a server has refused them, again while it loads,
    /// with a smaller answer where only the answer was too large.
    async fn open(&mut self, request: &TurnRequest, prompt: Tokens, sink: Sink<'_>) -> Result<(Incoming, Known), EngineError> {
        let info = self.info(sink).await?;
        let known = Known { prompt, window: info.window.unwrap_or_default() };
        let mut patience = Patience::default();
        let mut answer = request.max_tokens;
        loop {
            let mut body = body::chat(request, &info.model, self.dialect);
            body["max_tokens"] = answer.0.into();
            match self.http.open(&self.http.api("chat/completions"), &body).await? {
                Ok(incoming) => return Ok((incoming, known)),
                Err(refusal) if refusal.is_loading() => patience.wait(sink).await,
                Err(refusal) if self.dialect == Dialect::Extended && refusal.names_any(&body::EXTRAS) => {
                    self.dialect = Dialect::Plain;
                }
                Err(refusal) => match refusal.into_error(known) {
                    // vLLM counts the answer in: then the conversation itself fits.
                    EngineError::Overflow { prompt, window } if window - prompt >= LEAST_ANSWER && window - prompt < answer => {
                        answer = window - prompt;
                    }
                    error => return Err(error),
                },
            }
        }
    }

    /// Keeps what is known of the server in step with what it has just shown.
    fn learn_from(&mut self, error: &EngineError) {
        match error {
            EngineError::Lost { .. } | EngineError::Unreachable { .. } => self.info = None,
            EngineError::Overflow { window, .. } if *window > Tokens::ZERO => {
                if let Some(info) = &mut self.info {
                    info.window = Some(*window);
                }
            }
            _ => {}
        }
    }

    async fn counted(&mut self, text: &str) -> Result<Tokens, EngineError> {
        let info = self.info(&mut |_| {}).await?;
        let counted = if info.exact { window::count(&self.http, &info.model, text).await? } else { None };
        Ok(counted.unwrap_or_else(|| estimate::text(text)))
    }

    /// llama-server shows what its template makes of a conversation; others do not.
    async fn rendered(&mut self, request: &TurnRequest) -> Result<Option<Rendered>, EngineError> {
        let info = self.info(&mut |_| {}).await?;
        let body = Value::Object(body::prompt(&words::masked(request), &info.model, self.dialect));
        let told = self.http.ask(&self.http.own("apply-template"), &body).await?;
        let text = match told {
            Ok(told) => told["prompt"].as_str().map(|text| words::before(text).to_owned()),
            // The route exists and the template could not do it: that is worth knowing.
            Err(Refusal { status: 400 | 500, body }) => {
                return Err(EngineError::Template { reason: Refusal { status: 500, body }.reason() });
            }
            Err(_) => None,
        };
        let Some(text) = text else { return Ok(None) };
        let tokens = self.counted(&text).await?;
        Ok(Some(Rendered { text, tokens }))
    }
}

/// Reads an answer to its end, or to where it repeats itself.
async fn read(
    http: &Http,
    mut incoming: Incoming,
    transcript: &mut Transcript,
    clock: &Clock,
    sink: Sink<'_>,
) -> Result<Flow, EngineError> {
    if incoming.is_json() {
        let mut document = Vec::new();
        while let Some(bytes) = incoming.next(http).await? {
            document.extend_from_slice(bytes.as_ref());
        }
        return transcript.whole(&String::from_utf8_lossy(&document), clock.ms(), sink);
    }
    let mut decoder = Decoder::default();
    loop {
        let bytes = match incoming.next(http).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break,
            // The reply is whole; only its statistics are lost.
            Err(_) if transcript.is_ended() => break,
            Err(error) => return Err(error),
        };
        for data in decoder.push(bytes.as_ref()) {
            let flow = transcript.event(&data, clock.ms(), sink)?;
            if flow != Flow::More {
                return Ok(flow);
            }
        }
    }
    match decoder.finish() {
        // Half an event at a cut is no news of its own: that the stream was cut is.
        Some(data) if is_whole(&data) => transcript.event(&data, clock.ms(), sink),
        _ => Ok(Flow::Done),
    }
}

fn is_whole(data: &str) -> bool {
    data.trim() == "[DONE]" || serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok()
}

/// Time since a request was sent.
struct Clock(Instant);

impl Clock {
    fn ms(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1_000.0
    }
}

/// How to wait for a server that is loading: told once, then longer and longer.
struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(FIRST_WAIT)
    }
}

impl Patience {
    async fn wait(&mut self, sink: Sink<'_>) {
        if self.0 == FIRST_WAIT {
            sink(Delta::Notice { text: "the server is loading its model".into() });
        }
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LAST_WAIT);
    }
}

impl Engine for Endpoint {
    fn ready<'a>(&'a mut self, sink: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, EngineInfo> {
        let interrupted = || Err(EngineError::Unavailable("interrupted before the server answered".into()));
        Box::pin(async move { cancel.run_until_cancelled(self.info(sink)).await.unwrap_or_else(interrupted) })
    }

    fn turn<'a>(&'a mut self, request: &'a TurnRequest, sink: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, Reply> {
        Box::pin(async move {
            let reply = self.generate(request, sink, cancel).await;
            if let Err(error) = &reply {
                self.learn_from(error);
            }
            reply
        })
    }

    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens> {
        Box::pin(self.counted(text))
    }

    fn render<'a>(&'a mut self, request: &'a TurnRequest) -> Answer<'a, Option<Rendered>> {
        Box::pin(self.rendered(request))
    }
}

#[cfg(test)]
mod tests;
