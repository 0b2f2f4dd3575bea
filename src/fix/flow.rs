//! The order of things in a fix: see it fail, try the likeliest changes, let it be worked on, see again, judge, keep or drop.

use crate::agent::Task;
use crate::agent::limits::{Cost, Limits, Spent};
use crate::fix::attempt::{Setting, Sink, Told, Work, learn, task};
use crate::fix::checks::{TestRun, Tests, succeeds};
use crate::fix::detect::detect;
use crate::fix::examine::{Examiner, Tried};
use crate::fix::keep::{self, Side};
use crate::fix::output::{Output, Status, TestReport, chain, commit_message};
use crate::fix::ranked::report::Report;
use crate::fix::verdict::{Rivalled, Verdict};
use crate::fix::{FixError, Strategy, Wish};
use crate::hint::Hint;
use crate::prompts::{FixLesson, FixOpening, TestOutcome};
use crate::protocol::event::{Event, Outcome};
use crate::protocol::exit::Exit;
use crate::protocol::turn::{Delta, EngineInfo};
use crate::repo::git::{FileChange, Onto};
use crate::repo::scratch::{Placement, ScratchError, Tree, Workspace};
use std::path::Path;
use std::time::{Duration, Instant};

/// What was spent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub attempts: u32,
    pub steps: u32,
    pub tokens: Spent,
    /// What ranked repair did, where it tried anything.
    pub ranked: Option<Report>,
}

/// How a fix ended, before it is put into words.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub status: Status,
    pub exit: Exit,
    /// What this program has to say; the model's own words follow it.
    pub reason: String,
    pub said: String,
    pub patch: String,
    pub files: Vec<String>,
    pub test: Option<TestReport>,
}

impl Ending {
    pub fn new(status: Status, exit: Exit, reason: impl Into<String>) -> Self {
        let (said, patch) = (String::new(), String::new());
        Self { status, exit, reason: reason.into(), said, patch, files: Vec::new(), test: None }
    }

    /// An error, its causes and its hint in one text.
    pub fn failed(error: &FixError) -> Self {
        let mut reason = chain(error);
        reason.extend(error.hint().map(|hint| format!("; {hint}")));
        Self::new(Status::Error, error.exit(), reason)
    }

    pub fn interrupted() -> Self {
        Self::new(Status::Error, Exit::Interrupted, "interrupted")
    }
}

pub(crate) struct Flow<'a> {
    pub work: &'a mut dyn Work,
    pub tests: &'a dyn Tests,
    pub wish: Wish<'a>,
    pub sink: Sink<'a>,
    pub started: Instant,
    pub tally: Tally,
}

/// The test command and how it ended on the start state.
pub(crate) struct Before {
    pub command: String,
    pub run: TestRun,
    pub took: Duration,
}

/// What all attempts begin from.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub workspace: &'a Workspace,
    pub info: &'a EngineInfo,
    pub before: Option<&'a Before>,
}

impl Scene<'_> {
    /// Puts a failed attempt into words for a later one.
    pub fn learn(&self, tried: &Tried) -> FixLesson {
        let test = self.before.zip(tried.after.as_ref()).map(|(before, after)| outcome(&before.command, after));
        learn(self.workspace, &tried.changes, &tried.outcome, test)
    }
}

/// How it goes on after one attempt or several.
pub(crate) enum Next {
    Ended(Ending),
    /// They failed, and more may be made: what the next ones are told.
    Failed(Vec<FixLesson>),
}

impl<'a> Flow<'a> {
    /// Goes from the issue to the end. An error means that it could not be carried out at all.
    pub async fn go(&mut self) -> Result<Ending, FixError> {
        let options = self.wish.options;
        if options.commit && options.branch.is_none() && options.output == Output::Patch {
            return Err(FixError::PatchAndCommit);
        }
        let placement = if options.in_place { Placement::InPlace } else { Placement::Apart };
        let mut workspace = Workspace::open(&options.dir, &self.wish.places.cache.join("fix"), placement)?;
        if let Some(onto) = self.onto() {
            let home = workspace.home().ok_or_else(|| ScratchError::NoRepository(options.dir.clone()))?;
            home.can_commit(onto).map_err(ScratchError::from)?;
        }
        let ready = self.work.ready(self.sink).await;
        if self.work.cancel().is_cancelled() {
            return Ok(Ending::interrupted());
        }
        let info = ready.map_err(FixError::Engine)?;
        let mut tree = workspace.attempt(1)?;
        let before = self.see_it_fail(&tree.project()).await?;
        workspace.settle(&tree)?;
        if options.strategy != Strategy::Loop {
            if let Some(ending) = self.ranked((&workspace, &tree), &info, before.as_ref()).await? {
                return Ok(ending);
            }
            if !options.in_place {
                workspace.settle(&tree)?;
            }
        }
        let scene = Scene { workspace: &workspace, info: &info, before: before.as_ref() };
        let mut lessons = Vec::new();
        self.say_if_apart(scene);
        loop {
            if self.work.cancel().is_cancelled() {
                return Ok(Ending::interrupted());
            }
            let next = match self.breadth(scene) {
                breadth if breadth > 1 => self.round(scene, tree, (breadth, &lessons)).await?,
                _ => self.single(scene, tree, lessons.first().cloned()).await?,
            };
            match next {
                Next::Ended(ending) => return Ok(ending),
                Next::Failed(learned) => lessons = learned,
            }
            self.say(format!("{} of {} attempts failed; trying again from the start", self.tally.attempts, options.attempts));
            tree = workspace.attempt(self.tally.attempts + 1)?;
        }
    }

    /// Makes one attempt.
    async fn single(&mut self, scene: Scene<'_>, tree: Tree, lesson: Option<FixLesson>) -> Result<Next, FixError> {
        let workspace = scene.workspace;
        self.tally.attempts += 1;
        let tried = self.attempt(scene, &tree, lesson).await;
        let tried = tried.inspect_err(|_| self.drop_result(workspace, &tree))?;
        let ended = self.end(workspace, &tree, scene.before, &tried);
        if let Some(ending) = ended.inspect_err(|_| self.drop_result(workspace, &tree))? {
            return Ok(Next::Ended(ending));
        }
        self.drop_result(workspace, &tree);
        Ok(Next::Failed(vec![scene.learn(&tried)]))
    }

    fn onto(&self) -> Option<Onto<'_>> {
        let options = self.wish.options;
        options.branch.as_deref().map(Onto::New).or_else(|| options.commit.then_some(Onto::Current))
    }

    /// Finds the test command and runs it on the start state.
    async fn see_it_fail(&mut self, project: &Path) -> Result<Option<Before>, FixError> {
        let command = match &self.wish.options.test {
            Some(command) => command.clone(),
            None => {
                let Some(found) = detect(project, &mut |line| succeeds(project, line)) else {
                    self.say("no test command found; the result cannot be verified (name one with --test)".into());
                    return Ok(None);
                };
                self.say(format!("tests: `{}` ({})", found.command, found.why));
                found.command
            }
        };
        let begun = Instant::now();
        let run = self.examiner().first(project, &command).await?;
        self.say(format!("before: `{command}` ends with {}", run.code));
        Ok(Some(Before { command, run, took: begun.elapsed() }))
    }

    /// What of the limits is left.
    pub(crate) fn left(&self) -> Limits {
        let limits = self.wish.options.limits;
        let worked = self.tally.tokens.prefilled + self.tally.tokens.generated;
        Limits {
            steps: limits.steps.map(|steps| steps.saturating_sub(self.tally.steps)),
            time: limits.time.map(|time| time.saturating_sub(self.started.elapsed())),
            tokens: limits.tokens.map(|tokens| tokens - worked),
        }
    }

    /// Lets the loop work on the tree, and judges what it did.
    async fn attempt(&mut self, scene: Scene<'_>, tree: &Tree, lesson: Option<FixLesson>) -> Result<Tried, FixError> {
        let task = self.task(scene, tree, lesson)?;
        (self.sink)(Told::Opening(&task.opening));
        let report = self.work.work(task, self.sink).await;
        self.tally.steps += report.steps;
        self.count(report.tokens);
        self.examine((scene.workspace, tree), scene.before, report.outcome, Rivalled::No).await
    }

    /// Puts together what an attempt in a tree is told.
    pub(crate) fn task(&self, scene: Scene<'_>, tree: &Tree, lesson: Option<FixLesson>) -> Result<Task, FixError> {
        let (options, info) = (self.wish.options, scene.info);
        let test = scene.before.map(|before| outcome(&before.command, &before.run));
        let opening = FixOpening { issue: options.issue.clone(), test, lesson };
        let logs = self.wish.places.state.join("logs").join(&options.session);
        let (project, limits, generation) = (tree.project(), self.left(), options.generation);
        let (window, profile) = (info.window.map(|tokens| tokens.0), info.profile);
        task(Setting { known_as: &options.dir, project, window, profile, limits, generation, logs }, &opening)
    }

    /// Looks at what was done to a tree, runs the tests there, and judges.
    pub(crate) async fn examine(
        &mut self,
        (workspace, tree): (&Workspace, &Tree),
        before: Option<&Before>,
        outcome: Outcome,
        rivalled: Rivalled,
    ) -> Result<Tried, FixError> {
        let tried = self.examiner().examine((workspace, tree), before, outcome, rivalled).await?;
        if let Some((before, after)) = before.zip(tried.after.as_ref()) {
            self.say(format!("after: `{}` ends with {}", before.command, after.code));
        }
        Ok(tried)
    }

    pub(crate) fn examiner(&self) -> Examiner<'a> {
        let cancel = self.work.cancel();
        Examiner { tests: self.tests, limits: self.wish.options.limits, started: self.started, cancel }
    }

    pub(crate) fn count(&mut self, new: Spent) {
        let all = &mut self.tally.tokens;
        all.prompt += new.prompt;
        all.prefilled += new.prefilled;
        all.reused += new.reused;
        all.generated += new.generated;
    }

    /// Decides whether this attempt was the last, and how the fix ends then.
    pub(crate) fn end(
        &mut self,
        workspace: &Workspace,
        tree: &Tree,
        before: Option<&Before>,
        tried: &Tried,
    ) -> Result<Option<Ending>, FixError> {
        let interrupted = self.work.cancel().is_cancelled();
        let mut ending = match (&tried.outcome, &tried.verdict) {
            (Outcome::Interrupted, _) => Ending::interrupted(),
            _ if interrupted => Ending::interrupted(),
            (Outcome::Engine { reason }, _) => Ending::new(Status::Error, Exit::Engine, reason),
            (Outcome::Denied { reason }, _) => Ending::new(Status::Error, Exit::Denied, reason),
            (_, Verdict::Fixed) => Ending::new(Status::Fixed, Exit::Done, ""),
            // The attempt knows what was left for it, the person what they set.
            (Outcome::Budget { reason }, _) => {
                Ending::new(Status::Budget, Exit::Budget, self.over_budget().unwrap_or_else(|| reason.clone()))
            }
            (_, Verdict::Unverified(reason)) => Ending::new(Status::Unverified, Exit::Unverified, *reason),
            (outcome, Verdict::Unfixed(reason)) => match (self.over_budget(), outcome) {
                (Some(reason), _) => Ending::new(Status::Budget, Exit::Budget, reason),
                (None, _) if self.tally.attempts < self.wish.options.attempts => return Ok(None),
                (None, Outcome::Failed { reason: why }) => Ending::new(Status::Unfixed, Exit::Failed, format!("{reason}: {why}")),
                (None, _) => Ending::new(Status::Unfixed, Exit::Failed, *reason),
            },
        };
        ending.patch = workspace.patch(&tried.changes)?;
        ending.files = tried.changes.iter().map(|change| change.path.clone()).collect();
        ending.test = before.map(|before| TestReport {
            command: before.command.clone(),
            before: before.run.code,
            after: tried.after.as_ref().unwrap_or(&before.run).code,
        });
        if let Outcome::Finished { text } = &tried.outcome {
            ending.said = text.trim().to_owned();
        }
        if matches!(ending.status, Status::Fixed | Status::Unverified) {
            self.keep(workspace, tree, &tried.changes, &mut ending);
        } else {
            self.drop_result(workspace, tree);
        }
        Ok(Some(ending))
    }

    pub(crate) fn over_budget(&self) -> Option<String> {
        let cost = Cost { steps: self.tally.steps, elapsed: self.started.elapsed(), tokens: self.tally.tokens };
        self.wish.options.limits.reached(&cost)
    }

    /// Brings the result to where the user wants it. What cannot be brought there is left as a patch file, and said.
    fn keep(&mut self, workspace: &Workspace, tree: &Tree, changes: &[FileChange], ending: &mut Ending) {
        let options = self.wish.options;
        let elsewhere = options.branch.is_some() || options.output == Output::Patch;
        if elsewhere {
            self.drop_result(workspace, tree);
        }
        if let Err(reason) = self.deliver(workspace, changes, &ending.said) {
            let place = self.save(&ending.patch);
            *ending = Ending {
                status: Status::Error,
                exit: Exit::Failed,
                reason: format!("the result ({}) was not kept: {reason}; {place}", ending.status.as_str()),
                ..ending.clone()
            };
        }
    }

    fn deliver(&self, workspace: &Workspace, changes: &[FileChange], said: &str) -> Result<(), String> {
        let options = self.wish.options;
        let message = commit_message(options.issue_ref.as_deref(), &options.issue, said);
        let words = |error: ScratchError| Ending::failed(&FixError::from(error)).reason;
        if let Some(branch) = &options.branch {
            return workspace.commit(changes, Onto::New(branch), &message).map(drop).map_err(words);
        }
        if options.output == Output::Patch {
            return Ok(());
        }
        if !options.in_place {
            keep::put(workspace, workspace.source(), changes, Side::After).map_err(|error| chain(&error))?;
        }
        if options.commit
            && let Err(error) = workspace.commit(changes, Onto::Current, &message)
        {
            // Half of what was asked for is nothing to leave behind.
            let back = keep::put(workspace, workspace.source(), changes, Side::Before);
            return Err(back.map_or_else(|error| chain(&error), |()| words(error)));
        }
        Ok(())
    }

    /// Writes a patch down and says where, in a clause.
    fn save(&self, patch: &str) -> String {
        let name = format!("{}-{}.patch", self.wish.options.session, self.tally.attempts);
        let path = self.wish.places.state.join("fix").join(name);
        let saved = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, patch));
        saved.map_or("the patch could not be saved".into(), |()| format!("the patch is in `{}`", path.display()))
    }

    /// Takes a result back out of the user's tree. A copy needs nothing: it goes as a whole. In place it may hold what the user
    /// did meanwhile, so it is written down before.
    pub(crate) fn drop_result(&mut self, workspace: &Workspace, tree: &Tree) {
        if self.wish.options.in_place
            && let Ok(changes) = workspace.changes(tree)
            && !changes.is_empty()
            && let Ok(patch) = workspace.patch(&changes)
        {
            let place = self.save(&patch);
            self.say(format!("what was changed in place is taken back; {place}"));
            // A file that moves just now is somebody else's: leaving it is the lesser harm.
            let _ = keep::put(workspace, tree.root(), &changes, Side::Before);
        }
    }

    pub(crate) fn say(&mut self, text: String) {
        (self.sink)(Told::Event(&Event::Delta(Delta::Notice { text })));
    }
}

fn outcome(command: &str, run: &TestRun) -> TestOutcome {
    TestOutcome { command: command.to_owned(), code: run.code, output: run.output.clone() }
}
