//! What a copy needs beside the start state so that its tests run: dependencies, submodules, small ignored files.
//!
//! Everything here is best effort: what cannot be placed is missing, and the test command says so.

use crate::repo::git::{State, Tracked};
use crate::repo::scratch::directories;
use crate::repo::scratch::files::left_by_tools;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Directories that package managers fill and ignore files name.
const DEPENDENCIES: [&str; 7] = ["node_modules", ".venv", "venv", "vendor", "bower_components", ".bundle", "Pods"];
/// Ignored files (settings, databases, generated sources) are copied up to this total; what is larger is linked, and a test that
/// writes to it writes to the user's.
const MOST_COPIED: u64 = 256 << 20;

/// Places what is needed, and returns where: paths of the copy that are not part of any change.
pub(super) fn place(source: &Path, copy: &Path, start: &State, tracked: &Tracked) -> BTreeSet<String> {
    let mut placed = BTreeSet::new();
    let dirs = directories(start.keys());
    let mut room = MOST_COPIED;
    for dir in dirs.iter().copied().chain([""]) {
        for found in fs::read_dir(source.join(dir)).into_iter().flatten().flatten() {
            let Ok(name) = found.file_name().into_string() else { continue };
            let path = if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
            if start.contains_key(&path) || dirs.contains(path.as_str()) || name == ".git" {
                continue;
            }
            let (from, to) = (source.join(&path), copy.join(&path));
            if place_one(&name, &from, &to, &mut room) {
                placed.insert(path);
            }
        }
    }
    for path in &tracked.submodules {
        let (from, to) = (source.join(path), copy.join(path));
        if !placed.contains(path) && from.join(".git").exists() {
            let parent = to.parent().is_some_and(|dir| fs::create_dir_all(dir).is_ok());
            if parent && symlink(from, to).is_ok() {
                placed.insert(path.clone());
            }
        }
    }
    placed
}

fn place_one(name: &str, from: &Path, to: &Path, room: &mut u64) -> bool {
    let Ok(found) = from.symlink_metadata() else { return false };
    if from.is_dir() {
        return match name {
            "node_modules" => link_packages(from, to),
            _ if DEPENDENCIES.contains(&name) || from.join(".git").exists() => symlink(from, to).is_ok(),
            _ => false,
        };
    }
    if found.is_symlink() {
        return fs::read_link(from).and_then(|target| symlink(target, to)).is_ok();
    }
    if !found.is_file() || left_by_tools(from) {
        return false;
    }
    if found.len() > *room {
        return symlink(from, to).is_ok();
    }
    *room -= found.len();
    fs::copy(from, to).is_ok()
}

/// Links a `node_modules` package by package: a workspace's own packages are relative links in there, which must lead into the copy.
fn link_packages(from: &Path, to: &Path) -> bool {
    if fs::create_dir_all(to).is_err() {
        return false;
    }
    for found in fs::read_dir(from).into_iter().flatten().flatten() {
        let (package, place) = (found.path(), to.join(found.file_name()));
        let scope = found.file_name().as_encoded_bytes().starts_with(b"@");
        if found.file_name() == ".cache" {
            continue;
        }
        match fs::read_link(&package) {
            Ok(target) => drop(symlink(target, place)),
            Err(_) if scope => drop(link_packages(&package, &place)),
            Err(_) => drop(symlink(package, place)),
        }
    }
    true
}
