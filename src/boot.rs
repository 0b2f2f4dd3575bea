//! The composition root: settings in, a running agent out.
