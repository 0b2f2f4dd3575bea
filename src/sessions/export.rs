//! A session for programs (JSON) and for people (Markdown): all that was said, also what the model no longer has.

use crate::protocol::event::Outcome;
use crate::protocol::message::Message;
use crate::sessions::fold::Session;
use serde_json::{Value, json};
use std::fmt::Write;

/// Renders a session as one JSON object: the head, the messages, the outcome and the usage.
pub fn json(session: &Session) -> Value {
    let Session { head, transcript, outcome, steps, usage, skipped, .. } = session;
    json!({"head": head, "messages": transcript, "outcome": outcome, "steps": steps, "usage": usage, "skipped": skipped})
}

/// Renders a session as Markdown. Thinking is left out.
pub fn markdown(session: &Session) -> String {
    let head = &session.head;
    let mut out = format!("# Session {}\n\n{} · {} · {}\n", head.id, head.root.display(), head.model, head.mode);
    for message in &session.transcript {
        match message {
            Message::System { text } => section(&mut out, "System", text),
            Message::User { text } => section(&mut out, "User", text),
            Message::Assistant { text, calls, .. } => {
                section(&mut out, "Agent", text);
                for call in calls {
                    block(&mut out, &format!("`{}`", call.name), "json", &call.arguments);
                }
            }
            Message::Tool { name, text, .. } => block(&mut out, &format!("Result of `{name}`"), "", text),
        }
    }
    section(&mut out, "Outcome", &verdict(session.outcome.as_ref()));
    out
}

fn verdict(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "not ended".into(),
        Some(Outcome::Finished { .. }) => "finished".into(),
        Some(Outcome::Failed { reason }) => format!("failed: {reason}"),
        Some(Outcome::Budget { reason }) => format!("budget: {reason}"),
        Some(Outcome::Engine { reason }) => format!("engine: {reason}"),
        Some(Outcome::Denied { reason }) => format!("denied: {reason}"),
        Some(Outcome::Interrupted) => "interrupted".into(),
    }
}

fn section(out: &mut String, title: &str, text: &str) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\n## {title}\n\n");
    if !text.is_empty() {
        let _ = writeln!(out, "{}", text.trim_end());
    }
}

/// A code block whose fence is longer than any in the text.
fn block(out: &mut String, title: &str, language: &str, text: &str) {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = write!(out, "\n{title}\n\n{fence}{language}\n{}\n{fence}\n", text.trim_end());
}
