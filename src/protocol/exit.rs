//! How a command ends, as the contract numbers it.

/// The exit status of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// The work failed, or findings block.
    Failed = 1,
    Usage = 2,
    /// The engine or the model: cannot load, cannot be reached, gave out.
    Engine = 3,
    /// A budget of steps, seconds or tokens is spent.
    Budget = 4,
    /// A permission was denied.
    Denied = 5,
    /// Something was changed that nothing could verify.
    Unverified = 6,
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
