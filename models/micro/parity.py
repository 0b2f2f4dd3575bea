"""Holds llama.cpp against the trainer: the same tokens, the same greedy text, the same likelihoods.

`python parity.py CHECKPOINT DATA FILES… --gguf MODEL --probe PROGRAM`, where PROGRAM is what `cargo build --release --example
probe` makes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples import Template, encode, read
from model import Params, Shape, hidden
from rank_eval import candidate_scores, scorer
from tokenizer import Tokenizer

#: What real records may lack: odd blanks, signs of other scripts, control tokens as text.
ODD = ["a\t\t b  \n\n  c ", "naïve ‘x’ → 変数", "x1|12|y 112|", "don't self.self's", "<|im_start|>user\n", "` -> `` -> `", "  of the the  "]


class Probe:
    def __init__(self, program: Path, model: Path) -> None:
        self._process = subprocess.Popen([program, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question) -> dict:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def greedy(params: Params, shape: Shape, prompt: list[int], most: int, stop: int, compiled: dict) -> list[int]:
    """What the trainer's model writes; all lengths share one compilation."""
    length = 1024
    forward = compiled.setdefault("forward", jax.jit(
        lambda p, ids, last: hidden(p, shape, ids, jnp.arange(length)[None], jnp.full((1, length), length))[0, last]
        @ p["embedding"].T
    ))  # fmt: skip
    ids = list(prompt)
    while len(ids) - len(prompt) < most and (len(ids) == len(prompt) or ids[-1] != stop):
        padded = np.zeros((1, length), np.int32)
        padded[0, : len(ids)] = ids
        ids.append(int(forward(params, padded, len(ids) - 1).argmax()))
    return ids[len(prompt) :]


def verdicts(probe: Probe, prompt: str, candidates: list[str]) -> np.ndarray:
    """How much likelier the first mark is than the second behind each candidate, as llama.cpp has it."""
    marked = [candidate + mark for candidate in candidates for mark in "+-"]
    scores = np.array(probe.ask(op="score", prompt=prompt, continuations=marked)["scores"])
    return scores[0::2] - scores[1::2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--probe", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tolerance", type=float, default=0.1, help="of a verdict, in nats; q8_0 needs about 0.5")
    options = parser.parse_args()
    stored = pickle.loads(options.checkpoint.read_bytes())
    params, shape = stored["params"], Shape(**stored["shape"])
    tokenizer, template = Tokenizer.load(options.data / "tokenizer.json"), Template()
    probe = Probe(options.probe, options.gguf)
    records = [r for path in options.files for r in itertools.islice(read(path), options.texts)]

    texts = [(template.render(r["messages"], opened=True), True) for r in records] + [(t, s) for t in ODD for s in (True, False)]
    texts += [(c, False) for r in records for c in r.get("continuations", [])[:3]]
    wrong = [t for t, s in texts if probe.ask(op="tokenize", text=t, special=s)["tokens"] != tokenizer.encode(t, s)]
    print(f"tokens: {len(texts) - len(wrong)} of {len(texts)} texts identical", *map(repr, wrong[:3]))

    ranked = [r for r in records if r["task"] == "rank"][: options.prompts]
    compiled, same = {}, 0
    for record in ranked:
        prompt = template.render(record["messages"], opened=True)
        got = probe.ask(op="greedy", prompt=prompt, tokens=16)["tokens"]
        same += got == greedy(params, shape, tokenizer.encode(prompt), 16, tokenizer.stop, compiled)
    print(f"greedy text: {same} of {len(ranked)} identical")

    ours = candidate_scores(scorer(shape, tokenizer.marks), params, [encode(r, tokenizer, template) for r in ranked])
    theirs = [verdicts(probe, template.render(r["messages"], opened=True), r["continuations"]) for r in ranked]
    # The trainer leaves out what is too long for its layout.
    both = [(a[known], b[known]) for a, b in zip(ours, theirs) if (known := np.isfinite(a)).any()]
    gap = max((float(np.abs(a - b).max()) for a, b in both), default=np.inf)
    order = sum(int(a.argmax() == b.argmax()) for a, b in both)
    print(f"verdicts: largest difference {gap:.4f}; the same best candidate in {order} of {len(both)}")
    if wrong or same < len(ranked) or gap > options.tolerance:
        raise SystemExit("the trainer and llama.cpp differ")


if __name__ == "__main__":
    main()
