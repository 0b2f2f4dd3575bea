//! The tests that an attempt changed, and how they were: what has to pass as well before a result counts as fixed.
//!
//! A test is known by the customs of some language: its file's name, or the end of a Rust source. What says which tests run (a
//! Makefile, a manifest) counts with them. A change to any of these is no offence, it only proves nothing by itself.

use crate::repo::git::{Entry, FileChange};
use crate::repo::scratch::{ScratchError, Workspace};
use crate::repo::tests_of::is_test;

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
    use crate::fix::bent::{chooses_tests, with_old_tests};

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
