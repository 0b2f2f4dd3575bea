//! Making a conversation shorter, deeply and seldom.
//!
//! Whatever changes in a conversation costs: all that stands behind the change is processed anew. So a compaction keeps little,
//! and what it keeps stands at the end: the task, notes on what was done, the files that are being worked on, the last steps.
//! Three ways are laid out here, each keeping less than the one before; which is taken is for the caller, who knows the window.
//!
//! Pure: a [`Draft`] lists the texts that have to be counted, and weighed with those counts it gives each way's result.

use crate::context::chronicle::Chronicle;
use crate::context::heading::{heading, path_of, says_changed};
use crate::prompts::compaction::{self, Stub};
use crate::protocol::event::{Compacted, Stage};
use crate::protocol::message::{Call, Message};
use crate::protocol::turn::Usage;
use crate::text::clip;
use crate::units::Tokens;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// The part of the room that the last steps may keep: a sixteenth.
const STEPS: u32 = 16;
/// The part of the room that the files worked on may keep: a seventh.
const FILES: u32 = 7;
/// The part of the room that the person's words may keep, but for the last and the first, which stay.
const WORDS: u32 = 4;
/// Characters of a stub's subject.
const ABOUT: usize = 80;

/// A conversation laid out for a compaction.
#[derive(Clone, Debug)]
pub struct Draft {
    messages: Vec<Message>,
    /// Where the conversation begins: behind the system prompt.
    first: usize,
    /// The person's words, by their place.
    words: Vec<(usize, String)>,
    /// Turns with what followed them, since the person last spoke.
    steps: Vec<Range<usize>>,
    /// What would stand for each old result.
    stubs: Vec<(usize, String)>,
    lines: Vec<String>,
    changes: Vec<String>,
    plan: Option<String>,
    request: String,
    bound: Tokens,
}

/// A draft whose texts were counted.
#[derive(Clone, Debug)]
pub struct Weighed {
    draft: Draft,
    counts: Counts,
    /// Tokens of the conversation that can go.
    before: Tokens,
    /// What the conversation may have.
    room: Tokens,
    /// The person's words that stay.
    kept: Vec<usize>,
    /// Where the last steps begin.
    tail: usize,
    pins: Pins,
}

/// Tokens of each of a draft's texts.
#[derive(Clone, Debug)]
struct Counts {
    /// Of each message.
    messages: Vec<Tokens>,
    /// Of each message's calls alone.
    calls: Vec<Tokens>,
    words: Vec<Tokens>,
    stubs: Vec<Tokens>,
    lines: Vec<Tokens>,
    changes: Vec<Tokens>,
    plan: Tokens,
    request: Tokens,
    frame: Tokens,
}

/// Older calls with their answers that stay: of each file worked on, its last reading and the edits since.
#[derive(Clone, Debug, Default)]
struct Pins {
    /// The places of the answers.
    answers: HashSet<usize>,
    tokens: Tokens,
}

impl Draft {
    /// Lays a conversation out. `opening` messages began it; a summary would have `bound` tokens. `None`: there is nothing
    /// older than the last step.
    pub fn of(messages: &[Message], opening: usize, chronicle: &Chronicle, bound: Tokens) -> Option<Self> {
        let first = messages.iter().take_while(|message| matches!(message, Message::System { .. })).count();
        let opening = opening.clamp(first, messages.len());
        let turns = (opening..messages.len()).filter(|&at| matches!(messages[at], Message::Assistant { .. }));
        let starts: Vec<usize> = turns.collect();
        let ends = starts.iter().skip(1).copied().chain([messages.len()]);
        let steps: Vec<Range<usize>> = starts.iter().copied().zip(ends).map(|(from, to)| from..to).collect();
        let words: Vec<(usize, String)> = (first..opening)
            .filter_map(|at| match &messages[at] {
                Message::User { text } => Some((at, compaction::without_notes(text))),
                _ => None,
            })
            .collect();
        let last = steps.last().map_or(messages.len(), |step| step.start);
        if last - first <= words.len() {
            return None;
        }
        let draft = Self {
            first,
            words,
            steps,
            stubs: stubs(messages, first..last),
            lines: chronicle.lines(),
            changes: chronicle.changes(),
            plan: chronicle.plan().map(str::to_owned),
            // An English word has about 1.3 tokens; the rest is slack, for a summary that is cut off is none.
            request: compaction::summary(bound.0 / 2),
            bound,
            messages: messages.to_vec(),
        };
        Some(draft)
    }

    /// The texts to count, in the order in which [`Draft::weigh`] takes the counts.
    pub fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.messages[self.first..].iter().map(words_of).collect();
        texts.extend(self.messages[self.first..].iter().map(calls_of));
        texts.extend(self.words.iter().map(|(_, words)| words.clone()));
        texts.extend(self.stubs.iter().map(|(_, stub)| stub.clone()));
        texts.extend(self.lines.iter().chain(&self.changes).cloned());
        texts.extend([self.plan.clone().unwrap_or_default(), self.request.clone(), compaction::so_far("")]);
        texts
    }

    /// Takes the counts. `room` is what the conversation may have, given what of it can go.
    pub fn weigh(self, counts: &[Tokens], room: impl Fn(Tokens) -> Tokens) -> Weighed {
        let mut rest = counts.iter().copied();
        let mut next = |n: usize| -> Vec<Tokens> { rest.by_ref().take(n).collect() };
        let (said, calls) = (next(self.messages.len() - self.first), next(self.messages.len() - self.first));
        let counts = Counts {
            messages: said.iter().zip(&calls).map(|(said, calls)| *said + *calls).collect(),
            calls,
            words: next(self.words.len()),
            stubs: next(self.stubs.len()),
            lines: next(self.lines.len()),
            changes: next(self.changes.len()),
            plan: next(1).into_iter().sum(),
            request: next(1).into_iter().sum(),
            frame: next(1).into_iter().sum(),
        };
        let all: Tokens = counts.messages.iter().copied().sum();
        let said: Tokens = counts.words.iter().copied().sum();
        let room = room(all - said);
        let kept = kept_words(&counts.words, room);
        let before = all - kept.iter().map(|&at| counts.words[at]).sum();
        let mut weighed = Weighed { draft: self, counts, before, room, kept, tail: 0, pins: Pins::default() };
        weighed.tail = weighed.last_steps();
        weighed.pins = weighed.worked_on();
        weighed
    }
}

impl Weighed {
    /// Tokens of the conversation that can go.
    pub fn before(&self) -> Tokens {
        self.before
    }

    /// What the conversation may have.
    pub fn room(&self) -> Tokens {
        self.room
    }

    /// The sentence that asks for a summary, and its tokens.
    pub fn request(&self) -> (&str, Tokens) {
        (&self.draft.request, self.counts.request)
    }

    /// The most tokens of a summary.
    pub fn bound(&self) -> Tokens {
        self.draft.bound
    }

    /// What would be left with a summary of full length.
    pub fn after_summary(&self) -> Tokens {
        self.around() + self.draft.bound + self.counts.changes.iter().copied().sum()
    }

    /// With a line in place of each old result, but for those of files that are worked on.
    pub fn stubbed(&self) -> Compacted {
        let Draft { messages, stubs, first, .. } = &self.draft;
        let mut messages = messages.clone();
        let (mut from, mut freed) = (messages.len(), Tokens::ZERO);
        for ((at, stub), tokens) in stubs.iter().zip(&self.counts.stubs) {
            let saved = self.counts.messages[at - first] - *tokens;
            if *at >= self.tail || self.pins.answers.contains(at) || saved == Tokens::ZERO {
                continue;
            }
            if let Message::Tool { text, .. } = &mut messages[*at] {
                text.clone_from(stub);
                from = from.min(*at);
                freed += saved;
            }
        }
        self.compacted(Stage::Results, messages.split_off(from), self.before - freed)
    }

    /// With the model's summary in place of the older steps. What changed, and the plan, are told beside it.
    pub fn summarized(&self, summary: &str, usage: Usage) -> Compacted {
        let tokens = if usage.generated > Tokens::ZERO { usage.generated } else { self.draft.bound };
        let notes = self.draft.changes.iter().map(String::as_str).chain([summary.trim()]);
        let after = self.around() + tokens + self.counts.changes.iter().copied().sum();
        Compacted { usage, ..self.with_notes(Stage::Summary, &self.noted(notes), after) }
    }

    /// With a list of what was done in place of the older steps.
    pub fn listed(&self) -> Compacted {
        let mut tokens = Tokens::ZERO;
        let mut told = Vec::new();
        for (line, size) in self.draft.lines.iter().zip(&self.counts.lines) {
            // A line's end is a token at most.
            if tokens + *size + Tokens(1) <= self.draft.bound {
                tokens += *size + Tokens(1);
                told.push(line.as_str());
            }
        }
        self.with_notes(Stage::Facts, &self.noted(told.into_iter()), self.around() + tokens)
    }

    /// What stays beside the notes: the plan, the files worked on, the last steps.
    fn around(&self) -> Tokens {
        let tail: Tokens = self.counts.messages[self.tail - self.draft.first..].iter().copied().sum();
        self.counts.frame + self.counts.plan + self.pins.tokens + tail
    }

    fn noted<'a>(&'a self, notes: impl Iterator<Item = &'a str>) -> String {
        self.draft.plan.as_deref().into_iter().chain(notes).collect::<Vec<_>>().join("\n")
    }

    fn with_notes(&self, stage: Stage, notes: &str, after: Tokens) -> Compacted {
        let words = self.kept.iter().map(|&at| self.draft.words[at].1.clone());
        let text = words.chain([compaction::so_far(notes)]).collect::<Vec<_>>().join("\n\n");
        let mut messages = vec![Message::User { text }];
        messages.extend(self.pinned());
        messages.extend_from_slice(&self.draft.messages[self.tail..]);
        self.compacted(stage, messages, after)
    }

    fn compacted(&self, stage: Stage, messages: Vec<Message>, after: Tokens) -> Compacted {
        // The results stay as many as they were; notes replace the whole conversation.
        let replaced = if stage == Stage::Results { messages.len() } else { self.draft.messages.len() - self.draft.first };
        Compacted { stage, replaced, messages, before: self.before, after, usage: Usage::default() }
    }

    /// Where the last steps begin that fit their share. The very last one stays whatever its size: the model has not read it.
    fn last_steps(&self) -> usize {
        let share = Tokens(self.room.0 / STEPS);
        let mut steps = self.draft.steps.iter().rev();
        let Some(last) = steps.next() else { return self.draft.messages.len() };
        let (mut from, mut tokens) = (last.start, self.weight(last));
        for step in steps {
            tokens += self.weight(step);
            if tokens > share {
                break;
            }
            from = step.start;
        }
        from
    }

    /// Finds what stays of older steps. First the files that were edited, then the others that were read, the latest first.
    fn worked_on(&self) -> Pins {
        let mut share = Tokens(self.room.0 / FILES);
        let mut pins = Pins::default();
        for places in groups(&self.draft.messages, &self.draft.steps, self.tail) {
            // A call is counted with all calls of its turn: no less than it takes.
            let turn = |at: usize| self.draft.steps.iter().find(|step| step.contains(&at)).map_or(at, |step| step.start);
            let (answers, calls) = (&self.counts.messages, &self.counts.calls);
            let size = |at: usize| answers[at - self.draft.first] + calls[turn(at) - self.draft.first];
            let tokens: Tokens = places.iter().map(|&at| size(at)).sum();
            if tokens <= share {
                share = share - tokens;
                pins.tokens += tokens;
                pins.answers.extend(places);
            }
        }
        pins
    }

    /// The pinned calls with their answers, as steps of their own.
    fn pinned(&self) -> Vec<Message> {
        let mut messages = Vec::new();
        for step in self.draft.steps.iter().filter(|step| step.start < self.tail) {
            let answers: Vec<&Message> =
                step.clone().filter(|at| self.pins.answers.contains(at)).map(|at| &self.draft.messages[at]).collect();
            let answered = |call: &&Call| answers.iter().any(|a| matches!(a, Message::Tool { call: id, .. } if *id == call.id));
            let Message::Assistant { calls, .. } = &self.draft.messages[step.start] else { continue };
            let calls: Vec<Call> = calls.iter().filter(answered).cloned().collect();
            if !calls.is_empty() {
                messages.push(Message::Assistant { text: String::new(), thinking: String::new(), calls });
                messages.extend(answers.into_iter().cloned());
            }
        }
        messages
    }

    fn weight(&self, step: &Range<usize>) -> Tokens {
        self.counts.messages[step.start - self.draft.first..step.end - self.draft.first].iter().copied().sum()
    }
}

/// The person's words that stay, in their order: the last and the first always, the latest others while they fit.
fn kept_words(sizes: &[Tokens], room: Tokens) -> Vec<usize> {
    let mut share = Tokens(room.0 / WORDS);
    let last = sizes.len().saturating_sub(1);
    let mut kept: Vec<usize> = (0..sizes.len())
        .rev()
        .filter(|&at| {
            let stays = at == 0 || at == last || sizes[at] <= share;
            if stays {
                share = share - sizes[at];
            }
            stays
        })
        .collect();
    kept.reverse();
    kept
}

/// For each file, the places of its last reading before `tail` and of the answers to edits since. None for a file that was read
/// again later. Edited files stand first, the latest first.
fn groups(messages: &[Message], steps: &[Range<usize>], tail: usize) -> Vec<Vec<usize>> {
    let mut files: BTreeMap<String, (Vec<usize>, Option<usize>)> = BTreeMap::new();
    for step in steps {
        let Message::Assistant { calls, .. } = &messages[step.start] else { continue };
        for at in step.clone().skip(1) {
            let Message::Tool { call, text, .. } = &messages[at] else { continue };
            let Some(call) = calls.iter().find(|made| made.id == *call) else { continue };
            if let Some(shown) = heading(text).filter(|_| call.name == "read") {
                let edited = files.get(shown.path).and_then(|file| file.1);
                files.insert(shown.path.to_owned(), (vec![at], edited));
            } else if matches!(call.name.as_str(), "edit" | "write") && says_changed(text) {
                let file = files.entry(path_of(&call.arguments)).or_default();
                file.0.push(at);
                file.1 = Some(at);
            }
        }
    }
    let mut groups: Vec<(Option<usize>, Vec<usize>)> = files
        .into_values()
        .filter(|(places, _)| places.first().is_some_and(|&at| at < tail))
        .map(|(places, edited)| (edited, places.into_iter().filter(|&at| at < tail).collect()))
        .collect();
    groups.sort_by_key(|(edited, places): &(Option<usize>, Vec<usize>)| std::cmp::Reverse((*edited, places.first().copied())));
    groups.into_iter().map(|(_, places)| places).collect()
}

/// What would stand for each result in a part of the conversation.
fn stubs(messages: &[Message], part: Range<usize>) -> Vec<(usize, String)> {
    let (mut places, mut stubs, mut made): (Vec<usize>, Vec<Stub>, &[Call]) = (Vec::new(), Vec::new(), &[]);
    for at in part {
        match &messages[at] {
            Message::Assistant { calls, .. } => made = calls,
            Message::Tool { call, name, text } => {
                let arguments = made.iter().find(|made| made.id == *call).map_or("", |call| &call.arguments);
                places.push(at);
                stubs.push(Stub { tool: name.clone(), about: about(arguments, text), hash: hash(text) });
            }
            Message::System { .. } | Message::User { .. } => {}
        }
    }
    places.into_iter().zip(compaction::stubs(&stubs)).collect()
}

/// What a result is of: what was asked for, and its first line where that says more.
fn about(arguments: &str, text: &str) -> String {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let asked = ["command", "path", "pattern", "query"].into_iter().find_map(|name| arguments.get(name)?.as_str());
    let (asked, first) = (asked.unwrap_or_default(), text.lines().next().unwrap_or_default());
    let about = if first.contains(asked) { first.to_owned() } else { format!("{asked}: {first}") };
    clip::line(&about, ABOUT).into_owned()
}

/// Six hexadecimal digits of a text: FNV-1a (Fowler, Noll, Vo), which stays the same from one program to the next.
fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{:06x}", hash & 0xff_ffff)
}

/// What a message says, as one text to count.
fn words_of(message: &Message) -> String {
    match message {
        Message::System { text } | Message::User { text } | Message::Tool { text, .. } => text.clone(),
        Message::Assistant { text, thinking, .. } => [thinking.as_str(), text].join("\n"),
    }
}

/// The calls of a message, as one text to count.
fn calls_of(message: &Message) -> String {
    let Message::Assistant { calls, .. } = message else { return String::new() };
    calls.iter().flat_map(|call| [call.name.as_str(), &call.arguments]).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
