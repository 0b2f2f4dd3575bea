//! The tests that an attempt changed, and how they were: what has to pass as well before a result counts as fixed.
//!
//! A test is known by the customs of some language: its file's name, or the end of a Rust source. What says which tests run (a
//! Makefile, a manifest) counts with them. A change to any of these is no offence, it only proves nothing by itself.

use crate::path::Root;
use crate::repair::Passage;
use crate::repo::git::{Entry, FileChange};
use crate::repo::scratch::{ScratchError, Workspace};
use crate::repo::tests_of::is_test;
use std::fs;

/// Whether a file says which tests a command runs, or how.
fn chooses_tests(path: &str) -> bool {
    const EXACT: [&str; 14] = [
        "Makefile",
        "makefile",
        "GNUmakefile",
        "CMakeLists.txt",
        "CTestTestfile.cmake",
        "Cargo.toml",
        "package.json",
        "pom.xml",
        "pyproject.toml",
        "pytest.ini",
        "setup.cfg",
        "tox.ini",
        "noxfile.py",
        "go.work",
    ];
    let name = path.rsplit('/').next().unwrap_or_default();
    EXACT.contains(&name)
        || ["build.gradle", "settings.gradle", "jest.config.", "vitest.config.", ".mocharc"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// Lists the changes that touch tests that were there, each from how it was to how it is. Reads the changed Rust sources.
pub fn bent_tests(workspace: &Workspace, changes: &[FileChange]) -> Result<Vec<FileChange>, ScratchError> {
    let mut bent = Vec::new();
    for change in changes {
        let Some(before) = change.before else { continue };
        if is_test(&change.path) || chooses_tests(&change.path) {
            bent.push(change.clone());
        } else if let (Some(after), true) = (change.after, change.path.ends_with(".rs")) {
            let text = |entry: Entry| workspace.bytes(entry).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            if let Some(source) = with_old_tests(&text(before)?, &text(after)?) {
                let before = Some(Entry { id: workspace.keep(source.as_bytes())?, ..after });
                bent.push(FileChange { path: change.path.clone(), before, after: Some(after) });
            }
        }
    }
    Ok(bent)
}

/// Keeps of passages what is no test and does not choose any: a fault is not mended there. Reads the Rust sources among them.
pub fn apart_from_tests(root: &Root, passages: Vec<Passage>) -> Vec<Passage> {
    let mut kept = passages;
    kept.retain_mut(|passage| {
        let path = passage.path.as_str();
        if path.ends_with(".rs") {
            let source = fs::read_to_string(root.join(&passage.path)).unwrap_or_default();
            let lines = source[..tests_in(&source)].lines().count();
            passage.lines.truncate((lines + 1).saturating_sub(passage.first));
        }
        !passage.lines.is_empty() && !is_test(path) && !chooses_tests(path)
    });
    kept
}

/// The new source above the old tests. `None` where there were none, or they are the same.
fn with_old_tests(before: &str, after: &str) -> Option<String> {
    let (old, new) = (tests_in(before), tests_in(after));
    (old < before.len() && before[old..] != after[new..]).then(|| format!("{}\n{}", after[..new].trim_end(), &before[old..]))
}

/// Where the tests of a Rust source begin, which stand last: at its end when there are none.
fn tests_in(source: &str) -> usize {
    const MARK: &str = "\n#[cfg(test)]\nmod ";
    let inline = |at: &usize| source[at + MARK.len()..].lines().next().is_some_and(|line| line.trim_end().ends_with('{'));
    source.match_indices(MARK).map(|(at, _)| at).find(inline).unwrap_or(source.len())
}

#[cfg(test)]
mod tests {
    use crate::fix::bent::{apart_from_tests, chooses_tests, with_old_tests};
    use crate::path::Root;
    use crate::repair::Passage;
    use crate::repo::syntax::Language;

    #[test]
    fn what_chooses_tests_is_known_by_its_name() {
        for path in ["Makefile", "web/package.json", "pytest.ini", "build.gradle.kts", "jest.config.js"] {
            assert!(chooses_tests(path), "{path}");
        }
        for path in ["src/Makefile.am.rs", "package-lock.json", "config.js"] {
            assert!(!chooses_tests(path), "{path}");
        }
    }

    #[test]
    fn no_test_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("lib.rs"), "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n").unwrap();
        let passage = |path: &str, first, lines: &[&str]| Passage {
            path: root.parse(path).unwrap(),
            language: Language::Rust,
            first,
            lines: lines.iter().map(|&line| line.into()).collect(),
        };
        let all = vec![
            passage("lib.rs", 1, &["fn f() {}", "", "#[cfg(test)]", "mod tests {"]),
            passage("lib.rs", 5, &["    fn g() {}"]),
            passage("tests/it.rs", 1, &["fn h() {}"]),
            passage("noxfile.py", 1, &["import nox"]),
            passage("other.rs", 2, &["x"]),
        ];
        let kept = [passage("lib.rs", 1, &["fn f() {}"]), all[4].clone()];
        std::fs::write(dir.path().join("other.rs"), "a\nx\n").unwrap();
        assert_eq!(apart_from_tests(&root, all), kept);
    }

    #[test]
    fn tests_inside_a_source_are_put_under_the_new_one() {
        let source = |body: &str, test: &str| format!("fn f() {{{body}}}\n\n#[cfg(test)]\nmod tests {{\n{test}\n}}\n");
        assert_eq!(with_old_tests(&source("1", "strict"), &source("2", "strict")), None);
        assert_eq!(with_old_tests(&source("1", "strict"), &source("2", "loose")), Some(source("2", "strict")));
        assert_eq!(with_old_tests(&source("1", "strict"), "fn f() {2}\n"), Some(source("2", "strict")));
        assert_eq!(with_old_tests("fn f() {1}\n", &source("2", "new")), None, "there were none");
        let declared = "#[cfg(test)]\nmod tests;\nfn f() {1}\n";
        assert_eq!(with_old_tests(&format!("use x;\n{declared}"), &declared.replace('1', "2")), None, "they stand elsewhere");
    }
}
