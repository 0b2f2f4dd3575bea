//! Whole episodes: an engine that knows the bug drives the loop and the tools as they are, so that what is written down is what a
//! model will see in use, byte for byte. The test command is really run: it fails, and passes in the end.

use crate::chance::Chance;
use crate::issue::{Bug, Level};
use crate::pool::Split;
use crate::rank::{Case, KINDS, LANGUAGES, LEVELS, Maker, Spoken, spoken, wished};
use crate::stage::{Decor, Stage};
use agent::agent::approval::Policy;
use agent::agent::limits::Limits;
use agent::agent::{Agent, Generation, Task};
use agent::engine::{Answer, Engine, Sink};
use agent::protocol::event::{Event, Outcome};
use agent::protocol::message::{Call, Message};
use agent::protocol::turn::{EngineInfo, Profile, Rendered, Reply, Sampling, TurnRequest, Usage};
use agent::repair::{Candidate, Kind, mutate};
use agent::sessions::fold::follow;
use agent::tools::grounded::search_at;
use agent::tools::{Mode, Toolbox};
use agent::units::Tokens;
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Text of a whole episode: what fits 1,024 tokens of a vocabulary made for code.
const LONGEST: usize = 2_800;
/// Bytes of a token, for the loop's budget.
const BYTES: usize = 3;
/// Readings of one file, after which the place counts as not found.
const READINGS: usize = 3;
/// Of a hundred episodes: how many begin with a wrong edit, or with a slip in copying.
const WRONG: u32 = 15;
const SLIPS: u32 = 2;

/// One line of the data.
#[derive(Serialize)]
pub struct Episode {
    task: &'static str,
    split: Split,
    kind: Kind,
    level: Level,
    language: Spoken,
    source: String,
    messages: Vec<Value>,
    /// The model's turns that are worth learning: all but the mistakes.
    learn: Vec<usize>,
}

/// What episodes are made with.
pub struct Theatre<'a> {
    pub maker: Maker<'a>,
    pub toolbox: Arc<Toolbox>,
    pub runtime: Runtime,
}

impl Theatre<'_> {
    /// The episode of that number. `None` where no function fits, the place cannot be named, or all of it is too long.
    pub fn episode(&self, number: usize) -> Result<Option<Episode>> {
        let maker = &self.maker;
        let mut chance = Chance::of(maker.seed, "episode", number);
        let (language, kind) = (wished(LANGUAGES, &mut chance), wished(KINDS, &mut chance));
        let level = wished(LEVELS, &mut chance);
        let Some(case) = maker.case(language, kind, &mut chance) else { return Ok(None) };
        let templates = if maker.split.held() { &maker.texts.held } else { &maker.texts.train };
        let bug = Bug { function: &case.function, mending: &case.mending, passages: &case.passages };
        let issue = templates.issue(&bug, level, &mut chance);
        let decor = self.decor(&case, &mut chance);
        let stage = Arc::new(Stage::set(&case.passages, &decor, &case.mending.new, &mut chance)?);
        let oracle = Oracle::of(&case, Arc::clone(&stage), &mut chance);
        let notes = Arc::clone(&oracle.notes);
        let messages = self.play(oracle, &issue)?;
        let bytes: usize = messages.iter().map(length).sum();
        let notes = notes.lock().map_err(|_| anyhow::anyhow!("the oracle broke down"))?;
        if notes.lost || bytes > LONGEST || !stage.is_mended() {
            return Ok(None);
        }
        let turns = messages.iter().enumerate().filter(|(_, message)| matches!(message, Message::Assistant { .. }));
        Ok(Some(Episode {
            task: "episode",
            split: maker.split,
            kind,
            level,
            language: spoken(language),
            source: case.source,
            learn: turns.zip(&notes.worth).filter(|(_, worth)| **worth).map(|((at, _), _)| at).collect(),
            messages: messages.iter().map(openai).collect::<Result<_>>()?,
        }))
    }

    /// Functions around the bug's, in its file and in another one.
    fn decor(&self, case: &Case, chance: &mut Chance) -> Decor {
        let (mut place, mut line) = (0, case.mending.label - 1);
        while line >= case.passages[place].lines.len() {
            line -= case.passages[place].lines.len();
            place += 1;
        }
        let target = &case.passages[place];
        let elsewhere = self.maker.path(target.language, chance);
        let mut others = Vec::new();
        for _ in 0..chance.below(6) {
            let Some((page, number)) = self.maker.pool.draw(target.language, chance) else { break };
            let function = &page.functions[number].function;
            let path = if chance.percent(60) { target.path.clone() } else { elsewhere.clone() };
            others.push(agent::repair::Passage {
                path,
                language: target.language,
                first: function.first,
                lines: function.without_prose(),
            });
        }
        Decor { others, target: (place, line), function: case.function.clone() }
    }

    /// Has the loop work on it, and gives the conversation.
    fn play(&self, oracle: Oracle, issue: &str) -> Result<Vec<Message>> {
        let stage = Arc::clone(&oracle.stage);
        let generation =
            Generation { sampling: Sampling::default(), max_tokens: Tokens(160), thinking_budget: None, thinking: false };
        let task = Task {
            root: stage.root.clone(),
            mode: Mode::Micro,
            opening: Vec::new(),
            limits: Limits { steps: Some(16), ..Limits::default() },
            generation,
            approval: Policy::All,
            logs: stage.logs(),
            checks: agent::tools::checks::Checks::Off,
            grounds: None,
        };
        let task = task.micro(issue, Some(stage.command));
        let mut messages = task.opening.clone();
        let notes = Arc::clone(&oracle.notes);
        let mut agent = Agent { engine: Box::new(oracle), toolbox: Arc::clone(&self.toolbox), cancel: CancellationToken::new() };
        let report = self.runtime.block_on(agent.work(task, &mut |event: &Event| follow(&mut messages, event)));
        if !matches!(report.outcome, Outcome::Finished { .. }) {
            notes.lock().map_err(|_| anyhow::anyhow!("the oracle broke down"))?.lost = true;
        }
        Ok(messages)
    }
}

/// What the oracle says of its own turns.
#[derive(Default)]
struct Notes {
    /// For each turn, whether it is worth learning.
    worth: Vec<bool>,
    /// It did not come to its end.
    lost: bool,
}

/// What is still to be done, the next one last.
#[derive(Clone, Debug)]
enum Act {
    Search,
    /// From that line on, or from where the last answer says.
    Read(Option<usize>),
    /// Goes on reading until the line is shown.
    Look(usize),
    /// Makes the line another one.
    Edit {
        line: usize,
        new: String,
        worth: bool,
    },
    /// The same, with a letter lost in copying.
    Slip(String),
    Run,
    Say,
}

/// An engine that knows the bug.
struct Oracle {
    stage: Arc<Stage>,
    acts: Vec<Act>,
    function: String,
    closing: String,
    notes: Arc<Mutex<Notes>>,
}

impl Oracle {
    fn of(case: &Case, stage: Arc<Stage>, chance: &mut Chance) -> Self {
        let mending = &case.mending;
        let right = Act::Edit { line: stage.line, new: mending.new.clone(), worth: true };
        let mut acts = vec![Act::Search, Act::Read(None), Act::Look(1)];
        if chance.percent(SLIPS) {
            acts.push(Act::Slip(mending.new.clone()));
        }
        if chance.percent(WRONG)
            && let Some(wrong) = mistake(case, chance)
        {
            let line = stage.line + wrong.label - mending.label;
            acts.extend([Act::Edit { line, new: wrong.new.clone(), worth: false }, Act::Run]);
            // What did not help is taken back first, unless it stands where the right change goes.
            if line != stage.line {
                acts.push(Act::Edit { line, new: wrong.old, worth: true });
            }
        }
        acts.extend([right, Act::Run, Act::Say]);
        acts.reverse();
        let closing = closing(mending, &case.function, chance);
        Self { stage, acts, function: case.function.clone(), closing, notes: Arc::default() }
    }

    /// The next turn, given what was said last. `None`: it is lost.
    fn next(&mut self, request: &TurnRequest) -> Option<Reply> {
        let last = match request.messages.last()? {
            Message::Tool { text, .. } => text.as_str(),
            _ => "",
        };
        let text = self.stage.text().ok()?;
        let mut worth = true;
        let (name, arguments) = match self.acts.pop()? {
            Act::Search => ("search", json!({ "pattern": self.function })),
            Act::Read(None) => ("read", self.first_reading(last, &text)?),
            Act::Read(Some(start)) => ("read", json!({ "path": self.stage.path, "start": start })),
            Act::Look(readings) => {
                let line = text.lines().nth(self.stage.line - 1)?;
                if !last.lines().any(|shown| shown == line) {
                    let next = last.rsplit_once("read on with start ")?.1.trim_end_matches(']').parse().ok()?;
                    (readings < READINGS).then_some(())?;
                    self.acts.extend([Act::Look(readings + 1), Act::Read(Some(next))]);
                }
                return self.next(request);
            }
            Act::Edit { line, new, worth: is_worth } => {
                worth = is_worth;
                let (search, replace) = edit(&text, line, &new)?;
                let arguments = json!({ "path": self.stage.path, "search": search, "replace": replace });
                // What the grammar would not let through in use is not to be learnt.
                is_offered(request, &arguments).then_some(())?;
                ("edit", arguments)
            }
            Act::Slip(new) => {
                worth = false;
                let (search, replace) = edit(&text, self.stage.line, &new)?;
                let slipped = search.replacen(|c: char| c.is_ascii_lowercase(), "", 1);
                ("edit", json!({ "path": self.stage.path, "search": slipped, "replace": replace }))
            }
            Act::Run => ("run", json!({ "command": self.stage.command })),
            Act::Say => return Some(self.reply(Reply { text: self.closing.clone(), ..Reply::default() }, true, request)),
        };
        let call = Call { id: String::new(), name: name.into(), arguments: arguments.to_string() };
        Some(self.reply(Reply { calls: vec![call], ..Reply::default() }, worth, request))
    }

    /// Reads from where the search found the function, if the search shows that.
    fn first_reading(&self, found: &str, text: &str) -> Option<Value> {
        let mut path = "";
        let mut numbers = found.lines().filter_map(|line| match line.split_once(": ") {
            Some((number, _)) if number.bytes().all(|b| b.is_ascii_digit()) => Some((path, number.parse::<usize>().ok()?)),
            _ => {
                path = line;
                None
            }
        });
        let at = numbers.find(|(path, number)| *path == self.stage.path && *number <= self.stage.line)?.1;
        // A short file is read whole as well as from somewhere.
        let whole = text.lines().count() <= 20 && at % 2 == 0;
        Some(if whole { json!({ "path": self.stage.path }) } else { json!({ "path": self.stage.path, "start": at }) })
    }

    fn reply(&self, mut reply: Reply, worth: bool, request: &TurnRequest) -> Reply {
        if let Ok(mut notes) = self.notes.lock() {
            notes.worth.push(worth);
        }
        let said: usize = request.messages.iter().map(length).sum();
        let wrote = reply.text.len() + reply.calls.iter().map(|call| call.arguments.len() + 40).sum::<usize>();
        let tokens = |bytes: usize| Tokens((bytes / BYTES) as u32);
        reply.usage = Usage { prompt: tokens(said), generated: tokens(wrote), ..Usage::default() };
        reply
    }
}

/// A change of the shown code that mends nothing: mostly of the right line.
fn mistake(case: &Case, chance: &mut Chance) -> Option<Candidate> {
    let mending = &case.mending;
    let here = chance.percent(70);
    // The same file has the same lines in the same order only within one passage.
    let mut from = 1;
    let passage = case.passages.iter().find(|passage| {
        let holds = (from..from + passage.lines.len()).contains(&mending.label);
        from += if holds { 0 } else { passage.lines.len() };
        holds
    })?;
    let range = from..from + passage.lines.len();
    let mut all = mutate::candidates(&case.passages, &[]);
    all.retain(|one| range.contains(&one.label) && (one.label == mending.label) == here && one.new != mending.new);
    (!all.is_empty()).then(|| chance.pick(&all).clone())
}

/// The search and the replacement that make a line another one.
fn edit(text: &str, line: usize, new: &str) -> Option<(String, String)> {
    let old = text.lines().nth(line - 1)?.trim();
    let search = search_at(text, line)?;
    let replace = search.replacen(old, new.trim(), 1);
    Some((search, replace))
}

fn is_offered(request: &TurnRequest, arguments: &Value) -> bool {
    let card = request.tools.iter().find(|card| card.name == "edit");
    card.and_then(|card| jsonschema::validator_for(&card.parameters).ok()).is_some_and(|schema| schema.is_valid(arguments))
}

/// The last words: what was wrong, in one line.
fn closing(mending: &Candidate, function: &str, chance: &mut Chance) -> String {
    let (wrong, right) = (&mending.removed, &mending.added);
    let what = match (wrong.is_empty(), right.is_empty()) {
        (true, _) => format!("`{right}` was missing in `{function}`"),
        (_, true) => format!("`{wrong}` was too much in `{function}`"),
        _ => format!("`{function}` had `{wrong}` in place of `{right}`"),
    };
    match chance.below(3) {
        0 => format!("Fixed: {what}."),
        1 => format!("{}{}; the tests pass now.", what[..1].to_uppercase(), &what[1..]),
        _ => format!("The bug is fixed. {}{}.", what[..1].to_uppercase(), &what[1..]),
    }
}

fn length(message: &Message) -> usize {
    /// What the template puts around a message.
    const FRAME: usize = 24;
    FRAME
        + match message {
            Message::System { text } | Message::User { text } | Message::Tool { text, .. } => text.len(),
            Message::Assistant { text, calls, .. } => {
                text.len() + calls.iter().map(|call| call.name.len() + call.arguments.len() + 40).sum::<usize>()
            }
        }
}

fn openai(message: &Message) -> Result<Value> {
    Ok(match message {
        Message::System { text } => json!({ "role": "system", "content": text }),
        Message::User { text } => json!({ "role": "user", "content": text }),
        Message::Tool { call, name, text } => json!({ "role": "tool", "tool_call_id": call, "name": name, "content": text }),
        Message::Assistant { text, calls, .. } if calls.is_empty() => json!({ "role": "assistant", "content": text }),
        Message::Assistant { text, calls, .. } => {
            let object = |call: &Call| -> Result<Value> {
                let arguments: Value = serde_json::from_str(&call.arguments).context("the oracle writes JSON")?;
                Ok(json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": arguments } }))
            };
            let calls = calls.iter().map(object).collect::<Result<Vec<Value>>>()?;
            json!({ "role": "assistant", "content": text, "tool_calls": calls })
        }
    })
}

impl Engine for Oracle {
    fn ready<'a>(&'a mut self, _: Sink<'a>, _: &'a CancellationToken) -> Answer<'a, EngineInfo> {
        let window = Some(Tokens(1_024));
        let info = EngineInfo {
            model: "oracle".into(),
            window,
            exact: true,
            thinks: false,
            profile: Profile::Micro,
            grounds: false,
            forks: 0,
        };
        Box::pin(async { Ok(info) })
    }

    fn turn<'a>(&'a mut self, request: &'a TurnRequest, _: Sink<'a>, _: &'a CancellationToken) -> Answer<'a, Reply> {
        Box::pin(async move {
            Ok(self.next(request).unwrap_or_else(|| {
                if let Ok(mut notes) = self.notes.lock() {
                    notes.lost = true;
                }
                Reply { text: "Lost.".into(), ..Reply::default() }
            }))
        })
    }

    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens> {
        Box::pin(async { Ok(Tokens(text.len().div_ceil(BYTES) as u32)) })
    }

    fn render<'a>(&'a mut self, _: &'a TurnRequest) -> Answer<'a, Option<Rendered>> {
        Box::pin(async { Ok(None) })
    }
}
