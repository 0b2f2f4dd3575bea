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
from tokenizer import Tokenizer
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
    #: Predictions of the plain loss: after which position, which token, with what weight.
    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    #: Candidates: where they end, which are real, which is right.
    leaves: np.ndarray
    real: np.ndarray
    right: np.ndarray


class Shape(NamedTuple):
    examples: int
    length: int
    predictions: int
    candidates: int

    @classmethod
    def of(cls, length: int, tokens: int, candidates: int) -> Shape:
        return cls(max(1, round(tokens / length)), length, length // 4, candidates)


@dataclass
class Recipe:
    """What a batch is made of. Weights of the plain loss are per token, that of the ranking loss per example is 1."""

    tokens: int = 4096
    candidates: int = 40
    write_weight: float = 1.0
    prompt_weight: float = 0.1
    #: Share of the prompt's tokens that are predicted.
    prompt_share: float = 0.3
    episode_weight: float = 0.3
    #: Share of sequences that are random tokens to copy.
    copying: float = 0.1
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
    made = pack(example.prompt, [candidates[i] for i in chosen], 0)
    made.weight = [recipe.write_weight] * len(made.weight)
    count = int(len(example.prompt) * recipe.prompt_share)
    for at in rng.choice(len(example.prompt) - 1, count, replace=False) if count else ():
        made.source.append(int(at))
        made.target.append(example.prompt[at + 1])
        made.weight.append(recipe.prompt_weight)
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
        weight=[recipe.episode_weight] * len(learned),
        leaves=[],
        right=0,
    )


def copying(words: int, recipe: Recipe, rng: np.random.Generator) -> Packed:
    """Random tokens, then stretches of them again. Without this the heads that copy, which the model starts with, are lost
    before it has found a use for them."""
    length = LENGTHS[0]
    ids = rng.integers(0, words, 64).tolist()
    learned = []
    while len(ids) < length - 24:
        start, count = rng.integers(0, 48), rng.integers(6, 24)
        # Nobody can know where a stretch begins; its second token is ambiguous where the first occurs twice.
        learned += range(len(ids) + 1, len(ids) + count)
        ids += ids[start : start + count]
    learned = [i for i in learned if i < len(ids)]
    made = _text(Example(ids, [], -1, [0] * len(ids), {}), recipe)
    made.source, made.target = [i - 1 for i in learned], [ids[i] for i in learned]
    made.weight = [recipe.prompt_weight] * len(learned)
    return made


def stack(sequences: list[Packed], shape: Shape) -> Batch:
    """Pads sequences to `shape`. Edges that do not fit are left out: those of the plain loss stand last."""
    n, length, predictions, candidates = shape
    out = Batch(
        ids=np.zeros((n, length), np.int32),
        positions=np.zeros((n, length), np.int32),
        ends=np.full((n, length), length, np.int32),
        source=np.zeros((n, predictions), np.int32),
        target=np.zeros((n, predictions), np.int32),
        weight=np.zeros((n, predictions), np.float32),
        leaves=np.zeros((n, candidates), np.int32),
        real=np.zeros((n, candidates), bool),
        right=np.zeros(n, np.int32),
    )
    for i, s in enumerate(sequences):
        out.ids[i, : len(s)], out.positions[i, : len(s)], out.ends[i, : len(s)] = s.ids, s.positions, s.ends
        kept = min(predictions, len(s.source))
        out.source[i, :kept], out.target[i, :kept], out.weight[i, :kept] = s.source[:kept], s.target[:kept], s.weight[:kept]
        out.leaves[i, : len(s.leaves)] = s.leaves
        out.real[i, : len(s.leaves)] = True
        out.right[i] = s.right
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


def _produce(queue: mp.Queue, folder: Path, recipe: Recipe, tokenizer: Tokenizer, seed: int) -> None:
    os.nice(3)
    rng = np.random.default_rng(seed)
    shapes = recipe.shapes()
    waiting: dict[int, list[Packed]] = {length: [] for length in shapes}
    for example in _endless(folder, rng):
        drill = rng.random() < recipe.copying
        made = copying(tokenizer.words, recipe, rng) if drill else packed(example, recipe, tokenizer.stop, rng)
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

    def __init__(self, folder: Path, recipe: Recipe, tokenizer: Tokenizer, workers: int) -> None:
        context = mp.get_context("fork")
        self._queue: mp.Queue = context.Queue(24)
        self._workers = [
            context.Process(target=_produce, args=(self._queue, folder, recipe, tokenizer, recipe.seed + i), daemon=True)
            for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def next(self) -> tuple[Batch, int]:
        return self._queue.get()

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()
