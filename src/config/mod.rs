//! Settings in layers, each with its origin.
