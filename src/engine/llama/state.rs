//! A sequence's state as bytes: to come back to it later, here or in another context of the same kind.

use crate::engine::llama::{Context, SEQUENCE};
use llama_cpp_sys_2 as sys;

/// `LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY` of llama.h, which the bindings leave out.
const PARTIAL_ONLY: sys::llama_state_seq_flags = 1;

/// How much of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// What cannot go back by itself: sliding windows and running states. All other layers' cells stay in the cache, where
    /// going back is dropping the last ones.
    Running,
}

impl Part {
    fn flags(self) -> sys::llama_state_seq_flags {
        match self {
            Self::Whole => 0,
            Self::Running => PARTIAL_ONLY,
        }
    }
}

impl Context {
    /// Bytes that [`save`](Self::save) would give. Costs a look at every cell.
    pub fn state_size(&self, part: Part) -> usize {
        self.size_of(SEQUENCE, part)
    }

    /// The state of the main sequence. `None` where llama.cpp cannot give it. Costs copying it, from the devices too.
    pub fn save(&self, part: Part) -> Option<Vec<u8>> {
        self.save_of(SEQUENCE, part)
    }

    /// The whole state of a branch, which the main sequence can be [restored](Self::restore) to. `None` where there is no such
    /// branch, or no more than `most` bytes are to be had for it.
    pub fn save_branch(&self, branch: usize, most: u64) -> Option<Vec<u8>> {
        let sequence = sys::llama_seq_id::try_from(branch).ok().filter(|_| (1..=self.branches()).contains(&branch))?;
        if self.size_of(sequence, Part::Whole) as u64 > most {
            return None;
        }
        self.save_of(sequence, Part::Whole)
    }

    fn size_of(&self, sequence: sys::llama_seq_id, part: Part) -> usize {
        // SAFETY: the context is live, and has the sequence.
        unsafe { sys::llama_state_seq_get_size_ext(self.raw.as_ptr(), sequence, part.flags()) }
    }

    fn save_of(&self, sequence: sys::llama_seq_id, part: Part) -> Option<Vec<u8>> {
        let size = self.size_of(sequence, part);
        let mut state = Vec::new();
        // Without a word where memory is short: nothing depends on a state.
        state.try_reserve_exact(size).ok().filter(|()| size > 0)?;
        // SAFETY: the buffer has room for `size` bytes; llama.cpp writes no more, and says how many.
        unsafe {
            let written = sys::llama_state_seq_get_data_ext(self.raw.as_ptr(), state.as_mut_ptr(), size, sequence, part.flags());
            state.set_len(written.min(size));
        }
        (state.len() == size).then_some(state)
    }

    /// Brings the main sequence to the `length` tokens that a state was saved at. [`Part::Running`] wants the cache to hold the
    /// same first tokens still. False where it does not fit: the cache is empty then. There are no logits afterwards.
    ///
    /// llama.cpp looks at the shape of a state and not at its contents: give it only what `save` gave.
    pub fn restore(&mut self, state: &[u8], part: Part, length: usize) -> bool {
        if part == Part::Running && self.held() < length {
            self.forget();
            return false;
        }
        // SAFETY: the context is live, the buffer has the length given, and the sequence is in range.
        let restored = unsafe {
            let read = sys::llama_state_seq_set_data_ext(self.raw.as_ptr(), state.as_ptr(), state.len(), SEQUENCE, part.flags());
            read == state.len()
                && (part == Part::Whole || sys::llama_memory_seq_rm(self.memory(), SEQUENCE, length as sys::llama_pos, -1))
        };
        if restored && self.held() == length {
            return true;
        }
        self.forget();
        false
    }
}
