"""Invoices and when they have to be paid."""

from datetime import date, timedelta

GRACE_DAYS = 14


def due_date(issued: date, days: int = GRACE_DAYS) -> date:
    """The last day on which the invoice can be paid without a reminder."""
    return issued + timedelta(days=days)


def is_overdue(issued: date, today: date, days: int = GRACE_DAYS) -> bool:
    return today >= due_date(issued, days)


def late_fee(issued: date, today: date, amount: float) -> float:
    """One percent of the amount for each begun week."""
    if not is_overdue(issued, today):
        return 0.0
    weeks = (today - due_date(issued)).days // 7 + 1
    return round(amount * weeks / 100, 2)
