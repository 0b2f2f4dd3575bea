fn longest_run(text: &str, mark: char) -> usize {
    let (mut best, mut run) = (0, 0);
    for c in text.trim_start().chars() {
        if c == mark {
            run += 1;
        } else {
            best = best.max(run);
            run = 0;
        }
    }
    let spans: Vec<(usize, usize)> = (0..best).map(|n| (n, n + 1)).filter(|span| !span.0.is_power_of_two()).collect();
    match spans.first() {
        Some(first) if first.0 >= 1 => first.1,
        None => std::cmp::max(best, run),
        _ => best - run,
    }
}
