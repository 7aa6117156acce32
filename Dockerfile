# Two images from one file: `api` (the default) computes on CPUs, `gpu` on an NVIDIA GPU.
# docs/docker.md says how to build and run them. tests/unit/test_packaging.py holds the installation
# here against that of the Makefile.

ARG PYTHON_VERSION=3.11

# --- What all stages share ------------------------------------------------------------------------
FROM python:${PYTHON_VERSION}-slim-bookworm AS base
# Compiled code is found again only under the paths that it was compiled for. Matplotlib keeps its
# list of fonts.
ENV PATH=/opt/nearfit/bin:$PATH \
    NEARFIT_CACHE_DIR=/var/cache/nearfit \
    NUMBA_CACHE_DIR=/var/cache/nearfit/numba \
    MPLCONFIGDIR=/var/cache/nearfit/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# --- The guide ------------------------------------------------------------------------------------
FROM base AS build-docs
ENV PIP_CACHE_DIR=/var/cache/pip
WORKDIR /src
COPY constraints.txt mkdocs.yml CHANGELOG.md ./
COPY openapi ./openapi
COPY docs ./docs
RUN --mount=type=cache,target=/var/cache/pip \
    python -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt latex2mathml mkdocs-material
RUN NO_MKDOCS_2_WARNING=1 python -m mkdocs build --quiet

# --- Installation, with a compiler ----------------------------------------------------------------
FROM base AS build
ENV PIP_CACHE_DIR=/var/cache/pip
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY service ./service
COPY --from=build-docs /src/service/guide /src/service/guide
RUN python -m venv /opt/nearfit

FROM build AS build-api
RUN --mount=type=cache,target=/var/cache/pip \
    python -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt '.[keops]'
# The demo asks every method on each engine, so it compiles what the first requests would wait for.
RUN NEARFIT_BACKEND=native nearfit demo && NEARFIT_BACKEND=keops nearfit demo

FROM build AS build-gpu
RUN --mount=type=cache,target=/var/cache/pip \
    python -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt '.[gpu]'
# The headers that KeOps compiles with, of the very CUDA release that PyTorch brings.
RUN --mount=type=cache,target=/var/cache/pip \
    release="$(python -c 'from importlib.metadata import version; print(version("cuda-toolkit"))')" \
    && python -m pip install --quiet --disable-pip-version-check \
    "cuda-toolkit[cccl,crt,cudart,nvrtc]==$release"
RUN NEARFIT_BACKEND=native nearfit demo

# --- What runs ------------------------------------------------------------------------------------
FROM base AS runtime
# OpenMP, for the compiled KeOps formulas.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent nearfit
ENV NEARFIT_HOST=0.0.0.0
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('NEARFIT_PORT', '8000')), timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["nearfit", "serve"]

FROM runtime AS gpu
# KeOps builds its GPU engine when it first meets a GPU, so the compiler stays.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build-gpu /opt/nearfit /opt/nearfit
COPY --from=build-gpu --chown=10001:10001 /var/cache/nearfit /var/cache/nearfit
# One CUDA: the one that came with PyTorch, under the names and in the place where KeOps looks.
RUN header="$(find /opt/nearfit -path '*/nvidia/*/include/cuda.h' -print -quit)" \
    && ln -s "${header%/include/cuda.h}" /usr/local/cuda \
    && for name in nvrtc cudart; do \
         ln -s "$(basename /usr/local/cuda/lib/lib$name.so.*)" /usr/local/cuda/lib/lib$name.so; \
       done \
    && echo /usr/local/cuda/lib > /etc/ld.so.conf.d/cuda.conf \
    && ldconfig
ENV CUDA_PATH=/usr/local/cuda \
    CPATH=/usr/local/cuda/include:/usr/local/cuda/include/cccl \
    LIBRARY_PATH=/usr/local/cuda/lib \
    NEARFIT_BACKEND=keops \
    NEARFIT_DEVICE=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /var/cache/nearfit
USER 10001:10001

# The last stage is what `docker build .` makes. KeOps' formulas come compiled: no compiler here.
FROM runtime AS api
COPY --from=build-api /opt/nearfit /opt/nearfit
COPY --from=build-api --chown=10001:10001 /var/cache/nearfit /var/cache/nearfit
VOLUME /var/cache/nearfit
USER 10001:10001
