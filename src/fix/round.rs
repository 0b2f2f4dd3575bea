//! A round of attempts at the same time, where the engine writes turns side by side.
//!
//! All begin with the same words, which are processed once, and each works in a copy of its own. They differ by chance: the
//! first draws as the person wants it, the others warmly and each with a seed of its own. As soon as one is verified the rest
//! is stopped; of those that end with the same replies the smallest patch is verified first. Where a whole round fails, the
//! next one learns from it: each of its attempts is told of another failure.

use crate::agent::beside::Member;
use crate::agent::limits::Cost;
use crate::agent::{Generation, Report};
use crate::fix::FixError;
use crate::fix::attempt::Told;
use crate::fix::checks::Pending;
use crate::fix::examine::Tried;
use crate::fix::flow::{Flow, Next, Scene};
use crate::fix::purse::Purse;
use crate::fix::verdict::{Rivalled, Verdict};
use crate::prompts::FixLesson;
use crate::protocol::event::{Event, Outcome};
use crate::protocol::turn::Delta;
use crate::repo::scratch::{Placement, Tree, Workspace};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Tokens of the window that each attempt should have at least: some steps of its own, behind what all share.
const WINDOW_EACH: u32 = 4096;
/// Steps that each should have at least: look, read, edit, test, and once more.
const STEPS_EACH: u32 = 8;
/// The least temperature of all but the first: below it attempts hardly differ.
const WARM: f32 = 0.7;

/// Attempts that are made at the same time.
struct Round {
    first: u32,
    trees: Vec<Tree>,
    /// What came of each.
    tried: Vec<Option<Tried>>,
    reports: Vec<Report>,
    winner: Option<usize>,
}

impl Flow<'_> {
    /// How many attempts are made at once now; 1 where they go one after another: the engine cannot, the window or the steps left
    /// are too few, the work is in the user's own tree, or nothing would tell which of them is right.
    pub(crate) fn breadth(&self, scene: Scene<'_>) -> u32 {
        let left = self.wish.options.attempts.saturating_sub(self.tally.attempts);
        let judged = scene.before.is_some_and(|before| before.run.code != 0);
        if !judged || scene.workspace.placement() == Placement::InPlace {
            return 1;
        }
        let window = scene.info.window.map_or(0, |window| window.0 / WINDOW_EACH);
        let steps = self.left().steps.map_or(u32::MAX, |steps| steps / STEPS_EACH);
        left.min(scene.info.forks).min(window).min(steps).max(1)
    }

    /// Says how several attempts are going to be made.
    pub(crate) fn say_if_apart(&mut self, scene: Scene<'_>) {
        let wanted = self.wish.options.attempts;
        match self.breadth(scene) {
            _ if wanted < 2 => {}
            1 if scene.info.forks > 1 => self.say("attempts go one after another: there is no room for them side by side".into()),
            1 => self.say("attempts go one after another".into()),
            breadth => self.say(format!("attempts go side by side, {breadth} of {wanted} at once")),
        }
    }

    /// Makes several attempts at the same time, the first of them in `tree`.
    pub(crate) async fn round(
        &mut self,
        scene: Scene<'_>,
        tree: Tree,
        (breadth, lessons): (u32, &[FixLesson]),
    ) -> Result<Next, FixError> {
        let first = self.tally.attempts + 1;
        let others = (first + 1..first + breadth).map(|number| scene.workspace.attempt(number));
        let trees = std::iter::once(Ok(tree)).chain(others).collect::<Result<Vec<_>, _>>()?;
        let stop = self.work.cancel().child_token();
        let mut members = Vec::new();
        for (at, tree) in trees.iter().enumerate() {
            let number = first + at as u32;
            let mut task = self.task(scene, tree, lessons.get(at % lessons.len().max(1)).cloned())?;
            task.generation = vary(task.generation, number - 1);
            // A log is named after its command.
            task.logs.push(format!("attempt-{number}"));
            (self.sink)(Told::OpeningOf(number, &task.opening));
            members.push(Member { task, stop: stop.child_token() });
        }
        self.tally.attempts += breadth;
        let tried = trees.iter().map(|_| None).collect();
        let mut round = Round { first, trees, tried, reports: Vec::new(), winner: None };
        let done = self.side_by_side(scene, &mut round, (members, &stop)).await;
        for report in &round.reports {
            self.tally.steps += report.steps;
            self.count(report.tokens);
        }
        done.inspect_err(|_| stop.cancel())?;
        self.settle(scene, round)
    }

    /// Has all of them worked on, and looks at each as it ends.
    async fn side_by_side(
        &mut self,
        scene: Scene<'_>,
        round: &mut Round,
        (members, stop): (Vec<Member>, &CancellationToken),
    ) -> Result<(), FixError> {
        let cost = Cost { steps: self.tally.steps, tokens: self.tally.tokens, ..Cost::default() };
        let stops = members.iter().map(|member| member.stop.clone()).collect();
        let purse = Mutex::new(Purse::new(self.wish.options.limits, cost, stops));
        let (examiner, first, open) = (self.examiner(), round.first, members.len());
        // One thread does all of this, so nobody ever waits for the locks.
        let told = Mutex::new(&mut *self.sink);
        let say = |text: String| (lock(&told))(Told::Event(&Event::Delta(Delta::Notice { text })));
        let (done, mut reports) = mpsc::unbounded_channel();
        let mut heard = |at: usize, event: &Event| {
            lock(&purse).on(at, event);
            (lock(&told))(Told::EventOf(first + at as u32, event));
        };
        let mut ended = |at: usize, report: Report| drop(done.send((at, report)));
        let mut working = Working { loops: self.work.beside(members, &mut heard, &mut ended), over: false };
        while round.reports.len() < open {
            let mut together: Vec<(usize, Report)> = working.meanwhile(reports.recv()).await.into_iter().collect();
            // Those that the same replies brought to their end have all said so by now; what they leave behind may take its time.
            while round.reports.len() + together.len() < lock(&purse).ended() {
                together.extend(working.meanwhile(reports.recv()).await);
            }
            round.order(scene.workspace, &mut together)?;
            for (at, report) in together {
                let outcome = lock(&purse).outcome(at, report.outcome.clone());
                round.reports.push(report);
                if round.winner.is_some() {
                    continue;
                }
                let place = (scene.workspace, &round.trees[at]);
                let tried = working.meanwhile(examiner.examine(place, scene.before, outcome, Rivalled::No)).await?;
                if let Some((before, after)) = scene.before.zip(tried.after.as_ref()) {
                    say(format!("after attempt {}: `{}` ends with {}", first + at as u32, before.command, after.code));
                }
                if tried.verdict == Verdict::Fixed {
                    round.winner = Some(at);
                    stop.cancel();
                }
                round.tried[at] = Some(tried);
            }
        }
        working.finish().await;
        Ok(())
    }

    /// Ends the fix with the attempt that won, or with the one that came to most, unless more are to be made.
    fn settle(&mut self, scene: Scene<'_>, round: Round) -> Result<Next, FixError> {
        let Round { trees, tried, winner, .. } = round;
        let rank = |at: &usize| tried[*at].as_ref().map_or(u8::MAX, standing);
        let best = winner.or_else(|| (0..tried.len()).min_by_key(rank));
        let Some((tree, best)) = best.and_then(|at| Some((&trees[at], tried[at].as_ref()?))) else {
            return Err(FixError::Engine("no attempt came to an end".into()));
        };
        if let Some(ending) = self.end(scene.workspace, tree, scene.before, best)? {
            return Ok(Next::Ended(ending));
        }
        let failed = tried.iter().flatten().filter(|tried| standing(tried) == FAILED);
        Ok(Next::Failed(failed.map(|tried| scene.learn(tried)).collect()))
    }
}

/// Loops at work, which go on while something else is waited for.
struct Working<'a> {
    loops: Pending<'a, ()>,
    over: bool,
}

impl Working<'_> {
    async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                biased;
                () = &mut self.loops, if !self.over => self.over = true,
                done = &mut other => return done,
            }
        }
    }

    async fn finish(self) {
        if !self.over {
            self.loops.await;
        }
    }
}

impl Round {
    /// Puts those that ended together in the order in which they are looked at: the smallest patch first.
    fn order(&self, workspace: &Workspace, together: &mut [(usize, Report)]) -> Result<(), FixError> {
        if together.len() < 2 || self.winner.is_some() {
            return Ok(());
        }
        let mut sizes = vec![0; self.trees.len()];
        for (at, _) in together.iter() {
            for change in workspace.changes(&self.trees[*at])? {
                // What has no lines is no small patch.
                sizes[*at] += workspace.lines(&change).map_or(usize::MAX >> 16, |(added, deleted)| added + deleted);
            }
        }
        together.sort_by_key(|(at, _)| (sizes[*at], *at));
        Ok(())
    }
}

/// How an attempt that failed by itself stands among the others.
const FAILED: u8 = 2;

/// What a round is said to have come to, when nothing in it is better.
fn standing(tried: &Tried) -> u8 {
    match (&tried.outcome, &tried.verdict) {
        (Outcome::Interrupted, _) => 6,
        (Outcome::Engine { .. }, _) => 5,
        (Outcome::Denied { .. }, _) => 4,
        (_, Verdict::Fixed) => 0,
        (Outcome::Budget { .. }, _) => 3,
        (_, Verdict::Unverified(_)) => 1,
        (_, Verdict::Unfixed(_)) => FAILED,
    }
}

/// How the attempt after `earlier` others draws its tokens.
fn vary(generation: Generation, earlier: u32) -> Generation {
    let mut sampling = generation.sampling;
    if earlier > 0 {
        // Without a seed each turn has a fresh one.
        sampling.seed = sampling.seed.map(|seed| seed.wrapping_add(earlier));
        sampling.temperature = sampling.temperature.map(|temperature| temperature.max(WARM));
    }
    Generation { sampling, ..generation }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
