//! What is tried on a line and what never is, and that every slip in real functions finds its way back.

use crate::path::RepoPath;
use crate::repair::mutate::{candidates, injections, slips, undone};
use crate::repair::notation::{apply, change, parse};
use crate::repair::{Candidate, Kind, Passage};
use crate::repo::syntax::Language;
use std::collections::HashSet;

const SNIPPETS: &[(&str, &str)] = &[
    ("search.py", include_str!("../../../tests/fixtures/mutate/search.py")),
    ("cart.py", include_str!("../../../tests/fixtures/mutate/cart.py")),
    ("words.py", include_str!("../../../tests/fixtures/mutate/words.py")),
    ("ring.rs", include_str!("../../../tests/fixtures/mutate/ring.rs.txt")),
    ("lines.rs", include_str!("../../../tests/fixtures/mutate/lines.rs.txt")),
    ("page.js", include_str!("../../../tests/fixtures/mutate/page.js")),
    ("queue.ts", include_str!("../../../tests/fixtures/mutate/queue.ts")),
    ("list.tsx", include_str!("../../../tests/fixtures/mutate/list.tsx")),
    ("window.go", include_str!("../../../tests/fixtures/mutate/window.go")),
    ("matrix.c", include_str!("../../../tests/fixtures/mutate/matrix.c")),
    ("Bank.java", include_str!("../../../tests/fixtures/mutate/Bank.java")),
    ("stack.rb", include_str!("../../../tests/fixtures/mutate/stack.rb")),
];

fn passage(name: &str, text: &str) -> Passage {
    let path: RepoPath = serde_json::from_value(name.into()).unwrap();
    let language = Language::of(&path).unwrap();
    Passage { path, language, first: 1, lines: text.lines().map(Into::into).collect() }
}

fn told(found: &[Candidate], kind: Kind) -> Vec<String> {
    found.iter().filter(|c| c.kind == kind).map(|c| change(c.label, &c.old, &c.new)).collect()
}

/// Checks the changes of one kind, each as `LABEL|wrong -> right` without backquotes.
#[track_caller]
fn check(name: &str, text: &str, kind: Kind, expected: &[&str]) {
    let all = told(&candidates(&[passage(name, text)], &[]), kind);
    let all: Vec<String> = all.iter().map(|change| change.replace('`', "")).collect();
    assert_eq!(all, expected, "{name}: {text}");
}

#[test]
fn operators_change_for_their_like() {
    let python = "def f(a, b):\n    return a < b and a == 7.5";
    check(
        "a.py",
        python,
        Kind::Compare,
        &[
            "2|< -> ==",
            "2|< -> !=",
            "2|< -> <=",
            "2|< -> >",
            "2|< -> >=",
            "2|== -> !=",
            "2|== -> <",
            "2|== -> <=",
            "2|== -> >",
            "2|== -> >=",
        ],
    );
    check("a.py", python, Kind::Boolean, &["2|and -> or"]);
    check("a.js", "function f(a) {\n  if (a == null) g();\n}", Kind::Compare, &["2|== -> !="]);
    check("a.py", "def f(a, b):\n    a //= b", Kind::Arithmetic, &["2|//= -> *=", "2|//= -> /="]);
    check("a.rs", "fn f(a: u8, b: u8) -> u8 {\n    a / b\n}", Kind::Arithmetic, &["2|/ -> -", "2|/ -> *", "2|/ -> %"]);
    check("a.go", "func f(a int) {\n\tfor ; ; a++ {\n\t}\n}", Kind::Arithmetic, &["2|++ -> --"]);
    check("a.py", "def f(a):\n    return \"%s\" % a + \"b\"", Kind::Arithmetic, &[]);
    check("a.rs", "fn f(a: u8) {\n    assert!(a <= 2, \"{a}\");\n}", Kind::Number, &["2|2 -> 3", "2|2 -> 1"]);
    check("a.rs", "fn f(a: &u8) -> Vec<u8> {\n    g::<u8>(&*a)\n}", Kind::Compare, &[]);
}

#[test]
fn a_sum_may_have_been_an_assignment() {
    check(
        "a.py",
        "def f(a):\n    n = 0\n    n += a\n    n = a",
        Kind::Arithmetic,
        &["3|+= -> -=", "3|+= -> *=", "3|+= -> =", "4|= -> +="],
    );
}

#[test]
fn numbers_and_bounds_move_by_one() {
    check("a.rs", "fn f(a: [u8; 4]) -> u8 {\n    g(0x10, 2_000, 9u8, 12345)\n}", Kind::Number, &["2|9 -> 10", "2|9 -> 8"]);
    check("a.py", "def f(a=3):\n    return -1", Kind::Number, &["1|3 -> 4", "1|3 -> 2", "2|1 -> 2"]);
    check("a.py", "def f(xs, n):\n    return xs[n - 1]", Kind::Bound, &["2|n - 1 -> n"]);
    check("a.py", "def f(xs, n):\n    return xs[n:]", Kind::Bound, &["2|[n -> [n - 1", "2|[n -> [n + 1"]);
    check("a.go", "func f(a []int) int {\n\treturn a[len(a)-1]\n}", Kind::Bound, &["2|)-1 -> )"]);
    check(
        "a.rs",
        "fn f(n: u8) {\n    for _ in 0..n {}\n}",
        Kind::Bound,
        &["2|.. -> ..=", "2|..n -> ..n - 1", "2|..n -> ..n + 1"],
    );
    check("a.py", "def f(n, s):\n    s = \"%d\" % n\n    return f(n, s)", Kind::Bound, &["3|(n -> (n - 1", "3|(n -> (n + 1"]);
    check("a.py", "def f(name, mode):\n    return g(name, mode)", Kind::Bound, &[]);
}

#[test]
fn conditions_turn_round() {
    check("a.py", "def f(a, b):\n    if not a and b.c():\n        pass", Kind::Negation, &["2|not a -> a", "2|b -> not b"]);
    check("a.py", "def f(a, b):\n    return a in b or b is not a", Kind::Negation, &["2|in -> not in", "2|not a -> a"]);
    check(
        "a.rs",
        "fn f(a: &A) -> bool {\n    if a.b { return true; }\n    a.is_empty()\n}",
        Kind::Negation,
        &["2|a -> !a", "3|a -> !a"],
    );
    check("a.js", "function f(a) {\n  while (!(a || b)) {}\n}", Kind::Negation, &["2|!( -> (", "2|a -> !a", "2|b -> !b"]);
}

#[test]
fn words_are_missing_or_too_many() {
    check("a.py", "def f(a):\n    a.b()", Kind::Missing, &["2|a -> return a"]);
    check("a.py", "def f(a):\n    return a", Kind::Missing, &["2|return a -> a"]);
    check(
        "a.py",
        "async def f(a):\n    b = a.c()\n    await b",
        Kind::Missing,
        &["2|a -> await a", "3|await -> return await", "3|await b -> b"],
    );
    check(
        "a.rs",
        "fn f(a: A) -> Result<B, C> {\n    let b = a.b()?;\n    a.c()\n}",
        Kind::Missing,
        &["2|)? -> )", "3|) -> );", "3|) -> )?"],
    );
}

#[test]
fn words_change_for_their_counterparts() {
    check(
        "a.py",
        "def f(a):\n    return max(a.lower(), True)",
        Kind::Counterpart,
        &["2|max -> min", "2|max -> sum", "2|lower -> upper", "2|True -> False"],
    );
    check(
        "a.rs",
        "fn f(a: A) -> bool {\n    a.first().is_some()\n}",
        Kind::Counterpart,
        &["2|first -> last", "2|is_some -> is_none"],
    );
    check("a.py", "def f(left, a):\n    return left + a", Kind::Counterpart, &[]);
    check("a.py", "def f(left, right):\n    return left", Kind::Counterpart, &["2|left -> right"]);
    check("a.py", "def f(a):\n    return a[0]", Kind::Counterpart, &["2|0 -> -1"]);
}

#[test]
fn arguments_change_places() {
    check("a.py", "def f(a, b):\n    g(a, b.c, h(a))", Kind::Swap, &["2|a, b.c -> b.c, a"]);
    check("a.go", "func f(a, b int) int {\n\treturn a - b\n}", Kind::Swap, &["2|a - b -> b - a"]);
}

#[test]
fn variables_change_for_what_can_be_seen() {
    check("a.py", "def f(a, b):\n    c = a\n    return c", Kind::Variable, &["2|a -> b", "3|c -> a", "3|c -> b"]);
    check(
        "a.rs",
        "fn f(a: A) -> A {\n    if let Some(b) = a.b() {\n        g(b);\n    }\n    a\n}",
        Kind::Variable,
        &["3|b -> a"],
    );
    // One counts, the other holds: nobody takes them for each other.
    check(
        "a.py",
        "def f(xs):\n    n = 0\n    for x in xs:\n        n += 1\n    return n",
        Kind::Variable,
        &["4|n -> x", "5|return n -> return x"],
    );
    check("a.py", "def f(a, b):\n    return os.path(a, key=b)", Kind::Variable, &["2|a, -> b,", "2|b -> a"]);
}

#[test]
fn members_change_for_members_of_the_same_making() {
    check(
        "a.py",
        "def f(a):\n    return a.b + a.c + a.d() + a.e()",
        Kind::Member,
        &["2|b -> c", "2|c -> b", "2|d -> e", "2|e( -> d("],
    );
    check("a.py", "def f(self, a):\n    return self.b + a.c", Kind::Member, &[]);
}

#[test]
fn quoted_words_are_names_in_scope() {
    let said = |text: &str, said: &[&str], kind| {
        let said: Vec<String> = said.iter().map(|word| (*word).to_owned()).collect();
        told(&candidates(&[passage("a.py", text)], &said), kind)
    };
    let text = "def f(a):\n    return g(a.b, 12)";
    assert_eq!(said(text, &["total"], Kind::Variable), ["2|`g` -> `total`", "2|`a` -> `total`"]);
    assert_eq!(said(text, &[".total()", "return", "a"], Kind::Member), ["2|`b` -> `total`", "2|`b` -> `a`"]);
    assert_eq!(said(text, &["100", "f"], Kind::Number), ["2|`12` -> `13`", "2|`12` -> `11`", "2|`12` -> `100`"]);
    assert_eq!(said(text, &["f"], Kind::Variable), [""; 0], "its own name");
}

#[test]
fn what_is_no_code_stays() {
    for (name, text) in [
        (
            "a.py",
            "@cached(1)\ndef f(a: int, b: list[3]) -> int:\n    \"\"\"a < 1\"\"\"\n    # a < 1\n    import a, b\n    global a, b",
        ),
        ("a.rs", "/// a < 1\n#[cfg(a = 1)]\nfn f<const N: usize>(a: [u8; 4], b: char) -> [u8; 2] {\n    use a::b; // 1\n}"),
        ("a.ts", "import { a } from \"b\";\nfunction f(a: 1 | 2, b: Map<1, 2>): 3 {\n  let c: 4; // 1\n  `1`;\n}"),
        ("a.go", "// a < 1\nfunc (a *A) f(b [4]int) (c [2]int) {\n\tvar d [3]int\n\t_ = `1`\n}"),
    ] {
        let all = candidates(&[passage(name, text)], &[]);
        // A lone string may still become the result.
        let all: Vec<&Candidate> = all.iter().filter(|c| c.added != "return").collect();
        assert!(all.is_empty(), "{name}: {all:#?}");
    }
    assert_eq!(candidates(&[passage("a.json", "{\"a\": 1}")], &[]), []);
}

#[test]
fn labels_run_through_all_passages() {
    let passages = [passage("a.py", "def f(a):\n    return a"), passage("b.rs", "fn f() -> u8 {\n    1\n}")];
    let labels: Vec<usize> = candidates(&passages, &[]).iter().map(|c| c.label).collect();
    assert_eq!(labels, [2, 4, 4, 4]);
}

#[test]
fn lines_that_no_person_wrote_stay() {
    let line = "a = [1]; ".repeat(100);
    check("a.js", &format!("{line}\nb = 1;"), Kind::Number, &["2|1 -> 2", "2|1 -> 0"]);
}

#[test]
fn broken_code_is_no_obstacle() {
    check("a.py", "    def f(a):\n        if a < (\n        return a > 1", Kind::Number, &["3|1 -> 2", "3|1 -> 0"]);
    check("a.rs", "fn f(a: u8) {\n    if a > 1 {", Kind::Number, &["2|1 -> 2", "2|1 -> 0"]);
    assert_eq!(candidates(&[passage("a.rs", ""), passage("a.rs", "}}}\u{e9}(")], &[]), []);
}

#[test]
fn every_candidate_can_be_told_and_carried_out() {
    for (name, text) in SNIPPETS {
        let passage = passage(name, text);
        let all = candidates(std::slice::from_ref(&passage), &[]);
        assert!(all.is_sorted_by_key(|c| c.label), "{name}");
        assert_eq!(all, candidates(std::slice::from_ref(&passage), &[]), "{name}: always the same");
        let mut seen = HashSet::new();
        for c in &all {
            assert!(c.old == passage.lines[c.label - 1] && c.new != c.old && seen.insert((c.label, &c.new)), "{name}: {c:?}");
            let told = change(c.label, &c.old, &c.new);
            let (label, wrong, right) = parse(&told).unwrap();
            assert_eq!((label, apply(&c.old, wrong, right).as_ref()), (c.label, Some(&c.new)), "{name}: {told}");
        }
    }
}

/// One slip in so many is tried: each costs a parse.
const STEP: usize = 5;

#[test]
fn slips_find_their_way_back() {
    let (mut whole, mut back, mut named) = (0, 0, 0);
    for (name, text) in SNIPPETS {
        let passage = passage(name, text);
        for bug in slips(&passage).iter().step_by(STEP) {
            whole += 1;
            if undone(&passage, bug, &[]) {
                back += 1;
            } else if matches!(bug.kind, Kind::Variable | Kind::Member)
                && undone(&passage, bug, std::slice::from_ref(&bug.removed))
            {
                named += 1;
            } else {
                println!("lost: {name} {:?} {}", bug.kind, change(bug.label, &bug.old, &bug.new));
            }
        }
    }
    println!("{back} of {whole}, and {named} whose name is gone");
    assert!(back * 100 >= whole * 80 && (back + named) * 100 >= whole * 98, "{back} + {named} of {whole}");
}

#[test]
fn every_injection_has_its_repair_among_the_candidates() {
    for (name, text) in SNIPPETS.iter().filter(|(_, text)| text.lines().count() < 12) {
        let passage = passage(name, text);
        let bugs = injections(&passage);
        for bug in bugs.iter().step_by(STEP) {
            let mut broken = passage.clone();
            broken.lines[bug.label - 1].clone_from(&bug.new);
            let named = matches!(bug.kind, Kind::Variable | Kind::Member | Kind::Counterpart);
            let said = if named { vec![bug.removed.clone()] } else { Vec::new() };
            let mends = |c: &Candidate| c.label == bug.label && c.old == bug.new && c.new == bug.old;
            assert!(candidates(&[broken], &said).iter().any(mends), "{name}: {bug:?}");
        }
        let kinds: HashSet<Kind> = bugs.iter().map(|bug| bug.kind).collect();
        assert!(kinds.len() >= 8, "{name}: {kinds:?}");
        assert!(bugs.iter().all(|bug| !["await", "return", "?"].contains(&bug.added.as_str())), "{name}");
    }
}
