//! A scripted engine, scripted tools, and a terse trace of what came of them.

use crate::agent::approval::{Approve, Policy};
use crate::agent::limits::Limits;
use crate::agent::{Agent, Generation, Report, Task, Tools};
use crate::engine::{Answer, Engine, EngineError, Sink};
use crate::path::Root;
use crate::protocol::event::{Event, Outcome};
use crate::protocol::message::{Call, Message};
use crate::protocol::tool::{Change, ChangeKind, ToolAnswer, ToolFailure};
use crate::protocol::turn::{EngineInfo, Profile, Rendered, Reply, Sampling, Stop, ToolCard, TurnRequest, Usage};
use crate::tools::checks::Checks;
use crate::tools::{CheckedCall, Effect, Mode, Workbench};
use crate::units::Tokens;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// What the engine does in one turn.
pub enum Turn {
    Reply(Reply),
    Error(EngineError),
    /// Cancels a token, and does nothing until it is cancelled itself.
    Wait(CancellationToken),
    /// Nothing, and deaf to a cancel.
    Hang,
}

pub fn text(text: &str) -> Turn {
    Turn::Reply(Reply { text: text.into(), ..Reply::default() })
}

pub fn stopped(stop: Stop, text: &str) -> Turn {
    Turn::Reply(Reply { text: text.into(), stop, ..Reply::default() })
}

pub fn thought(thinking: &str) -> Turn {
    Turn::Reply(Reply { thinking: thinking.into(), ..Reply::default() })
}

pub fn calls(calls: &[(&str, &str)]) -> Turn {
    let call = |(at, (name, arguments)): (usize, &(&str, &str))| Call {
        id: format!("id{at}"),
        name: (*name).into(),
        arguments: (*arguments).into(),
    };
    Turn::Reply(Reply { calls: calls.iter().enumerate().map(call).collect(), ..Reply::default() })
}

pub fn call(name: &str, arguments: &str) -> Turn {
    calls(&[(name, arguments)])
}

pub fn read(path: &str) -> Turn {
    call("read", &json!({ "path": path }).to_string())
}

pub fn cut(turn: Turn) -> Turn {
    match turn {
        Turn::Reply(reply) => Turn::Reply(Reply { stop: Stop::Length, ..reply }),
        other => other,
    }
}

pub fn costing(prompt: u32, generated: u32, turn: Turn) -> Turn {
    let usage = Usage { prompt: Tokens(prompt), prefilled: Tokens(prompt), generated: Tokens(generated), ..Usage::default() };
    match turn {
        Turn::Reply(reply) => Turn::Reply(Reply { usage, ..reply }),
        other => other,
    }
}

pub fn overflow(prompt: u32, window: u32) -> Turn {
    Turn::Error(EngineError::Overflow { prompt: Tokens(prompt), window: Tokens(window) })
}

/// A token is a word.
pub fn words(text: &str) -> Tokens {
    Tokens(text.split_whitespace().count() as u32)
}

struct Script {
    turns: VecDeque<Turn>,
    window: Option<Tokens>,
    requests: Arc<Mutex<Vec<TurnRequest>>>,
}

impl Engine for Script {
    fn ready<'a>(&'a mut self, _: Sink<'a>, _: &'a CancellationToken) -> Answer<'a, EngineInfo> {
        let info = EngineInfo {
            model: "script".into(),
            window: self.window,
            exact: true,
            thinks: true,
            profile: Profile::Full,
            grounds: false,
            forks: 0,
        };
        Box::pin(async { Ok(info) })
    }

    fn turn<'a>(&'a mut self, request: &'a TurnRequest, _: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, Reply> {
        self.requests.lock().unwrap().push(request.clone());
        let turn = self.turns.pop_front();
        Box::pin(async move {
            match turn {
                Some(Turn::Reply(reply)) => Ok(reply),
                Some(Turn::Error(error)) => Err(error),
                Some(Turn::Wait(person)) => {
                    person.cancel();
                    cancel.cancelled().await;
                    Ok(Reply { text: "half a".into(), stop: Stop::Cancelled, ..Reply::default() })
                }
                Some(Turn::Hang) => std::future::pending().await,
                None => Err(EngineError::Unavailable("the script has ended".into())),
            }
        })
    }

    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens> {
        Box::pin(async { Ok(words(text)) })
    }

    fn render<'a>(&'a mut self, _: &'a TurnRequest) -> Answer<'a, Option<Rendered>> {
        Box::pin(async { Ok(None) })
    }
}

type Act = Box<dyn Fn(&CheckedCall, &mut Workbench, usize) -> ToolAnswer + Send + Sync>;

/// Three tools: `read {path}`, `edit {path}` and `run {command}`; `act` answers, told how many calls came before.
pub struct Hands {
    act: Act,
    performed: Mutex<usize>,
}

const TOOLS: [(&str, &str, Effect); 3] =
    [("read", "path", Effect::Read), ("edit", "path", Effect::Edit), ("run", "command", Effect::Run)];

pub fn cards() -> Vec<ToolCard> {
    let card = |(name, argument, _): &(&str, &str, Effect)| ToolCard {
        name: (*name).into(),
        description: String::new(),
        parameters: json!({"type": "object", "required": [argument], "properties": {*argument: {"type": "string"}}}),
    };
    TOOLS.iter().map(card).collect()
}

pub fn checked(call: &Call) -> Result<CheckedCall, ToolFailure> {
    let failure = |kind: &str, message: String, hint: String| ToolFailure { kind: kind.into(), message, hint };
    let Some((name, argument, effect)) = TOOLS.iter().find(|tool| tool.0 == call.name) else {
        let known = TOOLS.map(|tool| tool.0).join(", ");
        return Err(failure("unknown_tool", format!("there is no tool `{}`", call.name), format!("The tools are {known}.")));
    };
    let arguments: Value = serde_json::from_str(&call.arguments).expect("the loop sorts out broken arguments");
    if !arguments[*argument].is_string() {
        return Err(failure("arguments", format!("`{argument}` is missing"), format!("`{name}` takes {argument} (string).")));
    }
    Ok(CheckedCall { id: call.id.clone(), name: (*name).into(), arguments, effect: *effect })
}

impl Tools for Hands {
    fn cards(&self, _: Mode) -> Vec<ToolCard> {
        cards()
    }

    fn check(&self, call: &Call, _: Mode) -> Result<CheckedCall, ToolFailure> {
        checked(call)
    }

    fn perform(&self, bench: &mut Workbench, call: &CheckedCall) -> ToolAnswer {
        let before = {
            let mut performed = self.performed.lock().unwrap();
            *performed += 1;
            *performed - 1
        };
        (self.act)(call, bench, before)
    }
}

pub fn edited(path: &str) -> ToolAnswer {
    ToolAnswer { changes: vec![Change { path: path.into(), change: ChangeKind::Modified }], ..ToolAnswer::done("edited") }
}

/// A world for one run of the loop.
pub struct World {
    pub turns: Vec<Turn>,
    pub window: Option<u32>,
    pub limits: Limits,
    pub approval: Policy,
    /// Who is asked, when it is not the policy.
    pub asked: Option<Box<dyn Approve>>,
    pub opening: Vec<Message>,
    pub act: Act,
    pub cancel: CancellationToken,
    /// The work is a micro model's, with this test command.
    pub micro: Option<&'static str>,
}

impl World {
    pub fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self {
            turns: turns.into_iter().collect(),
            window: None,
            limits: Limits::default(),
            approval: Policy::All,
            asked: None,
            opening: vec![Message::System { text: "Be good.".into() }, Message::User { text: "Fix it.".into() }],
            act: Box::new(|call, _, _| match call.effect {
                Effect::Edit => edited(call.arguments["path"].as_str().unwrap()),
                _ => ToolAnswer::done(format!("{} {}", call.name, call.arguments)),
            }),
            cancel: CancellationToken::new(),
            micro: None,
        }
    }

    pub fn act(self, act: impl Fn(&CheckedCall, &mut Workbench, usize) -> ToolAnswer + Send + Sync + 'static) -> Self {
        Self { act: Box::new(act), ..self }
    }

    pub fn window(self, window: u32) -> Self {
        Self { window: Some(window), ..self }
    }

    /// Runs with tools whose answers are scripted.
    pub fn run(mut self) -> Ran {
        let act = std::mem::replace(&mut self.act, Box::new(|_, _, _| unreachable!("moved into the tools")));
        let toolbox = Arc::new(Hands { act, performed: Mutex::new(0) });
        let dir = tempfile::tempdir().unwrap();
        let ran = self.run_with(Arc::clone(&toolbox), dir.path());
        let performed = *toolbox.performed.lock().unwrap();
        Ran { performed, ..ran }
    }

    /// Runs with any tools in a project.
    pub fn run_with<T: Tools>(self, toolbox: Arc<T>, project: &Path) -> Ran {
        let requests = Arc::default();
        let window = self.window.map(Tokens);
        let engine = Script { turns: self.turns.into(), window, requests: Arc::clone(&requests) };
        let mut agent = Agent { engine: Box::new(engine), toolbox, cancel: self.cancel };
        let generation =
            Generation { sampling: Sampling::default(), max_tokens: Tokens(500), thinking_budget: None, thinking: true };
        let task = Task {
            root: Root::open(project).unwrap(),
            mode: Mode::Chat,
            opening: self.opening.clone(),
            limits: self.limits,
            generation,
            approval: self.approval,
            logs: project.join("logs"),
            checks: Checks::Off,
            grounds: None,
        };
        let task = if self.micro.is_some() { task.micro("Fix it.", self.micro) } else { task };
        let mut events = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut sink = |event: &Event| events.push(event.clone());
        let report = match self.asked {
            Some(mut person) => runtime.block_on(agent.work_asking(task, person.as_mut(), &mut sink)),
            None => runtime.block_on(agent.work(task, &mut sink)),
        };
        runtime.shutdown_background();
        let requests = std::mem::take(&mut *requests.lock().unwrap());
        Ran { opening: self.opening, events, report, requests, performed: 0 }
    }
}

/// What came of it.
pub struct Ran {
    pub opening: Vec<Message>,
    pub events: Vec<Event>,
    pub report: Report,
    pub requests: Vec<TurnRequest>,
    /// Calls that the scripted tools performed.
    pub performed: usize,
}

impl Ran {
    /// The events in short.
    pub fn trace(&self) -> String {
        let word = |event: &Event| match event {
            Event::Delta(_) => "delta".to_owned(),
            Event::Window(_) => "window".to_owned(),
            Event::Compacted(compacted) => format!("compacted:{:?}", compacted.stage).to_lowercase(),
            Event::Turn { step, .. } => format!("turn{step}"),
            Event::Calling { call } => format!("calling:{}", call.name),
            Event::Called { name, answer, .. } => {
                format!("called:{name}:{}", answer.error.as_ref().map_or("ok", |error| &error.kind))
            }
            Event::Nudge { .. } => "nudge".to_owned(),
            Event::Done { outcome } => format!("done:{}", kind(outcome)),
        };
        self.events.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// The reason that the run ended with, or the text.
    pub fn reason(&self) -> &str {
        match &self.report.outcome {
            Outcome::Finished { text: reason }
            | Outcome::Failed { reason }
            | Outcome::Budget { reason }
            | Outcome::Engine { reason }
            | Outcome::Denied { reason } => reason,
            Outcome::Interrupted => "",
        }
    }

    /// The texts that answered calls, in order.
    pub fn answers(&self) -> Vec<&str> {
        let answers = self.events.iter().filter_map(|event| match event {
            Event::Called { answer, .. } => Some(answer.text.as_str()),
            _ => None,
        });
        answers.collect()
    }

    /// The last message of the last request.
    pub fn last_said(&self) -> &Message {
        self.requests.last().unwrap().messages.last().unwrap()
    }
}

pub fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Finished { .. } => "finished",
        Outcome::Failed { .. } => "failed",
        Outcome::Budget { .. } => "budget",
        Outcome::Engine { .. } => "engine",
        Outcome::Denied { .. } => "denied",
        Outcome::Interrupted => "interrupted",
    }
}
