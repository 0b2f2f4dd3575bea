//! Existing paths that a missing one probably meant.

use crate::path::Root;
use crate::repo::walk;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The most files that are looked at.
const LOOKED_AT: usize = 20_000;
/// Below this likeness, in percent, a name is another name.
const ALIKE: usize = 60;

/// Up to three files of the project whose path is most like `written`, best first.
pub(crate) fn paths(root: &Root, written: &str) -> Vec<String> {
    let wanted = written.trim().trim_matches('/').to_lowercase();
    let name = wanted.rsplit('/').next().unwrap_or_default().to_owned();
    let mut scored: Vec<(Reverse<usize>, String)> = walk::files(root, root.as_path())
        .take(LOOKED_AT)
        .filter_map(|found| {
            let path = found.path.as_str().to_lowercase();
            let score = likeness(found.path.name().to_lowercase().as_str(), &name);
            // Among equal names the directory decides, without ever outweighing the name.
            (score >= ALIKE).then(|| (Reverse(score * 100 + likeness(&path, &wanted)), found.path.as_str().to_owned()))
        })
        .collect();
    scored.sort();
    scored.into_iter().take(3).map(|(_, path)| path).collect()
}

/// Share of common letter pairs, in percent.
fn likeness(a: &str, b: &str) -> usize {
    if a == b {
        return 100;
    }
    let pairs = |text: &str| -> BTreeSet<(char, char)> { text.chars().zip(text.chars().skip(1)).collect() };
    let (a, b) = (pairs(a), pairs(b));
    let common = a.intersection(&b).count();
    200 * common / (a.len() + b.len()).max(1)
}

#[cfg(test)]
mod tests {
    use crate::path::Root;
    use crate::tools::suggest::paths;

    #[test]
    fn the_same_name_elsewhere_and_a_slip_of_the_pen() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["src/net/parser.rs", "src/parser.rs", "tests/other.py"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(paths(&root, "parser.rs"), ["src/parser.rs", "src/net/parser.rs"]);
        assert_eq!(paths(&root, "tests/othr.py"), ["tests/other.py"]);
        assert_eq!(paths(&root, "zebra.go"), [""; 0]);
    }
}
