//! Published weights and data sets by name.
//!
//! | name | is |
//! |---|---|
//! | `timm/repghostnet_130.in1k`, `torchvision/maskrcnn_resnet50_fpn_coco` | a row of the [`table`] |
//! | `hf:org/name/file`, `hf:org/name/file@revision` | any file of any model repository of the Hugging Face hub |
//! | `torch:file` | any file of torchvision's server |
//!
//! Weights are looked up where Python's `huggingface_hub` and `torch.hub` keep them ([`environment`]) and, where they are not there,
//! fetched and stored in the same layout, so that Python finds what was fetched here and the reverse. Every file is compared with a
//! checksum before it is used: the table's, the hub's, or the digits in a torchvision file's name.
//!
//! ```no_run
//! use repghost_hub::{weights, Environment, Reference, Silent};
//! # fn main() -> Result<(), repghost_hub::HubError> {
//! let environment = Environment::from_variables();
//! if let Some(reference) = Reference::parse("timm/repghostnet_130.in1k")? {
//!     let file = weights::fetch(&reference, &environment, &mut Silent)?;
//!     println!("{} ({})", file.path.display(), file.place);
//! }
//! # Ok(())
//! # }
//! ```

pub mod checksum;
mod client;
mod download;
pub mod environment;
pub mod error;
mod hub_cache;
pub mod progress;
pub mod reference;
pub mod sets;
pub mod table;
mod torch_cache;
mod unpack;
pub mod weights;

pub use environment::Environment;
pub use error::HubError;
pub use progress::{Bar, Progress, Silent};
pub use reference::Reference;
