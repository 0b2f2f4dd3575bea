//! A plan in the shape that the outside relies on.

use crate::engine::memory::{Device, Host, Share};
use crate::planner::Plan;
use crate::planner::speed::Speed;
use crate::units::{Bytes, Layers, Tokens};
use serde::Serialize;

/// Everything that `agent plan` says. Bytes and tokens are integers.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub model: Model,
    pub devices: Vec<Device>,
    pub host: Host,
    pub plan: Fields,
    /// The accelerators, then the host.
    pub memory: Vec<Row>,
    pub speed: Speed,
    pub budget: Budget,
    pub why: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Model {
    pub name: String,
    pub arch: String,
    pub layers: Layers,
    pub experts: u32,
    pub file_bytes: Bytes,
    pub ctx_train: Tokens,
}

/// What was pinned or chosen. Each field can be pinned as `plan.<field>`.
#[derive(Clone, Debug, Serialize)]
pub struct Fields {
    pub n_gpu_layers: i32,
    pub expert_layers_on_cpu: Vec<u32>,
    pub n_ctx: Tokens,
    pub kv_type_k: String,
    pub kv_type_v: String,
    pub n_batch: u32,
    pub n_ubatch: u32,
    pub flash_attn: bool,
    pub swa_full: bool,
    pub tensor_split: Vec<f32>,
}

/// What one device holds, by the allocator's own figures.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub device: String,
    pub weights: Bytes,
    pub kv: Bytes,
    pub compute: Bytes,
    pub total: Bytes,
    pub free_after: Bytes,
}

/// How the window divides. The parts add up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    pub window: Tokens,
    pub system: Tokens,
    pub tools: Tokens,
    pub environment: Tokens,
    pub map: Tokens,
    pub reserve: Tokens,
    pub conversation: Tokens,
}

impl Report {
    pub fn of(plan: Plan, budget: Budget) -> Self {
        let Plan { shape, host, options, placement, trial, speed, turn: _, why } = plan;
        let row = |share: &Share, free: Bytes| Row {
            device: share.device.name.clone(),
            weights: share.weights,
            kv: share.kv,
            compute: share.compute,
            total: share.need(),
            free_after: free - share.need(),
        };
        let mut memory: Vec<Row> = trial.devices.iter().map(|share| row(share, share.device.free)).collect();
        memory.push(row(&trial.host, host.available));
        Self {
            model: Model {
                name: shape.name,
                arch: shape.arch,
                layers: shape.layers,
                experts: shape.experts,
                file_bytes: shape.file,
                ctx_train: shape.trained,
            },
            devices: trial.devices.into_iter().map(|share| share.device).collect(),
            host,
            plan: Fields {
                n_gpu_layers: placement.n_gpu_layers(),
                expert_layers_on_cpu: placement.experts().to_vec(),
                n_ctx: Tokens(options.n_ctx.unwrap_or_default()),
                kv_type_k: options.type_k.unwrap_or_default(),
                kv_type_v: options.type_v.unwrap_or_default(),
                n_batch: options.n_batch.unwrap_or_default(),
                n_ubatch: options.n_ubatch.unwrap_or_default(),
                flash_attn: trial.flash_attn,
                swa_full: options.swa_full.unwrap_or_default(),
                tensor_split: options.tensor_split.unwrap_or_default(),
            },
            memory,
            speed,
            budget,
            why,
        }
    }
}

impl Budget {
    /// Divides a window; the conversation has what the others leave.
    pub fn divide(window: Tokens, system: Tokens, tools: Tokens, environment: Tokens, reserve: Tokens) -> Self {
        let conversation = window - system - tools - environment - reserve;
        Self { window, system, tools, environment, map: Tokens::ZERO, reserve, conversation }
    }
}
