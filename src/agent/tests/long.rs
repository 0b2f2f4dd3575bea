//! Sessions of ten thousand steps in small windows, with results of any size: what must hold over all of them.
//!
//! The engine counts exactly and says overflow when a prompt leaves no room; the model behind it reads, searches, runs and edits,
//! and edits only what stands before it: a file whose reading is gone it reads again.

use crate::agent::approval::Policy;
use crate::agent::limits::Limits;
use crate::agent::tests::fakes::{cards, checked, kind};
use crate::agent::{Agent, Generation, Task, Tools};
use crate::context::heading::heading;
use crate::engine::{Answer, Engine, EngineError, Sink};
use crate::path::Root;
use crate::protocol::event::{Event, Stage};
use crate::protocol::message::{Call, Message};
use crate::protocol::tool::{ToolAnswer, ToolFailure};
use crate::protocol::turn::{EngineInfo, Profile, Rendered, Reply, Sampling, Stop, ToolCard, TurnRequest, Usage};
use crate::sessions::fold::follow;
use crate::tools::{CheckedCall, Effect, Mode, Workbench};
use crate::units::Tokens;
use serde_json::json;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

const STEPS: u32 = 10_000;
const PLAN: &str = "1. read what is named\n2. change it\n3. run the tests";
const TASK: &str = "Fix what is wrong in every file.";
/// Turns behind a compaction in which a reading counts as caused by it.
const SOON: u32 = 3;

/// A small generator (xorshift64*, Vigna 2016): the same session each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Spread evenly over the powers of ten from nothing to `10^decades`.
    fn size(&mut self, decades: f64) -> usize {
        let exponent = self.below(1 << 20) as f64 / f64::from(1 << 20) * decades;
        10f64.powf(exponent) as usize - 1
    }
}

/// Four bytes are a token.
fn tokens(text: &str) -> Tokens {
    Tokens(text.len().div_ceil(4) as u32)
}

fn rendered(messages: &[Message]) -> String {
    let mut out = String::new();
    for message in messages {
        let _ = match message {
            Message::System { text } => write!(out, "<|system|>{text}<|end|>"),
            Message::User { text } => write!(out, "<|user|>{text}<|end|>"),
            Message::Tool { call, name, text } => write!(out, "<|tool|>{name} {call}\n{text}<|end|>"),
            Message::Assistant { text, thinking, calls } => {
                let _ = write!(out, "<|assistant|>{thinking}\n{text}");
                calls.iter().try_for_each(|call| write!(out, "<call>{} {} {}", call.id, call.name, call.arguments))
            }
            .and_then(|()| write!(out, "<|end|>")),
        };
    }
    out
}

/// How many bytes two texts begin with in common.
fn common(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    for size in [4_096, 64, 1] {
        while at + size <= a.len().min(b.len()) && a[at..at + size] == b[at..at + size] {
            at += size;
        }
    }
    at
}

#[derive(Debug, Default)]
struct Seen {
    turns: u32,
    summaries: u32,
    overflows: u32,
    /// Tokens that were processed though they stood in the cache before, and those of the questions for a summary.
    again: u64,
    asked: u64,
    rereads: u32,
    /// The turn of the last compaction.
    compacted_at: u32,
    /// The latest results were processed with the question for a summary.
    known: bool,
}

struct Model {
    window: u32,
    chance: Chance,
    cache: String,
    seen: Arc<Mutex<Seen>>,
    ids: u64,
    /// The file that is worked on, and how many other things are done before it is edited.
    file: u64,
    other: u64,
    read_before: Vec<u64>,
}

impl Model {
    fn call(&mut self, name: &str, arguments: serde_json::Value, about: usize) -> Reply {
        self.ids += 1;
        let call = Call { id: format!("c{}", self.ids), name: name.into(), arguments: arguments.to_string() };
        let text = if self.chance.below(3) == 0 { "I look at it. ".repeat(about) } else { String::new() };
        let thinking = "Let me think. ".repeat(self.chance.below(6) as usize);
        Reply { text, thinking, calls: vec![call], ..Reply::default() }
    }

    fn read(&mut self) -> Reply {
        let path = format!("file{}.rs", self.file);
        self.call("read", json!({ "path": path, "at": self.ids }), 1)
    }

    fn work(&mut self, messages: &[Message]) -> Reply {
        if self.seen.lock().unwrap().turns == 1 {
            return Reply { text: PLAN.into(), ..self.read() };
        }
        if self.other > 0 {
            self.other -= 1;
            let arguments = json!({ "command": format!("grep -n thing{} -r .", self.ids) });
            return self.call("run", arguments, 2);
        }
        let path = format!("file{}.rs", self.file);
        let shown = |message: &Message| matches!(message, Message::Tool { text, .. } if heading(text).is_some_and(|shown| shown.path == path));
        if !messages.iter().any(shown) {
            let soon = {
                let seen = self.seen.lock().unwrap();
                seen.turns - seen.compacted_at <= SOON
            };
            if self.read_before.contains(&self.file) && soon {
                self.seen.lock().unwrap().rereads += 1;
            }
            self.read_before.push(self.file);
            return self.read();
        }
        let again = self.chance.below(3);
        let search = "x = 1\n".repeat(1 + self.chance.below(20) as usize);
        let arguments = json!({ "path": path, "search": search, "replace": "y = 2", "at": self.ids });
        if again > 0 {
            self.read_before.clear();
            self.file = self.chance.below(40);
        }
        self.other = self.chance.below(5);
        self.call("edit", arguments, 1)
    }

    /// Notes what a turn processed beside the results that are new to the model.
    fn account(&self, request: &TurnRequest, asked: bool, shared: usize, prefilled: Tokens) {
        let mut seen = self.seen.lock().unwrap();
        let results = request.messages.iter().rev().take_while(|message| matches!(message, Message::Tool { .. })).count();
        let fresh = rendered(&request.messages[request.messages.len() - results..]);
        let question = fresh.rfind("\n\nThe window").map_or(0, |at| fresh.len() - at);
        let fresh = if seen.known { 0 } else { fresh.len() - if asked { question } else { 0 } };
        let again = u64::from((prefilled - Tokens((fresh / 4) as u32)).0);
        seen.known = asked;
        if asked {
            seen.asked += again;
            return;
        }
        seen.turns += 1;
        if shared + "<|end|>".len() < self.cache.len() {
            seen.compacted_at = seen.turns;
            seen.again += again;
        }
    }

    fn sum_up(&mut self, most: Tokens) -> Result<Reply, EngineError> {
        self.seen.lock().unwrap().summaries += 1;
        Ok(match self.chance.below(8) {
            0 => Reply::default(),
            1 => self.read(),
            2 => return Err(EngineError::Lost { reason: "it was killed".into() }),
            3 => Reply { text: "And so on ".repeat(most.0 as usize), stop: Stop::Length, ..Reply::default() },
            _ => Reply {
                text: "It is in here. ".repeat(1 + self.chance.below(u64::from(most.0) / 4) as usize),
                ..Reply::default()
            },
        })
    }
}

impl Engine for Model {
    fn ready<'a>(&'a mut self, _: Sink<'a>, _: &'a CancellationToken) -> Answer<'a, EngineInfo> {
        let window = Some(Tokens(self.window));
        Box::pin(async move {
            Ok(EngineInfo {
                model: "long".into(),
                window,
                exact: true,
                thinks: true,
                profile: Profile::Full,
                grounds: false,
                forks: 0,
            })
        })
    }

    fn turn<'a>(&'a mut self, request: &'a TurnRequest, _: Sink<'a>, _: &'a CancellationToken) -> Answer<'a, Reply> {
        let asked = request.thinking_budget == Some(Tokens::ZERO);
        let text = rendered(&request.messages);
        let (prompt, shared) = (tokens(&text), common(&self.cache, &text));
        let reused = Tokens((shared / 4) as u32);
        self.account(request, asked, shared, prompt - reused);
        self.cache = text;
        if prompt + request.max_tokens.min(Tokens(256)) > Tokens(self.window) {
            self.seen.lock().unwrap().overflows += 1;
            let window = Tokens(self.window);
            return Box::pin(async move { Err(EngineError::Overflow { prompt, window }) });
        }
        check(request);
        let reply = if asked { self.sum_up(request.max_tokens) } else { Ok(self.work(&request.messages)) };
        let reply = reply.map(|mut reply| {
            let written = rendered(&[Message::Assistant {
                text: reply.text.clone(),
                thinking: reply.thinking.clone(),
                calls: reply.calls.clone(),
            }]);
            self.cache.push_str(&written);
            let generated = tokens(&written).min(request.max_tokens);
            reply.usage = Usage { prompt, prefilled: prompt - reused, reused, generated, ..Usage::default() };
            reply
        });
        Box::pin(async move { reply })
    }

    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens> {
        Box::pin(async move { Ok(tokens(text)) })
    }

    fn render<'a>(&'a mut self, _: &'a TurnRequest) -> Answer<'a, Option<Rendered>> {
        Box::pin(async { Ok(None) })
    }
}

/// What every request holds: the task and the plan, and each call with its answer.
fn check(request: &TurnRequest) {
    let [Message::System { .. }, Message::User { text }, rest @ ..] = &request.messages[..] else {
        panic!("it begins otherwise: {:?}", &request.messages[..2])
    };
    assert!(text.starts_with(TASK), "{text}");
    let planned = |message: &Message| matches!(message, Message::Assistant { text, .. } if text == PLAN);
    assert!(rest.is_empty() || text.contains(PLAN) || rest.iter().any(planned), "the plan is gone");
    let mut waiting: Vec<&str> = Vec::new();
    for message in rest {
        match message {
            Message::Assistant { calls, .. } => {
                assert!(waiting.is_empty(), "{waiting:?} are not answered");
                waiting = calls.iter().rev().map(|call| call.id.as_str()).collect();
            }
            Message::Tool { call, .. } => assert_eq!(waiting.pop(), Some(call.as_str())),
            other => panic!("nobody else speaks: {other:?}"),
        }
    }
    assert!(waiting.is_empty());
}

/// Tools whose results have any size, from nothing to 10 MB.
struct Wild {
    chance: Mutex<Chance>,
    /// Bytes above which most results are no longer.
    cut: usize,
}

impl Tools for Wild {
    fn cards(&self, _: Mode) -> Vec<ToolCard> {
        cards()
    }

    fn check(&self, call: &Call, _: Mode) -> Result<CheckedCall, ToolFailure> {
        checked(call)
    }

    fn perform(&self, _: &mut Workbench, call: &CheckedCall) -> ToolAnswer {
        let mut chance = self.chance.lock().unwrap();
        let size = chance.size(7.0);
        // What is larger than any window is cut all the same: most of it is made no longer than that, for the sake of time.
        let size = if size > self.cut && chance.below(100) > 0 { self.cut } else { size };
        let line = "let it be as long as a line of code often is, which is no more than this; ".repeat(4) + "\n";
        let body = line.repeat(size / line.len() + 1);
        let path = call.arguments["path"].as_str().unwrap_or_default();
        let text = match (call.effect, call.name.as_str()) {
            (Effect::Edit, _) => format!("edited {path} at line 3"),
            (_, "read") => format!("{path} lines 1-{0} of {0}\n{1}", size / line.len() + 1, &body[..size]),
            _ => format!("exit code {}\n{}", size % 2, &body[..size]),
        };
        ToolAnswer::done(text)
    }
}

/// What came of a session.
#[derive(Debug, Default)]
struct Told {
    steps: u32,
    stages: [u32; 4],
    worst: f64,
}

fn session(window: u32, steps: u32) -> (Told, Seen) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let engine = Model {
        window,
        chance: Chance(0x9e37_79b9 + u64::from(window)),
        cache: String::new(),
        seen: Arc::clone(&seen),
        ids: 0,
        file: 1,
        other: 0,
        read_before: Vec::new(),
    };
    let mut agent = Agent {
        engine: Box::new(engine),
        toolbox: Arc::new(Wild { chance: Mutex::new(Chance(7)), cut: (window as usize * 4).min(40_000) }),
        cancel: CancellationToken::new(),
    };
    let project = tempfile::tempdir().unwrap();
    let opening = vec![
        Message::System { text: "Be good. ".repeat(4 * 1_000 / 9) },
        Message::User { text: format!("{TASK}{}", " ".repeat(400)) },
    ];
    let task = Task {
        root: Root::open(project.path()).unwrap(),
        mode: Mode::Chat,
        opening: opening.clone(),
        limits: Limits { steps: Some(steps), ..Limits::default() },
        generation: Generation {
            sampling: Sampling::default(),
            max_tokens: Tokens(4_096),
            thinking_budget: None,
            thinking: true,
        },
        approval: Policy::All,
        logs: project.path().join("logs"),
        checks: crate::tools::checks::Checks::Off,
        grounds: None,
    };
    let (mut told, mut folded) = (Told::default(), opening);
    let mut sink = |event: &Event| {
        follow(&mut folded, event);
        assert!(!matches!(event, Event::Called { answer: ToolAnswer { ok: false, .. }, .. }), "{event:?}");
        if let Event::Compacted(compacted) = event {
            told.stages[compacted.stage as usize] += 1;
            told.worst = told.worst.max(f64::from(compacted.after.0) / f64::from(compacted.before.0));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let report = runtime.block_on(agent.work(task, &mut sink));
    assert_eq!((kind(&report.outcome), report.steps), ("budget", steps), "{:?}", report.outcome);
    told.steps = report.steps;
    drop(agent);
    (told, Arc::into_inner(seen).unwrap().into_inner().unwrap())
}

fn holds(window: u32) {
    let (told, seen) = session(window, STEPS);
    let compactions: u32 = told.stages.iter().sum();
    let per_step = |tokens: u64| tokens as f64 / f64::from(told.steps) / f64::from(window) * 100.0;
    eprintln!(
        "window {window}: {compactions} compactions {:?}, worst left {:.2}, processed again {:.2} % of the window per step \
         (questions {:.2} %), {} summaries, {} files read again",
        told.stages,
        told.worst,
        per_step(seen.again + seen.asked),
        per_step(seen.asked),
        seen.summaries,
        seen.rereads
    );
    assert_eq!(seen.overflows, 0);
    assert!(told.worst <= 0.5, "{told:?}");
    assert!(per_step(seen.again + seen.asked) <= 2.0, "{seen:?}");
    assert_eq!(told.stages[Stage::Latest as usize], 0);
    assert!(told.stages[Stage::Results as usize] > 0 && told.stages[Stage::Facts as usize] > 0, "{told:?}");
}

#[test]
fn a_window_of_4k_never_overflows() {
    holds(4_096);
}

#[test]
fn a_window_of_8k_never_overflows() {
    holds(8_192);
}

#[test]
fn a_window_of_32k_never_overflows() {
    holds(32_768);
}
