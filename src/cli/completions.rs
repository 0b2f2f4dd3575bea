//! `agent completions`: a script for the shell.

use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::protocol::exit::Exit;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell to write for
    shell: Shell,
}

impl Completions {
    /// Generates the script from the same definition that parses.
    pub fn run(self, command: &mut clap::Command) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "agent", &mut script);
        answer::text(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
