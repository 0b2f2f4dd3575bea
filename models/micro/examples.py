"""Examples on disk: JSON lines as the generator writes them, and shards of token ids that the trainer reads.

`python examples.py OUT FILE…` learns a tokenizer if `OUT/tokenizer.json` is missing and writes `OUT/NAME.npz` for every
`NAME.jsonl`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from tokenizer import STOP, Tokenizer
from trie import Tokens

HERE = Path(__file__).parent
OPENING = f"{STOP}\n<|im_start|>assistant\n"


@dataclass
class Example:
    """A prompt with candidate continuations, or (no candidates) a text with the tokens to learn marked."""

    prompt: Tokens
    candidates: list[Tokens]
    right: int
    learn: Tokens
    #: What the generator said besides: level, language, kinds and words of the candidates.
    about: dict


class Template:
    """The chat template, rendered as llama.cpp renders it."""

    def __init__(self) -> None:
        env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        env.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        self._template = env.from_string((HERE / "chat_template.jinja").read_text())

    def render(self, messages: list[dict], opened: bool) -> str:
        """The conversation as text; `opened` adds the start of the next answer."""
        return self._template.render(messages=messages, add_generation_prompt=opened)


def read(path: Path) -> Iterator[dict]:
    with path.open() as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def text_of(record: dict, template: Template) -> str:
    """Everything in a record that a tokenizer should know."""
    text = template.render(record["messages"], opened=record["task"] == "rank")
    # The right change alone: forty wrong ones of one listing would make its words look frequent.
    return text + record["continuations"][record["right"]] + STOP if record["task"] == "rank" else text


def encode(record: dict, tokenizer: Tokenizer, template: Template) -> Example:
    about = {k: v for k, v in record.items() if k not in ("messages", "continuations")}
    if record["task"] == "rank":
        prompt = tokenizer.encode(template.render(record["messages"], opened=True))
        candidates = [tokenizer.encode(c, special=False) for c in record["continuations"]]
        return Example(prompt, candidates, record["right"], [], about)
    return _episode(record, tokenizer, template, about)


def _episode(record: dict, tokenizer: Tokenizer, template: Template, about: dict) -> Example:
    """Every answer to learn is tokenized from its opening to its stop, as the engine sees it while it writes."""
    messages, tokens, learn = record["messages"], [], []
    done = ""
    for i in record["learn"]:
        before = template.render(messages[:i], opened=True)
        after = template.render(messages[: i + 1], opened=False)
        context = tokenizer.encode(before.removeprefix(done))
        answer = tokenizer.encode(after.removeprefix(before).removesuffix("\n"))
        tokens += context + answer
        learn += [0] * len(context) + [1] * len(answer)
        done = after.removesuffix("\n")
    return Example(tokens, [], -1, learn, about)


def save(path: Path, examples: list[Example]) -> None:
    """Flat arrays: all tokens, where each sequence ends, where each example's sequences end; the rest as JSON."""
    sequences = [s for e in examples for s in (e.prompt, *e.candidates)]
    np.savez(
        path,
        tokens=np.concatenate([np.asarray(s, np.uint16) for s in sequences]),
        sequence_ends=np.cumsum([len(s) for s in sequences]),
        example_ends=np.cumsum([1 + len(e.candidates) for e in examples]),
        right=np.array([e.right for e in examples], np.int32),
        learn=np.concatenate([np.asarray(e.learn or [0] * len(e.prompt), np.uint8) for e in examples]),
        about=np.frombuffer(json.dumps([e.about for e in examples]).encode(), np.uint8),
    )


class Shard:
    """Examples of one file, decoded one at a time."""

    def __init__(self, path: Path, about: bool = False) -> None:
        stored = np.load(path)
        self._tokens, self._right, self._learn = stored["tokens"], stored["right"], stored["learn"]
        self._ends = np.concatenate([[0], stored["sequence_ends"]])
        self._firsts = np.concatenate([[0], stored["example_ends"]])
        lengths = (self._ends[1:] - self._ends[:-1])[self._firsts[:-1]]
        self._learn_ends = np.concatenate([[0], np.cumsum(lengths)])
        self._about = json.loads(stored["about"].tobytes()) if about else None

    def __len__(self) -> int:
        return len(self._right)

    def __getitem__(self, i: int) -> Example:
        spans = range(self._firsts[i], self._firsts[i + 1])
        prompt, *candidates = (self._tokens[self._ends[s] : self._ends[s + 1]].tolist() for s in spans)
        learn = self._learn[self._learn_ends[i] : self._learn_ends[i + 1]].tolist()
        return Example(prompt, candidates, int(self._right[i]), learn, self._about[i] if self._about else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--sample", type=int, default=12_000, help="records that the tokenizer learns from")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    template, stored = Template(), options.out / "tokenizer.json"
    if not stored.exists():
        train = [record for path in options.files if path.name.startswith("train") for record in read(path)]
        step = max(1, len(train) // options.sample)
        Tokenizer.train((text_of(r, template) for r in train[::step]), options.vocabulary).save(stored)
    tokenizer = Tokenizer.load(stored)
    for path in options.files:
        target = options.out / f"{path.stem}.npz"
        if target.exists() and target.stat().st_mtime > max(path.stat().st_mtime, stored.stat().st_mtime):
            continue
        examples = [encode(record, tokenizer, template) for record in read(path)]
        save(target, examples)
        lengths = sorted(len(e.prompt) for e in examples)
        counts = sorted(len(e.candidates) for e in examples)
        half, most = len(lengths) // 2, len(lengths) * 95 // 100
        print(f"{path.name}: {len(examples)} examples, prompt tokens median {lengths[half]} 95 % {lengths[most]}, "
              f"candidates median {counts[half]} 95 % {counts[most]}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
