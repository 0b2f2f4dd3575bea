"""The network: llama.cpp's `qwen2` layout (biases on q, k, v; RMS norm; SwiGLU; rotary positions; tied embeddings).

It starts with heads that already look one, two and three tokens back, and with heads that find an earlier place like the
present one and copy what came next. A model this small does not find them by itself in the time it has.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from batches import Batch

Params = dict[str, Any]
EPSILON = 1e-6
BLOCK = 128


@dataclass(frozen=True)
class Shape:
    """Sizes. `width` is `heads` x `head`, as llama.cpp wants it."""

    vocabulary: int
    width: int = 192
    layers: int = 6
    heads: int = 6
    hidden: int = 512
    rope_base: float = 1e6

    @property
    def head(self) -> int:
        return self.width // self.heads

    def frequencies(self) -> np.ndarray:
        return self.rope_base ** (-np.arange(0, self.head, 2) / self.head)

    def stored(self) -> dict:
        return asdict(self)


def initial(shape: Shape, seed: int, induction: bool = True) -> Params:
    rng = np.random.default_rng(seed)
    d, f = shape.width, shape.hidden

    def normal(rows: int, columns: int, scale: float) -> np.ndarray:
        return (rng.normal(size=(rows, columns)) * scale).astype(np.float32)

    def layer() -> Params:
        quiet = 0.1 / np.sqrt(2 * shape.layers)
        return {
            "qkv": normal(d, 3 * d, d**-0.5),
            "bias": np.zeros(3 * d, np.float32),
            "out": normal(d, d, quiet * d**-0.5),
            "gate_up": normal(d, 2 * f, d**-0.5),
            "down": normal(f, d, quiet * f**-0.5),
            "norm1": np.ones(d, np.float32),
            "norm2": np.ones(d, np.float32),
        }

    params = {
        "embedding": normal(shape.vocabulary, d, 4 * d**-0.5),
        "norm": np.full(d, 0.15, np.float32),
        "layers": [layer() for _ in range(shape.layers)],
    }
    if induction:
        _induction(params["layers"], shape, rng)
    return params


def _induction(layers: list[Params], shape: Shape, rng: np.random.Generator) -> None:
    """Lays the heads described above into the first two layers.

    Each head of layer 0 reads all tokens through one projection `seen` and writes into a subspace of its own, so that
    layer 1 finds "the token k back" there. Content is compared only in the slow half of the rotary frequencies.
    """
    d, head = shape.width, shape.head
    half, theta = head // 2, shape.frequencies()

    def orthogonal(columns: int) -> np.ndarray:
        return np.linalg.qr(rng.normal(size=(d, columns)))[0].astype(np.float32)

    def columns(h: int) -> list[np.ndarray]:
        return [np.arange(part * d + h * head, part * d + (h + 1) * head) for part in range(3)]

    seen = orthogonal(head)
    backs = np.split(orthogonal(3 * head), 3, axis=1)
    first, second = layers[0], layers[1]
    fast = 6.3 * (np.arange(half) < half // 2)
    for h, distance in enumerate((1, 2, 3)):
        q, k, v = columns(h)
        first["qkv"][:, q] *= 0.1
        first["qkv"][:, k] *= 0.1
        first["bias"][q] = np.concatenate([fast * np.cos(theta * distance), -fast * np.sin(theta * distance)])
        first["bias"][k] = np.concatenate([fast, 0 * fast])
        first["qkv"][:, v] = seen
        first["out"][h * head : (h + 1) * head] = 0.7 * backs[h].T

    slow = np.concatenate([np.arange(half // 2 - 1, half), np.arange(half // 2 - 1, half) + half])
    # What a head compares: the tokens so far back from here. The key's are one further back, so that its value is what
    # came next.
    for h, compared in enumerate(((0,), (0, 1), (0, 1, 2), (0, 1))):
        q, k, v = columns(h)
        second["qkv"][:, q] *= 0.05
        second["qkv"][:, k] *= 0.05
        width = len(slow) // len(compared)
        for part, back in enumerate(compared):
            here = seen if back == 0 else backs[back - 1]
            at = slice(part * width, (part + 1) * width)
            second["qkv"][:, q[slow[at]]] = 3.4 * here[:, at]
            second["qkv"][:, k[slow[at]]] = 2.2 * backs[back][:, at]
        copy = orthogonal(head)
        second["qkv"][:, v] = copy
        second["out"][h * head : (h + 1) * head] = 2.0 * copy.T


def _norm(x: jax.Array, weight: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + EPSILON) * weight


def _attend(q: jax.Array, k: jax.Array, v: jax.Array, ends: jax.Array) -> jax.Array:
    """Attention over what is visible, in blocks of queries: what lies above the diagonal is never computed."""
    length, out = q.shape[2], []
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        i, j = jnp.arange(start, stop)[:, None], jnp.arange(stop)[None]
        visible = (j <= i)[None] & (i[None] < ends[:, None, :stop])
        scores = jnp.einsum("bhtd,bhsd->bhts", q[:, :, start:stop], k[:, :, :stop])
        weights = jax.nn.softmax(jnp.where(visible[:, None], scores, -1e9), -1)
        out.append(jnp.einsum("bhts,bhsd->bhtd", weights, v[:, :, :stop]))
    return jnp.concatenate(out, 2)


def hidden(params: Params, shape: Shape, ids: jax.Array, positions: jax.Array, ends: jax.Array) -> jax.Array:
    """The last layer's output after its norm, (examples, length, width)."""
    n, length = ids.shape
    angles = positions[:, None, :, None] * shape.frequencies().astype(np.float32)
    cos, sin = jnp.cos(angles), jnp.sin(angles)

    def rotate(x: jax.Array) -> jax.Array:
        a, b = jnp.split(x, 2, -1)
        return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    x = params["embedding"][ids.reshape(-1)]
    for layer in params["layers"]:
        qkv = _norm(x, layer["norm1"]) @ layer["qkv"] + layer["bias"]
        q, k, v = qkv.reshape(n, length, 3, shape.heads, shape.head).transpose(2, 0, 3, 1, 4)
        mixed = _attend(rotate(q) * shape.head**-0.5, rotate(k), v, ends)
        x = x + mixed.transpose(0, 2, 1, 3).reshape(n * length, -1) @ layer["out"]
        gate, up = jnp.split(_norm(x, layer["norm2"]) @ layer["gate_up"], 2, -1)
        x = x + (jax.nn.silu(gate) * up) @ layer["down"]
    return _norm(x, params["norm"]).reshape(n, length, -1)


def verdicts(params: Params, shape: Shape, batch: Batch, marks: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """log P of every prediction, and of every candidate how much likelier the first mark is after it than the second (minus
    infinity where there is none)."""
    states = hidden(params, shape, batch.ids, batch.positions, batch.ends)
    rows = jnp.take_along_axis(states, batch.source[:, :, None], 1)
    own = jnp.sum(rows * params["embedding"][batch.target], -1)
    predicted = own - jax.nn.logsumexp(rows @ params["embedding"].T, -1)
    leaves = jnp.take_along_axis(states, batch.leaves[:, :, None], 1)
    scores = leaves @ (params["embedding"][marks[0]] - params["embedding"][marks[1]])
    return predicted, jnp.where(batch.real, scores, -1e9)


def loss(
    params: Params, shape: Shape, batch: Batch, marks: tuple[int, int], ranking: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """`ranking` times the ranking loss plus the weighted plain losses, all per example; and what to report."""
    predicted, scores = verdicts(params, shape, batch, marks)
    ranked = batch.real.any(-1)
    right = jnp.take_along_axis(scores, batch.right[:, None], 1)[:, 0]
    surprise = jnp.where(ranked, jax.nn.logsumexp(scores, -1) - right, 0.0).sum()
    plain = -(predicted * batch.weight).sum()
    examples = batch.ids.shape[0]
    count = jnp.maximum(1, ranked.sum())
    report = {
        "rank": surprise / count,
        "first": jnp.where(ranked, right >= scores.max(-1), False).sum() / count,
        "plain": plain / jnp.maximum(1e-9, batch.weight.sum()),
    }
    return (ranking * surprise + plain) / examples, report
