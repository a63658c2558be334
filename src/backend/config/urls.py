from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from backend.connections.views import ConnectionDetailsView
from backend.health.views import healthz, readyz
from backend.metrics.views import metrics
from backend.webhooks.views import WebhookView

admin.site.site_header = admin.site.site_title = "Roomscribe"

urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("admin/", admin.site.urls),
    path("internal/v1/", include("backend.internal.urls")),
    path("api/v1.0/", include("backend.subtitles.urls")),
    path("api/v1.0/connection-details/", ConnectionDetailsView.as_view()),
    path("api/v1.0/webhooks/livekit/", WebhookView.as_view()),
    path("api/v1.0/schema/", SpectacularAPIView.as_view()),
]
