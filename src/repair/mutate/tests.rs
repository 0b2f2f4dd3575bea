//! What is tried on real functions, and that every slip finds its way back.

use crate::path::RepoPath;
use crate::repair::mutate::{candidates, injections, slips, undone};
use crate::repair::notation::{apply, change, parse};
use crate::repair::{Candidate, Kind, Passage};
use crate::repo::syntax::Language;

const SNIPPETS: &[(&str, &str)] = &[
    ("search.py", include_str!("snippets/search.py")),
    ("cart.py", include_str!("snippets/cart.py")),
    ("words.py", include_str!("snippets/words.py")),
    ("ring.rs", include_str!("snippets/ring.rs")),
    ("lines.rs", include_str!("snippets/lines.rs")),
    ("page.js", include_str!("snippets/page.js")),
    ("queue.ts", include_str!("snippets/queue.ts")),
    ("list.tsx", include_str!("snippets/list.tsx")),
    ("window.go", include_str!("snippets/window.go")),
    ("matrix.c", include_str!("snippets/matrix.c")),
    ("Bank.java", include_str!("snippets/Bank.java")),
    ("stack.rb", include_str!("snippets/stack.rb")),
];

fn passage(name: &str, text: &str) -> Passage {
    let path: RepoPath = serde_json::from_value(name.into()).unwrap();
    let language = Language::of(&path).unwrap();
    Passage { path, language, first: 1, lines: text.lines().map(Into::into).collect() }
}

#[test]
fn dump() {
    for (name, text) in SNIPPETS {
        let passage = passage(name, text);
        let all = candidates(&[passage.clone()], &[]);
        let mut counts = std::collections::BTreeMap::new();
        for c in &all {
            *counts.entry(c.kind).or_insert(0) += 1;
        }
        let slips = slips(&passage);
        println!("== {name} {} lines {} candidates {} slips {} injections {:?}", passage.lines.len(), all.len(), slips.len(), injections(&passage).len(), counts);
        for c in &all {
            println!("{:?} {}", c.kind, change(c.label, &c.old, &c.new));
        }
        for c in slips.iter().filter(|c| !undone(&passage, c, &[])) {
            let named = matches!(c.kind, Kind::Variable | Kind::Member) && undone(&passage, c, &[c.removed.clone()]);
            println!("LOST{} {:?} {}", if named { " unless said" } else { "" }, c.kind, change(c.label, &c.old, &c.new));
        }
    }
}
