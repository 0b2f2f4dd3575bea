//! What Python says of executed code: a module of ours that every process loads when it starts, by `PYTHONPATH` alone.
//!
//! It tells the lines of failing tests from those of others where `unittest` or `pytest` runs them. A command that sets
//! `PYTHONPATH` itself, or leaves it out of account (`python -I`), is not measured.

use crate::path::Root;
use crate::repair::suspects::{Covered, Lines};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What Python imports by its name when it starts.
const MODULE: &str = include_str!("sitecustomize.py");
const TOLD: &str = "told";

/// Puts the module into an empty folder, and gives the variables that have Python find it.
pub(crate) fn prepare(root: &Root, folder: &Path) -> std::io::Result<Vec<(OsString, OsString)>> {
    fs::create_dir(folder.join(TOLD))?;
    fs::write(folder.join("sitecustomize.py"), MODULE)?;
    fs::write(folder.join("root"), root.as_path().as_os_str().as_bytes())?;
    let mut path = folder.as_os_str().to_owned();
    if let Some(set) = std::env::var_os("PYTHONPATH").filter(|set| !set.is_empty()) {
        path.push(":");
        path.push(set);
    }
    Ok(vec![("PYTHONPATH".into(), path)])
}

/// Reads what all processes together ran. `None`: one of them did not tell to its end.
pub(crate) fn read(root: &Root, folder: &Path) -> Option<Covered> {
    let mut covered = Covered::default();
    let mut recognised = false;
    for entry in fs::read_dir(folder.join(TOLD)).ok()? {
        // A name that is no text may be any file's.
        let told = fs::read_to_string(entry.ok()?.path()).ok()?;
        recognised |= take(root, &told, &mut covered)?;
    }
    if !recognised {
        covered.failing = covered.all.clone();
    }
    Some(covered)
}

/// Adds what one process told, and says whether it saw a test fail.
fn take(root: &Root, told: &str, covered: &mut Covered) -> Option<bool> {
    let told = told.strip_suffix("end\n")?;
    let mut failed = false;
    for line in told.lines() {
        let mut fields = line.split('\t');
        let lines: &mut Lines = match fields.next()? {
            "all" => &mut covered.all,
            "failing" => &mut covered.failing,
            "failed" => {
                failed = true;
                continue;
            }
            _ => return None,
        };
        let Ok(path) = root.parse(fields.next()?) else { continue };
        let numbers = fields.next()?.split(' ').map(str::parse).collect::<Result<Vec<usize>, _>>().ok()?;
        lines.entry(path).or_default().extend(numbers);
    }
    Some(failed)
}
