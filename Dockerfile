# One image for the CPU and, with `docker run --gpus all`, for the GPU: CUDA comes from wheels, the
# driver from the host.
#   docker build -t gpuopt .
#   docker run gpuopt                      what runs here
#   docker run --gpus all gpuopt train --plot /tmp/train.png
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gpuopt gpuopt
COPY kernels kernels
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir "$(ls /wheels/gpuopt-*.whl)[cli,cuda12,checkpoint]" && rm -r /wheels
# Numba's threads: without it Numba falls back to its own, which take turns.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home gpuopt
USER gpuopt
WORKDIR /home/gpuopt
ENTRYPOINT ["gpuopt"]
CMD ["info"]
