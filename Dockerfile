# One image for every role: listener (the default), web, migrate, backfill.
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
RUN python -m venv /opt/tutorwatch && /opt/tutorwatch/bin/pip install --require-hashes --requirement requirements.txt
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes --requirement requirements-build.txt
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/tutorwatch/bin/pip install --no-deps /wheels/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home tutorwatch
COPY --from=build /opt/tutorwatch /opt/tutorwatch
ENV PATH="/opt/tutorwatch/bin:$PATH" PYTHONUNBUFFERED=1
USER tutorwatch
WORKDIR /tmp
# Healthy: the database is reachable and this container's own listener has lately said that it is alive.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD tutorwatch status --host "$(hostname)"
CMD ["tutorwatch", "listen"]
