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
    """A sequence and what is predicted in it: token `target[k]` after position `source[k]`; and where candidates end."""

    ids: Tokens
    positions: Tokens
    ends: Tokens
    source: Tokens
    target: Tokens
    weight: list[float]
    #: The position of each candidate's last token.
    leaves: Tokens
    right: int

    def __len__(self) -> int:
        return len(self.ids)


def pack(prompt: Tokens, candidates: list[Tokens], right: int) -> Packed:
    """Lays out `candidates` behind `prompt`."""
    n = len(prompt)
    nodes: list[tuple[int, int]] = []
    ends: Tokens = []
    leaves: Tokens = [0] * len(candidates)
    branch: list[tuple[int, int]] = []

    def close(depth: int) -> None:
        while len(branch) > depth:
            ends[branch.pop()[1]] = len(nodes)

    way: Tokens = []
    for i in sorted(range(len(candidates)), key=lambda i: candidates[i]):
        tokens = candidates[i]
        shared = 0
        while shared < min(len(branch), len(tokens)) and branch[shared][0] == tokens[shared]:
            shared += 1
        close(shared)
        for depth in range(shared, len(tokens)):
            branch.append((tokens[depth], len(nodes)))
            nodes.append((tokens[depth], depth))
            ends.append(0)
        leaves[i] = n + branch[-1][1]
        if i == right:
            way = [n - 1, *(n + node for _, node in branch)]
    close(0)
    total = n + len(nodes)
    return Packed(
        ids=[*prompt, *(token for token, _ in nodes)],
        positions=[*range(n), *(n + depth for _, depth in nodes)],
        ends=[total] * n + [n + end for end in ends],
        source=way[:-1],
        target=list(candidates[right]),
        weight=[0.0] * len(candidates[right]),
        leaves=leaves,
        right=right,
    )


def choose(candidates: list[Tokens], right: int, most: int, rng: np.random.Generator) -> list[int]:
    """Indices of at most `most` candidates, the right one first, then up to half from its own line, then any others."""
    others = [i for i in rng.permutation(len(candidates)) if i != right]
    same = [i for i in others if candidates[i][0] == candidates[right][0]]
    near = same[: most * 2 // 5]
    taken = set(near)
    return [right, *near, *(i for i in others if i not in taken)][:most]
