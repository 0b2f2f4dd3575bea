use columns::align::{center, right};
use columns::wrap::wrap;

#[test]
fn wraps_at_words() {
    assert_eq!(wrap("one two three", 8), ["one two", "three"]);
    assert_eq!(wrap("", 8), Vec::<String>::new());
}

#[test]
fn a_full_line_is_not_broken() {
    assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    assert_eq!(wrap("ab cd", 5), ["ab cd"]);
}

#[test]
fn a_line_that_is_one_too_long_is_broken() {
    assert_eq!(wrap("ab cde", 5), ["ab", "cde"]);
}

#[test]
fn aligns() {
    assert_eq!(right("ab", 4), "  ab");
    assert_eq!(center("ab", 5), " ab  ");
}
