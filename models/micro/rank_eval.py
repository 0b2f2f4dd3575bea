"""How early the right change comes among all candidates, by the model alone and with the issue's words first.

`python rank_eval.py CHECKPOINT DATA FILES… [--features OUT.jsonl]`: DATA is the folder with the tokenizer, FILES are what
`examples/episodes` made. With `--features` what `fit.py` fits the order's weights to is written, too.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from batches import PATH, Batch, Shape as BatchShape, stack
from examples import Example, Shard, Template, encode, read
from model import Params, Shape, verdicts
from tokenizer import Tokenizer
from trie import pack

TRIES = (1, 3, 8, 32)
LENGTHS = (512, 1024, 2048)
Score = Callable[[Params, Batch], jax.Array]


def scorer(shape: Shape, marks: tuple[int, int]) -> Score:
    """The likelihood of every candidate of a batch, compiled once per batch shape."""
    return jax.jit(lambda params, batch: verdicts(params, shape, batch, marks)[1])


def candidate_scores(score: Score, params: Params, examples: list[Example]) -> list[np.ndarray]:
    """log P of each candidate of each example; minus infinity for one that is too long to be laid out."""
    out: list[np.ndarray] = [np.empty(0)] * len(examples)
    waiting = defaultdict(list)
    for i, example in enumerate(examples):
        kept = [c for c, tokens in enumerate(example.candidates) if len(tokens) <= PATH]
        made = pack(example.prompt, [example.candidates[c] for c in kept], 0)
        out[i] = np.full(len(example.candidates), -np.inf)
        length = next((n for n in LENGTHS if len(made) <= n), None)
        if length is not None:
            waiting[length, -(-len(kept) // 64) * 64].append((i, kept, made))
    for (length, most), entries in waiting.items():
        shape = BatchShape(2048 // length, length, 1, most)
        for at in range(0, len(entries), shape.examples):
            part = entries[at : at + shape.examples]
            scores = np.asarray(score(params, stack([made for _, _, made in part], shape)))
            for row, (i, kept, _) in enumerate(part):
                out[i][kept] = scores[row, : len(kept)]
    return out


def place(keys: list, right: int) -> float:
    """Where the right one comes when sorted by `keys`, smallest first; the middle of those that tie with it. From 1."""
    mine = keys[right]
    return sum(k < mine for k in keys) + (sum(k == mine for k in keys) + 1) / 2


def places(examples: list[Example], scores: list[np.ndarray]) -> list[dict]:
    rows = []
    for example, s in zip(examples, scores):
        about, right = example.about, example.right
        words = about.get("words") or [0] * len(s)
        kinds = about.get("kinds") or [about.get("kind", "?")] * len(s)
        rows.append({
            "level": about.get("level", "?"), "kind": kinds[right], "language": about.get("language", "?"),
            "blind": place([0] * len(s), right),
            "words": place([-w for w in words], right),
            "model": place(list(-s), right),
            "words, model": place([(-w, -x) for w, x in zip(words, s)], right),
        })  # fmt: skip
    return rows


def summary(rows: list[dict], order: str) -> str:
    found = sorted(row[order] for row in rows)
    shares = " ".join(f"@{n} {sum(p <= n for p in found) / len(found):.3f}" for n in TRIES)
    return f"{shares} median {found[len(found) // 2]:g}"


def table(rows: list[dict], detailed: bool) -> str:
    lines = [f"  {order:>12}: {summary(rows, order)}" for order in ("blind", "words", "model", "words, model")]
    for field in ("level", "kind", "language") if detailed else ("level",):
        for value in sorted({row[field] for row in rows}):
            part = [row for row in rows if row[field] == value]
            lines += [f"  {value:>12} n={len(part):<4} model {summary(part, 'model')} | words, model {summary(part, 'words, model')}"]
    return "\n".join(lines)


def held_out(folder: Path, split: str, most: int) -> list[Example]:
    """At most `most` ranking examples of a split, evenly drawn from all of them."""
    if not most:
        return []
    shards = [Shard(path, about=True) for path in sorted(folder.glob(f"{split}*.npz"))]
    found = [e for shard in shards for i in range(len(shard)) if (e := shard[i]).candidates and e.right >= 0]
    return found[:: max(1, len(found) // most)][:most]


def features(record: dict, scores: np.ndarray) -> dict:
    """The record's features with the model's verdict in its place, the first."""
    rows = [[float(score), *row[1:]] for row, score in zip(record["features"], scores)]
    return {"features": rows, "right": record["right"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--features", type=Path)
    options = parser.parse_args()
    stored = pickle.loads(options.checkpoint.read_bytes())
    tokenizer, template = Tokenizer.load(options.data / "tokenizer.json"), Template()
    records = [r for path in options.files for r in read(path) if r["task"] == "rank" and r["right"] is not None]
    examples = [encode(record, tokenizer, template) for record in records]
    scores = candidate_scores(scorer(Shape(**stored["shape"]), tokenizer.marks), stored["params"], examples)
    print(f"{len(examples)} examples, candidates median {sorted(map(len, scores))[len(scores) // 2]}")
    print(table(places(examples, scores), detailed=True))
    if options.features:
        # Where one candidate is too long for the trainer's layout, nothing can be said of the rest beside it.
        known = [(r, s) for r, s in zip(records, scores) if np.isfinite(s).all()]
        options.features.write_text("".join(json.dumps(features(r, s)) + "\n" for r, s in known))
        print(f"features of {len(known)} examples")


if __name__ == "__main__":
    main()
