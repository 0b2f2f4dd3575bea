//! Half-open intervals of whole numbers.

/// Whether two intervals share a number.
pub fn overlaps(a: (i64, i64), b: (i64, i64)) -> bool {
    a.0 < b.1 && b.0 < a.1
}

/// Joins intervals that overlap or touch; the result is sorted.
pub fn merge(intervals: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut sorted = intervals.to_vec();
    sorted.sort();
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for (start, end) in sorted {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.min(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// How many numbers the intervals cover together.
pub fn covered(intervals: &[(i64, i64)]) -> i64 {
    merge(intervals).iter().map(|(start, end)| end - start).sum()
}
