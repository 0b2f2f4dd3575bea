"""Batches of equal shape from examples of any length, made in a process of their own.

Sequences are sorted into a few lengths; each length has one shape, so the trainer compiles once per length. A batch holds
about the same number of tokens whatever its length.
"""

from __future__ import annotations

import multiprocessing as mp
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from examples import Example, Shard
from trie import Packed, choose, pack

#: Padded lengths. Each costs a compilation of half a minute.
LENGTHS = (192, 256, 320, 384, 512, 640, 768, 1024)
#: Longest candidate, in tokens.
PATH = 32
#: After so many examples a producer looks for new shards.
RESCAN = 2000


class Batch(NamedTuple):
    """Arrays of one step; the first axis is the example."""

    ids: np.ndarray
    positions: np.ndarray
    ends: np.ndarray
    #: Positions whose next token is predicted, without repetition.
    rows: np.ndarray
    #: Edges: index into `rows`, token, weight in the plain language-model loss.
    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    #: Candidates: indices of their edges (one past the last edge is no edge), which are real, which is right.
    paths: np.ndarray
    real: np.ndarray
    right: np.ndarray


class Shape(NamedTuple):
    examples: int
    length: int
    rows: int
    edges: int
    candidates: int

    @classmethod
    def of(cls, length: int, tokens: int, candidates: int) -> Shape:
        return cls(max(1, round(tokens / length)), length, length * 7 // 16, length // 2 + 64, candidates)


@dataclass
class Recipe:
    """What a batch is made of. Weights are relative to the ranking loss of an example."""

    tokens: int = 4096
    candidates: int = 24
    write_weight: float = 0.2
    prompt_weight: float = 0.2
    episode_weight: float = 1.0
    #: Share of the prompt's tokens that are predicted.
    prompt_share: float = 0.15
    seed: int = 7

    def shapes(self) -> dict[int, Shape]:
        return {length: Shape.of(length, self.tokens, self.candidates) for length in LENGTHS}


def packed(example: Example, recipe: Recipe, stop: int, rng: np.random.Generator) -> Packed | None:
    """An example as a training sequence; none where it is too long."""
    if not example.candidates:
        return _text(example, recipe)
    if not 0 <= example.right < len(example.candidates) or len(example.candidates[example.right]) >= PATH:
        return None
    candidates = [c for i, c in enumerate(example.candidates) if len(c) <= PATH]
    right = candidates.index(example.candidates[example.right])
    chosen = choose(candidates, right, recipe.candidates, rng)
    made = pack(example.prompt, [candidates[i] for i in chosen], 0, stop)
    written = {*made.paths[0], *(e for e, token in enumerate(made.target) if token == stop)}
    for edge in written:
        made.weight[edge] = recipe.write_weight / len(written)
    count = int(len(example.prompt) * recipe.prompt_share)
    for at in rng.choice(len(example.prompt) - 1, count, replace=False) if count else ():
        made.source.append(int(at))
        made.target.append(example.prompt[at + 1])
        made.weight.append(recipe.prompt_weight / count)
    return made


def _text(example: Example, recipe: Recipe) -> Packed:
    ids, total = example.prompt, len(example.prompt)
    learned = [i for i in range(1, total) if example.learn[i]]
    return Packed(
        ids=ids,
        positions=list(range(total)),
        ends=[total] * total,
        source=[i - 1 for i in learned],
        target=[ids[i] for i in learned],
        weight=[recipe.episode_weight / max(1, len(learned))] * len(learned),
        paths=[],
        right=0,
    )


def stack(sequences: list[Packed], shape: Shape) -> Batch:
    """Pads sequences to `shape`. Edges that do not fit are left out: those of the plain loss stand last."""
    n, length, rows, edges, candidates = shape
    out = Batch(
        ids=np.zeros((n, length), np.int32),
        positions=np.zeros((n, length), np.int32),
        ends=np.full((n, length), length, np.int32),
        rows=np.zeros((n, rows), np.int32),
        source=np.zeros((n, edges), np.int32),
        target=np.zeros((n, edges), np.int32),
        weight=np.zeros((n, edges), np.float32),
        paths=np.full((n, candidates, PATH), edges, np.int32),
        real=np.zeros((n, candidates), bool),
        right=np.zeros(n, np.int32),
    )
    for i, s in enumerate(sequences):
        out.ids[i, : len(s)], out.positions[i, : len(s)], out.ends[i, : len(s)] = s.ids, s.positions, s.ends
        row_of: dict[int, int] = {}
        kept = 0
        for at, target, weight in zip(s.source, s.target, s.weight):
            if kept == edges or (at not in row_of and len(row_of) == rows):
                break
            out.source[i, kept] = row_of.setdefault(at, len(row_of))
            out.target[i, kept], out.weight[i, kept] = target, weight
            kept += 1
        out.rows[i, : len(row_of)] = list(row_of)
        for c, path in enumerate(s.paths):
            if all(edge < kept for edge in path):
                out.paths[i, c, : len(path)] = path
                out.real[i, c] = True
        out.right[i] = s.right
        if s.paths and not out.real[i, s.right]:
            out.real[i], out.weight[i] = False, 0.0
    return out


def _endless(folder: Path, rng: np.random.Generator) -> Iterator[Example]:
    """Training examples in random order, none twice before all were seen. Shards may appear while it runs."""
    shards: dict[Path, Shard] = {}
    unseen: list[tuple[Path, int]] = []
    while True:
        new = [path for path in sorted(folder.glob("train*.npz")) if path not in shards]
        shards |= {path: Shard(path) for path in new}
        unseen += [(path, i) for path in (new if unseen else shards) for i in range(len(shards[path]))]
        unseen = [unseen[i] for i in rng.permutation(len(unseen))]
        for path, i in unseen[:RESCAN]:
            yield shards[path][i]
        unseen = unseen[RESCAN:]


def _produce(queue: mp.Queue, folder: Path, recipe: Recipe, stop: int, seed: int) -> None:
    os.nice(3)
    rng = np.random.default_rng(seed)
    shapes = recipe.shapes()
    waiting: dict[int, list[Packed]] = {length: [] for length in shapes}
    for example in _endless(folder, rng):
        made = packed(example, recipe, stop, rng)
        length = next((n for n in shapes if made is not None and len(made) <= n), None)
        if length is None:
            continue
        waiting[length].append(made)
        if len(waiting[length]) == shapes[length].examples:
            tokens = sum(map(len, waiting[length]))
            queue.put((stack(waiting[length], shapes[length]), tokens))
            waiting[length] = []


class Loader:
    """A queue of (batch, real tokens in it) filled by `workers` processes. Start it before anything touches jax."""

    def __init__(self, folder: Path, recipe: Recipe, stop: int, workers: int) -> None:
        context = mp.get_context("fork")
        self._queue: mp.Queue = context.Queue(24)
        self._workers = [
            context.Process(target=_produce, args=(self._queue, folder, recipe, stop, recipe.seed + i), daemon=True)
            for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def next(self) -> tuple[Batch, int]:
        return self._queue.get()

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()
