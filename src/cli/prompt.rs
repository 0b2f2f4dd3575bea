//! `agent prompt`: what the model is sent before the user's words, and what it costs.
//!
//! With a model the text is the one its template renders and the tokens are its own. Without one there is no template: the
//! parts stand as they are, and a token is taken for three bytes.

use crate::boot::{self, BootError, Choice, Ground, Local, Otherwise};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::cli::interrupt::block_on;
use crate::context::environment;
use crate::engine::{Engine, EngineError};
use crate::models::gguf::Need;
use crate::models::ledger;
use crate::prompts::{self, Allowance, Environment, Purpose};
use crate::protocol::exit::Exit;
use crate::protocol::message::Message;
use crate::protocol::turn::{Profile, Rendered, ToolCard, ToolChoice, TurnRequest};
use crate::tools::Mode;
use crate::units::Tokens;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tokio_util::sync::CancellationToken;

#[derive(Debug, clap::Args)]
pub struct Prompt {
    /// For which kind of work
    #[arg(long, default_value = "chat")]
    mode: Work,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Work {
    Chat,
    Fix,
}

/// The answer, as the contract words it.
#[derive(Debug, Serialize)]
struct Shown {
    tokens: Counts,
    exact: bool,
    bytes: usize,
    text: String,
}

/// What the beginning of a conversation costs. `total` is all of it, with what the template puts around the parts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Counts {
    pub system: Tokens,
    pub tools: Tokens,
    pub environment: Tokens,
    pub total: Tokens,
}

/// What a conversation begins with.
struct Front {
    purpose: Purpose,
    here: Environment,
    cards: Vec<ToolCard>,
}

impl Prompt {
    /// Loads no weights where the engine can do without.
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let ground = globals.ground(Vec::new())?;
        let (purpose, mode) = match self.mode {
            Work::Chat => (Purpose::Chat, Mode::Chat),
            Work::Fix => (Purpose::Fix, Mode::Fix),
        };
        let front = Front::of(&ground, purpose, mode);
        let shown = match boot::choose(&ground, Otherwise::Nothing) {
            Err(BootError::NoModel { .. } | BootError::TooLarge { .. }) => front.estimated(None),
            Err(error) => return Err(Failure::of(error.exit(), error)),
            Ok(choice) => {
                let mut engine = boot::engine(&ground, choice, Need::Tokenizer).map_err(|e| Failure::of(e.exit(), e))?;
                let cancel = CancellationToken::new();
                let measured = front.measured(engine.as_mut(), &ground, None, &cancel);
                block_on(&cancel, async { measured.await.map_err(|e| Failure::of(Exit::Engine, e)) })?
            }
        };
        if self.json {
            answer::json(&shown)?;
        } else {
            let Counts { system, tools, environment, total } = shown.tokens;
            let about = if shown.exact { "" } else { "about " };
            let parts = format!("system {system}, tools {tools}, environment {environment}");
            answer::aside(format!("{about}{total} tokens: {parts}; {} bytes", shown.bytes));
            answer::line(&shown.text)?;
        }
        Ok(Exit::Done)
    }
}

/// Counts what a chat would begin with in a window, with the model's own tokenizer. Where it has none the counts are
/// estimates, and the second part of the answer is false.
pub fn counts(ground: &Ground, model: &Path, window: Tokens) -> Result<(Counts, bool), Failure> {
    let front = Front::of(ground, Purpose::Chat, Mode::Chat);
    // Loading a tokenizer takes longer than planning: what was counted once is remembered with the model.
    let key = ledger::key("counts", &(front.text(Some(window)), &front.cards, ground.resolved.settings.thinking));
    let mut ledger = boot::ledger(ground, model);
    if let Some(counts) = ledger.as_ref().and_then(|ledger| ledger.get(&key)) {
        return Ok((counts, true));
    }
    let choice = Choice::Llama { model: Local::File(model.to_owned()) };
    let Ok(mut engine) = boot::engine(ground, choice, Need::Tokenizer) else {
        return Ok((front.estimated(Some(window)).tokens, false));
    };
    let cancel = CancellationToken::new();
    let measured = front.measured(engine.as_mut(), ground, Some(window), &cancel);
    let shown = block_on(&cancel, async { measured.await.map_err(|e| Failure::of(Exit::Engine, e)) })?;
    if let Some(ledger) = ledger.as_mut().filter(|_| shown.exact) {
        // A cache that cannot be written: it is counted again.
        let _ = ledger.put(key, &shown.tokens);
    }
    Ok((shown.tokens, shown.exact))
}

impl Front {
    fn of(ground: &Ground, purpose: Purpose, mode: Mode) -> Self {
        let here = environment::look(&ground.root, ground.root.as_path(), ground.resolved.settings.fix.test.clone());
        Self { purpose, here, cards: boot::toolbox().cards(mode) }
    }

    fn text(&self, window: Option<Tokens>) -> String {
        prompts::front(self.purpose, &self.here, &Allowance::of_window(window.map(|tokens| tokens.0)))
    }

    /// The part that differs from project to project.
    fn environment(&self, window: Option<Tokens>) -> String {
        self.text(window).split_off(prompts::system(self.purpose).len()).trim().to_owned()
    }

    /// Without a template: the parts one after the other, at three bytes a token.
    fn estimated(&self, window: Option<Tokens>) -> Shown {
        let guess = |text: &str| Tokens(u32::try_from(text.len().div_ceil(3)).unwrap_or(u32::MAX));
        let tools: String =
            self.cards.iter().filter_map(|card| serde_json::to_string(card).ok()).map(|card| card + "\n").collect();
        let text = format!("{}\n\n{tools}", self.text(window));
        let counts = Counts {
            system: guess(&prompts::system(self.purpose)),
            tools: guess(&tools),
            environment: guess(&self.environment(window)),
            total: guess(&text),
        };
        Shown { tokens: counts, exact: false, bytes: text.len(), text }
    }

    /// With the engine's template and tokenizer, where it has them. `window` is the one to come, where the engine has none yet.
    async fn measured(
        &self,
        engine: &mut dyn Engine,
        ground: &Ground,
        window: Option<Tokens>,
        cancel: &CancellationToken,
    ) -> Result<Shown, EngineError> {
        let info = engine.ready(&mut |_| {}, cancel).await?;
        let window = info.window.or(window);
        if info.profile == Profile::Micro {
            return self.micro(engine, ground).await;
        }
        let request = self.request(window, ground);
        let Some(whole) = engine.render(&request).await? else {
            return Ok(self.estimated(window));
        };
        let without_tools = engine.render(&TurnRequest { tools: Vec::new(), ..request }).await?;
        let tools = without_tools.map_or(Tokens::ZERO, |without| whole.tokens - without.tokens);
        let system = engine.count(&prompts::system(self.purpose)).await?;
        let environment = engine.count(&self.environment(window)).await?;
        let counts = Counts { system, tools, environment, total: whole.tokens };
        Ok(Shown { tokens: counts, exact: info.exact, bytes: whole.text.len(), text: whole.text })
    }

    /// A micro model is sent the words alone: all that stands before them is the template's.
    async fn micro(&self, engine: &mut dyn Engine, ground: &Ground) -> Result<Shown, EngineError> {
        let messages = vec![Message::User { text: String::new() }];
        let request = TurnRequest { messages, tools: Vec::new(), ..self.request(None, ground) };
        let rendered = engine.render(&request).await?.unwrap_or(Rendered { text: String::new(), tokens: Tokens::ZERO });
        let none = Tokens::ZERO;
        let tokens = Counts { system: none, tools: none, environment: none, total: rendered.tokens };
        Ok(Shown { tokens, exact: true, bytes: rendered.text.len(), text: rendered.text })
    }

    fn request(&self, window: Option<Tokens>, ground: &Ground) -> TurnRequest {
        let generation = boot::generation(&ground.resolved.settings);
        TurnRequest {
            messages: vec![Message::System { text: self.text(window) }, Message::User { text: String::new() }],
            tools: self.cards.clone(),
            sampling: generation.sampling,
            max_tokens: generation.max_tokens,
            thinking_budget: generation.thinking_budget,
            thinking: generation.thinking,
            choice: ToolChoice::Auto,
            grounds: Vec::new(),
        }
    }
}
