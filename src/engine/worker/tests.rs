//! The engine process over its socket, with a backend that does what a test tells it.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::wire::{Fault, LINE_LIMIT, Request, Response, State, Status, VERSION};
use crate::engine::worker::fake::{Fake, asking, scoring};
use crate::engine::worker::{ServeSettings, attend, bind};
use crate::protocol::turn::{Delta, Reply, Scores, Stop};
use crate::rpc::{self, Lines};
use crate::units::Tokens;
use std::fs;
use std::future::pending;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(600);
/// Over which a test is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// An engine on a thread of the test.
struct Engine {
    _home: TempDir,
    socket: PathBuf,
    ended: oneshot::Receiver<Result<(), EngineError>>,
    heard: mpsc::Receiver<String>,
}

type Progress<'a> = &'a mut dyn FnMut(f32);

impl Engine {
    fn started() -> Self {
        Self::with(LONG, |_| Ok(()))
    }

    fn with(idle: Duration, load: impl FnOnce(Progress) -> Result<(), EngineError> + Send + 'static) -> Self {
        Self::resting(LONG, idle, load)
    }

    fn resting(rest: Duration, idle: Duration, load: impl FnOnce(Progress) -> Result<(), EngineError> + Send + 'static) -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("run/engine.sock");
        let listener = bind(&socket).unwrap();
        let options = LoadOptions::of(Path::new("/m/tiny.gguf"));
        let settings = ServeSettings { socket: socket.clone(), options, idle, rest };
        let (speak, heard) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let load = |_: &LoadOptions, progress: Progress| load(progress).map(|()| Fake::new(Some(speak)));
            let result = runtime.block_on(attend(listener, settings, load, pending()));
            let _ = end.send(result);
        });
        Self { _home: home, socket, ended, heard }
    }

    async fn ended(self) -> Result<(), EngineError> {
        let result = timeout(PATIENCE, self.ended).await.expect("the engine ends").unwrap();
        assert!(!self.socket.exists(), "the socket is left behind");
        result
    }

    /// A client that was greeted.
    async fn client(&self) -> Client {
        let mut client = self.stranger().await;
        client.say(Request::Hello { version: VERSION }).await;
        assert!(matches!(client.hear().await, Some(Response::Hello { version: VERSION, .. })));
        client
    }

    async fn stranger(&self) -> Client {
        let (reader, writer) = UnixStream::connect(&self.socket).await.unwrap().into_split();
        Client { lines: Lines::new(reader, LINE_LIMIT), writer }
    }
}

struct Client {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Client {
    async fn say(&mut self, request: Request) {
        rpc::write(&mut self.writer, &request).await.unwrap();
    }

    async fn hear(&mut self) -> Option<Response> {
        timeout(PATIENCE, self.lines.next()).await.expect("the engine answers").unwrap()
    }

    async fn turn(&mut self, order: &str) {
        self.say(Request::Turn(asking(order))).await;
    }

    /// Waits until a turn that holds has begun.
    async fn held(&mut self) {
        self.turn("hold").await;
        self.begun().await;
    }

    async fn begun(&mut self) {
        loop {
            match self.hear().await {
                Some(Response::Delta(Delta::Load { .. })) => {}
                Some(Response::Delta(Delta::Prefill { .. })) => return,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Puts a turn in the queue behind the one that holds.
    async fn queued(&mut self, order: &str) {
        self.turn(order).await;
        assert!(self.status().await.waiting > 0);
    }

    async fn status(&mut self) -> Status {
        self.say(Request::Status).await;
        loop {
            match self.hear().await {
                Some(Response::Delta(Delta::Load { .. } | Delta::Notice { .. })) => {}
                Some(Response::Status(status)) => return status,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn reply(&mut self) -> Reply {
        loop {
            match self.hear().await {
                Some(Response::Delta(_)) => {}
                Some(Response::Reply(reply)) => return reply,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn score(&mut self, order: &str, texts: &[&str]) {
        self.say(Request::Score(scoring(order, texts))).await;
    }

    async fn scores(&mut self) -> Option<Scores> {
        loop {
            match self.hear().await {
                Some(Response::Delta(_)) => {}
                Some(Response::Scores { scores }) => return scores,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn ready(&mut self) {
        self.say(Request::Ready).await;
        loop {
            match self.hear().await {
                Some(Response::Delta(Delta::Load { .. })) => {}
                Some(Response::Ready(_)) => return,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_turn_streams_in_order_and_ends_with_its_reply() {
    let engine = Engine::started();
    let mut client = engine.client().await;
    client.ready().await;
    client.turn("say a b c").await;
    for word in ["a", "b", "c"] {
        assert_eq!(client.hear().await, Some(Response::Delta(Delta::Text { text: word.into() })));
    }
    assert_eq!(client.reply().await.text, "a b c");
    client.say(Request::Count { text: "four words of text".into() }).await;
    assert_eq!(client.hear().await, Some(Response::Count { tokens: Tokens(4) }));
    client.say(Request::Render(asking("x"))).await;
    assert!(matches!(client.hear().await, Some(Response::Rendered { rendered: Some(r) }) if r.text == "1 messages"));
}

#[tokio::test]
async fn texts_are_scored_and_a_cancel_ends_it_within_300_ms() {
    let engine = Engine::started();
    let mut client = engine.client().await;
    client.ready().await;
    client.score("say on", &["long", "", "of"]).await;
    assert_eq!(client.scores().await.map(|scores| scores.logprobs), Some(vec![-4.0, 0.0, -2.0]));
    client.score("hold", &["x"]).await;
    client.begun().await;
    let before = Instant::now();
    client.say(Request::Cancel).await;
    assert_eq!(client.scores().await, None);
    assert!(before.elapsed() < Duration::from_millis(300), "{:?}", before.elapsed());
}

#[tokio::test]
async fn it_rests_once_after_its_work_and_once_more_at_the_end() {
    let engine = Engine::resting(Duration::from_millis(1), LONG, |_| Ok(()));
    let mut client = engine.client().await;
    client.ready().await;
    let heard = |engine: &Engine| engine.heard.recv_timeout(PATIENCE).unwrap();
    for order in ["say a", "say b"] {
        client.turn(order).await;
        client.reply().await;
        assert_eq!([heard(&engine), heard(&engine)], [order, "rest"]);
    }
    client.say(Request::Stop).await;
    assert_eq!(heard(&engine), "rest");
    let rest = engine.heard.recv_timeout(PATIENCE);
    assert!(rest.is_err(), "nothing but that: {rest:?}");
    engine.ended().await.unwrap();
}

#[tokio::test]
async fn a_window_that_grew_is_told_to_who_asks() {
    let engine = Engine::started();
    let mut client = engine.client().await;
    client.turn("grow").await;
    client.reply().await;
    assert_eq!(client.status().await.window, Some(Tokens(8192)));
    client.say(Request::Ready).await;
    assert!(matches!(client.hear().await, Some(Response::Ready(info)) if info.window == Some(Tokens(8192))));
}

#[tokio::test]
async fn a_score_waits_its_turn_and_is_cancelled_while_it_does() {
    let engine = Engine::started();
    let (mut holder, mut waiter) = (engine.client().await, engine.client().await);
    holder.ready().await;
    holder.held().await;
    waiter.score("say never", &["x"]).await;
    assert!(matches!(waiter.hear().await, Some(Response::Delta(Delta::Notice { text })) if text.contains("busy")));
    waiter.say(Request::Cancel).await;
    assert_eq!(waiter.reply().await.stop, Stop::Cancelled);
    waiter.score("say later", &["x"]).await;
    assert_eq!(holder.status().await.waiting, 1);
    holder.say(Request::Cancel).await;
    holder.reply().await;
    assert!(waiter.scores().await.is_some());
    assert_eq!(engine.heard.try_iter().collect::<Vec<_>>(), ["hold", "say later"]);
}

#[tokio::test]
async fn an_error_of_the_model_leaves_it_usable() {
    let engine = Engine::started();
    let mut client = engine.client().await;
    client.ready().await;
    client.turn("overflow").await;
    let overflow = Fault::Overflow { prompt: Tokens(5000), window: Tokens(4096) };
    assert_eq!(client.hear().await, Some(Response::Error(overflow)));
    client.turn("say on").await;
    assert_eq!(client.reply().await.text, "on");
}

#[tokio::test]
async fn a_cancel_ends_a_running_turn_within_300_ms() {
    let engine = Engine::started();
    let mut client = engine.client().await;
    client.ready().await;
    client.held().await;
    let before = Instant::now();
    client.say(Request::Cancel).await;
    assert_eq!(client.reply().await.stop, Stop::Cancelled);
    assert!(before.elapsed() < Duration::from_millis(300), "{:?}", before.elapsed());
    client.turn("say more").await;
    assert_eq!(client.reply().await.stop, Stop::End, "a cancel ends one turn, not the next");
}

#[tokio::test]
async fn turns_of_several_clients_are_served_in_order_and_counts_go_before_them() {
    let engine = Engine::started();
    let (mut first, mut second, mut third, mut counter) =
        (engine.client().await, engine.client().await, engine.client().await, engine.client().await);
    first.ready().await;
    first.held().await;
    second.queued("say second").await;
    third.queued("say third").await;
    counter.say(Request::Count { text: "one".into() }).await;
    assert_eq!(counter.status().await.waiting, 3);
    first.say(Request::Cancel).await;
    first.reply().await;
    first.turn("say first").await;
    assert_eq!(counter.hear().await, Some(Response::Count { tokens: Tokens(1) }));
    for client in [&mut second, &mut third, &mut first] {
        client.reply().await;
    }
    let heard: Vec<_> = engine.heard.try_iter().collect();
    assert_eq!(heard, ["hold", "say second", "say third", "say first"]);
}

#[tokio::test]
async fn a_turn_that_waits_is_cancelled_at_once_and_never_begins() {
    let engine = Engine::started();
    let (mut holder, mut waiter) = (engine.client().await, engine.client().await);
    holder.ready().await;
    holder.held().await;
    waiter.turn("say never").await;
    assert!(matches!(waiter.hear().await, Some(Response::Delta(Delta::Notice { text })) if text.contains("busy")));
    waiter.say(Request::Cancel).await;
    assert_eq!(waiter.reply().await.stop, Stop::Cancelled);
    holder.say(Request::Cancel).await;
    holder.reply().await;
    holder.turn("say done").await;
    holder.reply().await;
    assert_eq!(engine.heard.try_iter().collect::<Vec<_>>(), ["hold", "say done"]);
}

#[tokio::test]
async fn a_client_that_goes_takes_its_turn_with_it() {
    let engine = Engine::started();
    let (mut holder, mut waiter, mut other) = (engine.client().await, engine.client().await, engine.client().await);
    holder.ready().await;
    holder.held().await;
    waiter.queued("say never").await;
    other.queued("say other").await;
    drop(waiter);
    // Its work leaves the queue when the engine has read the end of its connection.
    while other.status().await.waiting > 1 {}
    drop(holder);
    assert_eq!(other.reply().await.text, "other");
    assert_eq!(engine.heard.try_iter().collect::<Vec<_>>(), ["hold", "say other"]);
}

#[tokio::test]
async fn the_load_is_shown_and_work_waits_for_it() {
    let (go, gate) = mpsc::channel();
    let engine = Engine::with(LONG, move |progress| {
        for fraction in [0.25, f32::NAN, 0.5] {
            progress(fraction);
        }
        gate.recv().unwrap();
        progress(1.5);
        Ok(())
    });
    let (mut early, mut eager) = (engine.client().await, engine.client().await);
    early.say(Request::Ready).await;
    eager.turn("say loaded").await;
    loop {
        match early.hear().await {
            Some(Response::Delta(Delta::Load { fraction: 0.5 })) => break,
            Some(Response::Delta(Delta::Load { fraction })) => assert!((0.0..0.5).contains(&fraction)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(early.status().await.state, State::Loading { fraction: 0.5 });
    go.send(()).unwrap();
    loop {
        match early.hear().await {
            Some(Response::Delta(Delta::Load { fraction })) => assert!(fraction <= 1.0),
            Some(Response::Ready(info)) => break assert_eq!(info.window, Some(Tokens(4096))),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(eager.reply().await.text, "loaded");
}

#[tokio::test]
async fn everyone_who_waits_is_told_why_the_load_failed() {
    let (go, gate) = mpsc::channel();
    let engine = Engine::with(LONG, move |_| {
        gate.recv().unwrap();
        Err(EngineError::Load { path: "/m/tiny.gguf".into(), reason: "not a model".into() })
    });
    let (mut one, mut other) = (engine.client().await, engine.client().await);
    one.say(Request::Ready).await;
    other.turn("say x").await;
    for client in [&mut one, &mut other] {
        assert!(matches!(client.hear().await, Some(Response::Delta(Delta::Load { .. }))));
    }
    go.send(()).unwrap();
    for client in [&mut one, &mut other] {
        let fault = Fault::Load { path: "/m/tiny.gguf".into(), reason: "not a model".into() };
        assert_eq!(client.hear().await, Some(Response::Error(fault)));
    }
    assert_eq!(engine.ended().await.unwrap_err().to_string(), "cannot load `/m/tiny.gguf`: not a model");
}

#[tokio::test]
async fn a_load_that_failed_before_anyone_came_is_still_told() {
    let (failing, failed) = oneshot::channel::<()>();
    let engine = Engine::with(LONG, move |_| {
        drop(failing);
        Err(EngineError::Unavailable("no room".into()))
    });
    let _ = failed.await;
    let mut late = engine.client().await;
    late.say(Request::Ready).await;
    let mut response = late.hear().await;
    if matches!(response, Some(Response::Delta(Delta::Load { .. }))) {
        response = late.hear().await;
    }
    assert_eq!(response, Some(Response::Error(Fault::Unavailable { reason: "no room".into() })));
    assert!(engine.ended().await.is_err());
}

#[tokio::test]
async fn it_leaves_when_idle_though_a_client_is_connected() {
    let (loaded, gate) = mpsc::channel();
    let engine =
        Engine::with(Duration::from_millis(20), move |_| gate.recv().map_err(|e| EngineError::Unavailable(e.to_string())));
    let mut client = engine.client().await;
    loaded.send(()).unwrap();
    assert_eq!(client.hear().await, Some(Response::Leaving));
    assert_eq!(client.hear().await, None);
    engine.ended().await.unwrap();
}

#[tokio::test]
async fn it_does_not_leave_while_it_works() {
    let (loaded, gate) = mpsc::channel();
    let engine =
        Engine::with(Duration::from_millis(20), move |_| gate.recv().map_err(|e| EngineError::Unavailable(e.to_string())));
    let mut client = engine.client().await;
    client.queued("hold").await;
    loaded.send(()).unwrap();
    client.begun().await;
    let idle_for = timeout(Duration::from_millis(200), client.lines.next::<Response>()).await;
    assert!(idle_for.is_err(), "{idle_for:?}");
    client.say(Request::Cancel).await;
    assert_eq!(client.reply().await.stop, Stop::Cancelled);
    assert_eq!(client.hear().await, Some(Response::Leaving));
}

#[tokio::test]
async fn status_is_told_while_it_works() {
    let engine = Engine::started();
    let (mut client, mut watcher) = (engine.client().await, engine.client().await);
    client.ready().await;
    assert_eq!(watcher.status().await.state, State::Idle);
    client.held().await;
    let status = watcher.status().await;
    assert_eq!((status.state, status.requests, status.waiting), (State::Busy, 1, 0));
    client.say(Request::Cancel).await;
    client.reply().await;
    assert_eq!(watcher.status().await.state, State::Idle, "free as soon as the reply is there");
    assert_eq!((status.model.as_str(), status.window, status.pid), ("fake", Some(Tokens(4096)), std::process::id()));
    assert!(!cfg!(target_os = "linux") || status.rss.unwrap().0 > 1 << 20);
}

#[tokio::test]
async fn a_stop_ends_what_runs_and_says_so() {
    let engine = Engine::started();
    let (mut client, mut stopper, mut bystander) = (engine.client().await, engine.client().await, engine.client().await);
    client.ready().await;
    client.held().await;
    stopper.say(Request::Stop).await;
    assert_eq!(stopper.hear().await, Some(Response::Stopping));
    assert_eq!(client.hear().await, Some(Response::Error(Fault::Lost { reason: "it was stopped".into() })));
    assert_eq!(client.hear().await, Some(Response::Leaving));
    assert_eq!(bystander.hear().await, Some(Response::Leaving));
    assert_eq!(stopper.hear().await, None, "the connection ends with the process");
    engine.ended().await.unwrap();
}

#[tokio::test]
async fn a_broken_model_ends_the_process_without_a_farewell() {
    let engine = Engine::started();
    let (mut client, mut bystander) = (engine.client().await, engine.client().await);
    client.ready().await;
    client.turn("panic").await;
    assert_eq!(client.hear().await, None);
    assert_eq!(bystander.hear().await, None);
    assert!(matches!(engine.ended().await, Err(EngineError::Lost { .. })));
}

#[tokio::test]
async fn a_client_that_speaks_badly_is_refused_and_the_others_are_served() {
    let engine = Engine::started();
    let refused = |response| matches!(response, Some(Response::Error(Fault::Unavailable { .. })));
    let mut rude = engine.stranger().await;
    rude.turn("say x").await;
    assert!(refused(rude.hear().await), "hello comes first");
    assert_eq!(rude.hear().await, None);

    let mut old = engine.stranger().await;
    old.say(Request::Hello { version: VERSION + 1 }).await;
    assert!(refused(old.hear().await), "another version");

    let mut garbled = engine.client().await;
    garbled.writer.write_all(b"{\"request\":\"dance\"}\n").await.unwrap();
    assert!(refused(garbled.hear().await), "no such request");

    let mut hasty = engine.client().await;
    hasty.held().await;
    hasty.turn("say x").await;
    assert!(refused(hasty.hear().await), "two requests at once");

    let mut torn = engine.client().await;
    torn.writer.write_all(b"{\"request\":\"tu").await.unwrap();
    torn.writer.shutdown().await.unwrap();
    assert!(refused(torn.hear().await), "half a line");

    let mut polite = engine.client().await;
    polite.turn("say served").await;
    assert_eq!(polite.reply().await.text, "served");
}

#[test]
fn a_socket_is_taken_over_only_from_the_dead() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("run/engine.sock");
    let alive = bind(&socket).unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(bind(&socket).unwrap_err().to_string().contains("another engine answers"));
    drop(alive);
    assert!(socket.exists());
    bind(&socket).unwrap();
}

#[test]
fn a_directory_that_others_can_enter_holds_no_socket() {
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = bind(&run.join("engine.sock")).unwrap_err().to_string();
    assert!(refused.contains("can be entered by other users"), "{refused}");
    assert_eq!(fs::read_dir(&run).unwrap().count(), 0);
}
