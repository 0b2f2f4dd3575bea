use intervals::{covered, merge, overlaps};

#[test]
fn neighbours_do_not_overlap() {
    assert!(overlaps((1, 3), (2, 5)));
    assert!(!overlaps((1, 2), (2, 5)));
}

#[test]
fn merges_what_overlaps_or_touches() {
    assert_eq!(merge(&[(4, 6), (1, 3), (3, 4)]), [(1, 6)]);
    assert_eq!(merge(&[(1, 2), (5, 6)]), [(1, 2), (5, 6)]);
}

#[test]
fn an_inner_interval_changes_nothing() {
    assert_eq!(merge(&[(1, 10), (2, 3)]), [(1, 10)]);
}

#[test]
fn counts_once() {
    assert_eq!(covered(&[(0, 4), (2, 6), (10, 11)]), 7);
}
