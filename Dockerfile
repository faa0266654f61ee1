# syntax=docker/dockerfile:1
# One file, one target per image; `make images` builds them all with docker, podman or buildah (docs/images.md).
#
# Images are made from the wheel in dist/, the one that was tested, and from the versions and hashes of
# requirements.lock. Nothing is fetched by URL. No compiler, no pip and no uv is in any layer of what is shipped.
# The base's digest is set at release.
ARG BASE_IMAGE=python:3.13.7-slim-bookworm


# What all images are made of: uv out of the lock file, the wheel, the lock file. Never shipped.
FROM ${BASE_IMAGE} AS builder
ENV UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY requirements.lock scripts/image-packages.sh ./
RUN --mount=type=secret,id=roots ./image-packages.sh uv
COPY dist/kecs-*.whl ./


# The base without what only builds need, its library compiled: root file systems are read-only where this runs.
FROM ${BASE_IMAGE} AS trimmed
RUN library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
    && rm -rf "$library"/site-packages/* "$library"/ensurepip "$library"/idlelib "$library"/tkinter "$library"/turtledemo \
        "$library"/lib2to3 "$library"/test "$library"/pydoc_data "$library"/config-* /usr/local/include /usr/local/share/man \
    && rm -f /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/bin/pydoc* /usr/local/bin/2to3* /usr/local/bin/python*-config \
    && rm -rf /root/.cache /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* /usr/share/doc/* /usr/share/man/* \
    && python3 -m compileall -q "$library"

FROM scratch AS runtime
COPY --from=trimmed / /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="KECS" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"


# Both kernel interfaces' tools, and the public roots.
FROM runtime AS iptables
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates iptables \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* /usr/share/doc/* /usr/share/man/*


# Rules and trust bundle of a pod, then gone. The package needs the standard library only.
FROM builder AS init-packages
RUN mkdir -p /opt/kecs/bin && ln -s /usr/local/bin/python3 /opt/kecs/bin/python
RUN ./image-packages.sh part /opt/kecs kecs/core/__init__.py kecs/core/errors.py kecs/core/names.py kecs/init_container

FROM iptables AS init
COPY --from=init-packages /opt/kecs /opt/kecs
ENV PYTHONPATH=/opt/kecs KECS_PUBLIC_ROOTS=/etc/ssl/certs/ca-certificates.crt
LABEL org.opencontainers.image.title="kecs-init" \
      org.opencontainers.image.description="Redirect rules and trust files of a pod that KECS intercepts"
# root: the kernel takes rules from nobody else. The pod grants NET_ADMIN and drops the rest.
USER 0:0
ENTRYPOINT ["/opt/kecs/bin/python", "-m", "kecs.init_container"]

# The older name of that target.
FROM init AS init-container


# The relay in a pod. uid and gid are those that the redirect rules exempt: they can't be changed here alone.
FROM builder AS sidecar-packages
RUN --mount=type=secret,id=roots ./image-packages.sh venv /opt/kecs \
        certifi cryptography dnspython httptools mitmproxy prometheus-client pydantic-settings pyyaml structlog uvicorn uvloop

FROM runtime AS sidecar
COPY --from=sidecar-packages /opt/kecs /opt/kecs
LABEL org.opencontainers.image.title="kecs-sidecar" \
      org.opencontainers.image.description="The transparent proxy in a pod that KECS intercepts"
USER 14566:14566
ENTRYPOINT ["/opt/kecs/bin/python", "-m", "kecs.sidecar"]


# The admission webhook.
FROM builder AS injector-packages
RUN --mount=type=secret,id=roots ./image-packages.sh venv /opt/kecs \
        cryptography fastapi httptools jsonpatch kubernetes prometheus-client pydantic-settings pyyaml structlog uvicorn uvloop

FROM runtime AS injector
COPY --from=injector-packages /opt/kecs /opt/kecs
LABEL org.opencontainers.image.title="kecs-injector" \
      org.opencontainers.image.description="The admission webhook of KECS"
USER 10001:10001
ENTRYPOINT ["/opt/kecs/bin/python", "-m", "kecs.injector"]


# The authority (`keep`) and the service that issues intermediates to pods (`serve`).
FROM builder AS certs-packages
RUN --mount=type=secret,id=roots ./image-packages.sh venv /opt/kecs \
        cryptography fastapi httptools kubernetes prometheus-client pydantic-settings pyyaml structlog uvicorn uvloop

FROM runtime AS certs
COPY --from=certs-packages /opt/kecs /opt/kecs
LABEL org.opencontainers.image.title="kecs-certs" \
      org.opencontainers.image.description="The certificate authority of KECS and its issuing service"
USER 10001:10001
ENTRYPOINT ["/opt/kecs/bin/python", "-m", "kecs.certs"]
CMD ["serve"]


# The embedded emulator, moto behind our router: the chart's default backend.
FROM builder AS emulator-packages
RUN --mount=type=secret,id=roots ./image-packages.sh venv /opt/kecs \
        httptools 'moto[all,server]' pydantic-settings pyyaml uvicorn uvloop

FROM runtime AS emulator
COPY --from=emulator-packages /opt/kecs /opt/kecs
LABEL org.opencontainers.image.title="kecs-emulator" \
      org.opencontainers.image.description="The emulator of KECS: moto, routed by host name"
USER 10001:10001
EXPOSE 4566
ENTRYPOINT ["/opt/kecs/bin/python", "-m", "kecs.emulator"]
CMD ["--listen", "*:4566"]


# ECS. Its state is one file; what runs tasks is a cluster, or nothing.
FROM builder AS controlplane-packages
RUN --mount=type=secret,id=roots ./image-packages.sh venv /opt/kecs \
        boto3 cryptography duckdb httptools kubernetes prometheus-client pydantic-settings pyyaml uvicorn uvloop

FROM runtime AS controlplane
COPY --from=controlplane-packages /opt/kecs /opt/kecs
LABEL org.opencontainers.image.title="kecs-controlplane" \
      org.opencontainers.image.description="The ECS control plane of KECS"
USER 10001:10001
EXPOSE 8080 8081
ENTRYPOINT ["/opt/kecs/bin/python", "-m", "kecs.controlplane"]


# One endpoint for all of AWS: ECS to the control plane, the rest to the emulator.
FROM builder AS gateway-packages
RUN --mount=type=secret,id=roots ./image-packages.sh venv /opt/kecs \
        certifi cryptography httptools prometheus-client pydantic-settings pyyaml uvloop

FROM runtime AS gateway
COPY --from=gateway-packages /opt/kecs /opt/kecs
LABEL org.opencontainers.image.title="kecs-gateway" \
      org.opencontainers.image.description="The gateway of KECS: all of AWS on one port"
USER 10001:10001
EXPOSE 4566
ENTRYPOINT ["/opt/kecs/bin/python", "-m", "kecs.gateway"]


# `kecs` with everything, the embedded emulator and iptables too.
FROM builder AS cli-packages
RUN --mount=type=secret,id=roots ./image-packages.sh venv /opt/kecs

FROM iptables AS cli
COPY --from=cli-packages /opt/kecs /opt/kecs
ENV PATH=/opt/kecs/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
LABEL org.opencontainers.image.title="kecs" \
      org.opencontainers.image.description="The kecs command line, with boto3 and the embedded emulator"
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["kecs"]
