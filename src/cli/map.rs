//! `agent map`: the repository map, within a budget of tokens.
//!
//! Tokens are counted with the model's own tokenizer where one is at hand; else one is taken for three bytes.

use crate::boot::{self, BootError, Choice, Ground, Otherwise};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::cli::interrupt::block_on;
use crate::engine::{Engine, estimate};
use crate::models::gguf::Need;
use crate::protocol::exit::Exit;
use crate::repo::map::Question;
use crate::repo::map::indexer::{Indexer, Pace};
use crate::repo::map::outline::{self, Outline};
use crate::units::Tokens;
use clap::ValueEnum;
use serde::Serialize;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How soon an interrupt is noticed while files are read.
const TICK: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub struct Map {
    /// The most tokens that it may have
    #[arg(long, value_name = "N", default_value_t = 2048)]
    tokens: u32,
    /// What it is wanted for: an issue, names, words
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// A file that is at hand: what it refers to is wanted (repeatable)
    #[arg(long, value_name = "PATH", num_args = 1..)]
    focus: Vec<String>,
    /// What to print
    #[arg(long, value_name = "FORM", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The map
    Text,
    /// One object: the map, its tokens, and how many files it shows of how many
    Json,
}

#[derive(Debug, Serialize)]
struct Shown {
    tokens: Tokens,
    /// Whether they were counted by the model's own tokenizer.
    exact: bool,
    budget: Tokens,
    files: Files,
    text: String,
}

#[derive(Debug, Serialize)]
struct Files {
    shown: usize,
    indexed: usize,
}

impl Map {
    /// Brings the index up to date and prints the map; 130 when it is interrupted, and what was indexed until then is kept.
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let ground = globals.ground(Vec::new())?;
        let root = &ground.root;
        let misplaced = |error| Failure::misuse(format!("--focus: {error}"), "name files of the project");
        let open = self.focus.iter().map(|path| root.parse(path)).collect::<Result<_, _>>().map_err(misplaced)?;
        let question = Question { text: self.query.unwrap_or_default(), open };
        let cancel = CancellationToken::new();
        let indexer = Indexer::start(root.clone(), root.as_path(), &ground.places.cache, Pace::Foreground);
        let mut counter = counter(&ground)?;
        let shown = block_on(&cancel, async {
            while !indexer.wait(TICK) {
                if cancel.is_cancelled() {
                    return Ok(None);
                }
            }
            let ranked = indexer.ranked(&question, outline::most_files(Tokens(self.tokens)));
            let indexed = indexer.files();
            let count = async |text: &str| match &mut counter {
                Some(engine) => engine.count(text).await,
                None => Ok(estimate::text(text)),
            };
            let budget = Tokens(self.tokens);
            let written = outline::outline(root, &ranked, budget, count).await.map_err(|e| Failure::of(Exit::Engine, e))?;
            let Outline { text, tokens, files } = written;
            Ok(Some(Shown { tokens, exact: counter.is_some(), budget, files: Files { shown: files, indexed }, text }))
        })?;
        let Some(shown) = shown else { return Ok(Exit::Interrupted) };
        if self.output == Output::Json {
            answer::json(&shown)?;
        } else {
            let (about, Files { shown: files, indexed }) = (if shown.exact { "" } else { "about " }, shown.files);
            answer::aside(format!("{about}{} of {} tokens: {files} of {indexed} files", shown.tokens, shown.budget));
            answer::text(&shown.text)?;
        }
        Ok(Exit::Done)
    }
}

/// The model's tokenizer, where there is a model on this machine.
fn counter(ground: &Ground) -> Result<Option<Box<dyn Engine>>, Failure> {
    match boot::choose(ground, Otherwise::Nothing) {
        Ok(choice @ Choice::Llama { .. }) => match boot::engine(ground, choice, Need::Tokenizer) {
            Ok(engine) => Ok(Some(engine)),
            Err(BootError::Unbuilt) => Ok(None),
            Err(error) => Err(Failure::of(error.exit(), error)),
        },
        Ok(_) | Err(BootError::NoModel { .. } | BootError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(Failure::of(error.exit(), error)),
    }
}
