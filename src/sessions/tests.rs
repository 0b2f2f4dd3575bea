//! Logs as they are written, cut, mended and read back.

use crate::protocol::event::{Compacted, Event, Outcome, Stage};
use crate::protocol::message::{Call, Message};
use crate::protocol::tool::ToolAnswer;
use crate::protocol::turn::{Delta, Usage};
use crate::sessions::fold::{Session, fold};
use crate::sessions::log::{Head, SessionLog, fresh_id};
use crate::sessions::{SessionError, export, shelf};
use crate::units::Tokens;
use proptest::prelude::*;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

fn head(id: &str) -> Head {
    Head {
        id: id.into(),
        started: 1_700_000_000,
        root: "/project".into(),
        model: "tiny".into(),
        mode: "fix".into(),
        version: "0.1.0".into(),
    }
}

fn user(text: &str) -> Message {
    Message::User { text: text.into() }
}

fn turn(text: &str, calls: &[&str]) -> Event {
    let calls = calls.iter().map(|id| Call { id: (*id).into(), name: "read".into(), arguments: r#"{"path":"ä"}"#.into() });
    let usage = Usage { prompt: Tokens(10), generated: Tokens(2), ..Usage::default() };
    Event::Turn { step: 1, text: text.into(), thinking: "Hm.\n".into(), calls: calls.collect(), usage }
}

fn called(id: &str, text: &str) -> Event {
    Event::Called { id: id.into(), name: "read".into(), answer: ToolAnswer::done(text) }
}

fn done() -> Event {
    Event::Done { outcome: Outcome::Finished { text: "Fixed.".into() } }
}

fn story() -> Vec<Event> {
    vec![
        Event::Delta(Delta::Text { text: "streams".into() }),
        Event::Delta(Delta::Notice { text: "the engine was restarted".into() }),
        turn("Let me look.", &["a", "b"]),
        called("a", "one `tick` ```\nfence"),
        called("b", "zwei 🦀"),
        Event::Nudge { text: "Go on.".into() },
        turn("Fixed.", &[]),
        done(),
    ]
}

/// Writes the story and gives the directory.
fn written(id: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut log = SessionLog::create(&dir.path().join("sessions"), &head(id)).unwrap();
    log.message(&user("Fix the bug.\nSoon.")).unwrap();
    for event in story() {
        log.record(&event).unwrap();
    }
    dir
}

fn bytes(dir: &TempDir, id: &str) -> Vec<u8> {
    std::fs::read(shelf::path_of(&dir.path().join("sessions"), id)).unwrap()
}

fn folded(bytes: &[u8]) -> Session {
    fold(bytes, Path::new("s")).unwrap()
}

#[test]
fn what_was_said_is_read_back() {
    let session = folded(&bytes(&written("s"), "s"));
    assert_eq!(session.head, head("s"));
    assert_eq!((session.steps, session.usage.prompt, session.skipped), (2, Tokens(20), 0));
    assert_eq!(session.outcome, Some(Outcome::Finished { text: "Fixed.".into() }));
    let roles: Vec<&str> = session.messages.iter().map(role).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant"]);
    let Message::Tool { text, .. } = &session.messages[3] else { panic!() };
    assert_eq!(text, "zwei 🦀\n\nGo on.");
}

fn role(message: &Message) -> &'static str {
    match message {
        Message::System { .. } => "system",
        Message::User { .. } => "user",
        Message::Assistant { .. } => "assistant",
        Message::Tool { .. } => "tool",
    }
}

#[test]
fn a_session_is_private_and_streams_are_left_out() {
    let dir = written("s");
    let sessions = dir.path().join("sessions");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&sessions), mode(&shelf::path_of(&sessions, "s"))), (0o700, 0o600));
    let text = String::from_utf8(bytes(&dir, "s")).unwrap();
    assert!(!text.contains("streams") && text.contains("the engine was restarted"));
    assert!(text.starts_with(r#"{"session":1,"id":"s","started":1700000000,"root":"/project""#), "{text}");
}

proptest! {
    #[test]
    fn a_log_cut_anywhere_gives_the_beginning_of_what_was_said(at in any::<prop::sample::Index>()) {
        let whole = bytes(&written("s"), "s");
        let cut = &whole[..at.index(whole.len() + 1)];
        let first = whole.iter().position(|&b| b == b'\n').unwrap();
        let result = fold(cut, Path::new("s"));
        if cut.len() < first {
            let no_head = matches!(result, Err(SessionError::NoHead { .. }));
            prop_assert!(no_head);
            return Ok(());
        }
        let (part, all) = (result.unwrap(), folded(&whole));
        prop_assert!(part.messages.len() <= all.messages.len() && part.skipped <= 1);
        for (at, (said, later)) in part.messages.iter().zip(&all.messages).enumerate() {
            // A nudge is added to the last message; until it is said, that message is shorter.
            let growing = at + 1 == part.messages.len() && text(later).starts_with(text(said));
            prop_assert!(said == later || growing);
        }
    }

    #[test]
    fn a_log_cut_anywhere_can_be_appended_to(at in any::<prop::sample::Index>()) {
        let dir = written("s");
        let sessions = dir.path().join("sessions");
        let whole = bytes(&dir, "s");
        let first = whole.iter().position(|&b| b == b'\n').unwrap();
        let cut = first + at.index(whole.len() - first + 1);
        let before = folded(&whole[..cut]);
        OpenOptions::new().write(true).open(shelf::path_of(&sessions, "s")).unwrap().set_len(cut as u64).unwrap();
        SessionLog::resume(&sessions, "s").unwrap().message(&user("And now?")).unwrap();
        let after = folded(&bytes(&dir, "s"));
        prop_assert_eq!(after.skipped, 0, "no torn line is left");
        let mut expected = before.messages;
        expected.push(user("And now?"));
        prop_assert_eq!(after.messages, expected);
    }
}

fn text(message: &Message) -> &str {
    match message {
        Message::System { text } | Message::User { text } | Message::Assistant { text, .. } | Message::Tool { text, .. } => text,
    }
}

#[test]
fn unknown_kinds_are_skipped_and_newer_formats_refused() {
    let mut whole = bytes(&written("s"), "s");
    whole.extend_from_slice(b"{\"mood\":\"good\"}\n{\"event\":{\"event\":\"hologram\"}}\nnot json\n");
    let session = folded(&whole);
    assert_eq!((session.skipped, session.messages.len()), (3, 5));

    let newer = String::from_utf8(whole).unwrap().replacen("\"session\":1", "\"session\":2", 1);
    let error = fold(newer.as_bytes(), Path::new("s.jsonl")).unwrap_err();
    assert_eq!(error.to_string(), "the session `s.jsonl` has format 2, and this program reads up to 1");
    for nothing in ["", "\n", "{}", "[1]\n", "{\"session\":1}\n"] {
        assert!(matches!(fold(nothing.as_bytes(), Path::new("s")), Err(SessionError::NoHead { .. })), "{nothing:?}");
    }
}

#[test]
fn a_compaction_changes_what_the_model_has_and_not_what_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = SessionLog::create(dir.path(), &head("s")).unwrap();
    // An attempt before this one: a compaction counts from the end, and leaves it alone.
    let earlier = [user("Try."), user("Fix the bug.")];
    earlier.iter().for_each(|message| log.message(message).unwrap());
    let told = [turn("Look.", &["a"]), called("a", "a long result"), turn("Once more.", &["b"]), called("b", "the last")];
    told.iter().for_each(|event| log.record(event).unwrap());
    let before = folded(&std::fs::read(shelf::path_of(dir.path(), "s")).unwrap());
    let notes = user("Fix the bug.\n\n<so-far>It is in a.</so-far>");
    let compacted = Compacted {
        stage: Stage::Summary,
        replaced: 5,
        messages: [vec![notes.clone()], before.messages[4..].to_vec()].concat(),
        before: Tokens(90),
        after: Tokens(30),
        usage: Usage { prompt: Tokens(7), generated: Tokens(3), ..Usage::default() },
    };
    log.record(&Event::Compacted(compacted)).unwrap();
    log.record(&turn("Done.", &[])).unwrap();

    let after = folded(&std::fs::read(shelf::path_of(dir.path(), "s")).unwrap());
    let expected = [&[user("Try."), notes][..], &before.messages[4..], &after.transcript[6..]].concat();
    assert_eq!((after.messages, after.skipped), (expected, 0));
    assert_eq!(after.transcript[..6], before.transcript);
    assert_eq!((after.steps, after.usage.prompt, after.usage.generated), (3, Tokens(37), Tokens(9)));
}

proptest! {
    /// Attempts that are made at once are read as if they had been made one after another.
    #[test]
    fn however_attempts_interleave_they_are_read_one_by_one(order in proptest::collection::vec(1u32..4, 30)) {
        let dir = tempfile::tempdir().unwrap();
        let (opening, spoken) = (user("Fix the bug."), user("And something else."));
        let notice = || Event::Delta(Delta::Notice { text: "attempts go side by side".into() });
        let events = |attempt: u32| {
            let mut story = story();
            story.truncate(4 + attempt as usize);
            story
        };
        let mut apart = SessionLog::create(dir.path(), &head("apart")).unwrap();
        apart.message(&spoken).unwrap();
        for attempt in 1..4 {
            apart.message(&opening).unwrap();
            events(attempt).iter().for_each(|event| apart.record(event).unwrap());
        }
        apart.record(&done()).unwrap();

        let mut woven = SessionLog::create(dir.path(), &head("woven")).unwrap();
        woven.message(&spoken).unwrap();
        let mut left: Vec<_> = (1..4).map(|attempt| (attempt, Some(opening.clone()), events(attempt).into_iter())).collect();
        let all = (1..4).flat_map(|attempt| [attempt; 9]);
        for attempt in order.into_iter().chain(all) {
            let (attempt, message, rest) = &mut left[attempt as usize - 1];
            woven.record(&notice()).unwrap();
            if let Some(message) = message.take() {
                woven.message_of(Some(*attempt), &message).unwrap();
            } else if let Some(event) = rest.next() {
                woven.record_of(Some(*attempt), &event).unwrap();
            }
        }
        woven.record(&done()).unwrap();

        let read = |id| folded(&std::fs::read(shelf::path_of(dir.path(), id)).unwrap());
        let (apart, woven) = (read("apart"), read("woven"));
        prop_assert_eq!(woven.skipped, 0);
        prop_assert_eq!(Session { head: apart.head.clone(), ..woven }, apart);
    }
}

#[test]
fn a_run_that_began_again_has_no_outcome_yet() {
    let dir = written("s");
    SessionLog::resume(&dir.path().join("sessions"), "s").unwrap().message(&user("And now?")).unwrap();
    assert_eq!(folded(&bytes(&dir, "s")).outcome, None);
}

#[test]
fn two_writers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = SessionLog::create(dir.path(), &head("s")).unwrap();
    assert!(matches!(SessionLog::resume(dir.path(), "s"), Err(SessionError::InUse { .. })));
    assert!(matches!(SessionLog::create(dir.path(), &head("s")), Err(SessionError::Write { .. })), "nothing is overwritten");
}

#[test]
fn sessions_are_listed_newest_first_and_found_by_their_beginning() {
    let dir = written("20250102-000000-b");
    let sessions = dir.path().join("sessions");
    for id in ["20250101-000000-a", "20250102-000000-bc"] {
        SessionLog::create(&sessions, &head(id)).unwrap();
    }
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(sessions.join("20990101-000000-x.jsonl"))
        .unwrap()
        .write_all(b"{")
        .unwrap();
    let (summaries, problems) = shelf::list(&sessions).unwrap();
    let ids: Vec<&str> = summaries.iter().map(|summary| summary.head.id.as_str()).collect();
    assert_eq!(ids, ["20250102-000000-bc", "20250102-000000-b", "20250101-000000-a"]);
    assert_eq!((summaries[1].title.as_str(), summaries[1].steps, problems.len()), ("Fix the bug.", 2, 1));

    assert_eq!(shelf::show(&sessions, "20250101").unwrap().head.id, "20250101-000000-a");
    assert_eq!(shelf::find(&sessions, "20250102-000000-b").unwrap(), "20250102-000000-b", "a whole id is not ambiguous");
    assert!(matches!(shelf::find(&sessions, "20250102"), Err(SessionError::Ambiguous { ids, .. }) if ids.len() == 2));
    assert!(matches!(shelf::find(&sessions, "1999"), Err(SessionError::Unknown(_))));
    assert!(shelf::list(&dir.path().join("none")).unwrap().0.is_empty());
}

#[test]
fn ids_sort_by_time_and_never_meet() {
    assert!(fresh_id(1_700_000_000).starts_with("20231114-221320-"));
    assert!(fresh_id(0).starts_with("19700101-000000-"));
    assert!(fresh_id(951_782_399).starts_with("20000228-235959-"));
    assert!(fresh_id(951_782_400).starts_with("20000229-000000-"));
    assert!(fresh_id(4_107_542_400).starts_with("21000301-000000-"));
    let mut ids: Vec<String> = (0..100).map(|_| fresh_id(5)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[test]
fn a_session_exports_for_people_and_programs() {
    let session = folded(&bytes(&written("s"), "s"));
    let json = export::json(&session);
    assert_eq!((json["head"]["id"].as_str(), json["messages"].as_array().unwrap().len()), (Some("s"), 5));
    insta::assert_snapshot!(export::markdown(&session), @r#"
    # Session s

    /project · tiny · fix

    ## User

    Fix the bug.
    Soon.

    ## Agent

    Let me look.

    `read`

    ```json
    {"path":"ä"}
    ```

    `read`

    ```json
    {"path":"ä"}
    ```

    Result of `read`

    ````
    one `tick` ```
    fence
    ````

    Result of `read`

    ```
    zwei 🦀

    Go on.
    ```

    ## Agent

    Fixed.

    ## Outcome

    finished
    "#);
}
