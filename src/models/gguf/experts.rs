//! Mixtures of experts: the assertions of `load_hparams` and of the routing graph.

use crate::models::gguf::Fault;
use crate::models::gguf::header::Header;
use crate::models::gguf::hyper::bad;

/// `LLAMA_MAX_EXPERTS`.
const MOST_EXPERTS: u32 = 1024;
/// `llama_expert_gating_func_type` without its zero.
const GATINGS: std::ops::RangeInclusive<u32> = 1..=4;
/// Architectures for which llama.cpp assumes no gating function when the file names none, and dies.
const NEEDS_GATING: &[&str] = &["minimax-m2"];
/// Architectures that may call one expert a dense layer.
const ONE_IS_DENSE: &[&str] = &["hunyuan-dense", "hunyuan_vl"];

/// Checks the number of experts, how many are used, and how they are chosen.
pub(in crate::models::gguf) fn check(header: &Header) -> Result<(), Fault> {
    let mut experts = header.of_arch("expert_count").unwrap_or(0);
    let mut used = header.per_layer("expert_used_count").unwrap_or_default().into_iter().max().unwrap_or(0);
    if experts <= 1 && ONE_IS_DENSE.contains(&header.arch()) {
        (experts, used) = (0, 0);
    }
    if experts > MOST_EXPERTS {
        return Err(bad(header, "expert_count", format!("is {experts}; {MOST_EXPERTS} is the most that can be loaded")));
    }
    if used > experts {
        return Err(bad(header, "expert_used_count", format!("is {used} of {experts} experts")));
    }
    if experts > 0 && used == 0 {
        return Err(bad(header, "expert_used_count", format!("is 0 or missing for {experts} experts")));
    }
    groups(header, experts)?;
    let gating = header.of_arch("expert_gating_func");
    if gating.is_some_and(|g| g != 0 && !GATINGS.contains(&g)) {
        return Err(bad(header, "expert_gating_func", "names no known function"));
    }
    if gating.unwrap_or(0) == 0 && experts > 0 && NEEDS_GATING.contains(&header.arch()) {
        return Err(bad(header, "expert_gating_func", "is missing"));
    }
    Ok(())
}

fn groups(header: &Header, experts: u32) -> Result<(), Fault> {
    let groups = header.of_arch("expert_group_count").unwrap_or(0);
    let used = header.of_arch("expert_group_used_count").unwrap_or(0);
    let none = experts == 0 && groups > 0;
    let many = experts > 0 && groups >= experts;
    if none || many || (groups > 1 && !experts.is_multiple_of(groups)) {
        return Err(bad(header, "expert_group_count", format!("is {groups} for {experts} experts")));
    }
    if groups > 1 && (used == 0 || used >= groups) {
        return Err(bad(header, "expert_group_used_count", format!("is {used} of {groups} groups")));
    }
    Ok(())
}
