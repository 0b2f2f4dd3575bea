//! Finds the command that runs a project's tests, by what lies in its directory.
//!
//! Files decide; a program is only asked whether it is there where files cannot tell (`probe`). The first ecosystem that has
//! both a manifest and tests wins, from the most telling manifest to the least. Where a build tool would fetch what is missing,
//! the command forbids it: nothing leaves the machine unless the person names a command that does.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// A command, and what it was inferred from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// For `sh -c`, in the project's directory.
    pub command: String,
    /// One clause for a person: "`Cargo.toml` is there".
    pub why: String,
}

/// Runs a shell line in the project's directory and says whether it succeeded.
pub type Probe<'a> = &'a mut dyn FnMut(&str) -> bool;

/// Finds the test command of the project in `dir`. Reads a few manifests and the heads of test files; under 10 ms without probes.
pub fn detect(dir: &Path, probe: Probe<'_>) -> Option<Detected> {
    let project = Project { dir };
    cargo(&project)
        .or_else(|| go(&project))
        .or_else(|| python(&project, probe))
        .or_else(|| node(&project))
        .or_else(|| jvm(&project))
        .or_else(|| cmake(&project))
        .or_else(|| make(&project))
}

struct Project<'a> {
    dir: &'a Path,
}

impl Project<'_> {
    fn has(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// Files whose name satisfies `wanted`, relative, three directories deep at most.
    fn files(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), 0)];
        let mut seen = 0;
        while let Some((at, depth)) = open.pop() {
            for item in fs::read_dir(self.dir.join(&at)).into_iter().flatten().flatten() {
                let Ok(name) = item.file_name().into_string() else { continue };
                seen += 1;
                if name.starts_with('.') || FOREIGN.contains(&name.as_str()) || seen > MOST_NAMES {
                    continue;
                }
                let path = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
                match item.file_type() {
                    Ok(kind) if kind.is_dir() && depth < 3 => open.push((path, depth + 1)),
                    Ok(kind) if kind.is_file() && wanted(&name) => found.push(path),
                    _ => {}
                }
            }
        }
        found.sort();
        found
    }
}

/// Directories that hold other people's tests.
const FOREIGN: [&str; 6] = ["node_modules", "vendor", "venv", "target", "build", "dist"];
const MOST_NAMES: usize = 5_000;

fn found(command: impl Into<String>, why: impl Into<String>) -> Option<Detected> {
    Some(Detected { command: command.into(), why: why.into() })
}

fn cargo(project: &Project<'_>) -> Option<Detected> {
    if !project.has("Cargo.toml") {
        return None;
    }
    // From a workspace's root package, plain `cargo test` would leave the members out.
    let members = project.text("Cargo.toml").lines().any(|line| line.trim() == "[workspace]");
    found(if members { "cargo test -q --offline --workspace" } else { "cargo test -q --offline" }, "`Cargo.toml` is there")
}

fn go(project: &Project<'_>) -> Option<Detected> {
    (project.has("go.mod") || project.has("go.work"))
        .then(|| Detected { command: "GOPROXY=off go test ./...".into(), why: "`go.mod` is there".into() })
}

fn python(project: &Project<'_>, probe: Probe<'_>) -> Option<Detected> {
    let tests = project
        .files(|name| name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py") || name == "tests.py"));
    let texts: Vec<String> = tests.iter().take(50).map(|path| project.text(path)).collect();
    let any = |words: &[&str]| texts.iter().any(|text| text.lines().any(|line| words.iter().any(|word| line.starts_with(word))));
    let configured = project.has("pytest.ini")
        || project.text("pyproject.toml").contains("[tool.pytest")
        || project.text("setup.cfg").contains("[tool:pytest]")
        || project.text("tox.ini").contains("[pytest]");
    let written_for = !project.files(|name| name == "conftest.py").is_empty()
        || any(&["import pytest", "from pytest", "def test_", "async def test_"]);
    if !configured && tests.is_empty() {
        return None;
    }
    let python = [".venv/bin/python", "venv/bin/python"].into_iter().find(|path| project.has(path)).unwrap_or("python3");
    // An installed (editable) package would else be imported from the place it was installed from, not from here.
    let from_src = if project.has("src") && !project.has("src/__init__.py") { "PYTHONPATH=src " } else { "" };
    let cases = texts.iter().any(|text| text.contains("unittest"));
    if (configured || written_for) && (!cases || probe(&format!("{python} -c 'import pytest'"))) {
        let why = if configured { "pytest is configured" } else { "there are tests written for pytest" };
        return found(format!("{from_src}{python} -m pytest -q"), why);
    }
    cases.then(|| unittest(project, &tests, &format!("{from_src}{python}")))
}

fn unittest(project: &Project<'_>, tests: &[String], python: &str) -> Detected {
    // Discovery goes only into packages: a directory without `__init__.py` has to be named.
    let outside = |dir: &&str| {
        project.has(dir)
            && !project.has(&format!("{dir}/__init__.py"))
            && tests.iter().any(|path| path.starts_with(&format!("{dir}/")))
    };
    let start = ["tests", "test"].iter().find(|dir| outside(dir)).map(|dir| format!(" -s {dir}")).unwrap_or_default();
    let by_suffix = !tests.iter().any(|path| path.rsplit('/').next().is_some_and(|name| name.starts_with("test")));
    let pattern = if by_suffix { " -p '*_test.py'" } else { "" };
    Detected {
        command: format!("{python} -m unittest discover{start}{pattern}"),
        why: "there are tests written for unittest".into(),
    }
}

fn node(project: &Project<'_>) -> Option<Detected> {
    let manifest: Value = serde_json::from_str(&project.text("package.json")).ok()?;
    let script = manifest["scripts"]["test"].as_str().unwrap_or_default();
    if script.trim().is_empty() || script.contains("no test specified") {
        let is_test = |name: &str| [".test.js", ".test.mjs", ".test.cjs"].iter().any(|end| name.ends_with(end));
        let in_test_dir = |path: &String| path.starts_with("test/") && path.ends_with("js");
        let tests = !project.files(is_test).is_empty() || project.files(|name| name.ends_with("js")).iter().any(in_test_dir);
        return tests.then(|| Detected { command: "node --test".into(), why: "there are test files and no test script".into() });
    }
    let runner = match () {
        () if project.has("pnpm-lock.yaml") => "pnpm",
        () if project.has("yarn.lock") => "yarn",
        () => "npm",
    };
    // These wait for changes unless they believe that nobody is there.
    let watches = script.contains("react-scripts test") || script.contains("--watch");
    found(format!("{}{runner} test", if watches { "CI=true " } else { "" }), "`package.json` has a test script")
}

fn jvm(project: &Project<'_>) -> Option<Detected> {
    if project.has("pom.xml") {
        let maven = if project.has("mvnw") { "./mvnw" } else { "mvn" };
        return found(format!("{maven} -o -q test"), "`pom.xml` is there");
    }
    let script = ["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"]
        .into_iter()
        .find(|name| project.has(name))?;
    let gradle = if project.has("gradlew") { "./gradlew" } else { "gradle" };
    found(format!("{gradle} --offline test"), format!("`{script}` is there"))
}

fn cmake(project: &Project<'_>) -> Option<Detected> {
    let lists = project.text("CMakeLists.txt").to_lowercase();
    let tested = ["enable_testing", "include(ctest)", "add_test"].iter().any(|word| lists.contains(word));
    // The whole way from the sources: a build directory made elsewhere names the paths of its own tree.
    tested.then(|| Detected {
        command: "cmake -S . -B build && cmake --build build && ctest --test-dir build --output-on-failure".into(),
        why: "`CMakeLists.txt` declares tests".into(),
    })
}

fn make(project: &Project<'_>) -> Option<Detected> {
    let file = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|name| project.has(name))?;
    let text = project.text(file);
    let is_rule = |target: &str| {
        text.lines().any(|line| {
            line.strip_prefix(target)
                .is_some_and(|rest| rest.trim_start().starts_with(':') && !rest.trim_start().starts_with(":="))
        })
    };
    let target = ["test", "tests", "check"].into_iter().find(|target| is_rule(target))?;
    found(format!("make {target}"), format!("`{file}` has the target `{target}`"))
}

#[cfg(test)]
mod tests {
    use crate::fix::detect::detect;
    use std::fs;

    /// Files as `path` or `path=content`, separated by spaces; `pytest` says whether it can be imported.
    fn check(files: &str, pytest: &str, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        for file in files.split_whitespace() {
            let (path, text) = file.split_once('=').unwrap_or((file, ""));
            let full = dir.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text.replace('~', " ").replace('|', "\n")).unwrap();
        }
        let command =
            detect(dir.path(), &mut |line| line.contains("import pytest") && pytest == "pytest").map(|found| found.command);
        assert_eq!(command.as_deref().unwrap_or("none"), expected, "{files}");
    }

    #[test]
    fn manifests_name_the_command() {
        check("", "", "none");
        check("README.md src/main.c", "", "none");
        check("Cargo.toml=[package]", "", "cargo test -q --offline");
        check("Cargo.toml=[package]|[workspace]", "", "cargo test -q --offline --workspace");
        check("go.mod", "", "GOPROXY=off go test ./...");
        check("pom.xml", "", "mvn -o -q test");
        check("pom.xml mvnw", "", "./mvnw -o -q test");
        check("build.gradle.kts", "", "gradle --offline test");
        check("build.gradle gradlew", "", "./gradlew --offline test");
        check(
            "CMakeLists.txt=ENABLE_TESTING()",
            "",
            "cmake -S . -B build && cmake --build build && ctest --test-dir build --output-on-failure",
        );
        check("CMakeLists.txt=project(x) Makefile=all:|test:~all", "", "make test");
        check("Makefile=check:", "", "make check");
        check("Makefile=test~:=~x|tester:", "", "none");
        check("Cargo.toml Makefile=test: package.json={}", "", "cargo test -q --offline");
    }

    #[test]
    fn python_is_told_apart_by_how_its_tests_are_written() {
        check("pytest.ini", "", "python3 -m pytest -q");
        check("pyproject.toml=[tool.pytest.ini_options] a.py", "", "python3 -m pytest -q");
        check("pyproject.toml=[project] a.py", "", "none");
        check("tests/test_a.py=import~pytest", "", "python3 -m pytest -q");
        check("test_a.py=def~test_x():", "pytest", "python3 -m pytest -q");
        check("conftest.py test_a.py=import~unittest", "pytest", "python3 -m pytest -q");
        check("conftest.py test_a.py=import~unittest", "", "python3 -m unittest discover");
        check("test_a.py=import~unittest", "pytest", "python3 -m unittest discover");
        check("tests/test_a.py=import~unittest", "", "python3 -m unittest discover -s tests");
        check("tests/test_a.py=import~unittest tests/__init__.py", "", "python3 -m unittest discover");
        check("a_test.py=import~unittest", "", "python3 -m unittest discover -p '*_test.py'");
        check("pytest.ini src/pkg/__init__.py", "", "PYTHONPATH=src python3 -m pytest -q");
        check("pytest.ini .venv/bin/python", "", ".venv/bin/python -m pytest -q");
        check("test_a.py=x~=~1", "", "none");
        check("node_modules/x/test_a.py=import~pytest", "", "none");
    }

    #[test]
    fn node_needs_a_script_that_tests_or_test_files() {
        let script = r#"package.json={"scripts":{"test":"jest"}}"#;
        check(script, "", "npm test");
        check(&format!("{script} yarn.lock"), "", "yarn test");
        check(&format!("{script} pnpm-lock.yaml package-lock.json"), "", "pnpm test");
        check(r#"package.json={"scripts":{"test":"react-scripts~test"}}"#, "", "CI=true npm test");
        let default = r#"package.json={"scripts":{"test":"echo~\"Error:~no~test~specified\"~&&~exit~1"}}"#;
        check(default, "", "none");
        check(&format!("{default} lib/sum.test.js"), "", "node --test");
        check("package.json={} test/sum.js", "", "node --test");
        check("package.json=broken test/sum.js", "", "none");
    }
}
