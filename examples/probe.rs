//! What llama.cpp makes of a text, for `models/micro/parity.py` to hold the trainer against: `probe MODEL` answers a JSON line for
//! each that it reads.
//!
//! `{"op": "tokenize", "text", "special"}` -> `{"tokens"}`; `{"op": "greedy", "prompt", "tokens": most}` -> `{"tokens"}`;
//! `{"op": "score", "prompt", "continuations"}` -> `{"scores"}`, sums of log P. One token after the other and one text after the
//! other: nothing is batched that could hide a fault.

use agent::engine::backend::LoadOptions;
use agent::engine::llama::{Context, Decoded, Model, Parameters, Special, Token};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Question {
    Tokenize { text: String, special: bool },
    Greedy { prompt: String, tokens: usize },
    Score { prompt: String, continuations: Vec<String> },
}

/// Enough for every question about a micro model.
const WINDOW: u32 = 4096;

fn main() -> Result<()> {
    let path = PathBuf::from(std::env::args_os().nth(1).context("usage: probe MODEL")?);
    let options = LoadOptions { n_ctx: Some(WINDOW), n_batch: Some(WINDOW), threads: Some(1), ..LoadOptions::of(&path) };
    let parameters = Parameters::new(&options, &[])?;
    let model = Arc::new(Model::load(&path, &parameters, &mut |_| {})?);
    let mut probe = Probe { context: Context::new(&model, &parameters, &path)?, model, prompt: Vec::new() };
    for line in std::io::stdin().lock().lines() {
        let answer = probe.answer(serde_json::from_str(&line?)?)?;
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

struct Probe {
    model: Arc<Model>,
    context: Context,
    /// What the cache begins with.
    prompt: Vec<Token>,
}

impl Probe {
    fn answer(&mut self, question: Question) -> Result<Value> {
        Ok(match question {
            Question::Tokenize { text, special } => {
                let special = if special { Special::Parsed } else { Special::Plain };
                let tokens: Vec<i32> = self.model.tokenize(&text, special).iter().map(|token| token.0).collect();
                json!({ "tokens": tokens })
            }
            Question::Greedy { prompt, tokens } => json!({ "tokens": self.greedy(&prompt, tokens)? }),
            Question::Score { prompt, continuations } => {
                let scores = continuations.iter().map(|text| self.score(&prompt, text)).collect::<Result<Vec<_>>>()?;
                json!({ "scores": scores })
            }
        })
    }

    fn greedy(&mut self, prompt: &str, most: usize) -> Result<Vec<i32>> {
        self.begin(prompt)?;
        let mut written = Vec::new();
        while written.len() < most {
            let logits = self.logits()?;
            let best =
                (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a))).context("no vocabulary")?;
            let token = Token(i32::try_from(best)?);
            written.push(token.0);
            if self.model.is_end(token) {
                break;
            }
            self.decode(&[token])?;
        }
        Ok(written)
    }

    fn score(&mut self, prompt: &str, text: &str) -> Result<f64> {
        self.begin(prompt)?;
        let mut sum = 0.0;
        for token in self.model.tokenize(text, Special::Plain) {
            let logits = self.logits()?;
            let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let total: f64 = logits.iter().map(|logit| (f64::from(*logit) - highest).exp()).sum();
            sum += f64::from(logits[usize::try_from(token.0)?]) - highest - total.ln();
            self.decode(&[token])?;
        }
        Ok(sum)
    }

    /// Reads the prompt; of one that was the last one, too, its last token alone.
    fn begin(&mut self, prompt: &str) -> Result<()> {
        let tokens = self.model.tokenize(prompt, Special::Parsed);
        let known = if tokens == self.prompt { tokens.len().saturating_sub(1) } else { 0 };
        let kept = if self.context.truncate(known) { known } else { 0 };
        self.decode(&tokens[kept..])?;
        self.prompt = tokens;
        Ok(())
    }

    fn decode(&mut self, tokens: &[Token]) -> Result<()> {
        match self.context.decode(tokens, &AtomicBool::new(false))? {
            Decoded::Done => Ok(()),
            other => bail!("a batch of {} tokens ended as {other:?}", tokens.len()),
        }
    }

    fn logits(&mut self) -> Result<&[f32]> {
        self.context.logits(None).context("the last token's logits were not kept")
    }
}
