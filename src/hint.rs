//! What to do about an error, kept apart from what went wrong.
//!
//! An error says what and where; its hint says what to do next. The edge (the command line, a tool's answer) renders both.

/// Gives the next thing to try, when there is one.
pub trait Hint {
    /// One sentence without a full stop, or nothing.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The error and its hint in one line, for readers that have only one.
    fn told(&self) -> String
    where
        Self: std::fmt::Display,
    {
        self.hint().map_or_else(|| self.to_string(), |hint| format!("{self}; {hint}"))
    }
}
