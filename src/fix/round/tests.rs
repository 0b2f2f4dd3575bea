//! Attempts at the same time, with a scripted worker and real commands.

use crate::agent::limits::Limits;
use crate::fix::tests::{Act, Scripted, World, cures, ends, world, writes};
use crate::fix::{FixResult, Status};
use crate::protocol::event::Outcome;
use crate::protocol::exit::Exit;
use crate::protocol::turn::Sampling;
use crate::units::Tokens;
use std::fs;

/// A world in which so many attempts are allowed.
fn wanting(attempts: u32) -> World {
    let mut world = world();
    world.options.attempts = attempts;
    world
}

/// Makes attempts at the same time, each of so many moments.
async fn beside<'a>(world: &World, acts: Vec<(usize, Act<'a>)>) -> (FixResult, Scripted<'a>) {
    let (lasts, acts) = acts.into_iter().unzip();
    let mut scripted = Scripted { acts, lasts, forks: 8, ..Scripted::default() };
    (world.fix_by(&mut scripted).await, scripted)
}

fn never<'a>() -> Act<'a> {
    Box::new(|_| panic!("it was to be stopped"))
}

/// Leaves the answer wrong.
fn errs<'a>(edits: &'a [(&'a str, &'a str)]) -> Act<'a> {
    writes(edits)
}

const WRONG: &[(&str, &str)] = &[("answer.txt", "43\n")];
const WORSE: &[(&str, &str)] = &[("answer.txt", "44\n"), ("stray.txt", "x\n")];

#[tokio::test]
async fn the_first_that_is_verified_wins_and_the_rest_is_stopped() {
    let world = wanting(4);
    let (result, scripted) =
        beside(&world, vec![(usize::MAX, never()), (1, errs(WORSE)), (2, cures()), (usize::MAX, never())]).await;
    assert_eq!((result.status, result.exit(), result.attempts), (Status::Fixed, Exit::Done, 4), "{result:?}");
    assert_eq!((&scripted.rounds[..], &scripted.stopped[..]), (&[4][..], &[0, 3][..]));
    assert_eq!((world.answer().as_str(), &result.files[..]), ("42\n", &["answer.txt".to_owned()][..]));
    assert_eq!((result.steps, result.tokens.prefilled), (4, Tokens(80)), "what was stopped cost something, too");
    let roots: Vec<_> = scripted.tasks.iter().map(|task| task.root.as_path().to_owned()).collect();
    assert!((1..4).all(|at| !roots[..at].contains(&roots[at])), "each has a copy of its own: {roots:?}");
    assert!(roots.iter().all(|root| !root.exists()), "and none is left");
    let logs: Vec<_> = scripted.tasks.iter().map(|task| task.logs.clone()).collect();
    assert!((1..4).all(|at| !logs[..at].contains(&logs[at])), "{logs:?}");
}

#[tokio::test]
async fn of_those_that_end_together_the_smallest_patch_wins() {
    let world = wanting(3);
    let large = writes(&[("answer.txt", "42\n"), ("notes.txt", "one\ntwo\n")]);
    let larger = writes(&[("answer.txt", "42\n"), ("other.txt", "1\n2\n3\n")]);
    let (result, _) = beside(&world, vec![(1, larger), (1, large), (1, cures())]).await;
    assert_eq!((result.status, &result.files[..]), (Status::Fixed, &["answer.txt".to_owned()][..]));
    let world = wanting(2);
    let none = errs(&[]);
    let (result, _) = beside(&world, vec![(0, none), (0, cures())]).await;
    assert_eq!(result.status, Status::Fixed, "no patch is the smallest, and proves nothing");
}

#[tokio::test]
async fn a_round_that_fails_teaches_the_next_one() {
    let mut world = wanting(5);
    world.options.limits.steps = Some(17);
    let fresh: Act<'_> = Box::new(|root| {
        assert_eq!(fs::read_to_string(root.join("answer.txt")).unwrap(), "41\n");
        assert!(!root.join("stray.txt").exists());
        Outcome::Failed { reason: "no idea".into() }
    });
    let acts = vec![(0, errs(WRONG)), (0, errs(WORSE)), (0, fresh), (0, cures())];
    let (result, scripted) = beside(&world, acts).await;
    // 17 steps are two attempts' at once; 15 are one's.
    assert_eq!((result.status, result.attempts, &scripted.rounds[..]), (Status::Fixed, 4, &[2][..]), "{result:?}");
    assert!(!scripted.told(0).contains("earlier attempt") && scripted.told(0) == scripted.told(1), "what is shared is the same");
    assert!(scripted.told(2).contains("It changed: answer.txt (+1 -1)."), "{}", scripted.told(2));

    let world = wanting(4);
    let acts = vec![(0, errs(WRONG)), (0, errs(WORSE)), (0, errs(WRONG)), (1, cures())];
    let (lasts, acts) = acts.into_iter().unzip();
    let mut scripted = Scripted { acts, lasts, forks: 2, ..Scripted::default() };
    let result = world.fix_by(&mut scripted).await;
    assert_eq!((result.status, result.attempts, &scripted.rounds[..]), (Status::Fixed, 4, &[2, 2][..]));
    assert!(scripted.told(2).contains("answer.txt (+1 -1)") && !scripted.told(2).contains("stray.txt"));
    assert!(scripted.told(3).contains("stray.txt (+1 -0)"), "each learns from another: {}", scripted.told(3));
}

#[tokio::test]
async fn attempts_differ_by_how_they_draw() {
    let mut world = wanting(3);
    let draws = async |sampling| {
        world.options.generation.sampling = sampling;
        let (_, scripted) = beside(&world, vec![(0, errs(WRONG)), (0, errs(WRONG)), (0, errs(WRONG))]).await;
        let drawn = scripted.tasks.iter().map(|task| task.generation.sampling);
        drawn.map(|sampling| (sampling.temperature, sampling.seed)).collect::<Vec<_>>()
    };
    let mut draws = draws;
    let greedy = Sampling { temperature: Some(0.0), seed: Some(7), ..Sampling::default() };
    assert_eq!(draws(greedy).await, [(Some(0.0), Some(7)), (Some(0.7), Some(8)), (Some(0.7), Some(9))]);
    let hot = Sampling { temperature: Some(1.1), ..Sampling::default() };
    assert_eq!(draws(hot).await, [(Some(1.1), None); 3], "without a seed each turn has one of its own");
}

#[tokio::test]
async fn attempts_go_one_after_another_where_they_must() {
    type Alter = fn(&mut World, &mut Scripted<'_>);
    let alter: [(&str, Alter); 6] = [
        ("an engine that cannot", |_, scripted| scripted.forks = 0),
        ("one at once is none beside another", |_, scripted| scripted.forks = 1),
        ("too few steps", |world, _| world.options.limits = Limits { steps: Some(15), ..Limits::default() }),
        ("the user's own tree", |world, _| world.options.in_place = true),
        ("too small a window", |_, scripted| scripted.window = Some(Tokens(8_000))),
        ("a window that is not known", |_, scripted| scripted.window = None),
    ];
    for (name, alter) in alter {
        let mut world = wanting(2);
        let mut scripted = Scripted { acts: vec![errs(WRONG), cures()], forks: 8, ..Scripted::default() };
        alter(&mut world, &mut scripted);
        let result = world.fix_by(&mut scripted).await;
        assert_eq!((result.status, result.attempts), (Status::Fixed, 2), "{name}: {result:?}");
        assert!(scripted.rounds.is_empty() && scripted.told(1).contains("An earlier attempt failed"), "{name}");
    }
    // Where nothing tells right from wrong, one is as good as several.
    let mut world = wanting(3);
    world.options.test = Some("true".into());
    let (result, scripted) = beside(&world, vec![(0, cures())]).await;
    assert_eq!((result.status, result.attempts, scripted.rounds.len()), (Status::Unverified, 1, 0));
}

#[tokio::test]
async fn what_nothing_proves_waits_for_the_others() {
    let bent = || writes(&[("tests/check.txt", "loose\n"), ("answer.txt", "42\n")]);
    let mut world = wanting(2);
    world.options.test = Some("grep -q loose tests/check.txt || grep -q 42 fixed.txt".into());
    let proven = writes(&[("fixed.txt", "42\n"), ("a.txt", "a\nb\nc\nd\n")]);
    let (result, _) = beside(&world, vec![(0, bent()), (3, proven)]).await;
    assert_eq!((result.status, result.files.len()), (Status::Fixed, 2), "{result:?}");
    let (result, _) = beside(&world, vec![(0, bent()), (3, errs(&[("a.txt", "a\n")]))]).await;
    assert_eq!((result.status, result.exit()), (Status::Unverified, Exit::Unverified), "{result:?}");
}

#[tokio::test]
async fn a_budget_is_all_attempts_together() {
    let mut world = wanting(4);
    world.options.limits.tokens = Some(Tokens(35));
    let before = world.everything();
    let acts = vec![(0, errs(WRONG)), (1, errs(WRONG)), (usize::MAX, never()), (usize::MAX, never())];
    let (result, scripted) = beside(&world, acts).await;
    assert_eq!((result.status, result.exit(), &scripted.stopped[..]), (Status::Budget, Exit::Budget, &[2, 3][..]), "{result:?}");
    assert!(result.summary.contains("the limit of 35 tokens is reached"), "{}", result.summary);
    assert!(world.everything() == before);

    let mut world = wanting(2);
    world.options.limits.steps = Some(16);
    let left = Outcome::Budget { reason: "half way".into() };
    let (result, _) = beside(&world, vec![(0, ends(left)), (1, cures())]).await;
    assert_eq!(result.status, Status::Fixed, "what one spent is not the other's end");
}

#[tokio::test]
async fn a_cancel_ends_all_of_them_and_leaves_no_trace() {
    let world = wanting(3);
    let before = world.everything();
    let mut scripted = Scripted { forks: 8, lasts: vec![usize::MAX, 1, usize::MAX], ..Scripted::default() };
    let cancel = scripted.cancel.clone();
    let stops: Act<'_> = Box::new(move |root| {
        fs::write(root.join("answer.txt"), "42\n").unwrap();
        cancel.cancel();
        Outcome::Interrupted
    });
    scripted.acts = vec![never(), stops, never()];
    let result = world.fix_by(&mut scripted).await;
    assert_eq!((result.exit(), &scripted.stopped[..]), (Exit::Interrupted, &[0, 2][..]), "{result:?}");
    assert!(world.everything() == before);
}

#[tokio::test]
async fn an_engine_that_breaks_for_one_is_no_end_for_the_others() {
    let broken = || ends(Outcome::Engine { reason: "the template failed".into() });
    let world = wanting(2);
    let (result, _) = beside(&world, vec![(0, broken()), (1, cures())]).await;
    assert_eq!(result.status, Status::Fixed, "{result:?}");
    let (result, _) = beside(&world, vec![(0, broken()), (1, broken())]).await;
    assert_eq!((result.status, result.exit()), (Status::Error, Exit::Engine), "{result:?}");
}
