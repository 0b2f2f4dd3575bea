"""Muon for the matrices inside the layers, Adam for everything else.

Muon (Keller Jordan, 2024) replaces a matrix's momentum by the nearest matrix with equal singular values, found by a few
Newton-Schulz steps. Fused matrices are taken apart first: q, k and v learn at their own scales.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from model import Params

#: How many matrices stand side by side in a fused one.
FUSED = {"qkv": 3, "gate_up": 2, "out": 1, "down": 1}
MOMENTUM = 0.95
ADAM_RATE = 0.33
DECAY = 0.02


class State(NamedTuple):
    step: jax.Array
    mean: Params
    square: Params


def start(params: Params) -> State:
    zeros = jax.tree.map(jnp.zeros_like, params)
    return State(jnp.zeros((), jnp.int32), zeros, jax.tree.map(jnp.zeros_like, params))


def _orthogonal(stack: jax.Array) -> jax.Array:
    """Five Newton-Schulz steps on a stack of matrices, scaled by shape so that one learning rate suits all."""
    rows, columns = stack.shape[-2:]
    x = stack.swapaxes(-1, -2) if rows > columns else stack
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(5):
        square = x @ x.swapaxes(-1, -2)
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    x = x.swapaxes(-1, -2) if rows > columns else x
    return x * max(1.0, columns / rows) ** 0.5


def _muon(name: str, weights: list[jax.Array], gradients: list[jax.Array], means: list[jax.Array], rate: jax.Array):
    """One step for the same matrix of all layers at once: one batch of products instead of many small ones."""
    parts = FUSED[name]
    means = [MOMENTUM * m + g for m, g in zip(means, gradients)]
    ahead = [g + MOMENTUM * m for m, g in zip(means, gradients)]
    split = jnp.stack([piece for x in ahead for piece in jnp.split(x, parts, 1)])
    turned = _orthogonal(split)
    moves = [jnp.concatenate(list(turned[i * parts : (i + 1) * parts]), 1) for i in range(len(ahead))]
    return [w * (1 - rate * DECAY) - rate * u for w, u in zip(weights, moves)], means


def _adam(weight: Any, gradient: Any, mean: Any, square: Any, step: jax.Array, rate: jax.Array):
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.98 * square + 0.02 * gradient * gradient
    move = (mean / (1 - 0.9**step)) / (jnp.sqrt(square / (1 - 0.98**step)) + 1e-9)
    return weight - rate * ADAM_RATE * move, mean, square


def update(params: Params, gradients: Params, state: State, rate: jax.Array) -> tuple[Params, State]:
    """One step at learning rate `rate` (of Muon; Adam's is a fixed share of it). Adam's gradients are clipped to norm 1."""
    step = state.step + 1
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
    clipped = jax.tree.map(lambda g: g / jnp.maximum(1.0, norm), gradients)
    done = jax.tree.map(
        lambda w, g, m, s: _adam(w, g, m, s, step.astype(jnp.float32), rate),
        params, clipped, state.mean, state.square,
    )  # fmt: skip
    params_, mean, square = (
        jax.tree.map(lambda t: t[i], done, is_leaf=lambda t: isinstance(t, tuple)) for i in range(3)
    )
    for name in FUSED:
        old, grads, means = ([layer[name] for layer in tree["layers"]] for tree in (params, gradients, state.mean))
        for i, (w, m) in enumerate(zip(*_muon(name, old, grads, means, rate))):
            params_["layers"][i][name], mean["layers"][i][name] = w, m
            square["layers"][i][name] = state.square["layers"][i][name]
    return params_, State(step, mean, square)
