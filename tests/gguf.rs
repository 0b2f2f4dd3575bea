//! GGUF headers: what is refused, in which words, and that nothing a file says can hurt.

mod support;

use support::gguf::{Arch, Gguf};

#[test]
fn the_same_description_gives_the_same_bytes() {
    for arch in Arch::ALL {
        let model = Gguf::new(arch).vocab(400);
        assert_eq!(model.raw().bytes(), model.raw().bytes(), "{}", arch.name());
        assert_ne!(model.raw().bytes(), model.seed(2).raw().bytes(), "{}", arch.name());
    }
}
