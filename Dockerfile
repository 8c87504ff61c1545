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
# Inside the container only, unless TUTORWATCH_LISTENER_HOST says otherwise. Healthy: this listener can evaluate.
ENV TUTORWATCH_LISTENER_PORT=9108
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s \
    CMD python -c "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['TUTORWATCH_LISTENER_PORT'] + '/readyz', timeout=8)"
CMD ["tutorwatch", "listen"]
