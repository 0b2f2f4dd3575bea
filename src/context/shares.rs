//! How the window divides: ceilings that add up to it, and what really stands in each part.
//!
//! The engine's count of the first prompt settles the sum; the parts that have a text of their own are counted by it, and what
//! is left over (the tools, and what the template puts around everything) is the tools'.

use crate::protocol::window::{Share, Shares};
use crate::units::Tokens;

/// A window above this has no larger instructions, tools or notes.
const LARGE: u32 = 32_768;

/// What stands before the conversation, counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Front {
    pub system: Tokens,
    pub environment: Tokens,
    /// The words that the conversation begins with.
    pub task: Tokens,
}

/// Divides a window of which `reserve` is kept for an answer, and whose first prompt had `prompt` tokens.
///
/// A sixteenth for the instructions, three each for the tools and for environment and notes: in a window of 4,096 these are 256,
/// 768 and 768. What the three leave of their ceilings, the conversation has.
pub fn divide(window: Tokens, reserve: Tokens, prompt: Tokens, front: &Front) -> Shares {
    let sixteenths = |n: u32| Tokens(window.0.min(LARGE) / 16 * n);
    let (system, tools, environment) = (sixteenths(1), sixteenths(3), sixteenths(3));
    let Front { system: instructions, environment: here, task } = *front;
    Shares {
        window,
        system: Share { used: instructions, ceiling: system },
        tools: Share { used: prompt - instructions - here - task, ceiling: tools },
        environment: Share { used: here, ceiling: environment },
        conversation: Share { used: task, ceiling: window - system - tools - environment - reserve },
        reserve: Share { used: Tokens::ZERO, ceiling: reserve },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_ceilings_add_up_to_the_window_and_the_parts_to_the_prompt(
            window in 256u32..1 << 20, answer in 1u32..8_192, system in 0u32..400, here in 0u32..400, task in 0u32..400, tools in 0u32..900,
        ) {
            let front = Front { system: Tokens(system), environment: Tokens(here), task: Tokens(task) };
            let reserve = Tokens(answer.min(window / 4));
            let shares = divide(Tokens(window), reserve, Tokens(system + here + task + tools), &front);
            let parts = [shares.system, shares.tools, shares.environment, shares.conversation, shares.reserve];
            prop_assert_eq!(parts.iter().map(|part| part.ceiling).sum::<Tokens>(), Tokens(window));
            prop_assert_eq!(parts.iter().map(|part| part.used).sum::<Tokens>(), Tokens(system + here + task + tools));
            prop_assert_eq!(shares.tools.used, Tokens(tools));
        }
    }
}
