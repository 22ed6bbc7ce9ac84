set shell := ["bash", "-euo", "pipefail", "-c"]

[private]
default:
    @{{ just_executable() }} --list --unsorted

# Start the service on the embedded store (127.0.0.1:3001), with readable logs
[group('run')]
run *args:
    LOG_FORMAT="${LOG_FORMAT:-terminal}" cargo run --release -p grantex-server -- {{ args }}

# Bring the database of DATABASE_URL to the newest schema (`just migrate --check` only looks)
[group('run')]
migrate *args:
    cargo run --release -p grantex-server -- migrate {{ args }}

# Format, lint, layering and unit tests: the fast round before a commit
[group('check')]
check: fmt-check lint layers
    cargo test --workspace --all-features --lib --bins

# Run the examples of embedding
[group('check')]
examples:
    for program in examples/embedding/src/bin/*.rs; do cargo run -q -p grantex-examples --bin "$(basename "$program" .rs)"; done

# Everything CI runs: installs what is missing, starts PostgreSQL, runs every test
[group('check')]
test *args:
    scripts/test {{ args }}

# Clippy over every target, warnings are errors
[group('check')]
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Check that every crate keeps to its layer
[group('check')]
layers:
    scripts/layers

# Licences, sources and bans of all dependencies (installs cargo-deny on first use)
[group('check')]
deny:
    command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
    cargo deny --workspace --all-features check bans licenses sources

# Fuzz token parsing for SECONDS (needs a nightly toolchain and cargo-fuzz; the corpus also runs in a stable test)
[group('check')]
fuzz seconds="60":
    @rustup toolchain list | grep -q nightly || { echo "fuzz: install a nightly toolchain first" >&2; exit 1; }
    @command -v cargo-fuzz >/dev/null || { echo "fuzz: install cargo-fuzz first" >&2; exit 1; }
    cd crates/grantex-core && for target in $(cargo +nightly fuzz list); do cargo +nightly fuzz run "$target" -- -max_total_time={{ seconds }}; done

[private]
fmt-check:
    cargo fmt --all --check

# Format the code
[group('change')]
fmt:
    cargo fmt --all

# Write docs/metrics.md anew from the catalogue of metrics
[group('change')]
docs-metrics:
    cargo run -q -p grantex-server -- docs metrics > docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md

# Write the Grafana dashboards in deploy/grafana anew from their source in bins/grantex-dashboards
[group('change')]
dashboards:
    cargo run -q -p grantex-dashboards

# Write the names of all settings into the schema of the Helm chart anew
[group('change')]
chart-schema:
    cargo build -q -p grantex-server
    scripts/chart-schema

# Write the screenshots in docs/images anew, with headless Chromium
[group('change')]
screenshots: _server
    SCREENSHOTS=1 {{ just_executable() }} e2e test_pages.py

# Write the pictures in docs/images/monitoring anew: the dashboards, drawn from what a live Prometheus answers
[group('change')]
monitoring-pictures: _server
    MONITORING_PICTURES=1 {{ just_executable() }} e2e test_monitoring_pictures.py

# End-to-end tests against the real server, with the published client (`just e2e -k refresh` for some of them)
[group('end to end')]
e2e *args: _server
    scripts/install-deps
    scripts/e2e {{ args }}

[private]
_server:
    cargo build -p grantex-server -p webhook-receiver

# Load benchmark; writes docs/benchmarks.md (arguments go to scripts/bench)
[group('end to end')]
bench *args:
    scripts/bench {{ args }}

# Start a private PostgreSQL on 127.0.0.1 and print its URL
[group('database')]
db-up:
    @scripts/pg start

# Stop the private PostgreSQL; its data stays
[group('database')]
db-down:
    @scripts/pg stop

# Print the URL of the private PostgreSQL
[group('database')]
db-url:
    @scripts/pg url
