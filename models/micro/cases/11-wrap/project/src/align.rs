/// Pads a line on its left to `width`.
pub fn right(line: &str, width: usize) -> String {
    let missing = width.saturating_sub(line.chars().count());
    " ".repeat(missing) + line
}

/// Pads a line on both sides; an odd space goes to the right.
pub fn center(line: &str, width: usize) -> String {
    let missing = width.saturating_sub(line.chars().count());
    let left = missing / 2;
    " ".repeat(left) + line + &" ".repeat(missing - left)
}
