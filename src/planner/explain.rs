//! A plan in sentences for a person: what was chosen, what it cost.

use crate::engine::backend::{LoadOptions, OUTPUTS};
use crate::engine::memory::Share;
use crate::planner::closed::WINDOW_STEP;
use crate::planner::room::{needed_of_host, usable};
use crate::planner::search::{MORE, Richer, USEFUL, padded};
use crate::planner::speed::Speed;
use crate::planner::{Plan, Request};
use crate::units::{Bytes, Tokens};

/// Says why a plan is as it is. `outlook` is what more memory would give, where that can be said.
pub fn why(plan: &Plan, request: &Request<'_>, outlook: Option<&Option<Richer>>) -> Vec<String> {
    let asked = request.asked;
    let mut sentences = vec![window(plan, asked, request.least), placement(plan)];
    sentences.extend(experts(plan));
    sentences.push(cache(plan, asked));
    sentences.extend(batches(plan, asked));
    sentences.extend(plan.trial.devices.iter().map(|share| rest(share, share.device.free)));
    sentences.push(host(plan));
    let pins = pins(asked);
    if !pins.is_empty() {
        sentences.push(format!("Pinned, and so not chosen: {}.", pins.join(", ")));
    }
    sentences.push(speed(&plan.speed));
    sentences.extend(outlook.map(|richer| more(plan, richer.as_ref())));
    sentences
}

fn window(plan: &Plan, asked: &LoadOptions, least: Option<Tokens>) -> String {
    let (window, trained) = (plan.window(), plan.shape.trained);
    let start = format!("The window has {window} tokens");
    if asked.n_ctx.is_some() {
        return format!("{start}, as pinned; the model was trained for {trained}.");
    }
    if trained > Tokens::ZERO && window > trained {
        return format!("{start}, as asked for, though the model was trained for {trained}: far back it may lose the thread.");
    }
    let rest = if trained < window + Tokens(WINDOW_STEP) && trained > Tokens::ZERO {
        "all that the model was trained for".to_owned()
    } else if least.is_some_and(|least| padded(least.0) == window.0) {
        "the least that was asked for".to_owned()
    } else if window.0 > USEFUL[0] {
        format!(
            "of the {trained} that the model was trained for: it stays on the accelerators whole, and there is memory to spare"
        )
    } else if window.0 == USEFUL[0] {
        format!("what an agent's task needs, of the {trained} that the model was trained for")
    } else {
        format!("fewer than the {} that an agent's task needs: more does not fit", USEFUL[0])
    };
    format!("{start}, {rest}.")
}

fn placement(plan: &Plan) -> String {
    let (layers, placed) = (plan.shape.layers.0, plan.placement.placed());
    let names = plan.trial.devices.iter().zip(plan.placement.counts()).filter(|(_, n)| **n > 0);
    let named = names.map(|(share, n)| format!("{n} on {}", share.device.name)).collect::<Vec<_>>().join(", ");
    if plan.trial.devices.is_empty() {
        format!("There is no accelerator: all {layers} layers are computed by the processor.")
    } else if placed == 0 {
        format!("Nothing fits on an accelerator: all {layers} layers are computed by the processor.")
    } else if placed > layers {
        format!("All {layers} layers and the output are on accelerators: {named}.")
    } else {
        let left = layers + 1 - placed;
        format!("Of {layers} layers and the output, {named}; the first {left} are computed by the processor, which is slower.")
    }
}

fn experts(plan: &Plan) -> Option<String> {
    let on_host: u32 = plan.placement.experts().iter().sum();
    let all = plan.shape.expert_layers.len();
    (on_host > 0).then(|| {
        format!("The experts of {on_host} of {all} layers stay on the host and are computed there: each token uses few of them.")
    })
}

fn cache(plan: &Plan, asked: &LoadOptions) -> String {
    let options = &plan.options;
    let kv: Bytes = plan.trial.devices.iter().chain([&plan.trial.host]).map(|share| share.kv).sum();
    let types = [&options.type_k, &options.type_v].map(|name| name.as_deref().unwrap_or_default());
    let chosen = match types[0] {
        "q8_0" if asked.type_k.is_none() => {
            ": half of f16, at hardly any cost to the answers, so that more stays on faster memory"
        }
        "q4_0" if asked.type_k.is_none() => ": a quarter of f16, which answers suffer from, for nothing larger fits",
        _ => "",
    };
    let types = if types[0] == types[1] { types[0].to_owned() } else { types.join(" and ") };
    let flash = if options.flash_attn == Some(true) { "with" } else { "without" };
    format!("The cache takes {} in {types}, {flash} flash attention{chosen}.", kv.spoken())
}

fn batches(plan: &Plan, asked: &LoadOptions) -> Option<String> {
    let batch = plan.options.n_ubatch.filter(|batch| asked.n_ubatch.is_none() && *batch < 512)?;
    let batch = format!("Prompts are read {batch} tokens at a time instead of 512, which takes less memory and more time");
    let scoring = plan.options.n_outputs == Some(1) && asked.n_outputs.is_none() && OUTPUTS > 1;
    Some(if scoring { format!("{batch}; texts are scored one token at a time.") } else { format!("{batch}.") })
}

fn host(plan: &Plan) -> String {
    let (need, free) = (needed_of_host(&plan.trial), plan.host.available);
    let shared = if need > plan.trial.host.need() { ", with what accelerators take of it" } else { "" };
    told(&plan.trial.host.device.name, need, free, shared)
}

/// How fast it should be, or was.
pub fn speed(speed: &Speed) -> String {
    let Some(decode) = speed.decode_tps else {
        return "No speed is given: the bandwidth of a device that computes is not known here.".into();
    };
    let decode = if decode < 10.0 { format!("{decode:.1}") } else { format!("{decode:.0}") };
    if speed.is_predicted == Some(false) {
        return format!("It wrote {decode} tokens a second when it was last loaded like this.");
    }
    let prefill = speed.prefill_tps.map(|tps| format!(", and read about {tps:.0}")).unwrap_or_default();
    format!("By the bandwidth of its memory it should write about {decode} tokens a second{prefill}: predicted, not measured.")
}

/// What more memory would buy, by planning again with it.
fn more(plan: &Plan, richer: Option<&Richer>) -> String {
    let more = MORE.spoken();
    let Some(richer) = richer else {
        return format!("Another {more} would change nothing.");
    };
    let mut gains = Vec::new();
    if richer.window > plan.window() {
        gains.push(format!("a window of {} tokens", richer.window));
    }
    let (now, then) = (plan.placement.placed(), richer.placement.placed());
    if then > now {
        gains.push(format!("{} more layers on accelerators", then - now));
    }
    let on_host = |experts: &[u32]| experts.iter().sum::<u32>();
    let (now, then) = (on_host(plan.placement.experts()), on_host(richer.placement.experts()));
    if then < now {
        gains.push(format!("the experts of {} more layers on accelerators", now - then));
    }
    if richer.cache != plan.options.type_k {
        gains.push(format!("a cache in {}", richer.cache.as_deref().unwrap_or("f16")));
    }
    if richer.faster >= 1.05 {
        gains.push(format!("turns {:.1} times as fast", richer.faster));
    }
    if gains.is_empty() {
        return format!("Another {more} would change little.");
    }
    format!("Another {more} on {} would buy {}.", richer.device, gains.join(", "))
}

fn rest(share: &Share, free: Bytes) -> String {
    told(&share.device.name, share.need(), free, "")
}

fn told(name: &str, need: Bytes, free: Bytes, shared: &str) -> String {
    let kept = if free - need >= free - usable(free) { "" } else { ", less than the margin that would be kept by choice" };
    format!("{name}: {} of {} free are taken{shared}, {} stay free{kept}.", need.spoken(), free.spoken(), (free - need).spoken())
}

fn pins(asked: &LoadOptions) -> Vec<&'static str> {
    [
        ("n_ctx", asked.n_ctx.is_some()),
        ("n_gpu_layers", asked.n_gpu_layers.is_some()),
        ("tensor_split", asked.tensor_split.is_some()),
        ("expert_layers_on_cpu", asked.expert_layers_on_cpu.is_some()),
        ("kv_type_k", asked.type_k.is_some()),
        ("kv_type_v", asked.type_v.is_some()),
        ("n_batch", asked.n_batch.is_some()),
        ("n_ubatch", asked.n_ubatch.is_some()),
        ("n_outputs", asked.n_outputs.is_some()),
        ("flash_attn", asked.flash_attn.is_some()),
        ("swa_full", asked.swa_full.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, pinned)| pinned.then_some(name))
    .collect()
}
