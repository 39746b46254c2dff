# Convenience. Everything here is a plain command; the gate is `.ci/run`.

# Lists what there is.
default:
    @just --list

# Formatting, lints and dependencies.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check bans licenses sources

# All tests.
test *ARGS:
    cargo test --workspace {{ARGS}}

# What the gate runs.
ci:
    .ci/run

# Shows the product.
demo:
    cargo run --release -- demo

# Each fuzz target for some seconds, on stable. Needs `cargo install cargo-fuzz --locked` and a C++ compiler.
fuzz SECONDS="60":
    for target in record_decode store_ops watch_request; do \
        cargo fuzz run --sanitizer none "$target" -- -max_total_time={{SECONDS}} || exit 1; \
    done

# Measures the engine.
bench *ARGS:
    cargo bench --workspace {{ARGS}}

# The real binary under torture, in full size: killed under load, very many watchers at a stop.
torture:
    TAPELINE_TORTURE=full cargo test --release --test torture -- --nocapture

# What a watcher whose process is stopped costs a producer: five interleaved runs with and without it.
watchers-sigstop:
    cargo bench --bench stopped_watcher
