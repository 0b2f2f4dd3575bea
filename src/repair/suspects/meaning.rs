//! What a name means in a file: which definition, by where it stands and what the file imports.
//!
//! No types are known here, so a method's name may mean several; nearness decides, and what is equally near shares.

use crate::repair::suspects::atlas::{Atlas, Sort, Spot};
use crate::repair::suspects::mentions::imports;
use crate::repo::syntax::Language;
use std::collections::BTreeSet;

/// The functions of a file that are no tests.
pub fn functions(atlas: &mut Atlas, file: usize) -> Vec<Spot> {
    let here = atlas.definitions(file);
    (0..here.len()).filter(|at| here[*at].sort == Sort::Function && !here[*at].test).map(|at| (file, at)).collect()
}

/// Where a name is defined outside tests.
pub fn shipped(atlas: &mut Atlas, name: &str) -> Vec<Spot> {
    let files: Vec<usize> = atlas.definers(name).iter().copied().filter(|file| !atlas.sources[*file].test).collect();
    within(atlas, name, &files)
}

fn within(atlas: &mut Atlas, name: &str, files: &[usize]) -> Vec<Spot> {
    let mut spots = atlas.defined(name, files);
    spots.retain(|spot| !atlas.definition(*spot).test);
    spots
}

/// What a name means in a file: what is defined there, else in what it imports, else beside it, else anywhere.
pub fn resolve(atlas: &mut Atlas, name: &str, file: usize) -> Vec<Spot> {
    let files: Vec<usize> = atlas.definers(name).iter().copied().filter(|file| !atlas.sources[*file].test).collect();
    if files.is_empty() {
        return Vec::new();
    }
    let (near, own) = (imported(atlas, file), directory(atlas, file));
    let mut rings: [Vec<usize>; 4] = Default::default();
    for other in files {
        let ring = match other {
            other if other == file => 0,
            other if near.contains(&other) => 1,
            other if directory(atlas, other) == own => 2,
            _ => 3,
        };
        rings[ring].push(other);
    }
    for ring in &rings {
        let mut spots = within(atlas, name, ring);
        spots.retain(|spot| atlas.definition(*spot).sort != Sort::Container);
        if !spots.is_empty() {
            return spots;
        }
    }
    Vec::new()
}

fn directory(atlas: &Atlas, file: usize) -> String {
    let path = atlas.sources[file].path.as_str();
    path.rsplit_once('/').map_or(String::new(), |(dir, _)| dir.to_owned())
}

/// The files of the project that a file imports. In Go also those beside it: they are one package.
pub fn imported(atlas: &Atlas, file: usize) -> BTreeSet<usize> {
    let source = &atlas.sources[file];
    let wanted = imports(source.language, &source.lines);
    let dir = |path: &str| path.rsplit_once('/').map_or(String::new(), |(dir, _)| dir.to_owned());
    let own = dir(source.path.as_str());
    let means = |path: &str| -> bool {
        let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
        let ends = |whole: &str, end: &str| whole == end || whole.ends_with(&format!("/{end}"));
        match source.language {
            Language::Go => dir(path) == own || wanted.iter().any(|import| !dir(path).is_empty() && ends(import, &dir(path))),
            Language::Rust => {
                let module = stem.strip_suffix("/mod").unwrap_or(stem);
                wanted.iter().any(|part| ends(module, part)) || !wanted.is_empty() && ends(stem, "lib")
            }
            Language::Python => wanted.iter().any(|import| ends(stem.strip_suffix("/__init__").unwrap_or(stem), import)),
            _ => {
                let module = stem.strip_suffix("/index").unwrap_or(stem);
                wanted.iter().map(|import| joined(&own, import)).any(|import| import == module || import == stem)
            }
        }
    };
    let others = atlas.sources.iter().enumerate().filter(|(at, other)| *at != file && !other.test && means(other.path.as_str()));
    others.map(|(at, _)| at).collect()
}

/// A relative import seen from a directory.
fn joined(dir: &str, import: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in import.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
