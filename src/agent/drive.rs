//! The one performer: has done what `run` decides, and reports back what came of it.
//!
//! The engine is awaited, tools run on a thread of their own, and every wait ends within 300 ms of a cancel. The events reach
//! the sink between two steps, so whatever reads them (the session log) is never behind what happens next.

use crate::agent::approval::Approve;
use crate::agent::nudges::{Clipped, Nudge, Voice};
use crate::agent::run::{Admitted, Run, Start, Step};
use crate::agent::upkeep::Fit;
use crate::agent::{Report, Task, Tools};
use crate::context::clip::{ClipError, Cut, Fitted, clip};
use crate::context::heading::{heading, holds_whole};
use crate::context::shares::Front;
use crate::engine::{Engine, EngineError};
use crate::prompts;
use crate::protocol::event::Event;
use crate::protocol::message::Message;
use crate::protocol::tool::ToolAnswer;
use crate::protocol::turn::{Delta, TurnRequest};
use crate::sandbox::jobs::Jobs;
use crate::tools::checks::Checks;
use crate::tools::grounded::{self, Known};
use crate::tools::{CheckedCall, Effect, Reads, Sizes, Workbench};
use crate::units::Tokens;
use serde_json::Value;
use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long an engine or a tool may take to end by itself once it is told to. Then it is left behind.
const GRACE: Duration = Duration::from_millis(250);
/// The most seconds of a command in a run without a limit of time.
const COMMAND_SECONDS: u64 = 600;

/// What a performer works with.
pub struct Driver<'a, T> {
    pub engine: &'a mut dyn Engine,
    pub tools: Arc<T>,
    pub approver: &'a mut dyn Approve,
    pub sink: &'a mut (dyn FnMut(&Event) + Send),
    pub cancel: &'a CancellationToken,
}

/// A task under way.
struct Job<'a> {
    task: &'a Task,
    started: Instant,
    /// Stops everything: the person's cancel, or the limit of time.
    halt: &'a CancellationToken,
    reads: Reads,
    /// Whether the engine holds calls to what they may name.
    held: bool,
    /// What runs in the background. Ended with the task.
    jobs: Arc<Jobs>,
}

impl<T: Tools> Driver<'_, T> {
    /// Performs a task to its end.
    pub async fn work(mut self, task: Task) -> Report {
        let halt = self.cancel.child_token();
        let (reads, jobs) = (Reads::default(), Arc::<Jobs>::default());
        let job = Job { task: &task, started: Instant::now(), halt: &halt, reads, held: false, jobs: Arc::clone(&jobs) };
        let mut work = pin!(self.perform(job));
        let report = match task.limits.time {
            None => work.await,
            Some(time) => tokio::select! {
                biased;
                report = &mut work => report,
                () = tokio::time::sleep(time) => {
                    halt.cancel();
                    work.await
                }
            },
        };
        // On a thread that may wait; also where an abandoned tool still holds them.
        let _ = tokio::task::spawn_blocking(move || jobs.end()).await;
        report
    }

    async fn perform(&mut self, mut job: Job<'_>) -> Report {
        let mut run = self.start(&mut job).await;
        loop {
            run.on_tick(job.started.elapsed());
            if run.listens() {
                job.jobs.news().into_iter().for_each(|news| run.on_news(&news));
            }
            let step = run.step();
            for event in run.events() {
                (self.sink)(&event);
                if matches!(event, Event::Compacted(_)) {
                    job.forget_gone(run.messages());
                }
            }
            match step {
                Step::Done(outcome) => {
                    let cost = run.cost();
                    return Report { outcome, steps: cost.steps, tokens: cost.tokens, changes: run.changes().to_vec() };
                }
                _ if job.halt.is_cancelled() => run.on_halt(),
                Step::Infer(request) => self.infer(&mut run, &job, &request).await,
                Step::Ask(call) => match ended(job.halt, Duration::ZERO, self.approver.ask(&call)).await {
                    Some(verdict) => run.on_permission(verdict),
                    None => run.on_halt(),
                },
                Step::Perform(call) => self.call(&mut run, &mut job, call).await,
                Step::Weigh(texts) => self.weigh(&mut run, &job, &texts).await,
                Step::Summarize(request) => self.summarize(&mut run, &job, &request).await,
                Step::Fit(fit) => self.fit(&mut run, &mut job, fit).await,
            }
        }
    }

    /// Makes the engine ready, and begins with what it is.
    async fn start(&mut self, job: &mut Job<'_>) -> Run {
        let sink = &mut *self.sink;
        let ready = ended(job.halt, GRACE, self.engine.ready(&mut |delta| sink(&Event::Delta(delta)), job.halt)).await;
        let window = match &ready {
            Some(Ok(info)) => info.window,
            _ => None,
        };
        let front = if window.is_some() { self.front(job).await } else { None };
        let Task { opening, generation, limits, mode, .. } = job.task;
        let (opening, mut cards) = (opening.clone(), self.tools.cards(*mode));
        job.held = job.task.grounds.is_none() && matches!(&ready, Some(Ok(info)) if info.grounds);
        if job.held {
            cards = grounded::held(cards);
        }
        let mut run = Run::new(Start { opening, cards, generation: *generation, limits: *limits, window, front });
        match ready {
            Some(Err(error)) if !job.halt.is_cancelled() => run.on_engine_error(&error),
            Some(Ok(_)) => {}
            _ => job.stop(&mut run),
        }
        run
    }

    /// Counts what the conversation begins with, part by part. `None`: it cannot be counted now, and nothing hangs on it.
    async fn front(&mut self, job: &Job<'_>) -> Option<Front> {
        let (mut system, mut words) = (String::new(), Vec::new());
        for message in &job.task.opening {
            match message {
                Message::System { text } => system.push_str(text),
                Message::User { text } | Message::Assistant { text, .. } | Message::Tool { text, .. } => {
                    words.push(text.as_str())
                }
            }
        }
        let (system, environment) = prompts::parts(&system);
        let mut counts = [Tokens::ZERO; 3];
        for (count, text) in counts.iter_mut().zip([system, environment, &words.join("\n")]) {
            *count = ended(job.halt, GRACE, self.engine.count(text)).await?.ok()?;
        }
        let [system, environment, task] = counts;
        Some(Front { system, environment, task })
    }

    async fn infer(&mut self, run: &mut Run, job: &Job<'_>, request: &TurnRequest) {
        let sink = &mut *self.sink;
        let mut sink = |delta| sink(&Event::Delta(delta));
        let known = job.known(&request.messages);
        let request = &*match &known {
            Some(known) => held_to(request, known),
            None if job.held => {
                let grounds = grounded::grounds(&job.task.root, &job.reads, &request.messages);
                Cow::Owned(TurnRequest { grounds, ..request.clone() })
            }
            None => Cow::Borrowed(request),
        };
        let reply = ended(job.halt, GRACE, self.engine.turn(request, &mut sink, job.halt)).await;
        run.on_tick(job.started.elapsed());
        match reply {
            Some(Ok(reply)) => run.on_reply(reply, |call| {
                let checked = self.tools.check(call, job.task.mode)?;
                match &known {
                    Some(known) => grounded::permit(checked, &known.commands),
                    None => Ok(checked),
                }
            }),
            Some(Err(error)) if !job.halt.is_cancelled() => run.on_engine_error(&error),
            _ => run.on_halt(),
        }
    }

    /// Performs a call on a thread of its own. A tool that does not end in time is left behind with its bench.
    async fn call(&mut self, run: &mut Run, job: &mut Job<'_>, call: CheckedCall) {
        let mut bench = job.bench();
        let (tools, performed) = (Arc::clone(&self.tools), call.clone());
        let work = tokio::task::spawn_blocking(move || {
            let answer = tools.perform(&mut bench, &performed);
            (answer, bench.reads)
        });
        let answer = match ended(job.halt, GRACE, work).await {
            None => return job.stop(run),
            Some(Ok((answer, reads))) => {
                job.reads = reads.unwrap_or_default();
                answer
            }
            Some(Err(_)) => ToolAnswer::failed("crashed", run.voice().say(&Nudge::Crashed { tool: &call.name }), ""),
        };
        self.admit(run, job, &call, answer).await;
    }

    /// Makes a result fit its share of the room before the model sees it.
    async fn admit(&mut self, run: &mut Run, job: &mut Job<'_>, call: &CheckedCall, answer: ToolAnswer) {
        let whole = Admitted { text: answer.text.clone(), tokens: Tokens::ZERO };
        let Some(limit) = run.share() else { return run.on_answer(answer, whole) };
        let asked = Asked { tool: &call.name, arguments: &call.arguments };
        let fitted = shorten(self.engine, run.voice(), &asked, (&answer.text, limit));
        match ended(job.halt, GRACE, fitted).await {
            Some(Ok(Fitted { clipped: Some(text), tokens })) => {
                job.forget_whole(&asked);
                run.on_answer(answer, Admitted { text, tokens });
            }
            Some(Ok(Fitted { clipped: None, tokens })) => run.on_answer(answer, Admitted { tokens, ..whole }),
            Some(Err(ClipError::NoRoom { need, .. })) => {
                let text = run.voice().say(&Nudge::NoRoom);
                run.on_answer(answer, Admitted { text, tokens: Tokens::ZERO });
                run.on_no_room(need);
            }
            // The run ends here, but the call was performed: what it said is kept.
            Some(Err(ClipError::Count(error))) => {
                run.on_answer(answer, whole);
                run.on_engine_error(&error);
            }
            None => {
                run.on_answer(answer, whole);
                job.stop(run);
            }
        }
    }

    /// Counts texts, one by one: each stays or goes by its own size.
    async fn weigh(&mut self, run: &mut Run, job: &Job<'_>, texts: &[String]) {
        let mut counts = Vec::with_capacity(texts.len());
        for text in texts {
            if text.is_empty() {
                counts.push(Tokens::ZERO);
                continue;
            }
            match ended(job.halt, GRACE, self.engine.count(text)).await {
                Some(Ok(tokens)) => counts.push(tokens),
                Some(Err(error)) => return run.on_engine_error(&error),
                None => return job.stop(run),
            }
        }
        run.on_weighed(&counts);
    }

    /// Has the model sum up its work. What it says is no part of the conversation, so nothing of it streams.
    async fn summarize(&mut self, run: &mut Run, job: &Job<'_>, request: &TurnRequest) {
        let sink = &mut *self.sink;
        let mut sink = |delta| {
            if !matches!(delta, Delta::Text { .. } | Delta::Thinking { .. } | Delta::Call { .. }) {
                sink(&Event::Delta(delta));
            }
        };
        let reply = ended(job.halt, GRACE, self.engine.turn(request, &mut sink, job.halt)).await;
        run.on_tick(job.started.elapsed());
        match reply {
            Some(reply) if !job.halt.is_cancelled() => run.on_summary(reply.ok()),
            Some(_) | None => run.on_halt(),
        }
    }

    /// Shortens results that are in the conversation already, each by the same fraction.
    async fn fit(&mut self, run: &mut Run, job: &mut Job<'_>, fit: Fit) {
        match self.shortened(run.voice(), job, fit).await {
            Ok((shortened, freed)) => run.on_fit(shortened, freed),
            Err(ClipError::NoRoom { .. }) => run.on_no_room(Tokens::ZERO),
            Err(ClipError::Count(error)) => run.on_engine_error(&error),
        }
    }

    async fn shortened(&mut self, voice: &Voice, job: &mut Job<'_>, fit: Fit) -> Result<Shortened, ClipError<EngineError>> {
        let mut sizes = Vec::with_capacity(fit.results.len());
        for result in &fit.results {
            sizes.push(self.engine.count(&result.text).await?);
        }
        let total: Tokens = sizes.iter().copied().sum();
        let kept = match fit.excess {
            None => Tokens(total.0 / 2),
            Some(excess) if excess < total => total - excess,
            Some(excess) => total - (excess - fit.spare),
        };
        let (mut shortened, mut freed) = (Vec::new(), Tokens::ZERO);
        for (result, size) in fit.results.into_iter().zip(sizes) {
            let share = u64::from(size.0) * u64::from(kept.0) / u64::from(total.0.max(1));
            let limit = Tokens(u32::try_from(share).unwrap_or(u32::MAX));
            let arguments = serde_json::from_str(&result.call.arguments).unwrap_or(Value::Null);
            let asked = Asked { tool: &result.call.name, arguments: &arguments };
            let fitted = shorten(self.engine, voice, &asked, (&result.text, limit)).await?;
            if let Some(text) = fitted.clipped {
                job.forget_whole(&asked);
                shortened.push((result.at, text));
                freed += size - fitted.tokens;
            }
        }
        Ok((shortened, freed))
    }
}

/// Shorter texts with their places in the conversation, and the tokens that they free.
type Shortened = (Vec<(usize, String)>, Tokens);

impl Job<'_> {
    fn stop(&self, run: &mut Run) {
        run.on_tick(self.started.elapsed());
        run.on_halt();
    }

    /// What calls can name now, where they are held to it.
    fn known(&self, messages: &[Message]) -> Option<Known> {
        let grounds = self.task.grounds.as_ref()?;
        Some(grounded::look(&self.task.root, &self.reads, messages, &grounds.commands))
    }

    /// Makes the bench for one call, which takes the session's reads along.
    fn bench(&mut self) -> Workbench {
        let left = self.task.limits.time.map(|time| time.saturating_sub(self.started.elapsed()));
        Workbench {
            root: self.task.root.clone(),
            sizes: Sizes::of(self.task.mode),
            reads: Some(std::mem::take(&mut self.reads)),
            logs: self.task.logs.clone(),
            jobs: Some(Arc::clone(&self.jobs)),
            checks: if self.task.approval.allows(Effect::Run) { self.task.checks } else { Checks::Off },
            max_seconds: left.map_or(COMMAND_SECONDS, |left| left.as_secs().clamp(1, COMMAND_SECONDS)),
            cancel: self.halt.clone(),
        }
    }

    /// Notes which files the model no longer has the whole of: what it has forgotten it may not overwrite.
    fn forget_gone(&mut self, messages: &[Message]) {
        for (path, seen) in &mut self.reads.0 {
            seen.whole &= holds_whole(messages, path);
        }
    }

    /// Notes that the model did not see the whole of a file after all, so that it may not overwrite it.
    fn forget_whole(&mut self, asked: &Asked) {
        let root = &self.task.root;
        let real = |path: &str| root.resolve(path).ok()?.1.canonicalize().ok();
        let Some(path) = asked.arguments["path"].as_str().filter(|_| asked.tool == READ).and_then(real) else { return };
        let known = path.to_str().and_then(|path| root.parse(path).ok());
        if let Some(seen) = known.and_then(|path| self.reads.0.get_mut(path.as_str())) {
            seen.whole = false;
        }
    }
}

/// The tool that can be asked for a range of lines.
const READ: &str = "read";

/// What was asked of a tool.
struct Asked<'a> {
    tool: &'a str,
    arguments: &'a Value,
}

impl Asked<'_> {
    /// Says what a cut took away, in terms of what was asked.
    fn missing(&self, cut: &Cut) -> Clipped {
        let mid_line = cut.mid_line && cut.first == cut.last;
        let wanted = self.tool == READ && !mid_line;
        let (start, end) = wanted.then(|| file_lines(cut)).flatten().unzip();
        let Cut { first, last, lines, whole, limit, .. } = *cut;
        Clipped { first, last, lines, whole: whole.0, limit: limit.0, start, end, mid_line }
    }
}

/// The lines of the file that were cut from what `read` gave. What it says of a directory has no such lines.
fn file_lines(cut: &Cut) -> Option<(usize, usize)> {
    let shown = heading(cut.text)?;
    // The second line of the result is the first of the file.
    let line = |at: usize| (shown.first + at.saturating_sub(2)).min(shown.last);
    Some((line(cut.first), line(cut.last)))
}

/// The request with its tools held to what is known: their schemas become the grammar of the turn.
fn held_to<'a>(request: &TurnRequest, known: &Known) -> Cow<'a, TurnRequest> {
    Cow::Owned(TurnRequest { tools: grounded::narrow(&request.tools, known), ..request.clone() })
}

async fn shorten(
    engine: &mut dyn Engine,
    voice: &Voice,
    asked: &Asked<'_>,
    (text, limit): (&str, Tokens),
) -> Result<Fitted, ClipError<EngineError>> {
    let say = |cut: &Cut| voice.say(&Nudge::Clipped(asked.missing(cut)));
    clip(text, limit, say, async |text: &str| engine.count(text).await).await
}

/// Waits for `work`. `None`: it did not end within `grace` after `halt`.
async fn ended<T>(halt: &CancellationToken, grace: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = async {
            halt.cancelled().await;
            tokio::time::sleep(grace).await;
        } => None,
    }
}
