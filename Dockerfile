# docker build --tag hallgate .                              the gate and the Hall, alone in an empty root
# docker build --tag hallgate-redirect --target redirect .   what hands a pod's outbound connections to it
#
# No shell, no package manager and no C library in the first: what is not there needs no update and cannot be used.

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates cmake python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock LICENSE build.rs ./
COPY src src
# What `hallgate k8s inject` puts into pods.
COPY k8s k8s
# What the console's page of how to connect shows.
COPY docs/integrate docs/integrate
COPY benches benches
# What the tests share is a member of the workspace, without which cargo reads nothing.
COPY tests/support tests/support
COPY .ci/sbom .ci/supply-chain .ci/
# docker build --build-arg HALLGATE_COMMIT="$(git rev-parse --short=12 HEAD)" .   what `--version` says
ARG HALLGATE_COMMIT
RUN cargo rustc --locked --release --bin hallgate -- -C target-feature=+crt-static \
    && strip --strip-all -o /hallgate target/release/hallgate \
    && test "$(stat --format %s /hallgate)" -lt 33554432
RUN .ci/sbom /sbom && mkdir /ledger

# Runs once before the app, with the capability NET_ADMIN, and ends.
FROM debian:bookworm-slim AS redirect
RUN apt-get update \
    && apt-get install --yes --no-install-recommends iptables \
    && rm -rf /var/lib/apt/lists/*
COPY k8s/redirect.sh /redirect.sh
ENTRYPOINT ["/redirect.sh"]

FROM scratch AS hallgate
LABEL org.opencontainers.image.title="hallgate" \
      org.opencontainers.image.description="A reverse-proxy sidecar and Hall Server that decides, records and only then forwards" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /sbom /src/LICENSE /usr/share/doc/hallgate/
COPY --from=build --chown=28765:28765 /ledger /var/lib/hallgate
COPY --from=build /hallgate /hallgate
# An id of its own: whoever else in a pod is this user can go around the gate, and 65532 is what many images run as.
USER 28765:28765
# For `kubectl exec POD -c hallgate -- /hallgate audit verify`: where the ledger and its public key are.
WORKDIR /var/lib/hallgate
EXPOSE 8080 8765 8766
ENTRYPOINT ["/hallgate"]
CMD ["serve", "--config", "/etc/hallgate/hallgate.yaml"]
