from backend.config.settings import *  # noqa: F403

ROOT_URLCONF = "tools.bench_site.urls"
