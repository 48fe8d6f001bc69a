# The server, as a user without rights: docker run -p 8000:8000 IMAGE SSDMobileNetV2
FROM rust:1.88-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python3 -m venv /build && /build/bin/pip install --quiet maturin \
    && /build/bin/maturin build --quiet --release --out /wheels

FROM python:3.13-slim
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt \
        "furiosa-model-zoo[serve] @ file://$(ls /wheels/*.whl)" && rm -r /wheels \
    && useradd --create-home --uid 1000 models && install --directory --owner models /cache
USER models
ENV FURIOSA_MODELS_CACHE_HOME=/cache FURIOSA_MODELS_PROGRESS=0
VOLUME /cache
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/live', timeout=3)"]
ENTRYPOINT ["furiosa-models", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["SSDMobileNetV2"]
