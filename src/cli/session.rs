//! `agent session`: what was said and done, read back.

use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::protocol::exit::Exit;
use crate::sessions::{SessionError, export, shelf};
use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub struct Session {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the sessions, newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one session
    Show {
        /// The session's id, or the beginning of it
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write one session out whole
    Export {
        /// The session's id, or the beginning of it
        id: String,
        /// How to write it
        #[arg(long, value_name = "FORMAT", default_value = "markdown")]
        format: Format,
        /// The same as `--format json`
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Markdown,
}

impl Session {
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let dir = globals.ground(Vec::new())?.places.state.join("sessions");
        match self.command {
            Command::List { json } => {
                let (sessions, problems) = shelf::list(&dir).map_err(failed)?;
                for problem in problems {
                    answer::aside(format!("warning: {problem}"));
                }
                if json {
                    answer::json(&sessions)?;
                } else {
                    answer::text(&sessions.iter().map(in_a_line).collect::<String>())?;
                }
            }
            Command::Show { id, json } => one(&dir, &id, if json { Format::Json } else { Format::Markdown })?,
            Command::Export { id, format, json } => one(&dir, &id, if json { Format::Json } else { format })?,
        }
        Ok(Exit::Done)
    }
}

fn one(dir: &std::path::Path, id: &str, format: Format) -> Result<(), Failure> {
    let session = shelf::show(dir, id).map_err(failed)?;
    match format {
        Format::Json => answer::json(&export::json(&session)),
        Format::Markdown => answer::line(&export::markdown(&session)),
    }
    .map(drop)
}

fn in_a_line(session: &shelf::Summary) -> String {
    let outcome = session.outcome.as_ref().and_then(|outcome| serde_json::to_value(outcome).ok());
    let outcome = outcome.as_ref().and_then(|value| value["outcome"].as_str()).unwrap_or("unfinished");
    format!("{}  {:<5} {:<11} {:>4} steps  {}\n", session.head.id, session.head.mode, outcome, session.steps, session.title)
}

fn failed(error: SessionError) -> Failure {
    let exit =
        if matches!(error, SessionError::Unknown(_) | SessionError::Ambiguous { .. }) { Exit::Usage } else { Exit::Failed };
    Failure::of(exit, error)
}
