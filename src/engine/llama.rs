//! The door to llama.cpp: a model, a context over it, tokens in and out. Safe to call, whatever the arguments.
//!
//! llama-cpp-2 keeps its model and context pointers to itself, and neither the sampler of libcommon nor the abort
//! callback can do without them; so these two wrap llama-cpp-sys-2, and everything that can end the process is clamped
//! here: batches to the allocated size, sequences to those that there are, positions left to llama.cpp or judged by it.

mod allocator;
pub mod bare;
mod branches;
mod parameters;

pub use allocator::{Machine, devices};
pub use branches::Placed;
pub use parameters::Parameters;

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::bridge;
use crate::protocol::turn::Profile;
use llama_cpp_sys_2 as sys;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_void};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, Once};

/// A token of the model's vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Token(pub sys::llama_token);

/// A context's main sequence: the conversation.
const SEQUENCE: sys::llama_seq_id = 0;

/// The newest lines that llama.cpp logged as warnings or errors: the only place where it says why it cannot load.
static LOG: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
const LOG_LINES: usize = 32;
/// Whether stderr gets those lines too.
static ECHO: AtomicBool = AtomicBool::new(false);

/// Writes what llama.cpp warns of on stderr: an engine process's own log. A front end's stderr is a person's.
pub fn echo_log() {
    ECHO.store(true, Ordering::Relaxed);
}

unsafe extern "C" fn log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if level != sys::GGML_LOG_LEVEL_WARN && level != sys::GGML_LOG_LEVEL_ERROR {
        return;
    }
    // SAFETY: llama.cpp passes a NUL-terminated line.
    let line = unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned();
    if line.is_empty() {
        return;
    }
    if ECHO.load(Ordering::Relaxed) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    if let Ok(mut log) = LOG.lock() {
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}

/// Starts llama.cpp, once per process.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        bridge::quiet();
        // SAFETY: called once, before anything else of llama.cpp.
        unsafe {
            sys::llama_log_set(Some(log), null_mut());
            sys::llama_backend_init();
        }
    });
}

fn forget_log() {
    if let Ok(mut log) = LOG.lock() {
        log.clear();
    }
}

/// Why the last step failed, in llama.cpp's words: the first error is the cause, what follows are its callers' echoes.
fn reason() -> String {
    let log = LOG.lock().map(|log| log.clone()).unwrap_or_default();
    let line = log.iter().find(|l| l.contains("error")).or(log.back());
    line.map_or_else(
        || "llama.cpp gave no reason".to_owned(),
        |l| l.split_once(": ").map_or(l.as_str(), |(_, rest)| rest).to_owned(),
    )
}

/// A loaded model, or only its vocabulary.
pub struct Model {
    raw: NonNull<sys::llama_model>,
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
        NonNull::new(raw).map(|raw| Self { raw }).ok_or_else(|| failed(reason()))
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

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    Done,
    /// The cancel flag was seen; what of the batch was processed is in the cache.
    Cancelled,
    /// The cache has no room.
    Full,
}

/// A context over a model: a conversation in one window, and branches of it where the cache can have them.
pub struct Context {
    raw: NonNull<sys::llama_context>,
    /// The most tokens of one batch whose logits are kept.
    outputs: usize,
    /// Where the abort callback finds the flag of the turn that runs; null between turns. Not a `Box`: llama.cpp keeps a
    /// pointer into it, and moving a box claims that nobody does.
    flag: Arc<AtomicPtr<AtomicBool>>,
    /// The context points into the model.
    model: Arc<Model>,
}

// SAFETY: a context may move between threads, not be shared.
unsafe impl Send for Context {}

impl Context {
    /// Allocates the window. The error carries llama.cpp's own reason.
    pub fn new(model: &Arc<Model>, parameters: &Parameters, path: &Path) -> Result<Self, EngineError> {
        unsafe extern "C" fn aborted(data: *mut c_void) -> bool {
            // SAFETY: `data` is the pointer below, which outlives the context; the flag outlives the turn that sets it.
            unsafe {
                let flag = (*data.cast::<AtomicPtr<AtomicBool>>()).load(Ordering::Acquire);
                !flag.is_null() && (*flag).load(Ordering::Relaxed)
            }
        }
        forget_log();
        let flag = Arc::new(AtomicPtr::new(null_mut()));
        let mut params = parameters.context;
        params.n_seq_max = parameters.sequences(model);
        params.abort_callback = Some(aborted);
        params.abort_callback_data = Arc::as_ptr(&flag).cast_mut().cast();
        // SAFETY: the model is live and outlives the context.
        let raw = unsafe { sys::llama_init_from_model(model.raw.as_ptr(), params) };
        let failed = || EngineError::Load {
            path: path.to_owned(),
            reason: format!("no context of {} tokens: {}", params.n_ctx, reason()),
        };
        let outputs = params.n_outputs_max as usize;
        Ok(Self { raw: NonNull::new(raw).ok_or_else(failed)?, outputs, flag, model: Arc::clone(model) })
    }

    pub fn as_ptr(&mut self) -> *mut sys::llama_context {
        self.raw.as_ptr()
    }

    /// The window that was allocated, in tokens.
    pub fn window(&self) -> u32 {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_ctx(self.raw.as_ptr()) }
    }

    /// The most tokens of one `decode`.
    pub fn batch(&self) -> usize {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_batch(self.raw.as_ptr()) }.max(1) as usize
    }

    /// Processes up to [`batch`](Self::batch) tokens after what the cache holds; logits of the last one remain. After an
    /// error the cache is empty: what a failed batch leaves of it is not known.
    ///
    /// A recurrent model's batch runs to its end: its state, half advanced, could not go back, yet llama.cpp counts the
    /// whole batch as processed.
    pub fn decode(&mut self, tokens: &[Token], cancel: &AtomicBool) -> Result<Decoded, EngineError> {
        let tokens = &tokens[..tokens.len().min(self.batch())];
        if tokens.is_empty() {
            return Ok(Decoded::Done);
        }
        // SAFETY: the batch borrows the slice for the call only and is not written to; its length is within n_batch.
        unsafe {
            let batch = sys::llama_batch_get_one(tokens.as_ptr().cast::<sys::llama_token>().cast_mut(), tokens.len() as i32);
            self.process(batch, cancel)
        }
    }

    /// # Safety
    /// The batch's arrays have a row for each of its tokens, which are no more than `n_batch`.
    unsafe fn process(&mut self, batch: sys::llama_batch, cancel: &AtomicBool) -> Result<Decoded, EngineError> {
        forget_log();
        if !self.model.is_recurrent() {
            self.flag.store((&raw const *cancel).cast_mut(), Ordering::Release);
        }
        // SAFETY: the context is live, and the batch is as the caller says.
        let status = unsafe { sys::llama_decode(self.raw.as_ptr(), batch) };
        self.flag.store(null_mut(), Ordering::Release);
        match status {
            0 => Ok(Decoded::Done),
            1 => Ok(Decoded::Full),
            2 => Ok(Decoded::Cancelled),
            _ => {
                self.forget();
                Err(EngineError::Lost { reason: format!("llama.cpp could not process a batch ({status}): {}", reason()) })
            }
        }
    }

    fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: the context is live.
        unsafe { sys::llama_get_memory(self.raw.as_ptr()) }
    }

    /// How many tokens the cache holds.
    pub fn held(&self) -> usize {
        // SAFETY: the context is live; -1 means empty.
        (unsafe { sys::llama_memory_seq_pos_max(self.memory(), SEQUENCE) } + 1).max(0) as usize
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        // SAFETY: the context is live.
        unsafe { sys::llama_memory_clear(self.memory(), true) }
    }

    /// Forgets everything from `length` on. False where the cache cannot go back (recurrent layers, a sliding window
    /// that has moved on), or holds less than that: it is empty then.
    pub fn truncate(&mut self, length: usize, sliding_window: i32) -> bool {
        if length == self.held() {
            return true;
        }
        let memory = self.memory();
        let position = length as sys::llama_pos;
        // SAFETY: the context is live; position and sequence are in range.
        let kept = length > 0 && length < self.held() && unsafe { sys::llama_memory_seq_rm(memory, SEQUENCE, position, -1) };
        // A sliding-window cache removes gladly what it cannot give back: its oldest cell tells.
        let whole = || {
            // SAFETY: as above.
            let oldest = unsafe { sys::llama_memory_seq_pos_min(memory, SEQUENCE) };
            sliding_window <= 0 || oldest <= (position - sliding_window).max(0)
        };
        if kept && self.held() == length && whole() {
            return true;
        }
        self.forget();
        false
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { sys::llama_free(self.raw.as_ptr()) }
    }
}
