//! How likely texts are as the model's answer: the conversation once, then the tree of their tokens.
//!
//! Where the cache can have branches, many ways through the tree go side by side. A sliding-window cache has room for one:
//! its ways go one after the other on the conversation's own sequence, back to where they part. A running state cannot go
//! back at all.

use crate::engine::EngineError;
use crate::engine::embedded::{Embedded, LEAST_ANSWER};
use crate::engine::llama::{Decoded, Placed, Special, Token};
use crate::engine::score::{Row, Step, Tally, Trie};
use crate::protocol::turn::{Delta, Sampling, ScoreRequest, Scores, ToolChoice, TurnRequest};
use crate::units::Tokens;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Cells that branches may copy in all. llama.cpp takes up to half a microsecond for each, coming and going, which no cancel
/// interrupts: behind a conversation of more than 8,000 tokens fewer ways go side by side.
const COPIES: usize = 1 << 18;

/// Where a walk through the tree stands.
struct Walk<'a> {
    trie: &'a Trie<Token>,
    tally: Tally<'a, Token>,
    /// Tokens of the conversation, which all ways begin behind.
    prompt: usize,
    scored: usize,
}

/// How a walk ended.
#[derive(PartialEq, Eq)]
enum End {
    Whole,
    Cancelled,
    /// The cache could not go back to where two ways part.
    Stuck,
}

impl Embedded {
    /// See [`Backend::score`](crate::engine::backend::Backend::score).
    pub(in crate::engine::embedded) fn scores(
        &mut self,
        request: &ScoreRequest,
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<Option<Scores>, EngineError> {
        if self.model.is_recurrent() {
            return Ok(None);
        }
        let (_, wanted) = self.prompt(&opened(request))?;
        let tokens = &wanted.tokens;
        let texts: Vec<Vec<Token>> = request.continuations.iter().map(|text| self.model.tokenize(text, Special::Plain)).collect();
        let trie = Trie::of(&texts);
        if tokens.len() + trie.longest().max(LEAST_ANSWER) > self.context.window() as usize {
            return Err(self.overflow(tokens.len() + trie.longest()));
        }
        self.converge(tokens);
        let (mut usage, cancelled) = self.prefilled(&wanted, sink, cancel)?;
        if cancelled {
            return Ok(None);
        }
        let start = Instant::now();
        let mut walk = Walk { trie: &trie, tally: Tally::of(&trie), prompt: tokens.len(), scored: 0 };
        let end = self.walk(&mut walk, cancel);
        // However it ended: what stands behind the conversation goes, and where the conversation went with it, that is known.
        self.context.unbranch();
        if !self.context.truncate(tokens.len()) {
            self.lose();
        }
        if end? != End::Whole {
            return Ok(None);
        }
        usage.decode_ms = start.elapsed().as_secs_f64() * 1e3;
        Ok(Some(Scores { logprobs: walk.tally.logprobs(), usage, scored: Tokens(walk.scored as u32) }))
    }

    fn walk(&mut self, walk: &mut Walk<'_>, cancel: &AtomicBool) -> Result<End, EngineError> {
        self.learn(walk, None, None)?;
        let lanes = self.context.branches().min(COPIES / walk.prompt.max(1)).min(walk.trie.width());
        let room = self.context.window() as usize - walk.prompt;
        self.context.branch(1..lanes + 1, walk.prompt);
        for chunk in walk.trie.chunks(lanes, room) {
            let (known, first) = if lanes > 0 {
                self.context.prune(1..lanes + 1, walk.prompt);
                (0, 1)
            } else {
                let known = chunk.iter().take_while(|step| !step.fresh).count();
                if !self.context.truncate(walk.prompt + known) {
                    return Ok(End::Stuck);
                }
                (known, 0)
            };
            for steps in chunk[known..].chunks(self.context.outputs()) {
                if cancel.load(Ordering::Relaxed) {
                    return Ok(End::Cancelled);
                }
                let placed: Vec<Placed> = steps.iter().map(|step| placed(step, walk.prompt, first)).collect();
                match self.context.decode_placed(&placed, cancel)? {
                    Decoded::Done => {}
                    Decoded::Cancelled => return Ok(End::Cancelled),
                    Decoded::Full => return Err(self.overflow(walk.prompt + chunk.len())),
                }
                walk.scored += steps.len();
                for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.fresh) {
                    self.learn(walk, Some(step.node), Some(index))?;
                }
            }
        }
        Ok(End::Whole)
    }

    /// Learns what follows a node from the logits of the last batch's token at `index`, or of its last one.
    fn learn(&mut self, walk: &mut Walk<'_>, node: Option<usize>, index: Option<usize>) -> Result<(), EngineError> {
        let logits = self.context.logits(index).ok_or_else(|| EngineError::Lost { reason: "llama.cpp kept no logits".into() })?;
        let row = Row::of(logits);
        walk.tally.learn(node, |token| usize::try_from(token.0).map_or(f64::NEG_INFINITY, |token| row.logprob(token)));
        Ok(())
    }
}

/// The turn whose beginning the texts are.
fn opened(request: &ScoreRequest) -> TurnRequest {
    TurnRequest {
        messages: request.messages.clone(),
        tools: Vec::new(),
        sampling: Sampling::default(),
        max_tokens: Tokens::ZERO,
        thinking_budget: None,
        thinking: false,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}

fn placed(step: &Step<Token>, prompt: usize, first: usize) -> Placed {
    Placed {
        token: step.token,
        position: prompt + step.depth,
        sequences: first + step.lanes.start..first + step.lanes.end,
        logits: step.fresh,
    }
}
