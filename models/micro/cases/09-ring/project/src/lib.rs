//! A buffer that keeps the last few values.

#[derive(Debug)]
pub struct Ring<T> {
    slots: Vec<Option<T>>,
    first: usize,
    len: usize,
}

impl<T> Ring<T> {
    /// A ring for `room` values, which is not 0.
    pub fn new(room: usize) -> Self {
        Self { slots: (0..room).map(|_| None).collect(), first: 0, len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a value; a full ring forgets its oldest one.
    pub fn push(&mut self, value: T) {
        let room = self.slots.len();
        let next = (self.first + self.len) % room;
        self.slots[next] = Some(value);
        if self.len < room {
            self.len += 1;
        } else {
            self.first = (self.first - 1) % room;
        }
    }

    /// The values, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let room = self.slots.len();
        (0..self.len).filter_map(move |at| self.slots[(self.first + at) % room].as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    fn pushed(room: usize, values: &[i32]) -> Vec<i32> {
        let mut ring = Ring::new(room);
        values.iter().for_each(|value| ring.push(*value));
        ring.iter().copied().collect()
    }

    #[test]
    fn keeps_what_fits() {
        assert_eq!(pushed(3, &[1, 2]), [1, 2]);
        assert_eq!(pushed(3, &[1, 2, 3]), [1, 2, 3]);
    }

    #[test]
    fn forgets_the_oldest() {
        assert_eq!(pushed(3, &[1, 2, 3, 4]), [2, 3, 4]);
        assert_eq!(pushed(2, &[1, 2, 3, 4, 5]), [4, 5]);
    }

    #[test]
    fn counts() {
        let mut ring = Ring::new(2);
        assert!(ring.is_empty());
        ring.push('a');
        assert_eq!(ring.len(), 1);
    }
}
