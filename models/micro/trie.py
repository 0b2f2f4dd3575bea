"""One example as one sequence: the prompt, then the trie of all candidates' tokens.

Nodes follow in depth-first order, so a position `j` is visible from `i` exactly if `j <= i < end[j]`: a mask needs one
number per token. A node's position is the prompt's length plus its depth. The last token of a candidate predicts nothing
and gets no node, only an edge; the right candidate keeps it, to learn to stop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Tokens = list[int]


@dataclass
class Packed:
    """A sequence and what is predicted in it. An edge is a prediction: token `target[e]` after position `source[e]`."""

    ids: Tokens
    positions: Tokens
    ends: Tokens
    source: Tokens
    target: Tokens
    weight: list[float]
    paths: list[Tokens]
    right: int

    def __len__(self) -> int:
        return len(self.ids)


def pack(prompt: Tokens, candidates: list[Tokens], right: int, stop: int | None) -> Packed:
    """Lays out `candidates` behind `prompt`. With `stop` the right one also predicts that token at its end."""
    n = len(prompt)
    nodes: list[tuple[int, int]] = []
    ends: Tokens = []
    edges: dict[tuple[int, int], int] = {}
    paths: list[Tokens] = [[] for _ in candidates]
    branch: list[tuple[int, int]] = []

    def close(depth: int) -> None:
        while len(branch) > depth:
            ends[branch.pop()[1]] = len(nodes)

    for i in sorted(range(len(candidates)), key=lambda i: candidates[i]):
        tokens = candidates[i]
        kept = len(tokens) - (stop is None or i != right)
        shared = 0
        while shared < min(len(branch), kept) and branch[shared][0] == tokens[shared]:
            shared += 1
        close(shared)
        for depth in range(shared, kept):
            branch.append((tokens[depth], len(nodes)))
            nodes.append((tokens[depth], depth))
            ends.append(0)
        before = [n - 1, *(n + node for _, node in branch)]
        paths[i] = [edges.setdefault((before[d], token), len(edges)) for d, token in enumerate(tokens)]
        if stop is not None and i == right:
            edges.setdefault((before[len(tokens)], stop), len(edges))
    close(0)
    total = n + len(nodes)
    return Packed(
        ids=[*prompt, *(token for token, _ in nodes)],
        positions=[*range(n), *(n + depth for _, depth in nodes)],
        ends=[total] * n + [n + end for end in ends],
        source=[at for at, _ in edges],
        target=[token for _, token in edges],
        weight=[0.0] * len(edges),
        paths=paths,
        right=right,
    )


def choose(candidates: list[Tokens], right: int, most: int, rng: np.random.Generator) -> list[int]:
    """Indices of at most `most` candidates, the right one first, then up to half from its own line, then any others."""
    others = [i for i in rng.permutation(len(candidates)) if i != right]
    same = [i for i in others if candidates[i][0] == candidates[right][0]]
    near = same[: most // 2]
    taken = set(near)
    return [right, *near, *(i for i in others if i not in taken)][:most]
