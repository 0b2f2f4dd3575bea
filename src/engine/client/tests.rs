//! With real processes: the test program starts itself again as the engine.

use crate::engine::backend::LoadOptions;
use crate::engine::client::{ClientSettings, LlamaEngine, StatusOrStale, status, stop};
use crate::engine::worker::fake::{Fake, asking, scoring};
use crate::engine::worker::{ServeSettings, serve};
use crate::engine::{Engine, EngineError};
use crate::protocol::turn::{Delta, EngineInfo, Reply, Scores, Stop};
use crate::units::Tokens;
use rustix::process::{Pid, Signal, getpgid, kill_process};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, abort, exit};
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Not a test of its own: what the script of [`Home`] runs as `agent engine`. The model's file name says how it loads.
#[test]
fn engine_process() {
    let Ok(socket) = env::var("TEST_ENGINE_SOCKET") else { return };
    let var = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    assert_eq!((var("OMP_WAIT_POLICY").as_str(), var("GGML_NO_BACKTRACE").as_str()), ("passive", "1"));
    assert_eq!(env::current_dir().unwrap(), Path::new("/"));
    let options: LoadOptions = serde_json::from_str(&var("TEST_ENGINE_OPTIONS")).unwrap();
    let idle = Duration::from_secs(var("TEST_ENGINE_IDLE").parse().unwrap());
    let load = |options: &LoadOptions, progress: &mut dyn FnMut(f32)| {
        progress(0.5);
        match options.model.file_stem().unwrap().to_str().unwrap() {
            "broken" => Err(EngineError::Load { path: options.model.clone(), reason: "no tensors".into() }),
            "deadly" => {
                eprintln!("ggml.c:9: no such layer");
                abort()
            }
            "slow" => {
                while !options.model.with_extension("go").exists() {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(Fake::new(None))
            }
            _ => Ok(Fake::new(None)),
        }
    };
    let served = serve(ServeSettings { socket: PathBuf::from(socket), options, idle, rest: idle }, load);
    exit(if served.is_ok() { 0 } else { 3 });
}

/// A model, and a place for its engine.
struct Home {
    dir: TempDir,
    settings: ClientSettings,
}

impl Home {
    fn with(model: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at(model), "weights").unwrap();
        let script = format!(
            "#!/bin/sh\nexport TEST_ENGINE_SOCKET=\"$3\" TEST_ENGINE_OPTIONS=\"$5\" TEST_ENGINE_IDLE=\"$7\"\n\
             exec '{}' --exact engine::client::tests::engine_process --nocapture\n",
            env::current_exe().unwrap().display()
        );
        // Written by another process: a descriptor of ours might be inherited by a child of a test beside this one, and
        // the kernel does not execute what is open for writing.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\""])
            .args([at("engine").as_os_str(), script.as_ref()])
            .status();
        assert!(written.unwrap().success());
        let settings = ClientSettings {
            program: at("engine"),
            options: LoadOptions::of(&at(model)),
            runtime: at("run"),
            idle: Duration::from_secs(30),
            states: at("kv"),
            log: at("log"),
            validate: |_| Ok(()),
        };
        Self { dir, settings }
    }

    fn client(&self) -> Client {
        Client { engine: LlamaEngine::new(self.settings.clone()), deltas: Vec::new() }
    }

    async fn pid(&self) -> Pid {
        match status(&self.settings.runtime).await.as_slice() {
            [StatusOrStale::Running(status)] => Pid::from_raw(i32::try_from(status.pid).unwrap()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn stop(&self) -> usize {
        stop(&self.settings.runtime).await
    }

    fn logs(&self) -> usize {
        fs::read_dir(&self.settings.log).map_or(0, Iterator::count)
    }
}

struct Client {
    engine: LlamaEngine,
    /// What was streamed so far.
    deltas: Vec<Delta>,
}

impl Client {
    async fn ready(&mut self) -> Result<EngineInfo, EngineError> {
        self.engine.ready(&mut |delta| self.deltas.push(delta), &CancellationToken::new()).await
    }

    async fn turn(&mut self, order: &str) -> Result<Reply, EngineError> {
        self.engine.turn(&asking(order), &mut |delta| self.deltas.push(delta), &CancellationToken::new()).await
    }

    async fn score(&mut self, order: &str) -> Result<Option<Scores>, EngineError> {
        let request = scoring(order, &["long", "of"]);
        self.engine.score(&request, &mut |delta| self.deltas.push(delta), &CancellationToken::new()).await
    }

    /// A turn that is cancelled when the first thing `when` agrees to has been streamed. Also: how long it then took.
    async fn cancelled(&mut self, order: &str, when: fn(&Delta) -> bool) -> (Reply, Duration) {
        let cancel = CancellationToken::new();
        let mut since = None;
        let mut sink = |delta: Delta| {
            if since.is_none() && when(&delta) {
                since = Some(Instant::now());
                cancel.cancel();
            }
        };
        let reply = self.engine.turn(&asking(order), &mut sink, &cancel).await.unwrap();
        (reply, since.expect("it was cancelled").elapsed())
    }

    fn notices(&self) -> Vec<&str> {
        self.deltas
            .iter()
            .filter_map(|delta| if let Delta::Notice { text } = delta { Some(text.as_str()) } else { None })
            .collect()
    }
}

#[tokio::test]
async fn it_is_started_shown_loading_and_asked() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    assert_eq!(home.stop().await, 0);
    assert!(!home.settings.runtime.exists(), "looking made the directory");
    assert_eq!(client.ready().await.unwrap().window, Some(Tokens(4096)));
    let loads = client.deltas.iter().all(|delta| matches!(delta, Delta::Load { .. }));
    assert!(loads, "{:?}", client.deltas);
    client.deltas.clear();
    assert_eq!(client.turn("say a b").await.unwrap().text, "a b");
    assert_eq!(client.deltas, [Delta::Text { text: "a".into() }, Delta::Text { text: "b".into() }]);
    assert_eq!(client.engine.count("one two three").await.unwrap(), Tokens(3));
    assert_eq!(client.engine.render(&asking("x")).await.unwrap().unwrap().text, "1 messages");
    assert!(matches!(client.turn("overflow").await, Err(EngineError::Overflow { window: Tokens(4096), .. })));
    let pid = home.pid().await;
    assert_eq!(getpgid(Some(pid)).unwrap(), pid, "a process group of its own");
    assert_eq!(home.stop().await, 1);
}

#[tokio::test]
async fn an_engine_that_was_stopped_between_turns_is_started_again_without_a_word() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    client.turn("say a").await.unwrap();
    assert_eq!(home.stop().await, 1);
    assert!(status(&home.settings.runtime).await.is_empty());
    assert_eq!(client.turn("say b").await.unwrap().text, "b");
    assert!(client.notices().is_empty(), "{:?}", client.notices());
    home.stop().await;
}

#[tokio::test]
async fn two_front_ends_start_one_engine() {
    let home = Home::with("tiny.gguf");
    let (mut one, mut other) = (home.client(), home.client());
    let (a, b) = tokio::join!(one.turn("say a"), other.turn("say b"));
    assert_eq!((a.unwrap().text, b.unwrap().text), ("a".into(), "b".into()));
    assert_eq!((home.logs(), home.stop().await), (1, 1));
}

#[tokio::test]
async fn a_death_in_a_turn_is_told_in_a_line_and_the_turn_is_asked_again() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    let order = format!("abort unless {}", home.dir.path().join("mark").display());
    assert_eq!(client.turn(&order).await.unwrap().text, "back");
    let told =
        "the engine died (killed by signal 6 (abort); its last words: ggml.c:7: GGML_ASSERT(sane) failed); starting it again";
    assert_eq!(client.notices(), [told]);
    home.stop().await;
}

#[tokio::test]
async fn texts_are_scored_by_the_process_and_by_the_next_one_when_it_dies() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    let order = format!("abort unless {}", home.dir.path().join("mark").display());
    assert_eq!(client.score(&order).await.unwrap().unwrap().logprobs, [-4.0, -2.0]);
    assert_eq!(client.notices().len(), 1, "{:?}", client.notices());
    let error = client.score("overflow").await.unwrap_err();
    assert!(matches!(error, EngineError::Overflow { .. }), "{error}");
    home.stop().await;
}

#[tokio::test]
async fn several_turns_come_in_order_and_unstreamed_and_are_cancelled_together() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    client.ready().await.unwrap();
    client.deltas.clear();
    let ask = |orders: &[&str]| orders.iter().map(|order| asking(order)).collect::<Vec<_>>();
    let never = CancellationToken::new();
    let mut sink = |delta| client.deltas.push(delta);
    let replies = client.engine.turns(&ask(&["say one", "say two", "say three"]), &mut sink, &never).await.unwrap();
    assert_eq!(replies.iter().map(|reply| reply.text.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
    assert_eq!(client.deltas, [], "what is written is not streamed");
    let cancel = CancellationToken::new();
    let held = ask(&["hold", "hold"]);
    let replies = client.engine.turns(&held, &mut |_| cancel.cancel(), &cancel).await.unwrap();
    assert_eq!(replies.iter().map(|reply| reply.stop).collect::<Vec<_>>(), [Stop::Cancelled; 2]);
    let error = client.engine.turns(&ask(&["say one", "overflow"]), &mut |_| {}, &never).await.unwrap_err();
    assert!(matches!(error, EngineError::Overflow { .. }), "{error}");
    assert_eq!(client.turn("say on").await.unwrap().text, "on");
    home.stop().await;
}

#[tokio::test]
async fn a_score_is_cancelled_within_300_ms_though_the_engine_hangs() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    client.ready().await.unwrap();
    let release = home.dir.path().join("release");
    for order in ["hold".to_owned(), format!("ignore all until {}", release.display())] {
        let (cancel, mut since) = (CancellationToken::new(), None);
        let mut sink = |_| {
            since.get_or_insert_with(Instant::now);
            cancel.cancel();
        };
        assert_eq!(client.engine.score(&scoring(&order, &["x"]), &mut sink, &cancel).await.unwrap(), None, "{order}");
        let took = since.expect("it was cancelled").elapsed();
        assert!(took < Duration::from_millis(300), "{order}: {took:?}");
    }
    fs::write(release, "").unwrap();
    assert!(client.score("say on").await.unwrap().is_some());
    home.stop().await;
}

#[tokio::test]
async fn a_turn_that_kills_it_twice_is_given_up_and_the_next_is_served() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    let error = client.turn("abort").await.unwrap_err();
    assert!(matches!(&error, EngineError::Lost { reason } if reason.starts_with("it died twice: killed by signal 6")), "{error}");
    assert_eq!(client.notices().len(), 1);
    assert_eq!(client.turn("say on").await.unwrap().text, "on");
    home.stop().await;
}

#[tokio::test]
async fn a_broken_model_thread_is_a_death_too() {
    let home = Home::with("tiny.gguf");
    let error = home.client().turn("panic").await.unwrap_err().to_string();
    assert!(error.contains("it ended with status 3"), "{error}");
}

#[tokio::test]
async fn a_kill_between_turns_is_told() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    client.turn("say a").await.unwrap();
    kill_process(home.pid().await, Signal::KILL).unwrap();
    assert_eq!(client.turn("say b").await.unwrap().text, "b");
    assert!(client.notices()[0].contains("killed by signal 9"), "{:?}", client.notices());
    home.stop().await;
}

#[tokio::test]
async fn a_termination_is_a_stop() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    client.turn("say a").await.unwrap();
    kill_process(home.pid().await, Signal::TERM).unwrap();
    // The socket goes first: a turn before that might still be taken, and then be stopped.
    while !status(&home.settings.runtime).await.is_empty() {}
    assert_eq!(client.turn("say b").await.unwrap().text, "b");
    assert!(client.notices().is_empty(), "{:?}", client.notices());
    home.stop().await;
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_says_why_each_time() {
    let home = Home::with("broken.gguf");
    let mut client = home.client();
    for _ in 0..2 {
        let error = client.turn("say a").await.unwrap_err();
        assert!(matches!(&error, EngineError::Load { path, reason } if path.ends_with("broken.gguf") && reason == "no tensors"));
    }
    assert!(client.notices().is_empty());
}

#[tokio::test]
async fn a_model_that_kills_its_loader_is_not_tried_again() {
    let home = Home::with("deadly.gguf");
    let error = home.client().ready().await.unwrap_err().to_string();
    assert!(error.contains("deadly.gguf") && error.contains("signal 6 (abort)"), "{error}");
    assert!(error.contains("ggml.c:9: no such layer"), "{error}");
    assert_eq!(home.logs(), 1, "one start");
}

#[tokio::test]
async fn a_file_that_is_no_model_starts_nothing() {
    let mut home = Home::with("tiny.gguf");
    home.settings.validate = |_| Err("not a GGUF file".into());
    let error = home.client().ready().await.unwrap_err().to_string();
    assert!(error.contains("tiny.gguf") && error.ends_with("not a GGUF file"), "{error}");
    home.settings.options.model = home.dir.path().join("none.gguf");
    assert!(matches!(home.client().ready().await, Err(EngineError::Load { .. })));
    assert_eq!(home.logs(), 0);
}

#[tokio::test]
async fn a_program_that_is_no_engine_is_told_from_a_bad_model() {
    let mut home = Home::with("tiny.gguf");
    for (program, said) in [("/nowhere/agent", "cannot start `/nowhere/agent`"), ("/bin/true", "it ended with status 0")] {
        home.settings.program = program.into();
        let error = home.client().ready().await.unwrap_err();
        assert!(matches!(&error, EngineError::Unavailable(reason) if reason.contains(said)), "{error}");
    }
}

#[tokio::test]
async fn a_cancel_ends_the_turn_within_300_ms() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    let (reply, took) = client.cancelled("hold", |delta| matches!(delta, Delta::Prefill { .. })).await;
    assert_eq!(reply.stop, Stop::Cancelled);
    assert!(took < Duration::from_millis(300), "{took:?}");
    let pid = home.pid().await;
    client.turn("say more").await.unwrap();
    assert_eq!(home.pid().await, pid, "the same engine, with its cache");
    home.stop().await;
}

#[tokio::test]
async fn a_cancel_is_answered_with_what_there_is_when_the_engine_hangs() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    let release = home.dir.path().join("release");
    let order = format!("ignore all until {}", release.display());
    let (reply, _) = client.cancelled(&order, |delta| matches!(delta, Delta::Text { .. })).await;
    assert_eq!((reply.stop, reply.text.as_str()), (Stop::Cancelled, "half"));
    fs::write(release, "").unwrap();
    assert_eq!(client.turn("say more").await.unwrap().text, "more");
    home.stop().await;
}

#[tokio::test]
async fn a_cancel_while_the_model_loads_leaves_the_load_to_the_next_call() {
    let home = Home::with("slow.gguf");
    let mut client = home.client();
    let (reply, took) = client.cancelled("say x", |delta| matches!(delta, Delta::Load { .. })).await;
    assert_eq!(reply.stop, Stop::Cancelled);
    assert!(took < Duration::from_millis(300), "{took:?}");
    fs::write(home.dir.path().join("slow.go"), "").unwrap();
    assert_eq!(client.turn("say x").await.unwrap().text, "x");
    assert_eq!((home.logs(), home.stop().await), (1, 1));
}

#[tokio::test]
async fn a_call_that_is_given_up_does_not_answer_the_next() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    client.ready().await.unwrap();
    let (request, cancel, begun) = (asking("hold"), CancellationToken::new(), CancellationToken::new());
    let mut sink = |_| begun.cancel();
    tokio::select! {
        _ = client.engine.turn(&request, &mut sink, &cancel) => panic!("it holds"),
        () = begun.cancelled() => {}
    }
    assert_eq!(client.turn("say next").await.unwrap().text, "next");
    home.stop().await;
}

#[tokio::test]
async fn a_stop_in_a_turn_is_not_undone() {
    let home = Home::with("tiny.gguf");
    let mut client = home.client();
    client.ready().await.unwrap();
    let (request, cancel, begun) = (asking("hold"), CancellationToken::new(), CancellationToken::new());
    let mut sink = |_| begun.cancel();
    let turn = client.engine.turn(&request, &mut sink, &cancel);
    let stopping = async {
        begun.cancelled().await;
        home.stop().await
    };
    let (turn, stopped) = tokio::join!(turn, stopping);
    assert_eq!(turn.unwrap_err().to_string(), "the engine was lost: it was stopped");
    assert_eq!((stopped, home.logs()), (1, 1));
}

#[tokio::test]
async fn a_socket_that_nobody_answers_on_is_shown_and_swept() {
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    crate::engine::runtime::private_dir(&run).unwrap();
    let socket = run.join("0123456789abcdef.sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert!(matches!(status(&run).await.as_slice(), [StatusOrStale::Stale { socket: s, .. }] if *s == socket));
    assert_eq!(stop(&run).await, 0);
    assert!(!socket.exists());
}
