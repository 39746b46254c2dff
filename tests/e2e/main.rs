//! The real daemon, driven over real sockets with the generated clients: what it answers, what it
//! refuses and how, and what it is like when its clients or its disk misbehave.

#[path = "../support/mod.rs"]
mod support;
mod refusal;
mod stream;
mod wire;
mod api;
mod listing;
mod watchers;
mod producers;
mod append_stream;
mod errors;
mod faults;
mod exits;
mod watching;
mod restart;
mod bad_input;
mod crowds;
mod services;
mod secrets;
mod contract;
mod stigmer;
mod stigmer_faults_delivery;
mod stigmer_faults_state;
mod stigmer_faults_daemon;
mod stigmer_input;
mod stigmer_sizes;
mod stigmer_large;
