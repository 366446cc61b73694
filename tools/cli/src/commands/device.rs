//! `--device`, of all commands that run networks.

use repghost_kernels::device::Choice;

/// Where networks run.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DeviceArgs {
    /// Where networks run: auto (the first card that works, else the CPU), cpu, cuda or cuda:N (`run.device`).
    #[arg(long, value_name = "DEVICE")]
    device: Option<Choice>,
}

impl DeviceArgs {
    /// As an override of the experiment's key.
    pub fn key_value(&self) -> Option<String> {
        self.device.map(|device| format!("run.device={device}"))
    }

    /// True where a device is named.
    pub fn is_set(&self) -> bool {
        self.device.is_some()
    }

    /// `items` (an experiment and overrides) with this one behind them.
    pub fn added_to(&self, items: &[String]) -> Vec<String> {
        items.iter().cloned().chain(self.key_value()).collect()
    }
}
