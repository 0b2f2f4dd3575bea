//! A server of a few lines: each request is answered by a function, each answer may fall silent or break off.

use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    /// Request line and headers, in lower case.
    pub head: String,
    pub body: Value,
    /// The paths so far, this one included.
    so_far: Vec<String>,
}

impl Asked {
    /// How many times a path has been asked for, this time included.
    pub fn count(&self, path: &str) -> usize {
        self.so_far.iter().filter(|p| *p == path).count()
    }

    pub fn seen(&self, path: &str) -> bool {
        self.count(path) > 0
    }
}

/// What to say, and what to do after it.
pub struct Answer {
    head: String,
    pieces: Vec<String>,
    after: After,
}

enum After {
    Close,
    /// Waits for the client to go, or for the test to let it go on.
    Wait(String),
}

impl Answer {
    pub fn json(status: u16, body: Value) -> Self {
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
        Self { head, pieces: vec![body], after: After::Close }
    }

    pub fn stream(pieces: Vec<String>) -> Self {
        Self { head: "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n".into(), pieces, after: After::Close }
    }

    /// Not a byte, and the connection closed.
    pub fn hang_up() -> Self {
        Self { head: String::new(), pieces: vec![], after: After::Close }
    }

    /// Not a byte, and the connection held.
    pub fn silence() -> Self {
        Self { after: After::Wait(String::new()), ..Self::hang_up() }
    }

    pub fn header(mut self, line: &str) -> Self {
        self.head.push_str(&format!("{line}\r\n"));
        self
    }

    pub fn then_wait(self) -> Self {
        self.then_wait_and_say(String::new())
    }

    pub fn then_wait_and_say(self, rest: String) -> Self {
        Self { after: After::Wait(rest), ..self }
    }
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    waiting: Notify,
    go_on: Notify,
    hung_up: Notify,
}

type Script = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// A server on a free port of loopback, gone with the test's runtime.
pub struct Server {
    port: u16,
    shared: Arc<Shared>,
}

impl Server {
    pub async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (shared, script): (Arc<Shared>, Script) = (Arc::default(), Arc::new(script));
        let seen = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// The paths that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("not poisoned").iter().map(|a| a.path.clone()).collect()
    }

    pub fn last(&self) -> Asked {
        self.shared.asked.lock().expect("not poisoned").last().cloned().expect("something was asked")
    }

    /// Until an answer has said its part and is silent.
    pub async fn waiting(&self) {
        self.shared.waiting.notified().await;
    }

    pub fn go_on(&self) {
        self.shared.go_on.notify_one();
    }

    /// Until the client has closed the connection of a silent answer.
    pub async fn hung_up(&self) {
        self.shared.hung_up.notified().await;
    }
}

/// One request a connection: simple, and `connection: close` is what the scripted server does as well.
async fn serve(client: TcpStream, script: Script, shared: Arc<Shared>) {
    let mut client = BufReader::new(client);
    let Some(asked) = receive(&mut client, &shared).await else { return };
    let answer = script(&asked);
    if !answer.head.is_empty() {
        let head = format!("{}connection: close\r\n\r\n", answer.head);
        let _ = client.write_all(head.as_bytes()).await;
    }
    for piece in answer.pieces {
        // The client may have hung up: that is what some tests are about.
        let _ = client.write_all(piece.as_bytes()).await;
        let _ = client.flush().await;
    }
    if let After::Wait(rest) = answer.after {
        shared.waiting.notify_one();
        tokio::select! {
            () = shared.go_on.notified() => {
                let _ = client.write_all(rest.as_bytes()).await;
            }
            _ = client.read_u8() => shared.hung_up.notify_one(),
        }
    }
}

async fn receive(client: &mut BufReader<TcpStream>, shared: &Shared) -> Option<Asked> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    client.read_exact(&mut body).await.ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let mut all = shared.asked.lock().expect("not poisoned");
    let so_far = all.iter().map(|a| a.path.clone()).chain([path.clone()]).collect();
    let asked = Asked { path, head, body: serde_json::from_slice(&body).unwrap_or_default(), so_far };
    all.push(asked.clone());
    Some(asked)
}
