//! What became of each file over a whole run.

use crate::protocol::tool::Change;
use crate::protocol::tool::ChangeKind::{Added, Deleted, Modified};

/// Adds a change to those before it, where each file stands once: a file that was added and deleted again was never there.
pub fn merge(changes: &mut Vec<Change>, new: &Change) {
    let Some(at) = changes.iter().position(|known| known.path == new.path) else {
        return changes.push(new.clone());
    };
    changes[at].change = match (changes[at].change, new.change) {
        (Added, Deleted) => {
            changes.remove(at);
            return;
        }
        (Added, _) => Added,
        (Deleted, Added) => Modified,
        (_, change) => change,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tool::ChangeKind;

    fn check(happened: &[ChangeKind], expected: Option<ChangeKind>) {
        let change = |kind: ChangeKind| Change { path: "a".into(), change: kind };
        let other = Change { path: "b".into(), change: Modified };
        let mut changes = vec![other.clone()];
        happened.iter().for_each(|&kind| merge(&mut changes, &change(kind)));
        assert_eq!(changes, [vec![other], expected.map(change).into_iter().collect()].concat(), "{happened:?}");
    }

    #[test]
    fn a_file_stands_once_with_what_became_of_it() {
        check(&[Modified, Modified], Some(Modified));
        check(&[Added, Modified], Some(Added));
        check(&[Modified, Deleted], Some(Deleted));
        check(&[Deleted, Added], Some(Modified));
        check(&[Added, Deleted], None);
        check(&[Added, Deleted, Added], Some(Added));
    }
}
