//! `agent bench`: what the engine costs over llama.cpp itself, in one run on this machine.

use crate::boot::{self, Choice, Otherwise};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::engine::bench::{Compared, Extent, Figures};
use crate::protocol::exit::Exit;

#[derive(Debug, clap::Args)]
pub struct Bench {
    /// Words in the prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    prompt: usize,
    /// Tokens to generate in each run
    #[arg(long, value_name = "N", default_value_t = 64)]
    generate: u32,
    /// Rounds, each with every measurement
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Bench {
    /// Measures in this process: the engine process would only add its socket.
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let ground = globals.ground(Vec::new())?;
        let Choice::Llama { model } = boot::choose(&ground, Otherwise::Nothing).map_err(|e| Failure::of(e.exit(), e))? else {
            return Err(Failure::misuse("a model on this machine is measured", "name a file with `--model PATH.gguf`"));
        };
        let model = model.file(&ground.places).map_err(|e| Failure::of(e.exit(), e))?;
        let extent = Extent { words: self.prompt, generate: self.generate.max(1), rounds: self.rounds.max(1) };
        let figures =
            boot::bench(&ground, &model, extent, &mut |line| answer::aside(line)).map_err(|e| Failure::of(e.exit(), e))?;
        if self.json {
            answer::json(&figures)?;
        } else {
            answer::line(&in_words(&figures))?;
        }
        Ok(Exit::Done)
    }
}

fn in_words(figures: &Figures) -> String {
    let line = |what: &str, Compared { ours, baseline, ratio, spread: [lowest, highest] }: Compared| {
        format!("{what:<34} {ours:>9.1} {baseline:>9.1} {ratio:>7.3}   {lowest:.3}-{highest:.3}")
    };
    let mut lines = vec![
        format!(
            "{}, {} tokens in its vocabulary, medians of {} rounds, tokens per second",
            figures.model, figures.vocabulary, figures.rounds
        ),
        format!("{:<34} {:>9} {:>9} {:>7}   {}", "", "ours", "baseline", "ratio", "spread"),
        line("prefill, against llama-cpp-2", figures.prefill),
        line("decode, against llama-cpp-2", figures.decode),
        line("decode, grammar waiting", figures.grammar_waiting),
        line("decode, grammar checking", figures.grammar_checking),
    ];
    lines.extend(figures.scoring.map(|scoring| line("texts scored, against one by one", scoring)));
    lines.extend(figures.restoring.map(|restoring| line("states restored, against prefill", restoring)));
    lines.push(line("copied text, against no drafts", figures.copying));
    lines.push(line("eight forks, against one by one", figures.forks));
    lines.join("\n")
}
