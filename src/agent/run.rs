//! The loop as a state machine: told what happened, it says what to do next, and performs nothing.
//!
//! It has no clock, engine or disk; time is told to it. What it decides becomes events, and the conversation is nothing but the
//! fold of those events, so the session log cannot disagree with what the model saw. Its one invariant: in the
//! conversation, every call is answered exactly once, in order, directly behind the turn that made it.

use crate::agent::changes::merge;
use crate::agent::intake::{self, Ids, failure};
use crate::agent::limits::{Cost, Limits};
use crate::agent::nudges::{Nudge, Told, Voice};
use crate::agent::pending::{Open, Pending};
use crate::agent::repeats::{Again, Repeats};
use crate::agent::upkeep::{Errand, Fit, Help, Kept, Upkeep};
use crate::agent::{Generation, approval::Verdict};
use crate::context::budget::Budget;
use crate::context::shares::{self, Front};
use crate::engine::EngineError;
use crate::protocol::event::{Event, Outcome};
use crate::protocol::message::{Call, Message};
use crate::protocol::tool::{Change, ToolAnswer, ToolFailure};
use crate::protocol::turn::{Reply, Stop, ToolCard, ToolChoice, TurnRequest, Usage};
use crate::sandbox::jobs::News;
use crate::sessions::fold::follow;
use crate::tools::{CheckedCall, Effect};
use crate::units::Tokens;
use std::time::Duration;

/// Replies in a row of which no call could be run, after which the run has failed.
const MALFORMED: u32 = 3;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Have the model make a turn, and tell [`Run::on_reply`] or [`Run::on_engine_error`].
    Infer(TurnRequest),
    /// Ask whether the call may run, and tell [`Run::on_permission`].
    Ask(CheckedCall),
    /// Run the call, make its result fit, and tell [`Run::on_answer`].
    Perform(CheckedCall),
    /// The conversation is to become shorter: count these texts, and tell [`Run::on_weighed`].
    Weigh(Vec<String>),
    /// Have the model sum up its work, and tell [`Run::on_summary`].
    Summarize(TurnRequest),
    /// The conversation is too long: shorten the latest results, and tell [`Run::on_fit`].
    Fit(Fit),
    Done(Outcome),
}

/// What a run starts from.
#[derive(Clone, Debug)]
pub struct Start {
    pub opening: Vec<Message>,
    /// The tools on offer, in the order in which the model is told of them.
    pub cards: Vec<ToolCard>,
    pub generation: Generation,
    pub limits: Limits,
    /// The window, if it is known.
    pub window: Option<Tokens>,
    /// What stands before the conversation, if it was counted.
    pub front: Option<Front>,
}

/// A result as the model is to see it, made to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub text: String,
    pub tokens: Tokens,
}

/// What went wrong since the last call that ran.
#[derive(Clone, Copy, Debug, Default)]
struct Strikes {
    malformed: u32,
    empty: u32,
    cut: u32,
    repetition: u32,
}

/// A run of the loop.
pub struct Run {
    cards: Vec<ToolCard>,
    generation: Generation,
    limits: Limits,
    messages: Vec<Message>,
    events: Vec<Event>,
    upkeep: Upkeep,
    front: Option<Front>,
    cost: Cost,
    changes: Vec<Change>,
    ids: Ids,
    open: Open,
    repeats: Repeats,
    strikes: Strikes,
    /// The next turn is made without thinking.
    hush: bool,
    /// The tool that was denied since something was last done.
    denied: Option<String>,
    outcome: Option<Outcome>,
    voice: Voice,
}

impl Run {
    /// Starts a run.
    pub fn new(start: Start) -> Self {
        let Start { opening, cards, generation, limits, window, front } = start;
        Self {
            ids: Ids::of(&opening),
            upkeep: Upkeep::new(Budget::new(window, generation.max_tokens), &opening),
            front,
            messages: opening,
            cards,
            generation,
            limits,
            events: Vec::new(),
            cost: Cost::default(),
            changes: Vec::new(),
            open: Open::default(),
            repeats: Repeats::default(),
            strikes: Strikes::default(),
            hush: false,
            denied: None,
            outcome: None,
            voice: Voice::new(),
        }
    }

    /// The conversation so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// What the run has cost.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// The files that were touched, each once.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The sentences of the loop, for texts that the performer composes.
    pub fn voice(&self) -> &Voice {
        &self.voice
    }

    /// The most tokens that the result of the call under way may take. `None`: the window is not known.
    pub fn share(&self) -> Option<Tokens> {
        self.upkeep.budget.share(self.open.waiting())
    }

    /// Takes the events that came up since the last time.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Says what to do next. Until that is reported back, it says the same again.
    pub fn step(&mut self) -> Step {
        while self.outcome.is_none() {
            if let Some(step) = self.kept_up() {
                return step;
            }
            match self.open.next() {
                None => match self.limits.reached(&self.cost) {
                    Some(reason) => self.end(Outcome::Budget { reason }),
                    None => return Step::Infer(self.request()),
                },
                Some(Pending::Refused(call, failure)) => self.say_refused(&call, failure),
                Some(Pending::Allowed(call, checked)) => {
                    let step = Step::Perform(checked.clone());
                    self.open.put_back(Pending::Allowed(call, checked));
                    return step;
                }
                Some(Pending::Wanted(call, checked)) => {
                    if let Some(step) = self.consider(call, checked) {
                        return step;
                    }
                }
            }
        }
        Step::Done(self.outcome.clone().expect("the loop above ends only with an outcome"))
    }

    /// Looks after the window before anything else is done.
    fn kept_up(&mut self) -> Option<Step> {
        let goes_on = if self.open.is_empty() { self.limits.reached(&self.cost).is_none() } else { self.open.waiting() > 0 };
        if goes_on {
            self.upkeep.look(&self.messages, self.open.waiting());
        }
        Some(match self.upkeep.errand()? {
            Errand::Weigh(texts) => Step::Weigh(texts),
            Errand::Fit(fit) => Step::Fit(fit),
            Errand::Ask(words, bound) => Step::Summarize(self.summary_request(&words, bound)),
        })
    }

    /// Takes a turn of the model. `check` checks a call against its tool.
    pub fn on_reply(&mut self, reply: Reply, check: impl Fn(&Call) -> Result<CheckedCall, ToolFailure>) {
        let Reply { text, thinking, calls, stop, usage } = reply;
        self.hush = false;
        self.cost.steps += 1;
        self.cost.tokens.add(&usage);
        self.upkeep.budget.settle(&usage);
        self.upkeep.turned(&text);
        let calls = if stop == Stop::Cancelled { Vec::new() } else { calls };
        let taken = intake::take(calls, stop, &mut self.ids);
        let calls: Vec<Call> = taken.iter().map(|taken| taken.call.clone()).collect();
        let said = Said { text: text.clone(), thought: !thinking.trim().is_empty(), stop, usage };
        self.say(Event::Turn { step: self.cost.steps, text, thinking, calls, usage });
        self.tell_shares(&usage);
        if stop == Stop::Cancelled {
            return self.on_halt();
        }
        if taken.is_empty() {
            return self.without_calls(said);
        }
        if !self.open.take(taken, &self.voice, check) {
            self.strikes.malformed += 1;
        }
        if stop == Stop::Length && self.upkeep.budget.filled_by(&usage) {
            self.end(self.full(usage.prompt + usage.generated));
        } else if self.strikes.malformed >= MALFORMED {
            let reason = format!("the model made no call that could be run in {MALFORMED} turns in a row");
            self.end(Outcome::Failed { reason });
        }
    }

    /// Takes an engine's failure. One overflow is met by shortening the latest results; everything else ends the run.
    pub fn on_engine_error(&mut self, error: &EngineError) {
        let EngineError::Overflow { prompt, window } = error else {
            return self.end(Outcome::Engine { reason: error.to_string() });
        };
        self.upkeep.budget.learn(*prompt, *window);
        let kept = self.upkeep.overflow(&self.messages);
        self.keep(kept);
    }

    /// Takes the counts of the texts that were to be weighed, in their order.
    pub fn on_weighed(&mut self, counts: &[Tokens]) {
        let spare = self.limits.leave_a_quarter(&self.cost);
        let help = if self.open.is_empty() && spare { Help::Model } else { Help::None };
        let kept = self.upkeep.weighed(counts, &self.messages, help);
        self.keep(kept);
    }

    /// Takes what the model gave for a summary. `None`: the engine failed.
    pub fn on_summary(&mut self, reply: Option<Reply>) {
        if let Some(reply) = &reply {
            self.cost.tokens.add(&reply.usage);
        }
        if reply.as_ref().is_some_and(|reply| reply.stop == Stop::Cancelled) {
            return self.on_halt();
        }
        let kept = self.upkeep.summed_up(reply, &self.messages);
        self.keep(kept);
    }

    /// Takes the shortened results, each with its place, and how many tokens that freed.
    pub fn on_fit(&mut self, shortened: Vec<(usize, String)>, freed: Tokens) {
        let kept = self.upkeep.fitted(shortened, freed, &self.messages);
        self.keep(kept);
    }

    /// Takes the word that no more can be made to fit: beyond what is used, `more` tokens are needed at least.
    pub fn on_no_room(&mut self, more: Tokens) {
        self.end(self.full(self.upkeep.budget.used() + more + self.upkeep.budget.reserve()));
    }

    /// Takes the verdict on the call that was asked about.
    pub fn on_permission(&mut self, verdict: Verdict) {
        let Some(Pending::Wanted(call, checked)) = self.open.next() else { return };
        match verdict {
            Verdict::Allowed => {
                self.say(Event::Calling { call: call.clone() });
                self.open.put_back(Pending::Allowed(call, checked));
            }
            Verdict::Denied => {
                let ToolFailure { kind, message, hint } = failure("denied", &self.voice, &Nudge::Denied { tool: &checked.name });
                let answer = ToolAnswer::failed(&kind, message, hint);
                self.repeats.performed(&checked, &answer);
                self.denied = Some(checked.name);
                self.say_called(&call, answer);
            }
        }
    }

    /// Takes the answer of the call that was performed. `admitted` is its text made to fit.
    pub fn on_answer(&mut self, answer: ToolAnswer, admitted: Admitted) {
        let Some(Pending::Allowed(call, checked)) = self.open.next() else { return };
        self.repeats.performed(&checked, &answer);
        self.strikes = Strikes::default();
        if checked.effect != Effect::Read && answer.ok {
            self.denied = None;
        }
        for change in &answer.changes {
            merge(&mut self.changes, change);
        }
        self.upkeep.budget.admit(admitted.tokens);
        self.upkeep.called(&call, &admitted.text);
        self.say_called(&call, ToolAnswer { text: admitted.text, ..answer });
    }

    /// Whether the conversation can be told something now: every call is answered, and the next turn has not begun.
    pub fn listens(&self) -> bool {
        self.open.is_empty() && self.outcome.is_none() && self.cost.steps > 0
    }

    /// Takes what became of a command in the background. It is said at the conversation's end.
    pub fn on_news(&mut self, news: &News) {
        let text = self.voice.say(&Nudge::Job(Told::of(news)));
        self.say(Event::Nudge { text });
    }

    /// Takes the time that has passed since the run began.
    pub fn on_tick(&mut self, elapsed: Duration) {
        self.cost.elapsed = elapsed;
    }

    /// Takes the word that the work was stopped: by the limit of time when that is reached, else by the person.
    pub fn on_halt(&mut self) {
        let reason = self.limits.time_reached(self.cost.elapsed);
        self.end(reason.map_or(Outcome::Interrupted, |reason| Outcome::Budget { reason }));
    }

    /// Decides on a whole call: refuses it, asks about it, or lets it run.
    fn consider(&mut self, call: Call, checked: CheckedCall) -> Option<Step> {
        match self.repeats.judge(&checked) {
            Again::Fresh if checked.effect == Effect::Read => {
                self.say(Event::Calling { call: call.clone() });
                self.open.put_back(Pending::Allowed(call, checked));
                None
            }
            Again::Fresh => {
                let step = Step::Ask(checked.clone());
                self.open.put_back(Pending::Wanted(call, checked));
                Some(step)
            }
            again @ (Again::Refuse { times } | Again::Hopeless { times }) => {
                self.repeats.refused(&checked);
                self.say_refused(&call, failure("repeated", &self.voice, &Nudge::Repeated { times }));
                if matches!(again, Again::Hopeless { .. }) {
                    let reason =
                        format!("the model called `{}` {} times with the same arguments and result", call.name, times + 1);
                    self.end(self.denial().unwrap_or(Outcome::Failed { reason }));
                }
                None
            }
        }
    }

    /// Takes a turn that called nothing: the end of the work, unless something is wrong with it.
    fn without_calls(&mut self, said: Said) {
        let Said { text, thought, stop, usage } = said;
        if stop == Stop::Length && self.upkeep.budget.filled_by(&usage) {
            return self.end(self.full(usage.prompt + usage.generated));
        }
        let (strikes, nudge, reason) = match stop {
            Stop::Repetition => (&mut self.strikes.repetition, Nudge::Repetition, "the model repeated itself without end"),
            _ if text.trim().is_empty() => {
                self.hush = thought;
                let nudge = if thought { Nudge::ThoughtOnly } else { Nudge::Empty };
                (&mut self.strikes.empty, nudge, "the model gave an empty answer twice")
            }
            Stop::Length => (&mut self.strikes.cut, Nudge::CutText, "the model's answer was cut off twice"),
            Stop::End | Stop::Cancelled => {
                return self.end(self.denial().unwrap_or(Outcome::Finished { text }));
            }
        };
        *strikes += 1;
        if *strikes > 1 {
            return self.end(Outcome::Failed { reason: reason.into() });
        }
        self.say(Event::Nudge { text: self.voice.say(&nudge) });
    }

    /// The outcome of work that a denial stopped: nothing was done since.
    fn denial(&self) -> Option<Outcome> {
        let tool = self.denied.as_ref()?;
        Some(Outcome::Denied { reason: format!("`{tool}` is not permitted in this run") })
    }

    fn full(&self, need: Tokens) -> Outcome {
        let reason = match self.upkeep.budget.window() {
            Some(window) => format!("the conversation needs {need} tokens and the window has {window}"),
            None => format!("the conversation needs {need} tokens, which is more than the window has"),
        };
        Outcome::Budget { reason }
    }

    fn request(&self) -> TurnRequest {
        let Generation { sampling, max_tokens, thinking_budget, thinking } = self.generation;
        TurnRequest {
            messages: self.messages.clone(),
            tools: self.cards.clone(),
            sampling,
            max_tokens,
            thinking_budget,
            thinking: thinking && !self.hush,
            choice: ToolChoice::Auto,
            grounds: Vec::new(),
        }
    }

    /// The conversation with a question for a summary behind it. Everything before the question, thinking included, is as in the
    /// last turn: so the whole prefix is in the cache, and only the question is processed.
    fn summary_request(&self, words: &str, bound: Tokens) -> TurnRequest {
        let mut request = TurnRequest { max_tokens: bound, thinking_budget: Some(Tokens::ZERO), ..self.request() };
        follow(&mut request.messages, &Event::Nudge { text: words.to_owned() });
        request
    }

    /// Does what the upkeep of the window came to.
    fn keep(&mut self, kept: Kept) {
        match kept {
            Kept::Open => {}
            Kept::Shorter(compacted) => {
                // What was said before no longer stands above.
                self.repeats = Repeats::default();
                self.say(Event::Compacted(compacted));
            }
            Kept::Full => self.end(self.full(self.upkeep.budget.used())),
        }
    }

    /// Tells how the window is divided, with the first turn that counts its prompt.
    fn tell_shares(&mut self, usage: &Usage) {
        let budget = &self.upkeep.budget;
        let (Some(window), true) = (budget.window(), usage.prompt > Tokens::ZERO) else { return };
        let reserve = budget.reserve();
        if let Some(front) = self.front.take() {
            self.say(Event::Window(shares::divide(window, reserve, usage.prompt, &front)));
        }
    }

    /// Ends the run. Calls that are still open are answered, so that the conversation can be taken up again.
    fn end(&mut self, outcome: Outcome) {
        if self.outcome.is_some() {
            return;
        }
        for (call, failure) in self.open.close(&self.voice) {
            self.say_refused(&call, failure);
        }
        self.say(Event::Done { outcome: outcome.clone() });
        self.outcome = Some(outcome);
    }

    fn say_refused(&mut self, call: &Call, ToolFailure { kind, message, hint }: ToolFailure) {
        self.say_called(call, ToolAnswer::failed(&kind, message, hint));
    }

    fn say_called(&mut self, call: &Call, answer: ToolAnswer) {
        self.say(Event::Called { id: call.id.clone(), name: call.name.clone(), answer });
    }

    fn say(&mut self, event: Event) {
        follow(&mut self.messages, &event);
        self.events.push(event);
    }
}

/// What matters of a turn that called nothing.
struct Said {
    text: String,
    thought: bool,
    stop: Stop,
    usage: Usage,
}
