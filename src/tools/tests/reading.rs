//! `read`, `search` and `symbols`.

use crate::tools::tests::Shop;
use crate::tools::{Mode, Sizes};
use serde_json::json;
use std::fs;

#[test]
fn a_file_is_shown_raw_under_its_name() {
    let mut shop = Shop::new(&[("a.rs", "fn a() {\n\tb();\n}\n"), ("empty", "")]);
    assert_eq!(shop.ok("read", json!({"path":"a.rs"})), "a.rs lines 1-3 of 3\nfn a() {\n\tb();\n}\n");
    assert_eq!(shop.ok("read", json!({"path":"./a.rs","start":2,"end":2})), "a.rs lines 2-2 of 3\n\tb();\n");
    assert_eq!(shop.ok("read", json!({"path":"a.rs","end":99})).lines().count(), 4);
    assert_eq!(shop.ok("read", json!({"path":"empty"})), "empty is empty");
    assert_eq!(shop.fails("read", json!({"path":"a.rs","start":9})).0, "range");
}

#[test]
fn a_long_file_comes_in_parts_that_meet() {
    let text: String = (1..=3_000).map(|i| format!("line {i}\n")).collect();
    let mut shop = Shop::new(&[("long", &text)]);
    let (mut start, mut whole) = (1, String::new());
    loop {
        let part = shop.ok("read", json!({"path":"long","start":start}));
        assert!(part.len() < 8_200);
        let (_, body) = part.split_once('\n').unwrap();
        match body.split_once("[cut here: read on with start ") {
            Some((body, next)) => {
                whole.push_str(body);
                start = next.trim_end_matches(']').parse().unwrap();
            }
            None => break whole.push_str(body),
        }
    }
    assert_eq!(whole, text);
}

#[test]
fn of_a_long_file_the_rest_is_outlined() {
    let body = "    // what it does\n".repeat(30);
    let text: String = (1..=40).map(|i| format!("fn part_{i}() {{\n{body}}}\n")).collect();
    let mut shop = Shop::new(&[("long.rs", &text), ("short.rs", "fn a() {}\n")]);
    let part = shop.ok("read", json!({"path":"long.rs"}));
    assert!(part.len() < 8_300 && part.starts_with("long.rs lines 1-"), "{}", part.len());
    let (shown, outline) = part.split_once("\n[defined below, by line:]\n").unwrap();
    let next: usize = shown.rsplit_once("read on with start ").unwrap().1.trim_end_matches(']').parse().unwrap();
    let (first, _) = outline.split_once(": ").unwrap();
    assert!(first.parse::<usize>().unwrap() >= next && outline.ends_with("1249: fn part_40() {"), "{outline}");
    assert_eq!(shop.ok("read", json!({"path":"long.rs","start":1249,"end":1249})).lines().nth(1), Some("fn part_40() {"));
    assert!(!shop.ok("read", json!({"path":"long.rs","start":2})).contains("defined below"));
    assert!(!shop.ok("read", json!({"path":"short.rs"})).contains("defined below"));
}

#[test]
fn a_long_line_is_clipped_visibly() {
    let mut shop = Shop::new(&[("min.js", &"x".repeat(5_000))]);
    assert!(shop.ok("read", json!({"path":"min.js"})).contains("… [3000 characters more]"));
    assert_eq!(shop.fails("write", json!({"path":"min.js","content":"y"})).0, "exists", "not read whole");
}

#[test]
fn a_micro_model_is_shown_little_and_how_to_go_on() {
    let text: String = (1..=40).map(|i| format!("number {i}\n")).collect();
    let mut shop = Shop::new(&[("long", &text), ("wide", &"words and more of them\n".repeat(19))]);
    shop.bench.sizes = Sizes::of(Mode::Micro);
    let part = shop.ok("read", json!({"path":"long"}));
    assert!(
        part.starts_with("long lines 1-20 of 40\nnumber 1\n") && part.ends_with("[cut here: read on with start 21]"),
        "{part}"
    );
    assert!(shop.ok("read", json!({"path":"long","start":21})).ends_with("number 40\n"));
    let found = shop.ok("search", json!({"pattern":"number"}));
    assert!(found.starts_with("40 matching lines in 1 of 2 files\nlong\n1: number 1\n"), "{found}");
    assert!(found.lines().count() <= 9 && found.contains("[5 of 40 shown"), "{found}");
    let ran = shop.ok("run", json!({"command":"cat wide"}));
    assert!(ran.len() < 300 && ran.contains("bytes cut]") && !ran.contains("logs"), "{ran}");
}

#[test]
fn a_directory_is_listed() {
    let mut shop = Shop::new(&[("src/b.rs", ""), ("a.txt", ""), (".gitignore", "out\n"), ("out/x", "")]);
    assert_eq!(shop.ok("read", json!({"path":"."})), ". has 3 entries, ignored files left out\n.gitignore\na.txt\nsrc/\n");
}

#[test]
fn what_cannot_be_shown_says_why() {
    let mut shop = Shop::new(&[("src/parser.rs", ""), ("nul", "a\0b")]);
    fs::write(shop.bench.root.as_path().join("latin"), b"caf\xe9\n").unwrap();
    let (kind, text) = shop.fails("read", json!({"path":"src/parse.rs"}));
    assert_eq!((kind.as_str(), text.contains("Did you mean `src/parser.rs`?")), ("not_found", true), "{text}");
    assert_eq!(shop.fails("read", json!({"path":"nul"})).0, "binary");
    assert_eq!(shop.fails("read", json!({"path":"latin"})).0, "encoding");
    let (kind, text) = shop.fails("read", json!({"path":"/src/parser.rs"}));
    assert_eq!((kind.as_str(), text.contains("root: `src/parser.rs`")), ("outside", true), "{text}");
}

#[test]
fn matches_stand_under_their_files() {
    let mut shop =
        Shop::new(&[("a.rs", "one\ntwo\none two\n"), ("src/b.py", "two\n"), (".gitignore", "*.log\n"), ("x.log", "one\n")]);
    assert_eq!(shop.ok("search", json!({"pattern":"^one"})), "2 matching lines in 1 of 3 files\na.rs\n1: one\n3: one two\n");
    assert_eq!(shop.ok("search", json!({"pattern":"two","mode":"files"})), "3 matching lines in 2 of 3 files\na.rs\nsrc/b.py\n");
    assert_eq!(
        shop.ok("search", json!({"pattern":"two","mode":"count","glob":"*.rs"})),
        "2 matching lines in 1 of 1 files\na.rs: 2\n"
    );
    assert_eq!(shop.ok("search", json!({"pattern":"two","path":"src"})), "1 matching lines in 1 of 1 files\nsrc/b.py\n1: two\n");
    assert_eq!(
        shop.ok("search", json!({"pattern":"^two","path":"a.rs","context":1})),
        "1 matching lines in 1 of 1 files\na.rs\n1- one\n2: two\n3- one two\n"
    );
    assert_eq!(shop.fails("search", json!({"pattern":"x","path":"nowhere"})).0, "not_found");
}

#[test]
fn a_pattern_that_is_no_regex_is_taken_literally() {
    let mut shop = Shop::new(&[("a.rs", "call(x)\n")]);
    let text = shop.ok("search", json!({"pattern":"call("}));
    assert!(text.contains("taken literally") && text.contains("1: call(x)"), "{text}");
    assert_eq!(shop.fails("search", json!({"pattern":"a\nb"})).0, "pattern");
}

#[test]
fn totals_are_told_whatever_is_shown() {
    let many: String = (0..40).map(|i| format!("hit {i}\n")).collect();
    let files: Vec<(String, String)> = (0..30).map(|i| (format!("f{i:02}"), many.clone())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let mut shop = Shop::new(&files);
    let text = shop.ok("search", json!({"pattern":"hit"}));
    assert!(text.starts_with("1200 matching lines in 30 of 30 files\n") && text.contains("[50 of 1200 shown: narrow"), "{text}");
    assert!(text.lines().count() < 80 && text.len() < 4_500);
    let text = shop.ok("search", json!({"pattern":"hit","path":"f00"}));
    assert!(text.contains("39: hit 38") || text.contains("40: hit 39"), "one file is shown whole: {text}");
}

#[test]
fn what_was_not_searched_is_named() {
    let mut shop = Shop::new(&[("logo.png", "hit\0"), ("big.sql", &"x\n".repeat(600_000))]);
    let text = shop.ok("search", json!({"pattern":"hit"}));
    assert!(text.contains("binary: 1 (logo.png)") && text.contains("over 1 MiB: 1 (big.sql)"), "{text}");
    let named = shop.ok("search", json!({"pattern":"x","path":"big.sql","mode":"count"}));
    assert_eq!(named, "600000 matching lines in 1 of 1 files\nbig.sql: 600000\n");
}

#[test]
fn what_is_shown_is_the_first_in_the_order_of_the_paths() {
    let names: Vec<String> = (0..200).map(|n| format!("d{}/f{n:03}.txt", n % 7)).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "hit\nno\nhit\n")).collect();
    let mut shop = Shop::new(&files);
    let text = shop.ok("search", json!({"pattern":"hit"}));
    let mut sorted = names.clone();
    sorted.sort();
    let shown: Vec<&str> = text.lines().filter(|line| line.ends_with(".txt")).collect();
    assert_eq!(shown, sorted[..25], "{text}");
    assert!(text.starts_with("400 matching lines in 200 of 200 files\n") && text.contains("[50 of 400 shown"), "{text}");
    assert_eq!(shop.ok("search", json!({"pattern":"hit"})), text, "the same each time");
}

#[test]
fn definitions_are_found_by_name_and_by_letters() {
    let mut shop = Shop::new(&[
        ("src/a.rs", "fn parse_line(x: u8) {}\nfn parse() {}\n"),
        ("b.py", "class LineParser:\n    pass\n"),
        ("c.txt", "parse"),
    ]);
    let text = shop.ok("symbols", json!({"query":"parse"}));
    assert_eq!(text.lines().nth(1), Some("src/a.rs:2 function parse: fn parse() {}"), "the whole name first: {text}");
    assert!(
        text.starts_with("3 definitions matching `parse` in .\n") && text.contains("b.py:1 class LineParser: class LineParser:"),
        "{text}"
    );
    assert!(shop.ok("symbols", json!({"query":"prsln"})).contains("parse_line"));
    assert_eq!(shop.ok("symbols", json!({"path":"src/a.rs"})).lines().count(), 3);
    assert_eq!(shop.fails("symbols", json!({})).0, "arguments");
    assert!(shop.ok("symbols", json!({"path":"c.txt"})).contains("use search"));
}

#[test]
fn a_symbol_is_told_with_its_users_and_of_its_owner() {
    let mut shop = Shop::new(&[
        ("cart.py", "class Cart:\n    def total(self):\n        return 1\n"),
        ("bill.py", "class Bill:\n    def total(self):\n        return 2\n"),
        ("a/use.py", "def pay(cart):\n    print(cart.total())\n    return cart.total() # total\n"),
        ("tests/test_a.py", "def test_pay():\n    assert cart.total()\n"),
    ]);
    let text = shop.ok("symbols", json!({"query":"Bill.total"}));
    let expected = "2 definitions matching `Bill.total` in .\nbill.py:2 function total: def total(self):\n\
                    cart.py:2 function total: def total(self):\n`total` is used in 3 places, 2 files\n\
                    a/use.py: 2, 3\ntests/test_a.py: 2\n";
    assert_eq!(text, expected);
    assert!(shop.ok("symbols", json!({"query":"Cart::total()"})).contains("\ncart.py:2 function total"));
    assert!(
        shop.ok("symbols", json!({"query":"tst py"})).contains("resembling `tst py` in .\ntests/test_a.py:1 function test_pay")
    );
    assert!(shop.ok("symbols", json!({"query":"print"})).contains("[nothing is defined by that name here: use search]"));
}

#[test]
fn many_symbols_are_bounded() {
    let many: String = (0..500).map(|n| format!("def handle_{n}(first, second, third):\n    pass\n")).collect();
    let mut shop = Shop::new(&[("many.py", &many), ("tests/test_many.py", "def handle():\n    pass\n")]);
    let text = shop.ok("symbols", json!({"query":"handle"}));
    assert!(text.starts_with("501 definitions matching `handle` in .\ntests/test_many.py:1 function handle:"), "{text}");
    assert!(text.contains("[60 of 501 shown: narrow") && text.len() < 6_200, "{} {text}", text.len());
}

#[test]
fn a_link_inside_the_project_is_the_file_it_points_at() {
    let mut shop = Shop::new(&[("real.rs", "fn a() {}\n")]);
    std::os::unix::fs::symlink("real.rs", shop.bench.root.as_path().join("link.rs")).unwrap();
    assert!(shop.ok("read", json!({"path":"link.rs"})).starts_with("real.rs lines 1-1"));
    assert!(shop.ok("search", json!({"pattern":"fn a","path":"link.rs"})).contains("real.rs\n1: fn a"));
    shop.ok("edit", json!({"path":"real.rs","search":"fn a","replace":"fn b"}));
    shop.ok("edit", json!({"path":"link.rs","search":"fn b","replace":"fn c"}));
    assert_eq!(shop.file("real.rs"), "fn c() {}\n");
    assert!(shop.bench.root.as_path().join("link.rs").symlink_metadata().unwrap().is_symlink());
}

#[test]
fn what_is_no_file_is_named_and_not_waited_for() {
    let mut shop = Shop::new(&[("a\nb.rs", "fn a() {}\n")]);
    let _listener = std::os::unix::net::UnixListener::bind(shop.bench.root.as_path().join("socket")).unwrap();
    for (tool, arguments) in [
        ("read", json!({"path":"socket"})),
        ("search", json!({"pattern":"a","path":"socket"})),
        ("symbols", json!({"path":"socket"})),
    ] {
        assert_eq!(shop.fails(tool, arguments).0, "not_a_file", "{tool}");
    }
    assert_eq!(shop.ok("read", json!({"path":"."})), ". has 1 entries, ignored files left out\na\\nb.rs\n");
    assert_eq!(shop.ok("search", json!({"pattern":"fn"})), "1 matching lines in 1 of 1 files\na\\nb.rs\n1: fn a() {}\n");
}
