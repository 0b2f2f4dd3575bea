//! The binary: everything is in the library, so that tests and tools reach it too.

fn main() -> std::process::ExitCode {
    agent::cli::main()
}
