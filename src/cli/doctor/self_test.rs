//! The self-test: the whole path once. The bundled model is written out, loaded by an engine process of its own settings, asked
//! for a few words, and asked which of two repairs of a function of two lines is right. An engine that computes wrongly here, by a
//! fault of a driver or of a build, answers as well, but not this.

use crate::boot::{self, BootError, Choice, Ground, Local};
use crate::cli::failure::Failure;
use crate::cli::interrupt::block_on;
use crate::engine::Engine;
use crate::hint::Hint;
use crate::models::bundled;
use crate::models::gguf::Need;
use crate::prompts::{self, Allowance, RepairOpening};
use crate::protocol::message::Message;
use crate::protocol::turn::{Sampling, ScoreRequest, ToolChoice, TurnRequest};
use crate::repair::notation::MARKS;
use crate::units::Tokens;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// After this long something hangs: it takes a second on two slow cores.
const LIMIT: Duration = Duration::from_secs(30);
/// The engine has nobody else to wait for.
const IDLE_SECONDS: u64 = 1;
const WINDOW: u32 = 1_024;

const ISSUE: &str = "`largest([1, 2])` returns 1.";
const LISTING: &str = "lists.py\n1|def largest(items):\n2|    return min(items)";
const RIGHT: &str = "2|`min` -> `max`";
const WRONG: &str = "2|`items` -> `largest`";

/// Runs it. The findings are for the report; what failed stands under `failed`.
pub fn run(ground: &Ground) -> Result<Value, Failure> {
    let Some(size) = bundled::size() else {
        return Ok(json!({ "skipped": "this build has no engine of its own" }));
    };
    let mut report = Map::new();
    report.insert("model".into(), json!(format!("{}, {}", bundled::NAME, size.spoken())));
    let cancel = CancellationToken::new();
    block_on(&cancel, async {
        let failed = match tokio::time::timeout(LIMIT, steps(ground, &mut report, &cancel)).await {
            Err(_) => Some(format!("no answer within {} seconds", LIMIT.as_secs())),
            Ok(done) => done.err(),
        };
        report.insert("failed".into(), json!(failed));
        Ok(())
    })?;
    Ok(Value::Object(report))
}

/// Whether a report of it tells of a failure.
pub fn has_failed(report: &Value) -> bool {
    report.get("failed").is_some_and(Value::is_string)
}

/// One step after the other, each with its milliseconds. The error is in words.
async fn steps(ground: &Ground, report: &mut Map<String, Value>, cancel: &CancellationToken) -> Result<(), String> {
    let mut engine = engine(ground).map_err(|e| e.told())?;
    let mut started = Instant::now();
    let mut lap = |name: &str| {
        let took = std::mem::replace(&mut started, Instant::now()).elapsed();
        report.insert(name.into(), json!(took.as_millis() as u64));
    };
    engine.ready(&mut |_| {}, cancel).await.map_err(|e| e.told())?;
    lap("load_ms");
    let reply = engine.turn(&question(), &mut |_| {}, cancel).await.map_err(|e| e.told())?;
    lap("turn_ms");
    if reply.usage.prompt == Tokens::ZERO || reply.usage.generated == Tokens::ZERO {
        return Err("the model read or wrote nothing".into());
    }
    let marked = |repair: &str| MARKS.map(|mark| format!("{repair}{mark}"));
    let asked = ScoreRequest { messages: messages(), continuations: [RIGHT, WRONG].map(marked).concat() };
    let scores = engine.score(&asked, &mut |_| {}, cancel).await.map_err(|e| e.told())?;
    let Some(scores) = scores else { return Ok(()) };
    lap("score_ms");
    match scores.logprobs[..] {
        [yes, no, wrong_yes, wrong_no] if yes - no > wrong_yes - wrong_no => Ok(()),
        ref other => Err(format!("the model does not know the right repair, so something computes wrongly: {other:?}")),
    }
}

/// The engine as a run would have it, with the person's pins, but small and soon gone.
fn engine(ground: &Ground) -> Result<Box<dyn Engine>, BootError> {
    let mut ground = ground.clone();
    ground.resolved.settings.engine.idle_seconds = IDLE_SECONDS;
    ground.resolved.settings.plan.n_ctx = Some(WINDOW);
    boot::engine(&ground, Choice::Llama { model: Local::Bundled }, Need::Weights)
}

fn messages() -> Vec<Message> {
    let opening = RepairOpening { issue: ISSUE, listing: LISTING, output: None };
    vec![Message::User { text: prompts::repair_opening(&opening, &Allowance::MICRO) }]
}

fn question() -> TurnRequest {
    TurnRequest {
        messages: messages(),
        tools: Vec::new(),
        sampling: Sampling { temperature: Some(0.0), ..Sampling::default() },
        max_tokens: Tokens(16),
        thinking_budget: None,
        thinking: false,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}
