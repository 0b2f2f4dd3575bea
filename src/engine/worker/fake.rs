//! A backend that does what the last message says, for tests.

use crate::engine::EngineError;
use crate::engine::backend::Backend;
use crate::protocol::message::Message;
use crate::protocol::turn::{
    Delta, EngineInfo, Profile, Rendered, Reply, Sampling, ScoreRequest, Scores, Stop, ToolChoice, TurnRequest, Usage,
};
use crate::units::Tokens;
use std::fs::File;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

/// Understands `say WORD…` (streams the words), `grow` (has twice the window from then on), `hold` (prefills until it is cancelled), `overflow`, `panic`, `abort`
/// (ends the process), `abort unless PATH` (makes PATH and aborts, or says `back` when it is there) and `ignore all until
/// PATH` (says `half` and hears no cancel until PATH is there). Asked for scores it does the same, and finds long texts
/// unlikely.
pub struct Fake {
    /// Hears what each turn was asked, as it begins, and `rest` as the fake rests.
    heard: Option<Sender<String>>,
    window: Tokens,
}

impl Fake {
    pub fn new(heard: Option<Sender<String>>) -> Self {
        Self { heard, window: Tokens(4096) }
    }
}

impl Backend for Fake {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            model: "fake".into(),
            window: Some(self.window),
            exact: true,
            thinks: false,
            profile: Profile::Full,
            grounds: false,
            forks: 0,
        }
    }

    fn turn(&mut self, request: &TurnRequest, sink: &mut dyn FnMut(Delta), cancel: &AtomicBool) -> Result<Reply, EngineError> {
        let Some(Message::User { text }) = request.messages.last() else { panic!("the fake is spoken to by users") };
        if let Some(heard) = &self.heard {
            heard.send(text.clone()).unwrap();
        }
        let (order, rest) = text.split_once(' ').unwrap_or((text, ""));
        match order {
            "say" => {
                for word in rest.split(' ') {
                    sink(Delta::Text { text: word.into() });
                }
                let usage = Usage { generated: Tokens(1), ..Usage::default() };
                Ok(Reply { text: rest.into(), usage, ..Reply::default() })
            }
            "hold" => {
                sink(Delta::Prefill { done: Tokens(0), total: Tokens(9) });
                while !cancel.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(Reply { stop: Stop::Cancelled, ..Reply::default() })
            }
            "ignore" => {
                sink(Delta::Text { text: "half".into() });
                let path = rest.strip_prefix("all until ").unwrap();
                while !Path::new(path).exists() {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(Reply { stop: Stop::Cancelled, ..Reply::default() })
            }
            "grow" => {
                self.window = self.window + self.window;
                Ok(Reply::default())
            }
            "overflow" => Err(EngineError::Overflow { prompt: Tokens(5000), window: Tokens(4096) }),
            "abort" => {
                let mark = rest.strip_prefix("unless ");
                if mark.is_some_and(|path| File::create_new(path).is_err()) {
                    return Ok(Reply { text: "back".into(), ..Reply::default() });
                }
                sink(Delta::Text { text: "half".into() });
                eprintln!("ggml.c:7: GGML_ASSERT(sane) failed");
                process::abort()
            }
            _ => panic!("the fake was told to {text}"),
        }
    }

    fn rest(&mut self, _interrupted: &mut dyn FnMut() -> bool) {
        if let Some(heard) = &self.heard {
            // At the end nobody may be listening any more.
            let _ = heard.send("rest".into());
        }
    }

    fn count(&mut self, text: &str) -> Result<Tokens, EngineError> {
        Ok(Tokens(u32::try_from(text.split_whitespace().count()).unwrap()))
    }

    fn render(&mut self, request: &TurnRequest) -> Result<Option<Rendered>, EngineError> {
        Ok(Some(Rendered { text: format!("{} messages", request.messages.len()), tokens: Tokens(2) }))
    }

    fn score(
        &mut self,
        request: &ScoreRequest,
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<Option<Scores>, EngineError> {
        let turn = TurnRequest { messages: request.messages.clone(), ..asking("") };
        let reply = self.turn(&turn, sink, cancel)?;
        let logprobs = request.continuations.iter().map(|text| -(text.len() as f64)).collect();
        Ok((reply.stop != Stop::Cancelled).then_some(Scores { logprobs, ..Scores::default() }))
    }
}

/// A request whose last words are `order`.
pub fn asking(order: &str) -> TurnRequest {
    TurnRequest {
        messages: vec![Message::User { text: order.into() }],
        tools: Vec::new(),
        sampling: Sampling::default(),
        max_tokens: Tokens(16),
        thinking_budget: None,
        thinking: false,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}

/// A question for the likelihood of texts, with the same last words.
pub fn scoring(order: &str, texts: &[&str]) -> ScoreRequest {
    let continuations = texts.iter().map(|text| (*text).to_owned()).collect();
    ScoreRequest { messages: asking(order).messages, continuations }
}
