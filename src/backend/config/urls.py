from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from backend.connections.views import ConnectionDetailsView
from backend.health.views import database_ready, healthz, readyz
from backend.metrics.views import metrics
from backend.webhooks.views import WebhookView
from contract.names import PATH_READY

admin.site.site_header = admin.site.site_title = "Roomscribe"

urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("admin/", admin.site.urls),
    path(PATH_READY.removeprefix("/"), database_ready),
    path("internal/v1/", include("backend.internal.urls")),
    path("api/v1.0/", include("backend.subtitles.urls")),
    path("api/v1.0/", include("backend.records.urls")),
    path("api/v1.0/connection-details/", ConnectionDetailsView.as_view()),
    path("api/v1.0/webhooks/livekit/", WebhookView.as_view()),
    path("api/v1.0/schema/", SpectacularAPIView.as_view()),
]
