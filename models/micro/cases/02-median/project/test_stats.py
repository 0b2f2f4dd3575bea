import unittest

from stats import mean, median, spread


class StatsTest(unittest.TestCase):
    def test_mean(self):
        self.assertEqual(mean([1, 2, 6]), 3)

    def test_median_of_odd_count(self):
        self.assertEqual(median([5]), 5)
        self.assertEqual(median([9, 1, 4]), 4)
        self.assertEqual(median([7, 1, 9, 3, 8]), 7)

    def test_median_of_even_count(self):
        self.assertEqual(median([1, 3]), 2)
        self.assertEqual(median([10, 2, 4, 8]), 6)
        self.assertEqual(median([6, 1, 2, 5, 4, 3]), 3.5)

    def test_median_of_nothing(self):
        with self.assertRaises(ValueError):
            median([])

    def test_spread(self):
        self.assertEqual(spread([3, 9, 4]), 6)


if __name__ == "__main__":
    unittest.main()
