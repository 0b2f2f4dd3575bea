"""Trains by the clock: `python train.py DATA OUT --minutes 60`.

DATA is what examples.py wrote. OUT gets `checkpoint.pkl` (weights, optimizer, progress; `--resume` continues it) every few
minutes and `log.txt`. The learning rate falls to 0 by the end of the time. To end early, write a number of minutes into
`OUT/stop-in`: the rate falls to 0 within that time from then on, and the run ends properly.
"""

from __future__ import annotations

import argparse
import os
import pickle
import time
from dataclasses import dataclass, fields
from pathlib import Path

from batches import Loader, Recipe
from examples import Tokenizer


@dataclass
class Clock:
    """Seconds of training so far and in all; both survive a resume."""

    total: float
    spent: float = 0.0
    #: When an early end was asked for (in seconds of training), and the share of the full rate at that moment.
    asked: float | None = None
    asked_rate: float = 1.0

    def rate(self, flat: float) -> float:
        """Share of the full learning rate: full for the first `flat` of the time, then a straight line to 0."""
        if self.asked is not None:
            return self.asked_rate * max(0.0, (self.total - self.spent) / max(1.0, self.total - self.asked))
        return min(1.0, max(0.0, (1 - self.spent / self.total) / (1 - flat)))

    def end_in(self, seconds: float, flat: float) -> None:
        self.asked_rate = self.rate(flat)
        self.asked, self.total = self.spent, self.spent + seconds


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
    parser.add_argument("--plain-start", action="store_true", help="without the induction heads")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--checkpoint-minutes", type=float, default=4)
    parser.add_argument("--dev", type=int, default=300, help="held-out examples at each checkpoint")
    parser.add_argument("--resume", action="store_true")
    for field in fields(Recipe):
        if field.name != "lengths":
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.load(options.data / "tokenizer.json")
    recipe = Recipe(**{f.name: getattr(options, f.name) for f in fields(Recipe) if f.name != "lengths"})
    # Before jax: its threads do not survive a fork.
    loader = Loader(options.data, recipe, tokenizer.stop, options.workers)
    try:
        run(options, loader, len(tokenizer))
    finally:
        loader.close()


def run(options: argparse.Namespace, loader: Loader, vocabulary: int) -> None:
    import jax
    import jax.numpy as jnp

    import model
    import optimizer
    import rank_eval

    jax.config.update("jax_compilation_cache_dir", str(options.out / "compiled"))
    shape = model.Shape(vocabulary, options.width, options.layers, options.heads, options.hidden)
    stored = options.out / "checkpoint.pkl"
    log = Log(options.out / "log.txt")
    clock, seen, examples = Clock(options.minutes * 60), 0, 0
    if options.resume and stored.exists():
        saved = pickle.loads(stored.read_bytes())
        shape, params = model.Shape(**saved["shape"]), saved["params"]
        state, clock = optimizer.State(*saved["optimizer"]), Clock(**saved["clock"])
        seen, examples = saved["seen"], saved["examples"]
        clock.total = max(clock.total, options.minutes * 60)
    else:
        params = jax.tree.map(jnp.asarray, model.initial(shape, options.seed, not options.plain_start))
        state = optimizer.start(params)
    held_out = rank_eval.held_out(options.data, "dev", options.dev)
    score = rank_eval.scorer(shape)
    size = sum(x.size for x in jax.tree.leaves(params))
    log.say(f"{size} parameters, {len(held_out)} held-out examples, {vars(options)}")

    def step(params, state, batch, rate):
        (_, report), gradients = jax.value_and_grad(model.loss, has_aux=True)(params, shape, batch)
        params, state = optimizer.update(params, gradients, state, rate)
        return params, state, report

    step = jax.jit(step, donate_argnums=(0, 1))

    def checkpoint() -> None:
        host = jax.tree.map(lambda x: jax.device_get(x), (params, tuple(state)))
        content = {"shape": shape.stored(), "params": host[0], "optimizer": host[1], "clock": vars(clock),
                   "seen": seen, "examples": examples, "options": {k: str(v) for k, v in vars(options).items()}}  # fmt: skip
        stored.with_suffix(".new").write_bytes(pickle.dumps(content))
        stored.with_suffix(".new").rename(stored)
        if held_out:
            rows = rank_eval.places(held_out, rank_eval.candidate_scores(score, params, held_out))
            log.say(f"dev at {clock.spent / 60:.1f} min\n" + rank_eval.table(rows, detailed=clock.spent >= clock.total))

    request = options.out / "stop-in"
    reports, last, saved_at = [], time.monotonic(), clock.spent
    known: set[tuple] = set()
    steps_here = cpu = slow = 0
    while clock.spent < clock.total:
        if request.exists():
            clock.end_in(float(request.read_text() or 3) * 60, options.flat)
            request.unlink()
            log.say(f"asked to end: {(clock.total - clock.spent) / 60:.1f} minutes left")
        batch, tokens = loader.next()
        new = batch.ids.shape not in known
        known.add(batch.ids.shape)
        rate = options.rate * clock.rate(options.flat) * min(1.0, (int(steps_here) + 1) / 30)
        before = time.process_time()
        params, state, report = step(params, state, batch, jnp.float32(rate))
        reports.append(jax.device_get(report))
        now = time.monotonic()
        # Compiling is not training: a shape's first step does not count as time, so short runs compare.
        clock.spent += 0 if new else now - last
        if not new:
            cpu, slow = cpu + time.process_time() - before, slow + tokens
        last, steps_here, seen, examples = now, steps_here + 1, seen + tokens, examples + len(batch.ids)
        if steps_here % 50 == 0:
            mean = {k: sum(r[k] for r in reports) / len(reports) for k in reports[0]}
            words = " ".join(f"{k} {v:.4f}" for k, v in mean.items())
            log.say(f"{clock.spent:.0f} s step {steps_here} examples {examples} tokens {seen / 1e6:.2f}M {words} "
                    f"rate {rate:.4f} {slow / max(1, cpu) :.0f} tokens/cpu-s {tokens_per_second(log, seen):.0f} tokens/s")  # fmt: skip
            reports = []
        if clock.spent - saved_at > options.checkpoint_minutes * 60:
            checkpoint()
            saved_at, last = clock.spent, time.monotonic()
    checkpoint()
    log.say("done")


class Log:
    """Lines to the screen and a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.marks: list[tuple[float, int]] = []

    def say(self, line: str) -> None:
        print(line, flush=True)
        with self._path.open("a") as out:
            out.write(line + "\n")


def tokens_per_second(log: Log, seen: int) -> float:
    """Since the last lines of progress."""
    log.marks = [*log.marks, (time.monotonic(), seen)][-6:]
    (then, before), (now, after) = log.marks[0], log.marks[-1]
    return (after - before) / (now - then) if now > then else 0.0


if __name__ == "__main__":
    main()
