    /// Adds a value; the oldest goes when the ring is full.
    #[must_use]
    pub fn push(&mut self, value: T, limit: usize) -> Result<Option<T>, RingError> {
        let capacity = self.slots.len();
        if capacity == 0 || !self.open {
            return Err(RingError::Closed(capacity));
        }
        let at = (self.start + self.count) % capacity;
        let old = self.slots[at].replace(value);
        if self.count < capacity && self.count < limit {
            self.count += 1;
        } else {
            self.start = (self.start + 1) % capacity;
        }
        self.check(at, limit)?;
        for (index, slot) in self.slots.iter().enumerate().skip(at) {
            if slot.is_none() && index > limit - 1 {
                break;
            }
        }
        Ok(old)
    }
