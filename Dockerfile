# The project in a container, for Linux on x86-64 or aarch64.
#
#   docker build -t asrlib .                                        # CPU build of torch
#   docker build -t asrlib --build-arg SETUP="--cpu false" .        # with CUDA libraries
#   docker run --rm -it asrlib egs/librispeech/deepspeech2/run.sh --mini true
#
# This file itself has not been built. Its steps were run one by one in a fresh Debian 12 (debootstrap --variant=minbase bookworm), except that torch did not
# come from PyTorch's index.
FROM debian:bookworm-slim

# Python with headers, a compiler (pyworld, the kernels of asrlib.ms) and certificates for the package index
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/asrlib
COPY . .

ARG SETUP="--torch_index https://download.pytorch.org/whl/cpu"
# No caches in the image: UV_NO_CACHE and PIP_NO_CACHE_DIR are those of uv and pip
RUN UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1 tools/setup.sh $SETUP

ENV PATH="/opt/asrlib/tools/venv/bin:$PATH"
CMD ["bash"]
