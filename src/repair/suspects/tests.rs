//! Small projects written here, and who is suspected first in them.

use crate::path::{RepoPath, Root};
use crate::repair::Passage;
use crate::repair::suspects::{Bounds, Clues, Covered, suspects};
use crate::repo::git::recent::{Touched, When};
use std::collections::BTreeMap;
use std::fs;

const WIDE: Bounds = Bounds { passages: 3, lines: 48 };
const NO_CLUE: Clues<'static> = Clues { issue: "", output: "", recent: &[], covered: None };

/// A project from one text: `=== PATH` begins a file.
fn project(text: &str) -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    for file in text.split("=== ").filter(|file| !file.trim().is_empty()) {
        let (path, content) = file.split_once('\n').unwrap();
        let full = dir.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, content).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

/// The passages as `PATH:FIRST-LAST`.
fn told(root: &Root, clues: &Clues<'_>, bounds: Bounds) -> Vec<String> {
    let range = |p: &Passage| format!("{}:{}-{}", p.path, p.first, p.first + p.lines.len() - 1);
    suspects(root, clues, bounds).iter().map(range).collect()
}

fn first(root: &Root, clues: &Clues<'_>) -> String {
    told(root, clues, WIDE).into_iter().next().unwrap_or_default()
}

const PYTHON: &str = r#"=== shop/cart.py
"""Carts."""
LIMIT = 3


def total(prices):
    return sum(prices) - discount(prices)


def discount(prices):
    if len(prices) > LIMIT:
        return min(prices)
    return 0


def shipping(prices):
    return 5 if total(prices) < 100 else 0


class Label:
    def text(self, name):
        return self.prefix(name) + name

    def prefix(self, name):
        return "* "
=== shop/__init__.py
=== shop/report.py
def total(rows):
    return len(rows)
=== tests/test_cart.py
import unittest

from shop.cart import Label, shipping, total


class Total(unittest.TestCase):
    def check(self, prices, sum):
        self.assertEqual(total(prices), sum)

    def test_three(self):
        self.check([1, 1, 1], 2)

    def test_shipping(self):
        self.assertEqual(shipping([100]), 0)

    def test_label(self):
        self.assertEqual(Label().text("a"), "* a")
"#;

#[test]
fn python_suspects() {
    let (_dir, root) = project(PYTHON);
    for (issue, output, expected) in [
        ("`total` is wrong", "", "shop/cart.py:5-6 shop/report.py:1-2"),
        ("`total` in shop/cart.py is wrong", "", "shop/cart.py:5-6"),
        ("The label has no text", "FAIL: test_label (tests.test_cart.Total.test_label)", "shop/cart.py:20-21"),
        ("", "FAILED tests/test_cart.py::Total::test_shipping - assert 5 == 0", "shop/cart.py:15-16"),
        ("", "FAIL: test_three (test_cart.Total)", "shop/cart.py:5-6"),
        ("", "  File \"/tmp/copy/tests/test_cart.py\", line 14, in test_shipping", "shop/cart.py:15-16"),
        ("", "  File \"/tmp/copy/shop/cart.py\", line 11, in discount\nValueError", "shop/cart.py:9-12"),
        ("With `LIMIT` items nothing happens", "", "shop/cart.py:2-2"),
        ("prefix() is never used", "", "shop/cart.py:23-24"),
        ("Label is odd", "", "shop/cart.py:20-21"),
        ("the discounts are too small", "", "shop/cart.py:9-12"),
    ] {
        let all = told(&root, &Clues { issue, output, ..NO_CLUE }, WIDE);
        assert!(all.join(" ").starts_with(expected), "{issue} {output}: {all:?}");
    }
}

#[test]
fn what_a_suspect_calls_is_suspected_after_it() {
    let (_dir, root) = project(PYTHON);
    let output = "FAIL: test_three (test_cart.Total)";
    assert_eq!(told(&root, &Clues { output, ..NO_CLUE }, WIDE), ["shop/cart.py:5-6", "shop/cart.py:9-12", "shop/cart.py:2-2"]);
    assert_eq!(told(&root, &Clues { output, ..NO_CLUE }, Bounds { passages: 2, lines: 48 }).len(), 2);
}

const RUST: &str = r#"=== src/lib.rs
//! Carts.
pub mod cart;
=== src/cart.rs
pub const LIMIT: usize = 3;

pub struct Cart {
    pub prices: Vec<u32>,
}

impl Cart {
    pub fn total(&self) -> u32 {
        self.prices.iter().sum::<u32>() - discount(&self.prices)
    }

    pub fn first(&self) -> u32 {
        self.prices[1]
    }
}

fn discount(prices: &[u32]) -> u32 {
    if prices.len() > LIMIT { prices.iter().min().copied().unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use crate::cart::Cart;

    #[test]
    fn three_for_two() {
        let cart = Cart { prices: vec![1, 1, 1] };
        assert_eq!(cart.total(), 2);
    }

    #[test]
    fn the_first() {
        assert_eq!(Cart { prices: vec![1, 2] }.first(), 1);
    }
}
=== tests/whole.rs
use shop::cart::Cart;

#[test]
fn whole() {
    assert_eq!(Cart { prices: vec![7] }.total(), 7);
}
"#;

const JAVASCRIPT: &str = r#"=== src/cart.js
export const LIMIT = 3;

export function total(prices) {
  return prices.reduce((a, b) => a + b, 0) - discount(prices);
}

export const discount = (prices) => {
  if (prices.length > LIMIT) return Math.min(...prices);
  return 0;
};

export class Label {
  text(name) {
    return '* ' + name;
  }
}
=== test/cart.test.js
import test from 'node:test';
import assert from 'node:assert';
import { total, discount, Label } from '../src/cart.js';

test('three for two', () => {
  assert.equal(total([1, 1, 1]), 2);
});

test('a label', () => assert.equal(new Label().text('a'), '* a'));

test('a discount', () => {
  assert.equal(discount([1]), 0);
});
"#;

const TYPESCRIPT: &str = r#"=== src/cart.ts
const LIMIT: number = 3;

export function total(prices: number[]): number {
  return prices.reduce((a, b) => a + b, 0) - discount(prices);
}

export const discount = (prices: number[]): number => {
  if (prices.length > LIMIT) return Math.min(...prices);
  return 0;
};
=== src/cart.spec.ts
import { total, discount } from './cart';

describe('cart', () => {
  it('takes three for two', () => {
    expect(total([1, 1, 1])).toBe(2);
  });

  it('discounts nothing', () => {
    expect(discount([1])).toBe(0);
  });
});
"#;

const GO: &str = r#"=== go.mod
module example.com/shop
=== cart.go
package shop

const Limit = 3

type Cart struct{ Prices []int }

func (c *Cart) Total() int {
	sum := 0
	for _, p := range c.Prices {
		sum += p
	}
	return sum - discount(c.Prices)
}

func discount(prices []int) int {
	if len(prices) > Limit {
		return prices[0]
	}
	return 0
}

func Name(c *Cart) string {
	return "cart"
}
=== cart_test.go
package shop

import "testing"

func TestTotal(t *testing.T) {
	c := &Cart{Prices: []int{1, 1, 1}}
	if got := c.Total(); got != 2 {
		t.Errorf("got %d", got)
	}
}

func TestName(t *testing.T) {
	if Name(nil) != "cart" {
		t.Fail()
	}
}
"#;

#[test]
fn suspects_in_other_languages() {
    for (tree, issue, output, expected) in [
        (RUST, "`Cart::first` gives the second", "", "src/cart.rs:12-14"),
        (RUST, "", "test cart::tests::the_first ... FAILED", "src/cart.rs:12-14"),
        (RUST, "", "---- cart::tests::three_for_two stdout ----", "src/cart.rs:8-10"),
        (RUST, "", "test whole ... FAILED", "src/cart.rs:8-10"),
        (RUST, "", "thread 'main' panicked at src/cart.rs:18:5:\nindex out of bounds", "src/cart.rs:17-19"),
        (RUST, "", "thread 'x' panicked at src/cart.rs:33:9:\nassertion failed", "src/cart.rs:12-14"),
        (RUST, "`LIMIT` is too high", "", "src/cart.rs:1-1"),
        (JAVASCRIPT, "`discount` is late", "", "src/cart.js:7-10"),
        (JAVASCRIPT, "", "✖ three for two (1.2ms)", "src/cart.js:3-5"),
        (JAVASCRIPT, "", "not ok 2 - a label", "src/cart.js:13-15"),
        (
            JAVASCRIPT,
            "",
            "    at discount (file:///t/src/cart.js:8:3)\n    at total (file:///t/src/cart.js:4:3)",
            "src/cart.js:7-10",
        ),
        (JAVASCRIPT, "", "    at TestContext.<anonymous> (file:///t/test/cart.test.js:12:10)", "src/cart.js:7-10"),
        (JAVASCRIPT, "LIMIT should be 2", "", "src/cart.js:1-1"),
        (TYPESCRIPT, "", "  ● cart › takes three for two", "src/cart.ts:3-5"),
        (TYPESCRIPT, "", " FAIL  src/cart.spec.ts > cart > discounts nothing", "src/cart.ts:7-10"),
        (TYPESCRIPT, "total() is wrong", "", "src/cart.ts:3-5"),
        (GO, "", "--- FAIL: TestTotal (0.00s)\n    cart_test.go:8: got 3", "cart.go:7-13"),
        (GO, "", "--- FAIL: TestName (0.00s)", "cart.go:22-24"),
        (GO, "`discount` misses", "", "cart.go:15-20"),
        (GO, "Limit is too high", "", "cart.go:3-3"),
        (GO, "", "panic: index\n\t/t/cart.go:17 +0x1b\n\t/t/cart.go:12 +0x2", "cart.go:15-20"),
    ] {
        let (_dir, root) = project(tree);
        assert_eq!(first(&root, &Clues { issue, output, ..NO_CLUE }), expected, "{issue} {output}");
    }
}

#[test]
fn what_changed_lately_and_what_ran_count_too() {
    let (_dir, root) = project(PYTHON);
    let cart: RepoPath = root.parse("shop/cart.py").unwrap();
    let touched = |when, lines| [Touched { path: cart.clone(), when, lines: vec![lines] }];
    assert_eq!(first(&root, &Clues { recent: &touched(When::Uncommitted, 16..=16), ..NO_CLUE }), "shop/cart.py:15-16");
    assert_eq!(first(&root, &Clues { recent: &touched(When::LastCommit, 15..=16), ..NO_CLUE }), "shop/cart.py:15-16");
    let ran = |lines: &[usize]| BTreeMap::from([(cart.clone(), lines.iter().copied().collect())]);
    let ran = Covered { failing: ran(&[5, 9, 10, 12, 15]), all: ran(&[5, 6, 9, 10, 12, 15]) };
    let clues = Clues { issue: "`shipping` and `discount`", covered: Some(&ran), ..NO_CLUE };
    assert_eq!(
        told(&root, &clues, WIDE),
        ["shop/cart.py:9-12", "shop/cart.py:5-6", "shop/cart.py:2-2"],
        "of `shipping` the head ran"
    );
}

#[test]
fn a_line_of_the_module_is_suspected_with_its_neighbours() {
    let (_dir, root) = project("=== a.js\nimport x from 'x';\n\nsetup(1,\n  2);\n\nfunction f() {}\n");
    let output = "    at file:///t/a.js:4:3";
    assert_eq!(first(&root, &Clues { output, ..NO_CLUE }), "a.js:3-4");
}

#[test]
fn without_a_clue_a_small_project_is_suspected_as_a_whole() {
    let small = "=== a.py\ndef f(x):\n    return x\n=== b.py\ndef g(x):\n    return x\n=== test_a.py\nprint(1)\n";
    let (_dir, root) = project(small);
    assert_eq!(told(&root, &NO_CLUE, WIDE), ["a.py:1-2", "b.py:1-2"]);
    let many: String = (0..20).map(|i| format!("=== m{i}.py\ndef f{i}(x):\n    return x\n")).collect();
    let (_dir, root) = project(&many);
    assert_eq!(told(&root, &Clues { issue: "it hangs", ..NO_CLUE }, WIDE), [""; 0]);
}

#[test]
fn a_long_function_is_shown_around_its_suspected_line() {
    let body: String = (0..60).map(|i| format!("    x = x + {i}\n")).collect();
    let (_dir, root) = project(&format!("=== a.py\ndef f(x):\n{body}    return x\n\n\ndef g(x):\n    return f(x)\n"));
    let bounds = Bounds { passages: 3, lines: 12 };
    let at = |line: usize| format!("  File \"a.py\", line {line}, in f\n");
    assert_eq!(told(&root, &Clues { output: &at(30), ..NO_CLUE }, bounds), ["a.py:24-35"]);
    assert_eq!(told(&root, &Clues { output: &at(2), ..NO_CLUE }, bounds), ["a.py:1-12"]);
    assert_eq!(told(&root, &Clues { output: &at(62), ..NO_CLUE }, bounds), ["a.py:51-62"]);
    let both = "`g` and `f` hang";
    assert_eq!(told(&root, &Clues { issue: both, ..NO_CLUE }, bounds), ["a.py:1-12"], "nothing is left for the second");
}

#[test]
fn passages_are_what_stands_in_the_files() {
    let (_dir, root) = project(GO);
    let found = suspects(&root, &Clues { issue: "`Name` is empty", ..NO_CLUE }, Bounds { passages: 1, lines: 9 });
    assert_eq!(found[0].lines, ["func Name(c *Cart) string {", "\treturn \"cart\"", "}"]);
}
