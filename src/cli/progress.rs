//! What a run is doing, for the person who waits: lines on stderr from the events of the loop.
//!
//! On a terminal the last line is rewritten in place; anywhere else there are only whole lines, and few of them.
//! The renderer is told the time, so a test can tell it too.

use crate::protocol::event::{Compacted, Event, Stage};
use crate::protocol::message::Call;
use crate::protocol::turn::Delta;
use crate::units::Tokens;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Without a terminal, at most one line of progress in this time.
const PLAIN_PAUSE: Duration = Duration::from_secs(5);
/// On a terminal, at most one rewrite in this time.
const LIVE_PAUSE: Duration = Duration::from_millis(80);
/// Columns that a line may take.
const WIDTH: usize = 100;

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// A terminal: the last line may be rewritten.
    Live,
    /// A file or a pipe: whole lines only.
    Plain,
}

/// Renders events as lines on `out`.
pub struct Progress<W> {
    out: W,
    screen: Screen,
    /// Whether the last line is unfinished and will be rewritten.
    open: bool,
    shown: Option<Instant>,
    prefill: Option<Prefill>,
}

/// A prompt being processed: where it stood when it was first seen, which its speed is measured from.
#[derive(Clone, Copy, Debug)]
struct Prefill {
    since: Instant,
    first: Tokens,
}

impl Progress<std::io::Stderr> {
    /// Progress on stderr, as fits what stderr is.
    pub fn stderr() -> Self {
        let screen = if std::io::stderr().is_terminal() { Screen::Live } else { Screen::Plain };
        Self::new(std::io::stderr(), screen)
    }
}

impl<W: Write> Progress<W> {
    pub fn new(out: W, screen: Screen) -> Self {
        Self { out, screen, open: false, shown: None, prefill: None }
    }

    /// Shows one event.
    pub fn on(&mut self, event: &Event, now: Instant) {
        self.show(event, "", now);
    }

    /// Shows one event of one of several attempts at once.
    pub fn on_one(&mut self, attempt: u32, event: &Event, now: Instant) {
        self.show(event, &format!("[{attempt}] "), now);
    }

    /// Shows one event, with something in front of what is whole.
    fn show(&mut self, event: &Event, front: &str, now: Instant) {
        match event {
            Event::Delta(delta) => self.delta(delta, now),
            Event::Turn { text, calls, .. } => {
                self.close();
                if !calls.is_empty() && !text.trim().is_empty() {
                    self.line(&clip(&format!("{front}{}", text.trim())));
                }
            }
            Event::Calling { call } => self.line(&format!("{front}{}", describe(call))),
            Event::Called { name, answer, .. } => {
                if let Some(error) = &answer.error {
                    self.line(&clip(&format!("{front}  {name} failed: {}", error.message)));
                }
            }
            Event::Nudge { text } => self.line(&clip(&format!("{front}  told the model: {text}"))),
            Event::Compacted(compacted) => self.line(&format!("{front}{}", compaction(compacted))),
            Event::Window(_) => {}
            Event::Done { .. } => self.close(),
        }
    }

    fn delta(&mut self, delta: &Delta, now: Instant) {
        match delta {
            Delta::Load { fraction } => {
                let percent = (fraction.clamp(0.0, 1.0) * 100.0) as u32;
                self.passing(&format!("loading the model, {percent} %"), now, percent >= 100);
            }
            Delta::Prefill { done, total } => {
                let prefill = *self.prefill.get_or_insert(Prefill { since: now, first: *done });
                let percent = u64::from(done.0) * 100 / u64::from(total.0.max(1));
                let left = prefill.left(*done, *total, now).map(|s| format!(", {s} s left")).unwrap_or_default();
                self.passing(&format!("reading {done} of {total} tokens, {percent} %{left}"), now, done >= total);
                if done >= total {
                    self.prefill = None;
                }
            }
            Delta::Notice { text } => self.line(text),
            Delta::Thinking { .. } => self.live("thinking", now),
            Delta::Text { .. } | Delta::Call { .. } => self.live("writing", now),
        }
    }

    /// A state that the next one replaces. Without a terminal only the slow ones are worth a line: a state that is over
    /// before it was ever shown is not.
    fn passing(&mut self, text: &str, now: Instant, over: bool) {
        match self.screen {
            Screen::Live => self.live(text, now),
            Screen::Plain => {
                let since = *self.shown.get_or_insert(now);
                if now.duration_since(since) >= PLAIN_PAUSE && !over {
                    self.shown = Some(now);
                    self.line(text);
                }
            }
        }
    }

    /// Rewrites the last line, on a terminal only.
    fn live(&mut self, text: &str, now: Instant) {
        let soon = self.open && self.shown.is_some_and(|at| now.duration_since(at) < LIVE_PAUSE);
        if self.screen == Screen::Live && !soon {
            self.shown = Some(now);
            self.open = true;
            self.put(&format!("\r\x1b[K{}", clip(text)));
        }
    }

    fn line(&mut self, text: &str) {
        self.close();
        self.put(&format!("{text}\n"));
    }

    /// Takes the unfinished line away.
    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.put("\r\x1b[K");
        }
    }

    /// Progress that cannot be shown is no reason to stop the work.
    fn put(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl Prefill {
    /// Seconds until the whole prompt is processed, once there is a speed to measure.
    fn left(self, done: Tokens, total: Tokens, now: Instant) -> Option<u64> {
        let (seconds, processed) = (now.duration_since(self.since).as_secs_f64(), done.saturating_sub(self.first).0);
        (seconds > 0.2 && processed > 0)
            .then(|| (f64::from(total.saturating_sub(done).0) * seconds / f64::from(processed)).ceil() as u64)
    }
}

/// A call in one line: its name, and the argument that says most.
fn describe(call: &Call) -> String {
    let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    let telling = ["command", "path", "pattern", "query"].into_iter().find_map(|name| arguments.get(name)?.as_str());
    clip(&format!("{} {}", call.name, telling.unwrap_or(&call.arguments)))
}

/// What became shorter, and by how much.
fn compaction(Compacted { stage, before, after, .. }: &Compacted) -> String {
    let what = match stage {
        Stage::Results => "old results are one line each now",
        Stage::Summary => "the model summed up its older steps",
        Stage::Facts => "older steps became a list of what was done",
        Stage::Latest => "the latest results were cut",
    };
    format!("the window is full: {what} ({before} -> {after} tokens)")
}

/// The first line, within the width, without what would move a cursor.
fn clip(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let mut clipped: String = first.chars().filter(|c| !c.is_control()).take(WIDTH).collect();
    if clipped.len() < text.trim_end().len() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use crate::cli::progress::{Progress, Screen};
    use crate::protocol::event::{Event, Outcome};
    use crate::protocol::message::Call;
    use crate::protocol::tool::ToolAnswer;
    use crate::protocol::turn::{Delta, Usage};
    use crate::units::Tokens;
    use std::time::{Duration, Instant};

    /// Plays events, each at its millisecond, and gives what was written.
    fn check(screen: Screen, events: &[(u64, Event)]) -> String {
        let (start, mut written) = (Instant::now(), Vec::new());
        let mut progress = Progress::new(&mut written, screen);
        for (ms, event) in events {
            progress.on(event, start + Duration::from_millis(*ms));
        }
        String::from_utf8(written).unwrap()
    }

    fn prefill(done: u32) -> Event {
        Event::Delta(Delta::Prefill { done: Tokens(done), total: Tokens(1000) })
    }

    fn calling(name: &str, arguments: &str) -> Event {
        Event::Calling { call: Call { id: "1".into(), name: name.into(), arguments: arguments.into() } }
    }

    #[test]
    fn prefill_tells_the_seconds_left_and_goes_away() {
        let end = Event::Done { outcome: Outcome::Interrupted };
        let written = check(Screen::Live, &[(0, prefill(0)), (1000, prefill(250)), (1001, prefill(251)), (1002, end)]);
        assert_eq!(written, "\r\x1b[Kreading 0 of 1000 tokens, 0 %\r\x1b[Kreading 250 of 1000 tokens, 25 %, 3 s left\r\x1b[K");
    }

    #[test]
    fn without_a_terminal_there_are_few_lines_and_no_control_characters() {
        let load = Event::Delta(Delta::Load { fraction: 0.5 });
        let written = check(Screen::Plain, &[(0, load), (100, prefill(0)), (5100, prefill(500)), (5200, prefill(600))]);
        assert_eq!(written, "reading 500 of 1000 tokens, 50 %, 5 s left\n");
    }

    #[test]
    fn what_one_of_several_attempts_does_is_told_with_its_number() {
        let (mut written, now) = (Vec::new(), Instant::now());
        let mut progress = Progress::new(&mut written, Screen::Plain);
        progress.on_one(2, &calling("read", r#"{"path":"a.rs"}"#), now);
        progress.on_one(1, &calling("run", r#"{"command":"make"}"#), now);
        progress.on(&Event::Delta(Delta::Notice { text: "fixed".into() }), now);
        assert_eq!(String::from_utf8(written).unwrap(), "[2] read a.rs\n[1] run make\nfixed\n");
    }

    #[test]
    fn a_call_is_one_line_with_what_it_is_about() {
        let failed =
            Event::Called { id: "1".into(), name: "run".into(), answer: ToolAnswer::failed("time", "took\ntoo long", "") };
        let calls = [
            (0, calling("read", r#"{"path":"src/lib.rs","start":3}"#)),
            (1, calling("run", r#"{"command":"cargo test\n--all"}"#)),
            (2, failed),
            (3, calling("odd", "{not json")),
        ];
        assert_eq!(check(Screen::Plain, &calls), "read src/lib.rs\nrun cargo test…\n  run failed: took…\nodd {not json\n");
    }

    #[test]
    fn what_the_model_says_beside_its_calls_is_shown_and_its_answer_is_not() {
        let call = Call { id: "1".into(), name: "read".into(), arguments: "{}".into() };
        let turn = |text: &str, calls| Event::Turn {
            step: 1,
            text: text.into(),
            thinking: String::new(),
            calls,
            usage: Usage::default(),
        };
        let written = check(Screen::Plain, &[(0, turn("I look first", vec![call])), (1, turn("It is done", vec![]))]);
        assert_eq!(written, "I look first\n");
    }
}
