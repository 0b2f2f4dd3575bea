//! Ranked repair: one small change after the other, the likeliest first, until the tests pass.
//!
//! Where the suspects are few and the fault is one token, this needs a handful of test runs and no conversation. A change that
//! passes is what the loop's work is, a claim: it is verified in a tree of its own like any other. And because a weak test lets
//! many a change pass, a few more are tried after the first: a second that passes is told, and unless the issue's words tell the
//! two apart the result is not called fixed.

mod budget;
mod coverage;
mod pool;
mod rank;
pub mod report;
mod same;
mod spot;
#[cfg(test)]
mod tests;
mod trial;

use crate::fix::bent::apart_from_tests;
use crate::fix::flow::{Before, Ending, Flow};
use crate::fix::output::Status;
use crate::fix::ranked::budget::Budget;
use crate::fix::ranked::coverage::{Interpreters, Watch, idle, idle_last};
use crate::fix::ranked::pool::Pool;
use crate::fix::ranked::rank::{Asking, Question, Ranking, rank};
use crate::fix::ranked::report::{Order, Report};
use crate::fix::ranked::spot::Edit;
use crate::fix::ranked::trial::{Bench, Tried, trial};
use crate::fix::verdict::{Rivalled, Verdict};
use crate::fix::{FixError, Strategy};
use crate::path::Root;
use crate::protocol::event::Outcome;
use crate::protocol::exit::Exit;
use crate::protocol::turn::{EngineInfo, Profile};
use crate::repair::order::Order as Ordering;
use crate::repair::suspects::{Bounds, Clues, Covered, suspects};
use crate::repo::git::recent::recent;
use crate::repo::scratch::{Placement, Tree, Workspace};
use std::num::NonZero;
use std::time::{Duration, Instant};

/// Changes that are tried at the same time.
const WORKERS: usize = 4;
/// What a run may take beyond a multiple of the failing one.
const SLACK: Duration = Duration::from_secs(2);
/// How a shell says that there is no such command, or that it may not be run, and a runner that time was up.
const NO_TEST: [i32; 3] = [124, 126, 127];

/// What ranked repair begins with.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub workspace: &'a Workspace,
    /// The tree in which the tests were seen to fail.
    pub tree: &'a Tree,
    pub before: &'a Before,
    pub info: &'a EngineInfo,
}

/// Changes in the order in which they were to be tried, and how those that were did.
struct Course {
    pool: Pool,
    ranking: Ranking,
    tried: Vec<Tried>,
    /// Runs of the tests that tried nothing.
    watched: usize,
    took: Duration,
}

impl Flow<'_> {
    /// Tries small changes of suspected lines. `None`: they do not end this fix, and the loop goes on, in the same tree if it
    /// likes: its files are as they were, less what test runs leave behind.
    pub(crate) async fn ranked(
        &mut self,
        (workspace, tree): (&Workspace, &Tree),
        info: &EngineInfo,
        before: Option<&Before>,
    ) -> Result<Option<Ending>, FixError> {
        let before = match before {
            None => return Ok(self.unfit("ranked repair needs a test command, and none is known")),
            Some(before) if before.run.code == 0 => {
                return Ok(self.unfit("the tests pass as it is, so they do not judge repairs"));
            }
            Some(before) if NO_TEST.contains(&before.run.code) => {
                return Ok(self.unfit("the test command does not run to its end, so it does not judge repairs"));
            }
            Some(before) => before,
        };
        let start = Start { workspace, tree, before, info };
        let course = self.course(start).await?;
        if self.work.cancel().is_cancelled() {
            return Ok(Some(Ending::interrupted()));
        }
        match course {
            Ok(course) => {
                self.tell(&course);
                self.choose(start, &course).await
            }
            Err(why) => {
                if self.wish.options.strategy == Strategy::Auto {
                    self.say(format!("ranked repair is left out: {why}"));
                }
                Ok(self.unfit(&why))
            }
        }
    }

    /// Ends without a result where nothing else follows.
    fn unfit(&self, why: &str) -> Option<Ending> {
        if self.wish.options.strategy != Strategy::Repair {
            return None;
        }
        Some(match self.over_budget() {
            Some(reason) => Ending::new(Status::Budget, Exit::Budget, reason),
            None => Ending::new(Status::Unfixed, Exit::Failed, why),
        })
    }

    /// Suspects, ranks and tries. The inner error says why there was nothing to try.
    async fn course(&mut self, start: Start<'_>) -> Result<Result<Course, String>, FixError> {
        let (options, before, begun) = (self.wish.options, start.before, Instant::now());
        let budget = Budget::of(options.strategy, start.info, &options.limits, &self.left());
        if let Some(time) = budget.time.filter(|&time| time < before.took) {
            let (took, time) = (before.took.as_secs_f64(), time.as_secs_f64());
            return Ok(Err(format!("one run of the tests takes {took:.1} s, and it may cost {time:.1} s")));
        }
        let full = start.info.profile == Profile::Full;
        let question = Question {
            issue: &options.issue,
            output: full.then_some(before.run.output.as_str()),
            asking: if full { Asking::Likelihood } else { Asking::Verdict },
            budget: &budget,
            deadline: budget.time.map(|time| begun + time),
            strategy: options.strategy,
            order: options.order,
            generation: options.generation,
        };
        let (watched, covered) = self.watch(start, &budget).await?;
        let mut pool = match self.suspect(start, &question, covered.as_ref())? {
            Ok(pool) => pool,
            Err(why) => return Ok(Err(why.into())),
        };
        let mut ranking = rank(self.work, &mut pool, &question, self.sink).await;
        self.count(ranking.spent);
        if let Some(covered) = covered.filter(|_| !matches!(options.order, Ordering::Blind(_))) {
            let root = Root::open(&start.tree.project())?;
            let idle = idle(&root, &covered.failing, |path| pool.is_of(path));
            idle_last(&mut ranking.order, |index| pool.stands_in(index, &idle));
        }
        // An order without a model is a guess where the issue points at nothing; a loop that follows has better ones.
        let guesses = ranking.by == Order::Words && options.strategy == Strategy::Auto && full;
        if guesses && ranking.order.len() > budget.tries {
            ranking.order.retain(|&index| pool.named(index) > 0);
        }
        let edits: Vec<Edit<'_>> = ranking.order.iter().map(|&index| pool.edit(index)).collect();
        let copies = copies(start, edits.len())?;
        let warm = (start.workspace.placement() == Placement::Apart).then_some(start.tree);
        let roots = warm.into_iter().chain(&copies).map(|tree| Root::open(&tree.project())).collect::<Result<Vec<_>, _>>()?;
        let bench = Bench {
            tests: self.tests,
            command: &before.command,
            // Runs at the same time hold each other up.
            limit: before.took * (2 + u32::try_from(roots.len()).unwrap_or(1)) + SLACK,
            roots,
            deadline: question.deadline,
            cancel: self.work.cancel(),
        };
        let tried = trial(&bench, &edits, budget.tries).await?;
        let course = Course { tried, watched, took: begun.elapsed(), pool, ranking };
        Ok(Ok(course))
    }

    /// Runs the tests once more to see which lines they run, where that is cheap. Gives how many runs that were, and what is known.
    async fn watch(&mut self, start: Start<'_>, budget: &Budget) -> Result<(usize, Option<Covered>), FixError> {
        let before = start.before;
        let Some((interpreters, limit)) =
            Interpreters::of(&before.command, &before.run.output).zip(coverage::limit(budget.time, before.took))
        else {
            return Ok((0, None));
        };
        // What a run leaves in the user's own tree would count as a change of it.
        let copy = (start.workspace.placement() == Placement::InPlace).then(|| start.workspace.copy("covered")).transpose()?;
        let root = Root::open(&copy.as_ref().unwrap_or(start.tree).project())?;
        let (tests, cancel) = (self.tests, self.work.cancel());
        let covered = Watch { tests, root: &root, before, interpreters, limit, cancel }.run().await?;
        Ok((1, covered))
    }

    /// Finds the suspected passages, the first of them that the model may be shown, and all changes of those. The inner error says
    /// why there are none.
    fn suspect(
        &self,
        start: Start<'_>,
        question: &Question<'_>,
        covered: Option<&Covered>,
    ) -> Result<Result<Pool, &'static str>, FixError> {
        let root = Root::open(&start.tree.project())?;
        let user = Root::open(&self.wish.options.dir)?;
        let clues = Clues {
            issue: question.issue,
            output: &start.before.run.output,
            // Only a hint: where there is no history there is none.
            recent: &recent(&user).unwrap_or_default(),
            covered,
        };
        let bounds = Bounds { passages: question.budget.passages, lines: question.budget.lines };
        let mut passages = apart_from_tests(&root, suspects(&root, &clues, bounds));
        loop {
            let pool = Pool::new(passages.clone(), question.issue);
            if pool.candidates().is_empty() {
                return Ok(Err("no line is suspected that a small change could mend"));
            }
            if question.affords(&pool) {
                return Ok(Ok(pool));
            }
            passages.pop();
            if passages.is_empty() {
                return Ok(Err("the model may not be shown as much as is suspected"));
            }
        }
    }

    /// Says in one line what was tried and what it cost, and begins the report.
    fn tell(&mut self, Course { pool, ranking, tried, watched, took }: &Course) {
        if tried.is_empty() {
            return;
        }
        let report = Report {
            suspects: pool.places(),
            candidates: pool.candidates().len(),
            tried: tried.len(),
            tests: tried.len() + watched,
            rank: None,
            rivals: Vec::new(),
            scored: ranking.scored,
            order: ranking.by,
        };
        let told = |which: &dyn Fn(&Tried) -> bool| {
            let told: Vec<String> =
                tried.iter().filter(|tried| which(tried)).map(|tried| pool.told(ranking.order[tried.rank])).collect();
            if told.is_empty() { "none".into() } else { told.join(", ") }
        };
        self.say(format!(
            "ranked repair: {} of {} changes tried in {:.1} s, {} tokens read by the model; passing: {}; failing: {}",
            tried.len(),
            report.candidates,
            took.as_secs_f64(),
            ranking.spent.prefilled + ranking.spent.generated,
            told(&|tried| tried.code == 0),
            told(&|tried| tried.code != 0),
        ));
        self.tally.ranked = Some(report);
    }

    /// Takes the best of the changes that pass, once it has passed in a tree of its own, too.
    async fn choose(&mut self, start: Start<'_>, course: &Course) -> Result<Option<Ending>, FixError> {
        let Course { pool, ranking, tried, .. } = course;
        let mut passing: Vec<usize> = tried.iter().filter(|tried| tried.code == 0).map(|tried| tried.rank).collect();
        while let Some((&best, others)) = passing.split_first() {
            let (chosen, others) = (ranking.order[best], others.iter().map(|&rank| ranking.order[rank]).collect::<Vec<_>>());
            let apart = others.iter().all(|&other| pool.outdoes(chosen, other));
            let rivalled = if apart { Rivalled::No } else { Rivalled::Yes };
            let loop_follows = self.wish.options.strategy == Strategy::Auto && start.info.profile == Profile::Full;
            if !apart && loop_follows {
                // A model that reads more than single lines may know which of them is meant, or that none is.
                self.report(|report| report.rivals = passing.iter().map(|&rank| pool.rival(ranking.order[rank])).collect());
                self.say("ranked repair: several changes pass the tests, so the model is to look".into());
                return Ok(None);
            }
            self.report(|report| {
                report.rank = Some(best + 1);
                report.rivals = others.iter().map(|&other| pool.rival(other)).collect();
                report.tests += 1;
            });
            if let Some(ending) = self.confirm(start, (pool, chosen), rivalled).await? {
                return Ok(Some(ending));
            }
            passing.remove(0);
            self.report(|report| (report.rank, report.rivals) = (None, Vec::new()));
        }
        Ok(self.unfit(&format!("none of the {} changes that were tried makes the tests pass", tried.len())))
    }

    /// Makes a change in a fresh tree and judges it there like any other work. `None`: it does not pass again.
    async fn confirm(
        &mut self,
        Start { workspace, before, .. }: Start<'_>,
        (pool, chosen): (&Pool, usize),
        rivalled: Rivalled,
    ) -> Result<Option<Ending>, FixError> {
        let tree = workspace.attempt(0)?;
        if pool.edit(chosen).put(&Root::open(&tree.project())?).map_err(FixError::Trial)?.is_none() {
            return Ok(None);
        }
        let outcome = Outcome::Finished { text: format!("Changed {}.", pool.told(chosen)) };
        let tried = self.examine((workspace, &tree), Some(before), outcome, rivalled).await;
        let tried = tried.inspect_err(|_| self.drop_result(workspace, &tree))?;
        if matches!(tried.verdict, Verdict::Unfixed(_)) && !self.work.cancel().is_cancelled() {
            self.say(format!("{} passed where it was tried, and does not in a fresh tree", pool.told(chosen)));
            self.drop_result(workspace, &tree);
            return Ok(None);
        }
        let ended = self.end(workspace, &tree, Some(before), &tried);
        ended.inspect_err(|_| self.drop_result(workspace, &tree))
    }

    fn report(&mut self, note: impl FnOnce(&mut Report)) {
        self.tally.ranked.as_mut().map(note);
    }
}

/// Copies to try changes in: besides the tree that is warm from the first run, unless that is the user's own.
fn copies(start: Start<'_>, changes: usize) -> Result<Vec<Tree>, FixError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let warm = usize::from(start.workspace.placement() == Placement::Apart);
    let wanted = changes.min(cores.min(WORKERS));
    let copy = |number| start.workspace.copy(&format!("trial-{number}"));
    Ok((warm..wanted).map(copy).collect::<Result<_, _>>()?)
}
