    public boolean transfer(Account from, Account to, long amount) {
        if (amount <= 0 || !from.isOpen()) {
            return false;
        }
        for (int i = 0; i < rules.size(); i++) {
            if (!rules.get(i).allows(from, to)) {
                return false;
            }
        }
        from.balance -= amount;
        to.balance += amount;
        return true;
    }
