# CPU:   docker build -t acclimate .
# CUDA:  docker build -t acclimate:cuda --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg TORCH=https://pypi.org/simple .
# Use:   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD":/work acclimate demo --quick      (with --gpus all for CUDA)
ARG BASE=python:3.12-slim
FROM ${BASE}

# where torch comes from: builds for processors alone are a tenth of the size; PyPI's own bring CUDA
ARG TORCH=https://download.pytorch.org/whl/cpu

RUN command -v python3 >/dev/null || { \
        apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*; }
RUN python3 -m venv /opt/acclimate
ENV PATH=/opt/acclimate/bin:$PATH

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --extra-index-url ${TORCH} -c constraints.txt '.[export,video]' && rm -rf /src

# whoever runs it: caches need a place that everybody may write to
ENV HOME=/tmp XDG_CACHE_HOME=/tmp/cache
WORKDIR /work
ENTRYPOINT ["acclimate"]
CMD ["--help"]
