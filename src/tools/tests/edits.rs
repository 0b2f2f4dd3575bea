//! `edit` and `write`.

use crate::protocol::tool::{Change, ChangeKind};
use crate::tools::checks::Checks;
use crate::tools::tests::Shop;
use serde_json::json;
use std::fs;

const CODE: &str = "fn a() {\n    one();\n}\n\nfn b() {\n    two();\n}\n";

#[test]
fn an_edit_needs_the_file_as_it_was_read() {
    let mut shop = Shop::new(&[("a.rs", CODE)]);
    let edit = json!({"path":"a.rs","search":"one();","replace":"three();"});
    assert_eq!(shop.fails("edit", edit.clone()).0, "unread");
    shop.ok("read", json!({"path":"a.rs"}));
    fs::write(shop.bench.root.as_path().join("a.rs"), format!("// new\n{CODE}")).unwrap();
    let (kind, text) = shop.fails("edit", edit.clone());
    assert_eq!((kind.as_str(), text.contains("Read `a.rs` first")), ("stale", true));
    shop.ok("read", json!({"path":"a.rs","start":1,"end":2}));
    let answer = shop.call("edit", edit);
    assert_eq!(
        (answer.text.as_str(), answer.changes),
        ("edited a.rs at line 3", vec![Change { path: "a.rs".into(), change: ChangeKind::Modified }])
    );
    shop.ok("edit", json!({"path":"./a.rs","search":"two();","replace":"four();"}));
    assert!(shop.file("a.rs").contains("three();") && shop.file("a.rs").contains("four();"));
}

#[test]
fn all_edits_of_a_call_land_or_none() {
    let mut shop = Shop::alone(&[("a.rs", CODE)]);
    let (kind, text) =
        shop.fails("edit", json!({"path":"a.rs","edits":[{"search":"one();","replace":"x();"},{"search":"fn b() {\n    tow();\n","replace":"y();"}]}));
    assert_eq!((kind.as_str(), shop.file("a.rs").as_str()), ("not_found", CODE));
    assert!(text.starts_with("edit 2 of 2: ") && text.contains("The nearest lines are 5-6:\nfn b() {\n    two();"), "{text}");
    let text = shop
        .ok("edit", json!({"path":"a.rs","edits":[{"search":"two();","replace":"y();"},{"search":"one();","replace":"x();"}]}));
    assert_eq!(text, "edited a.rs: 2 changes at lines 6, 2");
}

#[test]
fn a_fitted_edit_shows_what_became_of_it() {
    let mut shop = Shop::alone(&[("a.py", "class A:\n\tdef f(self):\n\t\treturn 1\n")]);
    let text =
        shop.ok("edit", json!({"path":"a.py","search":"def f(self):\n    return 1\n","replace":"def f(self):\n    return 2\n"}));
    assert!(text.contains("-\t\treturn 1\n+\t\treturn 2\n"), "{text}");
}

#[test]
fn newly_broken_syntax_is_told_and_stays() {
    let mut shop = Shop::alone(&[("a.rs", CODE)]);
    let answer = shop.call("edit", json!({"path":"a.rs","search":"one();","replace":"one(;"}));
    assert!(answer.ok && answer.text.contains("syntax error at line 2:     one(;"), "{}", answer.text);
    assert!(shop.file("a.rs").contains("one(;"));
    assert!(!shop.ok("edit", json!({"path":"a.rs","search":"one(;","replace":"one();"})).contains("Warning"));
}

#[test]
fn the_project_s_checker_runs_only_where_it_is_switched_on_and_used() {
    let tsc = "#!/bin/sh\necho \"src/a.ts(1,7): error TS2322: no\"\nexit 2\n";
    let files = [("src/a.ts", "let a = 1;\n"), ("node_modules/.bin/tsc", tsc)];
    let edit = |shop: &mut Shop, to: &str| shop.ok("write", json!({"path":"src/a.ts","content":to}));
    let mut shop = Shop::alone(&files);
    let program = shop.bench.root.as_path().join("node_modules/.bin/tsc");
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    shop.bench.checks = Checks::On;
    assert!(!edit(&mut shop, "let a = 2;\n").contains("tsc"), "it has no tsconfig.json");
    fs::write(shop.bench.root.as_path().join("tsconfig.json"), "{}").unwrap();
    let text = edit(&mut shop, "let a = 3;\n");
    assert!(text.ends_with("\n`tsc` fails:\nsrc/a.ts(1,7): error TS2322: no"), "{text}");
    shop.bench.checks = Checks::Off;
    assert!(!edit(&mut shop, "let a = 4;\n").contains("tsc"));
    fs::remove_file(program).unwrap();
    shop.bench.checks = Checks::On;
    assert!(!edit(&mut shop, "let a = 5;\n").contains("tsc"), "it is not installed");
}

#[test]
fn refusals_change_nothing_and_name_their_kind() {
    let mut shop = Shop::alone(&[("a.rs", "x = 1;\nx = 1;\ntimeout = 30;\n")]);
    let before = shop.file("a.rs");
    for (search, replace, kind) in [
        ("x = 1;", "x = 2;", "ambiguous"),
        ("\n", "x", "empty_search"),
        ("timeout = 3", "timeout = 5", "cuts_word"),
        ("timeout = 30;", "timeout = 30;", "no_change"),
        ("timeout = 30;", "// ... existing code ...", "elided"),
        ("timeout = 20;", "timeout = 30;", "already_applied"),
        ("nowhere to be seen", "y", "not_found"),
    ] {
        let (told, text) = shop.fails("edit", json!({"path":"a.rs","search":search,"replace":replace}));
        assert_eq!(told, kind, "{text}");
        assert!(text.contains("nothing was changed"), "{text}");
    }
    assert!(shop.fails("edit", json!({"path":"a.rs","search":"x = 1;","replace":"y"})).1.contains("at lines 1, 2"));
    assert_eq!(shop.file("a.rs"), before);
    shop.ok("edit", json!({"path":"a.rs","search":"x = 1;","replace":"y","occurrence":2}));
    assert_eq!(shop.file("a.rs"), "x = 1;\ny\ntimeout = 30;\n");
}

#[test]
fn write_makes_files_and_spares_what_was_not_read_whole() {
    let mut shop = Shop::new(&[("old.rs", CODE)]);
    let answer = shop.call("write", json!({"path":"new/deep.rs","content":"fn c() {}\n"}));
    assert_eq!((answer.text.as_str(), answer.changes[0].change), ("created new/deep.rs, 1 lines", ChangeKind::Added));
    shop.ok("edit", json!({"path":"new/deep.rs","search":"fn c","replace":"fn d"}));
    let replace = json!({"path":"old.rs","content":"fn z() {}\n"});
    assert_eq!(shop.fails("write", replace.clone()).0, "exists");
    shop.ok("read", json!({"path":"old.rs","end":3}));
    assert_eq!(shop.fails("write", replace.clone()).0, "exists");
    shop.ok("read", json!({"path":"old.rs"}));
    shop.ok("read", json!({"path":"old.rs","end":1}));
    assert_eq!(shop.fails("write", json!({"path":"old.rs","content":"// ... existing code ...\n"})).0, "elided");
    assert_eq!(shop.call("write", replace.clone()).changes[0].change, ChangeKind::Modified);
    assert_eq!(shop.fails("write", replace).0, "no_change");
    assert_eq!(shop.fails("write", json!({"path":"new","content":""})).0, "directory");
}

#[test]
fn the_user_alone_may_replace_what_was_never_read() {
    let mut shop = Shop::alone(&[("a.txt", "old\n"), ("bin", "a\0b")]);
    shop.ok("write", json!({"path":"a.txt","content":"new\n"}));
    shop.ok("write", json!({"path":"bin","content":"text\n"}));
    assert_eq!((shop.file("a.txt"), shop.file("bin")), ("new\n".into(), "text\n".into()));
}
