//! Ids for calls, unique within a conversation.
//!
//! A server's own id is kept where it can be; one that is missing, empty or taken already (some servers count from zero in
//! every turn) is replaced. Ours are nine letters and digits, because Mistral's templates refuse any other length.

use crate::protocol::message::Message;
use std::collections::HashSet;

/// The ids that a conversation has used.
#[derive(Debug, Default)]
pub struct CallIds {
    taken: HashSet<String>,
}

impl CallIds {
    /// Collects the ids of a conversation.
    pub fn of(messages: &[Message]) -> Self {
        let calls = messages.iter().filter_map(|m| match m {
            Message::Assistant { calls, .. } => Some(calls),
            _ => None,
        });
        Self { taken: calls.flatten().map(|c| c.id.clone()).collect() }
    }

    /// Takes an id: the offered one when it is free, else the next of ours. Pass an empty text when none was offered.
    pub fn take(&mut self, offered: &str) -> String {
        if !offered.is_empty() && self.taken.insert(offered.to_owned()) {
            return offered.to_owned();
        }
        let mut n = self.taken.len() + 1;
        loop {
            let id = format!("c{n:08}");
            if self.taken.insert(id.clone()) {
                return id;
            }
            n += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::call_ids::CallIds;
    use crate::protocol::message::{Call, Message};

    #[test]
    fn keeps_free_ids_and_replaces_the_rest() {
        let call = |id: &str| Call { id: id.into(), name: "read".into(), arguments: "{}".into() };
        let said =
            [Message::Assistant { text: String::new(), thinking: String::new(), calls: vec![call("call_0"), call("c00000003")] }];
        let mut ids = CallIds::of(&said);
        assert_eq!(ids.take("call_1"), "call_1");
        assert_eq!(ids.take("call_0"), "c00000004");
        assert_eq!(ids.take(""), "c00000005");
        assert_eq!(ids.take("call_1"), "c00000006");
    }

    #[test]
    fn never_meets_an_id_of_its_own_shape() {
        let call = |id: &str| Call { id: id.into(), name: "read".into(), arguments: "{}".into() };
        let said = [Message::Assistant { text: String::new(), thinking: String::new(), calls: vec![call("c00000002")] }];
        assert_eq!(CallIds::of(&said).take(""), "c00000003");
    }
}
