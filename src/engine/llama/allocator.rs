//! llama.cpp as the one who says what a load takes: on the devices of this machine, or on imaginary ones.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::bridge::imaginary::Accelerator;
use crate::engine::bridge::memory_trial;
use crate::engine::llama::{Parameters, start};
use crate::engine::memory::{Allocator, Device, Fit, Imaginary, Trial};
use crate::units::Bytes;
use llama_cpp_sys_2 as sys;

/// Lists the devices of this build. The CPU's free memory is not to be trusted: llama.cpp reports free = total.
pub fn devices() -> Vec<Device> {
    use llama_cpp_2::LlamaBackendDeviceType as Kind;
    start();
    llama_cpp_2::list_llama_ggml_backend_devices()
        .into_iter()
        .map(|d| Device {
            name: d.name,
            description: d.description,
            kind: match d.device_type {
                Kind::Gpu => "gpu",
                Kind::IntegratedGpu => "igpu",
                Kind::Cpu => "cpu",
                _ => "accel",
            }
            .to_owned(),
            total: Bytes(d.memory_total as u64),
            free: Bytes(d.memory_free as u64),
        })
        .collect()
}

/// The accelerators that a load is tried on.
pub struct Machine {
    /// None: those that are really there.
    imaginary: Vec<Accelerator>,
    imagined: Vec<Device>,
}

impl Machine {
    /// This machine as it is.
    pub fn real() -> Self {
        Self { imaginary: Vec::new(), imagined: Vec::new() }
    }

    /// A machine with these accelerators and no others; as it is when there are none. Errors when memory is short, and on
    /// more accelerators than llama.cpp can count, the processor being one of its devices.
    pub fn with(accelerators: &[Imaginary]) -> Result<Self, EngineError> {
        start();
        // SAFETY: a plain number.
        let most = unsafe { sys::llama_max_devices() }.saturating_sub(1);
        if accelerators.len() > most {
            return Err(EngineError::Unavailable(format!("llama.cpp takes no more than {most} accelerators")));
        }
        let open = |wanted: &Imaginary| {
            let failed = || EngineError::Unavailable(format!("cannot imagine the device `{}`", wanted.name));
            Accelerator::open(wanted).ok_or_else(failed)
        };
        let imagined = |wanted: &Imaginary| Device {
            name: wanted.name.clone(),
            kind: "gpu".into(),
            description: String::new(),
            total: wanted.total,
            free: wanted.free,
        };
        let imaginary = accelerators.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { imaginary, imagined: accelerators.iter().map(imagined).collect() })
    }

    /// Loading parameters for these accelerators.
    pub fn parameters(&self, options: &LoadOptions) -> Result<Parameters, EngineError> {
        let devices: Vec<sys::ggml_backend_dev_t> = self.imaginary.iter().map(Accelerator::device).collect();
        Parameters::new(options, &devices)
    }
}

impl Allocator for Machine {
    /// As `llama_prepare_model_devices` (`llama.cpp`) picks them: devices of other machines first, then all graphics cards,
    /// and integrated ones where there are no others.
    fn devices(&mut self) -> Result<Vec<Device>, EngineError> {
        if !self.imaginary.is_empty() {
            return Ok(self.imagined.clone());
        }
        let all = devices();
        let of = |kind: &'static str| all.iter().filter(move |device| device.kind == kind);
        let far = |device: &&Device| device.name.starts_with("RPC");
        let near: Vec<Device> = of("gpu").filter(|device| !far(device)).cloned().collect();
        let integrated = of("igpu").filter(|_| near.is_empty()).cloned().collect();
        Ok([of("gpu").filter(far).cloned().collect(), near, integrated].concat())
    }

    fn trial(&mut self, options: &LoadOptions) -> Result<Trial, EngineError> {
        let at = self.parameters(options)?;
        memory_trial(&options.model, &at.model, &at.context, at.branches())
            .map_err(|e| EngineError::Load { path: options.model.clone(), reason: e.to_string() })
    }

    fn fit(&mut self, options: &LoadOptions, margins: &[Bytes]) -> Result<Option<Fit>, EngineError> {
        Ok(self.parameters(options)?.fit(&options.model, margins))
    }
}
