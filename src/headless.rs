//! `agent run`: one headless turn of the loop.
