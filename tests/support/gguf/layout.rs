//! Tensors as the architectures want them, filled with random numbers of a fixed seed.

use super::Weights;
use super::raw::{F16, F32, Q8_0, Tensor};

/// xorshift64*: small, fast, the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Zero is the generator's fixed point; the odd multiplier spreads small seeds.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    /// A number between -1 and 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// The tensor table as it grows. Names inside a block are given without their `blk.N.`.
pub struct Layout {
    pub tensors: Vec<Tensor>,
    prefix: String,
    weights: Weights,
    scale: f32,
    random: Random,
}

impl Layout {
    pub fn new(weights: Weights, scale: f32, seed: u64) -> Self {
        Self { tensors: Vec::new(), prefix: String::new(), weights, scale, random: Random::new(seed) }
    }

    /// Starts a layer.
    pub fn block(&mut self, layer: u32) {
        self.prefix = format!("blk.{layer}.");
    }

    fn push(&mut self, name: &str, dims: &[u64], kind: u32, data: Vec<u8>) {
        let name = format!("{}{name}", self.prefix);
        self.tensors.push(Tensor { name, dims: dims.to_vec(), kind, data, offset: None });
    }

    /// A matrix of weights; rows that Q8_0 cannot hold become F16.
    pub fn matrix(&mut self, name: &str, dims: &[u64]) {
        let n = dims.iter().product::<u64>() as usize;
        // A uniform spread of √3 has the variance of a normal one.
        let spread = self.scale * 3f32.sqrt();
        match self.weights {
            Weights::F32 => self.floats(name, dims),
            Weights::Q8_0 if dims[0].is_multiple_of(32) => {
                let scale = half(self.scale / 64.0);
                let mut data = Vec::with_capacity(n / 32 * 34);
                for _ in 0..n / 32 {
                    data.extend(scale);
                    for _ in 0..4 {
                        data.extend(self.random.next().to_le_bytes());
                    }
                }
                self.push(name, dims, Q8_0, data);
            }
            Weights::F16 | Weights::Q8_0 => {
                let data = (0..n).flat_map(|_| half(self.random.unit() * spread)).collect();
                self.push(name, dims, F16, data);
            }
        }
    }

    /// Random F32, whatever the matrices are stored as.
    pub fn floats(&mut self, name: &str, dims: &[u64]) {
        let n = dims.iter().product::<u64>();
        let spread = self.scale * 3f32.sqrt();
        let data = (0..n).flat_map(|_| (self.random.unit() * spread).to_le_bytes()).collect();
        self.push(name, dims, F32, data);
    }

    pub fn ones(&mut self, name: &str, n: u64) {
        self.constant(name, n, 1.0);
    }

    pub fn zeros(&mut self, name: &str, n: u64) {
        self.constant(name, n, 0.0);
    }

    fn constant(&mut self, name: &str, n: u64, value: f32) {
        self.push(name, &[n], F32, value.to_le_bytes().repeat(n as usize));
    }

    /// LFM2's mixer: a convolution over three positions.
    pub fn short_convolution(&mut self, embd: u64) {
        self.floats("shortconv.conv.weight", &[3, embd]);
        self.matrix("shortconv.in_proj.weight", &[embd, 3 * embd]);
        self.matrix("shortconv.out_proj.weight", &[embd, embd]);
    }

    /// Mamba's mixer: state size 16, kernel 4, inner width twice the embedding.
    pub fn mamba(&mut self, embd: u64) {
        let (inner, rank) = (2 * embd, embd / 16);
        self.matrix("ssm_in.weight", &[embd, 2 * inner]);
        self.floats("ssm_conv1d.weight", &[4, inner]);
        self.zeros("ssm_conv1d.bias", inner);
        self.matrix("ssm_x.weight", &[inner, rank + 32]);
        self.floats("ssm_dt.weight", &[rank, inner]);
        self.zeros("ssm_dt.bias", inner);
        let decay = (0..inner).flat_map(|_| (1..=16u8).flat_map(|s| (-f32::from(s)).to_le_bytes())).collect();
        self.push("ssm_a", &[16, inner], F32, decay);
        self.ones("ssm_d", inner);
        self.matrix("ssm_out.weight", &[inner, embd]);
    }
}

/// Half precision by truncation; subnormals become zero.
fn half(value: f32) -> [u8; 2] {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let exponent = (bits >> 23 & 0xFF) as i32 - 127 + 15;
    let magnitude = match exponent {
        ..=0 => 0,
        31.. => 0x7BFF,
        _ => (exponent as u16) << 10 | (bits >> 13 & 0x3FF) as u16,
    };
    (sign | magnitude).to_le_bytes()
}
