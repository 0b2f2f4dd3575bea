//! Compiles the bridge, and the imaginary devices, against the very llama.cpp that llama-cpp-sys-2 built.

#[cfg(feature = "llama")]
fn main() {
    use std::path::{Path, PathBuf};
    const SOURCES: [&str; 2] = ["src/engine/bridge.cpp", "src/engine/imaginary.cpp"];
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    // llama-cpp-sys-2 (links = "llama") exports one path, OUT_DIR/lib/cmake; CMake's cache there names its sources.
    let exported =
        std::env::var("DEP_LLAMA_GGML_CMAKE_DIR").expect("llama-cpp-sys-2 is a direct dependency and exports its CMake folder");
    let out = Path::new(&exported).ancestors().nth(2).expect("the CMake folder lies two levels inside OUT_DIR").to_path_buf();
    let cache = std::fs::read_to_string(out.join("build/CMakeCache.txt")).expect("llama-cpp-sys-2 was built with CMake");
    let source = cache
        .lines()
        .find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="))
        .expect("CMake caches its source folder");
    let source = PathBuf::from(source);
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").warnings(false).files(SOURCES);
    for folder in ["include", "src", "ggml/include", "ggml/src", "common", "vendor"] {
        build.include(source.join(folder));
    }
    build.compile("agent_bridge");
}

#[cfg(not(feature = "llama"))]
fn main() {}
