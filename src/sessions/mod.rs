//! The session log: append-only JSON lines.
