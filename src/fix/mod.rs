//! One shot: an issue in, a verified patch out.
