"""The total of a cart: three for two, on every kind of item."""


def total(prices):
    """The sum to pay for items of one kind: of three, the cheapest is free."""
    free = min(prices) if len(prices) > 3 else 0
    return sum(prices) - free
