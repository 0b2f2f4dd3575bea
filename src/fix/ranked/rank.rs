//! Puts changes in an order: asks the model how likely each is, has it name some of its own, and lets the issue's words weigh.

use crate::agent::Generation;
use crate::agent::limits::Spent;
use crate::fix::Strategy;
use crate::fix::attempt::{Sink, Told, Work};
use crate::fix::ranked::budget::Budget;
use crate::fix::ranked::pool::Pool;
use crate::fix::ranked::report::Order;
use crate::prompts::{self, RepairOpening};
use crate::protocol::event::Event;
use crate::protocol::message::Message;
use crate::protocol::turn::{Delta, Sampling, ScoreRequest, ToolChoice, TurnRequest, Usage};
use crate::repair::notation;
use crate::repair::order::Order as Ordering;
use crate::units::Tokens;
use std::future::Future;
use std::pin::pin;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Tokens of a change that the model names itself.
const SAMPLE: Tokens = Tokens(48);
/// Different enough to be worth asking more than once.
const WARMTH: f32 = 0.8;
/// Of dense text.
const BYTES_PER_TOKEN: usize = 3;

/// How a model is asked about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// How likely it is as the answer.
    Likelihood,
    /// Whether it is right or wrong: a micro model has learnt to mark it, and tells more by that than by what it would write.
    Verdict,
}

impl Asking {
    fn texts(self, changes: Vec<String>) -> Vec<String> {
        let marked = |change: &String| notation::MARKS.map(|mark| format!("{change}{mark}"));
        match self {
            Self::Likelihood => changes,
            Self::Verdict => changes.iter().flat_map(marked).collect(),
        }
    }

    /// One number for each change, the higher the better.
    fn scores(self, logprobs: Vec<f64>) -> Vec<f64> {
        match self {
            Self::Likelihood => logprobs,
            Self::Verdict => logprobs.chunks(2).map(|pair| pair[0] - pair[1]).collect(),
        }
    }
}

/// What the model is asked.
pub(crate) struct Question<'a> {
    pub issue: &'a str,
    /// How the tests fail. `None` for a micro model.
    pub output: Option<&'a str>,
    pub asking: Asking,
    pub budget: &'a Budget,
    pub deadline: Option<Instant>,
    pub strategy: Strategy,
    pub order: Ordering,
    pub generation: Generation,
}

/// Changes in the order in which they are tried, and what it cost to find it.
#[derive(Clone, Debug)]
pub(crate) struct Ranking {
    /// Indices of the pool's candidates.
    pub order: Vec<usize>,
    pub by: Order,
    pub spent: Spent,
    pub scored: Tokens,
}

/// Ranks a pool's candidates; the model's own are added to it first. A model that does not say, in time, how likely they are
/// leaves the order to the issue's words; why it does not is told to `sink`.
pub(crate) async fn rank(work: &mut dyn Work, pool: &mut Pool, question: &Question<'_>, sink: Sink<'_>) -> Ranking {
    if question.order != Ordering::Ranked {
        let by = if question.order == Ordering::Modelless { Order::Words } else { Order::Chance };
        let order = question.order.of(pool.candidates(), pool.evidence(), None);
        return Ranking { order, by, spent: Spent::default(), scored: Tokens::ZERO };
    }
    let messages = vec![Message::User { text: question.text(pool) }];
    sink(Told::Opening(&messages));
    let mut asked = Asked { work, sink, question, messages, spent: Spent::default(), scored: Tokens::ZERO };
    let mut scores = asked.score(pool, 0).await;
    let made = pool.candidates().len();
    // Where nothing else follows, the model's own words are worth a turn even from an engine that does not weigh them.
    if scores.is_some() || question.strategy == Strategy::Repair {
        asked.sample(pool).await;
    }
    if let Some(known) = &mut scores
        && pool.candidates().len() > made
    {
        match asked.score(pool, made).await {
            Some(more) => known.extend(more),
            None => scores = None,
        }
    }
    let order = question.order.of(pool.candidates(), pool.evidence(), scores.as_deref());
    let by = if scores.is_some() { Order::Model } else { Order::Words };
    Ranking { order, by, spent: asked.spent, scored: asked.scored }
}

impl Question<'_> {
    fn text(&self, pool: &Pool) -> String {
        let listing = pool.listing();
        let opening = RepairOpening { issue: self.issue, listing: &listing, output: self.output };
        prompts::repair_opening(&opening, &self.budget.allowance)
    }

    /// Whether the model may be asked about a pool, by an estimate that is rather too high.
    pub fn affords(&self, pool: &Pool) -> bool {
        let bytes = self.text(pool).len() + pool.changes(0).iter().map(String::len).sum::<usize>();
        self.budget.tokens.is_none_or(|most| bytes / BYTES_PER_TOKEN <= most.0 as usize)
    }
}

/// A conversation with the model, and what it has cost.
struct Asked<'a> {
    work: &'a mut dyn Work,
    sink: Sink<'a>,
    question: &'a Question<'a>,
    messages: Vec<Message>,
    spent: Spent,
    scored: Tokens,
}

impl Asked<'_> {
    /// Asks how likely the changes from `first` on are, each as the answer. `None`, with a word to the person: it is not known.
    async fn score(&mut self, pool: &Pool, first: usize) -> Option<Vec<f64>> {
        let asking = self.question.asking;
        let request = ScoreRequest { messages: self.messages.clone(), continuations: asking.texts(pool.changes(first)) };
        let asked = request.continuations.len();
        let stop = self.work.cancel().child_token();
        let scored = in_time(self.question.deadline, &stop, self.work.score(&request, &stop, self.sink)).await;
        let why = match scored {
            Ok(Some(scores)) if scores.logprobs.len() == asked => {
                self.count(&scores.usage, scores.scored);
                return Some(asking.scores(scores.logprobs));
            }
            // Before a loop that is as it is; alone it explains the result.
            Ok(None) if self.question.strategy == Strategy::Auto => return None,
            Ok(None) => "this engine does not say how likely a text is".into(),
            _ if stop.is_cancelled() => "it took too long to ask the model".into(),
            Ok(Some(_)) => "the engine weighed another number of texts than it was asked about".into(),
            Err(told) => format!("the model could not be asked: {told}"),
        };
        self.say(format!("ranked repair: {why}; the order is that of the issue's words"));
        None
    }

    /// Has the model name changes of its own, as long as that is cheap.
    async fn sample(&mut self, pool: &mut Pool) {
        let Question { budget, generation, .. } = self.question;
        for number in 0..budget.samples {
            let dear = budget.tokens.is_some_and(|most| self.spent.prefilled + self.spent.generated > most);
            if dear || self.work.cancel().is_cancelled() {
                return;
            }
            let seed = generation.sampling.seed.map(|seed| seed.wrapping_add(number));
            let request = TurnRequest {
                messages: self.messages.clone(),
                tools: Vec::new(),
                sampling: Sampling { temperature: Some(WARMTH), seed, ..generation.sampling },
                max_tokens: SAMPLE,
                thinking_budget: None,
                thinking: false,
                choice: ToolChoice::Auto,
                grounds: Vec::new(),
            };
            let stop = self.work.cancel().child_token();
            // A model that cannot name any leaves those that are there.
            let Ok(reply) = in_time(self.question.deadline, &stop, self.work.turn(&request, &stop, self.sink)).await else {
                return;
            };
            self.count(&reply.usage, Tokens::ZERO);
            pool.add(&reply.text);
        }
    }

    fn count(&mut self, usage: &Usage, scored: Tokens) {
        self.spent.add(usage);
        self.spent.prompt += scored;
        self.spent.prefilled += scored;
        self.scored += scored;
    }

    fn say(&mut self, text: String) {
        (self.sink)(Told::Event(&Event::Delta(Delta::Notice { text })));
    }
}

/// Waits for an answer, and stops whoever gives it when the time is up: what it says then is the answer.
async fn in_time<T>(deadline: Option<Instant>, stop: &CancellationToken, answer: impl Future<Output = T>) -> T {
    let Some(deadline) = deadline else { return answer.await };
    let mut answer = pin!(answer);
    tokio::select! {
        answer = &mut answer => return answer,
        () = tokio::time::sleep_until(deadline.into()) => stop.cancel(),
    }
    answer.await
}
