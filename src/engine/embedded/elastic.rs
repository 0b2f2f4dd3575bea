//! A window that grows with the conversation, where the plan had to begin with a smaller one than the model could have.

use crate::engine::backend::LoadOptions;
use crate::engine::embedded::Embedded;
use crate::engine::llama::{Context, Part, devices};
use crate::engine::memory::{Allocator, Host, Share, Trial};
use crate::protocol::turn::Delta;
use crate::units::{Bytes, Tokens};
use std::time::{Duration, Instant};

/// Windows are multiples of this: llama.cpp rounds to 256.
const STEP: u32 = 1024;
/// What stays free on each device, and on the host, for everybody else.
const MARGIN: Bytes = Bytes(512 << 20);
/// How long a refusal stands: asking costs a trial, seconds with a large vocabulary.
const REFUSAL: Duration = Duration::from_secs(60);

/// What the window is made of, and how far it may go.
pub(in crate::engine::embedded) struct Elastic {
    options: LoadOptions,
    refused: Option<Instant>,
}

impl Elastic {
    pub fn new(options: &LoadOptions) -> Self {
        Self { options: options.clone(), refused: None }
    }
}

impl Embedded {
    /// Makes the window larger if so many tokens need it, it may grow, and memory is free. The cache goes along. The new
    /// context is made while the old one stands, so that there is always one. True where the window changed.
    pub(in crate::engine::embedded) fn grow(&mut self, needed: usize, sink: &mut dyn FnMut(Delta)) -> bool {
        let window = self.context.window();
        let most = self.elastic.options.grow_to.map(|most| most.min(self.model.trained_window()));
        let Some(most) = most.filter(|most| *most > window && needed > window as usize) else {
            return false;
        };
        if self.elastic.refused.is_some_and(|at| at.elapsed() < REFUSAL) {
            return false;
        }
        // Twice as large each time: every growth copies the cache.
        let wanted = u32::try_from(needed).unwrap_or(u32::MAX).saturating_add(STEP).max(window.saturating_mul(2));
        let larger = wanted.checked_next_multiple_of(STEP).unwrap_or(most).min(most);
        let grown = self.grown(larger);
        let text = match grown {
            Some(()) => {
                let window = Tokens(self.context.window());
                self.info.window = Some(window);
                format!("the conversation outgrew its window; it is {window} tokens now")
            }
            None => {
                self.elastic.refused = Some(Instant::now());
                format!("the conversation is outgrowing its window of {} tokens, and there is no memory for a larger one", window)
            }
        };
        sink(Delta::Notice { text });
        grown.is_some()
    }

    fn grown(&mut self, larger: u32) -> Option<()> {
        // Keys that were rotated for a short window mean nothing in a long one.
        if self.model.turns_long(larger) != self.model.turns_long(self.context.window()) {
            return None;
        }
        let options = LoadOptions { n_ctx: Some(larger), ..self.elastic.options.clone() };
        let held = Bytes(self.context.state_size(Part::Whole) as u64);
        let trial = self.machine.trial(&options).ok()?;
        if !has_room(&trial, held) {
            return None;
        }
        let parameters = self.machine.parameters(&options).ok()?;
        let mut context = Context::new(&self.model, &parameters, &options.model).ok()?;
        if !self.cache.is_empty() {
            let state = self.context.save(Part::Whole)?;
            if !context.restore(&state, Part::Whole, self.cache.len()) {
                return None;
            }
        }
        self.context = context;
        self.elastic.options = options;
        Some(())
    }
}

/// Whether a second context fits beside the first, with the state on its way between them. The weights are there already.
fn has_room(trial: &Trial, state: Bytes) -> bool {
    let free = devices();
    let fits = |share: &Share| {
        let device = free.iter().find(|device| device.name == share.device.name);
        device.is_some_and(|device| share.kv + share.compute + MARGIN <= device.free)
    };
    let host = Host::look().is_some_and(|host| trial.host.kv + trial.host.compute + state + MARGIN <= host.available);
    host && trial.devices.iter().all(fits)
}
