# metrics-host with the items component; `make image` builds it. Needs BuildKit.

ARG RUST_IMAGE=rust:1.95.0-slim-trixie@sha256:e14e87345b4d5964ddcc3491d27ee046a0f23820f340c3c1e24da6880141f7c0
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13:nonroot@sha256:e792ab3d241a468a4fd7519ddbbebe66b49b5f365771716ea688ad40b6c6f1c2
# Where the last stage takes /out from: the stage `build`, or an image that brings it.
ARG ARTEFACTS=build

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# cargo-auditable writes into a binary of which crates it consists: scanners of the image see them.
RUN rustup target add wasm32-wasip2 \
    && cargo install --locked --root /usr/local cargo-auditable@0.7.7
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    tools/build-component.sh items-component \
    && install -D -m 0644 -t /out/app/target/wasm32-wasip2/component target/wasm32-wasip2/component/items_component.wasm \
    && install -D -m 0644 -t /out/app spin.toml \
    && install -d /out/state
# The commit, for --version and metrics_host_build_info: the context has no .git.
ARG REVISION=unknown
# Function names stay for backtraces; line tables would be most of the image.
ENV CARGO_PROFILE_DIST_STRIP=debuginfo
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    commit=${REVISION%-dirty} \
    && METRICS_HOST_REVISION=$(printf %.12s "${commit}")${REVISION#"${commit}"} cargo auditable build --locked --profile dist --package metrics-host \
    && install -D -t /out target/dist/metrics-host

FROM ${ARTEFACTS} AS artefacts

FROM ${RUNTIME_IMAGE} AS runtime
COPY --from=artefacts /out/metrics-host /metrics-host
COPY --from=artefacts /out/app /app
# An empty directory: a volume mounted here for the first time takes its owner over.
COPY --from=artefacts --chown=65532:65532 /out/state /var/lib/metrics-host
# Reachable from outside the container; what may reach it is decided by the ports that are published.
ENV METRICS_HOST_LISTEN=0.0.0.0:8080 \
    METRICS_HOST_METRICS_LISTEN=0.0.0.0:9464 \
    METRICS_HOST_OTLP_LISTEN=0.0.0.0:4318 \
    METRICS_HOST_MANIFEST=/app/spin.toml \
    METRICS_HOST_STATE_DIR=/var/lib/metrics-host
WORKDIR /app
USER 65532:65532
VOLUME ["/var/lib/metrics-host"]
EXPOSE 8080 9464 4318
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["/metrics-host", "health"]
ENTRYPOINT ["/metrics-host"]
CMD ["serve"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="metrics-host" \
      org.opencontainers.image.description="Exact Prometheus metrics for WebAssembly services, with the items service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
