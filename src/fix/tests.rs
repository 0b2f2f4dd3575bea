//! The whole way with a scripted worker and real commands: what reaches the user, and how it is told.

use crate::agent::beside::Member;
use crate::agent::limits::{Limits, Spent};
use crate::agent::{Generation, Report, Task};
use crate::fix::attempt::{Scored, Sink, Work};
use crate::fix::checks::{Pending, Shell};
use crate::fix::{FixOptions, FixResult, Output, Status, Strategy, Wish, run};
use crate::path::Places;
use crate::protocol::event::{Event, Outcome};
use crate::protocol::exit::Exit;
use crate::protocol::message::Message;
use crate::protocol::turn::{EngineInfo, Profile, Reply, Sampling, ScoreRequest, Scores, TurnRequest, Usage};
use crate::repair::order::Order;
use crate::units::Tokens;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(crate) type Act<'a> = Box<dyn FnMut(&Path) -> Outcome + 'a>;

/// Does in each attempt what its script says, and keeps what it was told.
pub(crate) struct Scripted<'a> {
    pub acts: Vec<Act<'a>>,
    pub tasks: Vec<Task>,
    pub unready: Option<String>,
    pub window: Option<Tokens>,
    pub profile: Profile,
    /// Changes that it finds likely, the likeliest first. `None`: it does not say.
    pub likes: Option<Vec<&'static str>>,
    /// What it says when it is asked for one turn, last first.
    pub says: Vec<&'static str>,
    pub asked: Vec<ScoreRequest>,
    /// How many attempts it can be at at once.
    pub forks: u32,
    /// How many moments each of those takes; none but the beginning where it is not said.
    pub lasts: Vec<usize>,
    /// How many were made at once each time, and which of them were stopped.
    pub rounds: Vec<usize>,
    pub stopped: Vec<usize>,
    pub cancel: CancellationToken,
}

impl Default for Scripted<'_> {
    fn default() -> Self {
        Self {
            acts: Vec::new(),
            tasks: Vec::new(),
            unready: None,
            window: Some(Tokens(32_768)),
            profile: Profile::default(),
            likes: None,
            says: Vec::new(),
            asked: Vec::new(),
            forks: 0,
            lasts: Vec::new(),
            rounds: Vec::new(),
            stopped: Vec::new(),
            cancel: CancellationToken::new(),
        }
    }
}

impl Work for Scripted<'_> {
    fn ready<'a>(&'a mut self, _: Sink<'a>) -> Pending<'a, Result<EngineInfo, String>> {
        let (model, window) = ("tiny".into(), self.window);
        let info =
            EngineInfo { model, window, exact: true, thinks: false, profile: self.profile, grounds: false, forks: self.forks };
        let answer = self.unready.clone().map_or(Ok(info), Err);
        Box::pin(async { answer })
    }

    fn score<'a>(&'a mut self, request: &'a ScoreRequest, _: &'a CancellationToken, _: Sink<'a>) -> Pending<'a, Scored> {
        let scores = self.likes.as_ref().map(|likes| {
            let place = |text: &String| likes.iter().position(|liked| text.contains(liked)).unwrap_or(100);
            // Behind what it likes a `-` is unlikely.
            let one = |text: &String| if text.ends_with('-') { place(text) as f64 - 200.0 } else { -(place(text) as f64) };
            let logprobs = request.continuations.iter().map(one).collect();
            let usage = Usage { prompt: Tokens(30), prefilled: Tokens(20), reused: Tokens(10), ..Usage::default() };
            Scores { logprobs, usage, scored: Tokens(7) }
        });
        self.asked.push(request.clone());
        Box::pin(async { Ok(scores) })
    }

    fn turn<'a>(&'a mut self, _: &'a TurnRequest, _: &'a CancellationToken, _: Sink<'a>) -> Pending<'a, Result<Reply, String>> {
        let text = self.says.pop().unwrap_or("I cannot say.").to_owned();
        Box::pin(async { Ok(Reply { text, ..Reply::default() }) })
    }

    fn work<'a>(&'a mut self, task: Task, _: Sink<'a>) -> Pending<'a, Report> {
        let act = self.acts.get_mut(self.tasks.len()).expect("no attempt beyond the script");
        let outcome = act(task.root.as_path());
        self.tasks.push(task);
        let tokens = Spent { prompt: Tokens(30), prefilled: Tokens(20), reused: Tokens(10), generated: Tokens(5) };
        Box::pin(async move { Report { outcome, steps: 3, tokens, changes: Vec::new() } })
    }

    fn beside<'a>(
        &'a mut self,
        members: Vec<Member>,
        sink: &'a mut (dyn FnMut(usize, &Event) + Send),
        ended: &'a mut (dyn FnMut(usize, Report) + Send),
    ) -> Pending<'a, ()> {
        let first = self.tasks.len();
        self.rounds.push(members.len());
        let mut open: Vec<(usize, Member)> = members.into_iter().enumerate().collect();
        self.tasks.extend(open.iter().map(|(_, member)| member.task.clone()));
        Box::pin(async move {
            for moment in 0.. {
                let (now, later): (Vec<_>, Vec<_>) = open.into_iter().partition(|(at, member)| {
                    member.stop.is_cancelled() || self.lasts.get(first + at).is_none_or(|lasts| *lasts <= moment)
                });
                for (at, member) in now {
                    let stopped = member.stop.is_cancelled();
                    let usage = Usage { prompt: Tokens(30), prefilled: Tokens(20), reused: Tokens(10), ..Usage::default() };
                    let (text, thinking, calls) = (String::new(), String::new(), Vec::new());
                    sink(at, &Event::Turn { step: 1, text, thinking, calls, usage });
                    let outcome = if stopped {
                        self.stopped.push(first + at);
                        Outcome::Interrupted
                    } else {
                        (self.acts[first + at])(member.task.root.as_path())
                    };
                    sink(at, &Event::Done { outcome: outcome.clone() });
                    let mut tokens = Spent::default();
                    tokens.add(&usage);
                    ended(at, Report { outcome, steps: 1, tokens, changes: Vec::new() });
                }
                if later.is_empty() {
                    return;
                }
                open = later;
                tokio::task::yield_now().await;
            }
        })
    }

    fn cancel(&self) -> CancellationToken {
        self.cancel.clone()
    }
}

impl Scripted<'_> {
    pub fn told(&self, attempt: usize) -> String {
        match &self.tasks[attempt].opening[..] {
            [Message::System { .. }, Message::User { text }] => text.clone(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) struct World {
    pub held: tempfile::TempDir,
    pub places: Places,
    pub options: FixOptions,
}

const GREEN_AT_42: &str = "test \"$(cat answer.txt)\" = 42 || { echo the answer is $(cat answer.txt); exit 1; }";

/// A repository with an uncommitted edit, whose answer is 41 and should be 42.
pub(crate) fn world() -> World {
    let held = tempfile::tempdir().unwrap();
    let base = held.path().canonicalize().unwrap();
    let dir = base.join("shop");
    fs::create_dir(&dir).unwrap();
    for (name, text) in [("answer.txt", "40\n"), ("other.txt", "one\ntwo\n"), ("tests/check.txt", "strict\n")] {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }
    for arguments in ["init -q -b main", "config user.name A", "config user.email a@b.c", "add -A", "commit -qm first"] {
        git(&dir, arguments);
    }
    fs::write(dir.join("answer.txt"), "41\n").unwrap();
    fs::write(dir.join("new.txt"), "untracked\n").unwrap();
    let home = base.join("home");
    let places = Places::from_env(|name| (name == "AGENT_HOME").then(|| home.clone().into())).unwrap();
    let options = FixOptions {
        dir,
        issue: "The answer is off by one.".into(),
        issue_ref: None,
        test: Some(GREEN_AT_42.into()),
        strategy: Strategy::Auto,
        order: Order::Ranked,
        attempts: 1,
        limits: Limits::default(),
        in_place: false,
        branch: None,
        commit: false,
        output: Output::Json,
        predictions: None,
        session: "s1".into(),
        model: "tiny".into(),
        generation: Generation { sampling: Sampling::default(), max_tokens: Tokens(100), thinking_budget: None, thinking: false },
    };
    World { held, places, options }
}

pub(crate) fn git(dir: &Path, arguments: &str) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).env("HOME", "/nonexistent").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let done = command.args(arguments.split(' ')).output().unwrap();
    assert!(done.status.success(), "git {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

impl World {
    pub async fn fix<'a>(&self, acts: Vec<Act<'a>>) -> (FixResult, Scripted<'a>) {
        let mut scripted = Scripted { acts, ..Scripted::default() };
        (self.fix_by(&mut scripted).await, scripted)
    }

    pub async fn fix_by(&self, scripted: &mut Scripted<'_>) -> FixResult {
        let shell = Shell { logs: self.places.state.clone() };
        run(scripted, &shell, Wish { options: &self.options, places: &self.places }, &mut |_| {}).await
    }

    pub fn answer(&self) -> String {
        fs::read_to_string(self.options.dir.join("answer.txt")).unwrap()
    }

    /// Every byte of the user's directory, git's own included.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut open = vec![self.options.dir.clone()];
        while let Some(dir) = open.pop() {
            for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    open.push(path);
                } else {
                    all.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        all
    }
}

pub(crate) fn writes<'a>(edits: &'a [(&'a str, &'a str)]) -> Act<'a> {
    Box::new(move |root| {
        for (path, text) in edits {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        Outcome::Finished { text: "I changed it.".into() }
    })
}

pub(crate) fn cures<'a>() -> Act<'a> {
    writes(&[("answer.txt", "42\n")])
}

pub(crate) fn ends<'a>(outcome: Outcome) -> Act<'a> {
    Box::new(move |root| {
        fs::write(root.join("answer.txt"), "half\n").unwrap();
        outcome.clone()
    })
}

#[tokio::test]
async fn red_then_green_is_fixed_and_kept() {
    let world = world();
    let (result, scripted) = world.fix(vec![cures()]).await;
    assert_eq!((result.status, result.exit()), (Status::Fixed, Exit::Done), "{result:?}");
    assert_eq!(world.answer(), "42\n");
    assert_eq!(git(&world.options.dir, "status --porcelain"), " M answer.txt\n?? new.txt\n", "the index is the user's");
    assert!(scripted.told(0).contains("fails now (exit 1) and must pass. Its output:\n<output>\nthe answer is 41\n</output>"));
    assert_ne!(scripted.tasks[0].root.as_path(), world.options.dir, "it worked on a copy");

    let json: Value = serde_json::from_str(&result.render(Output::Json)).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["status", "summary", "patch", "files", "test", "attempts", "steps", "tokens", "seconds", "session"],
        "the contract's order"
    );
    assert_eq!(json["test"], serde_json::json!({"command": GREEN_AT_42, "before": 1, "after": 0}));
    assert_eq!(json["tokens"], serde_json::json!({"prompt": 30, "prefilled": 20, "reused": 10, "generated": 5}));
    assert_eq!((json["files"][0].as_str(), json["steps"].as_u64()), (Some("answer.txt"), Some(3)));
    assert!(result.render(Output::Text).starts_with("fixed: `test "), "{}", result.render(Output::Text));
}

#[tokio::test]
async fn what_is_not_fixed_leaves_no_trace() {
    let stopped = |reason: &str| reason.to_owned();
    let table: Vec<(&str, Act<'_>, Status, Exit)> = vec![
        ("nothing done", writes(&[]), Status::Unfixed, Exit::Failed),
        ("broken differently", writes(&[("answer.txt", "43\n"), ("more.txt", "x")]), Status::Unfixed, Exit::Failed),
        ("gave up", ends(Outcome::Failed { reason: stopped("five empty answers") }), Status::Unfixed, Exit::Failed),
        ("budget", ends(Outcome::Budget { reason: stopped("20 steps") }), Status::Budget, Exit::Budget),
        ("engine", ends(Outcome::Engine { reason: stopped("lost") }), Status::Error, Exit::Engine),
        ("denied", ends(Outcome::Denied { reason: stopped("run") }), Status::Error, Exit::Denied),
        ("interrupted", ends(Outcome::Interrupted), Status::Error, Exit::Interrupted),
    ];
    for (name, act, status, exit) in table {
        let world = world();
        let before = world.everything();
        let (result, _) = world.fix(vec![act]).await;
        assert_eq!((result.status, result.exit()), (status, exit), "{name}: {result:?}");
        assert!(world.everything() == before, "{name}: the tree, the index and the refs are as they were");
        assert_eq!(result.render(Output::Patch), "", "{name}");
    }
}

#[tokio::test]
async fn what_nothing_proves_is_kept_and_called_unverified() {
    let table: Vec<(&str, Option<&str>, Act<'_>, &str)> = vec![
        ("no command", None, cures(), "no test command is known"),
        ("green before", Some("true"), cures(), "passed before"),
        ("only tests", Some("grep -q loose tests/check.txt"), writes(&[("tests/check.txt", "loose\n")]), "nothing except tests"),
        (
            "bent tests",
            Some("grep -q loose tests/check.txt"),
            writes(&[("tests/check.txt", "loose\n"), ("answer.txt", "42\n")]),
            "as they were before they still fail",
        ),
        (
            "a bent command",
            Some("make -s test"),
            writes(&[("Makefile", "test:\n\ttrue\n"), ("answer.txt", "42\n")]),
            "as they were before they still fail",
        ),
        (
            "tests inside a source",
            Some("! grep -q strict lib.rs"),
            writes(&[("lib.rs", "fn f() { 2 }\n")]),
            "as they were before they still fail",
        ),
    ];
    for (name, test, act, reason) in table {
        let mut world = world();
        world.options.test = test.map(str::to_owned);
        let makefile = if test.is_some() { "Makefile" } else { "unused" };
        fs::write(world.options.dir.join(makefile), "test:\n\tfalse\n").unwrap();
        fs::write(world.options.dir.join("lib.rs"), "fn f() { 1 }\n\n#[cfg(test)]\nmod tests {\n    strict\n}\n").unwrap();
        let (result, _) = world.fix(vec![act]).await;
        assert_eq!((result.status, result.exit()), (Status::Unverified, Exit::Unverified), "{name}: {result:?}");
        assert!(result.summary.contains(reason), "{name}: {}", result.summary);
        for file in &result.files {
            assert!(result.patch.contains(&format!("+++ b/{file}")), "{name}");
        }
        let kept = world.everything();
        assert!(kept.values().any(|bytes| [&b"42\n"[..], b"loose\n", b"fn f() { 2 }\n"].contains(&&bytes[..])), "{name}: kept");
    }
}

#[tokio::test]
async fn a_test_that_was_green_and_broke_is_not_kept() {
    let mut world = world();
    world.options.test = Some("grep -q two other.txt".into());
    let before = world.everything();
    let (result, _) = world.fix(vec![writes(&[("other.txt", "one\n")])]).await;
    assert_eq!(result.exit(), Exit::Failed);
    assert!(world.everything() == before);
}

#[tokio::test]
async fn a_second_attempt_starts_fresh_with_the_lesson_and_what_is_left() {
    let mut world = world();
    world.options.attempts = 3;
    world.options.limits = Limits { steps: Some(10), tokens: Some(Tokens(100)), time: Some(Duration::from_secs(1_000)) };
    let first = writes(&[("answer.txt", "43\n"), ("stray.txt", "x\n")]);
    let second: Act<'_> = Box::new(|root| {
        assert_eq!(fs::read_to_string(root.join("answer.txt")).unwrap(), "41\n");
        assert!(!root.join("stray.txt").exists());
        fs::write(root.join("answer.txt"), "42\n").unwrap();
        Outcome::Finished { text: "Now.".into() }
    });
    let (result, scripted) = world.fix(vec![first, second]).await;
    assert_eq!((result.status, result.attempts, result.steps), (Status::Fixed, 2, 6));
    assert_eq!(result.files, ["answer.txt"]);
    let told = scripted.told(1);
    assert!(told.contains("It changed: answer.txt (+1 -1), stray.txt (+1 -0). It ended with: \"I changed it.\""), "{told}");
    assert!(told.contains("exit 1:\n<output>\nthe answer is 43\n</output>"), "{told}");
    let limits = scripted.tasks[1].limits;
    assert_eq!((limits.steps, limits.tokens), (Some(7), Some(Tokens(75))));
}

#[tokio::test]
async fn attempts_end_when_the_budget_is_spent_between_them() {
    let mut world = world();
    world.options.attempts = 5;
    world.options.limits.steps = Some(6);
    let (result, _) = world.fix(vec![writes(&[]), writes(&[])]).await;
    assert_eq!((result.status, result.exit(), result.attempts), (Status::Budget, Exit::Budget, 2));
    world.options.limits.steps = Some(5);
    let spent = ends(Outcome::Budget { reason: "the limit of 2 steps is reached".into() });
    let (result, _) = world.fix(vec![writes(&[]), spent]).await;
    assert_eq!(result.summary, "the limit of 5 steps is reached", "the person's limit, not what was left of it");
}

#[tokio::test]
async fn a_patch_is_printed_and_the_tree_left_alone() {
    for in_place in [false, true] {
        let mut world = world();
        world.options.output = Output::Patch;
        world.options.in_place = in_place;
        let before = world.everything();
        let (result, _) = world.fix(vec![cures()]).await;
        assert_eq!(result.exit(), Exit::Done);
        assert!(world.everything() == before, "in place: {in_place}");
        let patch = world.options.dir.with_file_name("p.patch");
        fs::write(&patch, result.render(Output::Patch)).unwrap();
        git(&world.options.dir, &format!("apply --check {}", patch.display()));
    }
}

#[tokio::test]
async fn in_place_keeps_what_is_fixed_and_puts_the_rest_back() {
    let mut world = world();
    world.options.in_place = true;
    let before = world.everything();
    let (result, scripted) = world.fix(vec![writes(&[("answer.txt", "43\n"), ("stray.txt", "x\n")])]).await;
    assert_eq!(result.exit(), Exit::Failed);
    assert_eq!(scripted.tasks[0].root.as_path(), world.options.dir);
    assert!(world.everything() == before);
    let taken_back = fs::read_to_string(world.places.state.join("fix/s1-1.patch")).unwrap();
    assert!(taken_back.contains("stray.txt"), "it may hold what the user did meanwhile: {taken_back}");
    let (result, _) = world.fix(vec![cures()]).await;
    assert_eq!((result.exit(), world.answer().as_str()), (Exit::Done, "42\n"));
}

#[tokio::test]
async fn a_branch_gets_the_result_and_the_tree_stays() {
    let mut world = world();
    git(&world.options.dir, "commit -qam second");
    world.options.branch = Some("fix/answer".into());
    world.options.issue_ref = Some("7".into());
    let (result, _) = world.fix(vec![cures()]).await;
    assert_eq!(result.exit(), Exit::Done, "{result:?}");
    assert_eq!(world.answer(), "41\n");
    assert_eq!(git(&world.options.dir, "show fix/answer:answer.txt"), "42\n");
    assert_eq!(
        git(&world.options.dir, "log -1 --format=%B fix/answer").trim(),
        "Fix: The answer is off by one.\n\nI changed it.\n\nFixes #7"
    );
    let (again, scripted) = world.fix(vec![]).await;
    assert_eq!((again.exit(), scripted.tasks.len()), (Exit::Usage, 0), "a taken name is said before any work: {again:?}");
}

#[tokio::test]
async fn a_commit_that_cannot_be_made_leaves_nothing_and_saves_the_patch() {
    let mut world = world();
    world.options.commit = true;
    let before = world.everything();
    // The line that is changed is not committed yet: a commit of the fix alone is impossible.
    let (result, _) = world.fix(vec![cures()]).await;
    assert_eq!((result.status, result.exit()), (Status::Error, Exit::Failed), "{result:?}");
    assert!(result.summary.contains("`answer.txt` that are not committed yet"), "{}", result.summary);
    assert_eq!(fs::read_to_string(world.places.state.join("fix/s1-1.patch")).unwrap(), result.patch);
    let after = world.everything();
    let outside = |all: &BTreeMap<PathBuf, Vec<u8>>| all.iter().filter(|(p, _)| !p.to_string_lossy().contains("objects")).count();
    assert_eq!(outside(&before), outside(&after));
    assert_eq!(world.answer(), "41\n");

    git(&world.options.dir, "commit -qam second");
    let (result, _) = world.fix(vec![cures()]).await;
    assert_eq!(result.exit(), Exit::Done, "{result:?}");
    assert_eq!(git(&world.options.dir, "status --porcelain"), "?? new.txt\n");
    assert_eq!(git(&world.options.dir, "show HEAD:answer.txt"), "42\n");
}

#[tokio::test]
async fn a_tree_that_moved_meanwhile_is_not_written() {
    let world = world();
    let theirs = world.options.dir.join("answer.txt");
    let act: Act<'_> = Box::new(move |root| {
        fs::write(&theirs, "the user went on\n").unwrap();
        fs::write(root.join("answer.txt"), "42\n").unwrap();
        Outcome::Finished { text: String::new() }
    });
    let (result, _) = world.fix(vec![act]).await;
    assert_eq!((result.status, result.exit()), (Status::Error, Exit::Failed));
    assert!(result.summary.contains("`answer.txt` was changed by someone else"), "{}", result.summary);
    assert!(result.summary.contains("s1-1.patch"), "{}", result.summary);
    assert_eq!(world.answer(), "the user went on\n");
}

#[tokio::test]
async fn an_engine_that_cannot_start_is_said_before_any_work() {
    let world = world();
    let mut scripted = Scripted { unready: Some("cannot load `x`".into()), ..Scripted::default() };
    let result = world.fix_by(&mut scripted).await;
    assert_eq!((result.status, result.exit(), result.summary.as_str()), (Status::Error, Exit::Engine, "cannot load `x`"));
    scripted.cancel.cancel();
    assert_eq!(world.fix_by(&mut scripted).await.exit(), Exit::Interrupted);
}

#[tokio::test]
async fn a_micro_model_is_told_the_issue_and_the_test_alone() {
    let world = world();
    let mut scripted = Scripted { acts: vec![cures()], profile: Profile::Micro, ..Scripted::default() };
    world.fix_by(&mut scripted).await;
    let task = &scripted.tasks[0];
    assert_eq!(task.opening, [Message::User { text: "The answer is off by one.".into() }], "the command is too long to be shown");
    assert_eq!(task.grounds.as_ref().unwrap().commands, [GREEN_AT_42]);
    assert_eq!(task.generation.max_tokens, Tokens(100), "what the person allows holds");
}

#[tokio::test]
async fn a_directory_without_git_is_fixed_all_the_same() {
    let mut world = world();
    fs::remove_dir_all(world.options.dir.join(".git")).unwrap();
    let (result, _) = world.fix(vec![cures()]).await;
    assert_eq!((result.exit(), world.answer().as_str()), (Exit::Done, "42\n"));
    world.options.commit = true;
    let (result, _) = world.fix(vec![]).await;
    assert_eq!(result.exit(), Exit::Usage);
    assert!(result.summary.contains("is not in a git repository"), "{}", result.summary);
}

#[tokio::test]
async fn a_prediction_is_one_line_a_run() {
    let mut world = world();
    let file = world.places.config.with_extension("jsonl");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    world.options.predictions = Some(file.clone());
    world.options.issue_ref = Some("https://github.com/psf/requests/issues/12".into());
    world.options.output = Output::Patch;
    let (result, _) = world.fix(vec![cures()]).await;
    world.fix(vec![writes(&[])]).await;
    let lines: Vec<Value> = fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines[0],
        serde_json::json!({"instance_id": "psf__requests-12", "model_name_or_path": "tiny", "model_patch": result.patch})
    );
    assert_eq!(lines[1]["model_patch"], "");
}
