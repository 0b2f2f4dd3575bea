//! Whether two lines say the same in other words: `i <= n` and `i < n + 1` differ for no whole number, so that both pass the tests
//! says nothing against either.
//!
//! Comparisons alone are looked into, and only where no operator that binds weaker than them is near. For fractions the two may
//! differ; they are told as rivals all the same.

use crate::repair::words::pieces;

/// Whether the lines differ at most in how their comparisons of whole numbers are written.
pub(crate) fn same(a: &str, b: &str) -> bool {
    let (a, b) = (pieces(a), pieces(b));
    form(&a) == form(&b)
}

/// A line with its comparisons taken out.
#[derive(PartialEq, Eq)]
struct Form<'a> {
    /// What stands around them, and [`HOLE`] for each.
    rest: Vec<&'a str>,
    comparisons: Vec<Comparison<'a>>,
}

/// `low SIGN high + gap`, with `<`, `==` or `!=`.
#[derive(PartialEq, Eq)]
struct Comparison<'a> {
    low: &'a [&'a str],
    sign: &'a str,
    high: &'a [&'a str],
    gap: i64,
}

const HOLE: &str = "";
const SIGNS: &[&str] = &["<", "<=", ">", ">=", "==", "!="];
/// What may stand in a side of a comparison besides names and numbers: it binds stronger.
const INSIDE: &[&str] = &[".", "::", "?.", "->", "+", "-", "*", "/", "//", "%", "**"];
const OUTSIDE: &[&str] = &[
    "and", "or", "not", "if", "elif", "else", "unless", "while", "until", "when", "for", "in", "is", "return", "assert", "yield",
    "await", "let", "lambda", "then", "do", "case",
];
/// What binds weaker than sums and, in some languages, stronger than comparisons.
const BITS: &[&str] = &["&", "|", "^", "<<", ">>", "&^"];

fn form<'a>(tokens: &'a [&'a str]) -> Form<'a> {
    let mut rest: Vec<Option<&str>> = tokens.iter().copied().map(Some).collect();
    let mut comparisons = Vec::new();
    for at in (0..tokens.len()).filter(|&at| SIGNS.contains(&tokens[at])) {
        if let Some((comparison, start, end)) = comparison(tokens, at) {
            comparisons.push(comparison);
            // In a chain the side between two operators is taken twice, and what stands for the first operator stays.
            rest[start..end].iter_mut().filter(|token| **token != Some(HOLE)).for_each(|token| *token = None);
            rest[at] = Some(HOLE);
        }
    }
    Form { rest: rest.into_iter().flatten().collect(), comparisons }
}

/// The comparison whose operator stands at `at`, and which tokens it takes.
fn comparison<'a>(tokens: &'a [&'a str], at: usize) -> Option<(Comparison<'a>, usize, usize)> {
    let (sign, turned, closed) = match tokens[at] {
        "<" => ("<", false, 0),
        "<=" => ("<", false, 1),
        ">" => ("<", true, 0),
        ">=" => ("<", true, 1),
        sign @ ("==" | "!=") => (sign, false, 0),
        _ => return None,
    };
    let start = at - reach(tokens[..at].iter().rev(), (&[")", "]"], &["(", "["]))?;
    let end = at + 1 + reach(tokens[at + 1..].iter(), (&["(", "["], &[")", "]"]))?;
    let (left, right) = (side(&tokens[start..at]), side(&tokens[at + 1..end]));
    let ((low, less), (high, more)) = if turned { (right, left) } else { (left, right) };
    let gap = more.checked_sub(less)?.checked_add(closed)?;
    Some((Comparison { low, sign, high, gap }, start, end))
}

/// How many tokens belong to a side of a comparison, going away from its operator. `None`: none, or nobody can say.
fn reach<'a>(tokens: impl Iterator<Item = &'a &'a str>, (opening, closing): (&[&str], &[&str])) -> Option<usize> {
    let (mut depth, mut count) = (0, 0);
    for token in tokens {
        if opening.contains(token) {
            depth += 1;
        } else if closing.contains(token) {
            if depth == 0 {
                break;
            }
            depth -= 1;
        } else if depth == 0 && BITS.contains(token) {
            return None;
        } else if depth == 0 && !is_inside(token) {
            break;
        }
        count += 1;
    }
    (count > 0 && depth == 0).then_some(count)
}

fn is_inside(token: &str) -> bool {
    is_value(token) && !OUTSIDE.contains(&token) || INSIDE.contains(&token)
}

fn is_value(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// A sum without the whole number at its end, and that number.
fn side<'a>(tokens: &'a [&'a str]) -> (&'a [&'a str], i64) {
    let number = |token: &str| token.parse::<i64>().ok();
    match tokens {
        [only] => number(only).map_or((tokens, 0), |n| (&tokens[..0], n)),
        ["-", only] => number(only).map_or((tokens, 0), |n| (&tokens[..0], -n)),
        [rest @ .., before, sign @ ("+" | "-"), last] if is_value(before) || [")", "]"].contains(before) => {
            let signed = number(last).map(|n| if *sign == "-" { -n } else { n });
            signed.map_or((tokens, 0), |n| (&tokens[..rest.len() + 1], n))
        }
        _ => (tokens, 0),
    }
}

#[cfg(test)]
mod tests {
    use crate::fix::ranked::same::same;

    #[track_caller]
    fn check(a: &str, b: &str, expected: bool) {
        assert_eq!((same(a, b), same(b, a)), (expected, expected), "{a} | {b}");
    }

    #[test]
    fn a_bound_may_be_written_in_two_ways() {
        check("    if item <= limit:", "    if item < limit + 1:", true);
        check("while i + 1 < n {", "while i < n - 1 {", true);
        check("if n > 0 && x {", "if n >= 1 && x {", true);
        check("if (a.len() >= b.get(i, j)) {", "if (a.len() > b.get(i, j) - 1) {", true);
        check("return 0 <= i < len(xs)", "return -1 < i < len(xs)", true);
        check("if n - 1 == k", "if n == k + 1", true);
        check("if a < b", "if b > a", true);
        check("if n >= -1", "if n > -2", true);
        check("x = min(a) if len(a) + 1 > 3 else 0", "x = min(a) if len(a) >= 3 else 0", true);
    }

    #[test]
    fn what_differs_is_not_the_same() {
        check("if item <= limit:", "if item < limit:", false);
        check("if item <= limit:", "if item < limit - 1:", false);
        check("if item <= limit:", "if items < limit + 1:", false);
        check("if x <= 1.5:", "if x < 2.5:", false);
        check("if a & 1 <= b", "if a & 2 < b", false);
        check("if n * 2 <= k", "if n < k + 1", false);
        check("if n <= k * -1", "if n < k * 0", false);
        check("if a <= b and c < d:", "if a < b + 1 and c <= d:", false);
        check("x = a - 1", "x = a + 1", false);
        check("if a <= f(b)", "if a < f(b + 1)", false);
        check("if s <= \"a\":", "if s < \"a\":", false);
    }
}
