//! Packing: turns admitted events into record frames and into what readers and the hook get.
