//! How a command fails: the error with its chain, the hint, and the exit code by class. Rendered here and nowhere else.

use crate::cli::answer;
use crate::hint::Hint;
use crate::protocol::exit::Exit;
use std::process::ExitCode;

/// The failed end of a command.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub error: anyhow::Error,
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of the given class, with the error's own hint.
    pub fn of<E: std::error::Error + Hint + Send + Sync + 'static>(exit: Exit, error: E) -> Self {
        let hint = error.hint();
        Self { exit, error: error.into(), hint }
    }

    /// The arguments are wrong, said in a sentence.
    pub fn misuse(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, error: anyhow::Error::msg(message.into()), hint: Some(hint.into()) }
    }

    /// The work failed.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Failed, error: error.into(), hint: None }
    }

    /// Prints the error and gives its exit code.
    pub fn report(self) -> ExitCode {
        answer::aside(render(&self.error, self.hint.as_deref()).trim_end());
        self.exit.into()
    }
}

/// One line for the error, one for each cause that says something new, one for the hint.
fn render(error: &anyhow::Error, hint: Option<&str>) -> String {
    let mut text = format!("error: {error}\n");
    let mut last = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some libraries repeat their source in their own message.
        if !last.contains(&cause) {
            text.push_str("  because: ");
            // What spans lines (a TOML excerpt) keeps its columns.
            text.push_str(&cause.trim_end().replace('\n', "\n    "));
            text.push('\n');
            last = cause;
        }
    }
    if let Some(hint) = hint {
        text.push_str("hint: ");
        text.push_str(hint);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::cli::failure::render;

    #[test]
    fn the_chain_and_the_hint_are_lines_of_their_own() {
        let error = anyhow::Error::msg("no such file").context("cannot read `x`");
        assert_eq!(render(&error, Some("look again")), "error: cannot read `x`\n  because: no such file\nhint: look again\n");
    }

    #[test]
    fn a_cause_that_was_said_already_is_not_repeated() {
        let error = anyhow::Error::msg("no such file").context("cannot read `x`: no such file");
        assert_eq!(render(&error, None), "error: cannot read `x`: no such file\n");
    }
}
