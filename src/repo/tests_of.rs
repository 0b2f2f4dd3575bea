//! Which files are tests, by the customs of the languages: a name is all that is asked.

/// Whether a path is a test.
pub fn is_test(path: &str) -> bool {
    let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.split('.').next().unwrap_or_default();
    dirs.split('/').any(|dir| ["test", "tests", "__tests__", "spec", "specs", "testdata"].contains(&dir))
        || stem.starts_with("test_")
        || ["_test", "_tests", "_spec"].iter().any(|end| stem.ends_with(end))
        || [".test.", ".spec."].iter().any(|part| name.contains(part))
        || ["Test.java", "Tests.java", "Test.kt"].iter().any(|end| name.ends_with(end))
        || ["conftest.py", "tests.py", "tests.rs"].contains(&name)
}

#[cfg(test)]
mod tests {
    use crate::repo::tests_of::is_test;

    #[test]
    fn tests_are_known_by_their_names() {
        for path in
            ["tests/a.rs", "pkg/test_x.py", "a/x_test.go", "ui/__tests__/b.js", "b.spec.ts", "AppTest.java", "conftest.py"]
        {
            assert!(is_test(path), "{path}");
        }
        for path in ["src/lib.rs", "contest.py", "latest/x.py", "src/testing.rs", "attest.go", "spectrum.js"] {
            assert!(!is_test(path), "{path}");
        }
    }
}
