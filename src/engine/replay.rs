//! The engine that says what was recorded: for tests and for bug reports.
//!
//! It knows no model. A turn is played whatever was asked, so a recording tests what stands on the engine; only the window
//! (when the recording names one) and the usage depend on the request, and both are estimates that come out the same on
//! every machine. A raw turn is the model's own output: llama.cpp's parser reads it where one was handed in, and the
//! recovery of calls written as text otherwise.

use crate::engine::call_ids::CallIds;
use crate::engine::recover::recover_or_begun;
use crate::engine::repetition::Repetition;
use crate::engine::{Answer, Engine, EngineError, Sink, estimate};
use crate::protocol::message::{Call, Message};
use crate::protocol::turn::{Delta, EngineInfo, Profile, Rendered, Reply, Stop, ToolCard, TurnRequest, Usage};
use crate::units::Tokens;
use serde::Deserialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Reads a raw turn as the model's template would have it read: the output, the request, the recording's template.
pub type RawParser = Box<dyn Fn(&str, &TurnRequest, Option<&Path>) -> Result<Reply, EngineError> + Send>;

/// How much text a delta carries, in bytes: small enough that a short answer streams, too.
const PIECE: usize = 16;

/// Recorded turns, played one after the other.
pub struct Replay {
    path: PathBuf,
    head: Head,
    turns: Vec<Turn>,
    played: usize,
    parser: Option<RawParser>,
    /// What was asked last, in as many conversations as it writes side by side.
    previous: VecDeque<(Vec<Message>, Vec<ToolCard>)>,
}

/// The first line of a recording.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    replay: u32,
    /// A chat template's file, relative to the recording.
    template: Option<PathBuf>,
    /// The window that the recording plays in; a request that is estimated to be larger overflows.
    window: Option<Tokens>,
    /// How many turns it claims to write side by side. It plays them in the order of the requests.
    #[serde(default)]
    forks: u32,
}

/// A turn's line. Unknown fields are errors: a recording that is half understood shows nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    text: Option<String>,
    thinking: Option<String>,
    calls: Option<Vec<RecordedCall>>,
    stop: Option<Stop>,
    raw: Option<String>,
    error: Option<RecordedError>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedCall {
    name: String,
    /// A text is passed on as it is, so that a recording can hold a call that was cut off.
    arguments: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedError {
    kind: ErrorKind,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ErrorKind {
    Overflow,
    Lost,
}

impl Replay {
    /// Reads a recording whole. Errors name the line that is not one.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let broken = |line: usize, reason: String| EngineError::Replay { path: path.to_owned(), line, reason };
        let unread = |e| EngineError::Unavailable(format!("cannot read the replay `{}`: {e}", path.display()));
        let recording = std::fs::read_to_string(path).map_err(unread)?;
        let mut lines = recording.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(|(_, line)| !line.trim().is_empty());
        let (line, first) = lines.next().ok_or_else(|| broken(1, "the file is empty".into()))?;
        let mut head: Head = serde_json::from_str(first).map_err(|e| broken(line, e.to_string()))?;
        if head.replay != 1 {
            return Err(broken(line, format!("version {} is not known", head.replay)));
        }
        let beside = path.parent().unwrap_or(Path::new(""));
        head.template = head.template.map(|template| beside.join(template));
        let mut turns = Vec::new();
        for (line, text) in lines {
            let turn: Turn = serde_json::from_str(text).map_err(|e| broken(line, e.to_string()))?;
            turn.check().map_err(|reason| broken(line, reason.into()))?;
            turns.push(turn);
        }
        Ok(Self { path: path.to_owned(), head, turns, played: 0, parser: None, previous: VecDeque::new() })
    }

    /// Has raw turns read by `parser`, as the recording's template says.
    #[must_use]
    pub fn with_parser(mut self, parser: RawParser) -> Self {
        self.parser = Some(parser);
        self
    }

    async fn play(&mut self, request: &TurnRequest, sink: Sink<'_>, cancel: &CancellationToken) -> Result<Reply, EngineError> {
        let mut usage = self.prefill(request)?;
        let turn = self.turns.get(self.played).cloned();
        let turn = turn.ok_or_else(|| EngineError::Exhausted { path: self.path.clone(), turn: self.played + 1 })?;
        self.played += 1;
        if let Some(RecordedError { kind }) = turn.error {
            return Err(match kind {
                ErrorKind::Overflow => EngineError::Overflow { prompt: usage.prompt, window: self.window_below(usage.prompt) },
                ErrorKind::Lost => EngineError::Lost { reason: "as recorded".into() },
            });
        }
        if self.previous.len() >= self.head.forks.max(1) as usize {
            self.previous.pop_front();
        }
        self.previous.push_back((request.messages.clone(), request.tools.clone()));
        sink(Delta::Prefill { done: usage.prefilled, total: usage.prefilled });
        let reply = self.reply(turn, request)?;
        let mut reply = stream(reply, sink, cancel).await;
        let calls: Tokens = reply.calls.iter().map(|c| estimate::text(&c.name) + estimate::text(&c.arguments)).sum();
        usage.generated = estimate::text(&reply.text) + estimate::text(&reply.thinking) + calls;
        reply.usage = usage;
        Ok(reply)
    }

    /// Estimates the prompt: what stood in front of a previous request as well is reused, the rest is prefilled.
    fn prefill(&self, request: &TurnRequest) -> Result<Usage, EngineError> {
        let prompt = estimate::prompt(request);
        if let Some(window) = self.head.window.filter(|window| prompt > *window) {
            return Err(EngineError::Overflow { prompt, window });
        }
        let alike = self.previous.iter().filter(|(_, tools)| *tools == request.tools);
        let reused = alike.map(|(messages, tools)| {
            let shared = request.messages.iter().zip(messages).take_while(|(now, then)| now == then);
            estimate::tools(tools) + shared.map(|(message, _)| estimate::message(message)).sum()
        });
        let reused = reused.max().unwrap_or_default();
        Ok(Usage { prompt, prefilled: prompt - reused, reused, ..Usage::default() })
    }

    /// A recorded overflow has to have a window that the prompt is over.
    fn window_below(&self, prompt: Tokens) -> Tokens {
        self.head.window.unwrap_or(prompt - Tokens(1))
    }

    fn reply(&self, turn: Turn, request: &TurnRequest) -> Result<Reply, EngineError> {
        let mut ids = CallIds::of(&request.messages);
        let mut reply = match (turn.raw, &self.parser) {
            (Some(raw), Some(parse)) => parse(&raw, request, self.head.template.as_deref())?,
            (Some(raw), None) => read_raw(raw, request),
            (None, _) => Reply {
                text: turn.text.unwrap_or_default(),
                thinking: turn.thinking.unwrap_or_default(),
                calls: turn.calls.unwrap_or_default().into_iter().map(RecordedCall::into_call).collect(),
                ..Reply::default()
            },
        };
        for call in &mut reply.calls {
            call.id = ids.take(&call.id);
        }
        reply.stop = turn.stop.unwrap_or(reply.stop);
        Ok(reply)
    }
}

impl Turn {
    fn check(&self) -> Result<(), &'static str> {
        let said = self.text.is_some() || self.thinking.is_some() || self.calls.is_some();
        match [said, self.raw.is_some(), self.error.is_some()].into_iter().filter(|kind| *kind).count() {
            1 => Ok(()),
            0 => Err("a turn has `text`, `thinking`, `calls`, `raw` or `error`"),
            _ => Err("`raw` and `error` stand alone in a turn"),
        }
    }
}

impl RecordedCall {
    fn into_call(self) -> Call {
        let arguments = match self.arguments {
            Value::String(verbatim) => verbatim,
            other => other.to_string(),
        };
        Call { id: String::new(), name: self.name, arguments }
    }
}

/// Reads a raw turn without its template: a thought in front, and calls where they are certain.
fn read_raw(raw: String, request: &TurnRequest) -> Reply {
    let thought = raw.trim_start().strip_prefix("<think>").and_then(|rest| rest.split_once("</think>"));
    let (thinking, text) = match thought {
        Some((thinking, text)) => (thinking.trim_matches('\n').to_owned(), text.trim_start_matches('\n').to_owned()),
        None => (String::new(), raw),
    };
    match recover_or_begun(&text, &request.tools) {
        Some(found) => {
            let calls = found.calls.into_iter().map(|(name, arguments)| Call { id: String::new(), name, arguments });
            Reply { text: found.text, thinking, calls: calls.collect(), ..Reply::default() }
        }
        None => Reply { text, thinking, ..Reply::default() },
    }
}

/// Says a reply piece by piece, and cuts it where it repeats itself or is cancelled.
async fn stream(reply: Reply, sink: Sink<'_>, cancel: &CancellationToken) -> Reply {
    let mut said = Reply { stop: reply.stop, ..Reply::default() };
    let parts = [(reply.thinking, true), (reply.text, false)];
    for (whole, is_thought) in parts {
        let mut watch = Repetition::default();
        for piece in pieces(&whole) {
            tokio::task::yield_now().await;
            if cancel.is_cancelled() {
                return Reply { stop: Stop::Cancelled, ..said };
            }
            let text = piece.to_owned();
            let into = if is_thought { &mut said.thinking } else { &mut said.text };
            into.push_str(piece);
            sink(if is_thought { Delta::Thinking { text } } else { Delta::Text { text } });
            if watch.push(piece) {
                return Reply { stop: Stop::Repetition, ..said };
            }
        }
    }
    if cancel.is_cancelled() {
        return Reply { stop: Stop::Cancelled, ..said };
    }
    for call in &reply.calls {
        sink(Delta::Call { name: call.name.clone() });
    }
    Reply { calls: reply.calls, ..said }
}

fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.ceil_char_boundary(PIECE));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

impl Engine for Replay {
    fn ready<'a>(&'a mut self, _sink: Sink<'a>, _cancel: &'a CancellationToken) -> Answer<'a, EngineInfo> {
        let info = EngineInfo {
            model: "replay".into(),
            window: self.head.window,
            exact: false,
            thinks: false,
            profile: Profile::Full,
            grounds: false,
            forks: self.head.forks,
        };
        Box::pin(async { Ok(info) })
    }

    fn turn<'a>(&'a mut self, request: &'a TurnRequest, sink: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, Reply> {
        Box::pin(self.play(request, sink, cancel))
    }

    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens> {
        Box::pin(async { Ok(estimate::text(text)) })
    }

    fn render<'a>(&'a mut self, _request: &'a TurnRequest) -> Answer<'a, Option<Rendered>> {
        Box::pin(async { Ok(None) })
    }
}

#[cfg(test)]
mod tests;
