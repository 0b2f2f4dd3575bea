"""Fits the weights by which candidates are ordered (src/repair/order/weights.rs) and prints them as that file has them.

usage: python fit.py FEATURES.jsonl [--test OTHER.jsonl] [--ridge 1e-2] [--folds 5]

One JSON object per line: {"features": [[...], ...], "right": INDEX}, the rows as Features::as_array gives them; other keys are
passed over, and so is a line whose "right" is null or negative. The loss is the cross-entropy of the right candidate under a
softmax over its rivals, with a small ridge (it also settles the kinds' common constant, which no softmax sees): convex, so
Newton's method finds the one minimum in a few steps. Fit on a development split only; --test measures another one.

Needs numpy. A thousand bugs of fifty candidates take about a second.
"""

import argparse
import json

import numpy as np

NAMES = (
    "model removed added both line rivals "
    "compare arithmetic number bound boolean negation variable member missing swap counterpart sampled"
).split()
TRIES = (1, 3, 8, 32)


def read(path):
    """The cases of a file: (features as an array of candidates x WIDTH, index of the right one)."""
    cases, without = [], 0
    with open(path, encoding="utf-8") as lines:
        for line in filter(str.strip, lines):
            row = json.loads(line)
            if row["right"] is None or row["right"] < 0:
                without += 1
                continue
            features = np.array(row["features"], float)
            if features.ndim != 2 or features.shape[1] != len(NAMES) or not np.isfinite(features).all():
                raise SystemExit(f"{path}: rows of {len(NAMES)} finite numbers are wanted, not {features.shape}")
            cases.append((features, row["right"]))
    return cases, without


def fit(cases, columns, ridge, steps=50):
    """Weights for `columns`, zero elsewhere. Features are scaled to unit spread, so that the ridge means the same to each."""
    scale = np.concatenate([features for features, _ in cases])[:, columns].std(0)
    scale[scale < 1e-9] = 1.0
    scaled = [(features[:, columns] / scale, right) for features, right in cases]
    weights = np.zeros(len(columns))

    def loss(w):
        total = 0.5 * ridge * w @ w
        for x, right in scaled:
            s = x @ w
            total += (np.log(np.exp(s - s.max()).sum()) + s.max() - s[right]) / len(scaled)
        return total

    for _ in range(steps):
        gradient, hessian = ridge * weights, ridge * np.eye(len(columns))
        for x, right in scaled:
            s = x @ weights
            p = np.exp(s - s.max())
            p /= p.sum()
            mean = p @ x
            gradient += (mean - x[right]) / len(scaled)
            hessian += ((x - mean).T * p) @ (x - mean) / len(scaled)
        step, length, before = np.linalg.solve(hessian, gradient), 1.0, loss(weights)
        while loss(weights - length * step) > before and length > 1e-6:
            length /= 2
        weights = weights - length * step
        if np.abs(length * step).max() < 1e-8:
            break
    whole = np.zeros(len(NAMES))
    whole[columns] = weights / scale
    return whole


def ranks(cases, weights):
    """The place of each right candidate, from 1. Ties keep the order of the candidates, as the program does."""
    places = []
    for features, right in cases:
        order = np.argsort(-(features @ weights), kind="stable")
        places.append(int(np.where(order == right)[0][0]) + 1)
    return np.array(places)


def told(places, without):
    count = len(places) + without
    within = " ".join(f"@{k} {(places <= k).sum() / count:.3f}" for k in TRIES)
    return f"n {count} ({without} without a right candidate) | {within} | median {np.median(places):g}"


def folded(cases, columns, ridge, folds):
    """Places under weights that were fitted on the other folds. Neighbouring lines stay together: they are often of one source."""
    edges = np.linspace(0, len(cases), folds + 1).astype(int)
    places = []
    for start, end in zip(edges, edges[1:]):
        if start < end:
            places.append(ranks(cases[start:end], fit(cases[:start] + cases[end:], columns, ridge)))
    return np.concatenate(places)


def table(name, weights):
    rows = "\n".join(f'    ("{feature}", {round(weight, 3) + 0.0}),' for feature, weight in zip(NAMES, weights))
    return f"pub const {name}: Weights = [\n{rows}\n];"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features")
    parser.add_argument("--test")
    parser.add_argument("--ridge", type=float, default=1e-2)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    cases, without = read(options.features)
    if len(cases) < options.folds:
        raise SystemExit(f"{options.features}: {len(cases)} cases are too few for {options.folds} folds")
    test = read(options.test) if options.test else None
    every = list(range(len(NAMES)))
    tables = []
    for name, columns in (("RANKED", every), ("MODELLESS", every[1:])):
        weights = fit(cases, columns, options.ridge)
        tables.append(table(name, weights))
        print(f"// {name}, fitted: {told(ranks(cases, weights), without)}")
        print(f"// {name}, folds:  {told(folded(cases, columns, options.ridge, options.folds), without)}")
        if test:
            print(f"// {name}, test:   {told(ranks(test[0], weights), test[1])}")
    print("\n" + "\n\n".join(tables))


if __name__ == "__main__":
    main()
