//! Terminal output as plain text: no escape sequences, and of a line that was overprinted only what stood there last.

/// Strips escape sequences and everything that a carriage return overwrote.
pub fn plain(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |l| (l, "\n"));
        let line = line.strip_suffix('\r').unwrap_or(line);
        strip(line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default(), &mut lines);
        lines.push_str(end);
    }
    lines
}

/// ECMA-48: ESC `[` … final byte, ESC `]` … BEL or ESC `\`, or ESC and one character. Other control characters go as well.
fn strip(line: &str, into: &mut String) {
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => _ = chars.find(|c| ('@'..='~').contains(c)),
                Some(']') => {
                    let end = chars.find(|c| matches!(c, '\u{7}' | '\u{1b}'));
                    if end == Some('\u{1b}') {
                        chars.next_if_eq(&'\\');
                    }
                }
                _ => {}
            },
            c if c.is_control() && c != '\t' => {}
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::text::plain::plain;

    #[test]
    fn only_what_can_be_read_is_left() {
        assert_eq!(plain("\u{1b}[1;31merror\u{1b}[0m: x\r\n"), "error: x\n");
        assert_eq!(plain("10 %\r50 %\r100 %\ndone"), "100 %\ndone");
        assert_eq!(plain("\u{1b}]8;;http://a\u{7}link\u{1b}]8;;\u{1b}\\\ta\u{8}\n"), "link\ta\n");
    }
}
