//! Nothing outside the project, and nothing of git's, is reached by any path that a call can name.

use crate::tools::tests::Shop;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn no_tool_leaves_the_project() {
    let mut shop = Shop::alone(&[("a.txt", "x\n"), (".git/config", "x\n")]);
    let root = shop.bench.root.as_path().to_owned();
    let out = root.parent().unwrap().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("secret"), "secret x\n").unwrap();
    symlink(&out, root.join("dir")).unwrap();
    symlink(out.join("secret"), root.join("file")).unwrap();
    symlink(out.join("new"), root.join("dangling")).unwrap();
    let absolute = out.join("secret").display().to_string();
    for path in [
        "../out/secret",
        "a/../../out/secret",
        absolute.as_str(),
        "dir/secret",
        "dir",
        "file",
        "dangling",
        "dir/new",
        "a\0b",
        "/etc/passwd",
    ] {
        for (tool, arguments) in [
            ("read", json!({"path":path})),
            ("search", json!({"pattern":"secret","path":path})),
            ("symbols", json!({"path":path})),
            ("edit", json!({"path":path,"search":"secret","replace":"told"})),
            ("edit", json!({"path":path,"search":"","replace":"told"})),
            ("write", json!({"path":path,"content":"told"})),
        ] {
            let (kind, text) = shop.fails(tool, arguments);
            assert_eq!(kind, "outside", "{tool} {path}: {text}");
            assert!(!text.contains("secret x"), "{tool} {path}: {text}");
        }
    }
    assert_eq!(fs::read_to_string(out.join("secret")).unwrap(), "secret x\n");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    assert!(!shop.ok("search", json!({"pattern":"secret"})).contains("secret x"));
}

#[test]
fn git_keeps_its_files() {
    let mut shop = Shop::alone(&[(".git/config", "x = 1\n")]);
    for path in [".git/hooks/pre-commit", ".git/config", ".GIT/config"] {
        assert!(!shop.call("write", json!({"path":path,"content":"told"})).ok, "{path}");
        assert!(!shop.call("edit", json!({"path":path,"search":"x = 1","replace":"y = 1"})).ok, "{path}");
    }
    assert_eq!(shop.file(".git/config"), "x = 1\n");
    assert!(!shop.bench.root.as_path().join(".git/hooks").exists());
}
