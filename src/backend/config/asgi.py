"""The backend's ASGI application: `uvicorn backend.config.asgi:application`."""

import os
import warnings

from django.core.asgi import get_asgi_application

from backend.config.body_limit import limited

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.config.settings")

# WhiteNoise hands over files as plain iterators. They are small, and Django reads them on a thread.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

application = limited(get_asgi_application())
