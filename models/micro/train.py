"""Trains by the clock: `python train.py DATA OUT --minutes 60`.

DATA is what examples.py wrote. OUT gets `checkpoint.pkl` (weights, optimizer, progress; `--resume` continues it) every few
minutes and `log.txt`. The learning rate falls to 0 by the end of the time. To end early, write a number of minutes into
`OUT/stop-in`: the rate falls to 0 within that time from then on, and the run ends properly.
"""

from __future__ import annotations

import argparse
import pickle
import time
from dataclasses import dataclass, fields
from pathlib import Path

from batches import Loader, Recipe, stack
from tokenizer import Tokenizer


WARMUP = 30
REPORT = 50


@dataclass
class Progress:
    """How far a run is, in seconds of training; survives a resume."""

    total: float
    spent: float = 0.0
    steps: int = 0
    tokens: int = 0
    examples: int = 0
    #: When an early end was asked for, and the share of the full rate at that moment.
    asked: float | None = None
    asked_rate: float = 1.0

    def rate(self, flat: float) -> float:
        """Share of the full learning rate: full for the first `flat` of the time, then a straight line to 0."""
        if self.asked is not None:
            return self.asked_rate * max(0.0, (self.total - self.spent) / max(1.0, self.total - self.asked))
        return min(1.0, max(0.0, (1 - self.spent / self.total) / (1 - flat)))

    def ranking(self, reading: float) -> float:
        """Weight of the ranking loss: nothing for the first half of `reading`, a share of the time, then rising to 1."""
        return min(1.0, max(0.0, 2 * self.spent / self.total / reading - 1)) if reading else 1.0

    def heed(self, request: Path, flat: float) -> None:
        """Ends within the minutes that stand in `request` (3 where it is empty), if there is such a file; removes it."""
        if request.exists():
            self.asked_rate = self.rate(flat)
            self.asked, self.total = self.spent, self.spent + 60 * float(request.read_text().strip() or 3)
            request.unlink()

    def add(self, seconds: float, tokens: int, examples: int) -> None:
        self.spent += seconds
        self.steps += 1
        self.tokens += tokens
        self.examples += examples

    def __str__(self) -> str:
        return f"{self.spent:.0f}/{self.total:.0f} s step {self.steps} examples {self.examples} tokens {self.tokens / 1e6:.2f}M"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--rate", type=float, default=0.012)
    parser.add_argument("--flat", type=float, default=0.35, help="share of the time before the rate begins to fall")
    parser.add_argument("--reading", type=float, default=0.2, help="share of the time before ranking has its full weight")
    parser.add_argument("--plain-start", action="store_true", help="without the induction heads")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--checkpoint-minutes", type=float, default=4)
    parser.add_argument("--dev", type=int, default=300, help="held-out examples at each checkpoint")
    parser.add_argument("--resume", action="store_true")
    for field in fields(Recipe):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.load(options.data / "tokenizer.json")
    recipe = Recipe(**{f.name: getattr(options, f.name) for f in fields(Recipe)})
    # Before jax: its threads do not survive a fork.
    loader = Loader(options.data, recipe, tokenizer, options.workers)
    try:
        run(options, recipe, loader, tokenizer)
    finally:
        loader.close()


def run(options: argparse.Namespace, recipe: Recipe, loader: Loader, tokenizer: Tokenizer) -> None:
    import jax
    import jax.numpy as jnp

    import model
    import optimizer
    import rank_eval

    # Beside the data: other runs of the same shapes find it.
    jax.config.update("jax_compilation_cache_dir", str(options.data / "compiled"))
    stored, log = options.out / "checkpoint.pkl", Log(options.out / "log.txt")
    if options.resume and stored.exists():
        saved = pickle.loads(stored.read_bytes())
        shape, params, progress = model.Shape(**saved["shape"]), saved["params"], Progress(**saved["progress"])
        state = optimizer.State(*saved["optimizer"])
        progress.total = max(progress.total, options.minutes * 60)
    else:
        shape = model.Shape(len(tokenizer), options.width, options.layers, options.heads, options.hidden)
        params = jax.tree.map(jnp.asarray, model.initial(shape, options.seed, not options.plain_start))
        state, progress = optimizer.start(params), Progress(options.minutes * 60)
    held_out, score = rank_eval.held_out(options.data, "dev", options.dev), rank_eval.scorer(shape, tokenizer.marks)
    log.say(f"{sum(x.size for x in jax.tree.leaves(params))} parameters, {len(held_out)} held-out examples, {vars(options)}")

    # Two programs: only the first is compiled again for each length. All of it before the clock starts.
    def loss(params, batch, ranking):
        return model.loss(params, shape, batch, tokenizer.marks, ranking)

    gradient = jax.jit(jax.grad(loss, has_aux=True))
    update = jax.jit(optimizer.update, donate_argnums=(0, 2))
    compiled = {n: gradient.lower(params, stack([], s), jnp.float32(1)).compile() for n, s in recipe.shapes().items()}
    log.say("compiled")

    def checkpoint() -> None:
        content = {"shape": shape.stored(), "params": jax.device_get(params), "progress": vars(progress),
                   "optimizer": jax.device_get(tuple(state)), "options": {k: str(v) for k, v in vars(options).items()}}  # fmt: skip
        stored.with_suffix(".new").write_bytes(pickle.dumps(content))
        stored.with_suffix(".new").rename(stored)
        if held_out:
            rows = rank_eval.places(held_out, rank_eval.candidate_scores(score, params, held_out))
            log.say(f"dev at {progress.spent / 60:.1f} min\n{rank_eval.table(rows, detailed=progress.rate(0) == 0)}")

    reports, last, saved_at, pace = [], time.monotonic(), progress.spent, Pace()
    while progress.spent < progress.total:
        progress.heed(options.out / "stop-in", options.flat)
        batch, tokens = loader.next()
        rate = options.rate * progress.rate(options.flat) * min(1.0, (progress.steps + 1) / WARMUP)
        gradients, report = compiled[batch.ids.shape[1]](params, batch, jnp.float32(progress.ranking(options.reading)))
        params, state = update(params, gradients, state, jnp.float32(rate))
        reports.append(jax.device_get(report))
        now = time.monotonic()
        progress.add(now - last, tokens, len(batch.ids))
        pace.add(tokens)
        last = now
        if progress.steps % REPORT == 0:
            means = " ".join(f"{k} {sum(r[k] for r in reports) / len(reports):.4f}" for k in reports[0])
            log.say(f"{progress} {means} rate {rate:.4f} {pace}")
            reports, pace = [], Pace()
        if progress.spent - saved_at > options.checkpoint_minutes * 60:
            checkpoint()
            saved_at, last = progress.spent, time.monotonic()
    checkpoint()
    log.say("done")


class Pace:
    """Tokens per second of the clock and of the processor: the second does not suffer from neighbours."""

    def __init__(self) -> None:
        self._clock, self._processor, self._tokens = time.monotonic(), time.process_time(), 0

    def add(self, tokens: int) -> None:
        self._tokens += tokens

    def __str__(self) -> str:
        clock, processor = time.monotonic() - self._clock, time.process_time() - self._processor
        return f"{self._tokens / max(1e-9, clock):.0f} tokens/s {self._tokens / max(1e-9, processor):.0f} tokens/cpu-s"


class Log:
    """Lines to the screen and a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, line: str) -> None:
        print(line, flush=True)
        with self._path.open("a") as out:
            out.write(line + "\n")


if __name__ == "__main__":
    main()
