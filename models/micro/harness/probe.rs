// Stands below a module under test: calls its function with each argument list and prints the results as source text.
// CALLS and NAME are put in where the program is made; everything else is here.

use std::io::Write as ProbeWrite;

/// A value as source text that an assertion can hold; `None` where it has none that a reader could follow.
trait Written {
    fn written(&self) -> Option<String>;
}

macro_rules! as_debugged {
    ($($name:ty),*) => { $(impl Written for $name { fn written(&self) -> Option<String> { Some(format!("{self:?}")) } })* };
}
as_debugged!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, bool, char, str);

macro_rules! as_finite {
    ($($name:ty),*) => { $(impl Written for $name { fn written(&self) -> Option<String> { self.is_finite().then(|| format!("{self:?}")) } })* };
}
as_finite!(f32, f64);

impl Written for String {
    fn written(&self) -> Option<String> {
        Some(format!("String::from({self:?})"))
    }
}

impl Written for std::borrow::Cow<'_, str> {
    fn written(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl Written for std::cmp::Ordering {
    fn written(&self) -> Option<String> {
        Some(format!("std::cmp::Ordering::{self:?}"))
    }
}

impl<T: Written + ?Sized> Written for &T {
    fn written(&self) -> Option<String> {
        (**self).written()
    }
}

impl<T: Written + ?Sized> Written for Box<T> {
    fn written(&self) -> Option<String> {
        (**self).written()
    }
}

impl<T: Written> Written for Option<T> {
    fn written(&self) -> Option<String> {
        match self {
            Some(value) => Some(format!("Some({})", value.written()?)),
            None => Some("None".into()),
        }
    }
}

impl<T: Written, E: Written> Written for Result<T, E> {
    fn written(&self) -> Option<String> {
        match self {
            Ok(value) => Some(format!("Ok({})", value.written()?)),
            Err(value) => Some(format!("Err({})", value.written()?)),
        }
    }
}

fn probe_listed<T: Written>(values: &[T]) -> Option<String> {
    Some(values.iter().map(Written::written).collect::<Option<Vec<_>>>()?.join(", "))
}

fn probe_type<T: ?Sized>() -> Option<String> {
    let name = std::any::type_name::<T>()
        .replace("alloc::string::String", "String")
        .replace("alloc::vec::Vec", "Vec")
        .replace("core::option::Option", "Option");
    (!name.contains("::")).then_some(name)
}

impl<T: Written> Written for Vec<T> {
    fn written(&self) -> Option<String> {
        if self.is_empty() { Some(format!("Vec::<{}>::new()", probe_type::<T>()?)) } else { Some(format!("vec![{}]", probe_listed(self)?)) }
    }
}

impl<T: Written> Written for [T] {
    fn written(&self) -> Option<String> {
        if self.is_empty() { Some(format!("[] as [{}; 0]", probe_type::<T>()?)) } else { Some(format!("[{}]", probe_listed(self)?)) }
    }
}

impl<T: Written, const N: usize> Written for [T; N] {
    fn written(&self) -> Option<String> {
        self.as_slice().written()
    }
}

impl<A: Written, B: Written> Written for (A, B) {
    fn written(&self) -> Option<String> {
        Some(format!("({}, {})", self.0.written()?, self.1.written()?))
    }
}

impl<A: Written, B: Written, C: Written> Written for (A, B, C) {
    fn written(&self) -> Option<String> {
        Some(format!("({}, {}, {})", self.0.written()?, self.1.written()?, self.2.written()?))
    }
}

impl<A: Written, B: Written, C: Written, D: Written> Written for (A, B, C, D) {
    fn written(&self) -> Option<String> {
        Some(format!("({}, {}, {}, {})", self.0.written()?, self.1.written()?, self.2.written()?, self.3.written()?))
    }
}

/// Prints `NUMBER` before each call and `NUMBER<tab>RESULT` after it; a call that panics has no second line. The first
/// argument says with which to begin, after one that never came back.
fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let first = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let calls: &[fn() -> Option<String>] = &[CALLS];
    let mut out = std::io::stdout();
    for (number, call) in calls.iter().enumerate().skip(first) {
        let _ = writeln!(out, "{number}");
        if let Ok(Some(text)) = std::panic::catch_unwind(call) {
            let _ = writeln!(out, "{number}\t{text}");
        }
    }
}
