//! Looks at a project once, for the words that open a conversation.

use crate::path::Root;
use crate::prompts::Environment;
use crate::repo::git::Home;
use std::fs;
use std::path::Path;

/// Bytes above which an AGENTS.md is none.
const NOTES: u64 = 1 << 20;

/// Describes the project at `root`, whose directory in the user's eyes is `known_as` (a copy has its own place). The listing is
/// of names only, sorted, hidden ones left out: the same tree gives the same words.
pub fn look(root: &Root, known_as: &Path, test: Option<String>) -> Environment {
    let mut entries: Vec<String> = fs::read_dir(root.as_path())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
            Some(if entry.path().is_dir() { format!("{name}/") } else { name })
        })
        .collect();
    entries.sort();
    Environment {
        os: std::env::consts::OS.to_owned(),
        name: known_as.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        branch: Home::discover(known_as).and_then(|home| home.branch()),
        entries,
        test,
        notes: notes(root),
    }
}

/// The project's AGENTS.md: a file inside it, of a size that somebody may have written.
fn notes(root: &Root) -> Option<String> {
    let (_, full) = root.resolve("AGENTS.md").ok()?;
    let metadata = full.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > NOTES {
        return None;
    }
    Some(String::from_utf8_lossy(&fs::read(full).ok()?).into_owned())
}

#[cfg(test)]
mod tests {
    use crate::context::environment::look;
    use crate::path::Root;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn notes_are_a_file_of_the_project_and_of_some_size() {
        let held = tempfile::tempdir().unwrap();
        let (dir, outside) = (held.path().join("shop"), held.path().join("secret"));
        fs::create_dir(&dir).unwrap();
        fs::write(&outside, "secret").unwrap();
        let (agents, notes) = (dir.join("AGENTS.md"), || look(&Root::open(&dir).unwrap(), &dir, None).notes);
        symlink(&outside, &agents).unwrap();
        assert_eq!(notes(), None, "a link out of the project");
        fs::remove_file(&agents).unwrap();
        fs::write(dir.join("CLAUDE.md"), "Use tabs.").unwrap();
        symlink("CLAUDE.md", &agents).unwrap();
        assert_eq!(notes().as_deref(), Some("Use tabs."), "a link within it");
        fs::File::create(&agents).unwrap().set_len(8 << 30).unwrap();
        assert_eq!(notes(), None, "8 GiB");
    }

    #[test]
    fn a_project_is_described_by_its_root() {
        let held = tempfile::tempdir().unwrap();
        let dir = held.path().join("shop");
        fs::create_dir_all(dir.join("src")).unwrap();
        fs::write(dir.join("AGENTS.md"), "Use tabs.").unwrap();
        fs::write(dir.join(".hidden"), "").unwrap();
        let here = look(&Root::open(&dir).unwrap(), &dir, Some("make test".into()));
        assert_eq!((here.name.as_str(), here.entries), ("shop", vec!["AGENTS.md".to_owned(), "src/".to_owned()]));
        assert_eq!((here.branch, here.notes.as_deref(), here.test.as_deref()), (None, Some("Use tabs."), Some("make test")));
    }
}
