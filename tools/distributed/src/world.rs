//! A process's place, by the variables of its launcher.

use crate::error::DistributedError;

/// The place of a process among those that train together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// Number of this process.
    pub rank: usize,
    /// Processes.
    pub size: usize,
    /// Number of this process on its machine, which chooses the card.
    pub local_rank: usize,
    /// Host of rank 0.
    pub address: String,
    /// Port of the store there.
    pub port: u16,
    /// The launcher serves the store itself (torchrun's agent).
    pub agent_store: bool,
    /// Number of the attempt, where a launcher restarts: each has keys of its own in the store.
    pub attempt: usize,
}

/// Ports that jobs of SLURM take, by their number.
const SLURM_PORTS: [u64; 2] = [20_000, 10_000];

impl World {
    /// By the variables of torchrun (`RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR`, `MASTER_PORT`) or of SLURM's `srun`; `None` where neither
    /// started this process.
    ///
    /// # Errors
    /// [`DistributedError::Environment`] where some are there and others are missing or wrong.
    pub fn from_environment() -> Result<Option<Self>, DistributedError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// As [`World::from_environment`], by any source of variables.
    ///
    /// # Errors
    /// As there.
    pub fn from_variables(get: impl Fn(&'static str) -> Option<String>) -> Result<Option<Self>, DistributedError> {
        if get("WORLD_SIZE").is_some() && get("RANK").is_some() {
            let world = Self {
                rank: number(&get, "RANK")?,
                size: number(&get, "WORLD_SIZE")?,
                local_rank: get("LOCAL_RANK").map_or(Ok(0), |_| number(&get, "LOCAL_RANK"))?,
                address: present(&get, "MASTER_ADDR")?,
                port: number(&get, "MASTER_PORT")?,
                agent_store: get("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|v| v == "True" || v == "1"),
                attempt: get("TORCHELASTIC_RESTART_COUNT").map_or(Ok(0), |_| number(&get, "TORCHELASTIC_RESTART_COUNT"))?,
            };
            return world.checked("RANK").map(Some);
        }
        // Within an allocation but without srun there is no step of several tasks.
        let tasks = get("SLURM_STEP_NUM_TASKS").is_some() && get("SLURM_PROCID").is_some();
        if !tasks || number::<usize>(&get, "SLURM_STEP_NUM_TASKS")? < 2 {
            return Ok(None);
        }
        let job: u64 = number(&get, "SLURM_JOB_ID")?;
        let address = match get("MASTER_ADDR") {
            Some(address) => address,
            None => first_host(&present(&get, "SLURM_STEP_NODELIST")?),
        };
        let port = match get("MASTER_PORT") {
            Some(_) => number(&get, "MASTER_PORT")?,
            None => (SLURM_PORTS[0] + job % SLURM_PORTS[1]) as u16,
        };
        let world = Self {
            rank: number(&get, "SLURM_PROCID")?,
            size: number(&get, "SLURM_STEP_NUM_TASKS")?,
            local_rank: number(&get, "SLURM_LOCALID")?,
            address,
            port,
            agent_store: false,
            attempt: get("SLURM_RESTART_COUNT").map_or(Ok(0), |_| number(&get, "SLURM_RESTART_COUNT"))?,
        };
        world.checked("SLURM_PROCID").map(Some)
    }

    fn checked(self, variable: &'static str) -> Result<Self, DistributedError> {
        match self.rank < self.size {
            true => Ok(self),
            false => {
                Err(DistributedError::Environment { variable, problem: format!("{} of {} processes", self.rank, self.size) })
            }
        }
    }
}

fn present(get: impl Fn(&'static str) -> Option<String>, variable: &'static str) -> Result<String, DistributedError> {
    get(variable)
        .ok_or(DistributedError::Environment { variable, problem: "is not set, but other variables of a launcher are".into() })
}

fn number<T: std::str::FromStr>(
    get: impl Fn(&'static str) -> Option<String>,
    variable: &'static str,
) -> Result<T, DistributedError> {
    let text = present(get, variable)?;
    text.trim()
        .parse()
        .map_err(|_| DistributedError::Environment { variable, problem: format!("expected a number, found '{text}'") })
}

/// The first host of SLURM's list: `node[03-05,09],other` is `node03`.
fn first_host(list: &str) -> String {
    let Some((before, rest)) = list.split_once('[') else {
        return list.split(',').next().unwrap_or_default().to_string();
    };
    if let Some((host, _)) = before.split_once(',') {
        return host.to_string();
    }
    let (inside, after) = rest.split_once(']').unwrap_or((rest, ""));
    let first = inside.split(['-', ',']).next().unwrap_or_default();
    format!("{before}{first}{}", after.split(',').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(variables: &[(&str, &str)]) -> Result<Option<World>, DistributedError> {
        World::from_variables(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
    }

    #[test]
    fn torchruns_variables() {
        let all =
            [("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1"), ("MASTER_ADDR", "10.0.0.1"), ("MASTER_PORT", "29500")];
        let found = world(&all).unwrap().unwrap();
        assert_eq!((found.rank, found.size, found.local_rank, found.port, found.agent_store), (3, 4, 1, 29500, false));
        let agent = world(&[&all[..], &[("TORCHELASTIC_USE_AGENT_STORE", "True"), ("TORCHELASTIC_RESTART_COUNT", "2")]].concat());
        let agent = agent.unwrap().unwrap();
        assert!(agent.agent_store && agent.attempt == 2);
        assert_eq!(world(&all[..3]).unwrap_err().to_string(), "MASTER_ADDR: is not set, but other variables of a launcher are");
        let wrong = [("RANK", "4"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "1")];
        assert_eq!(world(&wrong).unwrap_err().to_string(), "RANK: 4 of 4 processes");
        assert_eq!(
            world(&[("RANK", "x"), wrong[1], wrong[2], wrong[3]]).unwrap_err().to_string(),
            "RANK: expected a number, found 'x'"
        );
    }

    #[test]
    fn slurms_variables() {
        let all = [
            ("SLURM_PROCID", "5"),
            ("SLURM_STEP_NUM_TASKS", "8"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_JOB_ID", "1234567"),
            ("SLURM_STEP_NODELIST", "gpu[07-08,11]"),
        ];
        let found = world(&all).unwrap().unwrap();
        assert_eq!((found.rank, found.size, found.local_rank), (5, 8, 1));
        assert_eq!((found.address.as_str(), found.port), ("gpu07", 24_567));
        let own = world(&[&all[..], &[("MASTER_ADDR", "head"), ("MASTER_PORT", "7")]].concat()).unwrap().unwrap();
        assert_eq!((own.address.as_str(), own.port), ("head", 7));
        // A batch script outside of srun, and a single task.
        assert_eq!(world(&[("SLURM_JOB_ID", "1"), ("SLURM_PROCID", "0")]).unwrap(), None);
        assert_eq!(world(&[("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_PROCID", "0")]).unwrap(), None);
    }

    #[test]
    fn hosts_of_slurms_lists() {
        let hosts = ["a1", "a1,b2", "n[03-05,09],x", "x,n[1-2]", "rack[1-2]-gpu"].map(first_host);
        assert_eq!(hosts, ["a1", "a1", "n03", "x", "rack1-gpu"]);
    }
}
