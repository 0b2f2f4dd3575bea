//! Texts to be scored as a tree of shared beginnings, and the order in which an engine processes it.
//!
//! Knows no model: tokens in, steps out, rows of logits back. A token that only ends texts is never processed, for nobody
//! asks what comes after it.

use std::ops::Range;

/// The least logarithm that is told: as good as impossible, and sums of it stay numbers that JSON knows.
const LEAST: f64 = -1e9;

/// Texts as a tree. Nodes stand in preorder, so that what a stretch of them shares has been met before it.
pub struct Trie<T> {
    nodes: Vec<Node<T>>,
    /// The nodes of the first tokens.
    first: Vec<usize>,
    /// The node that each text ends with; `None` for an empty one.
    ends: Vec<Option<usize>>,
}

struct Node<T> {
    token: T,
    parent: Option<usize>,
    /// Tokens of the text before it.
    depth: usize,
    children: Vec<usize>,
}

/// A token to be processed, once for all the lanes that pass through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    pub node: usize,
    pub token: T,
    /// Tokens between the prompt and it.
    pub depth: usize,
    /// The lanes of its chunk that it belongs to. A lane is one way through the tree, with a cache of its own.
    pub lanes: Range<usize>,
    /// Whether no chunk before had it: its logits are needed, and its cost counts.
    pub fresh: bool,
}

impl<T: Copy + Ord> Trie<T> {
    pub fn of(texts: &[Vec<T>]) -> Self {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by(|a, b| texts[*a].cmp(&texts[*b]));
        let mut trie = Self { nodes: Vec::new(), first: Vec::new(), ends: vec![None; texts.len()] };
        // The nodes of the text before: of all that came before, it shares the most with the next.
        let mut way: Vec<usize> = Vec::new();
        for text in order {
            let shared = way.iter().zip(&texts[text]).take_while(|(node, token)| trie.nodes[**node].token == **token).count();
            way.truncate(shared);
            for token in &texts[text][shared..] {
                way.push(trie.grow(way.last().copied(), *token));
            }
            trie.ends[text] = way.last().copied();
        }
        trie
    }

    fn grow(&mut self, parent: Option<usize>, token: T) -> usize {
        let node = self.nodes.len();
        let depth = parent.map_or(0, |parent| self.nodes[parent].depth + 1);
        self.nodes.push(Node { token, parent, depth, children: Vec::new() });
        match parent {
            Some(parent) => self.nodes[parent].children.push(node),
            None => self.first.push(node),
        }
        node
    }

    /// Tokens that the longest way puts behind the prompt.
    pub fn longest(&self) -> usize {
        self.tips().map(|tip| self.nodes[tip].depth + 1).max().unwrap_or(0)
    }

    /// How many ways there are: lanes that would take all of them at once.
    pub fn width(&self) -> usize {
        self.tips().count()
    }

    /// Cuts the work into chunks of at most so many lanes, and of at most so many tokens where more than one lane is in it.
    /// A chunk starts from the prompt alone, parents before children. A chunk of one lane begins with what the one before
    /// has of it already: the steps that are not fresh.
    pub fn chunks(&self, lanes: usize, room: usize) -> Vec<Vec<Step<T>>> {
        let mut chunks: Vec<Vec<Step<T>>> = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        // Where the steps of the last lane stand in the open chunk.
        let (mut chunk, mut way, mut lane): (Vec<Step<T>>, Vec<usize>, usize) = Default::default();
        for tip in self.tips() {
            let nodes = self.way(tip);
            let mut shared = way.iter().zip(&nodes).take_while(|(at, node)| chunk[**at].node == **node).count();
            if lane > 0 && (lane >= lanes || chunk.len() + nodes.len() - shared > room) {
                chunks.push(std::mem::take(&mut chunk));
                way.clear();
                (shared, lane) = (0, 0);
            }
            way.truncate(shared);
            for at in &way {
                chunk[*at].lanes.end = lane + 1;
            }
            for node in nodes.into_iter().skip(shared) {
                way.push(chunk.len());
                let Node { token, depth, .. } = self.nodes[node];
                let fresh = !std::mem::replace(&mut seen[node], true);
                chunk.push(Step { node, token, depth, lanes: lane..lane + 1, fresh });
            }
            lane += 1;
        }
        chunks.extend((!chunk.is_empty()).then_some(chunk));
        chunks
    }

    /// The last nodes that are processed on each way: something follows them, and nothing follows that.
    fn tips(&self) -> impl Iterator<Item = usize> {
        let inner = |node: usize| !self.nodes[node].children.is_empty();
        (0..self.nodes.len()).filter(move |node| inner(*node) && !self.nodes[*node].children.iter().any(|child| inner(*child)))
    }

    fn way(&self, tip: usize) -> Vec<usize> {
        let mut nodes: Vec<usize> = std::iter::successors(Some(tip), |node| self.nodes[*node].parent).collect();
        nodes.reverse();
        nodes
    }
}

/// What is known so far: each node's logarithm, its beginning's included.
pub struct Tally<'a, T> {
    trie: &'a Trie<T>,
    sums: Vec<f64>,
}

impl<'a, T: Copy> Tally<'a, T> {
    pub fn of(trie: &'a Trie<T>) -> Self {
        Self { trie, sums: vec![0.0; trie.nodes.len()] }
    }

    /// Learns what follows a node, or the prompt, from the logarithm of each token there. Parents come before children.
    pub fn learn(&mut self, node: Option<usize>, logprob: impl Fn(T) -> f64) {
        let (before, children) = match node {
            Some(node) => (self.sums[node], &self.trie.nodes[node].children),
            None => (0.0, &self.trie.first),
        };
        for child in children {
            let one = logprob(self.trie.nodes[*child].token);
            // A comparison with what is no number is false.
            self.sums[*child] = before + if one > LEAST { one } else { LEAST };
        }
    }

    /// The texts' logarithms, in their order. An empty text is certain.
    pub fn logprobs(&self) -> Vec<f64> {
        self.trie.ends.iter().map(|end| end.map_or(0.0, |node| self.sums[node])).collect()
    }
}

/// A row of logits, with the logarithm that makes probabilities of them.
pub struct Row<'a> {
    logits: &'a [f32],
    whole: f64,
}

impl<'a> Row<'a> {
    /// Costs an exponential for each token of the vocabulary: about a millisecond for 150,000.
    pub fn of(logits: &'a [f32]) -> Self {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Each term is good to 24 bits; their sum needs more.
        let sum: f64 = logits.iter().map(|logit| f64::from((logit - most).exp())).sum();
        Self { logits, whole: f64::from(most) + sum.ln() }
    }

    /// The logarithm of a token's probability.
    pub fn logprob(&self, token: usize) -> f64 {
        self.logits.get(token).map_or(f64::NEG_INFINITY, |logit| f64::from(*logit) - self.whole)
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::score::{LEAST, Row, Step, Tally, Trie};
    use proptest::prelude::*;

    /// What a model would say of a token after these: anything that depends on all of them, in order.
    fn model(before: &[u8], token: u8) -> f64 {
        let hash = before.iter().chain([&token]).fold(17_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte)));
        -f64::from(hash % 1000) / 100.0
    }

    /// Scores as an engine does: a cache for each lane, each step put into those of its lanes.
    fn through_the_tree(texts: &[Vec<u8>], lanes: usize, room: usize) -> (Vec<f64>, usize) {
        let trie = Trie::of(texts);
        let mut tally = Tally::of(&trie);
        let mut processed = 0;
        tally.learn(None, |token| model(&[], token));
        for chunk in trie.chunks(lanes, room) {
            let width = chunk.iter().map(|step| step.lanes.end).max().unwrap();
            assert!(width <= lanes.max(1) && (width == 1 || chunk.len() <= room), "{width} lanes, {} tokens", chunk.len());
            let mut caches = vec![Vec::new(); width];
            for Step { node, token, depth, lanes, fresh } in chunk {
                assert!(caches[lanes.clone()].iter().all(|cache| cache.len() == depth && *cache == caches[lanes.start]));
                caches[lanes.clone()].iter_mut().for_each(|cache| cache.push(token));
                processed += 1;
                if fresh {
                    tally.learn(Some(node), |next| model(&caches[lanes.start], next));
                }
            }
        }
        (tally.logprobs(), processed)
    }

    fn one_by_one(text: &[u8]) -> f64 {
        (0..text.len()).map(|at| model(&text[..at], text[at])).sum()
    }

    proptest! {
        #[test]
        fn the_tree_says_what_each_text_says_alone(
            texts in prop::collection::vec(prop::collection::vec(0_u8..3, 0..7), 0..24),
            lanes in 1_usize..9,
            room in 1_usize..30,
        ) {
            let (scores, processed) = through_the_tree(&texts, lanes, room);
            prop_assert_eq!(scores.len(), texts.len());
            for (score, text) in scores.iter().zip(&texts) {
                prop_assert!((score - one_by_one(text)).abs() < 1e-9, "{:?}: {}", text, score);
            }
            // Every beginning that something follows, once; more only where chunks repeat it.
            let mut beginnings: Vec<&[u8]> = texts.iter().flat_map(|t| (1..t.len()).map(|n| &t[..n])).collect();
            beginnings.sort_unstable();
            beginnings.dedup();
            prop_assert!(processed >= beginnings.len());
            prop_assert_eq!(through_the_tree(&texts, usize::MAX, usize::MAX).1, beginnings.len());
        }

        #[test]
        fn a_lane_alone_goes_on_from_the_one_before(texts in prop::collection::vec(prop::collection::vec(0_u8..3, 0..7), 0..24)) {
            let mut before: Vec<Step<u8>> = Vec::new();
            for chunk in Trie::of(&texts).chunks(1, usize::MAX) {
                let kept = chunk.iter().take_while(|step| !step.fresh).count();
                prop_assert!(chunk[kept..].iter().all(|step| step.fresh));
                let nodes = |steps: &[Step<u8>]| steps[..kept].iter().map(|step| step.node).collect::<Vec<_>>();
                prop_assert_eq!(nodes(&chunk), nodes(&before));
                before = chunk;
            }
        }
    }

    #[test]
    fn what_ends_texts_is_not_processed() {
        let texts = [b"ab".to_vec(), b"ac".to_vec(), b"a".to_vec(), b"x".to_vec(), Vec::new()];
        let trie = Trie::of(&texts);
        assert_eq!((trie.width(), trie.longest()), (1, 1));
        let steps: Vec<_> = trie.chunks(8, 8).concat().iter().map(|step| (step.token, step.lanes.clone())).collect();
        assert_eq!(steps, [(b'a', 0..1)]);
        assert_eq!(Trie::of(&[b"x".to_vec()]).chunks(8, 8), Vec::<Vec<Step<u8>>>::new());
    }

    #[test]
    fn lanes_share_their_beginning_within_a_chunk() {
        let texts = [b"1abz".to_vec(), b"1acz".to_vec(), b"1dz".to_vec(), b"2z".to_vec()];
        let spelled = |lanes| -> Vec<Vec<String>> {
            let spell = |step: &Step<u8>| {
                let fresh = if step.fresh { "" } else { " again" };
                format!("{} {}..{}{fresh}", char::from(step.token), step.lanes.start, step.lanes.end)
            };
            Trie::of(&texts).chunks(lanes, 99).iter().map(|chunk| chunk.iter().map(spell).collect()).collect()
        };
        assert_eq!(spelled(9), [["1 0..3", "a 0..2", "b 0..1", "c 1..2", "d 2..3", "2 3..4"]]);
        assert_eq!(spelled(2), [vec!["1 0..2", "a 0..2", "b 0..1", "c 1..2"], vec!["1 0..1 again", "d 0..1", "2 1..2"]]);
    }

    #[test]
    fn a_row_is_a_distribution() {
        let row = Row::of(&[1.0, -2.0, 80.5, 81.0, f32::NEG_INFINITY]);
        let whole: f64 = (0..5).map(|token| row.logprob(token).exp()).sum();
        assert!((whole - 1.0).abs() < 1e-7, "{whole}");
        assert!((row.logprob(3) - row.logprob(2) - 0.5).abs() < 1e-12);
        assert_eq!(row.logprob(9), f64::NEG_INFINITY, "no such token");
    }

    #[test]
    fn a_row_that_is_no_distribution_still_gives_numbers() {
        let trie = Trie::of(&[vec![1_usize, 0]]);
        for logits in [[f32::NAN, 0.0], [f32::NEG_INFINITY; 2], [f32::INFINITY; 2]] {
            let row = Row::of(&logits);
            let mut tally = Tally::of(&trie);
            tally.learn(None, |token| row.logprob(token));
            tally.learn(Some(0), |token| row.logprob(token));
            assert_eq!(tally.logprobs(), [2.0 * LEAST], "{logits:?}");
        }
    }
}
