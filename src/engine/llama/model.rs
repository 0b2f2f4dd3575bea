//! A loaded model: its tokens, and what its file says of it.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::llama::log::{forget_log, reason};
use crate::engine::llama::{Parameters, Token, start};
use crate::protocol::turn::Profile;
use llama_cpp_sys_2 as sys;
use std::ffi::{CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::OnceLock;

/// A loaded model, or only its vocabulary.
pub struct Model {
    pub(in crate::engine::llama) raw: NonNull<sys::llama_model>,
    pieces: OnceLock<Vec<(Vec<u8>, Token)>>,
}

// SAFETY: llama.cpp's model is immutable once loaded.
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Model {
    /// Loads a file. `progress` sees 0..=1. The error carries llama.cpp's own reason.
    pub fn load(path: &Path, parameters: &Parameters, progress: &mut dyn FnMut(f32)) -> Result<Self, EngineError> {
        unsafe extern "C" fn tell(fraction: f32, data: *mut c_void) -> bool {
            // SAFETY: `data` is the closure below, live during the load.
            let progress = unsafe { &mut *data.cast::<&mut dyn FnMut(f32)>() };
            progress(fraction);
            true
        }
        start();
        forget_log();
        let failed = |reason: String| EngineError::Load { path: path.to_owned(), reason };
        let file = CString::new(path.as_os_str().as_bytes()).map_err(|_| failed("its name contains a NUL byte".into()))?;
        let mut progress = progress;
        let mut params = parameters.model;
        params.progress_callback = Some(tell);
        params.progress_callback_user_data = (&raw mut progress).cast();
        // SAFETY: path, parameters and closure are live during the call.
        let raw = unsafe { sys::llama_model_load_from_file(file.as_ptr(), params) };
        NonNull::new(raw).map(|raw| Self { raw, pieces: OnceLock::new() }).ok_or_else(|| failed(reason()))
    }

    /// Loads the tokenizer alone: a file without weights is enough. Cost: 10-300 ms.
    pub fn vocabulary(path: &Path) -> Result<Self, EngineError> {
        let mut parameters = Parameters::new(&LoadOptions::of(path), &[])?;
        parameters.model.vocab_only = true;
        Self::load(path, &parameters, &mut |_| {})
    }

    pub fn as_ptr(&self) -> *const sys::llama_model {
        self.raw.as_ptr()
    }

    fn vocab(&self) -> *const sys::llama_vocab {
        // SAFETY: the model is live.
        unsafe { sys::llama_model_get_vocab(self.raw.as_ptr()) }
    }

    pub fn vocab_size(&self) -> usize {
        // SAFETY: the vocabulary is live.
        unsafe { sys::llama_vocab_n_tokens(self.vocab()) }.max(0) as usize
    }

    /// The window that the model was trained for.
    pub fn trained_window(&self) -> u32 {
        // SAFETY: the model is live.
        unsafe { sys::llama_model_n_ctx_train(self.raw.as_ptr()) }.max(0) as u32
    }

    /// Tokens that one sliding-window layer sees, 0 without such layers.
    pub fn sliding_window(&self) -> i32 {
        // SAFETY: the model is live.
        unsafe { sys::llama_model_n_swa(self.raw.as_ptr()) }
    }

    /// Whether a part of the cache is a running state, which cannot go back by a token.
    pub fn is_recurrent(&self) -> bool {
        // SAFETY: the model is live.
        unsafe { sys::llama_model_is_recurrent(self.raw.as_ptr()) || sys::llama_model_is_hybrid(self.raw.as_ptr()) }
    }

    /// Whether a window is longer than what the model was first trained for: some models (Phi-3 and its like) rotate keys
    /// otherwise then, and a state of one kind of window means nothing in the other.
    pub fn turns_long(&self, window: u32) -> bool {
        let original = self
            .metadata("general.architecture")
            .and_then(|arch| self.metadata(&format!("{arch}.rope.scaling.original_context_length"))?.parse::<u32>().ok());
        original.is_some_and(|original| window > original)
    }

    /// A value of the file's metadata, as text.
    pub fn metadata(&self, key: &str) -> Option<String> {
        let key = CString::new(key).ok()?;
        let mut buffer = vec![0_u8; 512];
        // SAFETY: the buffer's length is given.
        let length =
            unsafe { sys::llama_model_meta_val_str(self.raw.as_ptr(), key.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
        let length = usize::try_from(length).ok()?;
        buffer.truncate(length.min(511));
        String::from_utf8(buffer).ok()
    }

    /// Which words and tools the file says that the model was made for.
    pub fn profile(&self) -> Profile {
        if self.metadata("agent.profile").as_deref() == Some("micro") { Profile::Micro } else { Profile::Full }
    }

    /// The model's name: its author's, else the file's.
    pub fn name(&self, path: &Path) -> String {
        self.metadata("general.name").unwrap_or_else(|| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
    }

    /// Tokenizes. `special` decides what becomes of special tokens' text.
    pub fn tokenize(&self, text: &str, special: Special) -> Vec<Token> {
        let Ok(length) = i32::try_from(text.len()) else { return Vec::new() };
        let (add, parse) = match special {
            Special::Plain => (false, false),
            Special::Parsed => (false, true),
            Special::Prompt => (true, true),
        };
        // Two more than bytes: a begin and an end token. A vocabulary that writes a space as three bytes may need more.
        let mut tokens = vec![0; text.len() + 2];
        let tokenize = |tokens: &mut [sys::llama_token]| {
            // SAFETY: buffer and text have the lengths given; a negative answer asks for that much room.
            unsafe {
                let (from, to, room) = (text.as_ptr().cast(), tokens.as_mut_ptr(), tokens.len() as i32);
                sys::llama_tokenize(self.vocab(), from, length, to, room, add, parse)
            }
        };
        let mut count = tokenize(&mut tokens);
        if count < 0 {
            tokens.resize(count.unsigned_abs() as usize, 0);
            count = tokenize(&mut tokens);
        }
        tokens.truncate(count.max(0) as usize);
        tokens.into_iter().map(Token).collect()
    }

    /// Appends a token's bytes. `special`: special tokens are written as their text, otherwise as nothing.
    pub fn piece(&self, token: Token, special: bool, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + 64, 0);
        let write = |buffer: &mut [u8]| {
            // SAFETY: the buffer's length is given; token ids are checked by llama.cpp.
            unsafe {
                sys::llama_token_to_piece(self.vocab(), token.0, buffer.as_mut_ptr().cast(), buffer.len() as i32, 0, special)
            }
        };
        let mut length = write(&mut out[start..]);
        if length < 0 {
            out.resize(start + length.unsigned_abs() as usize, 0);
            length = write(&mut out[start..]);
        }
        out.truncate(start + length.max(0) as usize);
    }

    /// Gives all tokens by how they are written, special ones by their text, sorted. Cost: about 0.1 s and 10 MB for 150,000
    /// tokens, once.
    pub fn pieces(&self) -> &[(Vec<u8>, Token)] {
        self.pieces.get_or_init(|| {
            let written = |id| {
                let mut piece = Vec::new();
                self.piece(Token(id), true, &mut piece);
                (piece, Token(id))
            };
            let mut all: Vec<_> = (0..self.vocab_size() as i32).map(written).filter(|(piece, _)| !piece.is_empty()).collect();
            all.sort_unstable();
            all
        })
    }

    /// Whether a token ends a turn.
    pub fn is_end(&self, token: Token) -> bool {
        // SAFETY: the vocabulary is live.
        unsafe { sys::llama_vocab_is_eog(self.vocab(), token.0) }
    }

    /// Whether a token stands for markup, a control token or one that the file's author defined (`</tool_call>`).
    pub fn is_markup(&self, token: Token) -> bool {
        // SAFETY: the vocabulary is live.
        let attributes = unsafe { sys::llama_vocab_get_attr(self.vocab(), token.0) };
        attributes & (sys::LLAMA_TOKEN_ATTR_CONTROL | sys::LLAMA_TOKEN_ATTR_USER_DEFINED) != 0
    }

    /// Whether a token is markup that no text contains.
    pub fn is_control(&self, token: Token) -> bool {
        // SAFETY: the vocabulary is live.
        unsafe { sys::llama_vocab_is_control(self.vocab(), token.0) }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: freed once; contexts borrow the model and are gone.
        unsafe { sys::llama_model_free(self.raw.as_ptr()) }
    }
}

/// How special tokens are treated in tokenizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Text inside a message: nothing is special.
    Plain,
    /// Rendered by a template: special tokens' text becomes the tokens.
    Parsed,
    /// The beginning of a prompt: as `Parsed`, with the model's begin token in front.
    Prompt,
}
