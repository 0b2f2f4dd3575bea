//! What a map shows, of small projects.

use crate::path::Root;
use crate::repo::map::Question;
use crate::repo::map::indexer::{Indexer, Pace};
use crate::repo::map::outline::{Outline, outline};
use crate::repo::map::rank::{Ranked, Spot};
use crate::units::Tokens;
use proptest::prelude::*;
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A project with a cache of its own.
struct Shop(tempfile::TempDir);

impl Shop {
    fn new() -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        shop.write("shop/price.py", "class Price:\n    pass\n\ndef round_price(price):\n    return price\n");
        shop.write(
            "shop/cart.py",
            "from shop.price import Price, round_price\n\ndef cart_total(cart):\n    return round_price(Price())\n",
        );
        shop.write("shop/mail.py", "from shop.price import Price\n\ndef send_receipt(order):\n    return Price()\n");
        shop.write("tests/test_cart.py", "from shop.cart import cart_total\n\ndef test_total():\n    assert cart_total([])\n");
        shop.write("README.md", "# The shop\n\nReceipts are sent by mail.\n");
        shop
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join("project").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn root(&self) -> Root {
        Root::open(&self.0.path().join("project")).unwrap()
    }

    fn indexer(&self) -> Indexer {
        let root = self.root();
        let indexer = Indexer::start(root.clone(), root.as_path(), &self.0.path().join("cache"), Pace::Background);
        assert!(indexer.wait(Duration::from_secs(60)));
        indexer
    }

    fn ranked(&self, text: &str) -> Vec<Ranked> {
        let question = Question { text: text.into(), open: Vec::new() };
        self.indexer().ranked(&question, 9)
    }

    fn kept(&self) -> std::path::PathBuf {
        let mut entries = fs::read_dir(self.0.path().join("cache/maps")).unwrap();
        entries.next().unwrap().unwrap().path()
    }
}

/// Counts bytes: the strictest tokenizer there is.
fn written(root: &Root, ranked: &[Ranked], budget: u32) -> Outline {
    let count = async |text: &str| Ok::<_, Infallible>(Tokens(text.len() as u32));
    let work = outline(root, ranked, Tokens(budget), count);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work).unwrap()
}

fn paths(ranked: &[Ranked]) -> Vec<&str> {
    ranked.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn what_others_use_matters_most() {
    let ranked = Shop::new().ranked("");
    assert_eq!(paths(&ranked)[0], "shop/price.py");
    assert_eq!(ranked[0].definitions.iter().map(|spot| spot.name.as_str()).collect::<Vec<_>>(), ["Price", "round_price"]);
}

#[test]
fn what_the_question_says_comes_first() {
    let shop = Shop::new();
    for (question, first) in [
        ("The receipt is sent twice", "shop/mail.py"),
        ("cart_total is wrong by one", "shop/cart.py"),
        ("see `shop/price.py`, line 4", "shop/price.py"),
        ("test_cart.py fails", "tests/test_cart.py"),
    ] {
        assert_eq!(paths(&shop.ranked(question))[0], first, "{question}");
    }
}

#[test]
fn an_open_file_is_not_told_but_what_it_uses_is() {
    let shop = Shop::new();
    let open = vec![shop.root().parse("tests/test_cart.py").unwrap()];
    let ranked = shop.indexer().ranked(&Question { text: String::new(), open }, 9);
    assert_eq!(paths(&ranked)[..2], ["shop/cart.py", "shop/price.py"]);
    assert_eq!(ranked.len(), 4);
}

#[test]
fn the_map_shows_signatures_as_they_stand_now() {
    let shop = Shop::new();
    let ranked = shop.ranked("cart total");
    shop.write("shop/cart.py", "# moved\n\n\ndef cart_total(cart, tax):\n    return 0\n");
    shop.write("shop/price.py", "");
    let text = written(&shop.root(), &ranked, 4_000).text;
    assert!(text.starts_with("shop/cart.py:\n 4 def cart_total(cart, tax):\n"), "{text}");
    assert!(text.contains("shop/price.py:\n 1 class Price\n 4 function round_price\n"), "{text}");
    assert!(text.contains("README.md:\n 1 # The shop\n"), "{text}");
}

#[test]
fn tests_are_parsed_when_they_are_shown_and_that_is_kept() {
    let shop = Shop::new();
    let question = Question { text: "test_total".into(), open: Vec::new() };
    assert_eq!(shop.indexer().ranked(&question, 0)[0].definitions, []);
    let names = |ranked: &[Ranked]| ranked[0].definitions.iter().map(|spot| spot.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&shop.indexer().ranked(&question, 1)), ["test_total"]);
    assert_eq!(names(&shop.indexer().ranked(&question, 0)), ["test_total"]);
}

#[test]
fn nothing_is_shown_where_nothing_fits() {
    let shop = Shop::new();
    assert_eq!(written(&shop.root(), &shop.ranked(""), 3), Outline::default());
    assert_eq!(written(&shop.root(), &[], 1_000), Outline::default());
}

#[test]
fn a_changed_file_is_read_again_and_a_removed_one_forgotten() {
    let shop = Shop::new();
    shop.ranked("");
    shop.write("shop/mail.py", "def send_invoice(order):\n    pass\n");
    fs::remove_file(shop.root().as_path().join("shop/cart.py")).unwrap();
    let ranked = shop.ranked("invoice");
    assert_eq!((paths(&ranked)[0], ranked[0].definitions[0].name.as_str()), ("shop/mail.py", "send_invoice"));
    assert!(!paths(&ranked).contains(&"shop/cart.py"));
}

#[test]
fn what_was_indexed_is_kept_and_damage_only_costs_time() {
    let shop = Shop::new();
    let first = shop.ranked("price");
    let kept = fs::read(shop.kept()).unwrap();
    let written = fs::metadata(shop.kept()).unwrap().modified().unwrap();
    assert_eq!(shop.ranked("price"), first);
    assert_eq!(fs::metadata(shop.kept()).unwrap().modified().unwrap(), written, "nothing changed, nothing was written");
    fs::write(shop.kept(), &kept[..kept.len() / 2]).unwrap();
    assert_eq!(shop.ranked("price"), first);
    assert_eq!(fs::read(shop.kept()).unwrap().len(), kept.len(), "it was made anew");
}

#[test]
fn a_copy_of_the_project_is_the_same_project() {
    let shop = Shop::new();
    shop.ranked("");
    let copy = shop.0.path().join("copy");
    fs::create_dir_all(copy.join("shop")).unwrap();
    fs::copy(shop.root().as_path().join("shop/price.py"), copy.join("shop/price.py")).unwrap();
    let known_as = shop.root();
    let cache = shop.0.path().join("cache");
    let indexer = Indexer::start(Root::open(&copy).unwrap(), known_as.as_path(), &cache, Pace::Foreground);
    assert!(indexer.wait(Duration::from_secs(60)));
    assert_eq!(indexer.files(), 1);
    assert_eq!(fs::read_dir(cache.join("maps")).unwrap().count(), 1);
}

#[test]
fn what_is_no_text_or_too_large_is_left_out() {
    let shop = Shop::new();
    shop.write("logo.py", "\0\u{1}");
    shop.write("data.json", "{}");
    fs::File::create(shop.root().as_path().join("huge.py")).unwrap().set_len(2 << 20).unwrap();
    fs::write(shop.root().as_path().join("latin.py"), b"# \xe9t\xe9").unwrap();
    assert_eq!(shop.indexer().ranked(&Question::default(), 0).len(), 5);
}

#[test]
fn a_place_without_files_has_no_map() {
    let held = tempfile::tempdir().unwrap();
    let root = Root::open(held.path()).unwrap();
    let indexer = Indexer::start(root, Path::new("nowhere"), &held.path().join("cache"), Pace::Foreground);
    assert!(indexer.wait(Duration::from_secs(60)));
    assert_eq!(indexer.ranked(&Question::default(), 9), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_budget_is_never_exceeded_and_more_of_it_never_shows_fewer_files(
        budget in 0u32..700, more in 0u32..200, sizes in prop::collection::vec((0usize..40, 1usize..30), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let mut ranked = Vec::new();
        for (file, (definitions, length)) in sizes.iter().enumerate() {
            let path = format!("{}{file}.rs", "x".repeat(*length));
            let names: Vec<String> = (0..*definitions).map(|n| format!("name_{n}")).collect();
            let text: String = names.iter().map(|name| format!("fn {name}() {{}}\n")).collect();
            fs::write(dir.path().join(&path), text).unwrap();
            let definitions = names.iter().enumerate().map(|(at, name)| Spot {
                name: name.clone(),
                kind: "function".into(),
                line: at + 1,
                weight: 1.0 / (at + 1) as f32,
            });
            ranked.push(Ranked { path, weight: 1.0 / (file + 1) as f32, definitions: definitions.collect() });
        }
        let (small, large) = (written(&root, &ranked, budget), written(&root, &ranked, budget + more));
        prop_assert!(small.text.len() as u32 <= budget);
        prop_assert_eq!(small.tokens, Tokens(small.text.len() as u32));
        prop_assert!(large.tokens.0 + 40 >= small.tokens.0, "{} {}", small.tokens, large.tokens);
    }
}
