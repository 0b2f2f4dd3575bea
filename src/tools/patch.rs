//! `patch`: changes over several files, all of them or none.

use crate::edit::apply::{self, Step};
use crate::edit::lines::flatten;
use crate::edit::patch::{self, FileChange, Hunk};
use crate::path::RepoPath;
use crate::protocol::tool::{Change, ChangeKind, ToolAnswer, ToolFailure};
use crate::tools::edit::{refused, unwritten, warning};
use crate::tools::seen::{self, File};
use crate::tools::{Sizes, Work, Workbench, checks, failure};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    patch: String,
}

/// What a patch comes to, before anything is written.
#[derive(Default)]
struct Plan {
    steps: Vec<Step>,
    changes: BTreeMap<RepoPath, ChangeKind>,
    /// Text before and after, by path; a second update of a file starts from the first.
    texts: BTreeMap<RepoPath, (String, String)>,
}

pub(crate) fn perform(bench: &mut Workbench, arguments: &Arguments) -> Work {
    let changes = patch::parse(&arguments.patch)
        .map_err(|e| failure("patch", format!("this is no patch: {e}; nothing was changed"), "Send the whole patch."))?;
    let mut plan = Plan::default();
    for change in &changes {
        plan.change(bench, change)?;
    }
    apply::all(&bench.root, &plan.steps).map_err(unwritten)?;
    let mut words = String::from("patched");
    for (path, kind) in &plan.changes {
        let kind = match kind {
            ChangeKind::Added => "added",
            ChangeKind::Modified => "modified",
            ChangeKind::Deleted => "deleted",
        };
        words.push_str(&format!("\n{path} {kind}"));
    }
    for (path, (before, after)) in &plan.texts {
        if let Some(reads) = &mut bench.reads {
            reads.refresh(path, after);
        }
        words.push_str(&warning(path, before, after));
    }
    words.push_str(&checks::words(bench, plan.texts.keys()));
    let changes = plan.changes.into_iter().map(|(path, change)| Change { path: path.as_str().to_owned(), change }).collect();
    Ok(ToolAnswer { changes, ..ToolAnswer::done(words) })
}

impl Plan {
    fn change(&mut self, bench: &Workbench, change: &FileChange) -> Result<(), ToolFailure> {
        match change {
            FileChange::Add { path, content } => {
                let path = self.free(bench, path)?;
                self.write(path, ChangeKind::Added, String::new(), content.clone());
            }
            FileChange::Delete { path, content } => {
                let file = self.load(bench, path)?;
                let same = |shown: &String| shown.trim() == flatten(&file.text).trim();
                if content.as_ref().is_some_and(|shown| !shown.trim().is_empty() && !same(shown)) {
                    let message = format!("`{}` has other lines than the patch deletes; nothing was changed", file.path);
                    return Err(failure("not_found", message, "Read the file again."));
                }
                self.steps.push(Step::Delete { path: file.path.as_str().to_owned() });
                self.texts.remove(&file.path);
                self.changes.insert(file.path, ChangeKind::Deleted);
            }
            FileChange::Update { path, to, hunks } => {
                let file = self.load(bench, path)?;
                let after = hunked(&file, hunks)?;
                let (mut target, mut kind) = (file.path, ChangeKind::Modified);
                if let Some(to) = to {
                    let from = target;
                    target = self.free(bench, to)?;
                    self.steps.push(Step::Move { from: from.as_str().to_owned(), to: target.as_str().to_owned() });
                    self.texts.remove(&from);
                    self.changes.insert(from, ChangeKind::Deleted);
                    kind = ChangeKind::Added;
                }
                self.write(target, kind, file.text, after);
            }
        }
        Ok(())
    }

    fn write(&mut self, path: RepoPath, kind: ChangeKind, before: String, after: String) {
        self.steps.push(Step::Write { path: path.as_str().to_owned(), content: after.clone().into_bytes() });
        self.changes.entry(path.clone()).or_insert(kind);
        self.texts.entry(path).or_insert((before, String::new())).1 = after;
    }

    /// The file as this patch has left it so far.
    fn load(&self, bench: &Workbench, written: &str) -> Result<File, ToolFailure> {
        let written = &*prefixed(bench, written);
        let path = seen::locate(bench, written)?.path;
        if let Some((_, text)) = self.texts.get(&path) {
            return Ok(File { path, text: text.clone() });
        }
        if self.changes.get(&path) == Some(&ChangeKind::Deleted) {
            return Err(failure("not_found", format!("this patch has deleted `{path}`; nothing was changed"), ""));
        }
        let file = seen::load(bench, written)?;
        seen::current(bench, &file)?;
        Ok(file)
    }

    /// A path that nothing stands at.
    fn free(&self, bench: &Workbench, written: &str) -> Result<RepoPath, ToolFailure> {
        let place = seen::locate(bench, written)?;
        let deleted = self.changes.get(&place.path) == Some(&ChangeKind::Deleted);
        if (place.full.symlink_metadata().is_ok() && !deleted) || self.texts.contains_key(&place.path) {
            return Err(failure("exists", format!("`{}` exists already; nothing was changed", place.path), "Update it instead."));
        }
        Ok(place.path)
    }
}

/// The path, or, where no file is there, the one without git's `a/` or `b/` in front, or with it.
fn prefixed<'a>(bench: &Workbench, written: &'a str) -> Cow<'a, str> {
    let is_file = |path: &str| seen::locate(bench, path).is_ok_and(|place| place.full.is_file());
    if is_file(written) {
        return Cow::Borrowed(written);
    }
    if let Some(bare) = ["a/", "b/"].iter().find_map(|prefix| written.strip_prefix(prefix)).filter(|bare| is_file(bare)) {
        return Cow::Borrowed(bare);
    }
    let longer = ["a/", "b/"].map(|prefix| format!("{prefix}{written}"));
    longer.into_iter().find(|path| is_file(path)).map_or(Cow::Borrowed(written), Cow::Owned)
}

fn hunked(file: &File, hunks: &[Hunk]) -> Result<String, ToolFailure> {
    patch::apply(&file.text, hunks).map_err(|one| {
        let which = format!("hunk {} of {}: ", one.at + 1, hunks.len());
        refused(&file.path, &which, one.why, Sizes::FULL)
    })
}
