//! Ranked repair from end to end: a scripted model's likes, real commands, and what reaches the user.

use crate::fix::checks::{Pending, Shell, TestJob, TestRun, Tests};
use crate::fix::tests::{Scripted, World, git, world, writes};
use crate::fix::{FixResult, Output, Status, Strategy, Wish, run};
use crate::protocol::event::Outcome;
use crate::protocol::exit::Exit;
use crate::protocol::message::Message;
use crate::protocol::turn::Profile;
use crate::repair::order::Order;
use crate::sandbox::process::SpawnError;
use crate::units::Tokens;
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs;
use tokio_util::sync::CancellationToken;

const CALC: &str = "def count(items, limit):
    found = 0
    for item in items:
        if item < limit:
            found = found + 1
    return found
";
const RIGHT: &str = "grep -q 'if item <= limit:' calc.py";

/// A project whose `count` leaves out what equals the limit. Its test is a command that reads the source.
fn project(strategy: Strategy, test: &str) -> World {
    let mut world = world();
    world.options.strategy = strategy;
    world.options.test = Some(test.into());
    world.options.issue = "count() leaves out items that equal the limit".into();
    fs::write(world.options.dir.join("calc.py"), CALC).unwrap();
    git(&world.options.dir, "add -A");
    git(&world.options.dir, "commit -qm second");
    world
}

fn liking(likes: &[&'static str]) -> Scripted<'static> {
    Scripted { likes: Some(likes.to_vec()), ..Scripted::default() }
}

fn calc(world: &World) -> String {
    fs::read_to_string(world.options.dir.join("calc.py")).unwrap()
}

fn mended() -> String {
    CALC.replace("item < limit", "item <= limit")
}

fn ranked(result: &FixResult) -> Value {
    serde_json::from_str::<Value>(&result.render(Output::Json)).unwrap()["ranked"].take()
}

#[tokio::test]
async fn the_likeliest_change_that_passes_is_the_fix() {
    for (likes, rank) in [(&["`<` -> `<=`"][..], 1), (&["`<` -> `>`", "`<` -> `>=`", "`<` -> `<=`"], 3)] {
        let world = project(Strategy::Repair, RIGHT);
        let mut model = liking(likes);
        let result = world.fix_by(&mut model).await;
        assert_eq!((result.status, result.exit()), (Status::Fixed, Exit::Done), "{result:?}");
        assert_eq!(calc(&world), mended());
        assert_eq!(git(&world.options.dir, "status --porcelain"), " M calc.py\n", "nothing else reaches the user");
        assert_eq!((result.attempts, result.steps, &result.files[..]), (0, 0, &["calc.py".to_owned()][..]));
        assert_eq!(result.summary, "Changed calc.py:4 `<` -> `<=`.");

        let report = ranked(&result);
        let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["suspects", "candidates", "tried", "tests", "rank", "rivals", "scored", "order"]);
        assert_eq!((&report["rank"], &report["rivals"], &report["order"]), (&json!(rank), &json!([]), &json!("model")));
        assert!(report["suspects"][0].as_str().unwrap().starts_with("calc.py:1-"), "{report}");
        assert_eq!(report["tests"].as_u64(), report["tried"].as_u64().map(|tried| tried + 1), "one more run verifies");
        assert_eq!((result.tokens.prefilled, result.tokens.prompt), (Tokens(20 + 7), Tokens(30 + 7)));

        let [Message::User { text }] = &model.asked[0].messages[..] else { panic!("{:?}", model.asked) };
        assert!(text.contains("leaves out items") && text.contains("4|        if item < limit:"), "{text}");
    }
}

#[tokio::test]
async fn what_no_change_mends_leaves_no_trace() {
    let world = project(Strategy::Repair, "grep -q nothing calc.py");
    let before = world.everything();
    let result = world.fix_by(&mut liking(&["`<` -> `<=`"])).await;
    assert_eq!((result.status, result.exit()), (Status::Unfixed, Exit::Failed));
    assert!(result.summary.contains("changes that were tried makes the tests pass"), "{}", result.summary);
    assert!(world.everything() == before);
    assert_eq!(ranked(&result)["rank"], Value::Null);
}

#[tokio::test]
async fn where_nothing_judges_repairs_it_says_so() {
    for (test, reason) in [("true", "the tests pass as it is"), ("no-such-command-at-all", "does not run to its end")] {
        let world = project(Strategy::Repair, test);
        let result = world.fix_by(&mut liking(&[])).await;
        assert_eq!((result.status, result.exit()), (Status::Unfixed, Exit::Failed), "{test}");
        assert!(result.summary.contains(reason), "{test}: {}", result.summary);
    }
}

#[tokio::test]
async fn a_second_change_that_passes_is_told_and_nothing_called_fixed() {
    let world = project(Strategy::Repair, "grep -Eq 'if item (<=|>=) limit:' calc.py");
    let result = world.fix_by(&mut liking(&["`<` -> `<=`", "`<` -> `>`", "`<` -> `>=`"])).await;
    assert_eq!((result.status, result.exit()), (Status::Unverified, Exit::Unverified), "{result:?}");
    assert!(result.summary.contains("different changes pass the tests"), "{}", result.summary);
    assert_eq!(calc(&world), mended(), "the likelier one is kept, as what is unverified is");
    assert_eq!(ranked(&result)["rivals"], json!([{"path": "calc.py", "line": 4, "new": "        if item >= limit:"}]));
    let text = result.render(Output::Text);
    assert!(text.contains("calc.py:4\n-if item < limit:\n+if item >= limit:\n"), "{text}");
}

#[tokio::test]
async fn the_issue_tells_rivals_apart() {
    let mut world = project(Strategy::Repair, "grep -Eq 'if item (<=|>=) limit:' calc.py");
    world.options.issue = "count() uses `<` where `<=` is meant".into();
    let result = world.fix_by(&mut liking(&["`<` -> `<=`", "`<` -> `>=`"])).await;
    assert_eq!((result.status, result.exit()), (Status::Fixed, Exit::Done), "{result:?}");
    assert_eq!(ranked(&result)["rivals"].as_array().map(Vec::len), Some(1), "and the rival is told all the same");
}

#[tokio::test]
async fn the_same_in_other_words_is_no_rival() {
    let world = project(Strategy::Repair, "grep -Eq 'if item (<= limit|< limit [+] 1):' calc.py");
    let result = world.fix_by(&mut liking(&["`<` -> `<=`", "`limit` -> `limit + 1`"])).await;
    assert_eq!((result.status, result.exit()), (Status::Fixed, Exit::Done), "{result:?}");
    assert_eq!(ranked(&result)["rivals"][0]["new"], "        if item < limit + 1:", "{result:?}");
}

#[tokio::test]
async fn a_change_that_passes_only_once_is_no_fix() {
    let mut world = project(Strategy::Repair, "");
    let once = world.held.path().join("once");
    world.options.test = Some(format!("{RIGHT} && mkdir {}", once.display()));
    let before = world.everything();
    let result = world.fix_by(&mut liking(&["`<` -> `<=`"])).await;
    assert_eq!((result.status, result.exit()), (Status::Unfixed, Exit::Failed), "{result:?}");
    assert!(world.everything() == before);
}

#[tokio::test]
async fn results_are_kept_as_any_other() {
    let fix = async |world: &World| {
        let result = world.fix_by(&mut liking(&["`<` -> `<=`"])).await;
        assert_eq!((result.status, result.exit()), (Status::Fixed, Exit::Done), "{result:?}");
        result
    };
    let mut world = project(Strategy::Repair, RIGHT);
    world.options.in_place = true;
    fix(&world).await;
    assert_eq!(calc(&world), mended());

    for in_place in [false, true] {
        let mut world = project(Strategy::Repair, RIGHT);
        (world.options.output, world.options.in_place) = (Output::Patch, in_place);
        let before = world.everything();
        let result = fix(&world).await;
        assert!(world.everything() == before);
        let patch = world.options.dir.with_file_name("p.patch");
        fs::write(&patch, result.render(Output::Patch)).unwrap();
        git(&world.options.dir, &format!("apply --check {}", patch.display()));
    }

    let mut world = project(Strategy::Repair, RIGHT);
    world.options.branch = Some("fix/count".into());
    fix(&world).await;
    assert_eq!((calc(&world).as_str(), git(&world.options.dir, "show fix/count:calc.py")), (CALC, mended()));
    let message = git(&world.options.dir, "log -1 --format=%B fix/count");
    assert!(message.contains("Changed calc.py:4 `<` -> `<=`."), "{message}");

    let mut world = project(Strategy::Repair, RIGHT);
    world.options.commit = true;
    fix(&world).await;
    assert_eq!(git(&world.options.dir, "show HEAD:calc.py"), mended());
}

#[tokio::test]
async fn where_changes_end_the_loop_goes_on() {
    let cure = || writes(&[("calc.py", "if item <= limit:\n")]);
    for (name, test, model, tried) in [
        ("none passes", "grep -q '^if item' calc.py", liking(&[]), true),
        ("several pass", "grep -Eq 'if item (<=|>=) limit:' calc.py", liking(&["`<` -> `<=`", "`<` -> `>=`"]), true),
        ("likelihoods are not known", "grep -q '^if item' calc.py", Scripted::default(), false),
    ] {
        let world = project(Strategy::Auto, test);
        let mut model = Scripted { acts: vec![cure()], ..model };
        let result = world.fix_by(&mut model).await;
        assert_eq!((result.status, result.attempts, model.tasks.len()), (Status::Fixed, 1, 1), "{name}: {result:?}");
        assert_eq!(calc(&world), "if item <= limit:\n", "{name}");
        assert_eq!(result.files, ["calc.py"], "{name}");
        assert_eq!(ranked(&result) != Value::Null, tried, "{name}");
    }
}

#[tokio::test]
async fn before_a_loop_changes_are_tried_without_likelihoods_only_if_the_issue_names_them() {
    let mut world = project(Strategy::Auto, RIGHT);
    world.options.issue = "count() uses `<` where `<=` is meant".into();
    let result = world.fix_by(&mut Scripted::default()).await;
    assert_eq!((result.status, result.attempts, calc(&world)), (Status::Fixed, 0, mended()), "{result:?}");
    assert_eq!(ranked(&result)["order"], "words");
}

#[tokio::test]
async fn orders_can_be_compared() {
    for (order, told) in [(Order::Modelless, "words"), (Order::Blind(1), "chance")] {
        let mut world = project(Strategy::Repair, RIGHT);
        world.options.order = order;
        let mut model = liking(&[]);
        let result = world.fix_by(&mut model).await;
        assert_eq!((result.status, model.asked.len(), &ranked(&result)["order"]), (Status::Fixed, 0, &json!(told)));
    }
}

#[tokio::test]
async fn the_loop_alone_tries_no_changes() {
    let world = project(Strategy::Loop, RIGHT);
    let mut model = Scripted { acts: vec![writes(&[])], ..liking(&["`<` -> `<=`"]) };
    let result = world.fix_by(&mut model).await;
    assert_eq!((result.status, model.asked.len(), ranked(&result)), (Status::Unfixed, 0, Value::Null));
}

#[tokio::test]
async fn a_micro_model_is_shown_what_it_was_trained_on_and_its_choice_stands() {
    let world = project(Strategy::Auto, "grep -Eq 'if item (<=|>=) limit:' calc.py || { echo red; exit 1; }");
    let mut model = Scripted { profile: Profile::Micro, ..liking(&["`<` -> `<=`", "`<` -> `>=`"]) };
    let result = world.fix_by(&mut model).await;
    assert_eq!((result.status, result.exit()), (Status::Unverified, Exit::Unverified), "{result:?}");
    let [Message::User { text }] = &model.asked[0].messages[..] else { panic!("{:?}", model.asked) };
    assert!(text.starts_with("count() leaves out items that equal the limit\n\ncalc.py\n1|"), "{text}");
    assert!(!text.contains("red"), "{text}");
    let asked = &model.asked[0].continuations;
    assert!(asked.chunks(2).all(|pair| pair[0].strip_suffix('+') == pair[1].strip_suffix('-')), "{asked:?}");
    assert_eq!(result.ranked.unwrap().rank, Some(1), "what it marks as right comes first");
}

#[tokio::test]
async fn what_the_model_names_itself_is_tried_too() {
    let world = project(Strategy::Repair, "grep -q 'return found or None' calc.py");
    let says = vec!["6|`found` -> `found or None`", "99|`a` -> `b`", "no change at all", "6|`found` -> `found`"];
    let mut model = Scripted { says, ..liking(&["`found or None`"]) };
    let result = world.fix_by(&mut model).await;
    assert_eq!((result.status, result.exit()), (Status::Fixed, Exit::Done), "{result:?}");
    assert_eq!(model.asked[1].continuations, ["6|`found` -> `found or None`"], "only what is new is weighed");
    assert_eq!(ranked(&result)["rank"], 1);
}

/// Tests in Python that never run line 5, as far as they are asked.
struct Telling<'a> {
    world: &'a World,
    code: i32,
}

impl Tests for Telling<'_> {
    fn run(&self, job: TestJob) -> Pending<'_, Result<TestRun, SpawnError>> {
        let text = fs::read_to_string(job.dir.join("calc.py")).unwrap();
        let mut code = i32::from(!text.contains("item <= limit"));
        if let Some((_, folder)) = job.env.iter().find(|(name, _)| name == "PYTHONPATH") {
            let file = job.dir.join("calc.py");
            let told = ["all", "failing"].map(|word| format!("{word}\t{}\t1 2 3 4 6\n", file.display()));
            let folder = std::env::split_paths(folder).next().unwrap();
            fs::write(folder.join("told/1"), told.concat() + "failed\nend\n").unwrap();
            code = self.code;
        }
        assert!(!job.dir.starts_with(&self.world.options.dir), "nothing runs in the user's own tree");
        Box::pin(async move { Ok(TestRun { code, output: String::new() }) })
    }
}

#[tokio::test]
async fn lines_that_the_failing_tests_do_not_run_are_tried_last() {
    let python = "python3 -m unittest";
    for (test, code, known, more) in [(python, 1, true, 2), (python, 2, false, 2), ("make test", 1, false, 1)] {
        let world = project(Strategy::Repair, test);
        // Liked so much more than the right one that nothing else makes up for it.
        let gap = "no change";
        let mut model = liking(&["5|", gap, gap, gap, gap, gap, gap, gap, gap, "`<` -> `<=`"]);
        let wish = Wish { options: &world.options, places: &world.places };
        let result = run(&mut model, &Telling { world: &world, code }, wish, &mut |_| {}).await;
        assert_eq!((result.status, calc(&world)), (Status::Fixed, mended()), "{result:?}");
        let report = ranked(&result);
        let tests = report["tests"].as_u64().zip(report["tried"].as_u64()).map(|(tests, tried)| tests - tried);
        assert_eq!((report["rank"] == 1, tests), (known, Some(more)), "{test} {code}: {report}");
    }
}

/// Cancels everything when the first change is tried.
struct Interrupted<'a> {
    shell: Shell,
    runs: Cell<u32>,
    cancel: &'a CancellationToken,
}

impl Tests for Interrupted<'_> {
    fn run(&self, job: TestJob) -> Pending<'_, Result<TestRun, SpawnError>> {
        self.runs.set(self.runs.get() + 1);
        let running = self.shell.run(job);
        Box::pin(async move {
            if self.runs.get() > 1 {
                self.cancel.cancel();
            }
            running.await
        })
    }
}

#[tokio::test]
async fn an_interrupt_ends_it_at_once() {
    let world = project(Strategy::Auto, "if grep -q 'item < limit' calc.py; then false; else sleep 600; fi");
    let before = world.everything();
    let mut model = liking(&["`<` -> `<=`"]);
    let cancel = model.cancel.clone();
    let tests = Interrupted { shell: Shell { logs: world.places.state.clone() }, runs: Cell::new(0), cancel: &cancel };
    let mut ended = Vec::new();
    let wish = Wish { options: &world.options, places: &world.places };
    let result = run(&mut model, &tests, wish, &mut |told| {
        if let crate::fix::Told::Event(crate::protocol::event::Event::Done { outcome }) = told {
            ended.push(outcome.clone());
        }
    })
    .await;
    assert_eq!((result.status, result.exit(), ended), (Status::Error, Exit::Interrupted, vec![Outcome::Interrupted]));
    assert!(world.everything() == before);
    let left: Vec<_> = fs::read_dir(world.places.cache.join("fix")).unwrap().collect();
    assert!(left.is_empty(), "the copies are gone: {left:?}");
}
