import unittest
from datetime import date

from billing.invoices import due_date, is_overdue, late_fee


class InvoiceTest(unittest.TestCase):
    def test_due_date(self):
        self.assertEqual(due_date(date(2025, 3, 1)), date(2025, 3, 15))
        self.assertEqual(due_date(date(2025, 3, 1), 30), date(2025, 3, 31))

    def test_not_overdue_on_the_day_itself(self):
        self.assertFalse(is_overdue(date(2025, 3, 1), date(2025, 3, 15)))

    def test_overdue_from_the_next_day(self):
        self.assertTrue(is_overdue(date(2025, 3, 1), date(2025, 3, 16)))
        self.assertFalse(is_overdue(date(2025, 3, 1), date(2025, 3, 2)))

    def test_fee_counts_begun_weeks(self):
        self.assertEqual(late_fee(date(2025, 3, 1), date(2025, 3, 10), 200.0), 0.0)
        self.assertEqual(late_fee(date(2025, 3, 1), date(2025, 3, 16), 200.0), 2.0)
        self.assertEqual(late_fee(date(2025, 3, 1), date(2025, 3, 29), 200.0), 6.0)
