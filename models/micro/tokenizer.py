"""Byte-level BPE that llama.cpp runs as `gpt2` with the `qwen2` pre-tokenizer.

A name must have the same tokens in a sentence, after a dot and between backquotes, or the model cannot see that they are
the same name. So merges are learned inside pieces of one class only: letters, digits, operators, other signs with line
ends. A blank, a dot or a quote in front of a name never becomes part of its first token. At run time the ordinary qwen2
pieces are used, as llama.cpp does: no merge exists that could join two classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer as Backend, decoders, models, pre_tokenizers, trainers

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = [END, START, STOP]
LABELS = [f"{n}|" for n in range(1, 65)]
#: Texts that are one token wherever they stand. Two of equal length must not overlap: llama.cpp's order of equals is open.
USER = [
    *LABELS,
    "` -> `", ", ", " = ", " the ", "self.", "instead of", "should be",
    " " * 4, " " * 8, " " * 12, "\t\t",
    "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
    '{"name": "', '", "arguments": {"', '"}}',
]  # fmt: skip

#: Bytes that are cut out likewise; they have their ids already. (`'` would otherwise take the `s` of `'state'`.)
BYTES = ["`", "'"]
#: In the order in which llama.cpp cuts them out.
SPECIAL = sorted(CONTROL + USER + BYTES, key=lambda text: len(text.encode()), reverse=True)

QWEN2 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CLASSES = r"\p{L}+|\p{N}|[-+*/%<>=!&|^~.:]+|[^\S\r\n]+|[^\s\p{L}\p{N}+*/%<>=!&|^~.:-]+[\r\n]*|[\r\n]+"


class Tokenizer:
    """Text to ids as llama.cpp does it; ids are bytes, merges, control tokens, user-defined tokens, in this order."""

    def __init__(self, pieces: list[str], merges: list[tuple[str, str]]) -> None:
        self.pieces, self.merges = pieces, merges
        self.words = len(pieces)
        self.texts = pieces + CONTROL + USER
        self.ids = {text: i for i, text in enumerate(self.texts)}
        #: What stands behind a change that is right, and behind one that is wrong.
        self.marks = (self.ids["+"], self.ids["-"])
        self.start, self.stop, self.end = self.ids[START], self.ids[STOP], self.ids[END]
        self._backend = Backend(models.BPE({p: i for i, p in enumerate(pieces)}, merges))
        self._backend.pre_tokenizer = _pieces_of(QWEN2)
        self._backend.decoder = decoders.ByteLevel()
        self._seen: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Ids of `text`; without `special`, control tokens in it are ordinary text."""
        out: list[int] = []
        for part in partition(text, skip=() if special else CONTROL):
            if isinstance(part, _Special):
                out.append(self.ids[part])
            else:
                out += self._fragment(part)
        return out

    def decode(self, ids: Iterable[int]) -> str:
        out, run = [], []
        for i in ids:
            if i < self.words:
                run.append(i)
            else:
                out += [self._backend.decode(run), self.texts[i]]
                run = []
        return "".join([*out, self._backend.decode(run)])

    def _fragment(self, text: str) -> list[int]:
        found = self._seen.get(text)
        if found is None:
            if len(self._seen) > 500_000:
                self._seen.clear()
            found = self._seen[text] = self._backend.encode(text).ids
        return found

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"pieces": self.pieces, "merges": self.merges}, ensure_ascii=False))

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        stored = json.loads(path.read_text())
        return cls(stored["pieces"], [(a, b) for a, b in stored["merges"]])

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Tokenizer:
        """Learns merges from `texts` so that the vocabulary has `size` entries in all."""
        backend = Backend(models.BPE())
        backend.pre_tokenizer = _pieces_of(CLASSES)
        fragments = (p for t in texts for p in partition(t) if not isinstance(p, _Special))
        trainer = trainers.BpeTrainer(
            vocab_size=size - len(CONTROL) - len(USER),
            min_frequency=4,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        backend.train_from_iterator(fragments, trainer)
        model = json.loads(backend.to_str())["model"]
        pieces = sorted(model["vocab"], key=model["vocab"].get)
        return cls(pieces, [tuple(m) for m in model["merges"]])


class _Special(str):
    """A stretch of text that is one control or user-defined token."""


def partition(text: str, skip: Iterable[str] = ()) -> Iterator[str]:
    """Cuts special tokens out as llama.cpp's `tokenizer_st_partition` does: each in turn, longest first, over all raw text."""
    parts: list[str] = [text]
    for special in SPECIAL:
        if special not in text or special in skip:
            continue
        cut: list[str] = []
        for part in parts:
            if isinstance(part, _Special):
                cut.append(part)
                continue
            for i, piece in enumerate(part.split(special)):
                cut += [_Special(special)] if i else []
                cut += [piece] if piece else []
        parts = cut
    return iter(parts)


def _pieces_of(pattern: str) -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def overlapping(texts: list[str]) -> list[tuple[str, str]]:
    """Pairs of equally long texts of which one can begin inside the other."""
    same = [(a, b) for a in texts for b in texts if a != b and len(a.encode()) == len(b.encode())]
    return [(a, b) for a, b in same if any(a.endswith(b[:n]) for n in range(1, len(b)))]


assert not overlapping(SPECIAL), overlapping(SPECIAL)
