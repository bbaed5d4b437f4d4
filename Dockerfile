# metrics-host with the items component, built by `make image`. Needs BuildKit.

# Debian 12: an older C library than that of the runtime image. tools/release/binary.sh builds the binaries of a release.
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13:nonroot@sha256:e792ab3d241a468a4fd7519ddbbebe66b49b5f365771716ea688ad40b6c6f1c2
# The source of /out for the last stage: the stage `build`, or an image that contains it.
ARG ARTEFACTS=build

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# cargo-auditable embeds the list of crates in the binary, for vulnerability scanners.
RUN rustup target add wasm32-wasip2 \
    && cargo install --locked --root /usr/local cargo-auditable@0.7.7
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    tools/build-component.sh items-component \
    && install -D -m 0644 -t /out/app/target/wasm32-wasip2/component target/wasm32-wasip2/component/items_component.wasm \
    && install -D -m 0644 -t /out/app spin.toml \
    && install -d /out/state
# The commit, for --version and metrics_host_build_info: the build context has no .git.
ARG REVISION=unknown
# Keep function names for backtraces; line tables would be most of the image.
ENV CARGO_PROFILE_DIST_STRIP=debuginfo
# The gateway that `add` names; only in a release.
ARG METRICS_HOST_GATEWAY_URL
ARG METRICS_HOST_GATEWAY_DIGEST
# `on` in a release: profile-guided optimisation, which takes three times as long.
ARG PGO=off
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    commit=${REVISION%-dirty} \
    && target=$(rustc --print host-tuple) \
    && METRICS_HOST_REVISION=$(printf %.12s "${commit}")${REVISION#"${commit}"} BUILD="cargo auditable build" PGO=${PGO} tools/dist.sh "${target}" \
    && install -D -t /out "target/${target}/dist/metrics-host"

FROM ${ARTEFACTS} AS artefacts

FROM ${RUNTIME_IMAGE} AS runtime
COPY --from=artefacts /out/metrics-host /metrics-host
COPY --from=artefacts /out/app /app
# An empty directory: a new volume mounted here takes over its owner.
COPY --from=artefacts --chown=65532:65532 /out/state /var/lib/metrics-host
# Listens on all addresses of the container; published ports decide who can reach it.
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
