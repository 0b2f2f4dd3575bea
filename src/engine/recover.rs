//! Recovers calls that a model wrote as text because the server did not parse them.
//!
//! Pure, and reluctant: a call is taken only when it is whole, of a known tool, and plainly meant as a call. Whatever is cut
//! off, quoted, fenced as an example or mixed from two dialects is left as the text it is. It does not judge arguments
//! against their schema; it only asks the schema which XML values are text, because XML alone cannot say.

mod read;

use crate::engine::recover::read::Cursor;
use crate::protocol::turn::ToolCard;
use serde_json::Value;

/// What a text turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The text without the calls.
    pub text: String,
    /// Name and arguments, the arguments as a JSON object.
    pub calls: Vec<(String, String)>,
}

/// Where a dialect's calls begin.
const MARKERS: [&str; 3] = ["<tool_call>", "<function=", "[TOOL_CALLS]"];
/// What may not be left over beside recovered calls: then the text is not understood.
const LEFTOVERS: [&str; 6] = ["<tool_call>", "</tool_call>", "<function=", "</function>", "[TOOL_CALLS]", "[ARGS]"];

/// Finds calls written as text: Hermes, Qwen3-Coder, GLM, Mistral, Llama's bare JSON, and a closing JSON fence.
/// `None` when there is none or when it is not certain. Linear in the text but for values that hold their own end marks.
pub fn recover(text: &str, known: &[ToolCard]) -> Option<Recovered> {
    let (thought, answer) = after_thought(text)?;
    let marker = MARKERS.iter().filter_map(|m| answer.find(m)).min();
    let (before, calls, after) = match marker {
        Some(at) => marked(answer, at, known)?,
        None => bare(answer, known).or_else(|| fenced(answer, known))?,
    };
    let kept: Vec<&str> = [thought.trim(), before.trim(), after.trim()].into_iter().filter(|s| !s.is_empty()).collect();
    Some(Recovered { text: kept.join("\n"), calls })
}

/// Finds calls written as text, also one that was begun and is not whole: its arguments are then what came, mark and all,
/// which is no JSON. So it is answered as a broken call, and not taken for the model's last word.
pub fn recover_or_begun(text: &str, known: &[ToolCard]) -> Option<Recovered> {
    recover(text, known).or_else(|| begun(text, known))
}

/// A call's mark at the beginning of a line, outside of fences, followed by the name of a known tool.
fn begun(text: &str, known: &[ToolCard]) -> Option<Recovered> {
    let (thought, answer) = after_thought(text)?;
    let at = MARKERS.iter().filter_map(|mark| answer.find(mark)).min()?;
    let (before, rest) = answer.split_at(at);
    let line = before.rsplit('\n').next().unwrap_or_default();
    if is_quoted(before) || !line.trim().is_empty() {
        return None;
    }
    // The name stands first in every dialect, but for JSON's punctuation.
    let head: String = rest.chars().take(120).collect();
    let words: Vec<_> =
        head.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').filter(|word| !word.is_empty()).collect();
    let skipped = ["tool_call", "TOOL_CALLS", "function", "name", "type"];
    let name = words.into_iter().find(|word| !skipped.contains(word))?;
    let name = known.iter().find(|card| card.name == name)?.name.clone();
    // A name is followed by punctuation or a line end in every dialect; by a word only in prose.
    let (_, behind) = rest.split_once(name.as_str())?;
    if behind.starts_with([' ', '.', ',']) {
        return None;
    }
    let kept: Vec<&str> = [thought.trim(), before.trim()].into_iter().filter(|s| !s.is_empty()).collect();
    Some(Recovered { text: kept.join("\n"), calls: vec![(name, rest.trim().to_owned())] })
}

/// The text before the calls, the calls, the text after them.
type Found<'a> = (&'a str, Vec<(String, String)>, &'a str);

/// A call that a thought only considers is none: what counts begins after the thought, and an open thought has no answer.
fn after_thought(text: &str) -> Option<(&str, &str)> {
    const END: &str = "</think>";
    let (thought, answer) = text.split_at(text.rfind(END).map_or(0, |at| at + END.len()));
    (!answer.contains("<think>")).then_some((thought, answer))
}

fn marked<'a>(answer: &'a str, at: usize, known: &[ToolCard]) -> Option<Found<'a>> {
    let (before, rest) = answer.split_at(at);
    if is_quoted(before) {
        return None;
    }
    let mut cursor = Cursor::new(rest);
    let calls = if rest.starts_with("[TOOL_CALLS]") { cursor.mistral(known)? } else { cursor.tagged(known)? };
    let after = cursor.rest();
    (!LEFTOVERS.iter().any(|mark| before.contains(mark) || after.contains(mark))).then_some((before, calls, after))
}

/// Inside a fence, or right behind a backtick or a quotation mark: shown, not made.
fn is_quoted(before: &str) -> bool {
    let fences = before.lines().filter(|line| is_fence(line)).count();
    fences % 2 == 1 || before.ends_with(['`', '"', '\''])
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~")
}

/// Llama's form: nothing but one JSON object.
fn bare<'a>(answer: &'a str, known: &[ToolCard]) -> Option<Found<'a>> {
    let json = answer.trim();
    let json = json.strip_prefix("<|python_tag|>").unwrap_or(json);
    let value: Value = serde_json::from_str(json).ok()?;
    let keys = value.as_object()?.keys();
    if !keys.into_iter().all(|k| ["name", "parameters", "arguments", "type"].contains(&k.as_str())) {
        return None;
    }
    Some(("", vec![read::json_call(&value, known)?], ""))
}

/// A fenced object that ends the answer and is nothing but `name` and `arguments`.
fn fenced<'a>(answer: &'a str, known: &[ToolCard]) -> Option<Found<'a>> {
    let body_and_close = answer.trim_end();
    let mut offset = 0;
    let mut open: Option<(usize, usize, &str)> = None;
    let mut last: Option<(usize, &str, &str)> = None;
    for line in body_and_close.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        if !is_fence(line) {
            continue;
        }
        open = match open {
            None => Some((start, offset, line.trim().trim_start_matches('`'))),
            Some((from, body, info)) => {
                last = (line.trim() == "```").then_some((from, info, &body_and_close[body..start]));
                None
            }
        };
    }
    let closes = body_and_close.lines().last().is_some_and(is_fence);
    let (from, info, body) = last.filter(|_| open.is_none() && closes)?;
    if !["json", "tool_call"].contains(&info) {
        return None;
    }
    let value: Value = serde_json::from_str(body).ok()?;
    let object = value.as_object()?;
    if object.len() != 2 || !object.contains_key("arguments") {
        return None;
    }
    Some((&answer[..from], vec![read::json_call(&value, known)?], ""))
}

#[cfg(test)]
mod tests;
