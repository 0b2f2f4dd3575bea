//! An OpenAI-compatible server on loopback, of a few lines: a function answers each conversation, as well or as badly as the
//! test wants. It asks nobody, and is gone with its value.
#![allow(dead_code, reason = "every test crate compiles this module and uses its own part of it")]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// What the server does with a request for a turn.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A whole turn, streamed: `text`, `thinking` and `calls` as in a recording. Arguments that are a text go out verbatim.
    Turn(Value),
    /// A status and a body in a refusal's shape.
    Refusal(u16, Value),
    /// A turn that is streamed up to its last event: no reason, no `[DONE]`, and the connection closed.
    Cut(Value),
    /// As `Cut`, in the middle of an event, and the server is gone for good.
    Death(Value),
}

/// A conversation that wants a turn.
#[derive(Clone, Debug)]
pub struct Asked {
    pub body: Value,
    /// Its place among the requests for turns, from 0.
    pub number: usize,
}

impl Asked {
    pub fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    fn with_role(&self, role: &str) -> impl Iterator<Item = &Value> {
        self.messages().iter().filter(move |message| message["role"] == role)
    }

    /// The turns that the conversation holds.
    pub fn turns(&self) -> usize {
        self.with_role("assistant").count()
    }

    /// What the last tool answered.
    pub fn result(&self) -> &str {
        self.with_role("tool").last().and_then(|message| message["content"].as_str()).unwrap_or_default()
    }

    /// The last words that are not the model's.
    pub fn last(&self) -> &str {
        self.messages().last().and_then(|message| message["content"].as_str()).unwrap_or_default()
    }
}

/// Something that waits until the test lets it go on.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn wait(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

type Script = Box<dyn Fn(&Asked) -> Answer + Send + Sync>;

struct Shared {
    script: Script,
    window: Option<u32>,
    asked: Mutex<Vec<Asked>>,
    dead: AtomicBool,
    port: u16,
}

/// The server.
pub struct Server(Arc<Shared>);

impl Server {
    /// With a window that it tells, and a tokenizer that it has not.
    pub fn new(window: u32, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(Some(window), Box::new(script))
    }

    /// Without a word about its window.
    pub fn mute(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, Box::new(script))
    }

    /// Plays turns, each where the conversation holds as many as stand before it; the last one for ever.
    pub fn playing(turns: Vec<Value>) -> Self {
        Self::new(32_768, move |asked| Answer::Turn(turns[asked.turns().min(turns.len() - 1)].clone()))
    }

    fn start(window: Option<u32>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { script, window, asked: Mutex::default(), dead: AtomicBool::new(false), port });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if served.dead.load(Ordering::Acquire) {
                    break;
                }
                let shared = Arc::clone(&served);
                // A client that hangs up is what some tests are about.
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Self(shared)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.0.port)
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The conversations that wanted a turn, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.0.asked.lock().unwrap().clone()
    }

    /// What the tools answered in the longest conversation.
    pub fn results(&self) -> Vec<String> {
        let asked = self.asked();
        let longest = asked.iter().max_by_key(|asked| asked.messages().len());
        let results = longest.into_iter().flat_map(|asked| asked.with_role("tool"));
        results.filter_map(|message| message["content"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Shared {
    /// Ends the listener: it looks at each new connection whether it is to go on.
    fn stop(&self) {
        if !self.dead.swap(true, Ordering::AcqRel) {
            drop(TcpStream::connect(("127.0.0.1", self.port)));
        }
    }

    fn serve(&self, client: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(client.try_clone().ok()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        self.answer(client, head.split(' ').nth(1)?, serde_json::from_slice(&body).unwrap_or_default())
    }

    fn answer(&self, mut client: TcpStream, path: &str, body: Value) -> Option<()> {
        let (status, document) = match path {
            "/v1/models" => (200, json!({"data": [{"id": "local-model"}]})),
            "/props" if self.window.is_some() => (200, json!({"default_generation_settings": {"n_ctx": self.window}})),
            "/v1/chat/completions" => return self.turn(client, body),
            _ => (404, json!({"error": {"message": "not found"}})),
        };
        client.write_all(&document_bytes(status, &document)).ok()
    }

    fn turn(&self, mut client: TcpStream, body: Value) -> Option<()> {
        let asked = {
            let mut all = self.asked.lock().unwrap();
            let asked = Asked { body, number: all.len() };
            all.push(asked.clone());
            asked
        };
        let (turn, whole, dies) = match (self.script)(&asked) {
            Answer::Refusal(status, body) => return client.write_all(&document_bytes(status, &body)).ok(),
            Answer::Turn(turn) => (turn, true, false),
            Answer::Cut(turn) => (turn, false, false),
            Answer::Death(turn) => (turn, false, true),
        };
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").ok()?;
        for event in events(&turn) {
            client.write_all(format!("data: {event}\n\n").as_bytes()).ok()?;
        }
        if whole {
            let reason = turn["stop"].as_str().unwrap_or("stop");
            let usage = json!({"prompt_tokens": asked.body.to_string().len() / 4, "completion_tokens": 20});
            let last = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage});
            client.write_all(format!("data: {last}\n\ndata: [DONE]\n\n").as_bytes()).ok()?;
        } else if dies {
            client.write_all(b"data: {\"choices\":[{\"index\":0,\"del").ok()?;
            self.stop();
        }
        client.shutdown(Shutdown::Both).ok()
    }
}

fn document_bytes(status: u16, document: &Value) -> Vec<u8> {
    let body = document.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A turn as the events in which a server streams it, without the last one.
fn events(turn: &Value) -> Vec<Value> {
    let delta = |delta: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    let mut events = vec![delta(json!({"role": "assistant", "content": ""}))];
    for (field, name) in [("thinking", "reasoning_content"), ("text", "content")] {
        let said: Vec<char> = turn[field].as_str().unwrap_or_default().chars().collect();
        events.extend(said.chunks(24).map(|piece| delta(json!({name: piece.iter().collect::<String>()}))));
    }
    for (index, call) in turn["calls"].as_array().into_iter().flatten().enumerate() {
        let arguments = call["arguments"].as_str().map_or_else(|| call["arguments"].to_string(), str::to_owned);
        // Not unique over a conversation: servers number within a turn.
        let id = format!("call_{index}");
        let function = json!({"name": call["name"], "arguments": ""});
        events.push(delta(json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})));
        let letters: Vec<char> = arguments.chars().collect();
        for piece in letters.chunks(17) {
            let function = json!({"arguments": piece.iter().collect::<String>()});
            events.push(delta(json!({"tool_calls": [{"index": index, "function": function}]})));
        }
    }
    events
}
