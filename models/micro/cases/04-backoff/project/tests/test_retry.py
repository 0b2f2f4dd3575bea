import unittest

from net.retry import retry_delay, schedule, should_retry


class RetryTest(unittest.TestCase):
    def test_delay_doubles(self):
        self.assertEqual(schedule(4), [0.5, 1.0, 2.0, 4.0])

    def test_delay_is_capped(self):
        self.assertEqual(retry_delay(20), 60.0)
        self.assertEqual(retry_delay(3, base=1, cap=5), 5)

    def test_negative_attempt(self):
        self.assertRaises(ValueError, retry_delay, -1)

    def test_fatal_answers_are_not_retried(self):
        self.assertFalse(should_retry(404, 0))
        self.assertTrue(should_retry(503, 4))
        self.assertFalse(should_retry(503, 5))
