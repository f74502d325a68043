# syntax=docker/dockerfile:1

# The builder runs on the architecture that it builds for, so that musl-gcc is the right C compiler
# for the bundled libzstd, liblzma and libdeflate. For arm64 elsewhere: docker buildx with QEMU.
FROM rust:1.95-bookworm AS builder
ARG TARGETARCH
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends busybox-static ca-certificates musl-tools \
    && rm -rf /var/lib/apt/lists/*
RUN case "${TARGETARCH:-$(dpkg --print-architecture)}" in \
        amd64) target=x86_64-unknown-linux-musl ;; \
        arm64) target=aarch64-unknown-linux-musl ;; \
        *) echo "no build for ${TARGETARCH}: amd64 and arm64 only" >&2; exit 1 ;; \
    esac \
    && echo "${target}" > /target \
    && rustup target add "${target}"
WORKDIR /build
COPY . .
# GCC's out-of-line atomics are in libgcc, which a static musl link does not take.
RUN export TARGET_CC=musl-gcc CFLAGS_aarch64_unknown_linux_musl=-mno-outline-atomics \
    && cargo build --locked --release --bin diskpour --target "$(< /target)" \
    && install -D --strip "target/$(< /target)/release/diskpour" /out/usr/bin/diskpour \
    && readelf --program-headers /out/usr/bin/diskpour > /headers \
    && ! grep INTERP /headers

# What only the cdi image has: the names that CDI's controller calls, as links to the one binary, which
# knows itself by them; and a shell and cp, by which the controller copies the server of node pull into
# another container. cp follows the link, so that the copy is the static binary.
RUN mkdir -p /cdi/bin /cdi/usr/bin /cdi/usr/share/doc \
    && for name in cdi-importer cdi-uploadserver cdi-cloner cloner_startup.sh \
        cdi-image-size-detection cdi-containerimage-server; do \
        ln -s diskpour "/cdi/usr/bin/${name}"; \
    done \
    && install /bin/busybox /cdi/bin/busybox \
    && ln -s busybox /cdi/bin/sh \
    && ln -s busybox /cdi/bin/cp \
    && cp -r /usr/share/doc/busybox-static /cdi/usr/share/doc/busybox-static \
    && readelf --program-headers /cdi/bin/busybox > /headers \
    && ! grep INTERP /headers

FROM scratch AS base
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="diskpour" \
      org.opencontainers.image.description="Pours a virtual machine's disk image from anywhere into a block device or a file, in one pass" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder /out/usr/bin/diskpour /usr/bin/diskpour
ENV PATH=/usr/bin:/bin
USER 107:107
ENTRYPOINT ["/usr/bin/diskpour"]

# All three of CDI's images: importer, upload server and cloner. The environment, or the name, says which.
FROM base AS cdi
LABEL org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-only"
COPY --from=builder /cdi/ /

# The last target is what is built when none is named.
FROM base AS minimal
