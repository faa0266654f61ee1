# syntax=docker/dockerfile:1
# One file, one target per image:
#
#   uv build --wheel && docker build --target sidecar -t kecs-sidecar .
#
# Images are made from the wheel in dist/, the one that was tested, and from the versions and hashes of
# requirements.lock. Nothing is fetched by URL, and no compiler or package manager's cache is left inside.
ARG PYTHON=python:3.13.7-slim-bookworm


# What all images are made of: uv out of the lock file, the wheel, the lock file. Never shipped.
FROM ${PYTHON} AS builder
ENV UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY requirements.lock ./
RUN awk '/^[a-z]/ { inside = /^uv==/ } inside' requirements.lock >uv.lock \
    && pip install --no-cache-dir --no-deps --require-hashes -r uv.lock
COPY dist/kecs-*.whl ./


# Rules and trust bundle of a pod, then gone. The package needs the standard library only.
FROM builder AS init-container-packages
RUN uv venv --no-project /opt/kecs \
    && uv pip install --python /opt/kecs --no-deps kecs-*.whl

FROM ${PYTHON} AS init-container
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates iptables \
    && rm -rf /var/lib/apt/lists/*
COPY --from=init-container-packages /opt/kecs /opt/kecs
# root: the kernel takes rules from nobody else. The pod grants NET_ADMIN and drops the rest.
USER 0:0
ENTRYPOINT ["/opt/kecs/bin/python", "-m", "kecs.init_container"]


# The relay in a pod. uid and gid are those that the redirect rules exempt: they can't be changed here alone.
FROM builder AS sidecar-packages
RUN uv venv --no-project /opt/kecs \
    && uv pip install --python /opt/kecs -c requirements.lock \
        certifi cryptography dnspython httptools mitmproxy prometheus-client pydantic-settings pyyaml structlog \
        uvicorn uvloop \
    && uv pip install --python /opt/kecs --no-deps kecs-*.whl

FROM ${PYTHON} AS sidecar
COPY --from=sidecar-packages /opt/kecs /opt/kecs
USER 14566:14566
ENTRYPOINT ["/opt/kecs/bin/python", "-m", "kecs.sidecar"]


# `kecs` with everything, the embedded emulator too.
FROM builder AS cli-packages
RUN uv venv --no-project /opt/kecs \
    && uv pip install --python /opt/kecs -c requirements.lock kecs-*.whl

FROM ${PYTHON} AS cli
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates iptables \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home kecs
COPY --from=cli-packages /opt/kecs /opt/kecs
ENV PATH=/opt/kecs/bin:$PATH
USER 10001:10001
WORKDIR /home/kecs
ENTRYPOINT ["kecs"]
