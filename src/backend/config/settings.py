"""Every setting of the backend, read once. docs/reference/settings.md describes each name of `env`."""

from pathlib import Path

from corsheaders.defaults import default_headers
from django.core.exceptions import ImproperlyConfigured

from backend.config.environment import Environment
from backend.config.page import PageHeaders, is_immutable
from backend.config.safety import (
    passphrases_as_secrets,
    refuse_unknown,
    refuse_unsafe_settings,
    refuse_weak_passphrases,
)
from contract import names
from contract.addresses import allowlist_of
from contract.engines import CATALOGUE

ROOT = Path(__file__).resolve().parents[3]

env = Environment(
    DJANGO_ENV=(str, "production"),
    DJANGO_DEBUG=(bool, False),
    DJANGO_SECRET_KEY=(str, ""),
    DJANGO_ALLOWED_HOSTS=(list, []),
    DJANGO_CSRF_TRUSTED_ORIGINS=(list, []),
    DATABASE_URL=(str, f"sqlite:///{ROOT}/.local/data/db.sqlite3"),
    CACHE_URL=(str, "locmemcache://"),
    CELERY_BROKER_URL=(str, ""),
    CORS_ALLOWED_ORIGINS=(list, []),
    LOG_LEVEL=(str, "INFO"),
    METRICS_TOKEN=(str, ""),
    KEEPER_METRICS_PORT=(int, 0),
    PAGE_DIR=(str, f"{ROOT}/src/frontend/dist"),
    BACKEND_URL=(str, "http://127.0.0.1:8000"),
    LIVEKIT_URL=(str, "ws://127.0.0.1:7880"),
    LIVEKIT_PUBLIC_URL=(str, ""),
    LIVEKIT_API_KEY=(str, ""),
    LIVEKIT_API_SECRET=(str, ""),
    LIVEKIT_EXTRA_KEYS=(list, []),
    LIVEKIT_SERVES_ONLY_US=(bool, False),
    INTERNAL_API_SECRET=(str, ""),
    API_KEY_ENCRYPTION_KEY=(list, []),
    ENGINE_ALLOWED_HOSTS=(list, []),
    CONNECTION_DETAILS_ENABLED=(bool, None),
    CONNECTION_DETAILS_TTL_S=(int, 900),
    ROOM_SUBTITLE_AGENT_NAME=(str, names.AGENT_NAME),
    SUBTITLES_ENABLED=(bool, True),
    SUBTITLES_LANGUAGE=(str, "en"),
    SUBTITLES_POLICY=(str, "anyone"),
    SUBTITLES_IDLE_MINUTES=(float, 60.0),
    SUBTITLES_MAX_HOURS=(float, 12.0),
    SUBTITLES_SCREEN_SHARE_AUDIO=(bool, False),
    TRANSCRIPTS_POLICY=(str, "room_admin"),
    TRANSCRIPT_READERS=(str, "joined"),
    TRANSCRIPT_RETENTION_DAYS=(int, 30),
    AUDIT_RETENTION_DAYS=(int, 365),
    EXPORT_DIR=(str, f"{ROOT}/.local/data/exports"),
    EXPORT_LINK_HOURS=(float, 24.0),
    STT_PROVIDER=(str, "embedded"),
    STT_BASE_URL=(str, ""),
    STT_FALLBACK=(list, ["embedded"]),
)


DJANGO_ENV = env("DJANGO_ENV")
IS_LOCAL = DJANGO_ENV == "local"
DEBUG = env("DJANGO_DEBUG")
SECRET_KEY = env("DJANGO_SECRET_KEY")
ALLOWED_HOSTS = env.names("DJANGO_ALLOWED_HOSTS") or (["*"] if IS_LOCAL else [])
CSRF_TRUSTED_ORIGINS = env.names("DJANGO_CSRF_TRUSTED_ORIGINS")

BACKEND_URL = env("BACKEND_URL").rstrip("/")
LIVEKIT_URL = env("LIVEKIT_URL")
LIVEKIT_PUBLIC_URL = env("LIVEKIT_PUBLIC_URL") or LIVEKIT_URL
LIVEKIT_API_KEY = env("LIVEKIT_API_KEY")
LIVEKIT_API_SECRET = env("LIVEKIT_API_SECRET")
LIVEKIT_EXTRA_KEYS = env.pairs("LIVEKIT_EXTRA_KEYS")
LIVEKIT_KEYS = {**LIVEKIT_EXTRA_KEYS, LIVEKIT_API_KEY: LIVEKIT_API_SECRET}
LIVEKIT_SERVES_ONLY_US = env("LIVEKIT_SERVES_ONLY_US")
METRICS_TOKEN = env("METRICS_TOKEN")
KEEPER_METRICS_PORT = env("KEEPER_METRICS_PORT")
INTERNAL_API_SECRET = env("INTERNAL_API_SECRET")
API_KEY_ENCRYPTION_KEY = env.names("API_KEY_ENCRYPTION_KEY")
CONNECTION_DETAILS_ENABLED = (
    IS_LOCAL if env("CONNECTION_DETAILS_ENABLED") is None else env("CONNECTION_DETAILS_ENABLED")
)
CONNECTION_DETAILS_TTL_S = env("CONNECTION_DETAILS_TTL_S")
ROOM_SUBTITLE_AGENT_NAME = env("ROOM_SUBTITLE_AGENT_NAME")
SUBTITLES_ENABLED = env("SUBTITLES_ENABLED")
SUBTITLES_LANGUAGE = env("SUBTITLES_LANGUAGE")
SUBTITLES_POLICY = env("SUBTITLES_POLICY")
SUBTITLES_IDLE_MINUTES = env("SUBTITLES_IDLE_MINUTES")
SUBTITLES_MAX_HOURS = env("SUBTITLES_MAX_HOURS")
SUBTITLES_SCREEN_SHARE_AUDIO = env("SUBTITLES_SCREEN_SHARE_AUDIO")
TRANSCRIPTS_POLICY = env("TRANSCRIPTS_POLICY")
TRANSCRIPT_READERS = env("TRANSCRIPT_READERS")
TRANSCRIPT_RETENTION_DAYS = env("TRANSCRIPT_RETENTION_DAYS")
AUDIT_RETENTION_DAYS = env("AUDIT_RETENTION_DAYS")
EXPORT_DIR = env("EXPORT_DIR")
EXPORT_LINK_HOURS = env("EXPORT_LINK_HOURS")
STT_PROVIDER = env("STT_PROVIDER")
# The workers go there; here it is only told in the audit log.
STT_BASE_URL = env("STT_BASE_URL")
STT_FALLBACK = env.names("STT_FALLBACK")
try:
    ENGINE_ALLOWED_HOSTS = allowlist_of(env.names("ENGINE_ALLOWED_HOSTS"))
except ValueError:
    raise ImproperlyConfigured(
        "ENGINE_ALLOWED_HOSTS must be hosts, host:port or networks, comma-separated."
    ) from None

refuse_unsafe_settings(
    is_local=IS_LOCAL,
    is_debug=DEBUG,
    hands_out_tokens=CONNECTION_DETAILS_ENABLED,
    secrets={
        "DJANGO_SECRET_KEY": SECRET_KEY,
        "INTERNAL_API_SECRET": INTERNAL_API_SECRET,
        "LIVEKIT_API_SECRET": LIVEKIT_API_SECRET,
        **passphrases_as_secrets("API_KEY_ENCRYPTION_KEY", API_KEY_ENCRYPTION_KEY),
        **{f"LIVEKIT_EXTRA_KEYS ({key})": value for key, value in LIVEKIT_EXTRA_KEYS.items()},
    },
)
refuse_weak_passphrases("API_KEY_ENCRYPTION_KEY", API_KEY_ENCRYPTION_KEY, is_local=IS_LOCAL)

refuse_unknown("SUBTITLES_POLICY", SUBTITLES_POLICY, known=("anyone", "publishers", "room_admin"))
refuse_unknown("TRANSCRIPTS_POLICY", TRANSCRIPTS_POLICY, known=("room_admin", "anyone", "off"))
refuse_unknown("TRANSCRIPT_READERS", TRANSCRIPT_READERS, known=("joined", "all", "admins"))
refuse_unknown("STT_PROVIDER", STT_PROVIDER, known=CATALOGUE)
for name in STT_FALLBACK:
    refuse_unknown("STT_FALLBACK", name, known=CATALOGUE)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "backend.meetings",
    "backend.transcripts",
    "backend.jobs",
    "backend.downloads",
    "backend.leases",
    "backend.usage",
    "backend.engine_tests",
    "backend.events",
    "backend.retention",
    "backend.throttles",
    "backend.keeper",
    "backend.checks",
    "backend.tokens",
    "backend.subtitles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "backend.config.urls"
ASGI_APPLICATION = "backend.config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": env.db_url("DATABASE_URL")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # SQLite has no row locks: a writer takes the write lock when its transaction begins, and readers go on (WAL).
    # What is deleted is overwritten, by whichever connection.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;",
    }
else:
    # Requests run on threads that come and go; without a pool each would open a connection of its own.
    DATABASES["default"]["OPTIONS"] = {
        **DATABASES["default"].get("OPTIONS", {}),
        "connect_timeout": 3,
        "pool": {"min_size": 1, "max_size": 20, "timeout": 0.9},
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": env.cache_url("CACHE_URL")}
if "redis" in CACHES["default"]["BACKEND"].lower():
    # A cache that does not answer must not hold up an answer of ours.
    CACHES["default"].setdefault("OPTIONS", {}).update(socket_timeout=0.1, socket_connect_timeout=0.1)

# Empty: the keeper runs jobs.
CELERY_BROKER_URL = env("CELERY_BROKER_URL")

DEFAULT_EXCEPTION_REPORTER_FILTER = "backend.config.reports.DiscreetFilter"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_INDEX_FILE = True
WHITENOISE_ALLOW_ALL_ORIGINS = False
WHITENOISE_MIMETYPES = {".wav": "audio/wav"}
WHITENOISE_IMMUTABLE_FILE_TEST = is_immutable
WHITENOISE_ADD_HEADERS_FUNCTION = PageHeaders(livekit_url=LIVEKIT_PUBLIC_URL)
WHITENOISE_ROOT = env("PAGE_DIR") if Path(env("PAGE_DIR")).is_dir() else None

# A body larger than this is refused before it is parsed; the largest we take is a webhook.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024

CORS_ALLOWED_ORIGINS = env.names("CORS_ALLOWED_ORIGINS")
CORS_ALLOW_CREDENTIALS = True
# A page of lines is asked for again with the tag it came with.
CORS_ALLOW_HEADERS = (*default_headers, "if-none-match")
CORS_EXPOSE_HEADERS = ("ETag", "Content-Disposition", "Retry-After")
CORS_URLS_REGEX = r"^/api/"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not IS_LOCAL

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["backend.tokens.authentication.LiveKitTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["backend.bodies.BoundedJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "backend.error_responses.to_response",
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Roomscribe",
    "DESCRIPTION": "Live subtitles for LiveKit rooms.",
    "VERSION": "1.0",
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    # A PATCH here has fields it needs, too.
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_NAME_OVERRIDES": {"StateEnum": "contract.status.State", "ReasonEnum": "contract.status.Reason"},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "backend.config.logs.LineFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL")},
    # Its messages repeat request lines, which may hold what a client sent instead of a token.
    "loggers": {"django.request": {"level": "CRITICAL"}, "django.security": {"level": "CRITICAL"}},
}
