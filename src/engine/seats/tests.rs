//! Loops that share an engine: who is asked with whom, and who hears what.

use crate::engine::seats::{Host, Seat, seats};
use crate::engine::{Answer, Engine, EngineError, Sink};
use crate::protocol::message::Message;
use crate::protocol::turn::{Delta, EngineInfo, Profile, Rendered, Reply, Sampling, Stop, ToolChoice, TurnRequest};
use crate::units::Tokens;
use futures_util::future::{join, join_all};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Repeats each request's last words, loudly, and writes down what came together: `a+b` is one call, `(a)` a turn alone.
#[derive(Clone, Default)]
struct Echo {
    calls: Arc<Mutex<Vec<String>>>,
    /// Rung as a call begins that has `hold` in it, which ends when it is cancelled.
    holding: Arc<Notify>,
}

fn words(request: &TurnRequest) -> &str {
    match request.messages.last() {
        Some(Message::User { text }) => text,
        other => panic!("{other:?}"),
    }
}

fn asking(text: &str) -> TurnRequest {
    TurnRequest {
        messages: vec![Message::User { text: text.into() }],
        tools: Vec::new(),
        sampling: Sampling::default(),
        max_tokens: Tokens(16),
        thinking_budget: None,
        thinking: false,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}

fn answered(request: &TurnRequest) -> Result<Reply, EngineError> {
    match words(request) {
        "long" => Err(EngineError::Overflow { prompt: Tokens(9), window: Tokens(4) }),
        "break" => Err(EngineError::Lost { reason: "it broke".into() }),
        text => Ok(Reply { text: text.to_uppercase(), ..Reply::default() }),
    }
}

impl Engine for Echo {
    fn ready<'a>(&'a mut self, _: Sink<'a>, _: &'a CancellationToken) -> Answer<'a, EngineInfo> {
        let info = EngineInfo {
            model: "echo".into(),
            window: None,
            exact: true,
            thinks: false,
            profile: Profile::Full,
            grounds: false,
            forks: 8,
        };
        Box::pin(async { Ok(info) })
    }

    fn turn<'a>(&'a mut self, request: &'a TurnRequest, sink: Sink<'a>, _: &'a CancellationToken) -> Answer<'a, Reply> {
        self.calls.lock().unwrap().push(format!("({})", words(request)));
        sink(Delta::Text { text: words(request).into() });
        Box::pin(async { answered(request) })
    }

    fn turns<'a>(
        &'a mut self,
        requests: &'a [TurnRequest],
        sink: Sink<'a>,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Vec<Reply>> {
        self.calls.lock().unwrap().push(requests.iter().map(words).collect::<Vec<_>>().join("+"));
        Box::pin(async move {
            sink(Delta::Notice { text: "reading".into() });
            if requests.iter().any(|request| words(request) == "hold") {
                self.holding.notify_one();
                cancel.cancelled().await;
                return Ok(vec![Reply { text: "half".into(), stop: Stop::Cancelled, ..Reply::default() }; requests.len()]);
            }
            requests.iter().map(answered).collect()
        })
    }

    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens> {
        Box::pin(async { Ok(Tokens(text.len() as u32)) })
    }

    fn render<'a>(&'a mut self, _: &'a TurnRequest) -> Answer<'a, Option<Rendered>> {
        Box::pin(async { Ok(None) })
    }
}

impl Echo {
    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

async fn say(seat: &mut Seat, text: &str) -> Result<String, EngineError> {
    let never = CancellationToken::new();
    seat.turn(&asking(text), &mut |_| {}, &never).await.map(|reply| reply.text)
}

/// A loop that says one thing after the other, and what came of each.
async fn talk(mut seat: Seat, script: &[&str]) -> Vec<String> {
    let mut heard = Vec::new();
    for text in script {
        heard.push(say(&mut seat, text).await.unwrap_or_else(|error| error.to_string()));
    }
    heard
}

/// Runs loops to their ends; gives what each heard, and the calls.
async fn check(scripts: &[&[&str]]) -> (Vec<Vec<String>>, Vec<String>) {
    let mut echo = Echo::default();
    let told = echo.clone();
    let (host, seats) = seats(&mut echo, scripts.len());
    let loops = seats.into_iter().zip(scripts).map(|(seat, script)| talk(seat, script));
    let (heard, ()) = join(join_all(loops), host.serve()).await;
    (heard, told.calls())
}

#[tokio::test]
async fn what_is_asked_in_one_go_is_one_call_in_the_order_of_the_seats() {
    let (heard, calls) = check(&[&["a", "b", "c", "d"], &["x"], &["1", "2"]]).await;
    assert_eq!(calls, ["a+x+1", "b+2", "(c)", "(d)"], "the last loop has the engine to itself");
    assert_eq!(heard, [vec!["A", "B", "C", "D"], vec!["X"], vec!["1", "2"]]);
}

#[tokio::test]
async fn an_overflow_is_one_conversations_and_a_loss_is_everybodys() {
    let (heard, calls) = check(&[&["a", "b"], &["long", "c"], &["d", "e"]]).await;
    assert_eq!(calls, ["a+long+d", "(a)", "(long)", "(d)", "b+c+e"]);
    assert!(heard[1][0].contains("does not fit"), "{heard:?}");
    assert_eq!((&heard[0][..], &heard[2][..]), (&["A".to_owned(), "B".into()][..], &["D".to_owned(), "E".into()][..]));
    let (heard, calls) = check(&[&["a", "b"], &["break", "c"]]).await;
    assert_eq!(calls, ["a+break", "b+c"]);
    assert!(heard.iter().all(|heard| heard[0].contains("it broke")), "{heard:?}");
}

/// A host that does not wait for long.
fn hasty(mut host: Host<'_>) -> Host<'_> {
    host.patience = Duration::from_millis(1);
    host
}

#[tokio::test]
async fn a_loop_that_is_busy_elsewhere_is_waited_for_once() {
    let mut echo = Echo::default();
    let told = echo.clone();
    let (host, mut seats) = seats(&mut echo, 3);
    let mut slow = seats.pop().unwrap();
    let (one, two) = (seats.remove(0), seats.remove(0));
    // The slow one asks when the others have had three turns: no sooner is it let go.
    let loops = async {
        let heard = join(talk(one, &["a", "b", "c"]), talk(two, &["x", "y", "z"])).await;
        (heard, say(&mut slow, "late").await.unwrap(), drop(slow))
    };
    let ((heard, late, ()), ()) = join(loops, hasty(host).serve()).await;
    assert_eq!(told.calls(), ["a+x", "b+y", "c+z", "(late)"]);
    assert_eq!((heard.0.len(), heard.1.len(), late.as_str()), (3, 3, "LATE"));
}

#[tokio::test]
async fn counting_does_not_wait_for_turns() {
    let mut echo = Echo::default();
    let told = echo.clone();
    let (host, mut seats) = seats(&mut echo, 2);
    let mut counting = seats.pop().unwrap();
    let asking = talk(seats.remove(0), &["a"]);
    let counted = async {
        let counted = counting.count("four").await.unwrap();
        let never = CancellationToken::new();
        assert_eq!(counting.ready(&mut |_| {}, &never).await.unwrap().forks, 8);
        assert!(told.calls().is_empty());
        (counted, say(&mut counting, "b").await.unwrap(), drop(counting))
    };
    let (heard, ((counted, said, ()), ())) = join(asking, join(counted, host.serve())).await;
    assert_eq!((counted, said.as_str(), heard), (Tokens(4), "B", vec!["A".to_owned()]));
    assert_eq!(told.calls(), ["a+b"]);
}

#[tokio::test]
async fn a_call_ends_early_when_all_are_cancelled_and_not_before() {
    let mut echo = Echo::default();
    let holding = echo.holding.clone();
    let (host, mut seats) = seats(&mut echo, 2);
    let (mut one, mut two) = (seats.remove(0), seats.remove(0));
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let ask = async |seat: &mut Seat, cancel: &CancellationToken| {
        let mut told = 0;
        let reply = seat.turn(&asking("hold"), &mut |_| told += 1, cancel).await.unwrap();
        assert_eq!(reply.stop, Stop::Cancelled);
        (reply.text, told)
    };
    let stops = async {
        holding.notified().await;
        first.cancel();
    };
    let loops = async {
        // The first gives up by itself; the second one's turn goes on until it is cancelled, too.
        let gave_up = async {
            let heard = ask(&mut one, &first).await;
            second.cancel();
            heard
        };
        let heard = join(gave_up, ask(&mut two, &second)).await;
        (heard, drop((one, two)))
    };
    let (((heard, ()), ()), ()) = join(join(loops, stops), host.serve()).await;
    assert_eq!(heard, ((String::new(), 1), ("half".into(), 0)), "what concerns all is told once");
}

#[tokio::test]
async fn who_leaves_while_it_waits_is_not_asked_for() {
    let mut echo = Echo::default();
    let told = echo.clone();
    let (host, mut seats) = seats(&mut echo, 2);
    let (mut one, two) = (seats.remove(0), seats.remove(0));
    let loops = async {
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let reply = one.turn(&asking("a"), &mut |_| {}, &cancelled).await.unwrap();
        assert_eq!(reply.stop, Stop::Cancelled);
        drop(one);
        talk(two, &["b"]).await
    };
    let (heard, ()) = join(loops, host.serve()).await;
    assert_eq!((heard, told.calls()), (vec!["B".to_owned()], vec!["(b)".to_owned()]));
}

#[tokio::test]
async fn without_a_host_a_seat_is_lost() {
    let mut echo = Echo::default();
    let (host, mut seats) = seats(&mut echo, 1);
    drop(host);
    assert!(matches!(say(&mut seats[0], "a").await, Err(EngineError::Lost { .. })));
}
