//! A plan in sentences for a person: what was chosen, what it cost.

use crate::engine::backend::LoadOptions;
use crate::engine::memory::Share;
use crate::planner::{Plan, USEFUL, WINDOW_STEP, padded, usable};
use crate::units::{Bytes, Tokens};

/// Says why a plan is as it is. `asked` is what was pinned, `least` the smallest window that was asked for.
pub fn why(plan: &Plan, asked: &LoadOptions, least: Option<Tokens>) -> Vec<String> {
    let mut sentences = vec![window(plan, asked, least), placement(plan)];
    sentences.extend(experts(plan));
    sentences.push(cache(plan));
    sentences.extend(plan.trial.devices.iter().map(|share| rest(share, share.device.free)));
    sentences.push(rest(&plan.trial.host, plan.host.available));
    let pins = pins(asked);
    if !pins.is_empty() {
        sentences.push(format!("Pinned, and so not chosen: {}.", pins.join(", ")));
    }
    sentences.push("No speed is given: none was measured for this model on these devices.".into());
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

fn cache(plan: &Plan) -> String {
    let options = &plan.options;
    let kv: Bytes = plan.trial.devices.iter().chain([&plan.trial.host]).map(|share| share.kv).sum();
    let types = [&options.type_k, &options.type_v].map(|name| name.as_deref().unwrap_or_default());
    let types = if types[0] == types[1] { types[0].to_owned() } else { types.join(" and ") };
    let flash = if options.flash_attn == Some(true) { "with" } else { "without" };
    format!("The cache takes {} in {types}, {flash} flash attention.", kv.spoken())
}

fn rest(share: &Share, free: Bytes) -> String {
    let (name, need) = (&share.device.name, share.need());
    let kept = if free - need >= free - usable(free) { "" } else { ", less than the margin that would be kept by choice" };
    format!("{name}: {} of {} free are taken, {} stay free{kept}.", need.spoken(), free.spoken(), (free - need).spoken())
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
