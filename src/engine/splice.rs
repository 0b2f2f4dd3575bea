//! Continuing a conversation without rendering its past again.
//!
//! What the model wrote is kept as the tokens that it wrote: a template that renders a turn differently from how it was
//! generated (other blanks in a call, thoughts left out) would otherwise change the prefix and cost a full prefill. So
//! only what comes after the model's turn is rendered, behind a stand-in for that turn, and cut off at its end.

use crate::engine::bridge::{Chat, Prompt, RenderRequest};
use crate::engine::llama::{Model, Special, Token};
use crate::engine::words::STAND_IN;
use crate::protocol::message::{Call, Message};
use crate::protocol::turn::TurnRequest;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A conversation whose past is in tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Past {
    /// All that was said, the model's last turn included, but for its end token.
    pub tokens: Vec<Token>,
    /// The token that ended the last turn, when one did.
    pub end: Option<Token>,
    /// The request that the turn answered, and its answer.
    pub request: TurnRequest,
    pub reply: Message,
    /// Where the turns before it ended, the first one first: a conversation may be taken back to there.
    #[serde(default)]
    pub earlier: Vec<Stand>,
}

/// The end of a turn that the model wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Messages before the turn.
    messages: usize,
    /// Tokens up to its end.
    pub tokens: usize,
    end: Option<Token>,
}

impl Past {
    /// From where `request` goes on: the same past and tools up to the end of a turn that the model wrote here, then nothing but
    /// answers and words of the person. The last such place.
    pub fn leads_to(&self, request: &TurnRequest) -> Option<Stand> {
        if self.request.tools != request.tools || self.request.thinking != request.thinking {
            return None;
        }
        let said = &self.request.messages;
        let last = self.last();
        let mut stands = self.earlier.iter().rev().copied();
        std::iter::once(last).chain(&mut stands).find(|stand| {
            let own = said.get(stand.messages).unwrap_or(&self.reply);
            let (past, rest) = request.messages.split_at(request.messages.len().min(stand.messages));
            let Some((turn, new)) = rest.split_first() else { return false };
            let fresh = !new.is_empty() && !new.iter().any(|m| matches!(m, Message::Assistant { .. } | Message::System { .. }));
            fresh && is_own(own, stand.end.is_none(), turn) && past == &said[..stand.messages.min(said.len())]
        })
    }

    /// The end of the last turn.
    pub fn last(&self) -> Stand {
        Stand { messages: self.request.messages.len(), tokens: self.tokens.len(), end: self.end }
    }

    /// The ends of all turns up to one of them.
    pub fn until(&self, stand: Stand) -> Vec<Stand> {
        let before = self.earlier.iter().take_while(|one| one.messages < stand.messages);
        before.copied().chain([stand]).collect()
    }

    /// The prompt of `request` as this past up to a stand plus what is new, with the parser and grammar of the new turn. `None` where
    /// the template leaves no trace of the stand-in: then everything is rendered anew.
    pub fn extend(&self, stand: Stand, chat: &Chat, model: &Model, request: &TurnRequest) -> Option<(Prompt, Vec<Token>)> {
        let (turn, new) = request.messages.get(stand.messages..)?.split_first()?;
        let mut messages = vec![Message::User { text: ".".into() }, stand_in(turn)];
        messages.extend_from_slice(new);
        let render =
            RenderRequest { messages: &messages, tools: &request.tools, thinking: request.thinking, choice: request.choice };
        let prompt = chat.render(&render).ok()?;
        let (_, rest) = prompt.text.split_once(STAND_IN)?;
        let rest = model.tokenize(rest, Special::Parsed);
        // First the very end that the model wrote; a model may end a turn as its template never does (`<|return|>` for
        // `<|end|>`, `<|eom_id|>` for `<|eot_id|>`): then the template's own end.
        let written = stand.end.and_then(|end| rest.iter().position(|&t| t == end));
        let start = written
            .or_else(|| rest.iter().position(|&t| model.is_end(t)))
            .or_else(|| rest.iter().position(|&t| model.is_control(t)))
            .or_else(|| rest.iter().position(|&t| model.is_markup(t)))?;
        let tokens = self.tokens.get(..stand.tokens)?.iter().chain(&rest[start..]).copied().collect();
        Some((prompt, tokens))
    }
}

/// Whether a turn in a conversation is the one that the model wrote, which was cut or not. Ids may have been changed on the
/// way, and arguments that were cut off or no object stand as `{}`; words, thoughts and all other arguments are the model's.
fn is_own(own: &Message, cut: bool, turn: &Message) -> bool {
    let (Message::Assistant { text, thinking, calls }, Message::Assistant { text: words, thinking: thoughts, calls: made }) =
        (turn, own)
    else {
        return false;
    };
    let same_call = |(at, (call, own)): (usize, (&Call, &Call))| {
        let mended = call.arguments == "{}" && ((cut && at + 1 == made.len()) || !is_object(&own.arguments));
        call.name == own.name && (call.arguments == own.arguments || mended)
    };
    text.trim() == words.trim()
        && thinking.trim() == thoughts.trim()
        && calls.len() == made.len()
        && calls.iter().zip(made).enumerate().all(same_call)
}

fn is_object(arguments: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments).is_ok()
}

/// The model's turn with nothing in it but the stand-in, in the last place that the template renders.
fn stand_in(turn: &Message) -> Message {
    match turn {
        Message::Assistant { calls, .. } if !calls.is_empty() => {
            let mut calls = calls.clone();
            for call in &mut calls {
                call.arguments = "{}".into();
            }
            if let Some(Call { arguments, .. }) = calls.last_mut() {
                *arguments = json!({ "path": STAND_IN }).to_string();
            }
            Message::Assistant { text: String::new(), thinking: String::new(), calls }
        }
        _ => Message::Assistant { text: STAND_IN.into(), thinking: String::new(), calls: Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::llama::Token;
    use crate::engine::splice::{Past, Stand};
    use crate::protocol::message::{Call, Message};
    use crate::protocol::turn::{Sampling, ToolChoice, TurnRequest};
    use crate::units::Tokens;

    fn asked(messages: Vec<Message>) -> TurnRequest {
        TurnRequest {
            messages,
            tools: Vec::new(),
            sampling: Sampling::default(),
            max_tokens: Tokens(9),
            thinking_budget: None,
            thinking: false,
            choice: ToolChoice::Auto,
            grounds: Vec::new(),
        }
    }

    fn turn(thinking: &str, text: &str, arguments: &[&str]) -> Message {
        let call = |arguments: &&str| Call { id: "made".into(), name: "read".into(), arguments: (*arguments).into() };
        Message::Assistant { text: text.into(), thinking: thinking.into(), calls: arguments.iter().map(call).collect() }
    }

    /// Whether what the model wrote is taken for that turn of a conversation.
    fn leads(end: Option<Token>, wrote: Message, stands: Message) -> bool {
        let user = |text: &str| Message::User { text: text.into() };
        let past = Past { tokens: Vec::new(), end, request: asked(vec![user("fix it")]), reply: wrote, earlier: Vec::new() };
        past.leads_to(&asked(vec![user("fix it"), stands, user("go on")])).is_some()
    }

    const ENDED: Option<Token> = Some(Token(1));

    #[test]
    fn a_turn_is_known_by_its_words_thoughts_and_arguments() {
        let wrote = || turn("hm", "I look", &[r#"{"path":"a"}"#]);
        assert!(leads(ENDED, wrote(), turn("hm\n", " I look", &[r#"{"path":"a"}"#])), "blanks around make no difference");
        for other in [
            turn("hm", "I look", &[r#"{"path":"b"}"#]),
            turn("hm", "I look", &["{}"]),
            turn("hm", "I look", &[]),
            turn("hm", "I see", &[r#"{"path":"a"}"#]),
            turn("", "I look", &[r#"{"path":"a"}"#]),
        ] {
            assert!(!leads(ENDED, wrote(), other.clone()), "{other:?}");
        }
    }

    #[test]
    fn mended_arguments_are_the_models_own() {
        assert!(leads(ENDED, turn("", "", &["[1]"]), turn("", "", &["{}"])), "no object");
        assert!(leads(ENDED, turn("", "", &[""]), turn("", "", &["{}"])), "none at all");
        assert!(leads(None, turn("", "", &[r#"{"path":"a"}"#]), turn("", "", &["{}"])), "the last call of a turn that was cut");
        let two = || turn("", "", &[r#"{"path":"a"}"#, r#"{"pa"#]);
        assert!(leads(None, two(), turn("", "", &[r#"{"path":"a"}"#, "{}"])));
        assert!(!leads(None, two(), turn("", "", &["{}", "{}"])), "the first call of it was whole");
    }

    #[test]
    fn only_answers_and_words_may_follow() {
        let past =
            Past { tokens: Vec::new(), end: ENDED, request: asked(Vec::new()), reply: turn("", "a", &[]), earlier: Vec::new() };
        let follows = |rest: &[Message]| past.leads_to(&asked([&[turn("", "a", &[])], rest].concat())).is_some();
        let answer = Message::Tool { call: "made".into(), name: "read".into(), text: "x".into() };
        assert!(follows(&[answer, Message::User { text: "x".into() }]));
        assert!(!follows(&[]), "nothing new");
        assert!(!follows(&[Message::User { text: "x".into() }, turn("", "b", &[])]), "a turn that was never written here");
    }

    #[test]
    fn a_conversation_may_be_taken_back_to_any_turn() {
        let user = |text: &str| Message::User { text: text.into() };
        let said = |turns: usize| -> Vec<Message> {
            (0..turns).flat_map(|n| [user(&format!("ask {n}")), turn("hm", &format!("answer {n}"), &[])]).collect()
        };
        let earlier = (0..2).map(|n| Stand { messages: 2 * n + 1, tokens: 10 * n + 10, end: ENDED }).collect();
        let mut messages = said(3);
        let Some(reply) = messages.pop() else { panic!("three turns") };
        let past = Past { tokens: vec![Token(0); 30], end: ENDED, request: asked(messages), reply, earlier };
        let from = |turns, more: &[Message]| {
            let stand = past.leads_to(&asked([said(turns), more.to_vec()].concat()));
            stand.map(|stand| (stand.tokens, past.until(stand).len()))
        };
        for turns in 1..=3 {
            assert_eq!(from(turns, &[user("something else")]), Some((10 * turns, turns)), "{turns}");
        }
        assert_eq!(from(0, &[user("ask 0")]), None, "nothing of the model's is in it");
        assert_eq!(from(1, &[user("ask 1"), turn("hm", "no such answer", &[])]), None);
        let mut changed = said(3);
        changed[0] = user("other");
        assert_eq!(past.leads_to(&asked([changed, vec![user("x")]].concat())), None);
    }
}
