# Wheels are fetched in a stage of their own, each checked against the lock: the image that runs
# holds no cache.
FROM python:3.11-slim AS wheels
COPY requirements.lock .
RUN pip download --no-cache-dir --only-binary :all: --require-hashes --dest /wheels \
    -r requirements.lock

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin tracking \
    && install -d -o tracking -g tracking -m 0700 /data
WORKDIR /app
COPY requirements.lock .
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels --require-hashes -r requirements.lock

COPY server/ server/
COPY webhooks/ webhooks/
COPY api/ api/
COPY commands/ commands/
COPY tracking/ tracking/
COPY app.py combinations.py config.py environment.py gunicorn.conf.py value_forms.py ./
RUN python -m compileall -q .

ENV DATABASE_URL=sqlite:////data/tracking.db \
    HOST=0.0.0.0 \
    PORT=8000 \
    FLASK_SKIP_DOTENV=1 \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
USER 10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]
CMD ["gunicorn", "app:create_app()"]
