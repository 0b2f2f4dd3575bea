import unittest

from cart import total


class Total(unittest.TestCase):
    def test_two_items_cost_two(self):
        self.assertEqual(total([200, 200]), 400)

    def test_of_three_one_is_free(self):
        self.assertEqual(total([200, 200, 200]), 400)


if __name__ == "__main__":
    unittest.main()
