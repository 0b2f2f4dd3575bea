//! Streams as servers write them in, replies out; and the same reply wherever the stream is cut.

use crate::engine::EngineError;
use crate::engine::endpoint::chat::{Flow, Transcript};
use crate::engine::endpoint::refusal::Known;
use crate::engine::endpoint::sse::Decoder;
use crate::protocol::message::{Call, Message};
use crate::protocol::turn::{Delta, Reply, Sampling, Stop, ToolCard, ToolChoice, TurnRequest};
use crate::units::Tokens;
use proptest::prelude::*;
use serde_json::{Value, json};

const KNOWN: Known = Known { prompt: Tokens(100), window: Tokens(4096) };

fn request() -> TurnRequest {
    let card = |name: &str| ToolCard { name: name.into(), description: String::new(), parameters: json!({"type": "object"}) };
    TurnRequest {
        messages: vec![Message::User { text: "fix".into() }],
        tools: vec![card("read"), card("write")],
        sampling: Sampling::default(),
        max_tokens: Tokens(100),
        thinking_budget: None,
        thinking: true,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}

fn chunk(delta: Value, finish: Option<&str>) -> Value {
    json!({"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

/// A stream that says these deltas and ends well.
fn ended(deltas: &[Value]) -> Vec<Value> {
    deltas.iter().map(|d| chunk(d.clone(), None)).chain([chunk(json!({}), Some("stop"))]).collect()
}

fn sse(chunks: &[Value]) -> Vec<u8> {
    chunks.iter().map(|c| format!("data: {c}\n\n")).chain(["data: [DONE]\n\n".into()]).collect::<String>().into_bytes()
}

fn read(pieces: &[&[u8]]) -> Result<(Reply, Vec<Delta>), EngineError> {
    let mut deltas = Vec::new();
    let mut sink = |delta| deltas.push(delta);
    let (mut decoder, mut transcript) = (Decoder::default(), Transcript::new(KNOWN));
    for event in pieces.iter().flat_map(|piece| decoder.push(piece)).collect::<Vec<_>>() {
        if transcript.event(&event, 5.0, &mut sink)? == Flow::Repeats {
            return Ok((transcript.cut(Stop::Repetition, &request(), 9.0), deltas));
        }
    }
    let reply = transcript.finish(&request(), 9.0, &mut sink)?;
    Ok((reply, deltas))
}

fn reply(chunks: &[Value]) -> Reply {
    read(&[&sse(chunks)]).expect("a reply").0
}

/// Name and arguments of the calls that these elements of `tool_calls`, one a chunk, add up to.
fn calls(elements: &[Value]) -> Vec<(String, String)> {
    let deltas: Vec<Value> = elements.iter().map(|e| json!({"tool_calls": [e]})).collect();
    reply(&ended(&deltas)).calls.into_iter().map(|c| (c.name, c.arguments)).collect()
}

fn own(name: &str, arguments: &str) -> (String, String) {
    (name.into(), arguments.into())
}

#[test]
fn a_stream_adds_up() {
    let chunks = ended(&[
        json!({"role": "assistant", "content": null}),
        json!({"reasoning_content": "The bound "}),
        json!({"reasoning_content": "is wrong."}),
        json!({"content": "I read "}),
        json!({"content": "it."}),
        json!({"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "read", "arguments": ""}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"path\":"}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"a.rs\"}"}}]}),
    ]);
    let (reply, deltas) = read(&[&sse(&chunks)]).expect("a reply");
    assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("The bound is wrong.", "I read it."));
    assert_eq!(reply.calls, [Call { id: "call_a".into(), name: "read".into(), arguments: "{\"path\":\"a.rs\"}".into() }]);
    assert_eq!(reply.stop, Stop::End);
    let text = |text: &str| Delta::Text { text: text.into() };
    let thinking = |text: &str| Delta::Thinking { text: text.into() };
    let call = Delta::Call { name: "read".into() };
    assert_eq!(deltas, [thinking("The bound "), thinking("is wrong."), text("I read "), text("it."), call]);
}

#[test]
fn thinking_has_three_names_and_counts_once() {
    for name in ["reasoning_content", "reasoning", "thinking"] {
        assert_eq!(reply(&ended(&[json!({name: "hm"})])).thinking, "hm", "{name}");
    }
    assert_eq!(reply(&ended(&[json!({"reasoning_content": "hm", "reasoning": "hm"})])).thinking, "hm");
    assert_eq!(reply(&ended(&[json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})])).text, "ab");
}

#[test]
fn calls_add_up_in_every_servers_way() {
    let f = |index: usize, id: &str, name: &str, arguments: &str| json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
    let a = "{\"path\":\"a\"}";
    let b = "{\"path\":\"b\"}";
    // Two at once, fragments interleaved.
    let interleaved = [
        f(0, "x", "read", ""),
        f(1, "y", "write", ""),
        json!({"index": 0, "function": {"arguments": a}}),
        json!({"index": 1, "function": {"arguments": b}}),
    ];
    assert_eq!(calls(&interleaved), [own("read", a), own("write", b)]);
    // Id and name again with every fragment, or a new id each time.
    assert_eq!(calls(&[f(0, "x", "read", "{\"path\":"), f(0, "x", "read", "\"a\"}")]), [own("read", a)]);
    assert_eq!(calls(&[f(0, "x1", "read", "{\"path\":"), f(0, "x2", "read", "\"a\"}")]), [own("read", a)]);
    // Whole calls, all under index 0 (Ollama), with ids and without.
    assert_eq!(calls(&[f(0, "x", "read", a), f(0, "y", "read", b)]), [own("read", a), own("read", b)]);
    assert_eq!(calls(&[f(0, "", "read", a), f(0, "", "read", b)]), [own("read", a), own("read", b)]);
    assert_eq!(calls(&[f(0, "x", "read", a), f(0, "y", "read", a)]), [own("read", a), own("read", a)]);
    // No index at all.
    let bare = |id: &str, name: &str, arguments: Value| json!({"id": id, "function": {"name": name, "arguments": arguments}});
    assert_eq!(calls(&[bare("x", "read", json!(a)), bare("y", "read", json!(b))]), [own("read", a), own("read", b)]);
    assert_eq!(calls(&[bare("x", "read", json!("{\"path\":")), json!({"function": {"arguments": "\"a\"}"}})]), [own("read", a)]);
    // An object instead of a text; a placeholder first; the whole again at the end; nothing at all.
    assert_eq!(calls(&[bare("x", "read", json!({"path": "a"}))]), [own("read", a)]);
    assert_eq!(
        calls(&[
            f(0, "x", "read", "{}"),
            json!({"index": 0, "function": {"arguments": "{\"path\":"}}),
            json!({"index": 0, "function": {"arguments": "\"a\"}"}})
        ]),
        [own("read", a)]
    );
    assert_eq!(calls(&[f(0, "x", "read", a), json!({"index": 0, "function": {"arguments": a}})]), [own("read", a)]);
    assert_eq!(calls(&[f(0, "x", "read", "")]), [own("read", "{}")]);
    // A name in pieces, and a name that grows.
    assert_eq!(calls(&[f(0, "x", "re", ""), f(0, "x", "ad", ""), f(0, "x", "", a)]), [own("read", a)]);
    assert_eq!(calls(&[f(0, "x", "re", ""), f(0, "x", "read", ""), f(0, "x", "", a)]), [own("read", a)]);
    // Cut off: handed on as it is.
    assert_eq!(
        calls(&[f(0, "x", "write", "{\"path\": \"a\", \"content\": \"fn m")]),
        [own("write", "{\"path\": \"a\", \"content\": \"fn m")]
    );
}

#[test]
fn ids_are_made_where_they_are_missing_or_taken() {
    let mut request = request();
    let said = Call { id: "call_0".into(), name: "read".into(), arguments: "{}".into() };
    request.messages.push(Message::Assistant { text: String::new(), thinking: String::new(), calls: vec![said] });
    let mut transcript = Transcript::new(KNOWN);
    for (index, id) in ["call_0", "", "own"].into_iter().enumerate() {
        let call = json!({"index": index, "id": id, "function": {"name": "read", "arguments": "{}"}});
        transcript.event(&chunk(json!({"tool_calls": [call]}), None).to_string(), 1.0, &mut |_| {}).expect("read");
    }
    let calls = transcript.cut(Stop::End, &request, 1.0).calls;
    let ids: Vec<&str> = calls.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["c00000002", "c00000003", "own"]);
}

#[test]
fn a_call_written_as_text_is_recovered_unless_there_is_a_real_one() {
    let written = "Let me look.\n<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}\n</tool_call>";
    let (reply, deltas) = read(&[&sse(&ended(&[json!({"content": written})]))]).expect("a reply");
    assert_eq!(reply.text, "Let me look.");
    assert_eq!(reply.calls, [Call { id: "c00000001".into(), name: "read".into(), arguments: "{\"path\":\"a\"}".into() }]);
    assert_eq!(deltas.last(), Some(&Delta::Call { name: "read".into() }));
    let real =
        json!({"content": written, "tool_calls": [{"index": 0, "id": "x", "function": {"name": "write", "arguments": "{}"}}]});
    let reply = self::reply(&ended(&[real]));
    assert_eq!((reply.calls.len(), reply.text.as_str()), (1, written));
}

#[test]
fn usage_is_the_servers_where_it_gives_one() {
    let with = |fields: Value| {
        let mut chunks = ended(&[json!({"content": "x".repeat(30)})]);
        let mut last = json!({"choices": []});
        last.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        chunks.push(last);
        reply(&chunks).usage
    };
    let figures = |u: crate::protocol::turn::Usage| (u.prompt.0, u.prefilled.0, u.reused.0, u.generated.0);
    let usage = json!({"prompt_tokens": 900, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 800}});
    assert_eq!(figures(with(json!({"usage": usage}))), (900, 100, 800, 20));
    assert_eq!(figures(with(json!({"usage": {"prompt_tokens": 900, "completion_tokens": 20}}))), (900, 900, 0, 20));
    let timings = json!({"prompt_n": 90, "cache_n": 810, "predicted_n": 21, "prompt_ms": 12.5, "predicted_ms": 40.0});
    let timed = with(json!({"usage": usage, "timings": timings}));
    assert_eq!(figures(timed), (900, 90, 810, 21));
    assert_eq!((timed.prefill_ms, timed.decode_ms), (12.5, 40.0));
    let older = json!({"usage": {"prompt_tokens": 900, "completion_tokens": 20}, "timings": {"prompt_n": 90}});
    assert_eq!(figures(with(older)), (900, 90, 810, 20));
    let none = with(json!({"usage": null}));
    assert_eq!(figures(none), (100, 100, 0, 10), "estimates");
    assert_eq!((none.prefill_ms, none.decode_ms), (5.0, 4.0), "our own clock");
}

#[test]
fn prefill_is_told_without_what_is_reused() {
    let mut chunks =
        vec![json!({"choices": [], "prompt_progress": {"total": 1000, "cache": 600, "processed": 800, "time_ms": 9}})];
    chunks.extend(ended(&[json!({"content": "hi"})]));
    let (_, deltas) = read(&[&sse(&chunks)]).expect("a reply");
    assert_eq!(deltas[0], Delta::Prefill { done: Tokens(200), total: Tokens(400) });
}

#[test]
fn the_stop_is_told() {
    let stop = |reason: &str| reply(&[chunk(json!({"content": "x"}), Some(reason))]).stop;
    assert_eq!(["stop", "tool_calls", "eos"].map(stop), [Stop::End; 3]);
    assert_eq!(["length", "max_tokens"].map(stop), [Stop::Length; 2]);
    assert!(matches!(read(&[&sse(&[chunk(json!({}), Some("abort"))])]), Err(EngineError::Lost { .. })));
    let line = json!({"content": "I will read the file.\n"});
    assert_eq!(reply(&vec![chunk(line, None); 50]).stop, Stop::Repetition);
    let argument = json!({"tool_calls": [{"index": 0, "id": "x", "function": {"name": "write", "arguments": "let the value be a value; "}}]});
    assert_eq!(reply(&vec![chunk(argument, None); 90]).stop, Stop::Repetition);
}

#[test]
fn a_stream_that_breaks_off_is_lost() {
    let whole = sse(&ended(&[json!({"content": "I will "}), json!({"content": "read it."})]));
    let text = String::from_utf8(whole.clone()).expect("text");
    let end_of_words = text
        .find("{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},")
        .expect("the last chunk");
    for cut in 0..end_of_words {
        assert!(matches!(read(&[&whole[..cut]]), Err(EngineError::Lost { .. })), "cut at {cut}");
    }
    let done_only = [chunk(json!({"content": "ok"}), None)];
    assert_eq!(reply(&done_only).text, "ok", "[DONE] alone ends it, too");
    assert!(matches!(read(&[b"data: <html>\n\n"]), Err(EngineError::Lost { .. })));
}

#[test]
fn an_error_in_the_stream_is_that_error() {
    let error = |chunk: Value| read(&[&sse(&[chunk])]).expect_err("an error");
    let overflow = json!({"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096}});
    assert!(matches!(error(overflow), EngineError::Overflow { prompt: Tokens(5000), window: Tokens(4096) }));
    assert!(matches!(
        error(json!({"error": "Context size has been exceeded."})),
        EngineError::Overflow { prompt: Tokens(100), window: Tokens(4096) }
    ));
    let refused = error(json!({"error": {"message": "slot unavailable", "code": "503"}}));
    assert!(matches!(&refused, EngineError::Refused { status: 503, reason } if reason == "slot unavailable"), "{refused}");
    assert!(matches!(error(json!({"error": {"message": "no"}})), EngineError::Refused { status: 500, .. }));
}

#[test]
fn one_document_is_a_reply_too() {
    let message = json!({"role": "assistant", "content": "Done.", "reasoning_content": "hm", "tool_calls": [{"id": "x", "function": {"name": "read", "arguments": "{}"}}]});
    let whole = |document: Value| {
        let mut transcript = Transcript::new(KNOWN);
        transcript.whole(&document.to_string(), 1.0, &mut |_| {})?;
        transcript.finish(&request(), 2.0, &mut |_| {})
    };
    let told = whole(
        json!({"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}),
    );
    let told = told.expect("a reply");
    assert_eq!((told.text.as_str(), told.thinking.as_str(), told.calls.len(), told.usage.prompt), ("Done.", "hm", 1, Tokens(7)));
    assert!(matches!(whole(json!({"object": "list"})), Err(EngineError::Lost { .. })));
    assert!(matches!(whole(json!({"error": "Unexpected endpoint"})), Err(EngineError::Refused { .. })));
}

/// A stream with everything in it, characters of two and three bytes included.
fn rich() -> Vec<u8> {
    let mut chunks = ended(&[
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning": "Größe prüfen 日本語"}),
        json!({"content": "Ich sehe „es“.\n"}),
        json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "read", "arguments": "{\"path\":\"ä"}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": ".rs\"}"}}]}),
        json!({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "write", "arguments": "{\"path\":\"日.rs\"}"}}]}),
    ]);
    chunks.push(json!({"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 9}}));
    sse(&chunks)
}

#[test]
fn a_cut_at_any_byte_gives_the_same_reply() {
    let stream = rich();
    let whole = read(&[&stream]).expect("a reply");
    assert_eq!((whole.0.calls.len(), whole.0.thinking.as_str()), (2, "Größe prüfen 日本語"));
    for at in 0..=stream.len() {
        let (left, right) = stream.split_at(at);
        assert_eq!(read(&[left, right]).expect("a reply"), whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read(&bytes).expect("a reply"), whole);
}

proptest! {
    #[test]
    fn cuts_anywhere_give_the_same_reply(sizes in proptest::collection::vec(1_usize..50, 1..40)) {
        let stream = rich();
        let (mut pieces, mut rest) = (Vec::new(), stream.as_slice());
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read(&pieces).expect("a reply"), read(&[&stream]).expect("a reply"));
    }

    #[test]
    fn arguments_in_any_fragments_give_the_same_call(content in "[ -~äß日\n]{0,60}", sizes in proptest::collection::vec(1_usize..9, 1..20), named in any::<bool>()) {
        let arguments = json!({"content": content}).to_string();
        let (mut elements, mut rest) = (Vec::new(), arguments.as_str());
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(rest.ceil_char_boundary(*size));
            let name = if named || elements.is_empty() { "write" } else { "" };
            elements.push(json!({"index": 0, "id": "x", "function": {"name": name, "arguments": piece}}));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(calls(&elements), [("write".to_owned(), arguments)]);
    }
}
