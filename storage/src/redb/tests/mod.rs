//! The embedded store through its seam: what callers see, across seals, reopenings and races.

mod support;
mod basics;
mod sealing;
mod faults;
mod damage;
mod pages;
mod pressure;
mod races;
mod streams;
mod crash;
mod measure;
