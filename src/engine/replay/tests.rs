//! Recordings in, replies and deltas out.

use crate::engine::replay::Replay;
use crate::engine::{Engine, EngineError, estimate};
use crate::protocol::message::{Call, Message};
use crate::protocol::turn::{Delta, Reply, Sampling, Stop, ToolCard, ToolChoice, TurnRequest};
use crate::units::Tokens;
use serde_json::json;
use std::path::Path;
use tokio_util::sync::CancellationToken;

fn open(recording: &str) -> Result<Replay, EngineError> {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("turns.jsonl");
    std::fs::write(&path, recording).expect("written");
    Replay::open(&path)
}

fn recorded(turns: &str) -> Replay {
    open(&format!("{{\"replay\":1}}\n{turns}")).expect("a recording")
}

fn user(text: &str) -> Message {
    Message::User { text: text.into() }
}

fn request(messages: Vec<Message>) -> TurnRequest {
    let read = ToolCard { name: "read".into(), description: "Reads.".into(), parameters: json!({"type": "object"}) };
    TurnRequest {
        messages,
        tools: vec![read],
        sampling: Sampling::default(),
        max_tokens: Tokens(100),
        thinking_budget: None,
        thinking: false,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}

async fn play(replay: &mut Replay, messages: Vec<Message>) -> Result<(Reply, Vec<Delta>), EngineError> {
    let mut deltas = Vec::new();
    let reply = replay.turn(&request(messages), &mut |d| deltas.push(d), &CancellationToken::new()).await?;
    Ok((reply, deltas))
}

#[tokio::test]
async fn a_turn_streams_in_pieces_and_comes_whole() {
    let mut replay = recorded(
        r#"{"thinking":"The bound is off by one.","text":"I read the file first, then I fix it.","calls":[{"name":"read","arguments":{"path":"a.rs"}}]}"#,
    );
    let (reply, deltas) = play(&mut replay, vec![user("fix")]).await.expect("a turn");
    assert_eq!(reply.text, "I read the file first, then I fix it.");
    assert_eq!(reply.thinking, "The bound is off by one.");
    assert_eq!(reply.calls, [Call { id: "c00000001".into(), name: "read".into(), arguments: r#"{"path":"a.rs"}"#.into() }]);
    let said: String =
        deltas.iter().filter_map(|d| if let Delta::Text { text } = d { Some(text.as_str()) } else { None }).collect();
    assert_eq!(said, reply.text);
    assert!(deltas.iter().filter(|d| matches!(d, Delta::Text { .. })).count() > 1);
    assert!(matches!(deltas.last(), Some(Delta::Call { name }) if name == "read"));
}

#[tokio::test]
async fn a_cut_off_call_is_passed_on_verbatim() {
    let mut replay = recorded(r#"{"calls":[{"name":"write","arguments":"{\"path\":\"a"}],"stop":"length"}"#);
    let (reply, _) = play(&mut replay, vec![user("go")]).await.expect("a turn");
    assert_eq!(reply.calls[0].arguments, "{\"path\":\"a");
    assert_eq!(reply.stop, Stop::Length);
}

#[tokio::test]
async fn raw_output_is_recovered_or_parsed_by_the_hook() {
    let raw = json!({"raw": "<think>\nhm\n</think>\n\nLook.\n<tool_call>{\"name\":\"read\",\"arguments\":{}}</tool_call>"});
    let (reply, _) = play(&mut recorded(&raw.to_string()), vec![user("go")]).await.expect("a turn");
    assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("hm", "Look."));
    assert_eq!((reply.calls[0].name.as_str(), reply.calls[0].arguments.as_str()), ("read", "{}"));

    let with_template = open("{\"replay\":1,\"template\":\"t.jinja\"}\n{\"raw\":\"abc\"}\n").expect("a recording");
    let mut hooked = with_template.with_parser(Box::new(|raw, _, template| {
        let template = template.and_then(Path::file_name).expect("a template").to_string_lossy().into_owned();
        Ok(Reply { text: format!("{raw} by {template}"), ..Reply::default() })
    }));
    assert_eq!(play(&mut hooked, vec![user("go")]).await.expect("a turn").0.text, "abc by t.jinja");
}

#[tokio::test]
async fn errors_happen_once_and_the_end_is_an_error() {
    let mut replay = recorded("{\"error\":{\"kind\":\"overflow\"}}\n{\"error\":{\"kind\":\"lost\"}}\n{\"text\":\"ok\"}\n");
    let overflow = play(&mut replay, vec![user("go")]).await.expect_err("an overflow");
    assert!(matches!(overflow, EngineError::Overflow { prompt, window } if prompt > window), "{overflow}");
    let lost = play(&mut replay, vec![user("go")]).await.expect_err("a loss");
    assert!(matches!(lost, EngineError::Lost { .. }), "{lost}");
    assert_eq!(play(&mut replay, vec![user("go")]).await.expect("a turn").0.text, "ok");
    let end = play(&mut replay, vec![user("go")]).await.expect_err("the end");
    assert!(matches!(end, EngineError::Exhausted { turn: 4, .. }), "{end}");
}

#[tokio::test]
async fn usage_prefills_only_what_is_new() {
    let mut replay = recorded("{\"text\":\"one\"}\n{\"text\":\"two\"}\n{\"text\":\"three\"}\n");
    let system = Message::System { text: "You write code.".into() };
    let first = play(&mut replay, vec![system.clone(), user("fix it")]).await.expect("a turn").0.usage;
    assert_eq!((first.reused, first.prefilled), (Tokens::ZERO, first.prompt));
    let more = user("and test it");
    let second = play(&mut replay, vec![system.clone(), user("fix it"), more.clone()]).await.expect("a turn").0.usage;
    assert_eq!((second.reused, second.prefilled), (first.prompt, estimate::message(&more)));
    assert_eq!(second.generated, Tokens(1));
    let edited = play(&mut replay, vec![system.clone(), user("fix that"), more]).await.expect("a turn").0.usage;
    assert_eq!(edited.reused, estimate::message(&system) + estimate::tools(&request(vec![]).tools));
}

#[tokio::test]
async fn a_window_overflows_without_using_up_a_turn() {
    let mut replay = open("{\"replay\":1,\"window\":40}\n{\"text\":\"ok\"}\n").expect("a recording");
    let info = replay.ready(&mut |_| {}, &CancellationToken::new()).await.expect("ready");
    assert_eq!(info.window, Some(Tokens(40)));
    let over = play(&mut replay, vec![user(&"x".repeat(300))]).await.expect_err("too large");
    assert!(matches!(over, EngineError::Overflow { prompt, window: Tokens(40) } if prompt > Tokens(100)), "{over}");
    assert_eq!(play(&mut replay, vec![user("x")]).await.expect("it fits").0.text, "ok");
}

#[tokio::test]
async fn a_repeating_turn_is_cut() {
    let turn = json!({"text": "I will read the file.\n".repeat(100), "calls": [{"name": "read", "arguments": {}}]});
    let (reply, _) = play(&mut recorded(&turn.to_string()), vec![user("go")]).await.expect("a turn");
    assert_eq!(reply.stop, Stop::Repetition);
    assert!(reply.text.len() < 400 && reply.calls.is_empty(), "{} bytes", reply.text.len());
}

#[tokio::test]
async fn a_cancel_ends_a_turn_in_the_middle() {
    let mut replay = recorded(&json!({"text": (0..500).map(|n| format!("{n} ")).collect::<String>()}).to_string());
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let mut pieces = 0;
    let mut sink = |_| {
        pieces += 1;
        if pieces == 3 {
            stop.cancel();
        }
    };
    let reply = replay.turn(&request(vec![user("go")]), &mut sink, &cancel).await.expect("a turn");
    assert_eq!(reply.stop, Stop::Cancelled);
    assert_eq!(reply.text.len(), 32, "two pieces of sixteen after the prefill");
}

#[test]
fn a_broken_recording_names_its_line() {
    let line_of = |recording: &str| match open(recording) {
        Err(EngineError::Replay { line, reason, .. }) => (line, reason),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{recording:?} was read"),
    };
    assert_eq!(line_of("").0, 1);
    assert_eq!(line_of("{\"replay\":2}").0, 1);
    assert_eq!(line_of("{\"replay\":1}\n\n{\"text\":\"a\"}\n{\"txt\":\"b\"}").0, 4);
    assert_eq!(line_of("{\"replay\":1}\n{}").0, 2);
    assert_eq!(line_of("{\"replay\":1}\n{\"raw\":\"a\",\"text\":\"b\"}").0, 2);
    assert!(line_of("{\"replay\":1}\n{\"text\":").1.contains("EOF"));
    let missing = Replay::open(Path::new("/nowhere/at/all")).err().expect("there is no such file").to_string();
    assert!(missing.starts_with("cannot read the replay `/nowhere/at/all`"), "{missing}");
}
