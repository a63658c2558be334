from django.urls import path

from backend.internal import views

urlpatterns = [
    path("workers/<str:worker>/heartbeat", views.HeartbeatView.as_view()),
    path("sessions/<uuid:session>/claim", views.ClaimView.as_view()),
]
