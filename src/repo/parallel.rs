//! The same work on many files, on as many threads as the machine has cores: for answers that somebody waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// More threads than this wait for the same disk.
const THREADS: usize = 8;

/// Does `work` on every item and gives what came of it, in their order. Each thread has a `state` of its own. A `work` that
/// panics takes the caller with it.
pub fn each<T: Sync, S, R: Send>(items: &[T], state: impl Fn() -> S + Sync, work: impl Fn(&mut S, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let share = || {
        let (mut state, mut done) = (state(), Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, work(&mut state, item)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS).min(items.len());
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(share)).collect();
        let mut done = share();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use crate::repo::parallel::each;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1_000).collect();
        let squares = each(
            &items,
            || 0,
            |seen, item| {
                *seen += 1;
                item * item
            },
        );
        assert!(squares.iter().enumerate().all(|(at, square)| *square == at * at) && squares.len() == 1_000);
        assert!(each(&[], || (), |(), item: &u8| *item).is_empty());
    }
}
