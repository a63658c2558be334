from django.urls import path

from backend.internal import views

urlpatterns = [
    path("workers/<str:worker>/heartbeat", views.HeartbeatView.as_view()),
    path("sessions/<uuid:session>/claim", views.ClaimView.as_view()),
    path("sessions/<uuid:session>/segments", views.SegmentsView.as_view()),
    path("engine-tests/<uuid:test>", views.EngineTestView.as_view()),
    path("engine-tests/<uuid:test>/take", views.EngineTestTakeView.as_view()),
    path("sessions/<uuid:session>/engines", views.EnginesView.as_view()),
]
