import unittest

from blog.feed import addresses
from blog.slugs import slugify, unique_slug


class SlugTest(unittest.TestCase):
    def test_slugify(self):
        self.assertEqual(slugify("Hello, World!"), "hello-world")
        self.assertEqual(slugify("???"), "untitled")

    def test_free_title_keeps_its_slug(self):
        self.assertEqual(unique_slug("News", {"other"}), "news")

    def test_taken_title_gets_a_number(self):
        self.assertEqual(unique_slug("News", {"news"}), "news-2")
        self.assertEqual(unique_slug("News", {"news", "news-2"}), "news-3")

    def test_feed(self):
        self.assertEqual(addresses(["A b", "A b"]), ["/articles/a-b", "/articles/a-b-2"])
