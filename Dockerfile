# The image of kthena-fast: a wheel is compiled in one stage and only what it installs reaches the other, which has no
# compiler, no pip of ours, no root and nothing to write.
#
#   docker build -t kthena-fast .
#   docker run --rm --read-only -p 8080:8080 kthena-fast gateway --backend http://host:8000 --model NAME

FROM python:3.11.14-slim-bookworm AS build

RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY LICENSE MANIFEST.in README.md pyproject.toml setup.py ./
COPY kthena_fast kthena_fast

RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
RUN python -m venv --without-pip /opt/kthena_fast \
    && python -m pip --python /opt/kthena_fast/bin/python install --no-cache-dir /wheels/*.whl


FROM python:3.11.14-slim-bookworm

LABEL org.opencontainers.image.title="kthena-fast" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /opt/kthena_fast /opt/kthena_fast

ENV PATH=/opt/kthena_fast/bin:/usr/local/bin:/usr/bin:/bin
# Log lines leave at once; nothing is written beside the code.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Has glibc give the memory of large bodies back at once, as it does by itself only until the first of them is freed.
ENV MALLOC_MMAP_THRESHOLD_=131072

# A number, so that Kubernetes' runAsNonRoot can tell.
USER 65532:65532

# A pure core would serve, only slower, and nobody would notice.
RUN kthena-fast version | grep -w compiled

EXPOSE 8080 9090
ENTRYPOINT ["kthena-fast"]
