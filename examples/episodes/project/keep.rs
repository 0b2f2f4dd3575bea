//! A project on disk: `project/`, a git repository with the bug in it; `hidden/`, files that go over it once it is mended; and
//! `meta.json`, which knows everything.

use crate::project::generate::Made;
use crate::project::layout::write;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Writes one project to `dir`.
pub fn keep(dir: &Path, made: &Made) -> Result<()> {
    let Made { layout, bug, level, issue, source, visible, hidden } = made;
    let project = dir.join("project");
    write(&project, &layout.files)?;
    write(&project, [(&layout.module, &layout.with_line(bug.label, &bug.new)), (&layout.tests, visible)])?;
    write(&dir.join("hidden"), [(&layout.tests, hidden)])?;
    commit(&project)?;
    let meta = json!({
        "kind": bug.kind,
        "level": level,
        "language": format!("{:?}", layout.language).to_lowercase(),
        "source": source,
        "function": layout.place.function,
        "path": layout.module,
        "line": layout.passage.first + bug.label - 1,
        "wrong": bug.new,
        "right": bug.old,
        "issue": issue,
        "test": layout.command,
        "hidden_test": layout.command,
    });
    fs::write(dir.join("meta.json"), serde_json::to_string_pretty(&meta)? + "\n")?;
    Ok(())
}

/// The same commit each time: a fixed author, a fixed day, and nobody's configuration.
fn commit(project: &Path) -> Result<()> {
    let git = |arguments: &[&str]| -> Result<()> {
        let done = Command::new("git")
            .args(arguments)
            .current_dir(project)
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([
                ("GIT_AUTHOR_NAME", "Ann"),
                ("GIT_AUTHOR_EMAIL", "ann@example.com"),
                ("GIT_AUTHOR_DATE", "2025-01-01T00:00:00Z"),
            ])
            .envs([
                ("GIT_COMMITTER_NAME", "Ann"),
                ("GIT_COMMITTER_EMAIL", "ann@example.com"),
                ("GIT_COMMITTER_DATE", "2025-01-01T00:00:00Z"),
            ])
            .output()
            .context("cannot start `git`")?;
        ensure!(done.status.success(), "`git {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr));
        Ok(())
    };
    git(&["init", "-q", "-b", "main"])?;
    git(&["add", "."])?;
    git(&["commit", "-q", "-m", "as it is"])
}
