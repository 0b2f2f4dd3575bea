//! Models that are on disk: GGUF files in one directory, by name. Headers are not read here.

use crate::units::Bytes;
use std::path::{Path, PathBuf};

/// A model on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The file's name without `.gguf`, and without the part number of a split model.
    pub name: String,
    /// The file, the first of a split one.
    pub path: PathBuf,
    /// All its parts together.
    pub size: Bytes,
}

/// Lists the models of a directory, one level deep, sorted by name. A directory that cannot be read has none.
pub fn list(dir: &Path) -> Vec<Installed> {
    let mut models: Vec<Installed> = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    for path in files {
        let (Some(stem), Ok(meta)) = (model_stem(&path), std::fs::metadata(&path)) else { continue };
        let name = without_part(stem);
        match models.last_mut().filter(|last| last.name == name && name != stem) {
            Some(first) => first.size += Bytes(meta.len()),
            None if meta.is_file() => {
                models.push(Installed { name: name.to_owned(), path: path.clone(), size: Bytes(meta.len()) })
            }
            None => {}
        }
    }
    models
}

/// The name of a GGUF file that is a model by itself; projectors for images are not.
fn model_stem(path: &Path) -> Option<&str> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    (!stem.starts_with("mmproj")).then_some(stem)
}

/// `name-00001-of-00003` is a part of `name`.
fn without_part(stem: &str) -> &str {
    let number = |s: &str| s.len() == 5 && s.bytes().all(|b| b.is_ascii_digit());
    let Some((rest, of)) = stem.rsplit_once("-of-") else { return stem };
    match rest.rsplit_once('-') {
        Some((name, part)) if number(of) && number(part) => name,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use crate::models::installed::list;
    use crate::units::Bytes;

    #[test]
    fn models_are_listed_by_name_and_a_split_one_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("b.gguf", 3),
            ("a-00002-of-00002.gguf", 5),
            ("a-00001-of-00002.gguf", 7),
            ("mmproj-b.gguf", 1),
            ("notes.txt", 1),
            ("one-of-us.gguf", 2),
        ] {
            std::fs::write(dir.path().join(name), vec![0; bytes]).unwrap();
        }
        std::fs::create_dir(dir.path().join("dir.gguf")).unwrap();
        let found: Vec<_> = list(dir.path()).into_iter().map(|m| (m.name, m.size, m.path)).collect();
        let path = |name: &str| dir.path().join(name);
        assert_eq!(
            found,
            [
                ("a".into(), Bytes(12), path("a-00001-of-00002.gguf")),
                ("b".into(), Bytes(3), path("b.gguf")),
                ("one-of-us".into(), Bytes(2), path("one-of-us.gguf")),
            ]
        );
        assert_eq!(list(&path("nowhere")), []);
    }
}
