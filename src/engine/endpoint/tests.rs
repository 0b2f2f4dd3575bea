//! The engine against small servers on loopback that say exactly what a test has them say.

mod server;

use crate::engine::endpoint::tests::server::{Answer, Asked, Server};
use crate::engine::endpoint::{Endpoint, EndpointSettings};
use crate::engine::{Engine, EngineError};
use crate::protocol::message::Message;
use crate::protocol::turn::{Delta, Reply, Sampling, Stop, ToolCard, ToolChoice, TurnRequest};
use crate::units::Tokens;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(EndpointSettings { url: url.into(), model: None, api_key: None }).expect("a client")
}

fn request() -> TurnRequest {
    let properties = json!({"path": {"type": "string"}});
    let parameters = json!({"type": "object", "properties": properties});
    TurnRequest {
        messages: vec![Message::User { text: "fix the bug".into() }],
        tools: vec![ToolCard { name: "read_file".into(), description: "Reads.".into(), parameters }],
        sampling: Sampling::default(),
        max_tokens: Tokens(100),
        thinking_budget: None,
        thinking: true,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}

async fn turn(engine: &mut Endpoint) -> Result<Reply, EngineError> {
    engine.turn(&request(), &mut |_| {}, &CancellationToken::new()).await
}

fn chunk(delta: Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    format!("data: {}\n\n", json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}))
}

/// The wire shape of the scripted server that other agents were measured with.
fn stream(deltas: &[Value], finish: &str) -> Answer {
    let first = chunk(json!({"role": "assistant", "content": ""}), None);
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70}});
    let mut pieces = vec![first];
    pieces.extend(deltas.iter().map(|delta| chunk(delta.clone(), None)));
    pieces.extend([chunk(json!({}), Some(finish)), format!("data: {usage}\n\n"), "data: [DONE]\n\n".into()]);
    Answer::stream(pieces)
}

fn text(text: &str) -> Answer {
    stream(&[json!({"content": text})], "stop")
}

fn call(name: &str, arguments: &str) -> Answer {
    let begin = json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}});
    let rest = json!({"index": 0, "function": {"arguments": arguments}});
    stream(&[json!({"tool_calls": [begin]}), json!({"tool_calls": [rest]})], "tool_calls")
}

/// A llama-server: its own routes, and `chat` for the turns.
fn llama(asked: &Asked, chat: impl FnOnce(&Asked) -> Answer) -> Answer {
    match asked.path.as_str() {
        "/props" => Answer::json(
            200,
            json!({"default_generation_settings": {"n_ctx": 32768}, "chat_template": "{% if enable_thinking %}"}),
        ),
        "/v1/models" => {
            Answer::json(200, json!({"data": [{"id": "local-model", "meta": {"n_ctx_train": 131_072, "n_ctx": 32768}}]}))
        }
        "/tokenize" => Answer::json(200, json!({"tokens": vec![0; asked.body["content"].as_str().unwrap_or_default().len()]})),
        "/v1/chat/completions" => chat(asked),
        _ => Answer::json(404, json!({"error": {"message": "not found"}})),
    }
}

/// One turn against one answer.
async fn answered(answer: fn() -> Answer) -> Result<Reply, EngineError> {
    let server = Server::start(move |asked| llama(asked, |_| answer())).await;
    turn(&mut endpoint(&server.url())).await
}

#[tokio::test]
async fn the_server_is_known_before_the_first_turn() {
    let server = Server::start(|asked| llama(asked, |_| text("hi"))).await;
    let mut engine = endpoint(&server.url());
    let cancel = CancellationToken::new();
    let info = engine.ready(&mut |_| {}, &cancel).await.expect("ready");
    assert_eq!((info.model.as_str(), info.window, info.exact, info.thinks), ("local-model", Some(Tokens(32768)), true, true));
    let asked = server.asked().len();
    engine.ready(&mut |_| {}, &cancel).await.expect("ready");
    assert_eq!(server.asked().len(), asked, "ready twice asks once");
    assert_eq!(engine.count("abcde").await.expect("a count"), Tokens(5));
}

#[tokio::test]
async fn a_server_that_says_little_is_estimated() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/v1/models" => Answer::json(200, json!({"data": [{"id": "m", "meta": {"n_ctx_train": 131_072}}]})),
        _ => Answer::json(404, json!({"detail": "Not Found"})),
    })
    .await;
    let mut engine = endpoint(&server.url());
    let info = engine.ready(&mut |_| {}, &CancellationToken::new()).await.expect("ready");
    assert_eq!((info.model.as_str(), info.window, info.exact), ("m", None, false));
    assert_eq!(engine.count("abcd").await.expect("a count"), Tokens(2));
    assert_eq!(engine.render(&request()).await.expect("no template"), None);
}

#[tokio::test]
async fn ollama_is_made_to_load_so_that_it_tells_its_window() {
    let server = Server::start(|asked| match (asked.path.as_str(), asked.seen("/api/generate")) {
        ("/v1/models", _) => Answer::json(200, json!({"data": [{"id": "qwen3:8b", "object": "model"}]})),
        ("/api/ps", false) => Answer::json(200, json!({"models": []})),
        ("/api/ps", true) => Answer::json(200, json!({"models": [{"name": "qwen3:8b", "context_length": 4096}]})),
        ("/api/generate", _) => Answer::json(200, json!({"done": true})),
        _ => Answer::json(404, json!({})),
    })
    .await;
    let info = endpoint(&server.url()).ready(&mut |_| {}, &CancellationToken::new()).await.expect("ready");
    assert_eq!(info.window, Some(Tokens(4096)));
}

#[tokio::test]
async fn every_scripted_scenario_reads_right() {
    let normal = answered(|| call("read_file", "{\"path\": \"src/lib.rs\"}")).await.expect("a call");
    assert_eq!((normal.calls[0].id.as_str(), normal.calls[0].arguments.as_str()), ("call_1", "{\"path\": \"src/lib.rs\"}"));
    assert_eq!((normal.usage.prompt, normal.usage.generated), (Tokens(50), Tokens(20)));

    let badjson = answered(|| call("read_file", "{\"path\": \"src/li")).await.expect("a call");
    assert_eq!(badjson.calls[0].arguments, "{\"path\": \"src/li", "a cut-off call stays cut off");

    let unknown = answered(|| call("open_the_file", "{}")).await.expect("a call");
    assert_eq!(unknown.calls[0].name, "open_the_file");

    let xml = answered(|| {
        text(
            "Let me look.\n<tool_call>\n<function=read_file>\n<parameter=path>\nsrc/lib.rs\n</parameter>\n</function>\n</tool_call>",
        )
    });
    let xml = xml.await.expect("a reply");
    assert_eq!((xml.text.as_str(), xml.calls[0].arguments.as_str()), ("Let me look.", "{\"path\":\"src/lib.rs\"}"));

    let empty = answered(|| stream(&[], "stop")).await.expect("a reply");
    assert_eq!((empty.text.as_str(), empty.calls.len(), empty.stop), ("", 0, Stop::End));

    let think = answered(|| stream(&[json!({"reasoning_content": "the loop bound "}), json!({"content": "ok"})], "stop"))
        .await
        .expect("a reply");
    assert_eq!((think.thinking.as_str(), think.text.as_str()), ("the loop bound ", "ok"));

    let document = json!({"choices": [{"message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}]});
    let server = Server::start(move |asked| llama(asked, |_| Answer::json(200, document.clone()))).await;
    assert_eq!(turn(&mut endpoint(&server.url())).await.expect("a reply").text, "whole");
}

#[tokio::test]
async fn an_overflow_teaches_the_window() {
    let error = json!({"error": {"code": 400, "message": "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
        "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192}});
    let server = Server::start(move |asked| llama(asked, |_| Answer::json(400, error.clone()))).await;
    let mut engine = endpoint(&server.url());
    let overflow = turn(&mut engine).await.expect_err("an overflow");
    assert!(matches!(overflow, EngineError::Overflow { prompt: Tokens(9000), window: Tokens(8192) }), "{overflow}");
    let info = engine.ready(&mut |_| {}, &CancellationToken::new()).await.expect("ready");
    assert_eq!(info.window, Some(Tokens(8192)));
}

#[tokio::test]
async fn an_answer_that_alone_is_too_large_is_made_to_fit() {
    let server = Server::start(|asked| {
        llama(asked, |asked| match asked.body["max_tokens"].as_u64() {
            Some(596) => text("fits"),
            _ => Answer::json(400, json!({"error": {"message": "'max_tokens' or 'max_completion_tokens' is too large: 2000. This model's maximum context length is 4096 tokens and your request has 3500 input tokens (2000 > 4096 - 3500)."}})),
        })
    })
    .await;
    let request = TurnRequest { max_tokens: Tokens(2000), ..request() };
    let reply = endpoint(&server.url()).turn(&request, &mut |_| {}, &CancellationToken::new()).await;
    assert_eq!(reply.expect("a reply").text, "fits");
}

#[tokio::test]
async fn a_server_that_knows_no_extras_is_asked_without_them_once_and_for_all() {
    let server = Server::start(|asked| {
        llama(asked, |asked| match asked.body.get("cache_prompt") {
            Some(_) => Answer::json(400, json!({"error": {"message": "Unrecognized request argument supplied: cache_prompt"}})),
            None => text("plain"),
        })
    })
    .await;
    let mut engine = endpoint(&server.url());
    for _ in 0..2 {
        assert_eq!(turn(&mut engine).await.expect("a reply").text, "plain");
    }
    assert_eq!(server.asked().iter().filter(|path| path.ends_with("/completions")).count(), 3);
}

#[tokio::test]
async fn a_refusal_keeps_its_words_and_no_server_is_unreachable() {
    let refused =
        answered(|| Answer::json(404, json!({"error": {"message": "model 'x' not found"}}))).await.expect_err("refused");
    assert!(matches!(&refused, EngineError::Refused { status: 404, reason } if reason == "model 'x' not found"), "{refused}");
    let moved = answered(|| Answer::json(302, json!({})).header("location: http://127.0.0.1:1/")).await.expect_err("refused");
    assert!(matches!(moved, EngineError::Refused { status: 302, .. }), "{moved}");

    let server = Server::start(|_| Answer::json(401, json!({"error": {"message": "Invalid API Key"}}))).await;
    let keyless = endpoint(&server.url()).ready(&mut |_| {}, &CancellationToken::new()).await.expect_err("refused");
    assert!(matches!(keyless, EngineError::Refused { status: 401, .. }), "{keyless}");

    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let nobody = turn(&mut endpoint(&format!("http://{free}/v1"))).await.expect_err("nobody there");
    assert!(matches!(&nobody, EngineError::Unreachable { reason, .. } if reason.contains("refused")), "{nobody}");
}

#[tokio::test]
async fn a_server_that_is_loading_is_waited_for() {
    let server = Server::start(|asked| match asked.count("/props") {
        1 => Answer::json(503, json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})),
        _ => llama(asked, |_| text("loaded")),
    })
    .await;
    let mut notices = 0;
    let mut sink = |delta| notices += u32::from(matches!(delta, Delta::Notice { .. }));
    let reply = endpoint(&server.url()).turn(&request(), &mut sink, &CancellationToken::new()).await;
    assert_eq!(reply.expect("a reply").text, "loaded");
    assert_eq!(notices, 1);
}

#[tokio::test]
async fn a_stream_that_is_cut_is_lost_and_the_next_turn_works() {
    let server = Server::start(|asked| {
        llama(asked, |asked| match asked.count("/v1/chat/completions") {
            1 => Answer::stream(vec![chunk(json!({"content": "I will"}), None)]),
            2 => Answer::stream(vec![chunk(json!({"content": "I will"}), None), "data: {\"choices\":[{\"del".into()]),
            3 => Answer::hang_up(),
            _ => text("back"),
        })
    })
    .await;
    let mut engine = endpoint(&server.url());
    for _ in 0..3 {
        let lost = turn(&mut engine).await.expect_err("lost");
        assert!(matches!(lost, EngineError::Lost { .. }), "{lost}");
    }
    assert_eq!(turn(&mut engine).await.expect("a reply").text, "back");
}

#[tokio::test]
async fn a_repeating_stream_is_cut_and_hung_up_on() {
    let server = Server::start(|asked| {
        llama(asked, |_| Answer::stream(vec![chunk(json!({"content": "I will read it.\n"}), None); 30]).then_wait())
    })
    .await;
    let reply = turn(&mut endpoint(&server.url())).await.expect("a reply");
    assert_eq!((reply.stop, reply.text.lines().count()), (Stop::Repetition, 12));
    server.hung_up().await;
}

#[tokio::test]
async fn a_cancel_in_the_middle_keeps_what_was_said_and_hangs_up() {
    let said = |word: &str| chunk(json!({"content": word}), None);
    let server =
        Server::start(move |asked| llama(asked, |_| Answer::stream(vec![said("I will"), said(" read")]).then_wait())).await;
    let (mut engine, cancel) = (endpoint(&server.url()), CancellationToken::new());
    let mut since = None;
    let mut sink = |delta| {
        if matches!(delta, Delta::Text { text } if text.contains("read")) {
            since = Some(Instant::now());
            cancel.cancel();
        }
    };
    let reply = engine.turn(&request(), &mut sink, &cancel).await.expect("a reply");
    let since = since.expect("it was cancelled");
    assert!(since.elapsed() < Duration::from_millis(300));
    assert_eq!((reply.stop, reply.text.as_str()), (Stop::Cancelled, "I will read"));
    server.hung_up().await;
    assert!(since.elapsed() < Duration::from_millis(300), "the server learned of it after {:?}", since.elapsed());
}

#[tokio::test]
async fn a_cancel_in_prefill_answers_at_once_and_hangs_up() {
    let server = Server::start(|asked| llama(asked, |_| Answer::silence())).await;
    let (mut engine, cancel) = (endpoint(&server.url()), CancellationToken::new());
    let (request, mut sink) = (request(), |_| {});
    let stop = async {
        server.waiting().await;
        cancel.cancel();
        Instant::now()
    };
    let (reply, since) = tokio::join!(engine.turn(&request, &mut sink, &cancel), stop);
    assert!(since.elapsed() < Duration::from_millis(300));
    let reply = reply.expect("a reply");
    assert_eq!((reply.stop, reply.text.as_str()), (Stop::Cancelled, ""));
    server.hung_up().await;
    assert!(since.elapsed() < Duration::from_millis(300), "the server learned of it after {:?}", since.elapsed());
}

#[tokio::test]
async fn silence_is_waited_out() {
    let server = Server::start(|asked| {
        llama(asked, |_| {
            let rest = [chunk(json!({"content": " and then"}), Some("stop")), "data: [DONE]\n\n".into()];
            Answer::stream(vec![chunk(json!({"content": "first"}), None)]).then_wait_and_say(rest.concat())
        })
    })
    .await;
    let mut engine = endpoint(&server.url());
    let (reply, ()) = tokio::join!(turn(&mut engine), async {
        server.waiting().await;
        server.go_on();
    });
    assert_eq!(reply.expect("a reply").text, "first and then");
}

#[tokio::test]
async fn localhost_and_all_below_it_are_reached_without_a_look_up() {
    let server = Server::start(|asked| llama(asked, |_| text("here"))).await;
    for host in ["localhost", "no-such-name-anywhere.localhost"] {
        let reply = turn(&mut endpoint(&server.url().replace("127.0.0.1", host))).await;
        assert_eq!(reply.expect("reached").text, "here", "{host}");
    }
}

#[tokio::test]
async fn llama_server_shows_its_prompt_up_to_the_words() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/apply-template" => Answer::json(
            200,
            json!({"prompt": format!("<user>{}</user>", asked.body["messages"][0]["content"].as_str().unwrap_or_default())}),
        ),
        _ => llama(asked, |_| text("unused")),
    })
    .await;
    let rendered = endpoint(&server.url()).render(&request()).await.expect("rendered").expect("a prompt");
    assert_eq!((rendered.text.as_str(), rendered.tokens), ("<user>", Tokens(6)));
}

#[tokio::test]
async fn the_key_and_the_name_are_sent() {
    let server = Server::start(|asked| llama(asked, |_| text("hi"))).await;
    let settings = EndpointSettings { url: server.url(), model: Some("mine".into()), api_key: Some("s3cret".into()) };
    turn(&mut Endpoint::new(settings).expect("a client")).await.expect("a reply");
    let last = server.last();
    assert_eq!(last.body["model"], "mine");
    assert!(last.head.contains("authorization: bearer s3cret"), "{}", last.head);
    assert!(last.head.contains(concat!("user-agent: agent/", env!("CARGO_PKG_VERSION"))), "{}", last.head);
}
