//! A model is loaded as planned, with less where memory is short, and what was promised is held against what came.

use crate::boot::BootError;
use crate::boot::own::{Planned, planned};
use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::embedded::Embedded;
use crate::engine::memory::Trial;
use crate::models::ledger::key;
use crate::planner::wanted::Wanted;
use crate::planner::{Plan, PlanError, USEFUL_WINDOW};
use crate::units::Bytes;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How often a load that failed is tried with less.
const TRIES: u32 = 5;
/// What stays free beyond the margin after the first load that failed; each further one doubles it.
const STEP: Bytes = Bytes(512 << 20);
/// A device that takes this part more than was planned is told of.
const OFF: f64 = 0.03;
/// Where less memory than this is meant, a part says nothing.
const TRIFLE: Bytes = Bytes(64 << 20);
/// A model that writes more slowly than this part of the prediction reads its weights from somewhere else.
const SPILLED: f64 = 0.4;
/// Tokens that a probe decodes, and how long it may take.
const PROBE: usize = 64;
const PROBE_TIME: Duration = Duration::from_secs(1);

/// Loads a model by a plan that is made now, from the memory that is free now. Where the load fails all the same, for memory
/// went meanwhile, it is planned again with more left free, so that a window becomes smaller before nothing is loaded. Gives
/// the options that it was loaded with, too.
pub fn load(
    asked: &LoadOptions,
    cache: Option<&Path>,
    progress: &mut dyn FnMut(f32),
) -> Result<(Embedded, LoadOptions), EngineError> {
    let mut wanted = Wanted::default();
    let mut first: Option<(LoadOptions, EngineError)> = None;
    for attempt in 0..TRIES {
        let made = match planned(asked, &wanted, cache) {
            Ok(made) => made,
            Err(error) => return Err(first.map_or_else(|| told(asked, error), |(_, failed)| failed)),
        };
        say(&made.plan.why);
        let tried = first.as_ref().is_some_and(|(options, _)| *options == made.plan.options);
        wanted.reserve = if attempt == 0 { STEP } else { wanted.reserve + wanted.reserve };
        if tried {
            continue;
        }
        // A window that the plan chose may grow later on.
        let grow_to = asked.n_ctx.is_none().then_some(u32::MAX);
        let options = LoadOptions { grow_to, ..made.plan.options.clone() };
        match Embedded::load(&options, progress) {
            Ok(mut engine) => {
                if first.is_some() {
                    engine.tell(format!(
                        "memory became short while the model was loaded: its window has {} tokens",
                        made.plan.window()
                    ));
                } else if let Some(notice) = short(&made.plan, asked) {
                    engine.tell(notice);
                }
                judge(&mut engine, made);
                return Ok((engine, options));
            }
            Err(error @ EngineError::Load { .. }) => {
                say(&[error.to_string()]);
                first = Some((made.plan.options, error));
            }
            Err(error) => return Err(error),
        }
    }
    Err(first.map_or_else(|| EngineError::Unavailable("the model was not loaded".into()), |(_, error)| error))
}

fn told(asked: &LoadOptions, error: BootError) -> EngineError {
    match error {
        BootError::Engine(error) | BootError::Plan(PlanError::Engine(error)) => error,
        other => EngineError::Load { path: asked.model.clone(), reason: other.to_string() },
    }
}

/// Into the engine's log. Where nobody keeps one, nothing is lost.
fn say(lines: &[String]) {
    let mut log = std::io::stderr();
    lines.iter().for_each(|line| drop(writeln!(log, "{line}")));
}

/// A window that is smaller than what a task needs, though the model could have more.
fn short(plan: &Plan, asked: &LoadOptions) -> Option<String> {
    let window = plan.window().0;
    let wanted = USEFUL_WINDOW.min(plan.shape.trained.0 / 256 * 256);
    let small = asked.n_ctx.is_none() && window < wanted;
    small.then(|| format!("memory is short: the window has {window} tokens instead of {wanted}"))
}

/// Holds what the model takes and how fast it writes against the plan, tells what is far off, and remembers the speed.
fn judge(engine: &mut Embedded, made: Planned) {
    let Planned { plan, ledger } = made;
    match engine.taken() {
        Ok(taken) => beyond(&plan.trial, &taken).into_iter().for_each(|notice| {
            say(std::slice::from_ref(&notice));
            engine.tell(notice);
        }),
        Err(error) => say(&[error.to_string()]),
    }
    let Some(mut ledger) = ledger else { return };
    let speed = speed_key(&plan.options);
    if ledger.get::<f64>(&speed).is_some() {
        return;
    }
    let Ok(Some(measured)) = engine.probe(PROBE, PROBE_TIME) else { return };
    let predicted = plan.speed.decode_tps.filter(|_| plan.speed.is_predicted == Some(true));
    if let Some(predicted) = predicted.filter(|predicted| measured < SPILLED * predicted) {
        let notice = format!(
            "the model writes {measured:.1} tokens a second, and {predicted:.1} were to be expected: part of it is probably not in the memory that it was planned for"
        );
        say(std::slice::from_ref(&notice));
        engine.tell(notice);
    }
    // A cache that cannot be written: the probe is made again.
    let _ = ledger.put(speed, &measured);
}

/// Under what a measured speed is remembered.
pub fn speed_key(options: &LoadOptions) -> String {
    key("speed", options)
}

/// Devices that take more than was planned.
fn beyond(planned: &Trial, taken: &Trial) -> Vec<String> {
    let pairs = planned.devices.iter().zip(&taken.devices);
    let far = pairs.filter(|(planned, taken)| {
        let more = taken.need() - planned.need();
        more > TRIFLE && more.0 as f64 > OFF * planned.need().0 as f64
    });
    far.map(|(planned, taken)| {
        let (planned, took) = (planned.need().spoken(), taken.need().spoken());
        format!("the model takes {took} on {}, and {planned} were planned", taken.device.name)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use crate::boot::load::beyond;
    use crate::engine::memory::{Device, Share, Trial};
    use crate::units::Bytes;

    fn trial(mib: u64) -> Trial {
        let device = |name: &str| Device {
            name: name.into(),
            kind: "gpu".into(),
            description: String::new(),
            total: Bytes(8 << 30),
            free: Bytes(8 << 30),
        };
        let share =
            |name: &str, mib: u64| Share { device: device(name), weights: Bytes(mib << 20), kv: Bytes(0), compute: Bytes(0) };
        Trial { flash_attn: true, devices: vec![share("GPU0", mib)], host: share("CPU", 0) }
    }

    #[test]
    fn what_is_taken_beyond_the_plan_is_told() {
        assert!(beyond(&trial(4000), &trial(4100)).is_empty(), "within three percent");
        assert!(beyond(&trial(4000), &trial(3000)).is_empty(), "less is no harm");
        assert!(beyond(&trial(100), &trial(150)).is_empty(), "a trifle");
        assert_eq!(beyond(&trial(4000), &trial(4200)), ["the model takes 4.1 GiB on GPU0, and 3.9 GiB were planned"]);
    }
}
