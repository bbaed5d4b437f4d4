# Spin with the items component, for the compose profile `spin`. Needs BuildKit.

ARG DEBIAN_IMAGE=debian:trixie-slim@sha256:a99cfc517144bc59b1978475ec53b46ecabec7e43635402ee5b77cc54cd1b20a
# Contains the application, and metrics-host for the health check.
ARG METRICS_HOST_IMAGE=metrics-host:local
# The source of /spin: the stage `unpack`, or an image that contains it.
ARG SPIN=unpack

FROM ${DEBIAN_IMAGE} AS archive-amd64
ADD https://github.com/spinframework/spin/releases/download/v4.2.1/spin-v4.2.1-linux-amd64.tar.gz /spin.tar.gz
ENV SHA256=60cb9f78312acc577a1b839740dc932f2647f438461734bb96a1e374bcf6a3d1

FROM ${DEBIAN_IMAGE} AS archive-arm64
ADD https://github.com/spinframework/spin/releases/download/v4.2.1/spin-v4.2.1-linux-aarch64.tar.gz /spin.tar.gz
ENV SHA256=199f55510c534cd71aaf589dcd010f19162614696830ddbdb938739c39d71b39

# hadolint ignore=DL3006
FROM archive-${TARGETARCH} AS unpack
RUN echo "${SHA256}  /spin.tar.gz" > /spin.sha256 && sha256sum --check /spin.sha256 && tar -xzf /spin.tar.gz spin

FROM ${SPIN} AS spin

# hadolint ignore=DL3006
FROM ${METRICS_HOST_IMAGE}
COPY --from=spin /spin /spin
# Spin writes plugin data and compiled code to HOME; the rest of the file system may be read-only.
ENV HOME=/var/lib/metrics-host
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["/metrics-host", "health", "--url", "http://127.0.0.1:8080/health/ready"]
ENTRYPOINT ["/spin"]
CMD ["up", "--from", "/app/spin.toml", "--listen", "0.0.0.0:8080", "--state-dir", "/var/lib/metrics-host", "--truncate-logs"]
