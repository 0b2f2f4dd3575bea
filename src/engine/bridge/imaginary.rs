//! The safe face of `imaginary.cpp`: accelerators that are not there, for plans and tests.

use crate::engine::memory::Imaginary;
use llama_cpp_sys_2 as sys;
use std::ffi::{CString, c_char};
use std::ptr::NonNull;

#[repr(C)]
struct Raw(());

unsafe extern "C" {
    fn agent_imaginary_open(name: *const c_char, total: usize, free: usize) -> *mut Raw;
    fn agent_imaginary_close(device: *mut Raw);
    fn agent_imaginary_device(device: *mut Raw) -> sys::ggml_backend_dev_t;
}

/// An imaginary accelerator as llama.cpp sees it. It outlives every model that is tried with it.
pub struct Accelerator(NonNull<Raw>);

// SAFETY: what a device counts is atomic, and the rest of it is not written to after it was opened.
unsafe impl Send for Accelerator {}

impl Accelerator {
    /// Makes one. `None` when memory is short.
    pub fn open(wanted: &Imaginary) -> Option<Self> {
        let name = CString::new(wanted.name.replace('\0', "\u{fffd}")).ok()?;
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        // SAFETY: the name is copied.
        let raw = unsafe { agent_imaginary_open(name.as_ptr(), bytes(wanted.total.0), bytes(wanted.free.0)) };
        NonNull::new(raw).map(Self)
    }

    /// The device, for a model's parameters.
    pub fn device(&self) -> sys::ggml_backend_dev_t {
        // SAFETY: the handle is live.
        unsafe { agent_imaginary_device(self.0.as_ptr()) }
    }
}

impl Drop for Accelerator {
    fn drop(&mut self) {
        // SAFETY: closed once.
        unsafe { agent_imaginary_close(self.0.as_ptr()) }
    }
}
