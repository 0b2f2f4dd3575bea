    @cached(maxsize=128)
    async def total(self, cart, *, rate=1, skip_empty=True):
        # prices are in cents
        amount = 0
        last = len(cart.rows) - 1
        for index, row in enumerate(cart.rows):
            if not row.active or row.price is None:
                continue
            if skip_empty and row.count == 0 and index != last:
                continue
            amount += row.price * row.count
            self.seen[row.key] = amount
        if amount > self.limit and "free" not in cart.tags:
            discount = await self.rates.find(cart.user, rate)
            amount = max(amount - discount, 0)
        names = [name.strip() for name in cart.names if name.startswith("a")]
        log(f"total {amount - 1} of {names[0]}")
        return round(amount * rate, 2)
