# The image of Holdfast: the operator, the weights fetcher and the command line in one virtual environment.
#
#   docker build -t registry.example/holdfast .           (or: buildah bud, podman build, kaniko)
#
# BASE is any image with Python 3.11 or newer and its venv module. The default is the official slim image by the digest of its
# multi-platform index; to refresh it take `crane digest docker.io/library/python:<version>-slim-<debian>` (or
# `docker buildx imagetools inspect …`), check it against the image's page, and change tag and digest together.
# Behind an own certificate authority or a mirror of the Python package index, pass
#   --build-arg PIP_CERT=/path/in/the/build/container --build-arg PIP_INDEX_URL=https://mirror.example/simple
ARG BASE=docker.io/library/python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

# ---- third-party packages: only wheels, each checked against the hashes of the lock
FROM ${BASE} AS dependencies
ARG PIP_CERT
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_REQUIRE_HASHES=1 PYTHONHASHSEED=0
COPY requirements/build.txt requirements/runtime.txt /build/requirements/
RUN python3 -m venv /build/tools \
 && /build/tools/bin/pip install --quiet -r /build/requirements/build.txt
# pip itself stays out of the environment that is shipped. Byte code is checked by nobody at run time ("unchecked-hash"): the root
# file system is read-only there, and time stamps would make each build of the same input another image.
RUN python3 -m venv --without-pip /opt/holdfast \
 && /build/tools/bin/pip --python /opt/holdfast/bin/python install --quiet --no-compile -r /build/requirements/runtime.txt \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/holdfast/lib

# ---- Holdfast itself
FROM dependencies AS package
COPY pyproject.toml README.md LICENSE /build/source/
COPY operator /build/source/operator
RUN cd /build/source \
 && /build/tools/bin/python -m hatchling build -t wheel -d /build/wheel \
 && PIP_REQUIRE_HASHES=0 /build/tools/bin/pip --python /opt/holdfast/bin/python install --quiet --no-compile --no-deps --no-index \
      --no-warn-script-location --root /build/package /build/wheel/*.whl \
 && python3 -m compileall -q --invalidation-mode unchecked-hash -s /build/package -p / /build/package

# ---- what is shipped: what changes rarely comes first
FROM ${BASE}
# Slim images come without the byte code of the standard library; compiled on every start it would cost each pod a second.
RUN PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && echo 'holdfast:x:65532:65532:Holdfast:/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'holdfast:x:65532:' >> /etc/group
ENV PATH=/opt/holdfast/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="holdfast" \
      org.opencontainers.image.description="A Kubernetes operator for open models: the model changes only when its owner decides." \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
ENTRYPOINT ["holdfast-operator"]
COPY --from=dependencies /opt/holdfast /opt/holdfast
COPY --from=package /build/package/ /
