//! The command line: parses, calls one command, renders its error, and turns the result into an exit code.
//!
//! One command a file. Nothing is opened or read before the arguments are parsed, so `agent --help` costs a parse and a
//! print. Only the answer goes to stdout; `answer` is the one place that writes there, `failure` the one that renders errors.

mod answer;
#[cfg(feature = "llama")]
mod bench;
mod completions;
mod doctor;
mod engine;
mod failure;
mod fix;
mod globals;
mod interrupt;
mod map;
mod model;
mod plan;
mod progress;
mod prompt;
mod run;
mod session;
mod tool;

use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::protocol::exit::Exit;
use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// A coding agent that brings its own model.
#[derive(Debug, Parser)]
#[command(name = "agent", bin_name = "agent", version, max_term_width = 100, disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take an issue, reproduce it, patch it, and verify the patch
    Fix(fix::Fix),
    /// Do one task without a terminal
    Run(run::Run),
    /// Run one tool as the model would call it
    Tool(tool::Tool),
    /// Show what matters most in the project, within a budget of tokens
    Map(map::Map),
    /// Show exactly what the model would be sent first, with token counts
    Prompt(prompt::Prompt),
    /// Show the memory plan of a model without loading it
    Plan(plan::Plan),
    /// List and show models on disk
    Model(model::Model),
    /// Look after the engine process
    Engine(engine::Engine),
    /// List, show and export sessions
    Session(session::Session),
    /// Say what this program sees: machine, settings, models, and what would leave the machine
    Doctor(doctor::Doctor),
    /// Measure what the engine costs over llama.cpp itself
    #[cfg(feature = "llama")]
    Bench(bench::Bench),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    install_panic_hook();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return parse_error(&error),
    };
    match dispatch(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

fn dispatch(arguments: Arguments) -> Result<Exit, Failure> {
    let globals = arguments.globals;
    match arguments.command {
        Some(Command::Fix(fix)) => fix.run(globals),
        Some(Command::Run(run)) => run.run(globals),
        Some(Command::Tool(tool)) => tool.run(globals),
        Some(Command::Map(map)) => map.run(globals),
        Some(Command::Prompt(prompt)) => prompt.run(globals),
        Some(Command::Plan(plan)) => plan.run(globals),
        Some(Command::Model(model)) => model.run(globals),
        Some(Command::Engine(engine)) => engine.run(globals),
        Some(Command::Session(session)) => session.run(globals),
        Some(Command::Doctor(doctor)) => doctor.run(globals),
        #[cfg(feature = "llama")]
        Some(Command::Bench(bench)) => bench.run(globals),
        Some(Command::Completions(completions)) => completions.run(&mut Arguments::command()),
        None => {
            answer::aside(
                "This version has no terminal yet: give it a task with `agent run \"…\"` or an issue with `agent fix --issue …`.\n",
            );
            answer::aside(Arguments::command().render_help().to_string().trim_end());
            Ok(Exit::Usage)
        }
    }
}

/// Help and version are answers (stdout, 0); everything else that clap says is a usage error (stderr, 2).
fn parse_error(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        answer::aside(error.to_string().trim_end());
        return Exit::Usage.into();
    }
    match answer::text(&error.to_string()) {
        Ok(_) => Exit::Done.into(),
        Err(failure) => failure.report(),
    }
}

/// A panic is a bug of ours: it is one clear line, and the whole story only for who asks for it.
fn install_panic_hook() {
    let whole = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("panic");
        answer::aside(format!("error: internal error at {place}: {what}"));
        answer::aside("hint: this is a bug in agent; RUST_BACKTRACE=1 shows where it came from");
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
            whole(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use crate::cli::Arguments;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in ["agent -C d --replay f doctor -c a=1 -c b=2", "agent doctor -C d --replay f -c a=1 -c b=2"] {
            let parsed = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(parsed.globals.directory.as_deref(), Some("d".as_ref()));
            assert_eq!(parsed.globals.replay.as_deref(), Some("f".as_ref()));
            assert_eq!(parsed.globals.config, ["a=1", "b=2"]);
        }
    }

    #[test]
    fn what_is_wrong_is_a_usage_error() {
        for line in ["agent nosuch", "agent fix", "agent run", "agent run t --output pdf", "agent session show", "agent --nosuch"]
        {
            let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
            assert!(error.use_stderr(), "{line}");
        }
    }
}
