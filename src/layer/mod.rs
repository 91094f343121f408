//! What can be put into a [`Stack`](crate::stack::Stack): one file or folder for each layer.
//!
//! The contract that all of them keep is written on [`Layer`](crate::stack::Layer). A layer imports the stack and
//! nothing else of this crate.

pub mod tls;
