//! A loaded model put to the test: what it really takes, and how fast it really writes.

use crate::engine::EngineError;
use crate::engine::bridge;
use crate::engine::embedded::Embedded;
use crate::engine::llama::{Decoded, Token};
use crate::engine::memory::Trial;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

impl Embedded {
    /// What the model and its context take, device by device, in the plan's terms.
    pub fn taken(&mut self) -> Result<Trial, EngineError> {
        bridge::memory_taken(&mut self.context).map_err(|e| EngineError::Lost { reason: e.to_string() })
    }

    /// Decodes up to so many tokens one by one, for so long, and forgets them. Gives tokens per second; `None` when not even
    /// two were done in that time.
    pub fn probe(&mut self, most: usize, limit: Duration) -> Result<Option<f64>, EngineError> {
        let cancel = AtomicBool::new(false);
        let most = most.min(self.context.window() as usize / 2);
        // The first token also pays for what is set up once.
        let warm = self.context.decode(&[Token(0)], &cancel)?;
        let start = Instant::now();
        let mut done = 0;
        while warm == Decoded::Done && done < most && start.elapsed() < limit {
            self.context.decode(&[Token(0)], &cancel)?;
            self.context.wait();
            done += 1;
        }
        let seconds = start.elapsed().as_secs_f64();
        self.context.forget();
        self.cache.clear();
        Ok((done > 1 && seconds > 0.0).then(|| done as f64 / seconds))
    }

    /// Has the next turn begin by saying this.
    pub fn tell(&mut self, notice: String) {
        self.told.push(notice);
    }
}
