//! All small changes of the lines of passages.

use crate::repair::{Candidate, Passage};

/// Every change of one line that might mend it, in the order of the lines. `said`: words that the issue quotes; they count as
/// names in scope. Never a change that leaves the line as it is, never the same new line twice.
pub fn candidates(passages: &[Passage], said: &[String]) -> Vec<Candidate> {
    let _ = (passages, said);
    Vec::new()
}
